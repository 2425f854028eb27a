"""Value maps: which values the samples of a segment take, so that no mass is given to those that never occur.

Samples that were 8 bits once, or were made louder by a factor, use a part of the values only. A common step is divided
out: sample = step * index + offset. Where indices are still sparse, a map says which of them occur in a zone, and the
bins of those that do reach to the middle between them, over those that do not. Prediction stays in indices, in which
sound is as smooth as it was.

Shapes: N frames, C channels, V indices of a channel from its least to its largest, Z of them in its zone.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.prediction.start import Start, find_start

MAX_ZONE = 1 << 17  # Indices that a map may speak about.
CONTEXT_BITS = 16  # Indices before one, as context: sound made louder has a pattern.
COUNT_LIMIT = 255
_FAR = 1e30  # Where the bins of the least and of the largest index end.
_ZONE_SHARES = (1, 2, 4, 8, 16, 32)
_MAX_GAIN_BITS = 4.0  # That a wide cell is believed to save: far from the centre masses do not grow with it.
_MIN_GAIN_BITS = 256


@dataclass(frozen=True, kw_only=True)
class ChannelValues:
  """sample = step * index + offset, least <= index <= largest; used: bool [Z], from index zone_start on.

  start: how prediction of the indices begins, in codings 5 and 6.
  """

  step: int
  offset: int
  least: int
  largest: int
  zone_start: int
  used: np.ndarray
  start: Start | None = None

  def begun(self, start: Start) -> 'ChannelValues':
    """The same values with a start."""
    return replace(self, start=start)

  def begun_for(self, indices: np.ndarray) -> 'ChannelValues':
    """The same values with the start that suits indices, int [N], best; a channel of one value has none."""
    return self.begun(find_start(indices)) if self.least < self.largest else self


class Edges(NamedTuple):
  """What compiled code asks for the edges of bins. limits: float64 [C, 2]. zones: int64 [C, 2], start and length.

  below: float32 [C, Z + 1], lower edges of the indices of a zone, from its start: halves of whole numbers that are far
  below 2**23, so that nothing is rounded.
  """

  limits: np.ndarray
  zones: np.ndarray
  below: np.ndarray


def channel_values(samples: np.ndarray) -> ChannelValues:
  """The values of one channel, int32 [N]; a map only where it saves more than it takes."""
  low = int(samples.min())
  differences = samples.astype(np.int64) - low
  step = int(np.gcd.reduce(differences)) or 1
  indices = differences // step
  offset = low % step
  least, largest = low // step, low // step + int(indices.max())
  zone_start, used, _ = _best_zone(indices, largest - least + 1)
  return ChannelValues(step=step, offset=offset, least=least, largest=largest, zone_start=least + zone_start, used=used)


def saved_bits(samples: np.ndarray) -> float:
  """Bits that the map of one channel, int32 [N], saves, about."""
  indices = samples.astype(np.int64) - int(samples.min())
  indices //= int(np.gcd.reduce(indices)) or 1
  return _best_zone(indices, int(indices.max()) + 1)[2]


def all_values(sample_bytes: int) -> ChannelValues:
  """Every value of samples of so many bytes."""
  half = 1 << (8 * sample_bytes - 1)
  return ChannelValues(step=1, offset=0, least=-half, largest=half - 1, zone_start=0, used=np.zeros(0, bool))


def edges(channels: list[ChannelValues]) -> Edges:
  """Edges of all channels' bins."""
  longest = max(len(channel.used) for channel in channels)
  below = np.zeros((len(channels), longest + 1), np.float32)
  for row, channel in zip(below, channels, strict=True):
    if len(channel.used):
      row[: len(channel.used) + 1] = _edges_in_zone(channel.used)
  return Edges(
    limits=np.array([(channel.least, channel.largest) for channel in channels], np.float64),
    zones=np.array([(channel.zone_start, len(channel.used)) for channel in channels], np.int64),
    below=below,
  )


def to_indices(samples: np.ndarray, channels: list[ChannelValues]) -> np.ndarray:
  """samples: int32 [N, C]. Returns int64 [N, C]."""
  offsets = np.array([channel.offset for channel in channels])
  return (samples.astype(np.int64) - offsets) // np.array([channel.step for channel in channels])


def to_samples(indices: np.ndarray, channels: list[ChannelValues]) -> np.ndarray:
  """Inverse of `to_indices`: int64 [N, C] from int64 [N, C]."""
  offsets = np.array([channel.offset for channel in channels])
  return indices * np.array([channel.step for channel in channels]) + offsets


def bytes_in_use(sample_bytes: int, channels: list[ChannelValues]) -> int:
  """Bytes of a sample that carry information: 2 for 16-bit sound in 24-bit samples; at least 1."""
  step = min((channel.step for channel in channels if channel.largest > channel.least), default=1)
  return max(1, sample_bytes - (step.bit_length() - 1) // 8)


@compiled
def lower_edge(bins, channel, index):
  """Lower edge of the bin of an index, which is the upper edge of the one before it."""
  if index <= bins.limits[channel, 0]:
    return -_FAR
  if index > bins.limits[channel, 1]:
    return _FAR
  place = index - bins.zones[channel, 0]
  if 0 <= place <= bins.zones[channel, 1] and bins.zones[channel, 1] > 0:
    return bins.zones[channel, 0] + np.float64(bins.below[channel, place])
  return index - 0.5


def new_use_counts() -> np.ndarray:
  """Counts that maps are coded with: int32 [1 << CONTEXT_BITS, 2], of unused and used indices by their context."""
  return np.zeros((1 << CONTEXT_BITS, 2), np.int32)


@compiled
def used_chance(context, counts):
  """Probability that an index is used, of 1 << 16."""
  unused, used = np.int64(counts[context, 0]), np.int64(counts[context, 1])
  return ((2 * used + 1) << 15) // (used + unused + 1)


@compiled
def count_use(context, used, counts):
  """Counts whether an index is used. Returns the context of the next one."""
  counts[context, used] += 1
  if counts[context, used] > COUNT_LIMIT:
    counts[context, 0] >>= 1
    counts[context, 1] >>= 1
  return ((context << 1) | used) & ((1 << CONTEXT_BITS) - 1)


@compiled
def log2(value):
  """Base-2 logarithm of a positive number, approximately: exact at powers of two, linear between them."""
  fraction, exponent = math.frexp(value)
  return exponent - 2.0 + 2.0 * fraction


def _best_zone(indices: np.ndarray, num_indices: int) -> tuple[int, np.ndarray, float]:
  """Zone whose map saves most: its start, relative to the smallest index, which indices in it are used, and bits."""
  nothing = (0, np.zeros(0, bool), 0.0)
  if num_indices == 1 or num_indices > MAX_ZONE:
    return nothing
  counts = np.bincount(indices, minlength=num_indices)
  centre = int(np.median(indices))
  best = nothing
  for share in _ZONE_SHARES:
    reach = math.ceil(num_indices / share)
    start, stop = max(0, centre - reach), min(num_indices, centre + reach + 1)
    used = counts[start:stop] > 0
    # A zone begins and ends with what is used, so that its edges meet those outside.
    inside = np.flatnonzero(used)
    if not len(inside):  # The median of two halves that are far apart has nothing around it.
      continue
    start, used = start + int(inside[0]), used[inside[0] : inside[-1] + 1]
    saved = _saved_bits(inside, counts[start : start + len(used)])
    most = saved - max(best[2], _MIN_GAIN_BITS)
    bits = _map_bits(used.astype(np.uint8), new_use_counts(), most) if most > 0 else most
    if bits < most:
      best = (start, used, saved - bits)
  return best


def _edges_in_zone(used: np.ndarray) -> np.ndarray:
  """Lower edges of a zone's indices and the last one's upper edge, from its start: float64 [Z + 1].

  used: bool [Z], its first and last true. The edge before an unused index and after it are the same.
  """
  places = np.arange(len(used))
  last = np.maximum.accumulate(np.where(used, places, -1))  # The last used one up to a place,
  following = np.minimum.accumulate(np.where(used, places, len(used))[::-1])[::-1]  # and the next one from it on.
  middles = (last[:-1] + following[1:]) / 2
  return np.concatenate([[-0.5], middles, [len(used) - 0.5]])


@compiled
def _saved_bits(used, counts):
  """Estimate of the bits that wide bins save, summed in one order, so that all encoders choose the same zone.

  used: int64, the indices of a zone that occur, from any place on. counts: int64 [Z], how often each of a zone does.
  """
  saved, last = 0.0, len(used) - 1
  for k in range(len(used)):
    # A bin reaches to the middle between neighbours, and half an index beyond the ends.
    below = used[k] - used[k - 1] if k > 0 else 1
    above = used[k + 1] - used[k] if k < last else 1
    saved += counts[used[k] - used[0]] * min(log2(0.5 * (below + above)), _MAX_GAIN_BITS)
  return saved


@compiled
def _map_bits(used, counts, most):
  """Estimate of the bits that a map takes, or `most` if it is not below that."""
  context, bits = 0, 0.0
  for place in range(len(used)):
    chance = used_chance(context, counts) / 65536.0
    bits -= log2(chance if used[place] else 1.0 - chance)
    if bits >= most:
      return most
    context = count_use(context, used[place], counts)
  return bits
