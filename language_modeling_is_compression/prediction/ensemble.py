"""Ensemble of experts: predicts a sample, scores it, and updates on it.

Shapes: H slots of a history.
"""

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.prediction import least_squares, mixture, nlms
from language_modeling_is_compression.prediction.history import flush_small, rewind
from language_modeling_is_compression.prediction.long_term import predict_residual, update_residual
from language_modeling_is_compression.prediction.state import (
  FIRST_OF_LONG,
  LAST_OF_LONG,
  LONG_STAGES,
  NUM_BLENDS,
  NUM_ERRORS,
  NUM_LEAST_SQUARES,
  NUM_PREDICTIONS,
  NUM_STAGES,
  QUICK,
  REPEATED,
  SHORT_STAGES,
  SLOW,
)

_RIDGE = 0.1
_BLEND_RIDGE = 0.03
_BLEND_EVERY = 8
_BLEND_ERROR_RATE = 0.2
_EQUAL_RATE = 1 / 32
_MIN_ERROR = 1e-30  # Of running errors, before they are denormal: see history.py.


@inlined
def predict(experts, channel, t):
  """Computes predictions, centres and scales of a channel's next sample; channels before it are known."""
  low, high = experts.limits[channel, 0], experts.limits[channel, 1]
  predictions = experts.predictions[channel]
  _gather(experts, channel)
  for k in range(NUM_LEAST_SQUARES):
    value = least_squares.predict(experts.least_squares, channel * NUM_LEAST_SQUARES + k)
    predictions[k] = min(max(value, low), high)
  at = experts.residual_position[channel]
  for stage in range(NUM_STAGES):
    taps = experts.taps[stage]
    experts.stage_predictions[channel, stage] = nlms.predict(
      experts.weights[channel, stage, :taps], experts.residuals[channel, stage, at : at + taps], experts.products
    )
  # Each prediction of a cascade adds one more stage to the least squares that it follows.
  total = predictions[QUICK]
  for stage in range(SHORT_STAGES):
    total += experts.stage_predictions[channel, LONG_STAGES + stage]
    predictions[NUM_LEAST_SQUARES + stage] = min(max(total, low), high)
  total = predictions[SLOW]
  for stage in range(LONG_STAGES):
    total += experts.stage_predictions[channel, stage]
    predictions[FIRST_OF_LONG + stage] = min(max(total, low), high)

  without = predictions[LAST_OF_LONG]
  repeated = without + predict_residual(experts.long_term, channel, neighbour_of(channel), t, without)
  predictions[REPEATED] = min(max(repeated, low), high)
  # Stackings start from long-term prediction, which equals the prediction before it where there is no lag.
  base, centres = predictions[REPEATED], experts.centres[channel]
  for b in range(NUM_BLENDS):
    blend = channel * NUM_BLENDS + b
    inputs, coefficients = least_squares.next_inputs(experts.blends, blend), experts.blends.coefficients[blend]
    blended = base
    for k in range(NUM_PREDICTIONS):
      inputs[k] = predictions[k] - base
      blended += coefficients[k] * inputs[k]
    centres[b] = min(max(blended, low), high)
  centres[2] = predictions[QUICK]
  centres[3] = predictions[SLOW]
  for j in range(mixture.NUM_SHAPES):
    scale = experts.running[channel, j // mixture.NUM_MULTIPLES] * mixture.MULTIPLES[j % mixture.NUM_MULTIPLES]
    experts.inverse_scales[channel, j] = mixture.STEPS_PER_SCALE / max(scale, mixture.MIN_SCALE)
  experts.unit[channel] = max(0.75 * experts.running[channel, 1], mixture.MIN_SCALE)


@inlined
def score(experts, channel, below, above):
  """Computes cumulative masses of the mixture's components at both edges of the bin of the sample that came."""
  centres, inverse_scales = experts.centres[channel], experts.inverse_scales[channel]
  mixture.shape_cumulatives(below, centres, inverse_scales, experts.table, experts.below)
  mixture.shape_cumulatives(above, centres, inverse_scales, experts.table, experts.above)


@inlined
def update(experts, channel, t, sample):
  """Updates all experts on a sample that has been scored. Returns the mass that their mixture gave it, of 1."""
  predictions, centres = experts.predictions[channel], experts.centres[channel]
  mass = mixture.update_weights(experts.below, experts.above, experts.masses, experts.shape_weights[channel])
  running = experts.running[channel]
  for j in range(mixture.NUM_TRACKED * mixture.NUM_RATES):
    error = abs(sample - centres[j // mixture.NUM_RATES])
    moved = running[j] + (error - running[j]) * mixture.RATES[j % mixture.NUM_RATES]
    running[j] = max(moved, _MIN_ERROR)

  for k in range(NUM_LEAST_SQUARES):
    weighting = experts.weighting_error[channel, k]
    root = np.sqrt(weighting + 2.0)
    experts.weighting_error[channel, k] = 0.5 * (weighting + abs(sample - predictions[k]))
    least_squares.update(
      experts.least_squares,
      channel * NUM_LEAST_SQUARES + k,
      sample,
      1.0 / (root * np.sqrt(root)),
      (t + k) % experts.solve_every[k] == 0,
      _RIDGE,
      0.0,
    )

  at = experts.residual_position[channel]
  left = np.float64(0)
  for stage in range(NUM_STAGES):
    left = _entering(stage, left, sample, predictions)
    taps = experts.taps[stage]
    error = flush_small(left - experts.stage_predictions[channel, stage])
    nlms.update(
      experts.weights[channel, stage, :taps],
      experts.residuals[channel, stage, at : at + taps],
      experts.recency[stage, :taps],
      experts.steps[stage],
      error,
      experts.products,
    )
    experts.residuals[channel, stage, at - 1] = left
    left = error
  experts.residual_position[channel] = rewind(experts.residuals[channel], at - 1)

  error = sample - centres[0]
  # Errors are weighted by the inverse square of their running magnitude.
  inverse = 1.0 / (experts.blend_error[channel] + 1.0)
  experts.blend_error[channel] += (abs(error) - experts.blend_error[channel]) * _BLEND_ERROR_RATE
  update_residual(experts.long_term, channel, t, sample, sample - predictions[LAST_OF_LONG])
  left = sample - predictions[REPEATED]
  for b in range(NUM_BLENDS):
    blend, solves = channel * NUM_BLENDS + b, (t + b) % _BLEND_EVERY == 0
    least_squares.update(experts.blends, blend, left, inverse * inverse, solves, _BLEND_RIDGE, _BLEND_RIDGE)

  _take_in(experts, channel, sample, error)
  return mass


@inlined
def advance(experts, channel, sample):
  """Takes in a sample without learning from it: histories move on, coefficients, scales and weights stay."""
  predictions = experts.predictions[channel]
  at = experts.residual_position[channel]
  left = np.float64(0)
  for stage in range(NUM_STAGES):
    left = _entering(stage, left, sample, predictions)
    experts.residuals[channel, stage, at - 1] = left
    left = flush_small(left - experts.stage_predictions[channel, stage])
  experts.residual_position[channel] = rewind(experts.residuals[channel], at - 1)
  _take_in(experts, channel, sample, sample - experts.centres[channel, 0])


@inlined
def _take_in(experts, channel, sample, error):
  """Moves on the histories of samples and of final errors."""
  errors = experts.errors[channel]
  for k in range(NUM_ERRORS - 1, 0, -1):
    errors[k] = errors[k - 1]
  errors[0] = error
  at = experts.sample_position[channel]
  equal = 1.0 if sample == experts.samples[channel, at] else 0.0
  experts.equal_rate[channel] += (equal - experts.equal_rate[channel]) * _EQUAL_RATE
  experts.samples[channel, at - 1] = sample
  experts.sample_position[channel] = rewind(experts.samples[channel : channel + 1], at - 1)


@inlined
def _gather(experts, channel):
  """Writes the inputs of least squares: the last samples of the channel and of its neighbour.

  The neighbour is the channel before it, whose current sample is known; the first channel's is the second.
  """
  at = experts.sample_position[channel]
  for k in range(NUM_LEAST_SQUARES):
    inputs = least_squares.next_inputs(experts.least_squares, channel * NUM_LEAST_SQUARES + k)
    own, other = experts.own[k], experts.other[k]
    for i in range(own):
      inputs[i] = experts.samples[channel, at + i]
    if other > 0:
      neighbour = neighbour_of(channel)
      beside = experts.sample_position[neighbour]
      for i in range(other):
        inputs[own + i] = experts.samples[neighbour, beside + i]


@compiled
def neighbour_of(channel):
  """Channel whose samples a channel is predicted from as well."""
  return channel - 1 if channel > 0 else 1


@compiled
def _entering(stage, left, sample, predictions):
  """Residual that a stage is to predict: of the least squares that its cascade follows, or what a stage left."""
  if stage == 0:
    return flush_small(sample - predictions[SLOW])
  if stage == LONG_STAGES:
    return flush_small(sample - predictions[QUICK])
  return left
