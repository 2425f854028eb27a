"""The factor that floats are multiples of, but for their rounding: integers divided by 32,767, or made louder.

A value is round(k * g), or round(round(k / D) * g) of a usual divisor D, where both are rounded to the precision of the
values. Which g it was cannot be known, and need not be: the values tell an interval that it is in.

Shapes: N values.
"""

import struct
from dataclasses import dataclass, replace

import numpy as np

from language_modeling_is_compression.numbers.divisor import common_divisor
from language_modeling_is_compression.numbers.patterns import (
  DOUBLE,
  HALF,
  PRECISIONS,
  SINGLE,
  Precision,
  orders_from_values,
)
from language_modeling_is_compression.numbers.scale import LIMIT, filled

_DIVISORS = (32_767.0, 8_388_607.0, 2_147_483_647.0)
# What the integer becomes first: itself, its quotient by a divisor, or its product with the rounded reciprocal of one.
FIRST_STEPS: tuple[tuple[float, bool], ...] = (
  (1.0, False),
  *((divisor, by_reciprocal) for divisor in _DIVISORS for by_reciprocal in (False, True)),
)
_STRUCT = struct.Struct('<BBd')
_MOST_VALUES = 1 << 15  # That a factor is fitted to.
ROUNDINGS = (2.0, 0.51)  # Units in the last place that values may be off: rounded more than once, or once.
_GOOD_SHARE = 0.9  # Of a factor that is not looked for anew as if values were rounded once.
_PARTS = 12  # On either side, that a rounding is told apart by.
_REACH = 32  # Powers of two around the middle one.
_EXACT_SHARE = 0.99  # Of 64-bit values that 32 bits hold.
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
    return self._values(self._firsts(integers))

  def _firsts(self, integers: np.ndarray) -> np.ndarray:
    with np.errstate(all='ignore'):
      return _firsts(integers.astype(np.float64), self.first, self.precision)

  def _values(self, firsts: np.ndarray) -> np.ndarray:
    with np.errstate(all='ignore'):
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
    firsts = self._firsts(integers)
    values = self._values(firsts)
    contexts = np.where(integers == 0, 0, 1 + self._roundings(firsts, values))
    return orders_from_values(values, precision), np.zeros(integers.shape, np.int64), contexts

  def _roundings(self, firsts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """What values were rounded by, in parts of the distance to the next one: 0 to 2 * _PARTS, int64."""
    with np.errstate(all='ignore'):
      if self.divides:
        below, beside = _product(values, self.number)
        error = ((firsts - below) - beside) / self.number
      else:
        below, beside = _product(firsts, self.number)
        error = (below - values) + beside
      parts = error / np.spacing(values.astype(self.precision.floats)).astype(np.float64)
      known = np.where(np.isfinite(parts), parts, 0.0)
      return np.rint(np.clip(2 * _PARTS * known, -_PARTS, _PARTS)).astype(np.int64) + _PARTS


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
  middle = 0
  if precision is HALF:  # All are near 1; the largest has no next one, by which its rounding is told.
    magnitudes = magnitudes[magnitudes < float(np.finfo(np.float16).max)]
  else:
    magnitudes = magnitudes[magnitudes >= 2.0 ** (precision.least_exponent + precision.mantissa_bits)]
    # Near 1, where nothing overflows; what is much larger or smaller than most is no multiple that 32 bits hold.
    exponents = np.frexp(magnitudes)[1]
    middle = int(exponents[len(exponents) // 2]) if len(exponents) else 0
    magnitudes = np.ldexp(magnitudes[np.abs(exponents - middle) <= _REACH], -middle)
  if not len(magnitudes):
    return None
  is_single = precision is not DOUBLE or bool(np.mean(magnitudes.astype(np.float32) == magnitudes) > _EXACT_SHARE)
  rounded_to = SINGLE if precision is DOUBLE and is_single else precision
  spacings = np.spacing(magnitudes.astype(rounded_to.floats)).astype(np.float64)
  best, best_share = None, 0.0
  for rounding in ROUNDINGS:
    divisor = common_divisor(magnitudes, rounding * spacings)
    fitted = None if divisor is None else _fitted(magnitudes, spacings, divisor, is_single, rounded_to)
    if fitted is not None and fitted[1] > best_share:
      best, best_share = fitted
    if best_share > _GOOD_SHARE:
      break
  if best is None:
    return None
  with np.errstate(over='ignore', under='ignore'):
    number = float(np.ldexp(best.number, -middle if best.divides else middle))
  return (replace(best, number=number), best_share) if 0.0 < number < np.inf else None


def _fitted(
  magnitudes: np.ndarray, spacings: np.ndarray, divisor: float, is_single: bool, rounded_to: Precision
) -> tuple[Factor, float] | None:
  """The best factor near a divisor, and the share of magnitudes that it gives exactly."""
  chosen = np.unique(np.linspace(0, len(magnitudes) - 1, _MOST_VALUES).astype(np.int64))
  chosen = chosen[magnitudes[chosen] > divisor / 2]
  some, some_spacings = magnitudes[chosen], spacings[chosen]
  integers = np.rint(some / divisor)
  best, best_share = None, 0.0
  for first in range(len(FIRST_STEPS)):
    for factor in _candidates(some, some_spacings, integers, first, is_single):
      with np.errstate(over='ignore', under='ignore'):
        share = float(np.mean(factor.values(integers).astype(rounded_to.floats) == some))
      if share > best_share:
        best, best_share = factor, share
    if best_share == 1.0:
      break
  return None if best is None else (best, best_share)


def _firsts(integers: np.ndarray, first: int, precision: Precision) -> np.ndarray:
  divisor, by_reciprocal = FIRST_STEPS[first]
  if first == 0:
    return integers
  firsts = integers * np.float64(precision.floats(1.0 / divisor)) if by_reciprocal else integers / divisor
  return firsts.astype(precision.floats).astype(np.float64)


def _product(values: np.ndarray, number: float) -> tuple[np.ndarray, np.ndarray]:
  """A product, rounded, and what that lacks: exact, but near the ends of the range (Dekker, 1971)."""
  product = values * number
  upper, number_upper = _upper_half(values), _upper_half(np.array(number))
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
