"""Least squares: sums in the order that is said, and solutions that are those of the equations."""

import math

import numpy as np
import pytest

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.prediction import least_squares

SIZE = 16


def accumulate_one(
  covariance: np.ndarray, moments: np.ndarray, inputs: np.ndarray, target: float, weight: float, forgetting: float
) -> None:
  work = least_squares.new_scratch(len(inputs))
  one = (np.array([inputs]), np.array([target]), np.array([weight]))
  least_squares.accumulate(covariance, moments, *one, 1, forgetting, work)


def gathered(num_samples: int, seed: int = 0, forgetting: float = 0.99) -> tuple[np.ndarray, ...]:
  """Covariance and moments as accumulated, then as NumPy has them; of a target that inputs explain but for noise."""
  rng = np.random.default_rng(seed)
  covariance, moments = np.zeros((SIZE, SIZE)), np.zeros(SIZE)
  expected_covariance, expected_moments = np.zeros((SIZE, SIZE)), np.zeros(SIZE)
  for _ in range(num_samples):
    inputs = rng.normal(0, 100, SIZE)
    target, weight = float(inputs @ np.arange(SIZE) / 10 + rng.normal()), rng.uniform(0.1, 1)
    accumulate_one(covariance, moments, inputs, target, weight, forgetting)
    expected_covariance = forgetting * expected_covariance + weight * np.outer(inputs, inputs)
    expected_moments = forgetting * expected_moments + weight * target * inputs
  return covariance, moments, expected_covariance, expected_moments


def solved(
  covariance: np.ndarray, moments: np.ndarray, ridge: float = 0.0, relative: float = 0.0, before: float = 7.0
) -> np.ndarray:
  coefficients = np.full(len(moments), before)
  work = np.full_like(least_squares.new_scratch(len(moments)), np.nan)
  least_squares.solve(covariance, moments, ridge, relative, work, coefficients)
  return coefficients


def test_accumulates_the_upper_triangle_and_the_moments():
  covariance, moments, expected_covariance, expected_moments = gathered(50)
  upper = np.triu_indices(SIZE)
  np.testing.assert_allclose(covariance[upper], expected_covariance[upper], rtol=1e-12, atol=1e-9)
  np.testing.assert_allclose(moments, expected_moments, rtol=1e-12, atol=1e-9)


def test_nothing_that_decays_becomes_denormal():
  covariance, moments, inputs = np.ones((SIZE, SIZE)), np.ones(SIZE), np.zeros(SIZE)
  for _ in range(3000):
    accumulate_one(covariance, moments, inputs, 0.0, 1.0, 0.5)
  assert covariance[np.triu_indices(SIZE)].min() >= 1e-200 and moments.min() >= 1e-200


@pytest.mark.parametrize(('ridge', 'relative'), [(0.0, 0.0), (0.05, 0.0), (1e-3, 1e-3), (1000.0, 0.5)])
def test_solutions_are_those_of_the_equations(ridge, relative):
  covariance, moments, full, _ = gathered(60)
  full = full + np.diag(ridge + relative * np.diag(full))
  expected = np.linalg.solve(full, moments)
  np.testing.assert_allclose(solved(covariance, moments, ridge, relative), expected, rtol=1e-8)


def test_finds_what_made_the_target():
  covariance, moments, *_ = gathered(500, forgetting=1.0)
  np.testing.assert_allclose(solved(covariance, moments), np.arange(SIZE) / 10, atol=0.01)


def test_what_stands_below_the_diagonal_is_not_read():
  covariance, moments, *_ = gathered(60)
  spoilt = covariance.copy()
  spoilt[np.tril_indices(SIZE, -1)] = np.nan
  np.testing.assert_array_equal(solved(spoilt, moments), solved(covariance, moments))


@pytest.mark.parametrize('size', [8, 24, 48])
def test_nothing_beside_the_arrays_is_written(size):
  """What has no bounds to be checked is checked here: guards around all that is written to."""
  rng = np.random.default_rng(size)
  inputs = rng.normal(0, 10, (least_squares.WAITING, size))
  guards = {}

  def guarded(name: str, *shape: int) -> np.ndarray:
    whole = np.full(math.prod(shape) + 128, 7.0)
    guards[name] = (whole[:64], whole[-64:])
    array = whole[64:-64].reshape(shape)
    array[:] = 0
    return array

  covariance, moments = guarded('covariance', size, size), guarded('moments', size)
  coefficients, work = guarded('coefficients', size), guarded('work', *least_squares.new_scratch(size).shape)
  ones = np.ones(least_squares.WAITING)
  for _ in range(size):
    least_squares.accumulate(covariance, moments, inputs, ones, ones, least_squares.WAITING, 0.99, work)
  least_squares.solve(covariance, moments, 0.1, 0.1, work, coefficients)
  assert coefficients.any()
  for name, edges in guards.items():
    assert (np.array(edges) == 7.0).all(), name


@compiled
def follow(several, inputs, targets, weights, solves, found):
  for t in range(len(inputs)):
    waiting = least_squares.next_inputs(several, 1)
    for i in range(len(waiting)):
      waiting[i] = inputs[t, i]
    found[t] = least_squares.predict(several, 1)
    least_squares.update(several, 1, targets[t], weights[t], solves[t], 0.1, 0.01)


@pytest.mark.parametrize('every', [1, 2, 7, 8, 20])
def test_samples_that_wait_count_as_if_they_did_not(every):
  """Whenever equations are solved, also more seldom than the samples that may wait."""
  rng = np.random.default_rng(every)
  inputs, targets, weights = rng.normal(0, 9, (60, SIZE)), rng.normal(0, 9, 60), rng.uniform(0.1, 1, 60)
  solves = np.arange(60) % every == 0
  several, found = least_squares.new_least_squares([8, SIZE], [0.5, 0.98]), np.zeros(60)
  follow(several, inputs, targets, weights, solves, found)
  covariance, moments, coefficients = np.zeros((SIZE, SIZE)), np.zeros(SIZE), np.zeros(SIZE)
  for t in range(60):
    assert found[t] == least_squares.dot(coefficients, inputs[t], SIZE)
    accumulate_one(covariance, moments, inputs[t], targets[t], weights[t], 0.98)
    if solves[t]:
      least_squares.solve(covariance, moments, 0.1, 0.01, least_squares.new_scratch(SIZE), coefficients)
  assert not several.coefficients[0].any() and np.abs(found).max() > 1


@pytest.mark.parametrize(
  ('covariance', 'moments'),
  [
    pytest.param(np.zeros((SIZE, SIZE)), np.ones(SIZE), id='nothing known'),
    pytest.param(np.ones((SIZE, SIZE)), np.ones(SIZE), id='singular'),
    pytest.param(-np.eye(SIZE), np.ones(SIZE), id='negative'),
    pytest.param(np.full((SIZE, SIZE), np.nan), np.ones(SIZE), id='no numbers'),
    pytest.param(np.eye(SIZE), np.full(SIZE, 1e9), id='too large a solution'),
    pytest.param(np.eye(SIZE), np.full(SIZE, np.nan), id='no solution'),
  ],
)
def test_coefficients_stay_where_there_is_no_solution(covariance, moments):
  np.testing.assert_array_equal(solved(covariance, moments), np.full(SIZE, 7.0))


def test_sums_are_of_every_eighth_product_first():
  """To the last bit: large numbers that cancel show any other order."""
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=48) * 10.0 ** rng.integers(-8, 9, 48), rng.normal(size=48)
  for size in (8, 24, 48):
    sums = [0.0] * 8
    for i in range(size):
      sums[i % 8] += float(a[i]) * float(b[i])
    total = sums[0]
    for value in sums[1:]:
      total += value
    assert least_squares.dot(a, b, size) == total
  assert least_squares.dot(a, b, 48) != sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
