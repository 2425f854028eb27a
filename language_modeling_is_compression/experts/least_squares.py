"""Weighted recursive least squares: covariances that forget, and their normal equations solved now and then.

All sums are taken in one order that no compiler may change (it has no leave to reassociate or to fuse), so results are
the same on every machine with IEEE 754 numbers. Loops run in whole blocks of BLOCK, over slices that begin with the
loop, since that is what compilers turn into vectors.

Shapes: D coefficients, a multiple of BLOCK.
"""

import numpy as np

from language_modeling_is_compression.compilation import compiled

BLOCK = 8

# Keeps what decays from becoming denormal, which is slow; too small to change any other number.
_TINY = 1e-200
_SMALLEST_PIVOT = 1e-12
_PIVOTS = 4  # That are eliminated together.
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
  """Takes one sample into the upper triangle of covariance, D or more both ways, and into moments [D]."""
  size = len(moments)
  for i in range(size):
    factor = weight * inputs[i]
    # Rows of an array that is whole in memory: of a part of one compilers make no vectors.
    row, beside = covariance[i, i & -BLOCK : size], inputs[i & -BLOCK : size]
    for j in range(len(row)):
      row[j] = forgetting * row[j] + (factor * beside[j] + _TINY)
  factor = weight * target
  for i in range(size):
    moments[i] = forgetting * moments[i] + (factor * inputs[i] + _TINY)


@compiled
def solve(covariance, moments, ridge, relative_ridge, work, coefficients):
  """Solves (covariance + ridges) coefficients = moments by Cholesky's method; work: D + 1 rows of D or more.

  Coefficients stay as they are where the equations cannot be solved.
  """
  size = len(moments)
  for i in range(size):
    row, given = work[i, i & -BLOCK : size], covariance[i, i & -BLOCK : size]
    for j in range(len(row)):
      row[j] = given[j]
    work[i, i] += ridge + relative_ridge * work[i, i]
  for first in range(0, size, _PIVOTS):
    start = first & -BLOCK
    for k in range(first, first + _PIVOTS):
      pivot = work[k, k]
      if not pivot > _SMALLEST_PIVOT:
        return
      scale, top = 1.0 / np.sqrt(pivot), work[k, start:size]
      for j in range(len(top)):
        top[j] *= scale
      for i in range(k + 1, first + _PIVOTS):
        factor, row = work[k, i], work[i, start:size]
        for j in range(len(row)):
          row[j] -= factor * top[j]
    # Four pivots' rows leave each row below at once: it is read and written once for all of them.
    for i in range(first + _PIVOTS, size):
      start_i = i & -BLOCK
      row = work[i, start_i:size]
      top0, top1 = work[first, start_i:size], work[first + 1, start_i:size]
      top2, top3 = work[first + 2, start_i:size], work[first + 3, start_i:size]
      factor0, factor1, factor2, factor3 = work[first, i], work[first + 1, i], work[first + 2, i], work[first + 3, i]
      for j in range(len(row)):
        row[j] = (((row[j] - factor0 * top0[j]) - factor1 * top1[j]) - factor2 * top2[j]) - factor3 * top3[j]
  solution = work[size]
  for i in range(size):
    solution[i] = moments[i]
  for k in range(size):
    value = solution[k] / work[k, k]
    row, after = work[k, k & -BLOCK : size], solution[k & -BLOCK : size]
    for j in range(len(row)):
      after[j] -= row[j] * value
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
