"""Linear prediction of a channel's next sample, and learning from the one that came.

Least squares of long and short memory; a cascade of NLMS stages on what the first of them leaves, and in some presets
another one on what the last leaves; long-term prediction where there is a lag; and a stacking of all of these, which is
least squares too.

What codings 5 and 6 begin with is written by start.py; codings 3 and 4 have none of it.

Shapes: C channels, K least squares of each, S stages of both cascades, H slots of a history, R last errors, O the order
of the first predictors.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.linear import filters
from language_modeling_is_compression.linear.filters import WAITING, Cascade, adapt, new_cascade
from language_modeling_is_compression.linear.presets import Preset
from language_modeling_is_compression.prediction import least_squares
from language_modeling_is_compression.prediction.ensemble import neighbour_of
from language_modeling_is_compression.prediction.history import HISTORY_SLOTS, flush_small, rewind
from language_modeling_is_compression.prediction.least_squares import BLOCK, LeastSquares, new_least_squares
from language_modeling_is_compression.prediction.long_term import (
  BLOCK_LOG,
  LongTerm,
  new_long_term,
  predict_residual,
  remember,
)

_RIDGE = 0.1
_ERROR_RATE = 0.5
_BLEND_FORGETTING = 0.998
_BLEND_EVERY = 32
_BLEND_RIDGE = 0.03
_BLEND_ERROR_RATE = 0.2
_BLEND_ERROR = 16.0
_NUM_ERRORS = 2  # Last errors of the stacking that it has as inputs.
NUM_CENTRES = 4
# Centres: the stacking, the second least squares, and where there is a second cascade, its end and the base of the
# stacking.
STACKED, SHORT, QUICK, BASE = range(NUM_CENTRES)
_REPEAT_RIDGE = 1.0
_REPEAT_ERROR_RATE = 0.05
_MIN_ERROR = 1e-30


class Predictor(NamedTuple):
  """Arrays of all channels. Histories have the newest sample first, at the channel's position."""

  own: np.ndarray  # int64 [K]
  other: np.ndarray  # int64 [K]; 0 for mono
  solve_every: np.ndarray  # int64 [K]
  limits: np.ndarray  # float64 [C, 2], the least and the largest sample
  samples: np.ndarray  # float64 [C, H]
  position: np.ndarray  # int64 [C]
  least_squares: LeastSquares  # G = C * K, all of the first channel first
  expected: np.ndarray  # float64 [C, K], their predictions
  error: np.ndarray  # float64 [C, K], their running errors
  cascade: Cascade
  num_following_first: int  # Stages that follow the first least squares; others follow the last.
  long_term: LongTerm
  blends: LeastSquares  # G = C
  blend_error: np.ndarray  # float64 [C], the stacking's running error
  last_errors: np.ndarray  # float64 [C, R], newest first
  without: np.ndarray  # float64 [C], predictions without long-term prediction,
  base: np.ndarray  # float64 [C], and with it
  centres: np.ndarray  # float64 [C, NUM_CENTRES]
  first_predictors: np.ndarray  # float64 [C, O, O], those of the first O samples, by how many came before
  num_starting: int  # Frames in which least squares are solved oftener,
  num_unlearned: int  # and the first ones of them, from which they do not learn; both 0 in codings 3 and 4.


def new_predictor(
  preset: Preset, limits: np.ndarray, lags: np.ndarray, num_frames: int, num_errors: int = _NUM_ERRORS
) -> Predictor:
  """Predictor before the first sample. limits: [C, 2], the least and the largest sample of each channel.

  lags: see long_term.py. num_errors: R, at least 2.
  """
  num_channels, stereo = len(limits), len(limits) > 1
  stages = (*preset.stages, *preset.quick_stages)
  count, num_stages = len(preset.least_squares), len(stages)
  own = np.array([each.own for each in preset.least_squares], np.int64)
  other = np.array([each.other for each in preset.least_squares], np.int64) * stereo
  num_inputs = count + num_stages + _NUM_ERRORS
  return Predictor(
    own=own,
    other=other,
    solve_every=np.array([each.solve_every for each in preset.least_squares], np.int64),
    limits=np.asarray(limits, np.float64),
    samples=np.zeros((num_channels, HISTORY_SLOTS + own.max())),
    position=np.full(num_channels, HISTORY_SLOTS, np.int64),
    least_squares=new_least_squares(
      (own + other).tolist() * num_channels,
      [each.forgetting for each in preset.least_squares] * num_channels,
      WAITING,
    ),
    expected=np.zeros((num_channels, count)),
    error=np.zeros((num_channels, count)),
    cascade=new_cascade(stages, num_channels, HISTORY_SLOTS),
    num_following_first=len(preset.stages),
    long_term=new_long_term(lags, num_frames, num_channels, preset.solve_long_term_every, WAITING),
    blends=new_least_squares(
      [num_inputs + -num_inputs % BLOCK] * num_channels, [_BLEND_FORGETTING] * num_channels, WAITING
    ),
    blend_error=np.full(num_channels, _BLEND_ERROR),
    last_errors=np.zeros((num_channels, num_errors)),
    without=np.zeros(num_channels),
    base=np.zeros(num_channels),
    centres=np.zeros((num_channels, NUM_CENTRES)),
    first_predictors=np.zeros((num_channels, 0, 0)),
    num_starting=0,
    num_unlearned=0,
  )


def frozen(predictor: Predictor) -> Predictor:
  """A predictor of the same arrays whose cascades learn nothing more."""
  cascade = predictor.cascade
  return predictor._replace(cascade=cascade._replace(steps=np.zeros_like(cascade.steps)))


@inlined
def predict(predictor, channel, t):
  """Computes the centres of a channel's next sample; the channels before it are known."""
  low, high = predictor.limits[channel, 0], predictor.limits[channel, 1]
  expected, cascade = predictor.expected[channel], predictor.cascade
  count, num_stages, num_first = len(predictor.own), len(cascade.taps), predictor.num_following_first
  for k in range(count):
    inputs = least_squares.next_inputs(predictor.least_squares, channel * count + k)
    _gather(predictor, channel, k, inputs)
    expected[k] = min(max(least_squares.predict(predictor.least_squares, channel * count + k), low), high)
  if t < predictor.first_predictors.shape[1]:
    _predict_first(predictor, channel, t)
  total = expected[0]
  for stage in range(num_first):
    total += cascade.predictions[channel, stage]
  without = min(max(total, low), high)
  repeated = without + predict_residual(predictor.long_term, channel, neighbour_of(channel), t, without)
  base = min(max(repeated, low), high)
  predictor.without[channel], predictor.base[channel] = without, base

  inputs = least_squares.next_inputs(predictor.blends, channel)
  for k in range(count):
    inputs[k] = expected[k] - base
  total = expected[0]
  for stage in range(num_first - 1):
    total += cascade.predictions[channel, stage]
    inputs[count + stage] = min(max(total, low), high) - base
  inputs[count + num_first - 1] = without - base
  total = expected[count - 1]
  for stage in range(num_first, num_stages):
    total += cascade.predictions[channel, stage]
    inputs[count + stage] = min(max(total, low), high) - base
  for k in range(_NUM_ERRORS):
    inputs[count + num_stages + k] = predictor.last_errors[channel, k]
  blended = base + least_squares.predict(predictor.blends, channel)
  predictor.centres[channel, STACKED] = min(max(blended, low), high)
  predictor.centres[channel, SHORT] = expected[1]
  predictor.centres[channel, QUICK] = min(max(total, low), high)
  predictor.centres[channel, BASE] = base


@inlined
def learn(predictor, channel, t, sample):
  """Updates all filters on a sample that `predict` was called for."""
  expected, errors, count = predictor.expected[channel], predictor.error[channel], len(predictor.own)
  for k in range(count):
    errors[k] = max(errors[k] + (abs(sample - expected[k]) - errors[k]) * _ERROR_RATE, _MIN_ERROR)
    solves = (t + k) % predictor.solve_every[k] == 0 or (t < predictor.num_starting and filters.solves_early(t))
    weight = 1.0 / (errors[k] + 2.0) if t >= predictor.num_unlearned else 0.0
    filters.update(predictor.least_squares, channel * count + k, sample, weight, solves, _RIDGE, 0.0)
  _run_cascades(predictor, channel, sample)
  long_term, residual = predictor.long_term, sample - predictor.without[channel]
  if long_term.residuals.shape[1] > 0:
    remember(long_term, channel, t, sample, residual)
    if long_term.lags[t >> BLOCK_LOG, 0] > 0:
      weight = 1.0 / (long_term.error[channel] + 1.0)
      followed = long_term.error[channel] + (abs(residual) - long_term.error[channel]) * _REPEAT_ERROR_RATE
      long_term.error[channel] = max(followed, _MIN_ERROR)
      solves = t % long_term.solve_every == 0
      filters.update(long_term.least_squares, channel, residual, weight, solves, _REPEAT_RIDGE, 0.0)

  error = sample - predictor.centres[channel, STACKED]
  inverse = 1.0 / (predictor.blend_error[channel] + 1.0)
  followed = predictor.blend_error[channel] + (abs(error) - predictor.blend_error[channel]) * _BLEND_ERROR_RATE
  predictor.blend_error[channel] = max(followed, _MIN_ERROR)
  solves = (t + count) % _BLEND_EVERY == 0
  left = sample - predictor.base[channel]
  filters.update(predictor.blends, channel, left, inverse * inverse, solves, _BLEND_RIDGE, _BLEND_RIDGE)
  _take_in(predictor, channel, sample, error)


@inlined
def advance(predictor, channel, sample):
  """Takes in a sample without learning from it: histories move on, coefficients stay. predictor: `frozen`."""
  _run_cascades(predictor, channel, sample)
  _take_in(predictor, channel, sample, sample - predictor.centres[channel, STACKED])


@compiled
def _predict_first(predictor, channel, t):
  """Predicts one of the first samples from those before it, in place of all least squares."""
  at, value = predictor.position[channel], 0.0
  for i in range(t):
    value += predictor.first_predictors[channel, t, i] * predictor.samples[channel, at + i]
  value = min(max(value, predictor.limits[channel, 0]), predictor.limits[channel, 1])
  for k in range(len(predictor.own)):
    predictor.expected[channel, k] = value


@inlined
def _run_cascades(predictor, channel, sample):
  """Has all stages take in what they were to predict, and predict what comes next."""
  expected, cascade = predictor.expected[channel], predictor.cascade
  left = sample - expected[0]
  for stage in range(len(cascade.taps)):
    if stage == predictor.num_following_first:
      left = sample - expected[len(expected) - 1]
    left = adapt(cascade, channel, stage, flush_small(left))
  cascade.position[channel] = rewind(cascade.residuals[channel], cascade.position[channel] - 1)


@inlined
def _take_in(predictor, channel, sample, error):
  """Moves on the histories of samples and of the stacking's errors."""
  for k in range(predictor.last_errors.shape[1] - 1, 0, -1):
    predictor.last_errors[channel, k] = predictor.last_errors[channel, k - 1]
  predictor.last_errors[channel, 0] = error
  at = predictor.position[channel] - 1
  predictor.samples[channel, at] = sample
  predictor.position[channel] = rewind(predictor.samples[channel : channel + 1], at)


@inlined
def _gather(predictor, channel, k, inputs):
  """Writes the inputs of least squares: the last samples of the channel and of its neighbour."""
  own, other = predictor.own[k], predictor.other[k]
  at = predictor.position[channel]
  for i in range(own):
    inputs[i] = predictor.samples[channel, at + i]
  if other > 0:
    neighbour = neighbour_of(channel)
    at = predictor.position[neighbour]
    for i in range(other):
      inputs[own + i] = predictor.samples[neighbour, at + i]
