"""Division of a file's samples into spans: what an encoder chooses, and a decoder reads in the header."""

from typing import NamedTuple

from language_modeling_is_compression.format.container import CHUNK_OVERHEAD_BYTES
from language_modeling_is_compression.format.layout import ChannelLayout, Layout, PcmFormat, SegmentLayout

_SPAN_FRAMES = 1 << 15
_MANY_CHANNELS = 16  # No file with up to so many has too many.


class Division(NamedTuple):
  """Division of a file's samples. span_frames: frames of a span, which `layout` divides into chunks."""

  layout: Layout
  span_frames: int


def channel_division(pcm: PcmFormat, num_frames: int) -> Division | None:
  """Division of version 1, also of files that no model codes; None if chunks' overhead would outweigh the samples."""
  span_frames = min(_SPAN_FRAMES, ChannelLayout.max_span_bytes // pcm.frame_bytes)
  overhead = pcm.num_channels * -(-num_frames // span_frames) * CHUNK_OVERHEAD_BYTES
  if overhead > _MANY_CHANNELS * CHUNK_OVERHEAD_BYTES + num_frames * pcm.frame_bytes // 1000:
    return None
  return Division(ChannelLayout(), span_frames)


def segment_division(pcm: PcmFormat, num_frames: int, segment_frames: int, effort: int) -> Division | None:
  """Division of version 2: segments of equal length, so that no short one at the end starts afresh for little.

  And one or an even number of them, so that two cores have the same to do. None for more channels than frames.
  """
  if pcm.num_channels > max(num_frames, _MANY_CHANNELS):
    return None
  limit = min(segment_frames, SegmentLayout.max_span_frames, SegmentLayout.max_span_bytes // pcm.frame_bytes)
  num_segments = -(-num_frames // limit)
  if num_segments > 1:
    num_segments += num_segments % 2
  return Division(SegmentLayout(effort=effort), -(-num_frames // num_segments))
