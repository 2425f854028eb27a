"""Plan of a file's .lmic form: its header, made from a first look at the file."""

import dataclasses
import hashlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.parsing import parse_info
from language_modeling_is_compression.audio.planes import samples_from_raw
from language_modeling_is_compression.codec.halving import halved
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.format.division import SegmentSettings, channel_division
from language_modeling_is_compression.format.header import MAX_PIECE_BYTES, Header, canonical_header
from language_modeling_is_compression.format.layout import FLOAT, INTEGER, NO_SAMPLES, PcmFormat, SegmentLayout
from language_modeling_is_compression.format.model_coder import ModelCoder
from language_modeling_is_compression.system.files import file_size

NO_MODEL = bytes(32)

_SOURCE_ID_BYTES = 1 << 20  # Bytes of a file that its source_id is made from.


def plan_file(source: BinaryIO, name: str, model: ModelCoder | None, segments: SegmentSettings) -> Header:
  """Header of a file's .lmic form. source: the file, open at its beginning, and left there. name: for errors.

  Raises AudioFormatError if the file changes while it is read.
  """
  file_bytes = file_size(source)
  source_id = hashlib.blake2b(source.read(_SOURCE_ID_BYTES), digest_size=8).digest()
  info = _wav_info(source, file_bytes)
  source.seek(0)
  without_samples = Header(
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
  if info is None:
    return without_samples
  pcm = PcmFormat(
    kind=INTEGER if info.encoding == 'int' else FLOAT,
    sample_bytes=info.sample_bytes,
    num_channels=info.num_channels,
    sample_rate_hz=info.sample_rate_hz,
  )
  if pcm.kind != INTEGER:
    model = None
  division = model.division(pcm, info.num_frames, segments) if model else channel_division(pcm, info.num_frames)
  if division is None:
    return without_samples
  division = halved(division, info.num_frames, segments, lambda: _samples(source, name, info, pcm))
  [region] = info.regions
  tail_bytes = file_bytes - region.offset - region.num_frames * info.frame_bytes
  if tail_bytes < 0:
    raise changed(name)
  header = dataclasses.replace(
    without_samples,
    sample_kind=pcm.kind,
    sample_bytes=pcm.sample_bytes,
    num_channels=pcm.num_channels,
    sample_rate_hz=pcm.sample_rate_hz,
    chunk_frames=division.span_frames,
    head_bytes=region.offset,
    num_frames=info.num_frames,
    tail_bytes=tail_bytes,
    model_id=model.identity if model else NO_MODEL,
    layout=division.layout,
  )
  layout = header.layout
  if not isinstance(layout, SegmentLayout):
    return header
  if _has_canonical_head(source, header):
    header = dataclasses.replace(header, layout=dataclasses.replace(layout, has_canonical_head=True))
  return header


def _samples(source: BinaryIO, name: str, info: PcmInfo, pcm: PcmFormat) -> np.ndarray:
  """All samples of a file, int32 [N, C]. It is left at its beginning."""
  source.seek(info.regions[0].offset)
  raw = source.read(info.num_frames * pcm.frame_bytes)
  source.seek(0)
  if len(raw) < info.num_frames * pcm.frame_bytes:
    raise changed(name)
  return samples_from_raw(np.frombuffer(raw, np.uint8).reshape(-1, pcm.num_channels, pcm.sample_bytes))


def _has_canonical_head(source: BinaryIO, header: Header) -> bool:
  canonical = canonical_header(header, header.num_frames)
  head = source.read(len(canonical))
  source.seek(0)
  return header.head_bytes == len(canonical) and head == canonical


def _wav_info(source: BinaryIO, file_bytes: int) -> PcmInfo | None:
  """None for a file that is no plain WAV, or one without samples."""
  try:
    info = parse_info(source, file_bytes, Path())
  except AudioFormatError:
    return None
  return info if info.num_frames and info.is_plain_wav else None


def changed(name: str) -> AudioFormatError:
  """Builds the error for a file that changed while it was read."""
  return AudioFormatError(f'{name}: changed while it was read; try again when no other program writes to it')
