"""Distribution of a sample: a mixture of logistic distributions around two predictions, weighted by Bayes' rule.

What lies below an edge is read from a table of the logistic function. It never falls as the edge rises, since products
and sums are rounded to the nearest number in one order.

Shapes: C channels; LANES pairs of a centre and a rate; J shapes, each of them with every multiple.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import inlined
from language_modeling_is_compression.kernels.vectors import (
  DOUBLES,
  doubles,
  interpolate,
  load,
  maximum,
  minimum,
  store,
  total,
  whole,
)
from language_modeling_is_compression.prediction.mixture import REACH, STEPS_PER_SCALE, TABLE_BITS, logistic_table

RATES = (1 / 8, 1 / 32, 1 / 128, 1 / 1024)  # Rates at which running errors follow.
MULTIPLES = (0.4, 0.7)  # Scales, as multiples of running errors.
NUM_CENTRES = 2
LANES = NUM_CENTRES * len(RATES)
NUM_SHAPES = LANES * len(MULTIPLES)
WEIGHT_BITS = 16  # Weights add up to 1 << WEIGHT_BITS.
MASS_BITS = WEIGHT_BITS + TABLE_BITS
MIN_ERROR = 1 / 32  # Running errors below it make scales as if they were it.
_FIRST_ERROR = 16.0
_FADED = 1e-30  # Least running error, before it is denormal.
_SHARED = 0.001  # Share of all weight that is spread evenly at every sample, so that weights can change.
_MIN_MASS = 1e-9  # Of a shape that has next to nothing where the sample came.
_REMAINDER = LANES + 1  # The shape that has what rounding leaves of the weights.
MIDDLE = REACH * STEPS_PER_SCALE  # Place of a shape's centre in the table.
assert LANES == DOUBLES, 'a vector has all pairs of a centre and a rate'


class Mixture(NamedTuple):
  """State of all channels, and the mixture of the current sample."""

  table: np.ndarray  # int32, the logistic function
  rates: np.ndarray  # float64 [LANES]
  running: np.ndarray  # float64 [C, LANES], running errors
  weights: np.ndarray  # float64 [C, J], posteriors
  centres: np.ndarray  # float64 [LANES]
  inverse_scales: np.ndarray  # float64 [J], table steps per unit
  shares: np.ndarray  # float64 [J], weights as integers
  found: np.ndarray  # float64 [3, J], what shapes have below up to three edges, of 1 << TABLE_BITS


def new_mixture(num_channels: int) -> Mixture:
  """State before the first sample."""
  return Mixture(
    table=logistic_table(),
    rates=np.array(RATES * NUM_CENTRES),
    running=np.full((num_channels, LANES), _FIRST_ERROR),
    weights=np.full((num_channels, NUM_SHAPES), 1 / NUM_SHAPES),
    centres=np.zeros(LANES),
    inverse_scales=np.zeros(NUM_SHAPES),
    shares=np.zeros(NUM_SHAPES),
    found=np.zeros((3, NUM_SHAPES)),
  )


@inlined
def build(mixture, channel, centres):
  """Builds the mixture of a channel's next sample around its centres, [2]."""
  for k in range(len(RATES)):
    mixture.centres[k], mixture.centres[len(RATES) + k] = centres[0], centres[1]
  weights = mixture.weights[channel]
  steps = doubles(np.float64(STEPS_PER_SCALE)) / maximum(load(mixture.running[channel], 0), doubles(MIN_ERROR))
  left = doubles(0.0)
  for m in range(len(MULTIPLES)):
    store(mixture.inverse_scales, m * LANES, steps * doubles(1.0 / MULTIPLES[m]))
    share = whole(load(weights, m * LANES) * doubles(np.float64(1 << WEIGHT_BITS)))
    store(mixture.shares, m * LANES, share)
    left = left + share
  mixture.shares[_REMAINDER] += np.float64(1 << WEIGHT_BITS) - total(left)


@inlined
def mass_below(mixture, edge, row):
  """What the mixture has below an edge, of 1 << MASS_BITS; what its shapes have is written to found[row]."""
  found, distances = mixture.found[row], doubles(edge) - load(mixture.centres, 0)
  middle, last = doubles(np.float64(MIDDLE)), doubles(np.float64(2 * MIDDLE))
  mass = doubles(0.0)
  for m in range(len(MULTIPLES)):
    place = distances * load(mixture.inverse_scales, m * LANES) + middle
    below = interpolate(mixture.table, minimum(maximum(place, doubles(0.0)), last))
    store(found, m * LANES, below)
    mass = mass + load(mixture.shares, m * LANES) * below
  return np.int64(total(mass))


@inlined
def update(mixture, channel, sample, low, high):
  """Updates weights and running errors on a sample; low, high: rows of `found` of the edges around it."""
  weights, below, above = mixture.weights[channel], mixture.found[low], mixture.found[high]
  sums = doubles(0.0)
  for m in range(len(MULTIPLES)):
    likelihood = (load(above, m * LANES) - load(below, m * LANES)) * doubles(1.0 / (1 << TABLE_BITS))
    weight = load(weights, m * LANES) * (likelihood + doubles(_MIN_MASS))
    store(weights, m * LANES, weight)
    sums = sums + weight
  factor = doubles((1.0 - _SHARED) / total(sums))
  for m in range(len(MULTIPLES)):
    store(weights, m * LANES, load(weights, m * LANES) * factor + doubles(_SHARED / NUM_SHAPES))
  running, error = mixture.running[channel], doubles(sample) - load(mixture.centres, 0)
  error = maximum(error, doubles(0.0) - error)
  followed = load(running, 0) + (error - load(running, 0)) * load(mixture.rates, 0)
  store(running, 0, maximum(followed, doubles(_FADED)))
