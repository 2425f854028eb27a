"""Normalised least mean squares in a cascade: each stage predicts what those before it left over (as in Sac).

The step of a stage of n taps is mu / n * error * sum(p_k) / (1 + sum(p_k x_k**2)) times each input x_k, where
p_k = (1 + k)**-0.75 makes recent inputs count more.

Single precision, since inputs are residuals; each sum has one order.

Shapes: T taps of a stage, BLOCK times a power of two.
"""

import numpy as np

from language_modeling_is_compression.compilation import compiled

BLOCK = 16
_MAX_WEIGHT = np.float32(10)  # Without it a file of drums diverged.


def recency(num_taps: int) -> np.ndarray:
  """p_k: float32 [T]; of square roots, which are exact everywhere, as general powers are not."""
  lags = 1.0 + np.arange(num_taps)
  return (1.0 / (np.sqrt(lags) * np.sqrt(np.sqrt(lags)))).astype(np.float32)


@compiled
def predict(weights, inputs, work):
  """Sum of weights [T] times inputs [T], newest first; work: float32, T or more."""
  products = work[: len(weights)]
  for k in range(len(products)):
    products[k] = weights[k] * inputs[k]
  return _total(products)


@compiled
def adapt(weights, inputs, recent, step, error, work):
  """Moves weights against the error; recent: p_k [T]; step: mu / n * sum(p_k)."""
  squares = work[: len(weights)]
  for k in range(len(squares)):
    squares[k] = recent[k] * (inputs[k] * inputs[k])
  factor = np.float32(step * error / (1.0 + _total(squares)))
  for k in range(len(weights)):
    weights[k] = min(max(weights[k] + factor * inputs[k], -_MAX_WEIGHT), _MAX_WEIGHT)


@compiled
def _total(terms):
  """Their sum, whose first half takes the second half in until BLOCK are left; changes terms [T]."""
  size = len(terms)
  while size > BLOCK:
    size >>= 1
    front, back = terms[:size], terms[size : 2 * size]
    for k in range(size):
      front[k] += back[k]
  total = 0.0
  for k in range(BLOCK):
    total += np.float64(terms[k])
  return total
