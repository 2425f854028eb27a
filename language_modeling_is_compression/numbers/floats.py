"""Floats as integers that are predicted as any others, and side information that says what they stand for.

Channels have a description each, or one together where they are many: a way, its numbers, and the code of what the
integers leave open. docs/FORMAT.md has every byte.

Shapes: N frames, C channels.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.entropy.varints import NumberReader, write_number
from language_modeling_is_compression.numbers import factor, remainders, scale, two_factors, value_list
from language_modeling_is_compression.numbers.estimate import bits_of, deviations
from language_modeling_is_compression.numbers.patterns import (
  HALF,
  PRECISIONS,
  Precision,
  orders_from_patterns,
  patterns_from_orders,
  values_from_patterns,
)
from language_modeling_is_compression.prediction.value_map import saved_bits

CONSTANT, EXACT, SCALE, FACTOR, LIST, TWO_FACTORS = range(6)  # Ways.
_MOST_DESCRIPTIONS = 64
_MOST_EXPONENT = 1100  # Farther than those of any float.
_EXACT_SHARE = 0.999  # A factor of so many values is compared with no other way.
_LEAST_SHARE = 0.4
Left = tuple[np.ndarray, np.ndarray, np.ndarray]  # Bases, free bits and contexts, see remainders.py.


class Described(NamedTuple):
  """Integers of some channels, int32 [N, C], and the bytes that say what they stand for. bits: of a sample, about."""

  integers: np.ndarray
  description: bytes
  bits: float


def integers_from_floats(patterns: np.ndarray) -> tuple[np.ndarray, bytes]:
  """int32 [N, C] and side information of patterns, uint16, uint32 or uint64 [N, C]."""
  precision = PRECISIONS[patterns.dtype.itemsize]
  integers = np.zeros(patterns.shape, np.int32)
  descriptions = []
  for channels in _shares(patterns.shape[1]):
    described = _describe(patterns[:, channels], precision)
    integers[:, channels] = described.integers
    descriptions.append(described.description)
  return integers, b''.join(write_number(len(each)) + each for each in descriptions)


def floats_from_integers(integers: np.ndarray, side: bytes, pattern_bytes: int) -> np.ndarray | None:
  """Inverse of `integers_from_floats`; None for what it does not write."""
  precision = PRECISIONS[pattern_bytes]
  orders = np.zeros(integers.shape, np.int64)
  reader = NumberReader(side)
  for channels in _shares(integers.shape[1]):
    try:
      length = reader.read()
    except ValueError:
      return None
    begin = reader.position
    if not 0 <= length <= len(side) - begin:
      return None
    reader.position += length
    found = _read(integers[:, channels], side[begin : begin + length], precision)
    if found is None:
      return None
    orders[:, channels] = found
  return patterns_from_orders(orders, precision) if reader.position == len(side) else None


def _shares(num_channels: int) -> list[slice]:
  """Channels that are described together."""
  if num_channels > _MOST_DESCRIPTIONS:
    return [slice(0, num_channels)]
  return [slice(channel, channel + 1) for channel in range(num_channels)]


def _describe(patterns: np.ndarray, precision: Precision) -> Described:
  """The way of some channels that takes the fewest bits, or one that is as good as can be."""
  orders = orders_from_patterns(np.ascontiguousarray(patterns))
  if not orders.size or (orders == orders[0, 0]).all():
    first = int(orders[0, 0]) if orders.size else 0
    return Described(np.zeros(orders.shape, np.int32), bytes([CONSTANT]) + write_number(first), 0.0)
  values = values_from_patterns(np.ascontiguousarray(patterns))
  if precision is HALF:
    return _describe_halves(orders, values)
  exponent = scale.common_exponent(values)
  if exponent is not None:
    return _by_scale(orders, values, exponent, precision, exact=True)
  found = _by_factor(orders, values, precision)
  if found is not None and found.bits < 0.0:
    return found
  exponent, _ = scale.best_exponent(values, orders, precision)
  ways = [_by_scale(orders, values, exponent, precision, exact=False), found, _by_list(orders, precision)]
  if values.shape[1] == 1:
    ways.append(_by_two_factors(orders, values, precision))
  return min((way for way in ways if way is not None), key=lambda way: way.bits)


def _describe_halves(orders: np.ndarray, values: np.ndarray) -> Described:
  """As `_describe`, of 16 bits: a fine unit, in which they are multiples of others the larger they are.

  Nothing, or little, is left open of them then, and a map of the values in use makes up for the unit.
  """
  ways = [_by_factor(orders, values, HALF), _by_list(orders, HALF)]
  for exponent in scale.mapped_exponents(values, HALF):
    ways.append(_by_scale(orders, values, exponent, HALF, exact=False, limit=scale.MAPPED_LIMIT))
  return min((way for way in ways if way is not None), key=_bits_with_map)


def _bits_with_map(way: Described) -> float:
  saved = sum(saved_bits(channel) for channel in way.integers.T)
  return way.bits - saved / way.integers.size


def _by_scale(
  orders: np.ndarray,
  values: np.ndarray,
  exponent: int,
  precision: Precision,
  *,
  exact: bool,
  limit: float = scale.LIMIT,
) -> Described:
  integers = scale.integers_of(values, exponent, limit)
  left = scale.bases_of(integers.ravel(), exponent, precision, exact=exact)
  description = bytes([EXACT if exact else SCALE]) + write_number(exponent) + _code(orders, left, precision)
  return _described(integers, description)


def _by_factor(orders: np.ndarray, values: np.ndarray, precision: Precision) -> Described | None:
  """bits is below 0 where no other way need be tried."""
  usable = scale.usable(values)
  found = factor.find_factor(values[usable], precision)
  if found is None or found[1] < _LEAST_SHARE:
    return None
  each, share = found
  integers = each.integers(values)
  code = _code(orders, each.bases(integers.ravel(), precision), precision)
  described = _described(integers, bytes([FACTOR]) + each.to_bytes() + code)
  sure = share >= _EXACT_SHARE and np.abs(integers).max() <= 1 << (precision.mantissa_bits + 1)
  return described._replace(bits=-1.0) if sure else described


def _by_two_factors(orders: np.ndarray, values: np.ndarray, precision: Precision) -> Described | None:
  found = two_factors.find_two_factors(values[:, 0], precision)
  if found is None:
    return None
  integers = found.quiet.integers(values)
  code = _code(orders, found.bases(integers[:, 0], precision), precision)
  return _described(integers, bytes([TWO_FACTORS]) + found.to_bytes() + code)


def _by_list(orders: np.ndarray, precision: Precision) -> Described | None:
  distinct, ranks = np.unique(orders, return_inverse=True)
  if len(distinct) > min(value_list.MOST_VALUES, orders.size // 4):
    return None
  places = value_list.places_of(distinct, values_from_patterns(patterns_from_orders(distinct, precision)))
  written = value_list.write_list(distinct, places, precision)
  integers = places[ranks.reshape(orders.shape)].astype(np.int32)
  return _described(integers, bytes([LIST]) + write_number(len(distinct)) + written)


def _described(integers: np.ndarray, description: bytes) -> Described:
  bits = bits_of(deviations(integers.astype(np.float64))) + 8 * len(description) / integers.size
  return Described(integers, description, bits)


def _code(orders: np.ndarray, left: Left, precision: Precision) -> bytes:
  """Nothing where the bases are the patterns."""
  flat = orders.ravel()
  return b'' if np.array_equal(flat, left[0]) else remainders.encode(flat, *left, precision)


def _read(integers: np.ndarray, description: bytes, precision: Precision) -> np.ndarray | None:
  """Orders, int64 [N, C], of a description; None for what no encoder wrote."""
  if not description:
    return None
  way, rest = description[0], description[1:]
  if way == CONSTANT:
    first = _numbers(rest)
    return None if first is None or first[1] or integers.any() else np.full(integers.shape, first[0], np.int64)
  if way in (EXACT, SCALE):
    first = _numbers(rest)
    if first is None or abs(first[0]) > _MOST_EXPONENT:
      return None
    left = scale.bases_of(integers.ravel(), first[0], precision, exact=way == EXACT)
    return _decoded(first[1], left, precision, integers.shape)
  if way == FACTOR:
    each = factor.factor_from_bytes(rest[: factor.FACTOR_BYTES]) if len(rest) >= factor.FACTOR_BYTES else None
    if each is None:
      return None
    left = each.bases(integers.ravel(), precision)
    return _decoded(rest[factor.FACTOR_BYTES :], left, precision, integers.shape)
  if way == TWO_FACTORS and integers.shape[1] == 1:
    read = two_factors.two_factors_from_bytes(rest, len(integers))
    if read is None:
      return None
    return _decoded(read[1], read[0].bases(integers[:, 0], precision), precision, integers.shape)
  return _listed(integers, rest, precision) if way == LIST else None


def _numbers(data: bytes) -> tuple[int, bytes] | None:
  """The number at the beginning of bytes, and what follows it; None where there is none."""
  reader = NumberReader(data)
  try:
    return reader.read(), data[reader.position :]
  except ValueError:
    return None


def _decoded(code: bytes, left: Left, precision: Precision, shape: tuple[int, ...]) -> np.ndarray | None:
  orders = remainders.decode(code, *left, precision) if code else left[0]
  return None if orders is None else orders.reshape(shape)


def _listed(integers: np.ndarray, rest: bytes, precision: Precision) -> np.ndarray | None:
  first = _numbers(rest)
  if first is None or not 1 <= first[0] <= min(value_list.MOST_VALUES, integers.size):
    return None
  num_values, data = first
  read = value_list.read_list(data, num_values, precision)
  if read is None:
    return None
  orders, places = read
  at = np.minimum(np.searchsorted(places, integers), num_values - 1)
  return orders[at] if np.array_equal(places[at], integers) else None
