"""One sample's way through the experts: what they expect of it, and what they learn when it has come."""

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.prediction import least_squares, mixture, nlms
from language_modeling_is_compression.prediction.long_term import expect_residual, learn_residual
from language_modeling_is_compression.prediction.state import (
  FIRST_OF_LONG,
  HISTORY_SLOTS,
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
# In silence residuals and running errors fade. They stop before they are denormal, which a thread may be set to take
# for 0 (what is compiled with -ffast-math does so when it is loaded), and another machine would compute otherwise.
_SMALLEST_RESIDUAL = 2.0**-20
_SMALLEST_ERROR = 1e-30


@inlined
def expect(experts, channel, t):
  """Predictions, centres and scales of a channel's next sample; those of the channels before it have come."""
  low, high = experts.limits[channel, 0], experts.limits[channel, 1]
  predictions = experts.predictions[channel]
  _gather(experts, channel)
  for k in range(NUM_LEAST_SQUARES):
    value = least_squares.expect(experts.least_squares, channel * NUM_LEAST_SQUARES + k)
    predictions[k] = min(max(value, low), high)
  at = experts.residual_position[channel]
  for stage in range(NUM_STAGES):
    taps = experts.taps[stage]
    experts.stage_predictions[channel, stage] = nlms.predict(
      experts.weights[channel, stage, :taps], experts.residuals[channel, stage, at : at + taps], experts.products
    )
  # Predictions of the short cascade come first, so that the last one of all is the long one's.
  total = predictions[QUICK]
  for stage in range(SHORT_STAGES):
    total += experts.stage_predictions[channel, LONG_STAGES + stage]
    predictions[NUM_LEAST_SQUARES + stage] = min(max(total, low), high)
  total = predictions[SLOW]
  for stage in range(LONG_STAGES):
    total += experts.stage_predictions[channel, stage]
    predictions[FIRST_OF_LONG + stage] = min(max(total, low), high)

  without = predictions[LAST_OF_LONG]
  repeated = without + expect_residual(experts.repeats, channel, neighbour_of(channel), t, without)
  predictions[REPEATED] = min(max(repeated, low), high)
  # Blends begin with what is best if something repeats, and else the same as the one before it.
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
    experts.inverse_scales[channel, j] = mixture.STEPS_PER_SCALE / max(scale, mixture.SMALLEST_SCALE)
  experts.unit[channel] = max(0.75 * experts.running[channel, 1], mixture.SMALLEST_SCALE)


@inlined
def weigh(experts, channel, below, above):
  """What the shapes of the experts' mixture have below the edges of the cell of the sample that came."""
  centres, inverse_scales = experts.centres[channel], experts.inverse_scales[channel]
  mixture.shape_cumulatives(below, centres, inverse_scales, experts.table, experts.below)
  mixture.shape_cumulatives(above, centres, inverse_scales, experts.table, experts.above)


@inlined
def learn(experts, channel, t, sample):
  """Takes a sample in that has been weighed; returns the mass that the experts' mixture gave it, of 1."""
  predictions, centres = experts.predictions[channel], experts.centres[channel]
  mass = mixture.follow(experts.below, experts.above, experts.masses, experts.shape_weights[channel])
  running = experts.running[channel]
  for j in range(mixture.NUM_TRACKED * mixture.NUM_RATES):
    error = abs(sample - centres[j // mixture.NUM_RATES])
    moved = running[j] + (error - running[j]) * mixture.RATES[j % mixture.NUM_RATES]
    running[j] = max(moved, _SMALLEST_ERROR)

  for k in range(NUM_LEAST_SQUARES):
    weighting = experts.weighting_error[channel, k]
    root = np.sqrt(weighting + 2.0)
    experts.weighting_error[channel, k] = 0.5 * (weighting + abs(sample - predictions[k]))
    least_squares.learn(
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
    if stage == 0:
      left = _settled(sample - predictions[SLOW])
    elif stage == LONG_STAGES:
      left = _settled(sample - predictions[QUICK])
    taps = experts.taps[stage]
    error = _settled(left - experts.stage_predictions[channel, stage])
    nlms.adapt(
      experts.weights[channel, stage, :taps],
      experts.residuals[channel, stage, at : at + taps],
      experts.recency[stage, :taps],
      experts.steps[stage],
      error,
      experts.products,
    )
    experts.residuals[channel, stage, at - 1] = left
    left = error
  experts.residual_position[channel] = _moved(experts.residuals[channel], at - 1)

  error = sample - centres[0]
  # Errors weigh less where they are large, by the square of how large they have been of late.
  inverse = 1.0 / (experts.blend_error[channel] + 1.0)
  experts.blend_error[channel] += (abs(error) - experts.blend_error[channel]) * _BLEND_ERROR_RATE
  learn_residual(experts.repeats, channel, t, sample, sample - predictions[LAST_OF_LONG])
  left = sample - predictions[REPEATED]
  for b in range(NUM_BLENDS):
    blend, solves = channel * NUM_BLENDS + b, (t + b) % _BLEND_EVERY == 0
    least_squares.learn(experts.blends, blend, left, inverse * inverse, solves, _BLEND_RIDGE, _BLEND_RIDGE)

  errors = experts.errors[channel]
  for k in range(NUM_ERRORS - 1, 0, -1):
    errors[k] = errors[k - 1]
  errors[0] = error
  at = experts.sample_position[channel]
  equal = 1.0 if sample == experts.samples[channel, at] else 0.0
  experts.equal_rate[channel] += (equal - experts.equal_rate[channel]) * _EQUAL_RATE
  experts.samples[channel, at - 1] = sample
  experts.sample_position[channel] = _moved(experts.samples[channel : channel + 1], at - 1)
  return mass


@inlined
def _gather(experts, channel):
  """Inputs of least squares: the last samples of the channel and of its neighbour.

  That is the channel before it, whose current sample has come already; the first channel's is the second.
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
  """The channel that another one's samples are predicted from as well."""
  return channel - 1 if channel > 0 else 1


@compiled
def _settled(residual):
  return residual if abs(residual) > _SMALLEST_RESIDUAL else 0.0


@compiled
def _moved(histories, at):
  """The position after a history [rows, H] took its newest sample in at `at`; near its beginning it is moved back."""
  if at > 0:
    return at
  rows, slots = histories.shape
  kept = slots - HISTORY_SLOTS
  for row in range(rows):
    for i in range(kept - 1, -1, -1):
      histories[row, HISTORY_SLOTS + i] = histories[row, i]
  return at + HISTORY_SLOTS
