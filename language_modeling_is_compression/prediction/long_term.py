"""What repeats: an expert that looks where the encoder has found the sound to have been much the same before.

A block of a segment has up to NUM_LAGS lags. Where it has one, two things tell what the other experts will leave over:
what they left over a lag ago, shortly before and after; and the sample of a lag ago, beside which stands by how much
the last ones differed from theirs, since other sound goes on beside what repeats. Least squares find out how.

Shapes: N frames, C channels, B blocks.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.prediction import least_squares
from language_modeling_is_compression.prediction.least_squares import LeastSquares, new_least_squares

BLOCK_LOG = 12
BLOCK_FRAMES = 1 << BLOCK_LOG  # With one lag.
MIN_LAG = 32
NUM_LAGS = 2
DIFFERENCES = 16  # Of samples from those of a lag ago: in stereo, half of them are the neighbour's.
AROUND = 8  # What was left over around t - lag, of the same channel,
_AHEAD = 4  # of which so many are later; fewer than MIN_LAG.
_BEFORE = DIFFERENCES  # Zeros before the first frame.
_FORGETTING = 0.996
_RIDGE = 1.0
_ERROR_RATE = 0.05
_SMALLEST = 2.0**-20


class Repeats(NamedTuple):
  """What it knows of a segment.

  lags: int64 [B, NUM_LAGS], from the first one on, then 0. samples: float64, and residuals, float32: [C, _BEFORE + N],
  what came so far and what the other experts left over of it, newest last; of no frames where there is no lag.
  least_squares: G = C; they are solved every so many frames. error: float64 [C], how much is left over.
  """

  lags: np.ndarray
  samples: np.ndarray
  residuals: np.ndarray
  least_squares: LeastSquares
  solve_every: int
  error: np.ndarray


def num_blocks(num_frames: int) -> int:
  return -(-num_frames // BLOCK_FRAMES)


def new_repeats(lags: np.ndarray, num_frames: int, num_channels: int, solve_every: int) -> Repeats:
  """lags: int64 [B, NUM_LAGS], each 0 or from MIN_LAG to the frames before its block."""
  slots = (_BEFORE + num_frames) if lags.any() else 0
  return Repeats(
    lags=lags,
    samples=np.zeros((num_channels, slots)),
    residuals=np.zeros((num_channels, slots), np.float32),
    least_squares=new_least_squares([NUM_LAGS * (DIFFERENCES + AROUND)] * num_channels, [_FORGETTING] * num_channels),
    solve_every=solve_every,
    error=np.zeros(num_channels),
  )


@inlined
def expect_residual(repeats, channel, neighbour, t, base):
  """What the other experts, whose prediction is base, will leave over of a sample; 0 where nothing repeats."""
  block = t >> BLOCK_LOG
  expected = 0.0
  if repeats.lags[block, 0] > 0:
    inputs = least_squares.next_inputs(repeats.least_squares, channel)
    at = 0
    for k in range(NUM_LAGS):
      lag = repeats.lags[block, k]
      if lag > 0:
        _gather(repeats, channel, neighbour, _BEFORE + t, lag, base, inputs, at)
      else:
        for i in range(DIFFERENCES + AROUND):
          inputs[at + i] = 0.0
      at += DIFFERENCES + AROUND
    expected = least_squares.expect(repeats.least_squares, channel)
  return expected


@compiled
def _gather(repeats, channel, neighbour, now, lag, base, inputs, at):
  """Writes the inputs of one lag, from place `at` on; now: the place of the coming sample."""
  samples, residuals = repeats.samples[channel], repeats.residuals[channel]
  own = DIFFERENCES if len(repeats.error) == 1 else DIFFERENCES // 2
  inputs[at] = samples[now - lag] - base
  for i in range(1, own):
    inputs[at + i] = samples[now - lag - i] - samples[now - i]
  if own < DIFFERENCES:
    # Of a neighbour that comes before it, the current sample is known.
    beside, newest = repeats.samples[neighbour], now if neighbour < channel else now - 1
    for i in range(DIFFERENCES - own):
      inputs[at + own + i] = beside[newest - lag - i] - beside[newest - i]
  for i in range(AROUND):
    inputs[at + DIFFERENCES + i] = residuals[now - lag + _AHEAD - i]


@inlined
def learn_residual(repeats, channel, t, sample, residual):
  """Takes in a sample, and what the other experts have left over of it."""
  if repeats.residuals.shape[1] > 0:
    repeats.samples[channel, _BEFORE + t] = sample
    repeats.residuals[channel, _BEFORE + t] = residual if abs(residual) > _SMALLEST else 0.0
    if repeats.lags[t >> BLOCK_LOG, 0] > 0:
      weight = 1.0 / (repeats.error[channel] + 1.0)
      # It may fade to a denormal number: beside the 1 above it makes no difference, even if it is taken for 0.
      repeats.error[channel] += (abs(residual) - repeats.error[channel]) * _ERROR_RATE
      least_squares.learn(repeats.least_squares, channel, residual, weight, t % repeats.solve_every == 0, _RIDGE, 0.0)
