"""The codebook of filters that channels begin with: what its coefficients, deviations and correlations have to be."""

import numpy as np
import pytest

from language_modeling_is_compression.prediction.codebook import NUM_FILTERS, ORDER, Filter, filters

EACH = pytest.mark.parametrize('chosen', filters(), ids=range(NUM_FILTERS))


def toeplitz(correlations: np.ndarray) -> np.ndarray:
  places = np.arange(len(correlations))
  return correlations[np.abs(places[:, None] - places)]


def test_a_start_has_five_bits_for_it():
  assert NUM_FILTERS == 32
  assert len({chosen.predictors.tobytes() for chosen in filters()}) == NUM_FILTERS


@EACH
def test_predictors_of_all_orders_solve_the_normal_equations(chosen: Filter):
  for order in range(1, ORDER + 1):
    matrix, targets = toeplitz(chosen.autocorrelation[:order]), chosen.autocorrelation[1 : order + 1]
    found = chosen.predictors[order]
    assert not found[order:].any()
    np.testing.assert_allclose(matrix @ found[:order], targets, rtol=0, atol=1e-10 * chosen.autocorrelation[0])


@EACH
def test_deviations_are_of_what_predictors_leave_over(chosen: Filter):
  assert chosen.deviations[ORDER] == 1.0
  assert (np.diff(chosen.deviations) <= 0).all()
  for order in range(ORDER + 1):
    left = chosen.autocorrelation[0] - chosen.predictors[order, :order] @ chosen.autocorrelation[1 : order + 1]
    assert left == pytest.approx(chosen.deviations[order] ** 2, rel=1e-4, abs=1e-9 * chosen.autocorrelation[0])


@EACH
def test_filters_are_stable(chosen: Filter):
  roots = np.roots(np.concatenate([[1.0], -chosen.predictors[ORDER]]))
  assert (np.abs(roots) < 1.0).all()


@EACH
def test_correlations_go_on_as_those_of_the_process(chosen: Filter):
  """They solve the normal equations of any order with the same filter."""
  found = chosen.correlations(40)
  np.testing.assert_array_equal(found[: ORDER + 1], chosen.autocorrelation)
  np.testing.assert_array_equal(found[:5], chosen.correlations(5))
  expected = np.zeros(39)
  expected[:ORDER] = chosen.predictors[ORDER]
  np.testing.assert_allclose(toeplitz(found[:39]) @ expected, found[1:], rtol=0, atol=1e-10 * found[0])
