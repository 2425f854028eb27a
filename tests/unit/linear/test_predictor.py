"""Linear prediction of samples: what it has to find, what it may look at, and where its histories go on."""

import numpy as np
import pytest

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import predictor
from language_modeling_is_compression.linear.predictor import Predictor
from language_modeling_is_compression.linear.presets import PRESETS
from language_modeling_is_compression.prediction.history import HISTORY_SLOTS
from language_modeling_is_compression.prediction.long_term import BLOCK_FRAMES, NUM_LAGS, num_blocks

LIMITS = (-32_768.0, 32_767.0)


@compiled
def follow(state, samples, centres):
  """Predicts samples, [N, C], in the order in which they are coded, and learns from them; centres: [N, C, 2]."""
  for t in range(len(samples)):
    for channel in range(samples.shape[1]):
      predictor.predict(state, channel, t)
      centres[t, channel, 0] = state.centres[channel, 0]
      centres[t, channel, 1] = state.centres[channel, 1]
      predictor.learn(state, channel, t, samples[t, channel])


def predicted(
  samples: np.ndarray, preset: int = 0, lags: np.ndarray | None = None, limits: tuple[float, float] = LIMITS
) -> tuple[np.ndarray, Predictor]:
  """Centres of samples, float64 [N, C], and what was learned."""
  num_frames, num_channels = samples.shape
  lags = np.zeros((num_blocks(num_frames), NUM_LAGS), np.int64) if lags is None else lags
  state = predictor.new_predictor(PRESETS[preset], np.array([limits] * num_channels), lags, num_frames)
  centres = np.zeros((num_frames, num_channels, 2))
  follow(state, samples.astype(np.float64), centres)
  return centres, state


def noise(num_frames: int, channels: int = 1) -> np.ndarray:
  return np.round(np.random.default_rng(num_frames).normal(0, 1000, (num_frames, channels)))


@pytest.mark.parametrize('preset', range(len(PRESETS)))
def test_sines_are_predicted(preset):
  samples = np.round(9000 * np.sin(0.11 * np.arange(3000)) + 4000 * np.sin(0.4 * np.arange(3000)))[:, None]
  centres, _ = predicted(samples, preset)
  assert (np.abs(centres[1500:, :, :] - samples[1500:, :, None]).mean(axis=0) < 2).all()


@pytest.mark.parametrize('preset', range(len(PRESETS)))
def test_a_sample_is_predicted_from_those_before_it_alone(preset):
  """All before it in its channel, and in those of its group that stand before it also the same frame's."""
  samples = noise(400, 3)
  changed = samples.copy()
  changed[250, 1] += 500
  before, _ = predicted(samples, preset)
  after, _ = predicted(changed, preset)
  np.testing.assert_array_equal(after[:250], before[:250])
  np.testing.assert_array_equal(after[250, :2], before[250, :2])
  assert (after[251, 1] != before[251, 1]).all()


def test_a_channel_like_the_one_before_it_is_predicted_from_it():
  one = noise(2000)
  centres, _ = predicted(np.concatenate([one, -one], axis=1))
  errors = np.abs(centres[1000:, :, 0] - np.concatenate([one, -one], axis=1)[1000:]).mean(axis=0)
  assert errors[0] > 500 and errors[1] < 1


@pytest.mark.parametrize('preset', [preset for preset, each in enumerate(PRESETS) if each.has_lags])
def test_sound_that_repeats_is_predicted_from_what_was_a_lag_ago(preset):
  period, num_frames = 700, 4 * BLOCK_FRAMES
  samples = np.resize(noise(period), (num_frames, 1))
  lags = np.zeros((num_blocks(num_frames), NUM_LAGS), np.int64)
  lags[1:, 0] = period
  with_lags, _ = predicted(samples, preset, lags)
  without, _ = predicted(samples, preset)
  last = slice(3 * BLOCK_FRAMES, None)
  errors = [np.abs(centres[last, 0, 0] - samples[last, 0]).mean() for centres in (with_lags, without)]
  assert errors[0] < 0.05 * errors[1]


@pytest.mark.parametrize('preset', range(len(PRESETS)))
def test_histories_go_on_where_they_are_moved_back(preset):
  """Right before, at and behind the moves, the newest sample is first."""
  for num_frames in (HISTORY_SLOTS - 1, HISTORY_SLOTS, 2 * HISTORY_SLOTS + 1):
    samples = noise(num_frames, 2)
    _, state = predicted(samples, preset)
    kept = state.own.max()
    for channel in range(2):
      at = state.position[channel]
      newest_first = samples[::-1][:kept, channel]
      np.testing.assert_array_equal(state.samples[channel, at : at + kept], newest_first)
      # The first stage's residuals are what the first least squares left.
      assert state.cascade.position[channel] == at >= 1
      left = samples[-1, channel] - state.expected[channel, 0]
      assert state.cascade.residuals[channel, 0, at] == np.float32(left)


@pytest.mark.parametrize('limits', [(-3.0, 5.0), (1000.0, 1001.0)])
def test_centres_stay_within_the_limits_of_samples(limits):
  rng = np.random.default_rng(0)
  samples = rng.integers(int(limits[0]), int(limits[1]), (2000, 2), endpoint=True)
  centres, _ = predicted(samples, limits=limits)
  assert (centres >= limits[0]).all() and (centres <= limits[1]).all()


@pytest.mark.parametrize('preset', range(len(PRESETS)))
def test_the_worst_of_sounds_leaves_numbers(preset):
  """Extremes of 32 bits that no filter foresees, then silence."""
  rng = np.random.default_rng(0)
  low, high = -float(1 << 31), float((1 << 31) - 1)
  loud = np.where(rng.uniform(size=(3000, 2)) < 0.5, low, high)
  loud[1000:1500] = np.where(np.arange(500)[:, None] % 2, low, high)
  centres, state = predicted(np.concatenate([loud, np.zeros((1500, 2))]), preset, limits=(low, high))
  assert np.isfinite(centres).all() and (centres >= low).all() and (centres <= high).all()
  for array in (state.error, state.last_errors, state.cascade.weights, state.cascade.residuals, state.cascade.power):
    assert np.isfinite(array).all()
  for several in (state.least_squares, state.blends, state.long_term.least_squares):
    assert np.isfinite(several.covariances).all() and np.isfinite(several.coefficients).all()


def test_nothing_becomes_denormal_in_silence():
  """Such numbers take a hundred times as long: here what learned a loud sound hears 60,000 samples of nothing."""
  _, state = predicted(np.concatenate([noise(2000, 2), np.zeros((60_000, 2))]))
  tiny = {np.dtype(np.float32): 1.2e-38, np.dtype(np.float64): 2.3e-308}
  arrays = [
    *(state.error, state.blend_error, state.last_errors, state.samples, state.long_term.error),
    *(state.cascade.residuals, state.cascade.weights, state.cascade.power, state.cascade.error),
    *(state.least_squares.moments, state.blends.moments),
  ]
  for array in arrays:
    assert not ((array != 0) & (np.abs(array) < tiny[array.dtype])).any()
