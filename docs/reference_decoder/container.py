"""A decoder of `.lmic` files written from docs/FORMAT.md alone, which proves that the document suffices.

It takes nothing from the package, and says things as the document says them rather than fast: a few hundred to a few
thousand symbols per second. Headers are header.py's, bodies those of the modules that are named as their codings.
"""

import hashlib
import lzma
import struct
import zlib
from typing import NamedTuple

import numpy as np

from reference_decoder import hybrid as networked
from reference_decoder import linear, segments, started
from reference_decoder.bytes_by_model import decode_planes
from reference_decoder.header import LINEAR, Header, blake2b, parse_header
from reference_decoder.models import ModelFile, Network, hybrid_integers, integers, require
from reference_decoder.samples import (
  dictionary,
  patterns_of_integers,
  payload_of_patterns,
  split_body,
  stored_samples,
)
from reference_decoder.surroundings import NO_SAMPLES

STORED, LZMA, MODEL, PRIMED = range(4)


class Shape(NamedTuple):
  """What a chunk's payload is: a piece of so many bytes (channels is 0), or so many frames of channels."""

  size: int
  channels: int


class Chunk(NamedTuple):
  method: int
  crc32: int
  body: bytes


class File(NamedTuple):
  """A container whose own checks are right; what is in its chunks is not yet looked at.

  sha256: of the original, its first 16 bytes alone in a file without a table.
  """

  header: Header
  shapes: list[Shape]
  chunks: list[Chunk]
  sha256: bytes


class Models(NamedTuple):
  """Networks that chunks may be coded with: of coding 1, and of codings 2, 4 and 6."""

  network: Network | None
  hybrid: segments.Network | None


def decode(data: bytes, model: ModelFile | None, hybrid: segments.Network | None = None) -> bytes:
  """The original file.

  model: None if no chunk is coded with one. hybrid: a network of segments that takes the place of the model's.
  Raises ValueError if anything in the file is not as the format says, or if it needs another model.
  """
  file = parse(data)
  models = _models(file, model, hybrid)
  payloads = []
  for index, (shape, chunk) in enumerate(zip(file.shapes, file.chunks, strict=True)):
    payload = _payload(chunk, shape, file.header, models)
    require(zlib.crc32(payload) == chunk.crc32, f'chunk {index}: wrong CRC-32 of the payload')
    payloads.append(payload)
  original = _assembled(payloads, file.shapes, file.header)
  require(hashlib.sha256(original).digest().startswith(file.sha256), 'wrong SHA-256 of the original file')
  return original


def _models(file: File, model: ModelFile | None, hybrid: segments.Network | None) -> Models:
  """Raises ValueError for a model that the file was not written with, and where one of bytes is lacking."""
  network, identity, named = None, None, file.header.model_id
  if file.header.coding == 1 and any(chunk.method == MODEL for chunk in file.chunks):
    if model is None:
      raise ValueError('the file needs a model')
    network, identity = integers(model)
  if file.header.coding in (2, 4, 6) and hybrid is None and model is not None:
    hybrid, identity = hybrid_integers(model, is_started=file.header.coding == 6)
  if identity is not None:
    require(identity[: len(named)] == named, f'needs model {named.hex()}, got {identity.hex()}')
  return Models(network, hybrid)


def parse(data: bytes) -> File:
  header = parse_header(data)
  shapes = _shapes(header, len(data))
  chunks, offset = [], len(header.raw)
  for index, shape in enumerate(shapes):
    chunk = _parse_chunk(data, offset, index, shape, header)
    chunks.append(chunk)
    offset += header.record_bytes + len(chunk.body)
  sha256 = _parse_footer(data[offset:], header, [len(chunk.body) for chunk in chunks])
  return File(header, shapes, chunks, sha256)


def _shapes(header: Header, file_bytes: int) -> list[Shape]:
  """Of all chunks in order. Nothing is listed before it is known that the file is long enough to hold it."""
  left_out_head, left_out_tail = map(len, header.surroundings())
  gap_bytes = sum(gap.num_bytes for gap in header.gaps)
  around = (header.head_bytes - left_out_head + gap_bytes, header.tail_bytes - left_out_tail)
  num_pieces = [-(-num_bytes // header.piece_bytes) for num_bytes in around]
  per_span = header.samples.num_channels if header.coding == 1 else 1
  num_spans = -(-header.num_frames // header.chunk_frames) if header.num_frames else 0
  num_chunks = sum(num_pieces) + num_spans * per_span
  possible = num_chunks < 1 << 32 and header.record_bytes * num_chunks <= file_bytes
  require(possible, f'{num_chunks} chunks in {file_bytes} bytes')
  spans = _cut(header.num_frames, header.chunk_frames) if num_spans else []
  head, tail = ([Shape(count, 0) for count in _cut(num_bytes, header.piece_bytes)] for num_bytes in around)
  channels = [Shape(frames, header.samples.num_channels // per_span) for frames in spans for _ in range(per_span)]
  return [*head, *channels, *tail]


def _cut(total: int, size: int) -> list[int]:
  return [min(size, total - start) for start in range(0, total, size)]


def _parse_chunk(data: bytes, offset: int, index: int, shape: Shape, header: Header) -> Chunk:
  record = data[offset : offset + header.record_bytes]
  require(len(record) == header.record_bytes, f'chunk {index}: the file ends within it')
  number, checked, check_bytes = index, record, 4
  if header.version == 5:
    method, body_bytes, crc32 = struct.unpack_from('<BII', record)
    checked = struct.pack('<Q', index) + record
  else:
    number, method, body_bytes, crc32 = struct.unpack_from('<IBII', record)
    check_bytes = 8
  start = offset + len(record)
  body = data[start : start + body_bytes]
  require(len(body) == body_bytes, f'chunk {index}: the file ends within it')
  check = blake2b(checked[:-check_bytes] + body, header.key)[:check_bytes]
  require(check == record[-check_bytes:], f'chunk {index}: wrong check')
  require(number == index, f'chunk {index}: says that it is number {number}')
  require(body_bytes <= _payload_bytes(shape, header), f'chunk {index}: body is longer than its payload')
  require(_may_have(method, shape, header), f'chunk {index}: method {method}, which it cannot have')
  return Chunk(method, crc32, body)


def _may_have(method: int, shape: Shape, header: Header) -> bool:
  if method == MODEL:
    is_coded = header.samples.is_integer or header.coding > 1
    return shape.channels > 0 and is_coded and (header.coding in LINEAR or any(header.model_id))
  if method == PRIMED:
    return header.version == 5 and shape.channels == 0 and header.samples.kind != NO_SAMPLES
  return method in (STORED, LZMA)


def _parse_footer(footer: bytes, header: Header, body_sizes: list[int]) -> bytes:
  """Returns the SHA-256 of the original file, as much as there is. footer: all that is after the last chunk."""
  if not header.has_table:
    require(len(footer) == 20, 'the footer is too long or too short')
    require(blake2b(footer[:16], header.key)[:4] == footer[16:], 'wrong check of the footer')
    return footer[:16]
  table = struct.pack(f'<{len(body_sizes)}I', *body_sizes)
  start = b'LMICtabl' + header.raw + table
  require(len(footer) == len(start) + 56, 'the footer is too long or too short')
  require(footer.startswith(start), 'the footer does not agree with the header or the chunks')
  require(struct.unpack('<Q', footer[-24:-16])[0] == len(footer), "wrong footer's size")
  require(blake2b(footer[:-16], header.key) == footer[-16:-8], 'wrong check of the footer')
  require(footer[-8:] == b'LMICend\n', 'does not end as it should')
  return footer[len(start) : len(start) + 32]


def _payload_bytes(shape: Shape, header: Header) -> int:
  return shape.size * shape.channels * header.samples.sample_bytes if shape.channels else shape.size


def _payload(chunk: Chunk, shape: Shape, header: Header, models: Models) -> bytes:
  if chunk.method == MODEL and header.coding > 1:
    return _decode_segment(chunk.body, shape, header, models.hybrid)
  if chunk.method == MODEL:
    assert models.network is not None
    return decode_planes(chunk.body, shape.size, header.samples.sample_bytes, models.network)
  num_bytes = _payload_bytes(shape, header)
  if chunk.method == PRIMED:
    before = dictionary(header.container, header.samples, header.num_frames)
    payload = _inflate(chunk.body, num_bytes, before)
  else:
    room = 1 << (24 if header.version == 5 else 22)
    payload = chunk.body if chunk.method == STORED else _decompress(chunk.body, num_bytes, room)
  require(len(payload) == num_bytes, 'a payload is too long or too short')
  return payload


def _decompress(body: bytes, num_bytes: int, room: int) -> bytes:
  decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{'id': lzma.FILTER_LZMA2, 'dict_size': room}])
  try:
    payload = decompressor.decompress(body, num_bytes + 1)
  except lzma.LZMAError as error:
    raise ValueError(f'not an LZMA2 stream: {error}') from error
  require(decompressor.eof and not decompressor.unused_data, 'an LZMA2 stream does not end where its body ends')
  return payload


def _inflate(body: bytes, num_bytes: int, before: bytes) -> bytes:
  decompressor = zlib.decompressobj(-15, before)
  try:
    payload = decompressor.decompress(body, num_bytes + 1)
  except zlib.error as error:
    raise ValueError(f'not a DEFLATE stream: {error}') from error
  require(decompressor.eof and not decompressor.unused_data, 'a DEFLATE stream does not end where its body ends')
  return payload


def _decode_segment(body: bytes, shape: Shape, header: Header, hybrid: segments.Network | None) -> bytes:
  samples = header.samples
  width, side, coded = (samples.sample_bytes, b'', body) if samples.is_integer else split_body(body)
  segment = segments.Segment(
    num_frames=shape.size,
    num_channels=samples.num_channels,
    sample_bytes=width,
    sample_rate_hz=samples.sample_rate_hz,
    effort=header.effort,
  )
  if header.coding == 3:
    frames = linear.decode(coded, segment)
  elif header.coding == 5:
    frames = started.decode(coded, None, segment)
  elif hybrid is None:
    raise ValueError('the file needs a hybrid network')
  elif header.coding == 2:
    frames = segments.decode(coded, hybrid, segment)
  elif header.coding == 4:
    frames = networked.decode(coded, hybrid, segment)
  else:
    frames = started.decode(coded, hybrid, segment)
  if samples.is_integer:
    half = 1 << (8 * width - 1)
    patterns = [[half + sample for sample in frame] for frame in frames]
  else:
    patterns = patterns_of_integers(frames, side, samples)
  return payload_of_patterns(patterns, samples.sample_bytes)


def _assembled(payloads: list[bytes], shapes: list[Shape], header: Header) -> bytes:
  """The original: its head, frames with gaps between them, its tail."""
  channels: list[np.ndarray] = []
  spans, pieces = [], []
  for payload, shape in zip(payloads, shapes, strict=True):
    if not shape.channels:
      pieces.append(payload)
      continue
    size = len(payload) // shape.channels
    starts = range(0, len(payload), size)
    channels += [stored_samples(payload[start : start + size], header.samples) for start in starts]
    if len(channels) == header.samples.num_channels:
      spans.append(np.stack(channels, axis=1).tobytes())
      channels = []
  head, tail = header.surroundings()
  around, frames = b''.join([head, *pieces, tail]), b''.join(spans)
  parts, taken, first = [around[: header.head_bytes]], header.head_bytes, 0
  for gap in header.gaps:
    end = gap.frame * header.samples.frame_bytes
    parts += [frames[first:end], around[taken : taken + gap.num_bytes]]
    first, taken = end, taken + gap.num_bytes
  return b''.join([*parts, frames[first:], around[taken:]])
