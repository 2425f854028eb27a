"""Normalised least mean squares in a cascade: each stage predicts the residual of those before it (as in Sac).

The step of a stage of n taps is mu / n * error * sum(p_k) / (1 + sum(p_k x_k**2)) times each input x_k, where
p_k = (1 + k)**-0.75 makes recent inputs count more.

Single precision, since inputs are residuals; each sum has one order.

Shapes: T taps of a stage, BLOCK times a power of two.
"""

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.kernels.vectors import SINGLES, load, maximum, minimum, singles, store, total

BLOCK = SINGLES
_MAX_WEIGHT = np.float32(10)  # Without it a file of drums diverged.


def recency(num_taps: int) -> np.ndarray:
  """p_k: float32 [T]; of square roots, which are exact everywhere, as general powers are not."""
  lags = 1.0 + np.arange(num_taps)
  return (1.0 / (np.sqrt(lags) * np.sqrt(np.sqrt(lags)))).astype(np.float32)


@compiled
def predict(weights, inputs, work):
  """Sum of weights [T] times inputs [T], newest first; work: float32, T or more."""
  return _sum(weights, inputs, False, work)


@compiled
def update(weights, inputs, recent, step, error, work):
  """Moves weights against the error; recent: p_k [T]; step: mu / n * sum(p_k)."""
  factor = singles(np.float32(step * error / (1.0 + _sum(recent, inputs, True, work))))
  most = singles(_MAX_WEIGHT)
  for k in range(0, len(weights), BLOCK):
    store(weights, k, minimum(maximum(load(weights, k) + factor * load(inputs, k), singles(-_MAX_WEIGHT)), most))


@compiled
def _sum(factors, inputs, of_squares, work):
  """Sum of all terms by halving: the second half is added to the first until BLOCK are left; work: as `predict`."""
  size = len(factors)
  if size >= 4 * BLOCK:
    # Twice halved at once, which saves ways to memory.
    size >>= 2
    for k in range(0, size, BLOCK):
      even = _terms(factors, inputs, k, of_squares) + _terms(factors, inputs, k + 2 * size, of_squares)
      odd = _terms(factors, inputs, k + size, of_squares) + _terms(factors, inputs, k + 3 * size, of_squares)
      store(work, k, even + odd)
  else:
    for k in range(0, size, BLOCK):
      store(work, k, _terms(factors, inputs, k, of_squares))
  while size > BLOCK:
    size >>= 1
    for k in range(0, size, BLOCK):
      store(work, k, load(work, k) + load(work, k + size))
  return total(load(work, 0))


@compiled
def _terms(factors, inputs, k, of_squares):
  """Products of BLOCK factors with inputs, or with their squares."""
  x = load(inputs, k)
  return load(factors, k) * (x * x if of_squares else x)
