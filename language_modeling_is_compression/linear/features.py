"""Features of a sample that the network reads before it comes: how predictions fare and differ, as small integers.

Shapes: C channels, F features.
"""

import math
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import inlined
from language_modeling_is_compression.kernels.vectors import (
  DOUBLES,
  doubles,
  load,
  maximum,
  minimum,
  store,
  whole,
)
from language_modeling_is_compression.linear.distribution import LANES, RATES
from language_modeling_is_compression.linear.predictor import QUICK, STACKED
from language_modeling_is_compression.prediction.ensemble import neighbour_of
from language_modeling_is_compression.prediction.evidence import FEATURE_BITS, NUM_FEATURES
from language_modeling_is_compression.prediction.mixture import MIN_SCALE
from language_modeling_is_compression.prediction.state import octaves
from language_modeling_is_compression.prediction.value_map import log2, lower_edge

NUM_ERRORS = 16  # Last errors that are features.
_EQUAL_RATE = 1 / 32
_FIRST_ERROR, _FIRST_DIFFERENCE = 5, 21
_FIXED = float(1 << FEATURE_BITS)
_LARGEST = 127.0
_ABOVE = 128.0  # Features are all above its negative.


class Features(NamedTuple):
  """State of all channels, and the features of the current sample."""

  values: np.ndarray  # int16 [F], of which 8 bits are in use
  raw: np.ndarray  # float64 [F], scratch, as are the following
  differences: np.ndarray  # float64 [2 * DOUBLES], from the centre, of which some are
  units: np.ndarray  # float64 [2 * DOUBLES], what they are measured in
  unit: np.ndarray  # float64 [C], the scale that features and the network's answers are in
  equal_rate: np.ndarray  # float64 [C], how often a sample was equal to the one before it
  constants: np.ndarray  # float64 [2], of the segment: its depth and its rate


def new_features(num_channels: int, sample_bytes: int, sample_rate_hz: int) -> Features:
  """State before the first sample."""
  return Features(
    values=np.zeros(NUM_FEATURES, np.int16),
    raw=np.zeros(NUM_FEATURES),
    differences=np.zeros(2 * DOUBLES),
    units=np.ones(2 * DOUBLES),
    unit=np.ones(num_channels),
    equal_rate=np.zeros(num_channels),
    constants=np.array([sample_bytes - 2.0, octaves(sample_rate_hz)]),
  )


@inlined
def extract_features(features, predictor, mixture, bins, channel, t):
  """Writes the features of the sample that `predictor.predict` was called for, and its unit."""
  raw, running, centres = features.raw, mixture.running[channel], predictor.centres[channel]
  expected, errors, centre = predictor.expected[channel], predictor.last_errors[channel], centres[STACKED]
  unit = max(0.75 * running[1], MIN_SCALE)
  features.unit[channel] = unit
  raw[0] = log2(unit) / 4.0 - 1.0
  raw[1] = log2(running[0] / running[1] + 1e-3)
  raw[2] = log2(running[2] / running[1] + 1e-3)
  raw[3] = log2(running[3] / running[1] + 1e-3)
  raw[4] = log2((abs(errors[0]) + 0.25 * unit) / unit)
  for k in range(0, NUM_ERRORS, DOUBLES):
    store(raw, _FIRST_ERROR + k, _squashed(load(errors, k), doubles(unit)))
  at, samples = predictor.position[channel], predictor.samples[channel]
  differences, units = features.differences, features.units
  for k in range(3):
    differences[k] = expected[k] - centre
  differences[3] = centres[QUICK] - centre
  differences[4] = predictor.without[channel] - centre
  differences[5] = predictor.base[channel] - centre
  differences[7] = samples[at] - centre
  differences[8] = samples[at + 1] - centre
  differences[9] = predictor.limits[channel, 1] - centre
  differences[10] = centre - predictor.limits[channel, 0]
  for k in range(6):
    units[k] = 0.25 * unit
  units[7], units[8] = unit, unit
  units[9], units[10] = 8.0 * unit, 8.0 * unit
  if len(features.unit) > 1:
    neighbour = neighbour_of(channel)
    other, other_unit = predictor.last_errors[neighbour, 0], features.unit[neighbour]
    differences[6], units[6] = other, other_unit
    raw[28] = log2((abs(other) + 0.1 * other_unit) / other_unit)
    raw[29] = 1.0 if channel > 0 else -1.0
  for k in range(0, len(differences), DOUBLES):
    store(differences, k, _squashed(load(differences, k), load(units, k)))
  for k in range(7):
    raw[_FIRST_DIFFERENCE + k] = differences[k]
  raw[34], raw[35], raw[44], raw[45] = differences[7], differences[8], differences[9], differences[10]
  raw[30] = features.constants[0]
  raw[31] = features.constants[1]
  fraction = centre - math.floor(centre)
  raw[32] = 4.0 * (fraction - 0.5)
  raw[33] = 4.0 / (1.0 + unit)
  raw[36] = 4.0 * features.equal_rate[channel]
  raw[37] = 2.0 if samples[at] == samples[at + 1] and samples[at] == samples[at + 2] else 0.0
  _weight_features(mixture.weights[channel], raw)
  raw[46] = log2(t + 1.0) / 4.0 - 2.0
  nearest = np.int64(math.floor(centre + 0.5))
  width = lower_edge(bins, channel, nearest + 1) - lower_edge(bins, channel, nearest)
  raw[47] = log2(width + 1 / 64)
  # To fixed point of 8 bits, rounded: `whole` cuts off towards 0, so it is given numbers above 0.
  most = doubles(_LARGEST)
  for k in range(0, NUM_FEATURES, DOUBLES):
    value = minimum(maximum(load(raw, k) * doubles(_FIXED), doubles(-_LARGEST)), most)
    store(raw, k, whole(value + doubles(_ABOVE + 0.5)) - doubles(_ABOVE))
  for k in range(NUM_FEATURES):
    features.values[k] = np.int16(raw[k])


@inlined
def _squashed(values, units):
  """2 * value / (abs(value) + unit) in each lane, which is from -2 to 2."""
  return doubles(2.0) * values / (maximum(values, doubles(0.0) - values) + units)


@inlined
def follow(features, predictor, channel, sample):
  """Takes in a sample, before the predictor does."""
  equal = 1.0 if sample == predictor.samples[channel, predictor.position[channel]] else 0.0
  features.equal_rate[channel] += (equal - features.equal_rate[channel]) * _EQUAL_RATE


@inlined
def _weight_features(weights, raw):
  """Writes the posterior means of a shape's scale and centre, and of each rate of running errors."""
  wide, first = 0.0, 0.0
  for j in range(len(weights)):
    wide += weights[j] * (j // LANES)
    if j % LANES < len(RATES):
      first += weights[j]
  raw[38] = 2.0 * wide - 2.0
  raw[39] = 4.0 * first - 2.0
  for rate in range(len(RATES)):
    share = 0.0
    for m in range(len(weights) // LANES):
      share += weights[m * LANES + rate] + weights[m * LANES + len(RATES) + rate]
    raw[40 + rate] = 4.0 * share - 1.0
