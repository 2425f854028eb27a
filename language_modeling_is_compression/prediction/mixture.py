"""Mixtures of logistic distributions: exact cumulative masses, and posterior weights.

Masses are integers: a component's cumulative mass at an edge is read from a table of the logistic function, 2**30 for
all of it, between whose entries it runs straight. What is a float before that, the distance of the edge from the centre
in scales, is rounded in one way everywhere, and cumulative masses never fall as the edge rises.

Shapes: J components, of each of two centres every scale: four running errors times four multiples.
"""

import functools
import math
from fractions import Fraction

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled

TABLE_BITS = 30
WHOLE = 1 << TABLE_BITS
STEPS_PER_SCALE = 32  # Entries of the table for a distance of one scale.
REACH = 20  # Scales from the centre to both ends of the table; beyond them is nothing.
_FRACTION_BITS = 28  # So fine that the narrowest bins, of 24-bit samples in loud noise, are many of them wide.
_LAST = 2 * REACH * STEPS_PER_SCALE

NUM_TRACKED = 2  # Centres with running errors: both stackings.
RATES = (1 / 8, 1 / 32, 1 / 128, 1 / 1024)  # Rates at which running errors follow.
MULTIPLES = (0.25, 0.4375, 0.75, 1.1875)  # Scales, as multiples of running errors.
NUM_RATES = len(RATES)
NUM_MULTIPLES = len(MULTIPLES)
SHAPES_PER_CENTRE = NUM_RATES * NUM_MULTIPLES
NUM_SHAPES = NUM_TRACKED * SHAPES_PER_CENTRE
MIN_SCALE = 1 / 64
_SHARED = 0.001  # Share of all weight that is spread evenly at every sample, so that weights can change.
_MIN_MASS = 1e-9


@functools.cache
def logistic_table() -> np.ndarray:
  """floor(2**30 / (1 + exp(-z))) at z = i / 32 - 20, from z = 0 on, and below it 2**30 less that of -z; int32.

  The first entry is 0, the last 2**30, and once more, so that every entry has one after it.

  From integers alone, since no two libraries need agree on the last bit of an exponential. All have the same array,
  which nobody writes to.
  """
  precision = 128
  series = (Fraction((-1) ** n, STEPS_PER_SCALE**n * math.factorial(n)) for n in range(32))
  step = math.floor(sum(series) * (1 << precision))  # exp(-1 / 32)
  upper, power = [], 1 << precision
  for _ in range(_LAST // 2 + 1):
    upper.append((1 << (precision + TABLE_BITS)) // ((1 << precision) + power))
    power = power * step >> precision
  lower = [WHOLE - value for value in upper[:0:-1]]
  table = lower + upper
  table[0], table[-1] = 0, WHOLE
  table.append(WHOLE)
  return np.array(table, np.int32)


@compiled
def cumulative(distance, table):
  """The logistic function of a distance in scales, times STEPS_PER_SCALE: of WHOLE. Without branches, for vectors."""
  shifted = distance + (REACH * STEPS_PER_SCALE)
  shifted = shifted if shifted > 0.0 else 0.0
  shifted = shifted if shifted < _LAST else np.float64(_LAST)
  index = np.int32(shifted)
  fraction = np.int32((shifted - index) * (1 << _FRACTION_BITS))  # Cut off, and exact before that.
  # Unsigned, since a signed one is looked at for counting from the end.
  low, high = np.int64(table[np.uint32(index)]), np.int64(table[np.uint32(index) + np.uint32(1)])
  return low + (((high - low) * np.int64(fraction)) >> _FRACTION_BITS)


@compiled
def shape_cumulatives(edge, centres, inverse_scales, table, found):
  """The `cumulative` of each shape [J] at an edge; inverse_scales: [J], times STEPS_PER_SCALE."""
  for tracked in range(NUM_TRACKED):
    centre = centres[tracked]
    for j in range(tracked * SHAPES_PER_CENTRE, (tracked + 1) * SHAPES_PER_CENTRE):
      found[j] = cumulative((edge - centre) * inverse_scales[j], table)


@compiled
def update_weights(below, above, masses, weights):
  """Bayes' rule for weights [J] by cumulatives at a cell's edges, and a share for all of them.

  Returns the mixture's mass before it, of 1; masses: [J], for work.
  """
  total = 0.0
  for j in range(NUM_SHAPES):
    masses[j] = np.float64(above[j] - below[j]) * (1.0 / WHOLE) + _MIN_MASS
    total += weights[j] * masses[j]
  factor = (1.0 - _SHARED) / total
  for j in range(NUM_SHAPES):
    weights[j] = weights[j] * masses[j] * factor + _SHARED / NUM_SHAPES
  return total
