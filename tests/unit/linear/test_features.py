"""Features of linear prediction: as plain Python has them, and within 8 bits whatever comes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hybrid_cases

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import distribution, features, predictor
from language_modeling_is_compression.linear.distribution import LANES, Mixture, new_mixture
from language_modeling_is_compression.linear.features import NUM_ERRORS, Features, new_features
from language_modeling_is_compression.linear.predictor import QUICK, STACKED, Predictor, new_predictor
from language_modeling_is_compression.linear.presets import EFFORTS
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.evidence import NUM_FEATURES
from language_modeling_is_compression.prediction.long_term import NUM_LAGS, num_blocks
from language_modeling_is_compression.prediction.value_map import Edges

SOUNDS = hybrid_cases.sounds()


@compiled
def expect(state, found, mixture, bins, channel, t):
  predictor.predict(state, channel, t)
  features.extract_features(found, state, mixture, bins, channel, t)
  mixture.chances[mixture.num_components] = 1.0
  distribution.build(mixture, channel, state.centres[channel])


@compiled
def learn(state, found, mixture, bins, channel, t, index):
  distribution.mass_below(mixture, value_map.lower_edge(bins, channel, index), 0)
  distribution.mass_below(mixture, value_map.lower_edge(bins, channel, index + 1), 1)
  distribution.update(mixture, channel, np.float64(index), 0, 1)
  features.follow(found, state, channel, np.float64(index))
  predictor.learn(state, channel, t, np.float64(index))


@compiled
def lower_edge(bins, channel, index):
  return value_map.lower_edge(bins, channel, index)


def log2(value: float) -> float:
  """Straight between powers of two."""
  fraction, exponent = math.frexp(value)
  return exponent - 1 + 2 * fraction - 1


def squashed(value: float, unit: float) -> float:
  return 2 * value / (abs(value) + unit)


class Plain:
  """What features are made of, in Python. equal: how often a sample was equal to the one before it, per channel."""

  def __init__(self, sample_bytes: int, sample_rate_hz: int, num_channels: int):
    self.depth, self.rate = sample_bytes - 2.0, log2(sample_rate_hz / 16_000)
    self.equal, self.unit = [0.0] * num_channels, [1.0] * num_channels
    self.samples: list[list[float]] = [[0.0, 0.0, 0.0] for _ in range(num_channels)]  # Newest first.
    self.errors: list[list[float]] = [[0.0] * 16 for _ in range(num_channels)]

  def features(self, state: Predictor, mixture: Mixture, bins: Edges, channel: int, t: int) -> list[float]:
    """In units of 1 / 32, not yet rounded."""
    running, weights = mixture.running[channel], mixture.weights[channel]
    centre = float(state.centres[channel, STACKED])
    unit = max(0.75 * running[1], 1 / 64)
    self.unit[channel] = unit
    found = [log2(unit) / 4 - 1]
    found += [log2(running[k] / running[1] + 1e-3) for k in (0, 2, 3)]
    found.append(log2(abs(self.errors[channel][0]) / unit + 0.25))
    found += [squashed(error, unit) for error in self.errors[channel]]
    predictions = [*state.expected[channel], state.centres[channel, QUICK], state.without[channel], state.base[channel]]
    found += [squashed(prediction - centre, unit / 4) for prediction in predictions]
    if len(self.samples) > 1:
      neighbour = 1 if channel == 0 else channel - 1
      error, other_unit = self.errors[neighbour][0], self.unit[neighbour]
      found.append(squashed(error, other_unit))
      found += [log2(abs(error) / other_unit + 0.1), 1.0 if channel else -1.0]
    else:
      found += [0.0, 0.0, 0.0]
    found += [self.depth, self.rate, 4 * (centre - math.floor(centre) - 0.5), 4 / (1 + unit)]
    newest = self.samples[channel]
    found += [squashed(sample - centre, unit) for sample in newest[:2]]
    found += [4 * self.equal[channel], 2.0 if newest[0] == newest[1] == newest[2] else 0.0]
    by_multiple = weights.reshape(-1, LANES).sum(axis=1)
    by_lane = weights.reshape(-1, LANES).sum(axis=0)
    found += [2 * by_multiple @ np.arange(len(by_multiple)) - 2, 4 * by_lane[: LANES // 2].sum() - 2]
    found += [4 * share - 1 for share in by_lane.reshape(2, -1).sum(axis=0)]
    low, high = bins.limits[channel]
    found += [squashed(high - centre, 8 * unit), squashed(centre - low, 8 * unit), log2(t + 1) / 4 - 2]
    nearest = math.floor(centre + 0.5)
    width = lower_edge(bins, channel, nearest + 1) - lower_edge(bins, channel, nearest)
    found.append(log2(width + 1 / 64))
    return [32 * each for each in found]

  def follow(self, state: Predictor, channel: int, sample: float) -> None:
    self.equal[channel] += ((sample == self.samples[channel][0]) - self.equal[channel]) / 32
    self.samples[channel] = [sample, *self.samples[channel][:2]]
    self.errors[channel] = [sample - float(state.centres[channel, STACKED]), *self.errors[channel][:-1]]


def states(
  samples: np.ndarray, sample_bytes: int, effort: int, sample_rate_hz: int
) -> tuple[np.ndarray, Edges, Predictor, Mixture, Features, Plain]:
  channels = [value_map.channel_values(column) for column in samples.T]
  bins, indices, count = value_map.edges(channels), value_map.to_indices(samples, channels), len(channels)
  depth = value_map.bytes_in_use(sample_bytes, channels)
  lags = np.zeros((num_blocks(len(samples)), NUM_LAGS), np.int64)
  state = new_predictor(EFFORTS[effort], bins.limits, lags, len(samples), NUM_ERRORS)
  found = new_features(count, depth, sample_rate_hz)
  return indices, bins, state, new_mixture(count, has_network=True), found, Plain(depth, sample_rate_hz, count)


def check(samples: np.ndarray, sample_bytes: int, effort: int = 0, sample_rate_hz: int = 16_000) -> np.ndarray:
  """Compares all features of a sound, and returns them: int16 [N * C, F]."""
  indices, bins, state, mixture, found, plain = states(samples, sample_bytes, effort, sample_rate_hz)
  all_values = []
  for t, frame in enumerate(indices):
    for channel, index in enumerate(frame):
      expect(state, found, mixture, bins, channel, t)
      expected = plain.features(state, mixture, bins, channel, t)
      assert len(expected) == NUM_FEATURES
      assert (found.values >= -127).all() and (found.values <= 127).all()
      np.testing.assert_allclose(found.values, np.clip(expected, -127, 127), rtol=0, atol=0.5 + 1e-6)
      all_values.append(found.values.copy())
      plain.follow(state, channel, float(index))
      learn(state, found, mixture, bins, channel, t, index)
  return np.array(all_values)


@pytest.mark.parametrize(
  'name', ['tone', 'two channels', 'nine channels', '8 bits', 'scaled volume', '24 bits', 'square']
)
def test_they_are_those_of_plain_python(name):
  samples, sample_bytes = SOUNDS[name]
  samples = samples[:200, :8]
  found = check(samples, sample_bytes, sample_rate_hz=44_100)
  varying = np.ptp(found, axis=0) > 0
  if name == 'two channels':  # All but the segment's own, what takes equal samples, and how wide cells are.
    assert set(np.flatnonzero(~varying)) <= {30, 31, 36, 37, 47}


@pytest.mark.parametrize('effort', [1, 2])
def test_at_other_efforts(effort):
  samples, sample_bytes = SOUNDS['two channels']
  check(samples[:120], sample_bytes, effort)


@settings(max_examples=40, deadline=None)
@given(
  num_frames=st.integers(1, 40),
  channels=st.integers(1, 3),
  sample_bytes=st.integers(1, 4),
  rate=st.integers(1, (1 << 32) - 1),
  scale=st.floats(0, 32),
  seed=st.integers(0, 1 << 32),
)
def test_they_are_of_8_bits_whatever_comes(num_frames, channels, sample_bytes, rate, scale, seed):
  rng, limit = np.random.default_rng(seed), 1 << (8 * sample_bytes - 1)
  drawn = rng.standard_t(1, (num_frames, channels)) * 2.0**scale
  check(np.clip(np.round(drawn), -limit, limit - 1).astype(np.int32), sample_bytes, sample_rate_hz=rate)


@pytest.mark.parametrize('name', ['silence after a sound', 'extremes in turn', '32 bits, extremes in turn', 'impulses'])
def test_of_hard_sounds(name):
  """Where running errors are the least and the largest that there are."""
  samples, sample_bytes = SOUNDS[name]
  check(samples[:300], sample_bytes)
