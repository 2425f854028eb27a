"""Files to .lmic files and back: what is read into which chunk, and in what order it comes out again.

A file is taken apart into the bytes before its samples, spans of frames, and the bytes after them; a span's channels
are chunks of their own, or one chunk if the coder's model is one of segments. A file that is no WAV is bytes alone.
docs/FORMAT.md says the same for other programs.

Nothing is loaded whole: in memory is what `ChunkCoder.lanes` chunks take (of long segments fewer), and the span that
they belong to. Commands that work on several files at a time take that for each.

Shapes: N frames of a span, C channels, S bytes of a sample.
"""

import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from language_modeling_is_compression.audio.planes import frames_from_planes, planes_from_frames
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder, Payload, Progress
from language_modeling_is_compression.codec.layout import (
  NO_MODEL,
  changed,
  count_fallbacks,
  describe,
  is_signed,
  payload_shape,
  segment_shape,
  silence,
)
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS, Level
from language_modeling_is_compression.errors import ConfigError, DamageError, FormatError, ModelMismatchError
from language_modeling_is_compression.format.container import Container, ContainerWriter
from language_modeling_is_compression.format.header import INTEGER, NO_SAMPLES, Header, plain_header

_NOT_THE_WHOLE = 'every chunk is sound, but together they are not the file that was compressed'


class Compressed(NamedTuple):
  """What became of a file. fallback_chunks: of those that hold sound, in a file with a model, coded without it."""

  header: Header
  num_bytes: int
  fallback_chunks: int


def compress(
  path: Path,
  target: BinaryIO,
  coder: ChunkCoder,
  progress: Progress = lambda done: None,
  level: Level = LEVELS[DEFAULT_LEVEL],
) -> Compressed:
  """Writes the .lmic form of a file, whatever it holds.

  level: what segments are, if the coder's model is one of segments; its network is not looked at.
  Raises AudioFormatError if the file changes while it is read, OSError if it cannot be read.
  """
  with open(path, 'rb') as source:
    header = describe(path, source, coder.predictor, level)
    digest = hashlib.sha256()
    writer = ContainerWriter(target, header)
    payloads = _payloads(path, source, header, digest.update)
    if header.plain_head:
      progress(header.head_bytes)
    methods = bytearray()
    while batch := list(itertools.islice(payloads, _at_a_time(header, coder))):
      for chunk in coder.encode(batch, progress):
        writer.add(chunk)
        methods.append(chunk.method)
    if source.read(1):
      raise changed(path)
    writer.finish(digest.digest())
  return Compressed(header, writer.bytes_written, count_fallbacks(header, methods))


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

  Where the beginning of a WAV is lost, a plain header stands for all that was before its samples; a plain head is never
  lost. Raises ModelMismatchError, and FormatError if the beginning is lost of what no WAV can hold.
  """
  header = container.header
  require_model(header, coder)
  wrong = list(container.problems)
  digest = hashlib.sha256()

  def stand_in(index: int, error: DamageError) -> bytes:
    wrong.append(str(error))
    return silence(header, index)

  parts = _original(container, coder, progress, stand_in)
  if header.num_head_chunks and header.sample_kind != NO_SAMPLES:
    beginning = list(itertools.islice(parts, 1))
    if len(wrong) > len(container.problems):
      beginning = [plain_header(header, header.num_frames)]
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
  # What is not a number fails the first comparison; infinities, which no integer is near to, the end is before.
  first = math.floor(min(start_seconds * header.sample_rate_hz, header.num_frames)) if start_seconds >= 0 else -1
  last = math.ceil(min(end_seconds * header.sample_rate_hz, header.num_frames)) if end_seconds > 0 else 0
  if not 0 <= first < last:
    raise ConfigError(
      f'start, end: expected a span within {header.num_frames / header.sample_rate_hz:g} seconds, '
      f'got {start_seconds:g} to {end_seconds:g}'
    )
  target.write(plain_header(header, last - first))
  first_span, last_span = first // header.chunk_frames, (last - 1) // header.chunk_frames
  indices = range(
    header.num_head_chunks + first_span * header.chunks_per_span,
    header.num_head_chunks + (last_span + 1) * header.chunks_per_span,
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
  if header.model_id not in (NO_MODEL, identity):
    got = f'this is model {identity.hex()[:16]}' if identity else 'no model was given'
    raise ModelMismatchError(
      f'it was written with model {header.model_id.hex()[:16]}, {got}: name the model file that wrote it with -m'
    )


def _require_sound(container: Container, coder: ChunkCoder) -> None:
  """Raises ModelMismatchError unless the coder can decode a file, FormatError if it is damaged beside its chunks."""
  require_model(container.header, coder)
  for problem in container.problems:
    raise FormatError(problem)


def _payloads(path: Path, source: BinaryIO, header: Header, seen: Callable[[bytes], object]) -> Iterator[Payload]:
  """Reads a file once, from its beginning to its end, in payloads; `seen` is given its bytes."""

  def read(count: int) -> bytes:
    data = source.read(count)
    if len(data) != count:
      raise changed(path)
    seen(data)
    return data

  def pieces(count: int) -> Iterator[Payload]:
    for start in range(0, count, header.piece_bytes):
      yield Payload(data=read(min(header.piece_bytes, count - start)))

  if header.plain_head:
    if read(header.head_bytes) != plain_header(header, header.num_frames):
      raise changed(path)
  else:
    yield from pieces(header.head_bytes)
  for span in range(header.num_spans):
    raw = np.frombuffer(read(header.span_frames(span) * header.frame_bytes), np.uint8)
    frames = raw.reshape(-1, header.num_channels, header.sample_bytes)
    planes = planes_from_frames(frames, signed=is_signed(header))
    if header.effort is not None:
      yield Payload(data=planes.tobytes(), segment=segment_shape(header, span))
      continue
    for channel in planes:
      yield Payload(data=channel.tobytes(), sample_bytes=header.sample_bytes if header.sample_kind == INTEGER else 0)
  yield from pieces(header.tail_bytes)


def _original(
  container: Container, coder: ChunkCoder, progress: Progress, damaged: Callable[[int, DamageError], bytes]
) -> Iterator[bytes]:
  """The original file's bytes, in order; `damaged` gives what stands for a chunk that is damaged."""
  header = container.header
  # Of a file that is cut off, nothing is made up beyond the last span of which something is there.
  found_audio = max(0, container.num_found - header.num_head_chunks)
  num_spans = min(header.num_spans, -(-found_audio // max(1, header.chunks_per_span)))
  last = max(container.num_found, header.num_head_chunks * (num_spans > 0) + num_spans * header.chunks_per_span)
  payloads = _decoded(container, coder, range(last), progress, damaged)
  if header.plain_head:
    progress(header.head_bytes)
    yield plain_header(header, header.num_frames)
  yield from itertools.islice(payloads, header.num_head_chunks)
  for frames in _frames(header, payloads, range(num_spans)):
    yield frames.tobytes()
  yield from payloads


def _frames(header: Header, payloads: Iterator[bytes], spans: Iterable[int]) -> Iterator[np.ndarray]:
  """Frames of spans, uint8 [N, C, S], from the payloads of their chunks."""
  for span in spans:
    channels = b''.join(itertools.islice(payloads, header.chunks_per_span))
    planes = np.frombuffer(channels, np.uint8).reshape(
      header.num_channels, header.sample_bytes, header.span_frames(span)
    )
    yield frames_from_planes(planes, signed=is_signed(header))


def _decoded(
  container: Container,
  coder: ChunkCoder,
  indices: range,
  progress: Progress,
  damaged: Callable[[int, DamageError], bytes],
) -> Iterator[bytes]:
  """Payloads of chunks, in order."""
  header = container.header
  at_a_time = _at_a_time(header, coder)
  for start in range(0, len(indices), at_a_time):
    batch = indices[start : start + at_a_time]
    errors: dict[int, DamageError] = {}
    chunks = []
    for index in batch:
      try:
        chunks.append((index, container.chunk(index)))
      except DamageError as error:
        errors[index] = error
    progress(sum(header.payload_bytes(index) for index in errors))
    payloads = coder.decode(
      [chunk for _, chunk in chunks], [payload_shape(header, index) for index, _ in chunks], progress
    )
    decoded = {index: payload for (index, _), payload in zip(chunks, payloads, strict=True)}
    for index in batch:
      payload = decoded.get(index)
      if payload is None:
        reason = DamageError(f'{header.describe(index)} is damaged: what it decodes to is not what was encoded')
        payload = damaged(index, errors.get(index, reason))
      yield payload


def _at_a_time(header: Header, coder: ChunkCoder) -> int:
  """Chunks that are handed to the coder together."""
  return coder.lanes if header.effort is None else coder.segments_at_a_time(header.chunk_frames * header.frame_bytes)


def _raise(index: int, error: DamageError) -> bytes:
  raise error
