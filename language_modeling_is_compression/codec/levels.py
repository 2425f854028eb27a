"""Levels: what `--level` chooses."""

from collections.abc import Mapping
from dataclasses import dataclass

from language_modeling_is_compression.config import defaults


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
  """Settings of segments. frames: of a segment, at most. effort: how hard the model's experts work, 0 to 2."""

  frames: int
  effort: int


@dataclass(frozen=True, kw_only=True)
class Level:
  """network: a packaged model's name. segments: of any model that codes segments."""

  network: str
  segments: SegmentSettings


def _level(network: str, *, frames: int, effort: int) -> Level:
  return Level(network=network, segments=SegmentSettings(frames=frames, effort=effort))


# Long segments compress better, since the experts start afresh in each; short ones decode on more cores, lose less when
# one is damaged, and let a part be read sooner.
LEVELS: Mapping[int, Level] = {
  1: _level('tiny', frames=1 << 16, effort=0),
  2: _level('tiny', frames=1 << 17, effort=0),
  3: _level('tiny', frames=1 << 18, effort=0),
  4: _level('default', frames=1 << 17, effort=1),
  5: _level('default', frames=1 << 18, effort=1),
  6: _level('default', frames=defaults.SEGMENT_FRAMES, effort=1),
  7: _level('default', frames=1 << 21, effort=1),
  8: _level('default', frames=1 << 21, effort=2),
  9: _level('default', frames=1 << 22, effort=2),
}
DEFAULT_LEVEL = 6
