"""Files of several domains as evidence to train on and to hold out, at the depths asked for."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from language_modeling_is_compression.audio.reading import AudioInfo
from language_modeling_is_compression.config.options import NATIVE_DEPTH, HybridConfig
from language_modeling_is_compression.data.evidence_cache import (
  RECORD,
  EvidenceSpan,
  Extractor,
  Segment,
  Sound,
  cached_evidence,
  cached_spans,
  segments_of,
)
from language_modeling_is_compression.errors import AudioFormatError

_logger = logging.getLogger(__name__)

_MAX_BITS = 24
_AUTO_CACHE_BYTES = 16 << 30  # Evidence that takes more than that is streamed unless it is asked for on disk.
_HELD_OUT_SAMPLES = 1 << 23  # Of each domain and depth, where evidence is streamed: 0.6 GB of evidence.


class Group(NamedTuple):
  """Domain at a depth, which is drawn from and measured by itself. depth: NATIVE_DEPTH or a number of bits."""

  domain: str
  depth: str

  @property
  def name(self) -> str:
    """The domain's, with the depth where it is not the files' own."""
    return self.domain if self.depth == NATIVE_DEPTH else f'{self.domain}_{self.depth}bit'


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainFile:
  """A file from one of its frames on, and what its figures are summed up with."""

  domain: str
  info: AudioInfo
  first_frame: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPart:
  """The first num_samples of a segment, which are trained on."""

  segment: Segment
  num_samples: int


SpansByGroup = Mapping[Group, Sequence[EvidenceSpan]]
PartsByGroup = Mapping[Group, Sequence[StreamPart]]


def check_samples(info: AudioInfo) -> None:
  """Raises AudioFormatError unless a hybrid model can be trained on a file's samples."""
  if info.encoding == 'float' or info.resolution_bits > _MAX_BITS:
    kind = 'floats' if info.encoding == 'float' else f'{info.resolution_bits} bits'
    raise AudioFormatError(
      f'{info.path}: expected integer samples of 8 to {_MAX_BITS} bits to train a hybrid model, got {kind}'
    )


def evidence_of(
  train: Sequence[DomainFile],
  valid: Sequence[DomainFile],
  config: HybridConfig,
  extractor: Extractor,
  *,
  valid_fraction: float,
  folder: Path,
  show_progress: bool,
) -> tuple[SpansByGroup, SpansByGroup]:
  """Evidence to train on and to hold out. Without files to hold out it is the last valid_fraction of each segment.

  Raises ConfigError and TrainingError as `cached_evidence`.
  """
  depths = config.depths
  asked = [
    (group, sound, side)
    for side, files in enumerate((train, valid))
    for file in files
    for group, sound in _reductions(file, depths)
  ]
  spans = cached_evidence(
    [sound for _, sound, _ in asked],
    extractor,
    folder=folder,
    segment_frames=config.segment_frames,
    show_progress=show_progress,
  )
  sides: tuple[dict[Group, list[EvidenceSpan]], ...] = ({}, {})
  for (group, _, side), each in zip(asked, spans, strict=True):
    sides[side].setdefault(group, []).extend(each)
  return (sides[0], sides[1]) if valid else _split_all(sides[0], valid_fraction)


def planned_evidence(
  train: Sequence[DomainFile], valid: Sequence[DomainFile], config: HybridConfig, *, valid_fraction: float
) -> tuple[SpansByGroup, SpansByGroup]:
  """Evidence of the size that `evidence_of` would make, of no file; nothing but headers is read."""

  def planned(files: Sequence[DomainFile]) -> SpansByGroup:
    return {
      group: [EvidenceSpan(path=each.sound.info.path, first=0, last=each.num_samples) for each in segments]
      for group, segments in _segments(files, config).items()
    }

  return (planned(train), planned(valid)) if valid else _split_all(planned(train), valid_fraction)


def is_streamed(train: Sequence[DomainFile], valid: Sequence[DomainFile], config: HybridConfig) -> bool:
  """Whether evidence is streamed: as `evidence` says; `auto`: if no cache_dir is named and it would be large.

  It depends on the settings and the files' headers alone, so a run that is resumed does as before.
  """
  if config.evidence != 'auto':
    return config.evidence == 'stream'
  num_bytes = RECORD.itemsize * sum(
    sound.info.num_frames * sound.info.num_channels
    for file in (*train, *valid)
    for _, sound in _reductions(file, config.depths)
  )
  return config.cache_dir is None and num_bytes > _AUTO_CACHE_BYTES


def streamed_evidence_of(
  train: Sequence[DomainFile],
  valid: Sequence[DomainFile],
  config: HybridConfig,
  extractor: Extractor,
  *,
  valid_fraction: float,
  folder: Path,
  show_progress: bool,
) -> tuple[PartsByGroup, SpansByGroup]:
  """Segments to train on, and evidence to hold out, which alone is extracted now and kept in the folder.

  Of each domain and depth that is about _HELD_OUT_SAMPLES, in segments evenly spread over all. What is trained on is
  the same as with `evidence_of`.
  Raises ConfigError and TrainingError as `cached_spans`.
  """
  if not valid:
    _warn_of_split(valid_fraction)
  parts = streamed_parts(train, config, valid_fraction=None if valid else valid_fraction)
  chosen = {group: _spread(segments) for group, segments in _segments(valid or train, config).items()}
  spans = cached_spans(
    [segment for segments in chosen.values() for segment in segments],
    extractor,
    folder=folder,
    show_progress=show_progress,
  )
  held_out = {group: [spans[each] for each in segments if each in spans] for group, segments in chosen.items()}
  if not valid:
    ends = {group: [_split(span, valid_fraction)[1] for span in each] for group, each in held_out.items()}
    held_out = {group: [span for span in each if span.num_samples] for group, each in ends.items()}
  return parts, held_out


def streamed_parts(train: Sequence[DomainFile], config: HybridConfig, *, valid_fraction: float | None) -> PartsByGroup:
  """Segments to train on. valid_fraction: what of each is held out at its end; None where whole files are."""

  def num_samples(segment: Segment) -> int:
    return segment.num_samples if valid_fraction is None else _middle(0, segment.num_samples, valid_fraction)

  return {
    group: [StreamPart(segment=segment, num_samples=num_samples(segment)) for segment in segments]
    for group, segments in _segments(train, config).items()
  }


def _segments(files: Sequence[DomainFile], config: HybridConfig) -> dict[Group, list[Segment]]:
  found: dict[Group, list[Segment]] = {}
  for file in files:
    for group, sound in _reductions(file, config.depths):
      found.setdefault(group, []).extend(segments_of([sound], config.segment_frames))
  return found


def _spread(segments: Sequence[Segment]) -> list[Segment]:
  """All segments, or as many, evenly spread, as have _HELD_OUT_SAMPLES in the mean."""
  total = sum(segment.num_samples for segment in segments)
  count = len(segments) if total <= _HELD_OUT_SAMPLES else max(1, len(segments) * _HELD_OUT_SAMPLES // total)
  return [segments[index * len(segments) // count] for index in range(count)]


def _reductions(file: DomainFile, depths: Sequence[str]) -> list[tuple[Group, Sound]]:
  """A file at each of the depths that it has, none of them twice."""
  native = file.info.resolution_bits
  found: dict[int, Group] = {}
  for depth in sorted(depths, key=lambda depth: depth != NATIVE_DEPTH):
    bits = native if depth == NATIVE_DEPTH else int(depth)
    if bits <= native:
      found.setdefault(bits, Group(file.domain, depth))
  return [(group, Sound(info=file.info, bits=bits, first_frame=file.first_frame)) for bits, group in found.items()]


def _split_all(spans: SpansByGroup, valid_fraction: float) -> tuple[SpansByGroup, SpansByGroup]:
  """Splits each span in time, into what is trained on and what is held out."""
  _warn_of_split(valid_fraction)
  parts = {group: [_split(span, valid_fraction) for span in each] for group, each in spans.items()}
  return (
    {group: [part[0] for part in each] for group, each in parts.items()},
    {group: [part[1] for part in each if part[1].num_samples] for group, each in parts.items()},
  )


def _warn_of_split(valid_fraction: float) -> None:
  _logger.warning('too few files to hold some out whole: the last %g of each segment is held out', valid_fraction)


def _middle(first: int, last: int, valid_fraction: float) -> int:
  """Where the part of samples first:last that is held out begins; the one before it, for training, is never empty."""
  return last - min(round((last - first) * valid_fraction), last - first - 1)


def _split(span: EvidenceSpan, valid_fraction: float) -> tuple[EvidenceSpan, EvidenceSpan]:
  """Splits in time."""
  middle = _middle(span.first, span.last, valid_fraction)
  return dataclasses.replace(span, last=middle), dataclasses.replace(span, first=middle)
