"""Features of a sample that the network reads before it comes: how predictions fare and differ, as small integers.

Shapes: C channels, F features.
"""

import math
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import inlined
from language_modeling_is_compression.linear.distribution import LANES, RATES
from language_modeling_is_compression.linear.predictor import QUICK, STACKED
from language_modeling_is_compression.prediction.ensemble import neighbour_of
from language_modeling_is_compression.prediction.evidence import NUM_FEATURES
from language_modeling_is_compression.prediction.features import fixed, squashed
from language_modeling_is_compression.prediction.mixture import MIN_SCALE
from language_modeling_is_compression.prediction.state import octaves
from language_modeling_is_compression.prediction.value_map import log2, lower_edge

NUM_ERRORS = 16  # Last errors that are features.
_EQUAL_RATE = 1 / 32


class Features(NamedTuple):
  """State of all channels, and the features of the current sample."""

  values: np.ndarray  # int16 [F], of which 8 bits are in use
  unit: np.ndarray  # float64 [C], the scale that features and the network's answers are in
  equal_rate: np.ndarray  # float64 [C], how often a sample was equal to the one before it
  constants: np.ndarray  # float64 [2], of the segment: its depth and its rate


def new_features(num_channels: int, sample_bytes: int, sample_rate_hz: int) -> Features:
  """State before the first sample."""
  return Features(
    values=np.zeros(NUM_FEATURES, np.int16),
    unit=np.ones(num_channels),
    equal_rate=np.zeros(num_channels),
    constants=np.array([sample_bytes - 2.0, octaves(sample_rate_hz)]),
  )


@inlined
def extract_features(features, predictor, mixture, bins, channel, t):
  """Writes the features of the sample that `predictor.predict` was called for, and its unit."""
  values, running, centres = features.values, mixture.running[channel], predictor.centres[channel]
  expected, errors, centre = predictor.expected[channel], predictor.last_errors[channel], centres[STACKED]
  unit = max(0.75 * running[1], MIN_SCALE)
  features.unit[channel] = unit
  values[0] = fixed(log2(unit) / 4.0 - 1.0)
  values[1] = fixed(log2(running[0] / running[1] + 1e-3))
  values[2] = fixed(log2(running[2] / running[1] + 1e-3))
  values[3] = fixed(log2(running[3] / running[1] + 1e-3))
  values[4] = fixed(log2((abs(errors[0]) + 0.25 * unit) / unit))
  for k in range(NUM_ERRORS):
    values[5 + k] = squashed(errors[k], unit)
  values[21] = squashed(expected[0] - centre, 0.25 * unit)
  values[22] = squashed(expected[1] - centre, 0.25 * unit)
  values[23] = squashed(expected[2] - centre, 0.25 * unit)
  values[24] = squashed(centres[QUICK] - centre, 0.25 * unit)
  values[25] = squashed(predictor.without[channel] - centre, 0.25 * unit)
  values[26] = squashed(predictor.base[channel] - centre, 0.25 * unit)
  if len(features.unit) > 1:
    neighbour = neighbour_of(channel)
    other, other_unit = predictor.last_errors[neighbour, 0], features.unit[neighbour]
    values[27] = squashed(other, other_unit)
    values[28] = fixed(log2((abs(other) + 0.1 * other_unit) / other_unit))
    values[29] = fixed(1.0 if channel > 0 else -1.0)
  values[30] = fixed(features.constants[0])
  values[31] = fixed(features.constants[1])
  fraction = centre - math.floor(centre)
  values[32] = fixed(4.0 * (fraction - 0.5))
  values[33] = fixed(4.0 / (1.0 + unit))
  at, samples = predictor.position[channel], predictor.samples[channel]
  values[34] = squashed(samples[at] - centre, unit)
  values[35] = squashed(samples[at + 1] - centre, unit)
  values[36] = fixed(4.0 * features.equal_rate[channel])
  values[37] = fixed(2.0 if samples[at] == samples[at + 1] and samples[at] == samples[at + 2] else 0.0)
  _weight_features(mixture.weights[channel], values)
  values[44] = squashed(predictor.limits[channel, 1] - centre, 8.0 * unit)
  values[45] = squashed(centre - predictor.limits[channel, 0], 8.0 * unit)
  values[46] = fixed(log2(t + 1.0) / 4.0 - 2.0)
  nearest = np.int64(math.floor(centre + 0.5))
  width = lower_edge(bins, channel, nearest + 1) - lower_edge(bins, channel, nearest)
  values[47] = fixed(log2(width + 1 / 64))


@inlined
def follow(features, predictor, channel, sample):
  """Takes in a sample, before the predictor does."""
  equal = 1.0 if sample == predictor.samples[channel, predictor.position[channel]] else 0.0
  features.equal_rate[channel] += (equal - features.equal_rate[channel]) * _EQUAL_RATE


@inlined
def _weight_features(weights, values):
  """Writes the posterior means of a shape's scale and centre, and of each rate of running errors."""
  wide, first = 0.0, 0.0
  for j in range(len(weights)):
    wide += weights[j] * (j // LANES)
    if j % LANES < len(RATES):
      first += weights[j]
  values[38] = fixed(2.0 * wide - 2.0)
  values[39] = fixed(4.0 * first - 2.0)
  for rate in range(len(RATES)):
    share = 0.0
    for m in range(len(weights) // LANES):
      share += weights[m * LANES + rate] + weights[m * LANES + len(RATES) + rate]
    values[40 + rate] = fixed(4.0 * share - 1.0)
