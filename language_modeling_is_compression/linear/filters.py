"""Adaptive filters of linear prediction: least squares that learn in blocks of samples, and a cascade of NLMS stages.

Sums are taken in one order that no compiler may change, so results are the same on every machine with IEEE 754 numbers.

Least squares are those of prediction/least_squares.py, but for how covariances are summed.

Shapes: C channels; S stages of at most T taps; H slots of a history.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.kernels.vectors import (
  DOUBLES,
  SINGLES,
  doubles,
  load,
  preceded,
  singles,
  store,
  total,
)
from language_modeling_is_compression.linear.presets import Stage
from language_modeling_is_compression.prediction.least_squares import solve

WAITING = 32  # Samples after which covariances take them in.
_TINY = 1e-200  # Keeps what decays from becoming denormal; too small to change any other number.
_EARLY_SHARE_LOG = 4  # Early equations are solved once while about a sixteenth of the samples so far come.
_PANEL = 4  # Rows whose sums are taken together.
_MAX_PREDICTION = 1e12  # Of a stage; beyond it its weights begin anew.
_MIN_POWER = 1e-30  # Before it is denormal.
_ERROR_RATE = 1 / 32
_UNROLLED = 4 * SINGLES  # Taps whose products go to sums of their own, so that none waits for another.


@inlined
def update(several, g, target, weight, solves, ridge, relative_ridge):
  """Takes in the target of the last inputs; solves: whether the equations are solved now."""
  last = several.num_waiting[g]
  several.targets[g, last], several.weights[g, last] = target, weight
  several.num_waiting[g] = last + 1
  if solves or last + 1 == WAITING:
    accumulate(several, g, last + 1)
    several.num_waiting[g] = 0
  if solves:
    size = several.sizes[g]
    solve(
      several.covariances[g], several.moments[g, :size], ridge, relative_ridge, several.work, several.coefficients[g]
    )


@compiled
def solves_early(t):
  """Whether equations are solved after an early sample: every 1, 2, 4, ... frames."""
  every = np.int64(1)
  while every << (_EARLY_SHARE_LOG + 1) <= t:
    every <<= 1
  return t >> _EARLY_SHARE_LOG > 0 and t % every == 0


@compiled
def accumulate(several, g, count):
  """Adds the count samples that wait to covariances and moments, each weighted by how long ago it came."""
  size, forgetting = several.sizes[g], several.forgetting[g]
  covariance, moments, inputs = several.covariances[g], several.moments[g], several.inputs[g]
  targets, weights, scaled = several.targets[g], several.weights[g], several.work
  kept = 1.0
  for s in range(count - 1, -1, -1):
    weight = doubles(weights[s] * kept)
    for j in range(0, size, DOUBLES):
      store(scaled[s], j, weight * load(inputs[s], j))
    kept *= forgetting
  fading, tiny = doubles(kept), doubles(_TINY)
  # A panel of rows at a time: one row's sums would wait for each other.
  for i in range(0, size, _PANEL):
    row0, row1, row2, row3 = covariance[i], covariance[i + 1], covariance[i + 2], covariance[i + 3]
    for j in range(i & -DOUBLES, size, DOUBLES):
      sums0, sums1 = fading * load(row0, j) + tiny, fading * load(row1, j) + tiny
      sums2, sums3 = fading * load(row2, j) + tiny, fading * load(row3, j) + tiny
      for s in range(count):
        row, beside = scaled[s], load(inputs[s], j)
        sums0 = sums0 + doubles(row[i]) * beside
        sums1 = sums1 + doubles(row[i + 1]) * beside
        sums2 = sums2 + doubles(row[i + 2]) * beside
        sums3 = sums3 + doubles(row[i + 3]) * beside
      store(row0, j, sums0)
      store(row1, j, sums1)
      store(row2, j, sums2)
      store(row3, j, sums3)
  for j in range(0, size, DOUBLES):
    sums = fading * load(moments, j) + tiny
    for s in range(count):
      sums = sums + doubles(targets[s]) * load(scaled[s], j)
    store(moments, j, sums)


class Cascade(NamedTuple):
  """NLMS stages of all channels, each of which predicts what the one before it left.

  Histories have the newest residual first, at the channel's position. predictions: of the coming sample's residuals.
  """

  taps: np.ndarray  # int64 [S]
  steps: np.ndarray  # float64 [S]
  residuals: np.ndarray  # float32 [C, S, H]
  position: np.ndarray  # int64 [C]
  weights: np.ndarray  # float32 [C, S, T]
  predictions: np.ndarray  # float64 [C, S]
  power: np.ndarray  # float64 [C, S], running mean square of the residuals in reach
  error: np.ndarray  # float64 [C, S], running magnitude of what the stage leaves


def new_cascade(stages: Sequence[Stage], num_channels: int, slots: int) -> Cascade:
  """Stages before the first sample. slots: samples after which a history is copied back to its end."""
  longest = max(stage.taps for stage in stages)
  return Cascade(
    taps=np.array([stage.taps for stage in stages], np.int64),
    steps=np.array([stage.step for stage in stages], np.float64),
    residuals=np.zeros((num_channels, len(stages), slots + longest), np.float32),
    position=np.full(num_channels, slots, np.int64),
    weights=np.zeros((num_channels, len(stages), longest), np.float32),
    predictions=np.zeros((num_channels, len(stages))),
    power=np.zeros((num_channels, len(stages))),
    error=np.zeros((num_channels, len(stages))),
  )


@compiled
def adapt(cascade, channel, stage, target):
  """Moves a stage's weights against its error, takes the target in, predicts the next one. Returns the error."""
  at, taps = cascade.position[channel], cascade.taps[stage]
  error = target - cascade.predictions[channel, stage]
  power, level = cascade.power[channel, stage], cascade.error[channel, stage]
  step = singles(np.float32(cascade.steps[stage] * error / (power + level * level + 1.0)))
  cascade.power[channel, stage] = max(power + (target * target - power) / taps, _MIN_POWER)
  cascade.error[channel, stage] = max(level + (abs(error) - level) * _ERROR_RATE, _MIN_POWER)
  history, weights = cascade.residuals[channel, stage], cascade.weights[channel, stage]
  history[at - 1] = np.float32(target)
  # The history for the next prediction is the one for this error, moved on by the target, which is cheaper than to load
  # it: what has just been written in part is waited for.
  last = singles(np.float32(target))
  if taps % _UNROLLED == 0:
    sums0, sums1, sums2, sums3 = singles(0.0), singles(0.0), singles(0.0), singles(0.0)
    for k in range(0, taps, _UNROLLED):
      past0, past1 = load(history, at + k), load(history, at + k + SINGLES)
      past2, past3 = load(history, at + k + 2 * SINGLES), load(history, at + k + 3 * SINGLES)
      moved0, moved1 = load(weights, k) + step * past0, load(weights, k + SINGLES) + step * past1
      moved2, moved3 = load(weights, k + 2 * SINGLES) + step * past2, load(weights, k + 3 * SINGLES) + step * past3
      store(weights, k, moved0)
      store(weights, k + SINGLES, moved1)
      store(weights, k + 2 * SINGLES, moved2)
      store(weights, k + 3 * SINGLES, moved3)
      sums0 = sums0 + moved0 * preceded(past0, last)
      sums1 = sums1 + moved1 * preceded(past1, past0)
      sums2 = sums2 + moved2 * preceded(past2, past1)
      sums3 = sums3 + moved3 * preceded(past3, past2)
      last = past3
    sums = (sums0 + sums1) + (sums2 + sums3)
  else:
    sums = singles(0.0)
    for k in range(0, taps, SINGLES):
      past = load(history, at + k)
      moved = load(weights, k) + step * past
      store(weights, k, moved)
      sums = sums + moved * preceded(past, last)
      last = past
  prediction = total(sums)
  if not abs(prediction) < _MAX_PREDICTION:
    prediction = 0.0
    weights[:] = np.float32(0.0)
  cascade.predictions[channel, stage] = prediction
  return error
