"""Levels: what `--level` chooses."""

from collections.abc import Mapping
from dataclasses import dataclass

from language_modeling_is_compression.config import defaults


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
  """Settings of segments. frames: of a segment, at most. effort: how hard the model's experts work, 0 to 2.

  halve_from: frames from which a file of one segment becomes two where that takes next to no more bytes; None for none.
  """

  frames: int
  effort: int
  halve_from: int | None = None


@dataclass(frozen=True, kw_only=True)
class Level:
  """network: a packaged model's name. segments: of any model that codes segments."""

  network: str
  segments: SegmentSettings


_HALVE_FROM = 1 << 18  # 5.9 s of CD sound: the experts have learnt what they can long before.


def _level(network: str, *, frames: int, effort: int, halve_from: int | None = _HALVE_FROM) -> Level:
  return Level(network=network, segments=SegmentSettings(frames=frames, effort=effort, halve_from=halve_from))


# Long segments compress better, since the experts start afresh in each; short ones decode on more cores, lose less when
# one is damaged, and let a part be read sooner. The highest levels are for size alone.
LEVELS: Mapping[int, Level] = {
  1: _level('tiny', frames=1 << 16, effort=0),
  2: _level('tiny', frames=1 << 17, effort=0),
  3: _level('tiny', frames=1 << 18, effort=0),
  4: _level('default', frames=1 << 17, effort=1),
  5: _level('default', frames=1 << 18, effort=1),
  6: _level('default', frames=defaults.SEGMENT_FRAMES, effort=1),
  7: _level('default', frames=1 << 21, effort=1, halve_from=None),
  8: _level('default', frames=1 << 21, effort=2, halve_from=None),
  9: _level('default', frames=1 << 22, effort=2, halve_from=None),
}
DEFAULT_LEVEL = 6
