"""Distributions of bytes that no model knows, from counts of those that came before: low bytes of wide samples.

Each byte of a sample has counts of its own. A byte's count begins at 1 and grows by 2 with every one that comes
(Krichevsky and Trofimov, 1981); when counts add up to more than a limit, all are halved, rounding up.

Shapes: L lanes, N samples, K bytes per sample.
"""

import numpy as np

from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.kernels.compilation import compiled

_STEP = 2
_LIMIT = 1 << 16


class ByteCounts:
  """Counts of several lanes in step. counts: int64 [L, K, 256]."""

  def __init__(self, num_lanes: int, num_places: int):
    self.counts = np.ones((num_lanes, num_places, 256), np.int64)
    self._cdfs = np.empty((num_lanes, 257), np.uint32)

  def cdfs(self, place: int, num_lanes: int) -> np.ndarray:
    """uint32 [L, 257] for the first lanes, every byte at least 1; valid until the next call."""
    byte_cdfs(self.counts[:num_lanes, place], self._cdfs)
    return self._cdfs[:num_lanes]

  def push(self, place: int, values: np.ndarray) -> None:
    """values: int64 [L], the bytes that came in the first lanes."""
    count_bytes(self.counts[:, place], values)


def intervals(values: np.ndarray) -> np.ndarray:
  """The intervals of bytes [N, K] in a lane from its beginning: uint32 [N, K, 2], start and size."""
  found = np.empty((*values.shape, 2), np.uint32)
  if found.size:  # Else nothing need be compiled either.
    _intervals(
      values.astype(np.int64), np.ones((values.shape[1], 1, 256), np.int64), np.empty((1, 257), np.uint32), found
    )
  return found


@compiled
def _intervals(values, counts, cdfs, found):
  for place in range(values.shape[1]):
    for index in range(values.shape[0]):
      byte_cdfs(counts[place], cdfs)
      value = values[index : index + 1, place]
      found[index, place, 0] = cdfs[0, value[0]]
      found[index, place, 1] = cdfs[0, value[0] + 1] - cdfs[0, value[0]]
      count_bytes(counts[place], value)


@compiled
def byte_cdfs(counts, cdfs):
  """A byte has 1 + floor(count * (2**24 - 256) / total) of 2**24, byte 255 also what is over."""
  for lane in range(counts.shape[0]):
    total = np.int64(0)
    for value in range(256):
      total += counts[lane, value]
    below = np.int64(0)
    for value in range(256):
      cdfs[lane, value] = below
      below += 1 + counts[lane, value] * ((1 << PRECISION_BITS) - 256) // total
    cdfs[lane, 256] = 1 << PRECISION_BITS


@compiled
def count_bytes(counts, values):
  """`ByteCounts.push` for one place: counts [L, 256], values [L]."""
  for lane in range(len(values)):
    counts[lane, values[lane]] += _STEP
    total = np.int64(0)
    for value in range(256):
      total += counts[lane, value]
    if total > _LIMIT:
      for value in range(256):
        counts[lane, value] = (counts[lane, value] + 1) >> 1
