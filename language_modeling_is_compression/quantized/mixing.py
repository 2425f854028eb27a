"""From the network's answer and the experts' own mixture to one distribution of a sample, in integers.

The network's mixture and the experts' are mixed by how they have done on this segment, so that sound unlike any that
the network was trained on costs hardly more than with the experts alone. What the whole has been wrong about, in
quantiles, bends it once more. The result is a rising function of the sample's index, from which the cdfs of its bytes
are read.

Shapes: C channels, K components of the network, J of the experts, O outputs.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.prediction import mixture
from language_modeling_is_compression.prediction.ensemble import weigh
from language_modeling_is_compression.prediction.evidence import (
  COMPONENT_CENTRES,
  LOG2_SCALES,
  MAX_LOG2_SCALE,
  MAX_OFFSET,
  NUM_COMPONENTS,
  OFFSETS,
)
from language_modeling_is_compression.prediction.long_term import BLOCK_LOG
from language_modeling_is_compression.prediction.value_map import lower_edge
from language_modeling_is_compression.quantized.layers import power
from language_modeling_is_compression.quantized.quantize import EXP_BITS, LOG_BITS

_WEIGHT_BITS = 15  # Of the components' weights, which add up to 1 << _WEIGHT_BITS.
WHOLE_BITS = mixture.TABLE_BITS + _WEIGHT_BITS
_WHOLE = 1 << WHOLE_BITS
_QUANTILES_LOG = 6
_NUM_QUANTILES = 1 << _QUANTILES_LOG
_QUANTILE_BITS = 22
_QUANTILE_RATE = 1 / 8192
_QUANTILE_SHIFT = WHOLE_BITS - _QUANTILES_LOG
_QUANTILE_FLOOR = 16  # Of 1 << _QUANTILE_BITS, for every quantile.
_TRUST_SHARED = 1 / 1024  # How fast the network may be trusted again, or not.
_FLOOR_BITS = 31  # All indices' floors together, so that none is all but impossible: 2**-14 of the whole.
_COPY_BITS = 16  # Of the share of a copy.
_COPY_SHARED = 1 / 4096  # How fast it may be believed again that the sound is a copy, or not.
_REPEATING, _HELD = range(2)  # Of what was a lag before; of the sample before.
_HELD_FRAMES = 16  # For so long must a sample have stayed the same: shorter runs are chance, or left to the mixture.
_LONGEST = NUM_COMPONENTS + mixture.NUM_SHAPES
_CENTRES = np.array(COMPONENT_CENTRES, np.int64)
_FIRST_OFFSET, _FIRST_SCALE = OFFSETS.start, LOG2_SCALES.start
_LARGEST_OFFSET = MAX_OFFSET << LOG_BITS
_LARGEST_LOG2_SCALE = MAX_LOG2_SCALE << LOG_BITS


class Blend(NamedTuple):
  """What is remembered for each channel, and the mixture of the sample at hand.

  trust: float64 [C], in the network. quantiles: float64 [C, 65], from 0 to 1, what share of samples was below each.
  centres, inverse_scales: float64 [K + J], weights: int64 [K + J], of num_used[0] components: the network's, and those
  of the experts' that weigh something; shape_weights: int64 [J], of all of these. shares: int64 [K + 1], the network's
  weights for its components and the experts' mixture. below, above: int64 [K + 1], cumulative masses at the edges of a
  sample's cell, of each of the network's components and of the whole.

  copying: float64 [C, 2], how likely it is that the sound is a copy of what was a lag before, and of the sample before.
  run: int64 [C], how often the latter has been so at a stretch. copied, copy_share: int64 [1], the index of which the
  sample may be a copy, and its share of all mass, of 1 << _COPY_BITS.
  """

  trust: np.ndarray
  quantiles: np.ndarray
  num_used: np.ndarray
  centres: np.ndarray
  inverse_scales: np.ndarray
  weights: np.ndarray
  shape_weights: np.ndarray
  shares: np.ndarray
  below: np.ndarray
  above: np.ndarray
  copying: np.ndarray
  run: np.ndarray
  copied: np.ndarray
  copy_share: np.ndarray


def new_blend(num_channels: int) -> Blend:
  return Blend(
    trust=np.full(num_channels, 0.5),
    quantiles=np.tile(np.arange(_NUM_QUANTILES + 1) / _NUM_QUANTILES, (num_channels, 1)),
    num_used=np.zeros(1, np.int64),
    centres=np.zeros(_LONGEST),
    inverse_scales=np.zeros(_LONGEST),
    weights=np.zeros(_LONGEST, np.int64),
    shape_weights=np.zeros(mixture.NUM_SHAPES, np.int64),
    shares=np.zeros(NUM_COMPONENTS + 1, np.int64),
    below=np.zeros(NUM_COMPONENTS + 1, np.int64),
    above=np.zeros(NUM_COMPONENTS + 1, np.int64),
    copying=np.full((num_channels, 2), _COPY_SHARED),
    run=np.zeros(num_channels, np.int64),
    copied=np.zeros(1, np.int64),
    copy_share=np.zeros(1, np.int64),
  )


@inlined
def compose(blend, experts, exp2, channel, outputs):
  """The mixture of the sample that the experts expect and the network's outputs, int32 [O], are about."""
  shares = blend.shares
  largest = outputs[0]
  for k in range(1, NUM_COMPONENTS + 1):
    largest = max(largest, outputs[k])
  total = np.int64(0)
  for k in range(NUM_COMPONENTS + 1):
    shares[k] = power(np.int32(largest - outputs[k]), exp2)
    total += shares[k]
  trusted = min(max(np.int64(blend.trust[channel] * (1 << _WEIGHT_BITS)), 1), (1 << _WEIGHT_BITS) - 1)
  left = np.int64(1 << _WEIGHT_BITS)
  unit, count = experts.unit[channel], 0
  for k in range(NUM_COMPONENTS):
    weight = shares[k] * trusted // total
    left -= weight
    offset = min(max(outputs[_FIRST_OFFSET + k], -_LARGEST_OFFSET), _LARGEST_OFFSET)
    log2_scale = min(max(outputs[_FIRST_SCALE + k], -_LARGEST_LOG2_SCALE), _LARGEST_LOG2_SCALE)
    blend.centres[k] = experts.centres[channel, _CENTRES[k]] + unit * (offset / (1 << LOG_BITS))
    blend.inverse_scales[k] = mixture.STEPS_PER_SCALE / (unit * _exp2(log2_scale, exp2))
    blend.weights[k] = weight
  count = NUM_COMPONENTS
  # The experts' own: what is too light is left to the heaviest.
  weights = experts.shape_weights[channel]
  for_experts, heaviest = left, 0
  for j in range(mixture.NUM_SHAPES):
    blend.shape_weights[j] = np.int64(weights[j] * for_experts)
    left -= blend.shape_weights[j]
    if weights[j] > weights[heaviest]:
      heaviest = j
  blend.shape_weights[heaviest] += left
  for j in range(mixture.NUM_SHAPES):
    if blend.shape_weights[j] > 0:
      blend.centres[count] = experts.centres[channel, j // mixture.SHAPES_PER_CENTRE]
      blend.inverse_scales[count] = experts.inverse_scales[channel, j]
      blend.weights[count] = blend.shape_weights[j]
      count += 1
  blend.num_used[0] = count


@inlined
def compose_copy(blend, repeats, indices, channel, t):
  """Beside the mixture: one index that the sample may be a copy of; indices: int64 [N, C], known up to this one."""
  copying = blend.copying[channel]
  likelihood = 0.0
  lag = repeats.lags[t >> BLOCK_LOG, 0]
  if lag > 0:
    likelihood = copying[_REPEATING]
    blend.copied[0] = indices[t - lag, channel]
  if blend.run[channel] >= _HELD_FRAMES and copying[_HELD] >= likelihood:
    likelihood = copying[_HELD]
    blend.copied[0] = indices[t - 1, channel]
  blend.copy_share[0] = np.int64(likelihood * (1 << _COPY_BITS))


@inlined
def likely_index(blend, experts, channel):
  """Where to look first."""
  if blend.copy_share[0] > 1 << (_COPY_BITS - 1):
    return blend.copied[0]
  return np.int64(experts.centres[channel, 0])


@inlined
def cumulative_mass(blend, cells, table, channel, index):
  """Mass of all indices below one, of 1 << WHOLE_BITS and the floors; it never falls as the index rises."""
  edge = lower_edge(cells, channel, index)
  mass = np.int64(0)
  for k in range(blend.num_used[0]):
    mass += blend.weights[k] * mixture.cumulative((edge - blend.centres[k]) * blend.inverse_scales[k], table)
  return final_mass(blend, cells, channel, index, mass)


@inlined
def final_mass(blend, cells, channel, index, mass):
  """A `cumulative_mass` from what the components have below the index."""
  least, largest = np.int64(cells.limits[channel, 0]), np.int64(cells.limits[channel, 1])
  num_indices = largest - least + 1
  floors = min(max(index - least, np.int64(0)), num_indices) * _floor(num_indices)
  below = _bent(blend.quantiles[channel], mass) + floors
  share = blend.copy_share[0]
  # All of the mass has at most 46 bits, so that its product with a share fits.
  below -= (below * share) >> _COPY_BITS
  if index > blend.copied[0]:
    below += (whole_mass(num_indices) * share) >> _COPY_BITS
  return below


@inlined
def weigh_cell(blend, experts, channel, below, above):
  """What each component, and all together, have below the edges of the cell of the sample that came."""
  weigh(experts, channel, below, above)
  table = experts.table
  low, high = np.int64(0), np.int64(0)
  for k in range(NUM_COMPONENTS):
    centre, inverse = blend.centres[k], blend.inverse_scales[k]
    blend.below[k] = mixture.cumulative((below - centre) * inverse, table)
    blend.above[k] = mixture.cumulative((above - centre) * inverse, table)
    low += blend.weights[k] * blend.below[k]
    high += blend.weights[k] * blend.above[k]
  for j in range(mixture.NUM_SHAPES):
    low += blend.shape_weights[j] * experts.below[j]
    high += blend.shape_weights[j] * experts.above[j]
  blend.below[NUM_COMPONENTS], blend.above[NUM_COMPONENTS] = low, high


@inlined
def review(blend, channel, experts_mass):
  """Learns from a sample that has been weighed, and whose cell had a mass, of 1, for the experts alone."""
  shares = blend.shares
  total, mass = np.int64(0), 0.0
  for k in range(NUM_COMPONENTS):
    total += shares[k]
    mass += np.float64(shares[k]) * np.float64(blend.above[k] - blend.below[k])
  total += shares[NUM_COMPONENTS]
  network_mass = (mass * (1.0 / mixture.WHOLE) + np.float64(shares[NUM_COMPONENTS]) * experts_mass) / np.float64(total)
  trusted = blend.trust[channel] * network_mass
  trust = trusted / (trusted + (1.0 - blend.trust[channel]) * experts_mass)
  blend.trust[channel] = trust * (1.0 - 2.0 * _TRUST_SHARED) + _TRUST_SHARED

  low, high = blend.below[NUM_COMPONENTS], blend.above[NUM_COMPONENTS]
  quantiles = blend.quantiles[channel]
  start, slope = np.float64(low), 1.0 / np.float64(max(high - low, np.int64(1)))
  for q in range(1, _NUM_QUANTILES):
    share = (np.float64(np.int64(q) << _QUANTILE_SHIFT) - start) * slope
    quantiles[q] += (min(max(share, 0.0), 1.0) - quantiles[q]) * _QUANTILE_RATE


@inlined
def review_copy(blend, repeats, indices, channel, t):
  """Learns from a sample that has been weighed whether it was a copy."""
  index, copying = indices[t, channel], blend.copying[channel]
  mixed = np.float64(max(blend.above[NUM_COMPONENTS] - blend.below[NUM_COMPONENTS], np.int64(1))) * (1.0 / _WHOLE)
  lag = repeats.lags[t >> BLOCK_LOG, 0]
  if lag > 0:
    copying[_REPEATING] = _believed(copying[_REPEATING], index == indices[t - lag, channel], mixed)
  equal = t > 0 and index == indices[t - 1, channel]
  if blend.run[channel] >= _HELD_FRAMES:
    copying[_HELD] = _believed(copying[_HELD], equal, mixed)
  blend.run[channel] = blend.run[channel] + 1 if equal else 0


@compiled
def _believed(copying, equal, mixed):
  """Bayes' rule, as for the trust in the network: `mixed` is the mass of the sample for all that copies nothing."""
  likely = copying / (copying + (1.0 - copying) * mixed) if equal else 0.0
  return likely * (1.0 - 2.0 * _COPY_SHARED) + _COPY_SHARED


@compiled
def _bent(quantiles, mass):
  """A mass, of 1 << WHOLE_BITS, as the quantiles seen so far say it should have been; it rises with the mass."""
  if mass >= _WHOLE:
    return np.int64(_WHOLE)
  q = mass >> _QUANTILE_SHIFT
  free = (1 << _QUANTILE_BITS) - _NUM_QUANTILES * _QUANTILE_FLOOR
  low = np.int64(quantiles[q] * free) + q * _QUANTILE_FLOOR
  high = np.int64(quantiles[q + 1] * free) + (q + 1) * _QUANTILE_FLOOR
  within = mass & ((np.int64(1) << _QUANTILE_SHIFT) - 1)
  return (low << (WHOLE_BITS - _QUANTILE_BITS)) + (((high - low) * within) >> (_QUANTILE_BITS - _QUANTILES_LOG))


@compiled
def whole_mass(num_indices):
  """The `cumulative_mass` of all indices."""
  return np.int64(_WHOLE) + num_indices * _floor(num_indices)


@compiled
def _floor(num_indices):
  """The mass that every index has at least, before a copy takes its share of all."""
  return max(np.int64(1), (np.int64(1) << _FLOOR_BITS) // num_indices)


@compiled
def _exp2(log2_scale, exp2):
  """2**(log2_scale / 2**LOG_BITS), as a float64 without rounding."""
  fraction = np.int64(exp2[-log2_scale & ((1 << LOG_BITS) - 1)])
  whole = (log2_scale + ((1 << LOG_BITS) - 1)) >> LOG_BITS
  scale = np.float64(fraction) * (1.0 / (1 << EXP_BITS))
  if whole >= 0:
    return scale * np.float64(np.int64(1) << whole)
  return scale / np.float64(np.int64(1) << -whole)
