"""What repeats: an expert that looks where the encoder has found the sound to have been much the same before.

A block of a segment has up to NUM_LAGS lags. Where it has one, what the other experts left over a lag ago, shortly
before and after, tells what they will leave over now. Least squares find out how, since what repeats is seldom the same
to the last bit, and other sound goes on beside it.

Shapes: N frames, C channels, B blocks.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.compilation import inlined
from language_modeling_is_compression.experts import least_squares
from language_modeling_is_compression.experts.least_squares import LeastSquares, new_least_squares

BLOCK_LOG = 12
BLOCK_FRAMES = 1 << BLOCK_LOG  # With one lag.
MIN_LAG = 32
NUM_LAGS = 2
OWN = 8  # What was left over around t - lag: of the same channel,
OTHER = 8  # and of its neighbour.
_OWN_AHEAD = 4  # Of them, how many are later than t - lag; fewer than MIN_LAG.
_OTHER_AHEAD = 4
_BEFORE = OWN  # Zeros before the first frame.
_FORGETTING = 0.998
_RIDGE = 1.0
_SOLVE_EVERY = 8
_ERROR_RATE = 0.05
_SMALLEST = 2.0**-20


class Repeats(NamedTuple):
  """What it knows of a segment.

  lags: int64 [B, NUM_LAGS], from the first one on, then 0. residuals: float32 [C, _BEFORE + N], what the other experts
  left over so far, newest last; of no frames where there is no lag. error: float64 [C], how much that is.
  least_squares: G = C.
  """

  lags: np.ndarray
  residuals: np.ndarray
  least_squares: LeastSquares
  error: np.ndarray


def num_blocks(num_frames: int) -> int:
  return -(-num_frames // BLOCK_FRAMES)


def new_repeats(lags: np.ndarray, num_frames: int, num_channels: int) -> Repeats:
  """lags: int64 [B, NUM_LAGS], each 0 or from MIN_LAG to the frames before its block."""
  size = NUM_LAGS * (OWN + OTHER * (num_channels > 1))
  return Repeats(
    lags=lags,
    residuals=np.zeros((num_channels, (_BEFORE + num_frames) if lags.any() else 0), np.float32),
    least_squares=new_least_squares([size] * num_channels, [_FORGETTING] * num_channels),
    error=np.zeros(num_channels),
  )


@inlined
def expect_residual(repeats, channel, neighbour, t):
  """What the other experts will leave over of a sample; 0 where nothing repeats."""
  block = t >> BLOCK_LOG
  expected = 0.0
  if repeats.lags[block, 0] > 0:
    inputs = least_squares.next_inputs(repeats.least_squares, channel)
    size = len(inputs)
    at = 0
    for k in range(NUM_LAGS):
      lag = repeats.lags[block, k]
      if lag > 0:
        newest = _BEFORE + t - lag + _OWN_AHEAD
        for i in range(OWN):
          inputs[at + i] = repeats.residuals[channel, newest - i]
        at += OWN
        if size > NUM_LAGS * OWN:
          newest = _BEFORE + t - lag + _OTHER_AHEAD
          for i in range(OTHER):
            inputs[at + i] = repeats.residuals[neighbour, newest - i]
          at += OTHER
      else:
        for i in range(size // NUM_LAGS):
          inputs[at + i] = 0.0
        at += size // NUM_LAGS
    expected = least_squares.expect(repeats.least_squares, channel)
  return expected


@inlined
def learn_residual(repeats, channel, t, residual):
  """Takes in what the other experts have left over."""
  if repeats.residuals.shape[1] > 0:
    repeats.residuals[channel, _BEFORE + t] = residual if abs(residual) > _SMALLEST else 0.0
    if repeats.lags[t >> BLOCK_LOG, 0] > 0:
      weight = 1.0 / (repeats.error[channel] + 1.0)
      # It may fade to a denormal number: beside the 1 above it makes no difference, even if it is taken for 0.
      repeats.error[channel] += (abs(residual) - repeats.error[channel]) * _ERROR_RATE
      least_squares.learn(repeats.least_squares, channel, residual, weight, t % _SOLVE_EVERY == 0, _RIDGE, 0.0)
