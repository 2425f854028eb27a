"""Long-term prediction (LTP): predicts the residual of the other experts from the signal one lag ago.

A block of a segment has up to NUM_LAGS lags, which the encoder has found (lag_search.py). Where it has one, least
squares predict the residual from two kinds of inputs: residuals around one lag ago, and the sample one lag ago with the
differences of the samples before it from those before the current one, since other sound may be mixed with what
repeats.

Shapes: N frames, C channels, B blocks.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.prediction import least_squares
from language_modeling_is_compression.prediction.history import flush_small
from language_modeling_is_compression.prediction.least_squares import LeastSquares, new_least_squares

BLOCK_LOG = 12
BLOCK_FRAMES = 1 << BLOCK_LOG  # With one lag.
MIN_LAG = 32
NUM_LAGS = 2
DIFFERENCES = 16  # Differences of samples from those one lag ago; in stereo, half of them are the neighbour's.
AROUND = 8  # Residuals around t - lag, of the same channel,
_AHEAD = 4  # of which so many are later than t - lag; fewer than MIN_LAG.
_BEFORE = DIFFERENCES  # Zeros before the first frame.
_FORGETTING = 0.996
_RIDGE = 1.0
_ERROR_RATE = 0.05


class LongTerm(NamedTuple):
  """State of long-term prediction in a segment.

  lags: int64 [B, NUM_LAGS], from the first one on, then 0. samples: float64, and residuals, float32: [C, _BEFORE + N],
  samples so far and the other experts' residuals, newest last; empty where there is no lag.
  least_squares: G = C; solved every solve_every frames. error: float64 [C], running magnitude of the residual.
  """

  lags: np.ndarray
  samples: np.ndarray
  residuals: np.ndarray
  least_squares: LeastSquares
  solve_every: int
  error: np.ndarray


def num_blocks(num_frames: int) -> int:
  """Blocks of a segment of so many frames."""
  return -(-num_frames // BLOCK_FRAMES)


def new_long_term(
  lags: np.ndarray, num_frames: int, num_channels: int, solve_every: int, waiting: int = least_squares.WAITING
) -> LongTerm:
  """lags: int64 [B, NUM_LAGS], each 0 or from MIN_LAG to the frames before its block. waiting: of least squares."""
  slots = (_BEFORE + num_frames) if lags.any() else 0
  return LongTerm(
    lags=lags,
    samples=np.zeros((num_channels, slots)),
    residuals=np.zeros((num_channels, slots), np.float32),
    least_squares=new_least_squares(
      [NUM_LAGS * (DIFFERENCES + AROUND)] * num_channels, [_FORGETTING] * num_channels, waiting
    ),
    solve_every=solve_every,
    error=np.zeros(num_channels),
  )


@inlined
def predict_residual(long_term, channel, neighbour, t, base):
  """Predicted residual of a sample after the other experts, whose prediction is base; 0 where there is no lag."""
  block = t >> BLOCK_LOG
  expected = 0.0
  if long_term.lags[block, 0] > 0:
    inputs = least_squares.next_inputs(long_term.least_squares, channel)
    at = 0
    for k in range(NUM_LAGS):
      lag = long_term.lags[block, k]
      if lag > 0:
        _gather(long_term, channel, neighbour, _BEFORE + t, lag, base, inputs, at)
      else:
        for i in range(DIFFERENCES + AROUND):
          inputs[at + i] = 0.0
      at += DIFFERENCES + AROUND
    expected = least_squares.predict(long_term.least_squares, channel)
  return expected


@compiled
def _gather(long_term, channel, neighbour, now, lag, base, inputs, at):
  """Writes the inputs of one lag, from index `at` on; now: the index of the coming sample."""
  samples, residuals = long_term.samples[channel], long_term.residuals[channel]
  own = DIFFERENCES if len(long_term.error) == 1 else DIFFERENCES // 2
  inputs[at] = samples[now - lag] - base
  for i in range(1, own):
    inputs[at + i] = samples[now - lag - i] - samples[now - i]
  if own < DIFFERENCES:
    # Of a neighbour that comes before it, the current sample is known.
    beside, newest = long_term.samples[neighbour], now if neighbour < channel else now - 1
    for i in range(DIFFERENCES - own):
      inputs[at + own + i] = beside[newest - lag - i] - beside[newest - i]
  for i in range(AROUND):
    inputs[at + DIFFERENCES + i] = residuals[now - lag + _AHEAD - i]


@inlined
def update_residual(long_term, channel, t, sample, residual):
  """Updates on a sample and the residual of the other experts."""
  if long_term.residuals.shape[1] > 0:
    remember(long_term, channel, t, sample, residual)
    if long_term.lags[t >> BLOCK_LOG, 0] > 0:
      weight = 1.0 / (long_term.error[channel] + 1.0)
      # It may fade to a denormal number: beside the 1 above it makes no difference, even if it is taken for 0.
      long_term.error[channel] += (abs(residual) - long_term.error[channel]) * _ERROR_RATE
      least_squares.update(
        long_term.least_squares, channel, residual, weight, t % long_term.solve_every == 0, _RIDGE, 0.0
      )


@inlined
def remember(long_term, channel, t, sample, residual):
  """Keeps a sample and the residual of the other experts for later ones, whose lag leads back to it."""
  long_term.samples[channel, _BEFORE + t] = sample
  long_term.residuals[channel, _BEFORE + t] = flush_small(residual)
