"""Adaptive filters: to the bit what NumPy has where it takes the same sums in the same order."""

import numpy as np
import pytest

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import filters
from language_modeling_is_compression.linear.presets import PRESETS, Stage
from language_modeling_is_compression.prediction import least_squares

SIZE = 16
SLOTS = 300
TINY = 1e-200


@compiled
def follow(several, inputs, targets, weights, solves, found):
  for t in range(len(inputs)):
    waiting = least_squares.next_inputs(several, 1)
    for i in range(inputs.shape[1]):
      waiting[i] = inputs[t, i]
    found[t] = least_squares.predict(several, 1)
    filters.update(several, 1, targets[t], weights[t], solves[t], 0.1, 0.01)


class Reference:
  """Least squares in NumPy, as FORMAT.md has it."""

  def __init__(self, forgetting: float):
    self.forgetting = forgetting
    self.covariance, self.moments, self.coefficients = np.zeros((SIZE, SIZE)), np.zeros(SIZE), np.zeros(SIZE)
    self.waiting: list[tuple[np.ndarray, float, float]] = []

  def take(self, inputs: np.ndarray, target: float, weight: float, solves: bool) -> None:
    self.waiting.append((inputs, target, weight))
    if solves or len(self.waiting) == 32:
      self._accumulate()
    if solves:
      work = least_squares.new_scratch(SIZE)
      least_squares.solve(self.covariance, self.moments, 0.1, 0.01, work, self.coefficients)

  def _accumulate(self) -> None:
    kept = 1.0
    scaled: list[np.ndarray] = []
    for inputs, _, weight in reversed(self.waiting):
      scaled.insert(0, weight * kept * inputs)
      kept *= self.forgetting
    self.covariance, self.moments = kept * self.covariance + TINY, kept * self.moments + TINY
    for (inputs, target, _), row in zip(self.waiting, scaled, strict=True):
      self.covariance += np.outer(row, inputs)
      self.moments += target * row
    self.waiting.clear()


@pytest.mark.parametrize('every', [1, 8, 31, 32, 33, 64])
def test_least_squares_in_blocks(every):
  """Also where equations are solved more seldom than samples may wait; another filter beside it is left alone."""
  rng = np.random.default_rng(every)
  inputs, targets, weights = rng.normal(0, 900, (150, SIZE)), rng.normal(0, 900, 150), rng.uniform(1e-4, 1, 150)
  solves = np.arange(150) % every == 0
  several, found = least_squares.new_least_squares([24, SIZE, 8], [0.5, 0.98, 0.5], filters.WAITING), np.zeros(150)
  follow(several, inputs, targets, weights, solves, found)
  reference = Reference(0.98)
  for t in range(150):
    assert found[t] == least_squares.dot(reference.coefficients, inputs[t], SIZE)
    reference.take(inputs[t], float(targets[t]), float(weights[t]), bool(solves[t]))
  upper = np.triu_indices(SIZE)
  np.testing.assert_array_equal(several.covariances[1][:SIZE, :SIZE][upper], reference.covariance[upper])
  np.testing.assert_array_equal(several.moments[1, :SIZE], reference.moments)
  np.testing.assert_array_equal(several.coefficients[1, :SIZE], reference.coefficients)
  assert np.abs(found).max() > 1
  for beside in (several.covariances, several.moments, several.coefficients, several.inputs, several.num_waiting):
    assert not beside[[0, 2]].any()


def test_least_squares_of_silence_do_not_fade_to_denormal_numbers():
  several, count = least_squares.new_least_squares([8, SIZE], [0.5, 0.5], filters.WAITING), 3000
  inputs = np.zeros((count, SIZE))
  inputs[0] = 1e-3
  follow(several, inputs, np.zeros(count), np.ones(count), np.arange(count) % 50 == 0, np.zeros(count))
  assert several.covariances[1][:SIZE, :SIZE][np.triu_indices(SIZE)].min() >= TINY
  assert several.moments[1, :SIZE].min() >= TINY


class StageReference:
  """A stage in NumPy. history: float32, the newest residual first."""

  def __init__(self, taps: int, step: float):
    self.taps, self.step = taps, step
    self.history, self.weights = np.zeros(taps, np.float32), np.zeros(taps, np.float32)
    self.power = self.level = self.prediction = 0.0

  def take(self, target: float) -> float:
    error = target - self.prediction
    step = np.float32(self.step * error / (self.power + self.level * self.level + 1.0))
    self.power = max(self.power + (target * target - self.power) / self.taps, 1e-30)
    self.level = max(self.level + (abs(error) - self.level) * (1 / 32), 1e-30)
    self.weights += step * self.history
    self.history = np.concatenate([[np.float32(target)], self.history[:-1]])
    self.prediction = self._sum(self.weights * self.history)
    if not abs(self.prediction) < 1e12:
      self.prediction = 0.0
      self.weights[:] = 0
    return error

  def _sum(self, products: np.ndarray) -> float:
    lanes = 64 if self.taps % 64 == 0 else 16
    sums = np.zeros(lanes, np.float32)
    for row in products.reshape(-1, lanes):
      sums += row
    if lanes == 64:
      of_four = sums.reshape(4, 16)
      sums = (of_four[0] + of_four[1]) + (of_four[2] + of_four[3])
    total = float(sums[0])
    for value in sums[1:]:
      total += float(value)
    return total


@pytest.mark.parametrize('taps', sorted({stage.taps for preset in PRESETS for stage in preset.stages}))
def test_nlms_stage(taps):
  """To the bit, of the last stage of several in the second channel; what is beside it stays as it is."""
  rng = np.random.default_rng(taps)
  cascade = filters.new_cascade((Stage(taps=16, step=0.5), Stage(taps=taps, step=0.01)), 2, SLOTS)
  reference, count = StageReference(taps, 0.01), SLOTS - 1
  targets = 900 * np.sin(0.3 * np.arange(count)) + rng.normal(0, 10.0 ** rng.integers(-3, 4, count))
  for target in targets.tolist():
    error = filters.adapt(cascade, 1, 1, target)
    assert error == reference.take(target)
    assert cascade.predictions[1, 1] == reference.prediction
    cascade.position[1] -= 1
  np.testing.assert_array_equal(cascade.weights[1, 1, :taps], reference.weights)
  assert (cascade.power[1, 1], cascade.error[1, 1]) == (reference.power, reference.level)
  assert np.abs(reference.weights).max() > 1e-4
  assert not cascade.weights[1, 1, taps:].any()
  for array in (cascade.weights, cascade.residuals, cascade.predictions, cascade.power, cascade.error):
    assert not array[0].any() and not array[1, 0].any()


@pytest.mark.parametrize('taps', [16, 64])
@pytest.mark.parametrize('weight', [1e30, np.inf, np.nan])
def test_a_stage_whose_weights_diverged_begins_anew(taps, weight):
  cascade = filters.new_cascade((Stage(taps=taps, step=0.01),), 1, SLOTS)
  cascade.weights[0, 0, 0] = weight
  filters.adapt(cascade, 0, 0, 100.0)
  assert cascade.predictions[0, 0] == 0.0
  assert not cascade.weights[0, 0].any()


def test_equations_are_solved_seldomer_and_seldomer():
  """From the 16th frame on every 1, 2, 4, ... frames, twice as seldom when twice as many have come."""
  early = [t for t in range(1024) if filters.solves_early(t)]
  assert early == [t for log in range(6) for t in range(16 << log, 32 << log, 1 << log)]
