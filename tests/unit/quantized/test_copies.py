"""What long_term, coded: exactly back, next to nothing where it is a copy to the bit, and little lost where it is not.

Shapes: N frames, C channels.
"""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hybrid_cases
from support.hybrid_cases import shape_of

from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.prediction.lag_search import find_lags
from language_modeling_is_compression.prediction.long_term import BLOCK_FRAMES, new_long_term
from language_modeling_is_compression.prediction.mixture import logistic_table
from language_modeling_is_compression.prediction.state import GROUP_CHANNELS
from language_modeling_is_compression.prediction.value_map import ChannelValues, edges
from language_modeling_is_compression.quantized import mixing, segments
from language_modeling_is_compression.quantized.mixing import new_mixer, whole_mass
from language_modeling_is_compression.quantized.segments import EnsembleCoder

CODER = EnsembleCoder(hybrid_cases.random_network())
SHARED = 1 / 4096  # The least that is believed of either.


def noise(num_frames: int, channels: int = 1, *, deviation: float = 1000.0) -> np.ndarray:
  """int32 [N, C]."""
  return np.random.default_rng(0).normal(0, deviation, (num_frames, channels)).round().astype(np.int32)


def tiled(period: int, num_frames: int, channels: int = 1, *, deviation: float = 1000.0) -> np.ndarray:
  return np.tile(noise(period, channels, deviation=deviation), (-(-num_frames // period), 1))[:num_frames]


def bits(samples: np.ndarray, sample_bytes: int = 2, effort: int = 0) -> np.ndarray:
  """Of each sample: float64 [N, C]; what was coded comes back."""
  shape = shape_of(samples, sample_bytes, effort)
  body, intervals = hybrid_cases.encode(CODER, samples, shape)
  np.testing.assert_array_equal(hybrid_cases.decode(CODER, body, shape), samples)
  found = -np.log2(intervals[..., 1] / (1 << PRECISION_BITS)).sum(axis=1)
  # One group of channels after the other.
  firsts = range(GROUP_CHANNELS, shape.num_channels, GROUP_CHANNELS)
  parts = np.split(found, [len(samples) * first for first in firsts])
  return np.concatenate([part.reshape(len(samples), -1) for part in parts], axis=1)


# Exactly back, and what it costs.


def test_what_a_copy_leaves_no_mass_to():
  """Onsets out of silence in 32 bits: 256 indices of which the last is coded, and none has any mass."""
  rng = np.random.default_rng(3)
  loud = rng.integers(-(1 << 31), 1 << 31, 30)
  loud[:2] = -(1 << 31), (1 << 31) - 1
  onsets = rng.integers(1 << 29, 1 << 31, 60) | 255
  parts = [np.concatenate([np.zeros(80, np.int64), [onset], rng.integers(-(1 << 31), 1 << 31, 3)]) for onset in onsets]
  samples = np.concatenate([loud, *parts]).astype(np.int32)[:, None]
  shape = shape_of(samples, 4)
  body, intervals = hybrid_cases.encode(CODER, samples, shape)
  np.testing.assert_array_equal(hybrid_cases.decode(CODER, body, shape), samples)
  # It is the case that is meant: bytes before the last take one slot of many.
  assert (intervals[:, 3] == [255, (1 << PRECISION_BITS) - 255]).all(axis=1).any()


@pytest.mark.parametrize(
  ('channels', 'sample_bytes', 'num_frames', 'effort'),
  [(1, 1, 14_000, 0), (1, 2, 14_000, 1), (2, 3, 13_000, 0), (9, 2, 9500, 0), (2, 4, 9500, 0), (1, 3, 9500, 2)],
)
def test_repeats_to_the_bit_cost_almost_nothing(channels, sample_bytes, num_frames, effort):
  """From the first block on that has a lag, but for a few samples till it is believed."""
  period = 5000
  deviation = 2.0 ** (8 * sample_bytes - 4)
  samples = tiled(period, num_frames, channels, deviation=deviation)
  found = bits(samples, sample_bytes, effort)
  assert (found[2 * BLOCK_FRAMES + 10 :].mean(axis=0) < 0.01).all()
  # What it takes to believe is about what a few samples cost otherwise.
  assert (found[2 * BLOCK_FRAMES : 2 * BLOCK_FRAMES + 10].sum(axis=0) < 4 * 8 * sample_bytes).all()
  assert (found[period : 2 * BLOCK_FRAMES].mean(axis=0) > 8 * sample_bytes - 5).all()


@pytest.mark.parametrize(('channels', 'sample_bytes'), [(1, 1), (2, 2), (9, 3)])
def test_repeats_with_something_new(channels, sample_bytes):
  """Those of one channel exact, of the others not."""
  deviation = 2.0 ** (8 * sample_bytes - 4)
  samples = tiled(BLOCK_FRAMES + 100, 2 * BLOCK_FRAMES + 1000, channels, deviation=deviation)
  samples[:, : max(1, channels - 1)] += noise(len(samples), max(1, channels - 1), deviation=deviation / 64)
  lags = find_lags(samples[:, :8].astype(np.int64))
  assert lags[2, 0] == BLOCK_FRAMES + 100
  found = bits(samples, sample_bytes)
  assert (found[2 * BLOCK_FRAMES + 200 :, 0].mean() < found[BLOCK_FRAMES + 100 : 2 * BLOCK_FRAMES, 0].mean() - 2).all()
  if channels > 1:
    assert found[2 * BLOCK_FRAMES + 200 :, -1].mean() < 0.01


def test_a_copy_that_fails_is_soon_believed_again():
  """What it costs is about that sample for the mixture, and a share of one in 4096 twice: to leave and to come back."""
  samples = tiled(BLOCK_FRAMES, 3 * BLOCK_FRAMES)
  failing = [BLOCK_FRAMES + 500, 2 * BLOCK_FRAMES + 100, 2 * BLOCK_FRAMES + 101, 2 * BLOCK_FRAMES + 2000]
  samples[failing, 0] += [300, -5, 77, -2000]
  [found] = bits(samples).T
  usual = found[1000:BLOCK_FRAMES].mean()
  for first, num in ((BLOCK_FRAMES + 500, 1), (2 * BLOCK_FRAMES + 100, 2), (2 * BLOCK_FRAMES + 2000, 1)):
    assert found[first] > 12
    assert found[first : first + 20].sum() < (num + 1) * (usual + 14)
    assert found[first + 20 : first + 90].sum() < 1
  # Among them also the copies of what had failed.
  assert found[2 * BLOCK_FRAMES + 500] > 12 and found[2 * BLOCK_FRAMES + 520 : 2 * BLOCK_FRAMES + 1900].mean() < 0.01


def test_a_lag_that_no_longer_holds_costs_little(monkeypatch):
  """Once, while scales grow again; though many samples of few values are by chance what they were a lag before."""
  chance = np.random.default_rng(1).normal(0, 2.0, (BLOCK_FRAMES // 2, 1)).round().astype(np.int32)
  samples = np.concatenate([tiled(BLOCK_FRAMES, 2 * BLOCK_FRAMES + BLOCK_FRAMES // 2, deviation=2.0), chance])
  assert find_lags(samples.astype(np.int64)).tolist() == [[0, 0], [BLOCK_FRAMES, 0], [BLOCK_FRAMES, 0]]
  with_lags = bits(samples, 1)
  monkeypatch.setattr(segments, 'find_lags', lambda indices, _: np.zeros((3, 2), np.int64))
  assert with_lags[-len(chance) :].sum() < bits(samples, 1)[-len(chance) :].sum() + 300
  assert with_lags[-1000:].sum() < 1.02 * bits(samples, 1)[-1000:].sum()


@pytest.mark.parametrize('loud', [noise(3000, deviation=8000.0), hybrid_cases.tone(3000)], ids=['noise', 'tone'])
@pytest.mark.parametrize('value', [0, -3, 9000])
def test_samples_that_stay_the_same_cost_nothing(loud, value):
  """After 50 frames; and the sound after them no more than a share of one in 4096, which is how it begins."""
  samples = np.concatenate([loud, np.full((3000, 1), value, np.int32), loud])
  [found] = bits(samples).T
  assert found[3050:6000].max() < 0.05 and found[3050:6000].mean() < 0.01
  assert found[3000:3050].sum() < 50 * 16
  assert found[6000] < 40
  # The filters of a tone have to be found again; noise has none.
  assert found[6020:].mean() < 1.2 * found[1000:3000].mean()


# What is believed.


LIKELIHOODS = st.floats(SHARED, 1 - SHARED)


@settings(deadline=None)
@given(LIKELIHOODS, st.booleans(), st.floats(2.0**-45, 1.0))
def test_nothing_is_ever_certain(copying, equal, mixed):
  found = mixing._posterior(copying, equal, mixed)
  assert SHARED <= found <= 1 - SHARED
  if not equal:
    assert found == SHARED


def test_what_is_unlikely_otherwise_is_a_sign_of_a_copy():
  assert mixing._posterior(0.5, True, 1.0) == pytest.approx(0.5)
  assert mixing._posterior(0.5, True, 0.25) == pytest.approx(0.8, abs=1e-3)
  assert mixing._posterior(SHARED, True, 2.0**-12) == pytest.approx(0.5, abs=1e-3)
  assert mixing._posterior(0.5, True, 2.0**-45) == pytest.approx(1 - SHARED)


INDICES = np.arange(2 * BLOCK_FRAMES, dtype=np.int64)[:, None]


@pytest.mark.parametrize(
  ('lag', 'copying', 'run', 'expected'),
  [
    pytest.param(0, [0.9, 0.9], 15, None, id='neither'),
    pytest.param(0, [0.9, 0.5], 16, (1, 0.5), id='held alone'),
    pytest.param(100, [0.5, 0.9], 15, (100, 0.5), id='repeating alone'),
    pytest.param(100, [0.5, 0.25], 16, (100, 0.5), id='repeating is likelier'),
    pytest.param(100, [0.5, 0.75], 99, (1, 0.75), id='held is likelier'),
    pytest.param(100, [SHARED, SHARED], 99, (1, SHARED), id='as likely'),
  ],
)
def test_the_likelier_copy_is_taken(lag, copying, run, expected):
  """In the second channel; the first one's state says something else."""
  known = new_mixer(2)
  known.copying[:] = [[0.99, 0.98], copying]
  known.run[:] = [50, run]
  long_term = new_long_term(np.array([[0, 0], [lag, 0]], np.int64), len(INDICES), 2, 8)
  t = BLOCK_FRAMES + 200
  mixing.build_copy(known, long_term, np.repeat(INDICES, 2, axis=1), 1, t)
  if expected is None:
    assert known.copy_share[0] == 0
  else:
    ago, likelihood = expected
    assert (known.copied[0], known.copy_share[0]) == (t - ago, likelihood * 65_536)


def test_runs_are_counted():
  """Of each channel; nothing is as before in the first frame."""
  known, long_term = new_mixer(2), new_long_term(np.zeros((1, 2), np.int64), 40, 2, 8)
  known.below[-1], known.above[-1] = 0, 1 << 20
  indices = np.stack([np.repeat([0, 7], [3, 37]), np.arange(40)], axis=1)
  runs = []
  for t in range(40):
    for channel in range(2):
      mixing.update_copy(known, long_term, indices, channel, t)
    runs.append(known.run.tolist())
  assert runs == [[t if t < 3 else t - 3, 0] for t in range(40)]
  # Only after 16 of a run anything is learnt of it.
  assert known.copying[0, 1] > 0.99
  assert known.copying[0, 0] == known.copying[1, 0] == known.copying[1, 1] == SHARED


# Masses.


@functools.cache
def table() -> np.ndarray:
  return logistic_table()


SHARES = st.integers(0, 65_535) | st.sampled_from([0, 1, 16, 65_520])
RISING = st.lists(st.floats(0, 1), min_size=63, max_size=63).map(lambda inner: np.array([0.0, *sorted(inner), 1.0]))


@settings(deadline=None)
@given(
  share=SHARES,
  span=st.sampled_from([1, 2, 255, 65_535, (1 << 24) - 1, (1 << 32) - 1]),
  copied=st.floats(0, 1),
  centre=st.floats(-0.1, 1.1),
  log2_scale=st.integers(-8, 20),
  quantiles=RISING,
  places=st.lists(st.floats(0, 1), max_size=20),
)
def test_masses_rise_with_the_index(share, span, copied, centre, log2_scale, quantiles, places):
  least = -(1 << 31) if span >> 31 else -100
  bins = edges(
    [ChannelValues(step=1, offset=0, least=least, largest=least + span, zone_start=least, used=np.zeros(0, bool))]
  )
  known = new_mixer(1)
  known.quantiles[0] = quantiles
  known.num_used[0], known.weights[:2] = 2, [30_000, 2768]
  known.centres[:2], known.inverse_scales[:2] = least + centre * span, [2.0**-log2_scale, 1.0]
  index = least + int(copied * span)
  known.copied[0], known.copy_share[0] = index, share

  def below(at: int) -> int:
    return int(mixing.cumulative_mass(known, bins, table(), 0, at))

  ends = [least, least + span + 1]
  near = [index + by for by in range(-2, 4)]
  asked = sorted({min(max(at, ends[0]), ends[1]) for at in (*ends, *near, *(least + int(p * span) for p in places))})
  masses = [below(at) for at in asked]
  whole = int(whole_mass(span + 1))
  assert masses[0] == 0 and whole - 1 <= masses[-1] <= whole
  assert masses == sorted(masses)
  assert below(index + 1) - below(index) >= (whole * share >> 16) - 1
