"""Division of a file's samples into spans: what an encoder chooses, and a decoder reads in the header."""

from dataclasses import dataclass
from typing import NamedTuple

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.format.container import CHUNK_OVERHEAD_BYTES
from language_modeling_is_compression.format.layout import ChannelLayout, Layout, SegmentLayout

_SPAN_FRAMES = 1 << 15
_MANY_CHANNELS = 16  # No file with up to so many has too many.


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
  """Settings of segments. frames: of a segment, at most.

  effort: how hard a hybrid model's experts work, by the number that headers have. preset: of linear prediction, 0 to 3.
  halve_from: frames from which a file of one segment becomes two where that takes next to no more bytes; None for none.
  """

  frames: int
  effort: int
  preset: int = 0
  halve_from: int | None = None


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


def segment_division(pcm: PcmFormat, num_frames: int, segment_frames: int, layout: SegmentLayout) -> Division | None:
  """Division of versions 2 and 3: segments of equal length, so that no short one at the end starts afresh for little.

  And one or an even number of them, so that two cores have the same to do. None for more channels than frames.
  """
  if pcm.num_channels > max(num_frames, _MANY_CHANNELS):
    return None
  limit = min(segment_frames, SegmentLayout.max_span_frames, SegmentLayout.max_span_bytes // pcm.frame_bytes)
  num_segments = -(-num_frames // limit)
  if num_segments > 1:
    num_segments += num_segments % 2
  return Division(layout, -(-num_frames // num_segments))
