"""Weighted least squares with exponential forgetting: running covariances, normal equations solved at intervals.

All sums are taken in one order that no compiler may change (it has no leave to reassociate or to fuse), so results are
the same on every machine with IEEE 754 numbers. Of a row of the upper triangle, whole vectors are computed, from the
multiple of BLOCK before the diagonal on; what is left of the diagonal means nothing.

Covariances are needed only where equations are solved. Samples wait until then, or until they are WAITING many, so that
a covariance goes through the processor once for all of them; each element takes them in in their order.

Shapes: G of them, D coefficients of the largest, each a multiple of BLOCK; W = WAITING.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.kernels.vectors import DOUBLES, doubles, load, store, total

BLOCK = DOUBLES
WAITING = 8

# Keeps what decays from becoming denormal, which is slow; too small to change any other number.
_TINY = 1e-200
_MIN_PIVOT = 1e-12
_PANEL = 4  # Rows that are eliminated together; BLOCK is a multiple of it.
_MAX_SUM = 1e5  # Largest sum of coefficients' magnitudes; solutions beyond it are ill-conditioned and dropped.


class LeastSquares(NamedTuple):
  """Several filters, each with a size and a forgetting factor of its own.

  inputs, targets, weights: of the samples that wait, num_waiting of them; the inputs of the next one stand behind.
  """

  sizes: np.ndarray  # int64 [G]
  forgetting: np.ndarray  # float64 [G]
  covariances: np.ndarray  # float64 [G, D, D]
  moments: np.ndarray  # float64 [G, D]
  coefficients: np.ndarray  # float64 [G, D]
  num_waiting: np.ndarray  # int64 [G]
  inputs: np.ndarray  # float64 [G, W, D]
  targets: np.ndarray  # float64 [G, W]
  weights: np.ndarray  # float64 [G, W]
  work: np.ndarray  # `new_scratch`


def new_least_squares(sizes: Sequence[int], forgetting: Sequence[float], waiting: int = WAITING) -> LeastSquares:
  """Filters before the first sample. sizes, forgetting: of each. waiting: W."""
  count, largest = len(sizes), max(sizes)
  return LeastSquares(
    sizes=np.array(sizes, np.int64),
    forgetting=np.array(forgetting, np.float64),
    covariances=np.zeros((count, largest, largest)),
    moments=np.zeros((count, largest)),
    coefficients=np.zeros((count, largest)),
    num_waiting=np.zeros(count, np.int64),
    inputs=np.zeros((count, waiting, largest)),
    targets=np.zeros((count, waiting)),
    weights=np.zeros((count, waiting)),
    work=new_scratch(largest, waiting),
  )


def new_scratch(size: int, waiting: int = WAITING) -> np.ndarray:
  """Scratch array of `accumulate` and `solve`, for so many coefficients, and samples that wait."""
  return np.zeros((max(2 * size + 3, waiting), size))


@inlined
def next_inputs(several, g):
  """View of where the inputs of the coming sample are to be written: [D]."""
  return several.inputs[g, several.num_waiting[g]]


@inlined
def predict(several, g):
  """Dot product of coefficients and inputs."""
  return dot(several.coefficients[g], several.inputs[g, several.num_waiting[g]], several.sizes[g])


@inlined
def update(several, g, target, weight, solves, ridge, relative_ridge):
  """Updates on the target of the last inputs; solves: whether the equations are solved now."""
  last, size = several.num_waiting[g], several.sizes[g]
  several.targets[g, last], several.weights[g, last] = target, weight
  several.num_waiting[g] = last + 1
  if solves or last + 1 == WAITING:
    accumulate(
      several.covariances[g],
      several.moments[g, :size],
      several.inputs[g],
      several.targets[g],
      several.weights[g],
      last + 1,
      several.forgetting[g],
      several.work,
    )
    several.num_waiting[g] = 0
  if solves:
    solve(
      several.covariances[g], several.moments[g, :size], ridge, relative_ridge, several.work, several.coefficients[g]
    )


@compiled
def dot(a, b, size):
  """Sum of a[i] * b[i] for i < size, a multiple of BLOCK: BLOCK sums, added up from the first to the last."""
  sums = doubles(0.0)
  for i in range(0, size, BLOCK):
    sums = sums + load(a, i) * load(b, i)
  return total(sums)


@compiled
def accumulate(covariance, moments, inputs, targets, weights, count, forgetting, work):
  """Adds count samples to the upper triangle of covariance, [D, D] or larger, and to moments [D]."""
  size = len(moments)
  kept, tiny = doubles(forgetting), doubles(_TINY)
  for s in range(count):
    weight = doubles(weights[s])
    for j in range(0, size, BLOCK):
      store(work[s], j, weight * load(inputs[s], j))
  # A panel of rows at a time: one row's sums would wait for each other.
  for i in range(0, size, _PANEL):
    row0, row1, row2, row3 = covariance[i], covariance[i + 1], covariance[i + 2], covariance[i + 3]
    for j in range(i & -BLOCK, size, BLOCK):
      sums0, sums1, sums2, sums3 = load(row0, j), load(row1, j), load(row2, j), load(row3, j)
      for s in range(count):
        scaled, beside = work[s], load(inputs[s], j)
        sums0 = kept * sums0 + (doubles(scaled[i]) * beside + tiny)
        sums1 = kept * sums1 + (doubles(scaled[i + 1]) * beside + tiny)
        sums2 = kept * sums2 + (doubles(scaled[i + 2]) * beside + tiny)
        sums3 = kept * sums3 + (doubles(scaled[i + 3]) * beside + tiny)
      store(row0, j, sums0)
      store(row1, j, sums1)
      store(row2, j, sums2)
      store(row3, j, sums3)
  for j in range(0, size, BLOCK):
    sums = load(moments, j)
    for s in range(count):
      sums = kept * sums + (doubles(weights[s] * targets[s]) * load(inputs[s], j) + tiny)
    store(moments, j, sums)


@compiled
def solve(covariance, moments, ridge, relative_ridge, work, coefficients):
  """Solves (covariance + ridges) coefficients = moments; work: `new_scratch`.

  The matrix is made transposed(S) P S, with pivots P and 1s on the diagonal of the upper triangle S, a panel of rows
  after the other. Coefficients stay as they are where the equations cannot be solved.
  """
  size = len(moments)
  inverses, left, solution = work[2 * size], work[2 * size + 1], work[2 * size + 2]
  for first in range(0, size, _PANEL):
    row0, row1, row2, row3 = work[first], work[first + 1], work[first + 2], work[first + 3]
    for j in range(first & -BLOCK, size, BLOCK):
      left0, left1 = load(covariance[first], j), load(covariance[first + 1], j)
      left2, left3 = load(covariance[first + 2], j), load(covariance[first + 3], j)
      # Subtract the rows above; sums stay in registers.
      for k in range(first):
        row, scaled = work[k], load(work[size + k], j)
        left0 = left0 - doubles(row[first]) * scaled
        left1 = left1 - doubles(row[first + 1]) * scaled
        left2 = left2 - doubles(row[first + 2]) * scaled
        left3 = left3 - doubles(row[first + 3]) * scaled
      if j <= first:  # The diagonal is in this vector: what follows needs its pivots.
        store(row0, j, left0)
        store(row1, j, left1)
        store(row2, j, left2)
        store(row3, j, left3)
        if not _find_pivots(covariance, first, ridge, relative_ridge, work, inverses):
          return
      scaled = left0 * doubles(inverses[first])
      store(work[size + first], j, scaled)
      left1 = left1 - doubles(row0[first + 1]) * scaled
      left2 = left2 - doubles(row0[first + 2]) * scaled
      left3 = left3 - doubles(row0[first + 3]) * scaled
      scaled = left1 * doubles(inverses[first + 1])
      store(work[size + first + 1], j, scaled)
      left2 = left2 - doubles(row1[first + 2]) * scaled
      left3 = left3 - doubles(row1[first + 3]) * scaled
      scaled = left2 * doubles(inverses[first + 2])
      store(work[size + first + 2], j, scaled)
      left3 = left3 - doubles(row2[first + 3]) * scaled
      store(work[size + first + 3], j, left3 * doubles(inverses[first + 3]))
      store(row0, j, left0)
      store(row1, j, left1)
      store(row2, j, left2)
      store(row3, j, left3)
  # From the top: `left` of the moments; what is done with is in `solution`.
  for j in range(0, size, BLOCK):
    store(left, j, load(moments, j))
  for k in range(size):
    factor, scaled = doubles(left[k]), work[size + k]
    solution[k] = left[k] * inverses[k]
    for j in range(k & -BLOCK, size, BLOCK):
      store(left, j, load(left, j) - load(scaled, j) * factor)
  # From the bottom, a block of coefficients after the other.
  magnitude = 0.0
  for start in range(size - BLOCK, -1, -BLOCK):
    end = start + BLOCK
    for i in range(start, end):
      solution[i] -= dot(work[size + i, end:], solution[end:], size - end)
    for i in range(end - 1, start - 1, -1):
      value, scaled = solution[i], work[size + i]
      for j in range(end - 1, i, -1):
        value -= scaled[j] * solution[j]
      solution[i] = value
      magnitude += abs(value)
  if magnitude < _MAX_SUM:
    for j in range(0, size, BLOCK):
      store(coefficients, j, load(solution, j))


@compiled
def _find_pivots(covariance, first, ridge, relative_ridge, work, inverses):
  """Computes inverses of a panel's pivots, ridges included, and eliminates within it; False if one is too small."""
  for k in range(first, first + _PANEL):
    pivot = work[k, k] + (ridge + relative_ridge * covariance[k, k])
    if not pivot > _MIN_PIVOT:
      return False
    inverses[k] = 1.0 / pivot
    for j in range(k + 1, first + _PANEL):
      scaled = work[k, j] * inverses[k]
      for i in range(k + 1, j + 1):
        work[i, j] -= work[k, i] * scaled
  return True
