"""Plans: what a file holds, and how it is divided, before anything is read into chunks."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from language_modeling_is_compression.audio.frames import linear_samples
from language_modeling_is_compression.audio.info import Region
from language_modeling_is_compression.audio.kinds import HEAD_BYTES, audio_kind
from language_modeling_is_compression.audio.parsing import parse_info
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.codec.guessing import guess_format
from language_modeling_is_compression.codec.halving import halved
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.format.division import SegmentSettings, channel_division
from language_modeling_is_compression.format.header import (
  MAX_GAP_BYTES,
  MAX_GAPS,
  MODEL_ID_BYTES,
  NO_MODEL,
  SOURCE_ID_BYTES,
  Gap,
  Header,
)
from language_modeling_is_compression.format.layout import ChannelLayout, SegmentLayout
from language_modeling_is_compression.format.model_coder import ModelCoder
from language_modeling_is_compression.format.surroundings import NO_CONTAINER, can_hold, canonical
from language_modeling_is_compression.system.files import file_size

_SOURCE_BYTES = 1 << 20  # Bytes at the beginning of a file that distinguish it from others.
NO_SOUND = PcmFormat(kind=SampleKind.NONE, sample_bytes=0, num_channels=0, sample_rate_hz=0)


class Located(NamedTuple):
  """Samples of a file, in file order. Each region holds whole frames, and one frame or more."""

  container: str
  pcm: PcmFormat
  regions: Sequence[Region]

  @property
  def num_frames(self) -> int:
    return sum(region.num_frames for region in self.regions)

  def gaps(self) -> list[Gap]:
    """Bytes between the regions."""
    frames = itertools.accumulate(region.num_frames for region in self.regions)
    return [Gap(frame, size) for frame, size in zip(frames, _between(self.regions, self.pcm), strict=False) if size]

  @property
  def end(self) -> int:
    """Position behind the last frame."""
    last = self.regions[-1]
    return last.offset + last.num_frames * self.pcm.frame_bytes


def plan_file(
  source: BinaryIO,
  name: str,
  model: ModelCoder | None,
  segments: SegmentSettings,
  located: Located | None = None,
) -> Header:
  """Header of the .lmic form of a file. model: what codes its samples, or None.

  source: the file, open at its beginning, and left there. name: for errors. located: where its samples stand, if that
  is known; else headers say it, and in files of no known kind samples are looked for.

  Raises AudioFormatError if the file changes while it is read.
  """
  file_bytes = file_size(source)
  without_samples = Header(
    pcm=NO_SOUND,
    chunk_frames=0,
    head_bytes=file_bytes,
    num_frames=0,
    tail_bytes=0,
    model_id=NO_MODEL,
    source_id=hashlib.blake2b(source.read(_SOURCE_BYTES), digest_size=SOURCE_ID_BYTES).digest(),
    layout=ChannelLayout(),
  )
  located = located or _locate(source, file_bytes)
  if located is None and model:
    located = _guess(source, file_bytes, model)
  source.seek(0)
  if located is None:
    return without_samples
  pcm, num_frames = located.pcm, located.num_frames
  division = model.division(pcm, num_frames, segments) if model else channel_division(pcm, num_frames)
  if division is None:
    return without_samples
  division = halved(division, num_frames, segments, lambda: _integers(source, name, located))
  if not isinstance(division.layout, SegmentLayout) and not pcm.is_integer:
    model = None
  head_bytes, tail_bytes = located.regions[0].offset, file_bytes - located.end
  if tail_bytes < 0:
    raise changed(name)
  return Header(
    pcm=pcm,
    chunk_frames=min(division.span_frames, num_frames),
    head_bytes=head_bytes,
    num_frames=num_frames,
    tail_bytes=tail_bytes,
    model_id=model.identity[:MODEL_ID_BYTES] if model else NO_MODEL,
    source_id=without_samples.source_id,
    layout=division.layout,
    container=located.container,
    gaps=tuple(located.gaps()),
    has_canonical_head=_is_canonical(source, located, file_bytes),
  )


def _integers(source: BinaryIO, name: str, located: Located) -> np.ndarray:
  """All samples of a file, as signed integers: int32 [N, C]. It is left at its beginning."""
  pcm, parts = located.pcm, []
  for region in located.regions:
    source.seek(region.offset)
    raw = source.read(region.num_frames * pcm.frame_bytes)
    if len(raw) < region.num_frames * pcm.frame_bytes:
      raise changed(name)
    parts.append(linear_samples(np.frombuffer(raw, np.uint8).reshape(-1, pcm.num_channels, pcm.sample_bytes), pcm))
  source.seek(0)
  return np.concatenate(parts)


def _is_canonical(source: BinaryIO, located: Located, file_bytes: int) -> bool:
  """Whether what stands around the samples is what stands around so many anyway. The file is left at its beginning."""
  if len(located.regions) > 1 or not can_hold(located.container, located.pcm):
    return False
  around = canonical(located.container, located.pcm, located.num_frames)
  if (len(around.head), len(around.tail)) != (located.regions[0].offset, file_bytes - located.end):
    return False
  head = source.read(len(around.head))
  source.seek(located.end)
  tail = source.read(len(around.tail))
  source.seek(0)
  return (head, tail) == around


def _locate(source: BinaryIO, file_bytes: int) -> Located | None:
  """Where the samples of a file stand; None for a file that has none."""
  try:
    info = parse_info(source, file_bytes, Path())
  except AudioFormatError:
    return None
  return Located(info.container, info.pcm, _within_limits(info.regions, info.pcm)) if info.num_frames else None


def without_header(pcm: PcmFormat, file_bytes: int, offset: int = 0) -> Located | None:
  """Samples of a file without a header; None if it is shorter than a frame. offset: of the first one."""
  num_frames = (file_bytes - offset) // pcm.frame_bytes
  return Located(NO_CONTAINER, pcm, [Region(offset, num_frames)]) if num_frames else None


def _guess(source: BinaryIO, file_bytes: int, model: ModelCoder) -> Located | None:
  source.seek(0)
  if audio_kind('', source.read(HEAD_BYTES)) is not None:  # Its samples are coded in a way that nothing here knows.
    return None
  guess = guess_format(source, file_bytes, model)
  return None if guess is None else without_header(guess[0], file_bytes, guess[1])


def _within_limits(regions: Sequence[Region], pcm: PcmFormat) -> Sequence[Region]:
  """The first regions, as many as have gaps between them that a header may have."""
  up_to_each = itertools.islice(itertools.accumulate(_between(regions, pcm)), MAX_GAPS)
  return regions[: 1 + sum(gap_bytes <= MAX_GAP_BYTES for gap_bytes in up_to_each)]


def _between(regions: Sequence[Region], pcm: PcmFormat) -> Iterator[int]:
  """Bytes between each region and the one that follows."""
  for region, following in itertools.pairwise(regions):
    yield following.offset - region.offset - region.num_frames * pcm.frame_bytes


def changed(name: str) -> AudioFormatError:
  """Builds the error for a file that changed while it was read."""
  return AudioFormatError(f'{name}: changed while it was read; try again when no other program writes to it')
