"""File codec: files to .lmic files and back; what is read into which chunk, and in what order it comes out again.

A file is taken apart into the bytes before its samples, spans of frames, and the bytes after them; bytes between frames
go with those before. The header's layout divides a span into chunks. A file that holds no samples is bytes alone.
docs/FORMAT.md says the same for other programs.

Nothing is loaded whole: in memory are the payloads that are in work (workers.py), and the span that they belong to.
"""

import hashlib
import itertools
import math
import os
import struct
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import BinaryIO, NamedTuple

import numpy as np

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder, Progress
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.codec.plan import Located, changed, plan_file
from language_modeling_is_compression.codec.reading import read_payloads, stretches
from language_modeling_is_compression.errors import ConfigError, DamageError, FormatError, ModelMismatchError
from language_modeling_is_compression.format.compact_frame import SHORT_DIGEST_BYTES
from language_modeling_is_compression.format.container import Chunk, Container, ContainerWriter, count_fallbacks
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.format.payloads import Payload
from language_modeling_is_compression.format.surroundings import UNPACKED, Surroundings, can_hold, canonical

_NOT_THE_WHOLE = 'every chunk is sound, but together they are not the file that was compressed'


class Compressed(NamedTuple):
  """Outcome of compressing a file. fallback_chunks: chunks of sound, in a file with a model, coded without it.
  methods: of all chunks. verified: digest of the chunks and of the original's hash, if they were decoded and compared.
  """

  header: Header
  num_bytes: int
  fallback_chunks: int
  methods: bytes
  verified: bytes | None

  def chunk_counts(self) -> str:
    """Number of chunks by method, for people."""
    counts = zip(
      ('stored', 'LZMA', 'model', 'primed'), (self.methods.count(method) for method in range(4)), strict=True
    )
    return ', '.join(f'{count:,} chunks {name}' for name, count in counts if count) or 'no chunks'


def compress(
  source: BinaryIO,
  target: BinaryIO,
  coder: ChunkCoder,
  progress: Progress = lambda done: None,
  *,
  segments: SegmentSettings = LEVELS[DEFAULT_LEVEL].segments,
  name: str = 'the source',
  verify: bool = False,
  located: Located | None = None,
) -> Compressed:
  """Writes the .lmic form of a file, whatever it holds.

  source: can be seeked; it is read from its beginning to its end. segments: for models that code segments. name: of the
  source, for errors. located: as `plan_file` has it. verify: decode each chunk as soon as it is made, and compare;
  `read_back` does the rest. progress is then told of every byte twice.
  Raises AudioFormatError if the file changes while it is read, OSError if it cannot be read, CancelledError, and
  FormatError if what is decoded is not the source.
  """
  source.seek(0)
  header = plan_file(source, name, coder.model, segments, located)
  digest, again, chunks = hashlib.sha256(), hashlib.sha256(), _ChunksDigest()
  writer = ContainerWriter(target, header)
  progress(_left_out(header))
  methods = bytearray()

  def written() -> Generator[Payload, None, None]:
    """Writes all chunks; yields what they decode to."""
    payloads = read_payloads(source, name, header, digest.update)
    with closing(coder.encoded(payloads, progress, decode=verify)) as coded:
      for chunk, decoded in coded:
        if verify and decoded is None:
          raise _not_what_was_encoded(header, len(methods))
        writer.add(chunk)
        chunks.add(chunk)
        methods.append(chunk.method)
        if decoded is not None:
          yield decoded

  with closing(written()) as payloads:
    if verify:
      for data in _joined(header, payloads, progress, header.num_spans):
        again.update(data)
    for _ in payloads:
      raise AssertionError('nothing is decoded beyond the whole file')
  if source.read(1):
    raise changed(name)
  if verify and again.digest() != digest.digest():
    raise FormatError(_NOT_THE_WHOLE)
  writer.finish(digest.digest())
  verified = chunks.with_sha256(digest.digest()) if verify else None
  return Compressed(header, writer.bytes_written, count_fallbacks(header, methods), bytes(methods), verified)


def read_back(container: Container, compressed: Compressed) -> None:
  """Compares a file with what was verified while it was written: every byte, as a decoder reads it.

  Raises FormatError (DamageError if one chunk is to blame) if it is something else.
  """
  assert compressed.verified is not None, 'it was not verified'
  for problem in container.problems:
    raise FormatError(problem)
  chunks = _ChunksDigest()
  for index in range(container.header.num_chunks):
    chunks.add(container.chunk(index))
  found = chunks.with_sha256(container.sha256 or b'')
  if (container.header, container.file_bytes, found) != (compressed.header, compressed.num_bytes, compressed.verified):
    raise FormatError('what stands in the file is not what was written')


def decompress(
  container: Container, target: BinaryIO, coder: ChunkCoder, progress: Progress = lambda done: None
) -> None:
  """Writes the original file.

  Raises FormatError (DamageError if one chunk is to blame) if anything is damaged, ModelMismatchError if the coder has
  another model than the file was written with; what is written by then must not be used.
  """
  _require_sound(container, coder)
  digest = hashlib.sha256()
  for data in _original(container, coder, progress, _raise):
    digest.update(data)
    target.write(data)
  if not _is_hash(digest.digest(), container):
    raise FormatError(_NOT_THE_WHOLE)


def salvage(
  container: Container, target: BinaryIO, coder: ChunkCoder, progress: Progress = lambda done: None
) -> list[str]:
  """Writes what is sound, and silence or zeros for what is not. Returns what was wrong, in words; [] for a sound file.

  Where the beginning of a file of one region of samples is lost, a canonical header stands for all that was before
  them; a canonical head is never lost. Of an unpacked file the sound is written, as a WAV. Raises ModelMismatchError.
  """
  header = container.header
  require_model(header, coder)
  wrong = list(container.problems)
  digest = hashlib.sha256()

  def stand_in(index: int, error: DamageError) -> Payload:
    wrong.append(str(error))
    return header.payload_shape(index).silence()

  parts = _original(container, coder, progress, stand_in)
  if header.num_head_chunks and not header.gaps and can_hold(header.container, header.pcm):
    beginning = list(itertools.islice(parts, 1))
    if len(wrong) > len(container.problems):
      beginning = [canonical(header.container, header.pcm, header.num_frames).head]
      parts = itertools.islice(parts, header.num_head_chunks - 1, None)
    parts = itertools.chain(beginning, parts)
  is_unpacked, position = header.container == UNPACKED, 0
  around = canonical(header.container, header.pcm, header.num_frames) if is_unpacked else Surroundings(b'', b'')
  target.write(around.head)
  for data in parts:
    digest.update(data)
    first, last = (header.head_bytes - position, header.original_bytes - header.tail_bytes - position)
    target.write(data[max(0, first) : max(0, last)] if is_unpacked else data)
    position += len(data)
  target.write(around.tail)
  if not wrong and not _is_hash(digest.digest(), container):
    wrong.append(_NOT_THE_WHOLE)
  return wrong


def decompress_span(
  container: Container,
  target: BinaryIO,
  coder: ChunkCoder,
  start_seconds: float,
  end_seconds: float,
  progress: Progress = lambda done: None,
) -> None:
  """Writes a file of the frames from start to end (at most the file's), decoding only the chunks that they are in.

  It is one of the original's container, with a header of its own.

  Raises ConfigError if the file has no such samples, else as `decompress`.
  """
  header = container.header
  _require_sound(container, coder)
  rate = header.pcm.sample_rate_hz
  if not rate:
    raise ConfigError('start, end: the file has no samples, or no sample rate: decompress it whole')
  # A NaN fails the first comparison; min() takes care of infinities, which no integer is near to.
  first = math.floor(min(start_seconds * rate, header.num_frames)) if start_seconds >= 0 else -1
  last = math.ceil(min(end_seconds * rate, header.num_frames)) if end_seconds > 0 else 0
  if not 0 <= first < last:
    raise ConfigError(
      f'start, end: expected a span within {header.num_frames / rate:g} seconds, '
      f'got {start_seconds:g} to {end_seconds:g}'
    )
  around = canonical(header.container, header.pcm, last - first)
  target.write(around.head)
  for frames in decode_frames(container, coder, first, last, progress):
    target.write(frames.tobytes())
  target.write(around.tail)


def decode_frames(
  container: Container, coder: ChunkCoder, first: int, last: int, progress: Progress = lambda done: None
) -> Iterator[np.ndarray]:
  """Frames from first up to last, 0 <= first <= last <= num_frames, as uint8 [N, C, S] in pieces of at most a span.

  N frames, C channels, S bytes of a sample. Decodes only the chunks that they are in.
  Raises FormatError, DamageError and ModelMismatchError as `decompress`.
  """
  header = container.header
  _require_sound(container, coder)
  if first == last:
    return
  first_span, last_span = first // header.chunk_frames, (last - 1) // header.chunk_frames
  indices = range(
    header.num_head_chunks + first_span * header.chunks_per_span,
    header.num_head_chunks + (last_span + 1) * header.chunks_per_span,
  )
  position = first_span * header.chunk_frames
  with closing(_decoded(container, coder, indices, progress, _raise)) as payloads:
    for frames in _frames(header, payloads, range(first_span, last_span + 1)):
      yield frames[max(0, first - position) : max(0, last - position)]
      position += len(frames)


def read_beginning(container: Container, coder: ChunkCoder) -> bytes:
  """The first piece of a file that has no samples. Raises as `decompress`."""
  return _pieces(container, coder, 0, min(1, container.header.num_head_chunks))


def read_tail(container: Container, coder: ChunkCoder) -> bytes:
  """Bytes after the samples. Raises as `decompress`."""
  header = container.header
  if header.has_canonical_tail:
    return header.surroundings().tail
  return _pieces(container, coder, header.num_chunks - header.num_tail_chunks, header.num_chunks)


def _pieces(container: Container, coder: ChunkCoder, first: int, last: int) -> bytes:
  payloads = _decoded(container, coder, range(first, last), lambda done: None, _raise)
  return b''.join(payload.to_bytes() for payload in payloads)


def find_damage(container: Container, coder: ChunkCoder, progress: Progress = lambda done: None) -> list[str]:
  """Decodes everything and says all that is wrong; [] for a sound file. Raises ModelMismatchError."""
  with open(os.devnull, 'wb') as nowhere:
    return salvage(container, nowhere, coder, progress)


def require_model(header: Header, coder: ChunkCoder) -> None:
  """Raises ModelMismatchError unless the coder can decode a file."""
  identity = coder.model.identity if coder.model else b''
  if not identity.startswith(header.model_id):
    got = f'this is model {identity.hex()[:16]}' if identity else 'no model was given'
    raise ModelMismatchError(
      f'it was written with model {header.model_id.hex()[:16]}, {got}: name the model file that wrote it with -m'
    )


def _require_sound(container: Container, coder: ChunkCoder) -> None:
  """Raises ModelMismatchError unless the coder can decode a file, FormatError if it is damaged beside its chunks."""
  require_model(container.header, coder)
  for problem in container.problems:
    raise FormatError(problem)


def _original(
  container: Container, coder: ChunkCoder, progress: Progress, damaged: Callable[[int, DamageError], Payload]
) -> Iterator[bytes]:
  """The original file's bytes, in order; `damaged` gives what stands for a chunk that is damaged."""
  header = container.header
  # Nothing is made up beyond the last span of which something is left, in a file that is cut off.
  found_audio = max(0, container.num_found - header.num_head_chunks)
  num_spans = min(header.num_spans, -(-found_audio // max(1, header.chunks_per_span)))
  last = max(container.num_found, header.num_head_chunks * (num_spans > 0) + num_spans * header.chunks_per_span)
  with closing(_decoded(container, coder, range(last), progress, damaged)) as payloads:
    yield from _joined(header, payloads, progress, num_spans)


def _joined(header: Header, payloads: Iterator[Payload], progress: Progress, num_spans: int) -> Iterator[bytes]:
  """The file's bytes, in order, from its payloads: those around the samples, and of the first spans."""
  progress(_left_out(header))
  if header.has_canonical_head:
    yield header.surroundings().head
  head_left, gaps = header.bytes_before - header.gap_bytes, b''
  for payload in itertools.islice(payloads, header.num_head_chunks):
    data = payload.to_bytes()
    yield data[:head_left]
    gaps += data[head_left:]
    head_left = max(0, head_left - len(data))
  for span, frames in enumerate(_frames(header, payloads, range(num_spans))):
    first = 0
    for num_frames, gap in stretches(header, span):
      yield frames[first : first + num_frames].tobytes()
      yield gaps[gap]
      first += num_frames
  for payload in payloads:
    yield payload.to_bytes()
  if header.has_canonical_tail and num_spans == header.num_spans:
    yield header.surroundings().tail


def _left_out(header: Header) -> int:
  """Bytes of the original that no chunk holds, since they are canonical."""
  head, tail = header.has_canonical_head, header.has_canonical_tail
  return (header.head_bytes if head else 0) + (header.tail_bytes if tail else 0)


def _is_hash(sha256: bytes, container: Container) -> bool:
  """Whether a hash of what was decoded is the original's, as far as the file has that."""
  return bool(container.sha256) and sha256.startswith(container.sha256 or b'')


def _frames(header: Header, payloads: Iterator[Payload], spans: Iterable[int]) -> Iterator[np.ndarray]:
  """Frames of spans, uint8 [N, C, S], from the payloads of their chunks."""
  for _ in spans:
    yield header.join_span(list(itertools.islice(payloads, header.chunks_per_span)))


def _decoded(
  container: Container,
  coder: ChunkCoder,
  indices: range,
  progress: Progress,
  damaged: Callable[[int, DamageError], Payload],
) -> Generator[Payload, None, None]:
  """Payloads of chunks, in order."""
  header = container.header
  reasons: dict[int, DamageError] = {}

  def read(index: int) -> Chunk | None:
    try:
      return container.chunk(index)
    except DamageError as error:
      reasons[index] = error
      return None

  chunks = ((read(index), header.payload_shape(index)) for index in indices)
  with closing(coder.decoded(chunks, progress)) as payloads:
    for index, payload in zip(indices, payloads, strict=True):
      if payload is None:
        payload = damaged(index, reasons.pop(index) if index in reasons else _not_what_was_encoded(header, index))
      yield payload


def _not_what_was_encoded(header: Header, index: int) -> DamageError:
  return DamageError(f'{header.chunk_label(index)} is damaged: what it decodes to is not what was encoded')


class _ChunksDigest:
  """Digest of a file's chunks, in order."""

  def __init__(self) -> None:
    self._digest = hashlib.blake2b()

  def add(self, chunk: Chunk) -> None:
    self._digest.update(struct.pack('<BIQ', chunk.method, chunk.crc32, len(chunk.body)))
    self._digest.update(chunk.body)

  def with_sha256(self, sha256: bytes) -> bytes:
    """Digest of all, and of as much of the original's hash as every file has."""
    self._digest.update(sha256[:SHORT_DIGEST_BYTES])
    return self._digest.digest()


def _raise(index: int, error: DamageError) -> Payload:
  raise error
