"""Vectors of compiled code do in every lane what NumPy does with one number, and touch nothing else."""

import numpy as np
import pytest

from language_modeling_is_compression.kernels import vectors
from language_modeling_is_compression.kernels.compilation import compiled

GUARD = 32


@compiled
def combine(a, b, found):
  one, other = vectors.load(a, GUARD), vectors.load(b, GUARD)
  vectors.store(found[0], GUARD, one + other)
  vectors.store(found[1], GUARD, one - other)
  vectors.store(found[2], GUARD, one * other)
  vectors.store(found[3], GUARD, vectors.minimum(one, other))
  vectors.store(found[4], GUARD, vectors.maximum(one, other))


@compiled
def combine_bits(a, b, shift, found):
  one, other, by = vectors.load(a, GUARD), vectors.load(b, GUARD), vectors.integers(shift)
  vectors.store(found[0], GUARD, one & other)
  vectors.store(found[1], GUARD, one << by)
  vectors.store(found[2], GUARD, one >> by)


@compiled
def sums_of(doubles, singles):
  return vectors.total(vectors.load(doubles, GUARD)), vectors.total(vectors.load(singles, GUARD))


@compiled
def fill(doubles, singles, integers, shorts):
  vectors.store(doubles, GUARD, vectors.doubles(0.1))
  vectors.store(singles, GUARD, vectors.singles(np.float32(0.1)))
  vectors.store(integers, GUARD, vectors.integers(-7))
  vectors.store(shorts, GUARD, vectors.integers(70_000))


@compiled
def pairs(start, rows, index, x, k, found):
  vectors.store(found, GUARD, vectors.add_pairs(vectors.load(start, GUARD), rows, index, x, k))


def guarded(values: np.ndarray) -> np.ndarray:
  return np.pad(values, GUARD)


def check(found: np.ndarray, expected: np.ndarray) -> None:
  """To the bit, between guards that nobody has written to."""
  np.testing.assert_array_equal(found, guarded(expected.astype(found.dtype)))


@pytest.mark.parametrize(
  ('dtype', 'lanes'), [(np.float64, vectors.DOUBLES), (np.float32, vectors.SINGLES), (np.int32, vectors.INTEGERS)]
)
def test_numbers(dtype, lanes):
  """Also such as round, and integers that go beyond 32 bits, which wrap."""
  rng = np.random.default_rng(0)
  for _ in range(50):
    if dtype == np.int32:
      a, b = rng.integers(-(1 << 31), 1 << 31, (2, lanes)).astype(dtype)
    else:
      a, b = (rng.normal(size=(2, lanes)) * 10.0 ** rng.integers(-9, 9, (2, lanes))).astype(dtype)
    found = np.zeros((5, lanes + 2 * GUARD), dtype)
    combine(guarded(a), guarded(b), found)
    for row, expected in zip(found, (a + b, a - b, a * b, np.minimum(a, b), np.maximum(a, b)), strict=True):
      check(row, expected)


def test_products_are_not_fused_with_sums():
  """A fused one would leave the rounding error of the product; here it must leave 0."""

  @compiled
  def left(a, found):
    one = vectors.load(a, 0)
    vectors.store(found, 0, one * one - vectors.load(found, 0))

  a = 1.0 + np.random.default_rng(0).uniform(size=vectors.DOUBLES)
  found = a * a
  left(a, found)
  assert not found.any()


@pytest.mark.parametrize('shift', [0, 1, 14, 31])
def test_bits_of_integers(shift):
  rng = np.random.default_rng(shift)
  a, b = rng.integers(-(1 << 31), 1 << 31, (2, vectors.INTEGERS)).astype(np.int32)
  found = np.zeros((3, vectors.INTEGERS + 2 * GUARD), np.int32)
  combine_bits(guarded(a), guarded(b), np.int32(shift), found)
  for row, expected in zip(found, (a & b, a << shift, a >> shift), strict=True):
    check(row, expected)


def test_totals_are_added_up_from_the_first_lane_on():
  """To the last bit, in double precision: large numbers that cancel show any other order."""
  rng = np.random.default_rng(0)
  for _ in range(50):
    doubles = rng.normal(size=vectors.DOUBLES) * 10.0 ** rng.integers(-9, 9, vectors.DOUBLES)
    singles = (rng.normal(size=vectors.SINGLES) * 10.0 ** rng.integers(-9, 9, vectors.SINGLES)).astype(np.float32)
    expected = []
    for lanes in (doubles.tolist(), singles.tolist()):
      total = lanes[0]
      for value in lanes[1:]:
        total += value
      expected.append(total)
    assert list(sums_of(guarded(doubles), guarded(singles))) == expected


def test_all_lanes_are_filled_and_no_others():
  sizes = {np.float64: vectors.DOUBLES, np.float32: vectors.SINGLES, np.int32: vectors.INTEGERS, np.int16: 16}
  arrays = [np.zeros(lanes + 2 * GUARD, dtype) for dtype, lanes in sizes.items()]
  fill(*arrays)
  for array, value in zip(arrays, (0.1, np.float32(0.1), -7, 70_000 - 65_536), strict=True):
    check(array, np.full(len(array) - 2 * GUARD, value))


@pytest.mark.parametrize(('index', 'k'), [(0, 0), (2, 0), (6, 3), (33, 5)])
@pytest.mark.parametrize('largest', [100, 32_767])
def test_products_of_pairs(index, k, largest):
  """From any place of both arrays, aligned or not; the smallest numbers too, whose four products make 2**31."""
  rng = np.random.default_rng(index)
  rows, x = rng.integers(-largest - 1, largest + 1, (2, 80)).astype(np.int16)
  rows[index : index + 2], x[k : k + 2] = -largest - 1, -largest - 1
  start = rng.integers(-1000, 1000, vectors.INTEGERS)
  products = rows[index : index + 2 * vectors.INTEGERS].astype(np.int64).reshape(-1, 2) * x[k : k + 2]
  found = np.zeros(vectors.INTEGERS + 2 * GUARD, np.int32)
  pairs(guarded(start.astype(np.int32)), rows, index, x, k, found)
  check(found, (start + products.sum(axis=1)).astype(np.int32))


@compiled
def divide(a, b, found):
  vectors.store(found, GUARD, vectors.load(a, GUARD) / vectors.load(b, GUARD))


@compiled
def cut(a, found):
  vectors.store(found, GUARD, vectors.whole(vectors.load(a, GUARD)))


@compiled
def look_up(table, places, found):
  vectors.store(found, GUARD, vectors.interpolate(table, vectors.load(places, GUARD)))


@pytest.mark.parametrize(('dtype', 'lanes'), [(np.float64, vectors.DOUBLES), (np.float32, vectors.SINGLES)])
def test_quotients(dtype, lanes):
  """Rounded as they are, not products with reciprocals."""
  rng = np.random.default_rng(0)
  for _ in range(50):
    a, b = (rng.normal(size=(2, lanes)) * 10.0 ** rng.integers(-9, 9, (2, lanes))).astype(dtype)
    found = np.zeros(lanes + 2 * GUARD, dtype)
    divide(guarded(a), np.pad(b, GUARD, constant_values=1), found)
    check(found, a / b)


def test_whole_numbers_are_cut_towards_0():
  values = np.array([0.0, 0.999999, -0.999999, 1.5, -1.5, 2.0**31 - 0.5, 0.5 - 2.0**31, 65_535.99999])
  found = np.zeros(vectors.DOUBLES + 2 * GUARD)
  cut(guarded(values), found)
  check(found, np.trunc(values))


@compiled
def push(vector, by, found):
  vectors.store(found, GUARD, vectors.preceded(vectors.load(vector, GUARD), vectors.load(by, GUARD)))


def test_lanes_that_move_on_by_one():
  """As a history does, whose newest number comes first."""
  one, other = np.random.default_rng(0).normal(size=(2, vectors.SINGLES)).astype(np.float32)
  found = np.zeros(vectors.SINGLES + 2 * GUARD, np.float32)
  push(guarded(one), guarded(other), found)
  check(found, np.concatenate([other[-1:], one[:-1]]))


def test_values_between_entries_of_a_table():
  """At its ends too, and where what they rise by takes all of 31 bits."""
  rng = np.random.default_rng(0)
  table = np.sort(rng.integers(0, 1 << 30, 100)).astype(np.int32)
  table[:2], table[-2:] = 0, (1 << 31) - 1
  for _ in range(50):
    places = rng.uniform(0, 98, vectors.DOUBLES)
    places[:3] = 0.0, 98.0, rng.integers(0, 98)
    found = np.zeros(vectors.DOUBLES + 2 * GUARD)
    look_up(table, guarded(places), found)
    low = places.astype(np.int64)
    rise = (table[low + 1] - table[low]).astype(np.float64)
    check(found, table[low] + rise * (places - low))
