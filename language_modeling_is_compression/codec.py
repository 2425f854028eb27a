"""Files to .lmic files and back: what goes into which chunk, and in what order it comes out again.

A file is taken apart into the bytes before its samples, spans of frames, and the bytes after them; a span's channels
are chunks of their own. A file that is no WAV is bytes alone. docs/FORMAT.md says the same for other programs.

Nothing is loaded whole: in memory is what `ChunkCoder.lanes` chunks take, and the span that they belong to.

Shapes: N frames of a span, C channels, S bytes of a sample.
"""

import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from language_modeling_is_compression.audio.tokens import frames_from_planes, planes_from_frames
from language_modeling_is_compression.audio.wav import WavInfo, read_wav_info, wav_header
from language_modeling_is_compression.chunk_coder import ChunkCoder, Payload, PayloadShape
from language_modeling_is_compression.container import (
  FLOAT,
  INTEGER,
  MAX_PIECE_BYTES,
  MAX_SPAN_BYTES,
  NO_SAMPLES,
  Container,
  ContainerWriter,
  Header,
)
from language_modeling_is_compression.errors import (
  AudioFormatError,
  ConfigError,
  DamageError,
  FormatError,
  ModelMismatchError,
)

_CHUNK_FRAMES = 1 << 15
_SOURCE_ID_BYTES = 1 << 20  # Of a file, which its source_id is made from.
_NO_MODEL = bytes(32)
_NOT_THE_WHOLE = 'every chunk is sound, but together they are not the file that was compressed'

Progress = Callable[[int], object]  # Told how many more bytes of the original file are done.


def compress(
  path: Path, target: BinaryIO, coder: ChunkCoder, progress: Progress = lambda done: None
) -> tuple[Header, int]:
  """Writes the .lmic form of a file, whatever it holds. Returns its header and its size in bytes.

  Raises AudioFormatError if the file changes while it is read, OSError if it cannot be read.
  """
  with open(path, 'rb') as source:
    header = _describe(path, source, coder)
    digest = hashlib.sha256()
    writer = ContainerWriter(target, header)
    payloads = _payloads(path, source, header, digest.update)
    while batch := list(itertools.islice(payloads, coder.lanes)):
      for chunk in coder.encode(batch):
        writer.add(chunk)
      progress(sum(len(payload.data) for payload in batch))
    if source.read(1):
      raise _changed(path)
    writer.finish(digest.digest())
  return header, writer.bytes_written


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
  if digest.digest() != container.sha256:
    raise FormatError(_NOT_THE_WHOLE)


def salvage(
  container: Container, target: BinaryIO, coder: ChunkCoder, progress: Progress = lambda done: None
) -> list[str]:
  """Writes what is sound, and silence or zeros for what is not. Returns what was wrong, in words; [] for a sound file.

  Where the beginning of a WAV is lost, a plain header stands for all that was before its samples.
  Raises ModelMismatchError.
  """
  header = container.header
  require_model(header, coder)
  wrong = list(container.problems)
  digest = hashlib.sha256()

  def stand_in(index: int, error: DamageError) -> bytes:
    wrong.append(str(error))
    silence = bytearray(header.payload_bytes(index))
    if _shape(header, index).sample_bytes:  # In offset binary the high bytes of silence are 128.
      num_samples = len(silence) // header.sample_bytes
      silence[:num_samples] = b'\x80' * num_samples
    return bytes(silence)

  parts = _original(container, coder, progress, stand_in)
  if header.num_head_chunks and header.sample_kind != NO_SAMPLES:
    beginning = list(itertools.islice(parts, 1))
    if len(wrong) > len(container.problems):
      beginning = [_plain_header(header, header.num_frames)]
      parts = itertools.islice(parts, header.num_head_chunks - 1, None)
    parts = itertools.chain(beginning, parts)
  for data in parts:
    digest.update(data)
    target.write(data)
  if not wrong and digest.digest() != container.sha256:
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
  """Writes a WAV of the frames from start to end (at most the file's), decoding only the chunks that they are in.

  Raises ConfigError if the file has no such samples, else as `decompress`.
  """
  header = container.header
  _require_sound(container, coder)
  if header.sample_kind == NO_SAMPLES or not header.sample_rate_hz:
    raise ConfigError('start, end: the file has no samples, or no sample rate: decompress it whole')
  # Not a number and infinities, which no integer is near to, fail the first comparison.
  first = math.floor(start_seconds * header.sample_rate_hz) if 0 <= start_seconds < math.inf else -1
  last = math.ceil(min(end_seconds * header.sample_rate_hz, header.num_frames)) if end_seconds > 0 else 0
  if not 0 <= first < last:
    raise ConfigError(
      f'start, end: expected a span within {header.num_frames / header.sample_rate_hz:g} seconds, '
      f'got {start_seconds:g} to {end_seconds:g}'
    )
  target.write(_plain_header(header, last - first))
  first_span, last_span = first // header.chunk_frames, (last - 1) // header.chunk_frames
  indices = range(
    header.num_head_chunks + first_span * header.num_channels,
    header.num_head_chunks + (last_span + 1) * header.num_channels,
  )
  position = first_span * header.chunk_frames
  for frames in _frames(
    header, _decoded(container, coder, indices, progress, _raise), range(first_span, last_span + 1)
  ):
    target.write(frames[max(0, first - position) : max(0, last - position)].tobytes())
    position += len(frames)


def find_damage(container: Container, coder: ChunkCoder, progress: Progress = lambda done: None) -> list[str]:
  """Decodes everything and says all that is wrong; [] for a sound file. Raises ModelMismatchError."""
  with open(os.devnull, 'wb') as nowhere:
    return salvage(container, nowhere, coder, progress)


def require_model(header: Header, coder: ChunkCoder) -> None:
  """Raises ModelMismatchError unless the coder can decode a file."""
  identity = coder.predictor.identity if coder.predictor else None
  if header.model_id not in (_NO_MODEL, identity):
    got = f'this is model {identity.hex()[:16]}' if identity else 'no model was given'
    raise ModelMismatchError(
      f'it was written with model {header.model_id.hex()[:16]}, {got}: name the model file that wrote it with -m'
    )


def _require_sound(container: Container, coder: ChunkCoder) -> None:
  """Raises ModelMismatchError unless the coder can decode a file, FormatError if it is damaged beside its chunks."""
  require_model(container.header, coder)
  for problem in container.problems:
    raise FormatError(problem)


def _describe(path: Path, source: BinaryIO, coder: ChunkCoder) -> Header:
  """The header of a file's .lmic form."""
  file_bytes = os.fstat(source.fileno()).st_size
  source_id = hashlib.blake2b(source.read(_SOURCE_ID_BYTES), digest_size=8).digest()
  source.seek(0)
  info = _wav_info(path)
  if info is None:
    return Header(
      sample_kind=NO_SAMPLES,
      sample_bytes=0,
      num_channels=0,
      sample_rate_hz=0,
      chunk_frames=0,
      piece_bytes=MAX_PIECE_BYTES,
      head_bytes=file_bytes,
      num_frames=0,
      tail_bytes=0,
      model_id=_NO_MODEL,
      source_id=source_id,
    )
  tail_bytes = file_bytes - info.data_offset - info.data_bytes
  if tail_bytes < 0:
    raise _changed(path)
  predictor = coder.predictor if info.encoding == 'int' else None
  return Header(
    sample_kind=INTEGER if info.encoding == 'int' else FLOAT,
    sample_bytes=info.sample_bytes,
    num_channels=info.num_channels,
    sample_rate_hz=info.sample_rate_hz,
    chunk_frames=min(_CHUNK_FRAMES, MAX_SPAN_BYTES // info.frame_bytes),
    piece_bytes=MAX_PIECE_BYTES,
    head_bytes=info.data_offset,
    num_frames=info.num_frames,
    tail_bytes=tail_bytes,
    model_id=predictor.identity if predictor else _NO_MODEL,
    source_id=source_id,
  )


def _wav_info(path: Path) -> WavInfo | None:
  """None for a file that is no WAV, or one without samples."""
  try:
    info = read_wav_info(path)
  except AudioFormatError:
    return None
  return info if info.num_frames else None


def _payloads(path: Path, source: BinaryIO, header: Header, seen: Callable[[bytes], object]) -> Iterator[Payload]:
  """Reads a file once, from its beginning to its end, in payloads; `seen` is given its bytes."""

  def read(count: int) -> bytes:
    data = source.read(count)
    if len(data) != count:
      raise _changed(path)
    seen(data)
    return data

  def pieces(count: int) -> Iterator[Payload]:
    for start in range(0, count, header.piece_bytes):
      yield Payload(data=read(min(header.piece_bytes, count - start)))

  yield from pieces(header.head_bytes)
  for span in range(header.num_spans):
    raw = np.frombuffer(read(header.span_frames(span) * header.frame_bytes), np.uint8)
    frames = raw.reshape(-1, header.num_channels, header.sample_bytes)
    for planes in planes_from_frames(frames, signed=_is_signed(header)):
      yield Payload(data=planes.tobytes(), sample_bytes=header.sample_bytes if header.sample_kind == INTEGER else 0)
  yield from pieces(header.tail_bytes)


def _original(
  container: Container, coder: ChunkCoder, progress: Progress, damaged: Callable[[int, DamageError], bytes]
) -> Iterator[bytes]:
  """The original file's bytes, in order; `damaged` gives what stands for a chunk that is damaged."""
  header = container.header
  # Of a file that is cut off, nothing is made up beyond the last span of which something is there.
  found_audio = max(0, container.num_found - header.num_head_chunks)
  num_spans = min(header.num_spans, -(-found_audio // max(1, header.num_channels)))
  last = max(container.num_found, header.num_head_chunks * (num_spans > 0) + num_spans * header.num_channels)
  payloads = _decoded(container, coder, range(last), progress, damaged)
  yield from itertools.islice(payloads, header.num_head_chunks)
  for frames in _frames(header, payloads, range(num_spans)):
    yield frames.tobytes()
  yield from payloads


def _frames(header: Header, payloads: Iterator[bytes], spans: Iterable[int]) -> Iterator[np.ndarray]:
  """Frames of spans, uint8 [N, C, S], from the payloads of their channels."""
  for span in spans:
    channels = b''.join(itertools.islice(payloads, header.num_channels))
    planes = np.frombuffer(channels, np.uint8).reshape(
      header.num_channels, header.sample_bytes, header.span_frames(span)
    )
    yield frames_from_planes(planes, signed=_is_signed(header))


def _decoded(
  container: Container,
  coder: ChunkCoder,
  indices: range,
  progress: Progress,
  damaged: Callable[[int, DamageError], bytes],
) -> Iterator[bytes]:
  """Payloads of chunks, in order."""
  header = container.header
  for start in range(0, len(indices), coder.lanes):
    batch = indices[start : start + coder.lanes]
    errors: dict[int, DamageError] = {}
    chunks = []
    for index in batch:
      try:
        chunks.append((index, container.chunk(index)))
      except DamageError as error:
        errors[index] = error
    payloads = coder.decode([chunk for _, chunk in chunks], [_shape(header, index) for index, _ in chunks])
    decoded = {index: payload for (index, _), payload in zip(chunks, payloads, strict=True)}
    for index in batch:
      payload = decoded.get(index)
      if payload is None:
        reason = DamageError(f'{header.describe(index)} is damaged: what it decodes to is not what was encoded')
        payload = damaged(index, errors.get(index, reason))
      yield payload
    progress(sum(header.payload_bytes(index) for index in batch))


def _shape(header: Header, index: int) -> PayloadShape:
  audio = index - header.num_head_chunks
  by_model = header.sample_kind == INTEGER and 0 <= audio < header.num_spans * header.num_channels
  return PayloadShape(num_bytes=header.payload_bytes(index), sample_bytes=header.sample_bytes if by_model else 0)


def _is_signed(header: Header) -> bool:
  return header.sample_kind == INTEGER and header.sample_bytes > 1


def _plain_header(header: Header, num_frames: int) -> bytes:
  return wav_header(
    encoding='int' if header.sample_kind == INTEGER else 'float',
    sample_bytes=header.sample_bytes,
    num_channels=header.num_channels,
    sample_rate_hz=header.sample_rate_hz,
    num_frames=num_frames,
  )


def _raise(index: int, error: DamageError) -> bytes:
  raise error


def _changed(path: Path) -> AudioFormatError:
  return AudioFormatError(f'{path}: changed while it was read: start again once nothing writes to it')
