"""Weighted recursive least squares: covariances that forget, and their normal equations solved now and then.

All sums are taken in one order that no compiler may change (it has no leave to reassociate or to fuse), so results are
the same on every machine with IEEE 754 numbers. Loops run in whole blocks of BLOCK, which is what fills vectors.

Shapes: D coefficients, a multiple of BLOCK.
"""

import numpy as np

from language_modeling_is_compression.compilation import compiled

BLOCK = 8

# Keeps what decays from becoming denormal, which is slow; too small to change any other number.
_TINY = 1e-200
_SMALLEST_PIVOT = 1e-12
_LARGEST_SUM = 1e5  # Of coefficients' magnitudes: equations that ask for more are not to be trusted.


@compiled
def dot(a, b, size):
  """Sum of a[i] * b[i] for i < size, a multiple of BLOCK: BLOCK sums, added up from the first to the last."""
  s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
  for i in range(0, size, 8):
    s0 += a[i] * b[i]
    s1 += a[i + 1] * b[i + 1]
    s2 += a[i + 2] * b[i + 2]
    s3 += a[i + 3] * b[i + 3]
    s4 += a[i + 4] * b[i + 4]
    s5 += a[i + 5] * b[i + 5]
    s6 += a[i + 6] * b[i + 6]
    s7 += a[i + 7] * b[i + 7]
  return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7


@compiled
def accumulate(covariance, moments, inputs, target, weight, forgetting):
  """Takes one sample into the upper triangle of covariance [D, D] and into moments [D]."""
  size = len(moments)
  for i in range(size):
    factor = weight * inputs[i]
    row = covariance[i]
    for j in range(i & -BLOCK, size):
      row[j] = forgetting * row[j] + (factor * inputs[j] + _TINY)
  factor = weight * target
  for i in range(size):
    moments[i] = forgetting * moments[i] + (factor * inputs[i] + _TINY)


@compiled
def solve(covariance, moments, ridge, relative_ridge, work, coefficients):
  """Solves (covariance + ridges) coefficients = moments by Cholesky's method; work: [D + 1, D].

  Coefficients stay as they are where the equations cannot be solved.
  """
  size = len(moments)
  for i in range(size):
    row = work[i]
    for j in range(i & -BLOCK, size):
      row[j] = covariance[i, j]
    row[i] += ridge + relative_ridge * row[i]
  for k in range(size):
    pivot = work[k, k]
    if not pivot > _SMALLEST_PIVOT:
      return
    scale = 1.0 / np.sqrt(pivot)
    top = work[k]
    for j in range(k & -BLOCK, size):
      top[j] *= scale
    for i in range(k + 1, size):
      factor = top[i]
      row = work[i]
      for j in range(i & -BLOCK, size):
        row[j] -= factor * top[j]
  solution = work[size]
  for i in range(size):
    solution[i] = moments[i]
  for k in range(size):
    value = solution[k] / work[k, k]
    row = work[k]
    for j in range(k & -BLOCK, size):
      solution[j] -= row[j] * value
    solution[k] = value
  total = 0.0
  for i in range(size - 1, -1, -1):
    value = solution[i]
    for j in range(i + 1, size):
      value -= work[i, j] * solution[j]
    solution[i] = value / work[i, i]
    total += abs(solution[i])
  if total < _LARGEST_SUM:
    for i in range(size):
      coefficients[i] = solution[i]
