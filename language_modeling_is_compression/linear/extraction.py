"""Extraction of features and targets from a known segment, by prediction alone: what a network is trained on.

Shapes: N frames, C channels.
"""

import dataclasses

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import distribution, predictor
from language_modeling_is_compression.linear.distribution import mass_below, new_mixture
from language_modeling_is_compression.linear.features import NUM_ERRORS, extract_features, follow, new_features
from language_modeling_is_compression.linear.predictor import new_predictor
from language_modeling_is_compression.linear.presets import EFFORTS, Preset
from language_modeling_is_compression.linear.start import begin
from language_modeling_is_compression.prediction.evidence import NUM_CENTRES, NUM_FEATURES, Evidence
from language_modeling_is_compression.prediction.lag_search import find_lags
from language_modeling_is_compression.prediction.state import GROUP_CHANNELS
from language_modeling_is_compression.prediction.value_map import (
  bytes_in_use,
  channel_values,
  edges,
  lower_edge,
  to_indices,
)

_FARTHEST = 1e9  # Units; what is farther is infinitely far.


def extract_evidence(samples: np.ndarray, *, sample_bytes: int, sample_rate_hz: int, effort: int) -> Evidence:
  """Features and targets of each sample of a segment.

  samples: int32 [N, C], signed, N > 0. effort: an index of EFFORTS. More than GROUP_CHANNELS stand one group after the
  other. Prediction begins as in coding 6 (start.py). A channel of one value has no features, and bins as wide as can
  be, since no network sees it.
  """
  groups = [
    _extract(samples[:, first : first + GROUP_CHANNELS], sample_bytes, sample_rate_hz, EFFORTS[effort])
    for first in range(0, samples.shape[1], GROUP_CHANNELS)
  ]
  if len(groups) == 1:
    return groups[0]
  fields = dataclasses.fields(Evidence)
  return Evidence(**{each.name: np.concatenate([getattr(group, each.name) for group in groups]) for each in fields})


def _extract(samples: np.ndarray, sample_bytes: int, sample_rate_hz: int, effort: Preset) -> Evidence:
  channels = [channel_values(samples[:, channel]) for channel in range(samples.shape[1])]
  bins = edges(channels)
  indices = to_indices(samples, channels)
  starts = [channel.begun_for(column).start for channel, column in zip(channels, indices.T, strict=True)]
  state = (
    *begin(
      new_predictor(effort, bins.limits, find_lags(indices), len(indices), NUM_ERRORS),
      new_mixture(len(channels), has_network=True),
      starts,
    ),
    new_features(len(channels), bytes_in_use(sample_bytes, channels), sample_rate_hz),
  )
  num_samples = samples.size
  evidence = Evidence(
    features=np.zeros((num_samples, NUM_FEATURES), np.int8),
    below=np.full((num_samples, NUM_CENTRES), -_FARTHEST, np.float32),
    width=np.full(num_samples, 2.0 * _FARTHEST, np.float32),
    experts_log2=np.zeros(num_samples, np.float32),
  )
  _extract_segment(*state, bins, indices, evidence.features, evidence.below, evidence.width, evidence.experts_log2)
  return evidence


@compiled
def _extract_segment(state, mixture, features, bins, indices, values, below, width, experts_log2):
  num_frames, num_channels = indices.shape
  for t in range(num_frames):
    for channel in range(num_channels):
      if bins.limits[channel, 0] == bins.limits[channel, 1]:
        continue
      place = t * num_channels + channel
      predictor.predict(state, channel, t)
      extract_features(features, state, mixture, bins, channel, t)
      mixture.chances[mixture.num_components] = 1.0  # As if the network had answered so.
      distribution.build(mixture, channel, state.centres[channel])
      index = indices[t, channel]
      low, high = lower_edge(bins, channel, index), lower_edge(bins, channel, index + 1)
      unit = features.unit[channel]
      for k in range(NUM_FEATURES):
        values[place, k] = features.values[k]
      # A cell without a lower end is measured from its upper edge: a distant end would leave no digits for near cells.
      open_below = index <= bins.limits[channel, 0]
      edge = high if open_below else low
      for centre in range(NUM_CENTRES):
        below[place, centre] = max(min((edge - state.centres[channel, centre]) / unit, _FARTHEST), -_FARTHEST)
      width[place] = -2.0 * _FARTHEST if open_below else min((high - low) / unit, _FARTHEST)
      mass_below(mixture, low, 0)
      mass_below(mixture, high, 1)
      mass = distribution.update(mixture, channel, np.float64(index), 0, 1)
      experts_log2[place] = np.log2(min(mass, 1.0))
      follow(features, state, channel, np.float64(index))
      predictor.learn(state, channel, t, np.float64(index))
