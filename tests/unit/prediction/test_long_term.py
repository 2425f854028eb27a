"""What long_term: lags that encoders find in sounds that have them and nowhere else, and what experts make of them.

Shapes: N frames, C channels, B blocks.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hybrid_cases
from support.hybrid_cases import tone

from language_modeling_is_compression.errors import CancelledError
from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import extraction
from language_modeling_is_compression.prediction import long_term
from language_modeling_is_compression.prediction.evidence import Evidence
from language_modeling_is_compression.prediction.lag_search import find_lags
from language_modeling_is_compression.prediction.long_term import (
  BLOCK_FRAMES,
  MIN_LAG,
  NUM_LAGS,
  new_long_term,
  num_blocks,
)

NUM_FRAMES = 20_000
RNG_SEEDS = st.integers(0, 1 << 32)


def noise(num_frames: int, channels: int = 1, *, deviation: float = 1000.0, seed: int = 0) -> np.ndarray:
  """int64 [N, C]."""
  return np.random.default_rng(seed).normal(0, deviation, (num_frames, channels)).round().astype(np.int64)


def tiled(period: int, num_frames: int = NUM_FRAMES, channels: int = 1) -> np.ndarray:
  """Noise over and over again: int64 [N, C]."""
  return np.tile(noise(period, channels), (-(-num_frames // period), 1))[:num_frames]


def where_possible(lag: int, num_frames: int = NUM_FRAMES) -> list[list[int]]:
  """That lag alone in each block that has so many frames before it."""
  return [[lag if block * BLOCK_FRAMES >= lag else 0, 0] for block in range(num_blocks(num_frames))]


def check_bounds(lags: np.ndarray, num_frames: int) -> None:
  """That a decoder would take them."""
  assert lags.dtype == np.int64 and lags.shape == (num_blocks(num_frames), NUM_LAGS)
  starts = np.arange(len(lags))[:, None] * BLOCK_FRAMES
  assert ((lags == 0) | ((lags >= MIN_LAG) & (lags <= starts))).all()
  assert (lags[lags[:, 0] == 0] == 0).all()
  both = lags[lags[:, 1] > 0]
  assert (abs(both[:, 0] - both[:, 1]) > 8).all()


# Where encoders find long_term.


@pytest.mark.parametrize('period', [32, 33, 100, 1000, 4095, 4096, 4097, 8192, 10_000, 16_384])
def test_noise_that_repeats(period):
  assert find_lags(tiled(period)).tolist() == where_possible(period)


@pytest.mark.parametrize('period', [100, 4095, 4096, 4097, 30_000])
def test_what_is_far_away(period):
  """More than one transform has room for; also where two of them meet."""
  num_frames = 9 * BLOCK_FRAMES + 3000
  assert find_lags(tiled(period, num_frames)).tolist() == where_possible(period, num_frames)


@pytest.mark.parametrize('channels', [2, 3, 8])
def test_noise_of_some_channels(channels):
  assert find_lags(tiled(5000, channels=channels)).tolist() == where_possible(5000)


@pytest.mark.parametrize('silent', [0, 1])
def test_one_channel_is_enough(silent):
  sound = tiled(5000, channels=2)
  sound[:, silent] = 0
  assert find_lags(sound).tolist() == where_possible(5000)


def test_channels_that_contradict_each_other():
  """The one that says more decides, be it the first or the second."""
  for louder in (0, 1):
    sound = np.concatenate([tiled(3000), tiled(3500)], axis=1)
    sound[:, louder] *= 30
    assert (find_lags(sound)[1:, 0] % (3000, 3500)[louder] == 0).all()


def test_noise_beside_what_repeats():
  lags = find_lags(tiled(5000) + noise(NUM_FRAMES, deviation=300.0, seed=1))
  assert (lags[2:, 0] % 5000 == 0).all() and (lags[2:, 0] > 0).all()
  # Where noise is as loud as that, two earlier times tell more than one.
  lags = find_lags(tiled(5000) + noise(NUM_FRAMES, deviation=1000.0, seed=1))
  assert (lags[3:] % 5000 == 0).all() and (lags[3:] > 0).all()


def test_two_that_repeat_at_once():
  lags = find_lags(tiled(3000, 40_000) + 2 * tiled(3100, 40_000)[::-1])
  assert (lags[2:, 0] % 3100 == 0).all() and (lags[2:, 1] > 0).any()


def test_what_repeats_upside_down_or_quieter():
  sound = noise(5000)
  assert find_lags(np.concatenate([sound, -sound, sound, -sound])).tolist() == where_possible(5000)
  assert find_lags(np.concatenate([sound, sound // 2, sound // 4]))[:, 0].tolist() == [0, 0, 5000, 5000]


def test_what_begins_to_repeat():
  """And ends: blocks of their own."""
  start, end = noise(3 * BLOCK_FRAMES), noise(2 * BLOCK_FRAMES, seed=1)
  lags = find_lags(np.concatenate([start, start[: 2 * BLOCK_FRAMES], end]))
  assert lags.tolist() == [[0, 0]] * 3 + [[3 * BLOCK_FRAMES, 0]] * 2 + [[0, 0]] * 2


def test_speech_like_sound_is_compared_by_what_cannot_be_expected():
  """A tone is alike everywhere, so that the noise in it decides."""
  sound = tone(5000, noise=300.0).astype(np.int64)
  lags = find_lags(np.concatenate([sound] * 4))
  assert lags[:, 0].tolist() == [lag for lag, _ in where_possible(5000)]


@pytest.mark.parametrize(
  'sound',
  [
    pytest.param(noise(NUM_FRAMES), id='noise'),
    pytest.param(noise(NUM_FRAMES, 2), id='two channels of noise'),
    pytest.param(np.random.default_rng(0).integers(-(1 << 31), 1 << 31, (NUM_FRAMES, 1)), id='32-bit noise'),
    pytest.param(tone(NUM_FRAMES), id='tone in noise'),
    pytest.param(np.zeros((NUM_FRAMES, 2), np.int64), id='silence'),
    pytest.param(np.full((NUM_FRAMES, 1), (1 << 31) - 1), id='constant'),
    pytest.param(tiled(100, BLOCK_FRAMES), id='a single block'),
    pytest.param(tiled(100, BLOCK_FRAMES + 1), id='a single frame in its second block'),
    pytest.param(tiled(100, 1), id='a single frame'),
  ],
)
def test_where_nothing_repeats(sound):
  assert not find_lags(sound).any()


@pytest.mark.parametrize('offset', [-123_457, 1 << 30, -(1 << 31)])
def test_an_offset_changes_nothing(offset):
  sound = tiled(5000) + noise(NUM_FRAMES, deviation=1000.0, seed=1)
  lags = find_lags(sound)
  assert lags.any()
  np.testing.assert_array_equal(find_lags(sound + offset), lags)


def test_ever_shorter_periods_are_found_as_what_is_not_too_near():
  assert find_lags(tiled(20)).tolist() == where_possible(40)
  assert find_lags(tiled(31)).tolist() == where_possible(62)


@pytest.mark.parametrize('more', [-1, 0, 1, 50])
def test_blocks_that_are_not_whole(more):
  """A last block of a frame or so is not worth a lag, one of some is."""
  num_frames = 2 * BLOCK_FRAMES + more
  expected = where_possible(1000, num_frames)
  if more == 1:
    expected[-1] = [0, 0]
  assert find_lags(tiled(1000, num_frames)).tolist() == expected


TIME = np.arange(3 * BLOCK_FRAMES + 1)


@pytest.mark.parametrize('num_frames', [2 * BLOCK_FRAMES - 1, 2 * BLOCK_FRAMES, 2 * BLOCK_FRAMES + 1, 3 * BLOCK_FRAMES])
@pytest.mark.parametrize(
  'sound',
  [
    pytest.param(np.where(TIME % 2, 1 << 30, -(1 << 30)), id='alternation'),
    pytest.param(np.where(TIME % 2, (1 << 31) - 1, -(1 << 31)), id='alternation at full scale'),
    pytest.param(np.where(TIME // 25 % 2, (1 << 23) - 1, -(1 << 23)), id='square'),
    pytest.param(np.where(TIME // 5000 % 2, (1 << 31) - 1, -(1 << 31)), id='a slow square'),
    pytest.param(np.where(TIME % 60, 0, (1 << 31) - 1), id='impulses'),
    pytest.param(np.where(TIME == 6000, -(1 << 31), 0), id='one impulse'),
    pytest.param(np.round(8000 * np.sin(0.11 * TIME)).astype(np.int64), id='sine'),
    pytest.param(TIME * 170_000 - (1 << 30), id='ramp'),
    pytest.param(np.random.default_rng(0).integers(0, 2, len(TIME)) * ((1 << 32) - 1) - (1 << 31), id='extremes'),
  ],
)
def test_hostile_sounds_have_lags_that_decoders_take(sound, num_frames):
  for channels in (1, 2):
    check_bounds(find_lags(np.repeat(sound[:num_frames, None], channels, axis=1)), num_frames)


@settings(deadline=None, max_examples=40)
@given(
  RNG_SEEDS, st.integers(1, 3 * BLOCK_FRAMES), st.integers(1, 5000), st.sampled_from([1, 3]), st.sampled_from([1, 31])
)
def test_any_sound_has_lags_that_decoders_take(seed, num_frames, period, channels, bits):
  rng = np.random.default_rng(seed)
  sound = np.resize(rng.integers(-(1 << bits), 1 << bits, (period, channels)), (num_frames, channels))
  check_bounds(find_lags(sound + rng.integers(-1, 2, sound.shape)), num_frames)


@pytest.mark.parametrize('patience', [0, 2])
def test_it_is_cancelled(patience):
  cancellation = hybrid_cases.Patience(patience)
  with pytest.raises(CancelledError):
    find_lags(tiled(100), cancellation)
  assert cancellation.checks == patience + 1


# What experts make of them.


def all_known(lags: list[list[int]], channels: int) -> long_term.LongTerm:
  """Of two blocks, all samples and all that has been left over of them being known."""
  found = new_long_term(np.array(lags, np.int64), 2 * BLOCK_FRAMES, channels, 8)
  found.samples[:, -2 * BLOCK_FRAMES :] = noise(channels, 2 * BLOCK_FRAMES)
  found.residuals[:, -2 * BLOCK_FRAMES :] = noise(channels, 2 * BLOCK_FRAMES, seed=1)
  return found


def expected_inputs(known: long_term.LongTerm, channel: int, t: int, lags: list[int], base: float) -> list[float]:
  """For each lag by how much samples of a lag ago differ, and what was left over four frames later and three before."""
  start, both = known.samples.shape[1] - 2 * BLOCK_FRAMES, len(known.samples) > 1
  inputs: list[float] = []
  for lag in lags:
    own = np.append(known.samples[channel, : start + t], base)  # As if the coming sample were what is expected.
    differences = [own[start + t - lag - i] - own[start + t - i] for i in range(8 if both else 16)]
    if both:
      beside, now = known.samples[1 - channel], start + (t if channel == 1 else t - 1)
      differences += [beside[now - lag - i] - beside[now - i] for i in range(8)]
    around = known.residuals[channel, start + t - lag - 3 : start + t - lag + 5][::-1]
    inputs += [*differences, *around] if lag else [0.0] * 24
  return inputs


@pytest.mark.parametrize('lags', [[MIN_LAG, 0], [1000, BLOCK_FRAMES], [BLOCK_FRAMES, MIN_LAG]])
@pytest.mark.parametrize(('channels', 'channel'), [(1, 0), (2, 0), (2, 1)])
def test_what_each_coefficient_is_of(channels, channel, lags):
  """Also at the first frames, before which everything is 0."""
  known = all_known([[0, 0], lags], channels)
  coefficients = known.least_squares.coefficients[channel]
  for t in (BLOCK_FRAMES, BLOCK_FRAMES + 5, 2 * BLOCK_FRAMES - 1):
    expected = expected_inputs(known, channel, t, lags, 12.5)
    assert len(expected) == len(coefficients)
    for i in range(len(expected)):
      coefficients[:] = 0
      coefficients[i] = 1
      assert long_term.predict_residual(known, channel, 1 - channel, t, 12.5) == expected[i], (t, i)


@pytest.mark.parametrize('lag', [MIN_LAG, BLOCK_FRAMES])
def test_what_has_not_come_is_not_read(lag):
  """It is no number here."""
  for t in (BLOCK_FRAMES, BLOCK_FRAMES + 1, 2 * BLOCK_FRAMES - 1):
    for channel in (0, 1):
      known = all_known([[0, 0], [lag, MIN_LAG]], 2)
      for values in (known.samples, known.residuals):
        come = values.shape[1] - 2 * BLOCK_FRAMES + t
        values[:channel, come + 1 :] = np.nan
        values[channel:, come:] = np.nan
      known.least_squares.coefficients[:] = 1.0
      assert np.isfinite(long_term.predict_residual(known, channel, 1 - channel, t, 0.0))


def test_nothing_is_expected_or_kept_where_nothing_repeats():
  known = all_known([[0, 0], [40, 0]], 1)
  known.least_squares.coefficients[:] = 1.0
  assert long_term.predict_residual(known, 0, 1, BLOCK_FRAMES - 1, 0.0) == 0
  assert long_term.predict_residual(known, 0, 1, BLOCK_FRAMES, 0.0) != 0
  silent = new_long_term(np.zeros((2, NUM_LAGS), np.int64), 2 * BLOCK_FRAMES, 3, 8)
  assert silent.residuals.shape == silent.samples.shape == (3, 0)


@compiled
def update(known, t, sample, residual):
  long_term.update_residual(known, 0, t, sample, residual)


def test_what_fades_is_0_before_it_is_denormal():
  known = all_known([[0, 0], [40, 0]], 1)
  for residual, kept in ((2.0**-19, 2.0**-19), (-(2.0**-20), 0.0), (1e-40, 0.0)):
    update(known, 7, 3.0, residual)
    assert known.residuals[0, -2 * BLOCK_FRAMES + 7] == kept
    assert known.samples[0, -2 * BLOCK_FRAMES + 7] == 3


def seen(samples: np.ndarray, effort: int = 0) -> Evidence:
  return extraction.extract_evidence(samples.astype(np.int32), sample_bytes=2, sample_rate_hz=16_000, effort=effort)


def bits(samples: np.ndarray) -> np.ndarray:
  """What the experts alone need for each sample: [N, C]."""
  return -seen(samples).experts_log2.reshape(samples.shape)


def fix_lags(monkeypatch: pytest.MonkeyPatch, lags: list[list[int]]) -> None:
  monkeypatch.setattr(extraction, 'find_lags', lambda _: np.array(lags, np.int64))


NO_LAGS = [[0, 0]] * 3


@pytest.mark.parametrize('channels', [1, 2])
def test_what_repeats_costs_what_is_new(monkeypatch, channels):
  """Noise of 10 in the place of one of 1000 is 6.6 bits less; half a bit is for both times being noisy.

  What the other experts expect of noise is not the same both times either. Before, it costs what it did.
  """
  sound = tiled(5000, 3 * BLOCK_FRAMES, channels) + noise(3 * BLOCK_FRAMES, channels, deviation=10.0, seed=1)
  with_lags = bits(sound)
  fix_lags(monkeypatch, NO_LAGS)
  without = bits(sound)
  np.testing.assert_array_equal(with_lags[: 2 * BLOCK_FRAMES], without[: 2 * BLOCK_FRAMES])
  saved = (without - with_lags)[2 * BLOCK_FRAMES + 500 :].mean(axis=0)
  assert (saved > 4).all() and (saved < 6.2).all()


def test_what_repeats_within_other_sound(monkeypatch):
  """Of the experts' residuals, whatever can be expected anyhow."""
  time = np.arange(3 * BLOCK_FRAMES)[:, None]
  sound = tiled(5000, 3 * BLOCK_FRAMES) // 10 + np.round(9000 * np.sin(0.03 * time)).astype(np.int64)
  sound += noise(3 * BLOCK_FRAMES, deviation=10.0, seed=1)
  with_lags = bits(sound)[2 * BLOCK_FRAMES + 500 :].mean()
  fix_lags(monkeypatch, NO_LAGS)
  assert with_lags < bits(sound)[2 * BLOCK_FRAMES + 500 :].mean() - 2


def test_the_same_within_other_sound_that_can_be_expected():
  """A loop and a tone that never meet twice in the same way: neither is told by the mixture of a lag ago alone."""
  time = np.arange(4 * BLOCK_FRAMES)[:, None]
  other = np.round(9000 * np.sin(0.0317 * time) + 4000 * np.sin(0.21 * time)).astype(np.int64)
  loop = tiled(3000, 4 * BLOCK_FRAMES)
  assert bits(loop + other)[2 * BLOCK_FRAMES :].mean() < 6 < 11 < bits(loop[:3000]).mean()


def test_a_second_lag_tells_more(monkeypatch):
  sound = tiled(BLOCK_FRAMES, 4 * BLOCK_FRAMES) + noise(4 * BLOCK_FRAMES, deviation=500.0, seed=1)
  costs = []
  for second in (0, 2 * BLOCK_FRAMES):
    fix_lags(monkeypatch, [[0, 0], [0, 0], [BLOCK_FRAMES, second], [BLOCK_FRAMES, second]])
    costs.append(bits(sound)[2 * BLOCK_FRAMES + 1000 :].mean())
  # Noises of two times are left, then of one and a half.
  assert costs[0] - 0.3 < costs[1] < costs[0] - 0.1


def test_lags_that_tell_nothing_cost_little(monkeypatch):
  sound = noise(3 * BLOCK_FRAMES, 2)
  fix_lags(monkeypatch, NO_LAGS)
  plain = bits(sound).sum()
  fix_lags(monkeypatch, [[0, 0], [MIN_LAG, BLOCK_FRAMES], [5000, 77]])
  assert bits(sound).sum() < 1.005 * plain


FIELDS = ('features', 'below', 'width', 'experts_log2')


@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize('lags', [[MIN_LAG, 40], [BLOCK_FRAMES, MIN_LAG], [100, 0]])
def test_a_sample_changes_nothing_up_to_itself(monkeypatch, channels, lags):
  """But what comes a lag later, it does."""
  fix_lags(monkeypatch, [[0, 0], lags])
  samples = tone(BLOCK_FRAMES + 400, channels=channels)
  samples[:2] = [[-30_000] * channels, [30_000] * channels]
  place = (BLOCK_FRAMES + 200) * channels + channels - 1
  changed = samples.copy()
  changed.reshape(-1)[place] += 1000
  before, after = seen(samples), seen(changed)
  np.testing.assert_array_equal(before.features[: place + 1], after.features[: place + 1])
  for field in FIELDS[1:]:
    np.testing.assert_array_equal(getattr(before, field)[:place], getattr(after, field)[:place])
  assert before.experts_log2[place] != after.experts_log2[place]


@pytest.mark.parametrize('deviation', [0.0, 3.0])
@pytest.mark.parametrize('top', [1 << 23, 1 << 31])
def test_everything_is_finite(top, deviation):
  """Whatever long_term: extremes, exactly or not."""
  rng = np.random.default_rng(0)
  sound = np.resize(rng.integers(0, 2, 300) * (2 * top - 100) - top + 50, (2 * BLOCK_FRAMES, 1))
  sound = sound + rng.normal(0, deviation, sound.shape).round().astype(np.int64)
  for field in FIELDS[1:]:
    assert np.isfinite(getattr(seen(sound), field)).all()
