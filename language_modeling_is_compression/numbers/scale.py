"""Floats as multiples of a power of two: exactly, where all are, or cut off, with the rest coded beside them.

Shapes: N frames, C channels.
"""

import numpy as np

from language_modeling_is_compression.numbers import remainders
from language_modeling_is_compression.numbers.estimate import bits_of, deviations, spread_blocks
from language_modeling_is_compression.numbers.patterns import Precision, lowest_bits, orders_from_values

LIMIT = float((1 << 31) - 1)
MAPPED_LIMIT = float((1 << 16) - 1)  # Integers up to this, of either sign, can be told by a map of values in use.
_COMMON_BITS = 25  # A scale of so many bits needs no comparison: a 24-bit converter's, and its least value's magnitude.
_RARE = 256  # One in so many values may miss a scale.
_LEAST_BITS, _MOST_BITS = 12, 31  # Of the largest value in units that are compared.
_TRIED_VALUES = 1 << 13


def usable(values: np.ndarray) -> np.ndarray:
  """Whether values are finite and not 0."""
  return np.isfinite(values) & (values != 0.0)


def common_exponent(values: np.ndarray) -> int | None:
  """Exponent of a power of two that nearly all values, float64 [N, C], are multiples of, in few bits; or None."""
  some = values[usable(values)]
  if not len(some):
    return 0
  tops = np.frexp(some)[1]
  lows = lowest_bits(some)
  rare = len(some) // _RARE
  top, low = np.partition(tops, len(tops) - 1 - rare)[len(tops) - 1 - rare], np.partition(lows, rare)[rare]
  if top - low > _COMMON_BITS:
    return None
  if tops.max() - lows.min() <= _COMMON_BITS:
    top, low = tops.max(), lows.min()
  missed = np.count_nonzero((lows < low) | (tops > low + 31))
  return int(low) if missed <= rare else None


def best_exponent(values: np.ndarray, orders: np.ndarray, precision: Precision) -> tuple[int, float]:
  """Exponent of the unit in which the integers of values and what they leave open are smallest, and bits of a sample.

  values: float64 [N, C]; orders: int64 [N, C], of their patterns.
  """
  some = values[usable(values)]
  if not len(some):
    return 0, 0.0
  tops = np.sort(np.frexp(some)[1])
  low = int(lowest_bits(some).min())
  errors = deviations(filled(values, np.isfinite(values)))
  frames = spread_blocks(len(values), max(64, _TRIED_VALUES // values.shape[1]))
  some_values, some_orders = values[frames].ravel(), orders[frames].ravel()
  stride = max(1, len(some_values) // _TRIED_VALUES)
  tried, tried_orders = some_values[::stride], some_orders[::stride]
  candidates = {
    exponent
    for top in {int(tops[-1]), int(tops[-1 - len(tops) // 4096])}
    for exponent in [*range(max(low, top - _MOST_BITS), max(low, top - _LEAST_BITS) + 1), top]
  }
  best, best_bits = 0, np.inf
  for exponent in sorted(candidates, reverse=True):
    integers = integers_of(tried[:, np.newaxis], exponent)[:, 0]
    code = remainders.encode(tried_orders, *bases_of(integers, exponent, precision), precision)
    bits = bits_of(errors, float(np.ldexp(1.0, min(max(exponent, -1000), 1023)))) + 8 * len(code) / len(tried)
    if bits < best_bits:
      best, best_bits = exponent, bits
  return best, best_bits


def mapped_exponents(values: np.ndarray, precision: Precision) -> set[int]:
  """Exponents of the finest units in which all values, or all but a few, are up to MAPPED_LIMIT."""
  tops = np.sort(np.frexp(values[usable(values)])[1])
  finest = precision.least_exponent - precision.mantissa_bits
  some = {int(tops[-1]), int(tops[-1 - len(tops) // _RARE])} if len(tops) else {0}
  return {max(top - 16, finest) for top in some}


def integers_of(values: np.ndarray, exponent: int, limit: float = LIMIT) -> np.ndarray:
  """int32 of values, float64 [N, C], in units of 2**exponent, cut off; where above a limit, as the value before."""
  with np.errstate(over='ignore', under='ignore', invalid='ignore'):
    scaled = np.trunc(np.ldexp(values, -exponent))
    fits = np.abs(scaled) <= limit
  return filled(scaled, fits).astype(np.int32)


def bases_of(
  integers: np.ndarray, exponent: int, precision: Precision, *, exact: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Orders of multiples of 2**exponent, bits of their mantissas that are below it, and contexts: int64 of int32 [N].

  exact: no bits below are left open.
  """
  whole = integers.astype(np.float64)
  with np.errstate(over='ignore', under='ignore'):
    bases = orders_from_values(np.ldexp(whole, exponent), precision)
  tops = np.frexp(whole)[1].astype(np.int64) - 1 + exponent
  units = np.maximum(tops, precision.least_exponent) - precision.mantissa_bits
  known = (integers == 0) | exact
  free = np.where(known, 0, np.clip(exponent - units, 0, precision.mantissa_bits))
  return bases, free, (integers != 0) + 2 * (free > 0)


def filled(values: np.ndarray, fits: np.ndarray) -> np.ndarray:
  """Values [N, C] with those that do not fit replaced by the last one in their channel that does, or 0."""
  if fits.all():
    return values
  frames = np.arange(len(values))[:, np.newaxis]
  last = np.maximum.accumulate(np.where(fits, frames, -1), axis=0)
  return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), 0.0)
