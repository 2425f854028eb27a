"""Groups of channels to codes and back by prediction: what coders share whose distributions differ.

A segment's channels are coded together, a frame at a time, in groups of at most GROUP_CHANNELS: each group is a code of
its own. docs/FORMAT.md has every byte.

Shapes: N frames, C channels of a group.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.format import compact_side_information, side_information
from language_modeling_is_compression.format.layout import SegmentLayout
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.format.segment_coder import SegmentCoder, join_bodies, split_channels
from language_modeling_is_compression.format.side_information import map_intervals
from language_modeling_is_compression.linear.buckets import MAX_SYMBOLS
from language_modeling_is_compression.linear.presets import Preset
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.lag_search import find_lags
from language_modeling_is_compression.prediction.long_term import NUM_LAGS, num_blocks
from language_modeling_is_compression.prediction.value_map import ChannelValues
from language_modeling_is_compression.system.cancellation import Cancellation

_BLOCK_FRAMES = 4096  # Coded between two looks at the cancellation.
NO_INTERVALS = np.zeros((0, 2), np.uint32)
NO_COUNTS = np.zeros((0, 0), np.uint8)
NO_CODE = (np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64))


class Group(Protocol):
  """State of one group of channels while it is coded."""

  def encode(self, indices: np.ndarray, begin: int, end: int, intervals: np.ndarray, counts: np.ndarray) -> int:
    """Codes frames begin to end of indices, int32 [N, C].

    Writes intervals, uint32, from the first on, and their number for each sample to counts, uint8 [N, C]. Returns how
    many they are.
    """

  def decode(self, indices: np.ndarray, begin: int, end: int, code: tuple[np.ndarray, ...]) -> None:
    """Inverse of `encode`; code: of `rans.Decoder`."""


NewGroup = Callable[[list[ChannelValues], np.ndarray, SegmentShape], Group]


class GroupCode(NamedTuple):
  """Code of a group. blocks: intervals of maps, then of samples. counts: uint8 [N, C], of each sample."""

  body: bytes
  blocks: list[np.ndarray]
  counts: np.ndarray
  lags: np.ndarray  # See prediction/long_term.py.

  def sample_bits(self) -> np.ndarray:
    """Code lengths of samples, float64 [N, C]."""
    num_channels = self.counts.shape[1]
    samples = np.concatenate(self.blocks[num_channels:])
    bits = np.concatenate([[0.0], np.cumsum(rans.code_lengths(samples))])
    ends = np.cumsum(self.counts, dtype=np.int64).reshape(self.counts.shape)
    return bits[ends] - bits[ends - self.counts]


class GroupCoder(SegmentCoder):
  """What such coders have but for their groups. presets: of a segment, by its effort.

  layout: of the files that it reads and writes, which says whether prediction begins with what side information says.
  """

  presets: ClassVar[Sequence[Preset]]

  def __init__(self, layout: type[SegmentLayout]):
    self.layout = layout
    self.has_starts = layout.has_starts
    self.says_last_length = not self.has_starts

  @abstractmethod
  def new_group(self, channels: list[ChannelValues], lags: np.ndarray, shape: SegmentShape) -> Group:
    """State before the first frame. lags: int64 [B, NUM_LAGS], see prediction/long_term.py."""

  def encode_segment(self, segment: Segment, cancellation: Cancellation) -> Encoded:
    shape = segment.shape
    groups = split_channels(segment.samples)
    return self.join_codes([self.encode_group(samples, shape, self.new_group, cancellation) for samples in groups])

  def join_codes(self, groups: Sequence[GroupCode]) -> Encoded:
    """The code of a segment, of those of its groups."""
    return Encoded(
      join_bodies([group.body for group in groups], says_last_length=self.says_last_length),
      lambda: np.concatenate([group.sample_bits() for group in groups], axis=1),
    )

  def encode_group(
    self, samples: np.ndarray, shape: SegmentShape, new_group: NewGroup, cancellation: Cancellation
  ) -> GroupCode:
    """Codes the samples of a group, int32 [N, C]. Raises CancelledError."""
    channels = [value_map.channel_values(channel) for channel in samples.T]
    indices = value_map.to_indices(samples, channels).astype(np.int32)
    if self.has_starts:
      channels = [channel.begun_for(column) for channel, column in zip(channels, indices.T, strict=True)]
    if self.presets[shape.effort].has_lags:
      lags = find_lags(indices, cancellation)
    else:
      lags = np.zeros((num_blocks(len(samples)), NUM_LAGS), np.int64)
    blocks, counts = _encode(new_group(channels, lags, shape), indices, channels, cancellation)
    written_by = compact_side_information if self.has_starts else side_information
    return GroupCode(written_by.write_group(channels, lags, blocks), blocks, counts, lags)

  def decode_group(
    self, body: bytes, num_channels: int, shape: SegmentShape, cancellation: Cancellation
  ) -> np.ndarray | None:
    read_by = compact_side_information if self.has_starts else side_information
    read = read_by.read_group(body, num_channels, shape)
    if read is None:
      return None
    channels, lags, decoder = read
    if lags.any() and not self.presets[shape.effort].has_lags:
      return None
    group = self.new_group(channels, lags, shape)
    indices = np.zeros((shape.num_frames, num_channels), np.int32)
    for begin in range(0, shape.num_frames, _BLOCK_FRAMES):
      cancellation.check()
      if decoder.exhausted():  # A code that ends too early is given up.
        return None
      group.decode(indices, begin, min(begin + _BLOCK_FRAMES, shape.num_frames), decoder.arrays)
    return value_map.to_samples(indices, channels).astype(np.int32) if decoder.sound()[0] else None


def _encode(
  group: Group, indices: np.ndarray, channels: list[ChannelValues], cancellation: Cancellation
) -> tuple[list[np.ndarray], np.ndarray]:
  """Blocks of intervals, of maps and then of samples, and how many each sample has, uint8 [N, C]."""
  num_frames = len(indices)
  blocks = [map_intervals(channel.used) for channel in channels]
  counts = np.zeros(indices.shape, np.uint8)
  scratch = np.zeros((min(_BLOCK_FRAMES, num_frames) * len(channels) * MAX_SYMBOLS, 2), np.uint32)
  for begin in range(0, num_frames, _BLOCK_FRAMES):
    cancellation.check()
    count = group.encode(indices, begin, min(begin + _BLOCK_FRAMES, num_frames), scratch, counts)
    blocks.append(scratch[:count].copy())
  return blocks, counts
