"""Features of a sample that the network reads before it comes: how the experts fare and differ, as small integers."""

import math

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.prediction import mixture
from language_modeling_is_compression.prediction.ensemble import neighbour_of
from language_modeling_is_compression.prediction.evidence import FEATURE_BITS
from language_modeling_is_compression.prediction.state import (
  FIRST_OF_LONG,
  LAST_OF_LONG,
  LAST_OF_SHORT,
  NUM_ERRORS,
)
from language_modeling_is_compression.prediction.value_map import log2, lower_edge


@inlined
def extract_features(experts, bins, channel, t):
  """Writes experts.features for the sample that `ensemble.predict` was called for."""
  features = experts.features
  running, centres, unit = experts.running[channel], experts.centres[channel], experts.unit[channel]
  predictions, errors = experts.predictions[channel], experts.errors[channel]
  features[0] = fixed(log2(unit) / 4.0 - 1.0)
  features[1] = fixed(log2(running[0] / running[1] + 1e-3))
  features[2] = fixed(log2(running[2] / running[1] + 1e-3))
  features[3] = fixed(log2(running[3] / running[1] + 1e-3))
  features[4] = fixed(log2((abs(errors[0]) + 0.25 * unit) / unit))
  for k in range(NUM_ERRORS):
    features[5 + k] = squashed(errors[k], unit)
  features[21] = squashed(predictions[0] - centres[0], 0.25 * unit)
  features[22] = squashed(predictions[1] - centres[0], 0.25 * unit)
  features[23] = squashed(predictions[2] - centres[0], 0.25 * unit)
  features[24] = squashed(predictions[LAST_OF_SHORT] - centres[0], 0.25 * unit)
  features[25] = squashed(predictions[FIRST_OF_LONG] - centres[0], 0.25 * unit)
  features[26] = squashed(predictions[LAST_OF_LONG] - centres[0], 0.25 * unit)
  if len(experts.unit) > 1:
    neighbour = neighbour_of(channel)
    other, other_unit = experts.errors[neighbour, 0], experts.unit[neighbour]
    features[27] = squashed(other, other_unit)
    features[28] = fixed(log2((abs(other) + 0.1 * other_unit) / other_unit))
    features[29] = fixed(1.0 if channel > 0 else -1.0)
  features[30] = fixed(experts.constants[0])
  features[31] = fixed(experts.constants[1])
  fraction = centres[0] - math.floor(centres[0])
  features[32] = fixed(4.0 * (fraction - 0.5))
  features[33] = fixed(4.0 / (1.0 + unit))
  at = experts.sample_position[channel]
  samples = experts.samples[channel]
  features[34] = squashed(samples[at] - centres[0], unit)
  features[35] = squashed(samples[at + 1] - centres[0], unit)
  features[36] = fixed(4.0 * experts.equal_rate[channel])
  features[37] = fixed(2.0 if samples[at] == samples[at + 1] and samples[at] == samples[at + 2] else 0.0)
  _weight_features(experts.shape_weights[channel], features)
  features[44] = squashed(experts.limits[channel, 1] - centres[0], 8.0 * unit)
  features[45] = squashed(centres[0] - experts.limits[channel, 0], 8.0 * unit)
  features[46] = fixed(log2(t + 1.0) / 4.0 - 2.0)
  nearest = np.int64(math.floor(centres[0] + 0.5))
  width = lower_edge(bins, channel, nearest + 1) - lower_edge(bins, channel, nearest)
  features[47] = fixed(log2(width + 1 / 64))


@inlined
def _weight_features(weights, features):
  """Writes the posterior means of a component's scale and centre, and of each rate of running errors."""
  scale, first = 0.0, 0.0
  for j in range(mixture.NUM_SHAPES):
    scale += weights[j] * (j % mixture.NUM_MULTIPLES)
    if j < mixture.NUM_SHAPES // mixture.NUM_TRACKED:
      first += weights[j]
  features[38] = fixed(2.0 * scale - 3.0)
  features[39] = fixed(4.0 * first - 2.0)
  for rate in range(mixture.NUM_RATES):
    share = 0.0
    for j in range(mixture.NUM_MULTIPLES):
      share += weights[rate * mixture.NUM_MULTIPLES + j]
      share += weights[(mixture.NUM_RATES + rate) * mixture.NUM_MULTIPLES + j]
    features[40 + rate] = fixed(4.0 * share - 1.0)


@compiled
def squashed(value, unit):
  """Feature of 2 * value / (abs(value) + unit), which is from -2 to 2."""
  return fixed(2.0 * value / (abs(value) + unit))


@compiled
def fixed(value):
  """Feature of a value: fixed point with FEATURE_BITS fractional bits, limited to 8 bits."""
  return math.floor(min(max(value * (1 << FEATURE_BITS), -127.0), 127.0) + 0.5)
