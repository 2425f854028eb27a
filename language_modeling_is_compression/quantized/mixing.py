"""Mixing: from the network's outputs and the experts' own mixture to one distribution of a sample, in integers.

Both mixtures are mixed by their posteriors on this segment, so that sound unlike any that the network was trained on
costs hardly more than with the experts alone. A running histogram of the samples' quantiles recalibrates the result
(adaptive probability maps). It is a cumulative mass that never falls as the sample's index rises, from which the cdfs
of its bytes are read.

Shapes: C channels, K components of the network, J of the experts, O outputs.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.prediction import mixture
from language_modeling_is_compression.prediction.ensemble import score
from language_modeling_is_compression.prediction.evidence import NUM_COMPONENTS
from language_modeling_is_compression.prediction.long_term import BLOCK_LOG
from language_modeling_is_compression.prediction.value_map import lower_edge
from language_modeling_is_compression.quantized.hybrid_network import component_powers, place_components

_WEIGHT_BITS = 15  # The components' weights add up to 1 << _WEIGHT_BITS.
WHOLE_BITS = mixture.TABLE_BITS + _WEIGHT_BITS
_WHOLE = 1 << WHOLE_BITS
_QUANTILES_LOG = 6
_NUM_QUANTILES = 1 << _QUANTILES_LOG
_QUANTILE_BITS = 22
_QUANTILE_RATE = 1 / 8192
_QUANTILE_SHIFT = WHOLE_BITS - _QUANTILES_LOG
_QUANTILE_FLOOR = 16  # Least width of a quantile, of 1 << _QUANTILE_BITS.
_NETWORK_SHARED = 1 / 1024  # Least posterior of the network, and of the experts, so that either may come back.
_FLOOR_BITS = 31  # Sum of all indices' floors, so that none is all but impossible: 2**-14 of the whole.
COPY_BITS = 16  # Fractional bits of a copy's share.
_COPY_SHARED = 1 / 4096  # As _NETWORK_SHARED, for copies.
_REPEATING, _HELD = range(2)  # Copies of the sample one lag ago, and of the sample before.
_HELD_FRAMES = (
  16  # Run of equal samples from which on the next one may be a copy; shorter ones are left to the mixture.
)
_MAX_COMPONENTS = NUM_COMPONENTS + mixture.NUM_SHAPES


class Mixer(NamedTuple):
  """State of each channel, and the mixture of the current sample.

  network_weight: float64 [C], the network's posterior. quantiles: float64 [C, 65], the share of samples below each.
  centres, inverse_scales: float64 [K + J], weights: int64 [K + J], of num_used[0] components: the network's, and those
  of the experts' that have weight; shape_weights: int64 [J], of all of these. shares: int64 [K + 1], the network's
  weights for its components and the experts' mixture. below, above: int64 [K + 1], cumulative masses at the edges of a
  sample's bin, of each of the network's components and of the whole.

  copying: float64 [C, 2], posteriors of a copy of the sample one lag ago, and of the sample before. run: int64 [C],
  length of the current run of equal samples. copied, copy_share: int64 [1], the index of which the sample may be a
  copy, and its share of all mass, of 1 << COPY_BITS.
  """

  network_weight: np.ndarray
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


def new_mixer(num_channels: int) -> Mixer:
  """State at the beginning of a segment."""
  return Mixer(
    network_weight=np.full(num_channels, 0.5),
    quantiles=np.tile(np.arange(_NUM_QUANTILES + 1) / _NUM_QUANTILES, (num_channels, 1)),
    num_used=np.zeros(1, np.int64),
    centres=np.zeros(_MAX_COMPONENTS),
    inverse_scales=np.zeros(_MAX_COMPONENTS),
    weights=np.zeros(_MAX_COMPONENTS, np.int64),
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
def build_mixture(mixer, experts, exp2, channel, outputs):
  """Builds the mixture of the current sample from the experts' predictions and the network's outputs, int32 [O]."""
  shares = mixer.shares
  total = component_powers(outputs, exp2, shares)
  for_network = min(max(np.int64(mixer.network_weight[channel] * (1 << _WEIGHT_BITS)), 1), (1 << _WEIGHT_BITS) - 1)
  left = np.int64(1 << _WEIGHT_BITS)
  for k in range(NUM_COMPONENTS):
    mixer.weights[k] = shares[k] * for_network // total
    left -= mixer.weights[k]
  place_components(outputs, exp2, experts.centres[channel], experts.unit[channel], mixer.centres, mixer.inverse_scales)
  count = NUM_COMPONENTS
  # The experts' own components: weight that rounds to 0 goes to the heaviest.
  weights = experts.shape_weights[channel]
  for_experts, heaviest = left, 0
  for j in range(mixture.NUM_SHAPES):
    mixer.shape_weights[j] = np.int64(weights[j] * for_experts)
    left -= mixer.shape_weights[j]
    if weights[j] > weights[heaviest]:
      heaviest = j
  mixer.shape_weights[heaviest] += left
  for j in range(mixture.NUM_SHAPES):
    if mixer.shape_weights[j] > 0:
      mixer.centres[count] = experts.centres[channel, j // mixture.SHAPES_PER_CENTRE]
      mixer.inverse_scales[count] = experts.inverse_scales[channel, j]
      mixer.weights[count] = mixer.shape_weights[j]
      count += 1
  mixer.num_used[0] = count


@inlined
def build_copy(mixer, long_term, indices, channel, t):
  """Chooses the index of which the sample may be a copy, and its share; indices: int64 [N, C], known up to this one."""
  copying = mixer.copying[channel]
  likelihood = 0.0
  lag = long_term.lags[t >> BLOCK_LOG, 0]
  if lag > 0:
    likelihood = copying[_REPEATING]
    mixer.copied[0] = indices[t - lag, channel]
  if mixer.run[channel] >= _HELD_FRAMES and copying[_HELD] >= likelihood:
    likelihood = copying[_HELD]
    mixer.copied[0] = indices[t - 1, channel]
  mixer.copy_share[0] = np.int64(likelihood * (1 << COPY_BITS))


@inlined
def likely_index(mixer, experts, channel):
  """Index that the decoder's search starts from."""
  if mixer.copy_share[0] > 1 << (COPY_BITS - 1):
    return mixer.copied[0]
  return np.int64(experts.centres[channel, 0])


@inlined
def cumulative_mass(mixer, bins, table, channel, index):
  """Mass of all indices below an index, of 1 << WHOLE_BITS and the floors; it never falls as the index rises."""
  edge = lower_edge(bins, channel, index)
  mass = np.int64(0)
  for k in range(mixer.num_used[0]):
    mass += mixer.weights[k] * mixture.cumulative((edge - mixer.centres[k]) * mixer.inverse_scales[k], table)
  return final_mass(mixer, bins, channel, index, mass)


@inlined
def final_mass(mixer, bins, channel, index, mass):
  """A `cumulative_mass` from what the components have below the index."""
  least, largest = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1])
  num_indices = largest - least + 1
  floors = min(max(index - least, np.int64(0)), num_indices) * _floor(num_indices)
  below = _recalibrated(mixer.quantiles[channel], mass) + floors
  share = mixer.copy_share[0]
  # All of the mass has at most 46 bits, so that its product with a share fits.
  below -= (below * share) >> COPY_BITS
  if index > mixer.copied[0]:
    below += (whole_mass(num_indices) * share) >> COPY_BITS
  return below


@inlined
def score_bin(mixer, experts, channel, below, above):
  """Computes masses of each component, and of all, below the edges of the bin of the sample that came."""
  score(experts, channel, below, above)
  table = experts.table
  low, high = np.int64(0), np.int64(0)
  for k in range(NUM_COMPONENTS):
    centre, inverse = mixer.centres[k], mixer.inverse_scales[k]
    mixer.below[k] = mixture.cumulative((below - centre) * inverse, table)
    mixer.above[k] = mixture.cumulative((above - centre) * inverse, table)
    low += mixer.weights[k] * mixer.below[k]
    high += mixer.weights[k] * mixer.above[k]
  for j in range(mixture.NUM_SHAPES):
    low += mixer.shape_weights[j] * experts.below[j]
    high += mixer.shape_weights[j] * experts.above[j]
  mixer.below[NUM_COMPONENTS], mixer.above[NUM_COMPONENTS] = low, high


@inlined
def update_weights(mixer, channel, experts_mass):
  """Updates posteriors and histogram on a sample that has been scored.

  experts_mass: mass of its bin, of 1, for them.
  """
  shares = mixer.shares
  total, mass = np.int64(0), 0.0
  for k in range(NUM_COMPONENTS):
    total += shares[k]
    mass += np.float64(shares[k]) * np.float64(mixer.above[k] - mixer.below[k])
  total += shares[NUM_COMPONENTS]
  network_mass = (mass * (1.0 / mixture.WHOLE) + np.float64(shares[NUM_COMPONENTS]) * experts_mass) / np.float64(total)
  for_network = mixer.network_weight[channel] * network_mass
  network_weight = for_network / (for_network + (1.0 - mixer.network_weight[channel]) * experts_mass)
  mixer.network_weight[channel] = network_weight * (1.0 - 2.0 * _NETWORK_SHARED) + _NETWORK_SHARED

  low, high = mixer.below[NUM_COMPONENTS], mixer.above[NUM_COMPONENTS]
  quantiles = mixer.quantiles[channel]
  start, slope = np.float64(low), 1.0 / np.float64(max(high - low, np.int64(1)))
  for q in range(1, _NUM_QUANTILES):
    share = (np.float64(np.int64(q) << _QUANTILE_SHIFT) - start) * slope
    quantiles[q] += (min(max(share, 0.0), 1.0) - quantiles[q]) * _QUANTILE_RATE


@inlined
def update_copy(mixer, long_term, indices, channel, t):
  """Updates the posteriors of copies on a sample that has been scored."""
  index, copying = indices[t, channel], mixer.copying[channel]
  mixed = np.float64(max(mixer.above[NUM_COMPONENTS] - mixer.below[NUM_COMPONENTS], np.int64(1))) * (1.0 / _WHOLE)
  lag = long_term.lags[t >> BLOCK_LOG, 0]
  if lag > 0:
    copying[_REPEATING] = _posterior(copying[_REPEATING], index == indices[t - lag, channel], mixed)
  equal = t > 0 and index == indices[t - 1, channel]
  if mixer.run[channel] >= _HELD_FRAMES:
    copying[_HELD] = _posterior(copying[_HELD], equal, mixed)
  mixer.run[channel] = mixer.run[channel] + 1 if equal else 0


@compiled
def _posterior(copying, equal, mixed):
  """Posterior of a copy by Bayes' rule; mixed: mass of the sample under the mixture."""
  likely = copying / (copying + (1.0 - copying) * mixed) if equal else 0.0
  return likely * (1.0 - 2.0 * _COPY_SHARED) + _COPY_SHARED


@compiled
def _recalibrated(quantiles, mass):
  """Mass, of 1 << WHOLE_BITS, recalibrated by the histogram of quantiles; it rises with the mass."""
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
  """`cumulative_mass` of all indices."""
  return np.int64(_WHOLE) + num_indices * _floor(num_indices)


@compiled
def _floor(num_indices):
  """Least mass of an index, before a copy takes its share of all."""
  return max(np.int64(1), (np.int64(1) << _FLOOR_BITS) // num_indices)
