"""What a file's .lmic form consists of: its header, and what each of its chunks holds."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from language_modeling_is_compression.audio.wav import WavInfo, read_wav_info
from language_modeling_is_compression.codec.chunk_coder import PayloadShape
from language_modeling_is_compression.codec.levels import Level
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.format.container import CHUNK_OVERHEAD_BYTES, MODEL
from language_modeling_is_compression.format.header import (
  FLOAT,
  INTEGER,
  MAX_PIECE_BYTES,
  MAX_SEGMENT_BYTES,
  MAX_SEGMENT_FRAMES,
  MAX_SPAN_BYTES,
  NO_SAMPLES,
  Header,
  plain_header,
)
from language_modeling_is_compression.format.segment import SegmentShape
from language_modeling_is_compression.quantized.predictor import Predictor, SegmentPredictor

NO_MODEL = bytes(32)

_CHUNK_FRAMES = 1 << 15
_MANY_CHANNELS = 16  # Up to which nothing is too many.
_SOURCE_ID_BYTES = 1 << 20  # Of a file, which its source_id is made from.


def describe(path: Path, source: BinaryIO, predictor: Predictor | SegmentPredictor | None, level: Level) -> Header:
  """The header of a file's .lmic form; source is the file, open at its beginning, and is left there.

  Raises AudioFormatError if the file changes while it is read.
  """
  file_bytes = os.fstat(source.fileno()).st_size
  source_id = hashlib.blake2b(source.read(_SOURCE_ID_BYTES), digest_size=8).digest()
  source.seek(0)
  info = _wav_info(path)
  predictor = predictor if info and info.encoding == 'int' else None
  in_segments = isinstance(predictor, SegmentPredictor)
  if info is None or _has_too_many_channels(info, in_segments):
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
      model_id=NO_MODEL,
      source_id=source_id,
    )
  tail_bytes = file_bytes - info.data_offset - info.data_bytes
  if tail_bytes < 0:
    raise changed(path)
  chunk_frames = _segment_frames(info, level) if in_segments else _chunk_frames(info)
  header = Header(
    sample_kind=INTEGER if info.encoding == 'int' else FLOAT,
    sample_bytes=info.sample_bytes,
    num_channels=info.num_channels,
    sample_rate_hz=info.sample_rate_hz,
    chunk_frames=chunk_frames,
    piece_bytes=MAX_PIECE_BYTES,
    head_bytes=info.data_offset,
    num_frames=info.num_frames,
    tail_bytes=tail_bytes,
    model_id=predictor.identity if predictor else NO_MODEL,
    source_id=source_id,
    effort=level.effort if in_segments else None,
  )
  return dataclasses.replace(header, plain_head=in_segments and _has_plain_head(source, header))


def _has_too_many_channels(info: WavInfo, in_segments: bool) -> bool:
  """Whether channels hold so little that what is said of each takes more than samples save, or much time."""
  if in_segments:
    return info.num_channels > max(info.num_frames, _MANY_CHANNELS)
  overhead = info.num_channels * -(-info.num_frames // _chunk_frames(info)) * CHUNK_OVERHEAD_BYTES
  return overhead > _MANY_CHANNELS * CHUNK_OVERHEAD_BYTES + info.data_bytes // 1000


def _chunk_frames(info: WavInfo) -> int:
  """Of a chunk that holds one channel."""
  return min(_CHUNK_FRAMES, MAX_SPAN_BYTES // info.frame_bytes)


def _has_plain_head(source: BinaryIO, header: Header) -> bool:
  plain = plain_header(header, header.num_frames)
  head = source.read(len(plain))
  source.seek(0)
  return header.head_bytes == len(plain) and head == plain


def _segment_frames(info: WavInfo, level: Level) -> int:
  """Frames of a segment: of equal length, so that no short one at the end warms its experts up for little.

  And one or an even number of them, so that two cores have the same to do.
  """
  limit = min(level.segment_frames, MAX_SEGMENT_FRAMES, MAX_SEGMENT_BYTES // info.frame_bytes)
  num_segments = -(-info.num_frames // limit)
  if num_segments > 1:
    num_segments += num_segments % 2
  return -(-info.num_frames // num_segments)


def _wav_info(path: Path) -> WavInfo | None:
  """None for a file that is no WAV, or one without samples."""
  try:
    info = read_wav_info(path)
  except AudioFormatError:
    return None
  return info if info.num_frames else None


def payload_shape(header: Header, index: int) -> PayloadShape:
  """What is known of a chunk's payload before it is decoded."""
  num_bytes, span = header.payload_bytes(index), header.span_of(index)
  if span is None or header.sample_kind != INTEGER:
    return PayloadShape(num_bytes=num_bytes)
  if header.effort is None:
    return PayloadShape(num_bytes=num_bytes, sample_bytes=header.sample_bytes)
  return PayloadShape(num_bytes=num_bytes, segment=segment_shape(header, span))


def segment_shape(header: Header, span: int) -> SegmentShape:
  """What is known of a segment before it is decoded."""
  assert header.effort is not None, 'spans of version 1 are not segments'
  return SegmentShape(
    num_frames=header.span_frames(span),
    num_channels=header.num_channels,
    sample_bytes=header.sample_bytes,
    sample_rate_hz=header.sample_rate_hz,
    effort=header.effort,
  )


def silence(header: Header, index: int) -> bytes:
  """A payload that stands for a chunk that is lost: silence, or zeros for what is not samples."""
  payload = np.zeros(header.payload_bytes(index), np.uint8)
  if header.sample_kind == INTEGER and header.span_of(index) is not None:
    # In offset binary the high bytes of silence are 128.
    payload.reshape(header.num_channels // header.chunks_per_span, header.sample_bytes, -1)[:, 0] = 0x80
  return payload.tobytes()


def count_fallbacks(header: Header, methods: Iterable[int | None]) -> int:
  """Chunks of sound that a file's model did not code, since something else was smaller; 0 in a file without a model.

  methods: of its chunks from the first on, None for one that is not known and does not count.
  """
  if header.model_id == NO_MODEL:
    return 0
  return sum(
    method is not None and method != MODEL and header.span_of(index) is not None for index, method in enumerate(methods)
  )


def is_signed(header: Header) -> bool:
  """Whether samples are two's complement, which becomes offset binary in payloads."""
  return header.sample_kind == INTEGER and header.sample_bytes > 1


def changed(path: Path) -> AudioFormatError:
  """What is said of a file that is not what it was a moment ago."""
  return AudioFormatError(f'{path}: changed while it was read: start again once nothing writes to it')
