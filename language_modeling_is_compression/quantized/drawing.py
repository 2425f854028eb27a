"""Drawing of samples by the state that codes them: a byte that is drawn is one decoded from random numbers.

Shapes: N frames, C channels.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from language_modeling_is_compression.entropy import sampling
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.entropy.sampling import Draws, Sampler
from language_modeling_is_compression.format.payloads import SegmentShape
from language_modeling_is_compression.format.segment_coder import split_channels
from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.long_term import NUM_LAGS, num_blocks
from language_modeling_is_compression.prediction.value_map import ChannelValues

# Random numbers of draws: a sample has so many, one for each byte that it can have at most, and those of a group begin
# at its number, shifted so far.
DRAWS_PER_SAMPLE = 4
_GROUP_SHIFT = 48
_MASS_BITS = 38  # Bits of a byte's mass, so that its product with PRECISION_BITS fits 63 bits.
_FREE = (1 << PRECISION_BITS) - 256  # Divided among bytes by mass, beside 1 for each.


class Drawing(NamedTuple):
  """Arguments of a draw, and scratch: cdfs: uint32 [1, 257]. masses: int64 [257]. symbols: int64 [1]."""

  draws: Draws
  cdfs: np.ndarray
  masses: np.ndarray
  symbols: np.ndarray


NO_DRAWING = Drawing(sampling.NO_DRAWS, np.zeros((0, 0), np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64))


def new_drawing(draws: Draws) -> Drawing:
  """draws: of one lane, from the first sample on."""
  return Drawing(draws, np.zeros((1, 257), np.uint32), np.zeros(257, np.int64), np.zeros(1, np.int64))


class DrawableGroup(Protocol):
  """State of one group of channels, which may follow what is known and then draw. index_dtype: of its indices."""

  index_dtype: Any

  def copy(self) -> 'DrawableGroup':
    """A group that goes on from the same state."""

  def follow(self, indices: np.ndarray, begin: int, end: int) -> None:
    """Takes in frames begin to end, which are known, of indices [N, C]."""

  def draw(self, indices: np.ndarray, begin: int, end: int, draws: Draws) -> None:
    """Draws frames begin to end of indices [N, C], known up to there; draws: of one lane, from this frame on."""


NewGroup = Callable[[list[ChannelValues], np.ndarray, SegmentShape], DrawableGroup]


class DrawnGroup:
  """Channels of which the first frames are known, the seed, and the following ones are drawn; for one thread at a time.

  The seed is taken in as if it were coded. From there on nothing adapts: filters that learnt from what they predict
  would soon predict something else altogether. Nothing is drawn beyond the least and the largest value of the seed, so
  that nothing gets louder than it is, nor what a map says is not in use; without a seed these are all of the depth.

  new_group: of values, lags and a shape. seed: int32 [N, C]. shape: of a segment with room for the seed and all that is
  to be drawn. number: of the group among those of its frames, since each has random numbers of its own.
  """

  def __init__(self, new_group: NewGroup, seed: np.ndarray, shape: SegmentShape, number: int):
    self._channels = [
      value_map.channel_values(channel) if len(seed) else value_map.all_values(shape.sample_bytes) for channel in seed.T
    ]
    lags = np.zeros((num_blocks(shape.num_frames), NUM_LAGS), np.int64)
    self._group = new_group(self._channels, lags, shape)
    self._indices = np.zeros((shape.num_frames, shape.num_channels), self._group.index_dtype)
    self._indices[: len(seed)] = value_map.to_indices(seed, self._channels)
    self._num_known = len(seed)
    self._position = 0
    self._number = number

  def copy(self) -> 'DrawnGroup':
    """A group that goes on from the same state."""
    copied = copy.copy(self)
    copied._group, copied._indices = self._group.copy(), self._indices.copy()
    return copied

  def follow(self, num_frames: int) -> int:
    """Takes in at most so many frames of the seed. Returns how many."""
    begin, end = self._position, min(self._position + num_frames, self._num_known)
    self._group.follow(self._indices, begin, end)
    self._position = end
    return end - begin

  def draw(self, num_frames: int, sampler: Sampler, sequence: int) -> np.ndarray:
    """Draws the next frames, int32 [N, C], when all of the seed is taken in.

    sequence: number of the sampler's sequence that they belong to.
    """
    begin, end = self._position, self._position + num_frames
    first = (self._number << _GROUP_SHIFT) + (begin - self._num_known) * len(self._channels) * DRAWS_PER_SAMPLE
    self._group.draw(self._indices, begin, end, sampler.draws(np.array([sequence]), first, 256))
    self._position = end
    return value_map.to_samples(self._indices[begin:end], self._channels).astype(np.int32)


def drawn_groups(new_group: NewGroup, seed: np.ndarray, shape: SegmentShape) -> list[DrawnGroup]:
  """Groups of channels to be drawn. seed, int32 [N, C], and shape: of all channels, as `DrawnGroup` has them."""
  return [
    DrawnGroup(new_group, each, replace(shape, num_channels=each.shape[1]), number)
    for number, each in enumerate(split_channels(seed))
  ]


@compiled
def byte_slot(below, above, mass, byte):
  """Start of a byte's interval, of 1 << PRECISION_BITS.

  mass: of all below it, between below and above, those of all.
  """
  whole = max(above - below, np.int64(1))
  cut = np.int64(0)
  while whole >> cut >= np.int64(1) << _MASS_BITS:
    cut += 1
  return (((mass - below) >> cut) * _FREE) // (whole >> cut) + byte


@compiled
def draw_byte(drawing, number):
  """Draws a byte by drawing.masses, what is below each of 256 and below all; number: among the sampler's."""
  cdf, masses = drawing.cdfs[0], drawing.masses
  for byte in range(256):
    cdf[byte] = byte_slot(masses[0], masses[256], masses[byte], byte)
  cdf[256] = np.int64(1 << PRECISION_BITS)
  sampling.draw_symbols(drawing.draws, number, drawing.cdfs, drawing.symbols)
  return drawing.symbols[0]
