"""The factor that floats are multiples of, but for their rounding: integers divided by 32,767, or made louder.

A value is round(k * g), or round(round(k / D) * g) of a usual divisor D, where both are rounded to the precision of the
values. Which g it was cannot be known, and need not be: the values tell an interval that it is in.

Shapes: N values.
"""

import struct
from dataclasses import dataclass

import numpy as np

from language_modeling_is_compression.numbers.patterns import PRECISIONS, SINGLE, Precision, orders_from_values
from language_modeling_is_compression.numbers.scale import LIMIT, filled

_DIVISORS = (32_767.0, 8_388_607.0, 2_147_483_647.0)
# What the integer becomes first: itself, its quotient by a divisor, or its product with the rounded reciprocal of one.
FIRST_STEPS: tuple[tuple[float, bool], ...] = (
  (1.0, False),
  *((divisor, by_reciprocal) for divisor in _DIVISORS for by_reciprocal in (False, True)),
)
_STRUCT = struct.Struct('<BBd')
_MOST_VALUES = 1 << 15  # That a factor is fitted to.
_LOOSE = 2.0  # Units in the last place that a value may be off, of numbers rounded twice.
_PARTS = 12  # On either side, that a rounding is told apart by.
_NEAREST = 12  # Doubles on either side of an estimate that are tried.


@dataclass(frozen=True)
class Factor:
  """value = round(first(k) * number), or / number. is_single: rounded to 32 bits, also where values have 64."""

  first: int
  divides: bool
  number: float
  is_single: bool

  def to_bytes(self) -> bytes:
    return _STRUCT.pack(self.first, self.divides | self.is_single << 1, self.number)

  @property
  def precision(self) -> Precision:
    return PRECISIONS[4 if self.is_single else 8]

  @property
  def unit(self) -> float:
    """The value of 1, about."""
    divisor = FIRST_STEPS[self.first][0]
    return 1.0 / divisor / self.number if self.divides else self.number / divisor

  def values(self, integers: np.ndarray) -> np.ndarray:
    """float64 of int32, of any shape."""
    with np.errstate(all='ignore'):
      firsts = _firsts(integers.astype(np.float64), self.first, self.precision)
      exact = firsts / self.number if self.divides else firsts * self.number
      return exact.astype(self.precision.floats).astype(np.float64)

  def integers(self, values: np.ndarray) -> np.ndarray:
    """The nearest multiple: int32 of float64 [N, C]; where none is near, as the value before."""
    with np.errstate(all='ignore'):
      scaled = np.rint(values / self.unit)
      return filled(scaled, np.abs(scaled) <= LIMIT).astype(np.int32)

  def bases(self, integers: np.ndarray, precision: Precision) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orders of the values of integers in the precision of a file, no free bits, and contexts: int64 of int32 [N].

    Contexts say how far a value was rounded, since those are off that were near the middle of two.
    """
    values = self.values(integers)
    contexts = np.where(integers == 0, 0, 1 + self._roundings(integers, values))
    return orders_from_values(values, precision), np.zeros(integers.shape, np.int64), contexts

  def _roundings(self, integers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What values were rounded by, in parts of the distance to the next one: 0 to 2 * _PARTS, int64."""
    with np.errstate(all='ignore'):
      firsts = _firsts(integers.astype(np.float64), self.first, self.precision)
      if self.divides:
        below, beside = _product(values, self.number)
        error = ((firsts - below) - beside) / self.number
      else:
        below, beside = _product(firsts, self.number)
        error = (below - values) + beside
      parts = error / np.spacing(values.astype(self.precision.floats)).astype(np.float64)
      usable = np.isfinite(parts)
      return (
        np.where(usable, np.rint(np.clip(2 * _PARTS * np.where(usable, parts, 0.0), -_PARTS, _PARTS)), 0.0).astype(
          np.int64
        )
        + _PARTS
      )


FACTOR_BYTES = _STRUCT.size


def factor_from_bytes(data: bytes) -> Factor | None:
  """Inverse of `Factor.to_bytes`."""
  first, flags, number = _STRUCT.unpack(data)
  if first >= len(FIRST_STEPS) or flags > 3 or not 0.0 < number < np.inf:
    return None
  return Factor(first, bool(flags & 1), number, bool(flags & 2))


def find_factor(values: np.ndarray, precision: Precision) -> tuple[Factor, float] | None:
  """A factor of finite float64 values that are not 0, and the share that it gives exactly; or None."""
  magnitudes = np.unique(np.abs(values))
  magnitudes = magnitudes[magnitudes >= 2.0 ** (precision.least_exponent + precision.mantissa_bits)]
  if not len(magnitudes):
    return None
  is_single = precision is SINGLE
  if not is_single:
    with np.errstate(over='ignore', under='ignore'):
      is_single = bool(np.mean(magnitudes.astype(np.float32) == magnitudes) > 0.99)
  floats = np.float32 if is_single else np.float64
  with np.errstate(over='ignore', under='ignore'):
    spacings = np.spacing(magnitudes.astype(floats)).astype(np.float64)
  found = _divisor(magnitudes, spacings)
  if found is None:
    return None
  # Those that say most about the factor, and others of all sizes.
  chosen = np.unique(np.linspace(0, len(magnitudes) - 1, _MOST_VALUES).astype(np.int64))
  some, some_spacings = magnitudes[chosen], spacings[chosen]
  integers = np.rint(some / found)
  best, best_share = None, 0.0
  for first in range(len(FIRST_STEPS)):
    for factor in _candidates(some, some_spacings, integers, first, is_single):
      share = float(np.mean(factor.values(integers) == some))
      if share > best_share:
        best, best_share = factor, share
    if best_share == 1.0:
      break
  return None if best is None else (best, best_share)


def _firsts(integers: np.ndarray, first: int, precision: Precision) -> np.ndarray:
  divisor, by_reciprocal = FIRST_STEPS[first]
  if first == 0:
    return integers
  if by_reciprocal:
    firsts = integers * np.float64(precision.floats(1.0 / divisor))
  else:
    firsts = integers / divisor
  return firsts.astype(precision.floats).astype(np.float64)


def _product(values: np.ndarray, number: float) -> tuple[np.ndarray, np.ndarray]:
  """A product, rounded, and what that lacks: exact, but near the ends of the range (Dekker, 1971)."""
  product = values * number
  upper, number_upper = _upper_half(values), _upper_half(np.float64(number))
  lower, number_lower = values - upper, number - number_upper
  lacking = ((upper * number_upper - product) + upper * number_lower + lower * number_upper) + lower * number_lower
  return product, lacking


def _upper_half(values: np.ndarray) -> np.ndarray:
  """Values with the upper 26 bits of their mantissas."""
  scaled = 134_217_729.0 * values  # 2**27 + 1.
  return scaled - (scaled - values)


def _candidates(
  values: np.ndarray, spacings: np.ndarray, integers: np.ndarray, first: int, is_single: bool
) -> list[Factor]:
  """Factors that may be the one, all for one first step."""
  precision = PRECISIONS[4 if is_single else 8]
  firsts = _firsts(integers, first, precision)
  if is_single:
    # Doubles are fine enough to tell the interval in which most values are rounded right.
    number = _most_covered((values - 0.5 * spacings) / firsts, (values + 0.5 * spacings) / firsts)
    return [Factor(first, False, number, is_single)]
  estimate = float(np.median((values / firsts)[-max(1, len(values) // 4) :]))
  found = []
  for divides, near in ((False, estimate), (True, 1.0 / estimate)):
    numbers = near + np.arange(-_NEAREST, _NEAREST + 1) * np.spacing(near)
    found += [Factor(first, divides, float(number), is_single) for number in numbers]
  return found


def _most_covered(lows: np.ndarray, highs: np.ndarray) -> float:
  """The middle of where most intervals overlap."""
  ends = np.concatenate([lows, highs])
  steps = np.concatenate([np.ones(len(lows)), -np.ones(len(highs))])
  # At the same place, what begins comes before what ends.
  order = np.lexsort((-steps, ends))
  place = int(np.argmax(np.cumsum(steps[order])))
  following = min(place + 1, len(ends) - 1)
  return float((ends[order[place]] + ends[order[following]]) / 2)


def _divisor(magnitudes: np.ndarray, spacings: np.ndarray) -> float | None:
  """What rising magnitudes are multiples of, within a few units in their last places; or None."""
  for start in (0, 2, 16, 128):
    size, error = _common(magnitudes[start : start + 64], _LOOSE * spacings[start : start + 64])
    for _ in range(8):
      refined = _refined(magnitudes, spacings, size, error)
      if refined is None:
        break
      size, error, outside = refined
      if not len(outside):
        return size
      # It was a multiple of the one that is looked for.
      size, error = _common(
        np.concatenate([[size], magnitudes[outside]]), np.concatenate([[error], _LOOSE * spacings[outside]])
      )
  return None


def _common(values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
  """Euclid's algorithm on numbers with errors: their greatest common divisor, and its error; (0, 0) for none."""
  size, error = 0.0, 0.0
  for value, off in zip(values.tolist(), errors.tolist(), strict=True):
    larger, larger_error, smaller, smaller_error = value, off, size, error
    while smaller:
      times = float(round(larger / smaller))
      rest, rest_error = abs(larger - times * smaller), larger_error + times * smaller_error
      if rest_error > smaller / 4:  # This value says nothing.
        larger, larger_error = size, error
        break
      if rest <= rest_error:
        if times and larger_error / times < smaller_error:
          smaller, smaller_error = larger / times, larger_error / times
        larger, larger_error = smaller, smaller_error
        break
      larger, larger_error, smaller, smaller_error = smaller, smaller_error, rest, rest_error
    size, error = larger, larger_error
  return size, error


def _refined(
  magnitudes: np.ndarray, spacings: np.ndarray, size: float, error: float
) -> tuple[float, float, np.ndarray] | None:
  """A divisor from more and more magnitudes, its error, and places of a few that are no multiples; None for none."""
  if size <= 0.0:
    return None
  reached = 0
  while True:
    # How far multiples can be told by what is known.
    end = int(np.searchsorted(magnitudes, size * min(size / (4.0 * error), 2.0**32), 'right'))
    if end <= reached:
      break
    reached = end
    stride = max(1, end // _MOST_VALUES)
    some, some_spacings = magnitudes[:end:stride], spacings[:end:stride]
    times = np.maximum(np.rint(some / size), 1.0)
    off, allowed = np.abs(some - times * size), _LOOSE * some_spacings + times * error
    telling = allowed < size / 8
    outside = telling & (off > allowed)
    if np.count_nonzero(outside) > 0.02 * np.count_nonzero(telling):
      return size, error, np.flatnonzero(outside)[:64] * stride
    kept = telling & ~outside
    if not kept.any():
      return None
    low = ((some - _LOOSE * some_spacings) / times)[kept].max()
    high = ((some + _LOOSE * some_spacings) / times)[kept].min()
    size, error = float((low + high) / 2), max(abs(float(high - low)) / 2, size * 2.0**-52)
    if end == len(magnitudes):
      break
  return (size, error, np.zeros(0, np.int64)) if reached else None
