"""Coding of a sample's index by a mixture: which bucket of indices it is in, and which of those that are used there.

Buckets are about as wide as a sixteenth to a thirty-second of the channel's running error, so that masses are read at
two edges only, and what is within a bucket is as good as equally likely. A window of buckets around the first centre
has intervals; what is outside of it escapes, and is written as it is.

Where a mixture has end buckets, a channel's least and largest index are buckets of their own, since sound that was too
loud has many, and the window stands around the nearer one of both centres: in all versions but 3.

A window is (shift, origin, top, first, last, whole, free): buckets of 1 << shift indices, first to last; bucket k
begins at index origin + (k << shift), but `top`, which is the largest index alone; `whole` of the intervals are theirs,
of which `free` is shared by mass, beside 1 for each.

Shapes: C channels, Z indices of a zone (prediction/value_map.py).
"""

import math
from collections.abc import Sequence

import numpy as np

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.linear.distribution import MASS_BITS, MIN_ERROR, RATES, mass_below
from language_modeling_is_compression.prediction.value_map import ChannelValues, log2, lower_edge

MAX_SYMBOLS = 5  # Of a sample: a bucket and a place in it; or an escape and the bytes of an index.

_ERROR_LANE = 1  # Of running errors, the one that buckets' widths follow,
_SECOND_LANE = _ERROR_LANE + len(RATES)  # and where there are end buckets that of the second centre, if it is smaller.
_GRAIN_LOG = 4
_MAX_SHIFT = 20
_NO_BUCKET = 1 << 40  # Beyond all; the `top` of a window without a bucket of the largest index alone.
_WINDOW_LOG = 13  # Buckets on either side of the centre's.
_WHOLE = 1 << PRECISION_BITS
_ESCAPE = 1 << 12  # Of the intervals, where there is something outside of the window.
_ESCAPED_BYTES = 4
_MASS_CUT = 8  # Bits of a mass that are cut off, so that its product with PRECISION_BITS fits.
_NATURAL = 0.6931  # Natural logarithm of 2.
_SPREAD = 0.7  # Scale of a single distribution, as a multiple of the running error, from which a search begins.


def ranks_of(channels: Sequence[ChannelValues]) -> np.ndarray:
  """Numbers of used indices in a zone before each of its indices, and in all of it: int32 [C, Z + 1]."""
  ranks = np.zeros((len(channels), max(len(channel.used) for channel in channels) + 1), np.int32)
  for row, channel in zip(ranks, channels, strict=True):
    np.cumsum(channel.used, out=row[1 : len(channel.used) + 1])
  return ranks


@inlined
def window_of(mixture, bins, channel, centre):
  """The window of a channel's next sample."""
  least, largest = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1])
  error = mixture.running[channel, _ERROR_LANE]
  # A second centre may be far nearer for a while; files of version 3 do not ask.
  if mixture.has_end_buckets and mixture.running[channel, _SECOND_LANE] < error:
    error, centre = mixture.running[channel, _SECOND_LANE], mixture.centres[_SECOND_LANE]
  exponent = math.frexp(error)[1]
  shift = min(max(np.int64(exponent - 1 - _GRAIN_LOG), np.int64(0)), np.int64(_MAX_SHIFT))
  origin, top = np.int64(0), np.int64(_NO_BUCKET)
  lowest, highest = least >> shift, largest >> shift
  if mixture.has_end_buckets:
    origin = least + 1 - (np.int64(1) << shift)
    lowest, highest = np.int64(0), ((largest - 1 - origin) >> shift) + 1
    top = highest
  middle = (np.int64(math.floor(centre)) - origin) >> shift
  first, last = max(lowest, middle - (1 << _WINDOW_LOG)), min(highest, middle + (1 << _WINDOW_LOG))
  escapes = first > lowest or last < highest
  whole = np.int64(_WHOLE - _ESCAPE) if escapes else np.int64(_WHOLE)
  return shift, origin, top, first, last, whole, whole - (last - first + 1)


@inlined
def _begin(bins, channel, window, bucket):
  """The first index of a bucket within the channel's limits; of one behind the last, the index after the largest."""
  shift, origin, top = window[0], window[1], window[2]
  least, largest = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1])
  end = largest if bucket <= top and top < _NO_BUCKET else largest + 1
  return min(max(origin + (bucket << shift), least), end)


@inlined
def _bucket_of(bins, channel, window, index):
  shift, origin, top = window[0], window[1], window[2]
  bucket = (index - origin) >> shift
  if top < _NO_BUCKET and index == np.int64(bins.limits[channel, 1]):
    bucket = top
  return bucket


@inlined
def encode_index(mixture, bins, ranks, channel, window, index, intervals, at):
  """Writes the intervals of an index from `at` on, and what shapes have at its bucket's edges to rows 0 and 1.

  Returns the number of intervals.
  """
  _, _, _, first, last, whole, _ = window
  own_bucket = _bucket_of(bins, channel, window, index)
  bucket = min(max(own_bucket, first), last)
  start = _slot(mixture, bins, channel, window, bucket, 0)
  stop = _slot(mixture, bins, channel, window, bucket + 1, 1)
  start = start if bucket > first else np.int64(0)
  stop = stop if bucket < last else whole
  count = 1
  if bucket != own_bucket:
    intervals[at, 0], intervals[at, 1] = whole, _ESCAPE
    past = index - np.int64(bins.limits[channel, 0])
    for k in range(_ESCAPED_BYTES):
      byte = (past >> (8 * (_ESCAPED_BYTES - 1 - k))) & 255
      intervals[at + 1 + k, 0], intervals[at + 1 + k, 1] = byte << (PRECISION_BITS - 8), 1 << (PRECISION_BITS - 8)
    count += _ESCAPED_BYTES
  else:
    intervals[at, 0], intervals[at, 1] = start, stop - start
    _, _, before, used = _inside(bins, ranks, channel, window, bucket)
    if used > 1:
      place = _rank(bins, ranks, channel, index) - before
      start = (place << PRECISION_BITS) // used
      intervals[at + 1, 0], intervals[at + 1, 1] = start, ((place + 1) << PRECISION_BITS) // used - start
      count += 1
  return count


@inlined
def decode_index(mixture, bins, ranks, channel, centre, window, code):
  """Decodes an index. Returns it, and the rows of what shapes have at the lower and upper edge of its bucket.

  It is within the channel's limits whatever the code is.
  """
  shift, origin, _, first, last, whole, _ = window
  states, words, following, ends = code
  least, largest = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1])
  slot = rans.slot(states, 0)
  low_row, high_row = -1, -1
  if slot >= whole:
    rans.pop(states, words, following, ends, 0, whole, np.int64(_ESCAPE))
    index = np.int64(0)
    for _ in range(_ESCAPED_BYTES):
      byte = rans.slot(states, 0) >> (PRECISION_BITS - 8)
      rans.pop(states, words, following, ends, 0, byte << (PRECISION_BITS - 8), np.int64(1 << (PRECISION_BITS - 8)))
      index = (index << 8) | byte
    index = min(least + index, largest)
    low = min(max(_bucket_of(bins, channel, window, index), first), last)
    high = low + 1
  else:
    # The search begins where a single distribution has the slot, and goes on by how dense that is there. It finds the
    # only bucket whose interval has the slot, so where it goes may depend on the machine.
    share = (slot + 0.5) / whole
    spread = _SPREAD * max(mixture.running[channel, _ERROR_LANE], MIN_ERROR)
    guess = centre + spread * _NATURAL * (log2(share) - log2(1.0 - share))
    guess = min(max(guess, np.float64(least)), np.float64(largest))
    probe = (np.int64(guess) - origin) >> shift
    density = share * (1.0 - share) / spread * (np.int64(1) << shift) * whole + 1.0
    low, high, start, stop = first, last + 1, np.int64(0), whole
    while high - low > 1:
      probe = min(max(probe, low + 1), high - 1)
      row = _other_row(low_row, high_row)
      found = _slot(mixture, bins, channel, window, probe, row)
      if found <= slot:
        low, start, low_row = probe, found, row
      else:
        high, stop, high_row = probe, found, row
      if low_row >= 0 and high_row >= 0:
        probe = low + np.int64((slot - start) * (high - low) / (stop - start))
      elif low_row >= 0:
        probe = low + 1 + np.int64((slot - start) / density)
      else:
        probe = high - 1 - np.int64((stop - slot) / density)
      density = 0.5 * density + 0.1
    rans.pop(states, words, following, ends, 0, start, stop - start)
    begin, end, before, used = _inside(bins, ranks, channel, window, low)
    place = np.int64(0)
    if used > 1:
      slot = rans.slot(states, 0)
      place = ((slot + 1) * used - 1) >> PRECISION_BITS
      start = (place << PRECISION_BITS) // used
      rans.pop(states, words, following, ends, 0, start, ((place + 1) << PRECISION_BITS) // used - start)
    if end - begin == used:
      index = begin + place
    else:
      while end - begin > 1:
        middle = (begin + end) >> 1
        if _rank(bins, ranks, channel, middle) - before <= place:
          begin = middle
        else:
          end = middle
      index = begin
    index = min(max(index, least), largest)  # A damaged code may say a bucket that has none.
  if low_row < 0:
    low_row = _other_row(high_row, -1)
    _slot(mixture, bins, channel, window, low, low_row)
  if high_row < 0:
    high_row = _other_row(low_row, -1)
    _slot(mixture, bins, channel, window, high, high_row)
  return index, low_row, high_row


@inlined
def _slot(mixture, bins, channel, window, bucket, row):
  """Start of a bucket's interval, the first one's aside; see `mass_below` for row."""
  _, _, _, first, _, _, free = window
  mass = mass_below(mixture, lower_edge(bins, channel, _begin(bins, channel, window, bucket)), row)
  return (((mass >> _MASS_CUT) * free) >> (MASS_BITS - _MASS_CUT)) + (bucket - first)


@compiled
def _other_row(one, other):
  """A row of three that is neither of two."""
  if one != 0 and other != 0:
    return 0
  return 1 if one != 1 and other != 1 else 2


@inlined
def _inside(bins, ranks, channel, window, bucket):
  """A bucket within the channel's limits: begin and end of its indices, the first's rank, and how many are used."""
  begin, end = _begin(bins, channel, window, bucket), _begin(bins, channel, window, bucket + 1)
  before = _rank(bins, ranks, channel, begin)
  return begin, end, before, _rank(bins, ranks, channel, end) - before


@compiled
def _rank(bins, ranks, channel, index):
  """Number of used indices from the zone's start to before an index; negative before it."""
  place, length = index - bins.zones[channel, 0], bins.zones[channel, 1]
  if length == 0 or place <= 0:
    return place
  if place >= length:
    return place - length + ranks[channel, length]
  return np.int64(ranks[channel, place])
