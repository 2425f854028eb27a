"""Extraction of features and targets from a known segment, by the experts alone: what a network is trained on."""

import dataclasses

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.prediction.ensemble import predict, score, update
from language_modeling_is_compression.prediction.evidence import NUM_CENTRES, NUM_FEATURES, Evidence
from language_modeling_is_compression.prediction.features import extract_features
from language_modeling_is_compression.prediction.lag_search import find_lags
from language_modeling_is_compression.prediction.state import EFFORTS, GROUP_CHANNELS, Effort, new_experts
from language_modeling_is_compression.prediction.value_map import (
  bytes_in_use,
  channel_values,
  edges,
  lower_edge,
  to_indices,
)

EXPERTS_VERSION = 5  # Version of the experts' arithmetic; features of another version cannot be used.

_FARTHEST = 1e9  # Units; what is farther is infinitely far.


def extract_evidence(samples: np.ndarray, *, sample_bytes: int, sample_rate_hz: int, effort: int) -> Evidence:
  """Features and targets of each sample of a segment.

  samples: int32 [N, C], signed, N > 0. effort: an index of EFFORTS. More than GROUP_CHANNELS stand one group after the
  other.
  """
  groups = [
    _extract(samples[:, first : first + GROUP_CHANNELS], sample_bytes, sample_rate_hz, EFFORTS[effort])
    for first in range(0, samples.shape[1], GROUP_CHANNELS)
  ]
  if len(groups) == 1:
    return groups[0]
  fields = dataclasses.fields(Evidence)
  return Evidence(**{each.name: np.concatenate([getattr(group, each.name) for group in groups]) for each in fields})


def _extract(samples: np.ndarray, sample_bytes: int, sample_rate_hz: int, effort: Effort) -> Evidence:
  channels = [channel_values(samples[:, channel]) for channel in range(samples.shape[1])]
  bins = edges(channels)
  indices = to_indices(samples, channels)
  experts = new_experts(
    effort, bins.limits, find_lags(indices), len(indices), bytes_in_use(sample_bytes, channels), sample_rate_hz
  )
  num_samples = samples.size
  evidence = Evidence(
    features=np.zeros((num_samples, NUM_FEATURES), np.int8),
    below=np.zeros((num_samples, NUM_CENTRES), np.float32),
    width=np.zeros(num_samples, np.float32),
    experts_log2=np.zeros(num_samples, np.float32),
  )
  _extract_segment(
    experts,
    bins,
    indices,
    evidence.features,
    evidence.below,
    evidence.width,
    evidence.experts_log2,
  )
  return evidence


@compiled
def _extract_segment(experts, bins, indices, features, below, width, experts_log2):
  num_frames, num_channels = indices.shape
  place = 0
  for t in range(num_frames):
    for channel in range(num_channels):
      predict(experts, channel, t)
      extract_features(experts, bins, channel, t)
      index = indices[t, channel]
      low, high = lower_edge(bins, channel, index), lower_edge(bins, channel, index + 1)
      unit = experts.unit[channel]
      for k in range(NUM_FEATURES):
        features[place, k] = experts.features[k]
      # A cell without a lower end is measured from its upper edge: a distant end would leave no digits for near cells.
      open_below = index <= bins.limits[channel, 0]
      edge = high if open_below else low
      for centre in range(NUM_CENTRES):
        below[place, centre] = max(min((edge - experts.centres[channel, centre]) / unit, _FARTHEST), -_FARTHEST)
      width[place] = -2.0 * _FARTHEST if open_below else min((high - low) / unit, _FARTHEST)
      score(experts, channel, low, high)
      experts_log2[place] = np.log2(min(update(experts, channel, t, np.float64(index)), 1.0))
      place += 1
