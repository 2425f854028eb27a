"""The logistic function as a table, masses read from it, and weights that follow the better components."""

import decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from language_modeling_is_compression.prediction import mixture

TABLE = mixture.logistic_table()
DISTANCES = st.floats(-800, 800) | st.sampled_from([-640.0, 640.0, -0.0, 0.0, 1e30, -1e30, 5e-324])


def exact_logistic(index: int) -> int:
  """floor(2**30 / (1 + exp(-z))) at an entry of the table."""
  with decimal.localcontext() as context:
    context.prec = 60
    exponential = (-(decimal.Decimal(index - 640) / 32)).exp()
    return int((1 << 30) / (1 + exponential))


def test_table_is_the_logistic_function():
  assert TABLE.dtype == np.int32 and len(TABLE) == 1282
  assert [int(value) for value in TABLE[640:1280]] == [exact_logistic(index) for index in range(640, 1280)]
  np.testing.assert_array_equal(TABLE[:-1] + TABLE[-2::-1].astype(np.int64), mixture.WHOLE)
  assert (TABLE[0], TABLE[-2], TABLE[-1]) == (0, mixture.WHOLE, mixture.WHOLE)
  assert (np.diff(TABLE) >= 0).all()


@pytest.mark.parametrize(
  ('distance', 'mass'),
  [
    (-1e30, 0),
    (-640.0, 0),
    (-np.inf, 0),
    (np.nan, 0),
    (0.0, 1 << 29),
    (32.0, TABLE[672]),
    (640.0, 1 << 30),
    (1e30, 1 << 30),
    (np.inf, 1 << 30),
  ],
)
def test_cumulative_masses_at_entries_and_ends(distance, mass):
  assert mixture.cumulative(distance, TABLE) == mass


def test_cumulative_masses_run_straight_between_entries():
  low, high = int(TABLE[650]), int(TABLE[651])
  for share in (0.25, 0.5, 0.999):
    assert mixture.cumulative(10 + share, TABLE) == low + int((high - low) * share)


@given(DISTANCES, DISTANCES)
def test_cumulative_masses_never_fall(first, second):
  low, high = sorted((first, second))
  assert 0 <= mixture.cumulative(low, TABLE) <= mixture.cumulative(high, TABLE) <= mixture.WHOLE


@given(st.floats(-700, 700))
def test_cumulative_masses_are_near_the_logistic_function(distance):
  expected = 1 / (1 + np.exp(-distance / 32))
  assert abs(mixture.cumulative(distance, TABLE) / mixture.WHOLE - expected) < 2e-5


def test_masses_are_those_of_two_edges():
  below, above = np.zeros((2, mixture.NUM_SHAPES), np.int64)
  centres, inverse_scales = np.array([3.0, -2.0, 99.0, 99.0]), 32 / (1.0 + np.arange(mixture.NUM_SHAPES))
  mixture.shape_cumulatives(0.5, centres, inverse_scales, TABLE, below)
  mixture.shape_cumulatives(1.5, centres, inverse_scales, TABLE, above)
  scales = 1.0 + np.arange(mixture.NUM_SHAPES)
  centre = np.where(np.arange(mixture.NUM_SHAPES) < 16, 3.0, -2.0)
  expected = 1 / (1 + np.exp(-(1.5 - centre) / scales)) - 1 / (1 + np.exp(-(0.5 - centre) / scales))
  np.testing.assert_allclose((above - below) / mixture.WHOLE, expected, atol=3e-5)


def test_weights_follow_the_best_and_keep_a_share_for_all():
  weights = np.full(mixture.NUM_SHAPES, 1 / mixture.NUM_SHAPES)
  nothing, work = np.zeros(mixture.NUM_SHAPES, np.int64), np.zeros(mixture.NUM_SHAPES)
  above = np.full(mixture.NUM_SHAPES, mixture.WHOLE // 10)
  above[5] *= 2
  for _ in range(50):
    total = mixture.update_weights(nothing, above, work, weights)
    assert 0.1 <= total <= 0.2001
  assert weights.argmax() == 5 and weights[5] > 0.99
  assert weights.min() >= 0.001 / mixture.NUM_SHAPES
  np.testing.assert_allclose(weights.sum(), 1)
  impossible = mixture.update_weights(nothing, nothing, work, weights)
  np.testing.assert_allclose(impossible, 1e-9)
  assert weights.argmax() == 5
