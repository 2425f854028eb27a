"""Levels: what `--level` chooses."""

from collections.abc import Mapping
from dataclasses import dataclass

from language_modeling_is_compression.config import defaults
from language_modeling_is_compression.format.division import SegmentSettings


@dataclass(frozen=True, kw_only=True)
class Level:
  """model: a packaged model's name, or that of linear prediction. segments: of any model that codes segments."""

  model: str
  segments: SegmentSettings


_HALVE_FROM = 1 << 18  # 5.9 s of CD sound: what adapts has learnt what it can long before.


def _level(model: str, *, frames: int, effort: int, preset: int, halve_from: int | None = _HALVE_FROM) -> Level:
  segments = SegmentSettings(frames=frames, effort=effort, preset=preset, halve_from=halve_from)
  return Level(model=model, segments=segments)


# Long segments compress better, since what adapts starts afresh in each; short ones decode on more cores, lose less
# when one is damaged, and let a part be read sooner. The highest levels are for size alone. Efforts are numbers of
# linear/presets.py.
LEVELS: Mapping[int, Level] = {
  1: _level('linear', frames=1 << 17, effort=0, preset=0),
  2: _level('linear', frames=1 << 18, effort=0, preset=1),
  3: _level('linear', frames=1 << 18, effort=0, preset=2),
  4: _level('linear', frames=1 << 19, effort=3, preset=2),
  5: _level('linear', frames=1 << 19, effort=3, preset=3),
  6: _level('default', frames=defaults.SEGMENT_FRAMES, effort=3, preset=3),
  7: _level('default', frames=1 << 21, effort=3, preset=3, halve_from=None),
  8: _level('default', frames=1 << 21, effort=4, preset=3, halve_from=None),
  9: _level('default', frames=1 << 22, effort=4, preset=3, halve_from=None),
}
DEFAULT_LEVEL = 6
