"""Files of several domains as evidence to train on and to hold out, at the depths asked for."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from language_modeling_is_compression.audio.reading import AudioInfo
from language_modeling_is_compression.config.options import NATIVE_DEPTH, HybridConfig
from language_modeling_is_compression.data.evidence_cache import EvidenceSpan, Extractor, Sound, cached_evidence
from language_modeling_is_compression.errors import AudioFormatError

_logger = logging.getLogger(__name__)

_MAX_BITS = 24


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


SpansByGroup = Mapping[Group, Sequence[EvidenceSpan]]


def check_samples(info: AudioInfo) -> None:
  """Raises AudioFormatError unless a hybrid model can be trained on a file's samples."""
  if info.encoding != 'int' or info.resolution_bits > _MAX_BITS:
    kind = 'floats' if info.encoding != 'int' else f'{info.resolution_bits} bits'
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
  if valid:
    return sides[0], sides[1]
  _logger.warning('too few files to hold some out whole: the last %g of each segment is held out', valid_fraction)
  parts = {group: [_split(span, valid_fraction) for span in each] for group, each in sides[0].items()}
  return (
    {group: [part[0] for part in each] for group, each in parts.items()},
    {group: [part[1] for part in each if part[1].num_samples] for group, each in parts.items()},
  )


def planned_evidence(
  train: Sequence[DomainFile], valid: Sequence[DomainFile], config: HybridConfig, *, valid_fraction: float
) -> tuple[SpansByGroup, SpansByGroup]:
  """Evidence of the size that `evidence_of` would make, of no file; nothing but headers is read."""
  sides: tuple[dict[Group, list[EvidenceSpan]], ...] = ({}, {})
  for side, files in zip(sides, (train, valid), strict=True):
    for file in files:
      frames, first_frame = file.info.num_frames, file.first_frame
      segments = [
        min(config.segment_frames, frames - first) for first in range(first_frame, frames, config.segment_frames)
      ]
      spans = [EvidenceSpan(path=file.info.path, first=0, last=each * file.info.num_channels) for each in segments]
      for group, _ in _reductions(file, config.depths):
        side.setdefault(group, []).extend(spans)
  if valid:
    return sides[0], sides[1]
  parts = {group: [_split(span, valid_fraction) for span in each] for group, each in sides[0].items()}
  return (
    {group: [part[0] for part in each] for group, each in parts.items()},
    {group: [part[1] for part in each if part[1].num_samples] for group, each in parts.items()},
  )


def _reductions(file: DomainFile, depths: Sequence[str]) -> list[tuple[Group, Sound]]:
  """A file at each of the depths that it has, none of them twice."""
  native = file.info.resolution_bits
  found: dict[int, Group] = {}
  for depth in sorted(depths, key=lambda depth: depth != NATIVE_DEPTH):
    bits = native if depth == NATIVE_DEPTH else int(depth)
    if bits <= native:
      found.setdefault(bits, Group(file.domain, depth))
  return [(group, Sound(info=file.info, bits=bits, first_frame=file.first_frame)) for bits, group in found.items()]


def _split(span: EvidenceSpan, valid_fraction: float) -> tuple[EvidenceSpan, EvidenceSpan]:
  """Splits in time; the first part, for training, is never empty."""
  middle = span.last - min(round(span.num_samples * valid_fraction), span.num_samples - 1)
  return dataclasses.replace(span, last=middle), dataclasses.replace(span, first=middle)
