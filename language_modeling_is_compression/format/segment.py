"""Shape of a segment: all channels of a span of frames, coded together as one chunk."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SegmentShape:
  """What is known of a segment before it is decoded.

  effort: how hard the model's experts work, as the file's header says.
  """

  num_frames: int
  num_channels: int
  sample_bytes: int
  sample_rate_hz: int
  effort: int
