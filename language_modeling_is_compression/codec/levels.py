"""What `--level` chooses: how long segments are, which packaged network codes them, how hard its experts work."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Level:
  """segment_frames: of a segment, at most. network: a packaged model's name. effort: of its experts, 0 to 2."""

  segment_frames: int
  network: str
  effort: int


# Long segments compress better, since experts warm up anew in each one; short ones decode on more cores, lose less when
# one is damaged, and let a part be read sooner.
LEVELS: Mapping[int, Level] = {
  1: Level(segment_frames=1 << 16, network='tiny', effort=0),
  2: Level(segment_frames=1 << 17, network='tiny', effort=0),
  3: Level(segment_frames=1 << 18, network='tiny', effort=0),
  4: Level(segment_frames=1 << 17, network='default', effort=1),
  5: Level(segment_frames=1 << 18, network='default', effort=1),
  6: Level(segment_frames=3 << 18, network='default', effort=1),
  7: Level(segment_frames=1 << 21, network='default', effort=1),
  8: Level(segment_frames=1 << 21, network='default', effort=2),
  9: Level(segment_frames=1 << 22, network='default', effort=2),
}
DEFAULT_LEVEL = 6
