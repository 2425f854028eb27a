"""Weighted recursive least squares: covariances that forget, and their normal equations solved now and then.

All sums are taken in one order that no compiler may change (it has no leave to reassociate or to fuse), so results are
the same on every machine with IEEE 754 numbers. Of a row of the upper triangle, whole vectors are computed, from the
multiple of BLOCK before the diagonal on; what is left of the diagonal means nothing.

Shapes: D coefficients, a multiple of BLOCK.
"""

import numpy as np

from language_modeling_is_compression.compilation import compiled
from language_modeling_is_compression.vectors import DOUBLES, doubles, load, store, total

BLOCK = DOUBLES

# Keeps what decays from becoming denormal, which is slow; too small to change any other number.
_TINY = 1e-200
_SMALLEST_PIVOT = 1e-12
_PANEL = 4  # Rows that are worked on together; BLOCK is a multiple of it.
_LARGEST_SUM = 1e5  # Of coefficients' magnitudes: equations that ask for more are not to be trusted.


@compiled
def dot(a, b, size):
  """Sum of a[i] * b[i] for i < size, a multiple of BLOCK: BLOCK sums, added up from the first to the last."""
  sums = doubles(0.0)
  for i in range(0, size, BLOCK):
    sums = sums + load(a, i) * load(b, i)
  return total(sums)


@compiled
def accumulate(covariance, moments, inputs, target, weight, forgetting):
  """Takes one sample into the upper triangle of covariance, D or more both ways, and into moments [D]."""
  size = len(moments)
  kept, tiny = doubles(forgetting), doubles(_TINY)
  for i in range(size):
    row, factor = covariance[i], doubles(weight * inputs[i])
    for j in range(i & -BLOCK, size, BLOCK):
      store(row, j, kept * load(row, j) + (factor * load(inputs, j) + tiny))
  factor = doubles(weight * target)
  for j in range(0, size, BLOCK):
    store(moments, j, kept * load(moments, j) + (factor * load(inputs, j) + tiny))


@compiled
def solve(covariance, moments, ridge, relative_ridge, work, coefficients):
  """Solves (covariance + ridges) coefficients = moments by Cholesky's method; work: D + 1 rows of D or more.

  Coefficients stay as they are where the equations cannot be solved.
  """
  size = len(moments)
  for i in range(size):
    row, given = work[i], covariance[i]
    for j in range(i & -BLOCK, size, BLOCK):
      store(row, j, load(given, j))
    row[i] += ridge + relative_ridge * row[i]
  for first in range(0, size, _PANEL):
    _subtract_above(work, first, size)
    for k in range(first, first + _PANEL):
      pivot, top = work[k, k], work[k]
      if not pivot > _SMALLEST_PIVOT:
        return
      scale = doubles(1.0 / np.sqrt(pivot))
      for j in range(first & -BLOCK, size, BLOCK):
        store(top, j, load(top, j) * scale)
      for i in range(k + 1, first + _PANEL):
        row, factor = work[i], doubles(top[i])
        for j in range(first & -BLOCK, size, BLOCK):
          store(row, j, load(row, j) - factor * load(top, j))
  solution = work[size]
  for i in range(size):
    solution[i] = moments[i]
  for k in range(size):
    row, value = work[k], solution[k] / work[k, k]
    factor = doubles(value)
    for j in range(k & -BLOCK, size, BLOCK):
      store(solution, j, load(solution, j) - load(row, j) * factor)
    solution[k] = value
  total_size = 0.0
  for i in range(size - 1, -1, -1):
    value = solution[i]
    for j in range(i + 1, size):
      value -= work[i, j] * solution[j]
    solution[i] = value / work[i, i]
    total_size += abs(solution[i])
  if total_size < _LARGEST_SUM:
    for i in range(size):
      coefficients[i] = solution[i]


@compiled
def _subtract_above(work, first, size):
  """Takes from a panel's rows what all rows above them leave there, from the top on; sums stay in registers."""
  row0, row1, row2, row3 = work[first], work[first + 1], work[first + 2], work[first + 3]
  for j in range(first & -BLOCK, size, BLOCK):
    left0, left1, left2, left3 = load(row0, j), load(row1, j), load(row2, j), load(row3, j)
    for k in range(first):
      row = work[k]
      top = load(row, j)
      left0 = left0 - doubles(row[first]) * top
      left1 = left1 - doubles(row[first + 1]) * top
      left2 = left2 - doubles(row[first + 2]) * top
      left3 = left3 - doubles(row[first + 3]) * top
    store(row0, j, left0)
    store(row1, j, left1)
    store(row2, j, left2)
    store(row3, j, left3)
