"""Bit patterns of IEEE 754 numbers: their parts, and their order as integers.

The order of a pattern is an integer that grows with the number: that of its magnitude where the sign is clear, and its
complement where it is set. So neighbours differ by 1, -0 is -1 and +0 is 0, and NaNs lie beyond the infinities.

Shapes: N samples of one channel or of several.
"""

from typing import NamedTuple

import numpy as np


class Precision(NamedTuple):
  """A binary interchange format (IEEE 754-2019, 3.6)."""

  floats: type[np.floating]
  patterns: type[np.unsignedinteger]
  mantissa_bits: int  # That are stored, one less than count.
  exponent_bits: int
  least_exponent: int  # Of normal numbers 1.f * 2**e.


HALF = Precision(np.float16, np.uint16, 10, 5, -14)
SINGLE = Precision(np.float32, np.uint32, 23, 8, -126)
DOUBLE = Precision(np.float64, np.uint64, 52, 11, -1022)
PRECISIONS = {2: HALF, 4: SINGLE, 8: DOUBLE}


def orders_from_patterns(patterns: np.ndarray) -> np.ndarray:
  """int64 of unsigned integers of a precision's width, of any shape."""
  signed: np.ndarray = patterns.view(f'i{patterns.dtype.itemsize}').astype(np.int64)
  top = 8 * patterns.dtype.itemsize - 1
  lower = np.int64((1 << top) - 1)
  return np.where(signed < 0, ~(signed & lower), signed)


def patterns_from_orders(orders: np.ndarray, precision: Precision) -> np.ndarray:
  """Inverse of `orders_from_patterns`; of other integers the low bits count."""
  top = precision.mantissa_bits + precision.exponent_bits
  lower, sign = np.int64((1 << top) - 1), np.uint64(1 << top)
  magnitudes = (np.where(orders < 0, ~orders, orders) & lower).view(np.uint64)
  return np.where(orders < 0, magnitudes | sign, magnitudes).astype(precision.patterns)


def values_from_patterns(patterns: np.ndarray) -> np.ndarray:
  """float64 of unsigned integers of a precision's width. Those of NaNs are NaNs, whichever."""
  with np.errstate(invalid='ignore'):
    return patterns.view(PRECISIONS[patterns.dtype.itemsize].floats).astype(np.float64)


def orders_from_values(values: np.ndarray, precision: Precision) -> np.ndarray:
  """Orders of float64 values rounded to a precision, to the nearest, ties to even."""
  with np.errstate(over='ignore', under='ignore', invalid='ignore'):
    rounded = np.ascontiguousarray(values.astype(precision.floats))
  return orders_from_patterns(rounded.view(precision.patterns))


def lowest_bits(values: np.ndarray) -> np.ndarray:
  """Exponents of the lowest bits that are set: int64 of finite float64, not 0, multiples of 2**e for no larger e."""
  mantissas, exponents = np.frexp(values)
  whole = (np.abs(mantissas) * 2.0**53).astype(np.int64)
  return exponents - 53 + (np.frexp((whole & -whole).astype(np.float64))[1] - 1)
