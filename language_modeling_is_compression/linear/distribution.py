"""Distribution of a sample: a mixture of logistic distributions around two predictions, weighted by Bayes' rule.

Beside it there may be a network's own mixture, whose share of the whole follows Bayes' rule as well.

What lies below an edge is read from a table of the logistic function. It never falls as the edge rises, since products
and sums are rounded to the nearest number in one order.

What codings 5 and 6 begin with is written by start.py; codings 3 and 4 have none of it.

Shapes: C channels; LANES pairs of a centre and a rate; J shapes, each of them with every multiple; Q components of a
network, none or as many as there are lanes; O the order of the first predictors.
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
from language_modeling_is_compression.prediction.evidence import NUM_COMPONENTS
from language_modeling_is_compression.prediction.mixture import REACH, STEPS_PER_SCALE, TABLE_BITS, logistic_table

RATES = (1 / 8, 1 / 32, 1 / 128, 1 / 1024)  # Rates at which running errors follow.
MULTIPLES = (0.4, 0.7)  # Scales, as multiples of running errors,
NETWORK_MULTIPLES = (0.4, 0.7, 2.0)  # and beside a network: what is nearly silent has far outliers.
NUM_CENTRES = 2
LANES = NUM_CENTRES * len(RATES)
WEIGHT_BITS = 16  # Weights add up to 1 << WEIGHT_BITS.
MASS_BITS = WEIGHT_BITS + TABLE_BITS
MIN_ERROR = 1 / 32  # Running errors below it make scales as if they were it.
_FIRST_ERROR = 16.0
_FIRST_SAMPLES = 6.0  # Samples that the first running errors count as, where their rates are faster at first.
_FADED = 1e-30  # Least running error, before it is denormal.
_SHARED = 0.001  # Share of all weight that is spread evenly at every sample, so that weights can change.
_MIN_MASS = 1e-9  # Of a shape that has next to nothing where the sample came.
_REMAINDER = LANES + 1  # The shape that has what rounding leaves of the weights.
_NETWORK_SHARED = 1 / 1024  # Least posterior of the network, and of the shapes, so that either may come back.
SPARE_ROW = 2  # Of `found`, that encoding does not use.
MIDDLE = REACH * STEPS_PER_SCALE  # Place of a shape's centre in the table.
assert LANES == DOUBLES, 'a vector has all pairs of a centre and a rate'
assert NUM_COMPONENTS == DOUBLES, 'a vector has all components of a network'


class Mixture(NamedTuple):
  """State of all channels, and the mixture of the current sample.

  What is of a network has no elements where there is none.
  """

  table: np.ndarray  # int32, the logistic function
  rates: np.ndarray  # float64 [LANES]
  running: np.ndarray  # float64 [C, LANES], running errors
  weights: np.ndarray  # float64 [C, J], posteriors
  centres: np.ndarray  # float64 [LANES]
  inverse_multiples: np.ndarray  # float64 [J / LANES]
  inverse_scales: np.ndarray  # float64 [J], table steps per unit
  shares: np.ndarray  # float64 [J], weights as integers
  has_end_buckets: bool  # See buckets.py.
  num_starting: int  # Samples of a channel in which running errors follow faster; 0 in codings 3 and 4.
  num_seen: np.ndarray  # int64 [C], samples so far, up to as many
  second: np.ndarray  # float64 [C, LANES], running errors when the first sample has come, which says nothing of them
  growth: np.ndarray  # float64 [C, O], what errors become, relative to what they were, as the first predictors grow
  num_components: int  # Q
  posterior: np.ndarray  # float64 [C], of the network
  chances: np.ndarray  # float64 [Q + 1], its weights of its components, and of the shapes together
  component_centres: np.ndarray  # float64 [Q]
  component_inverse_scales: np.ndarray  # float64 [Q]
  component_shares: np.ndarray  # float64 [Q]
  found: np.ndarray  # float64 [3, J + Q], what shapes and components have below up to three edges, of 1 << TABLE_BITS


def new_mixture(num_channels: int, *, has_network: bool = False, has_end_buckets: bool | None = None) -> Mixture:
  """State before the first sample. has_end_buckets: see buckets.py; default: as has_network."""
  num_components = NUM_COMPONENTS * has_network
  multiples = NETWORK_MULTIPLES if has_network else MULTIPLES
  num_shapes = LANES * len(multiples)
  return Mixture(
    table=logistic_table(),
    rates=np.array(RATES * NUM_CENTRES),
    running=np.full((num_channels, LANES), _FIRST_ERROR),
    weights=np.full((num_channels, num_shapes), 1 / num_shapes),
    centres=np.zeros(LANES),
    inverse_multiples=1.0 / np.array(multiples),
    inverse_scales=np.zeros(num_shapes),
    shares=np.zeros(num_shapes),
    has_end_buckets=has_network if has_end_buckets is None else has_end_buckets,
    num_starting=0,
    num_seen=np.zeros(num_channels, np.int64),
    second=np.zeros((num_channels, LANES)),
    growth=np.ones((num_channels, 0)),
    num_components=num_components,
    posterior=np.full(num_channels, 0.5),
    chances=np.zeros(num_components + 1),
    component_centres=np.zeros(num_components),
    component_inverse_scales=np.zeros(num_components),
    component_shares=np.zeros(num_components),
    found=np.zeros((3, num_shapes + num_components)),
  )


@inlined
def build(mixture, channel, centres):
  """Builds the mixture of a channel's next sample around its first two centres.

  Chances, centres and scales of the network's components have been written.
  """
  unshared = np.float64(1 << WEIGHT_BITS)
  if mixture.num_components > 0:
    share = whole(load(mixture.chances, 0) * doubles(mixture.posterior[channel] * np.float64(1 << WEIGHT_BITS)))
    store(mixture.component_shares, 0, share)
    unshared -= total(share)
  for k in range(len(RATES)):
    mixture.centres[k], mixture.centres[len(RATES) + k] = centres[0], centres[1]
  weights = mixture.weights[channel]
  steps = doubles(np.float64(STEPS_PER_SCALE)) / maximum(load(mixture.running[channel], 0), doubles(MIN_ERROR))
  left = doubles(0.0)
  for m in range(len(mixture.inverse_multiples)):
    store(mixture.inverse_scales, m * LANES, steps * doubles(mixture.inverse_multiples[m]))
    share = whole(load(weights, m * LANES) * doubles(unshared))
    store(mixture.shares, m * LANES, share)
    left = left + share
  mixture.shares[_REMAINDER] += unshared - total(left)


@inlined
def mass_below(mixture, edge, row):
  """What the mixture has below an edge, of 1 << MASS_BITS; what its shapes have is written to found[row]."""
  found, distances = mixture.found[row], doubles(edge) - load(mixture.centres, 0)
  middle, last = doubles(np.float64(MIDDLE)), doubles(np.float64(2 * MIDDLE))
  mass = doubles(0.0)
  for m in range(len(mixture.inverse_multiples)):
    place = distances * load(mixture.inverse_scales, m * LANES) + middle
    below = interpolate(mixture.table, minimum(maximum(place, doubles(0.0)), last))
    store(found, m * LANES, below)
    mass = mass + load(mixture.shares, m * LANES) * below
  if mixture.num_components > 0:
    distances = doubles(edge) - load(mixture.component_centres, 0)
    place = distances * load(mixture.component_inverse_scales, 0) + middle
    below = interpolate(mixture.table, minimum(maximum(place, doubles(0.0)), last))
    store(found, len(mixture.inverse_scales), below)
    mass = mass + load(mixture.component_shares, 0) * below
  return np.int64(total(mass))


@inlined
def update(mixture, channel, sample, low, high):
  """Updates weights and running errors on a sample; low, high: rows of `found` of the edges around it.

  Returns the mass that the shapes gave it, of 1, each a little more than it has.
  """
  weights, below, above = mixture.weights[channel], mixture.found[low], mixture.found[high]
  num_shapes = len(weights)
  sums = doubles(0.0)
  for m in range(len(mixture.inverse_multiples)):
    likelihood = (load(above, m * LANES) - load(below, m * LANES)) * doubles(1.0 / (1 << TABLE_BITS))
    weight = load(weights, m * LANES) * (likelihood + doubles(_MIN_MASS))
    store(weights, m * LANES, weight)
    sums = sums + weight
  mass = total(sums)
  if mixture.num_components > 0:
    likelihood = (load(above, num_shapes) - load(below, num_shapes)) * doubles(1.0 / (1 << TABLE_BITS))
    network_mass = total(load(mixture.chances, 0) * likelihood) + mixture.chances[mixture.num_components] * mass
    for_network = mixture.posterior[channel] * network_mass
    posterior = for_network / (for_network + (1.0 - mixture.posterior[channel]) * mass)
    mixture.posterior[channel] = posterior * (1.0 - 2.0 * _NETWORK_SHARED) + _NETWORK_SHARED
  factor, evenly = doubles((1.0 - _SHARED) / mass), doubles(_SHARED / np.float64(num_shapes))
  for m in range(len(mixture.inverse_multiples)):
    store(weights, m * LANES, load(weights, m * LANES) * factor + evenly)
  running, error = mixture.running[channel], doubles(sample) - load(mixture.centres, 0)
  error = maximum(error, doubles(0.0) - error)
  if mixture.num_seen[channel] < mixture.num_starting:
    _follow_early(mixture, channel, error)
  else:
    followed = load(running, 0) + (error - load(running, 0)) * load(mixture.rates, 0)
    store(running, 0, maximum(followed, doubles(_FADED)))
  return mass


@inlined
def _follow_early(mixture, channel, error):
  """Has running errors follow as fast as a mean of all samples so far does, or at their own rate if that is faster.

  Then they become what is expected of the next sample, which a longer filter predicts.
  """
  running, seen = mixture.running[channel], mixture.num_seen[channel]
  rates = maximum(load(mixture.rates, 0), doubles(1.0 / (np.float64(seen) + _FIRST_SAMPLES)))
  followed = load(running, 0) + (error - load(running, 0)) * rates
  if seen == 0:
    followed = load(mixture.second[channel], 0)
  elif seen < mixture.growth.shape[1]:
    followed = followed * doubles(mixture.growth[channel, seen])
  store(running, 0, maximum(followed, doubles(_FADED)))
  mixture.num_seen[channel] = seen + 1
