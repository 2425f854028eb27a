"""What prediction hands to the network: known before a sample comes, finite whatever comes, and worth its bits."""

import numpy as np
import pytest
from support import hybrid_cases
from support.hybrid_cases import tone

from language_modeling_is_compression.config.defaults import MAX_EFFORT_NUMBER
from language_modeling_is_compression.linear import extraction
from language_modeling_is_compression.linear.extraction import extract_evidence
from language_modeling_is_compression.linear.presets import EFFORTS
from language_modeling_is_compression.prediction import evidence, history, state
from language_modeling_is_compression.prediction.evidence import Evidence

SOUNDS = hybrid_cases.sounds()
NAMES = ('features', 'below', 'width', 'experts_log2')


def seen(samples: np.ndarray, sample_bytes: int = 2, effort: int = 0, sample_rate_hz: int = 16_000) -> Evidence:
  return extract_evidence(samples, sample_bytes=sample_bytes, sample_rate_hz=sample_rate_hz, effort=effort)


@pytest.fixture
def knows_nothing(monkeypatch):
  """Prediction begins as in coding 4, with numbers that are the same for every sound."""
  monkeypatch.setattr(extraction, 'begin', lambda predictor, mixture, _: (predictor, mixture))


@pytest.mark.parametrize('effort', range(len(EFFORTS)))
@pytest.mark.parametrize('name', SOUNDS)
def test_everything_is_finite(name, effort):
  samples, sample_bytes = SOUNDS[name]
  found = seen(samples, sample_bytes, effort)
  assert found.features.shape == (samples.size, evidence.NUM_FEATURES) and found.features.dtype == np.int8
  assert found.below.shape == (samples.size, evidence.NUM_CENTRES)
  assert found.width.shape == found.experts_log2.shape == (samples.size,)
  for field in NAMES[1:]:
    array = getattr(found, field)
    assert array.dtype == np.float32 and np.isfinite(array).all(), field
  assert (found.width != 0).all() and (found.experts_log2 <= 0).all()
  # 1e-9 for every component is the least that there is.
  assert found.experts_log2.min() > -30


@pytest.mark.parametrize('channels', [1, 2, 3])
def test_a_sample_changes_nothing_up_to_itself(channels):
  samples = tone(700, channels=channels)
  samples[:2] = [[-30_000] * channels, [30_000] * channels]
  place = 600 * channels + channels - 1  # In a frame's last channel, so that those before it are compared.
  changed = samples.copy()
  changed.reshape(-1)[place] += 1000
  before, after = seen(samples, effort=1), seen(changed, effort=1)
  np.testing.assert_array_equal(before.features[: place + 1], after.features[: place + 1])
  for field in NAMES[1:]:
    np.testing.assert_array_equal(getattr(before, field)[:place], getattr(after, field)[:place])
  assert before.experts_log2[place] != after.experts_log2[place]
  assert (before.features[place + channels] != after.features[place + channels]).any()


def test_groups_of_channels_stand_one_after_the_other():
  samples = tone(60, channels=state.GROUP_CHANNELS + 2)
  found = seen(samples)
  parts = [seen(samples[:, : state.GROUP_CHANNELS]), seen(samples[:, state.GROUP_CHANNELS :])]
  for field in NAMES:
    expected = np.concatenate([getattr(part, field) for part in parts])
    np.testing.assert_array_equal(getattr(found, field), expected, field)


@pytest.mark.usefixtures('knows_nothing')
def test_features_before_anything_has_come():
  """By hand: unit 12, an error of 16, all weights equal, centre 0."""
  samples = np.array([[-96], [96], [1]], np.int32)
  found = seen(samples, sample_bytes=3, sample_rate_hz=32_000).features[0]
  expected = np.zeros(evidence.NUM_FEATURES, int)
  expected[0] = 32 * (3.5 / 4 - 1)
  expected[4] = 32 * -2
  expected[30], expected[31] = 32, 32
  expected[32] = 32 * -2
  expected[33] = 10  # 32 * 4 / 13
  expected[37] = 32 * 2
  expected[44] = expected[45] = 32 * 2 * 96 // (96 + 8 * 12)
  expected[46] = 32 * -2
  expected[47] = 1  # 32 * log2(1 + 1 / 64), rounded up
  np.testing.assert_array_equal(found, expected)


def squashed(value: float, unit: float) -> float:
  """As a feature has it."""
  return np.floor(32 * 2 * value / (abs(value) + unit) + 0.5)


@pytest.mark.usefixtures('knows_nothing')
def test_features_of_the_other_channel():
  """The first sees the second's last error, the second the first's current one."""
  samples = np.zeros((3, 2), np.int32)
  samples[:2] = [[-51, 20], [50, -19]]
  found = seen(samples).features
  assert found[0, 27] == 0 and found[0, 29] == -32
  assert found[1, 27] == squashed(-51.0, 12.0) and found[1, 29] == 32
  assert found[2, 27] == squashed(20.0, 12.0)
  assert seen(samples[:, :1]).features[:, 27:30].any() == np.False_


@pytest.mark.usefixtures('knows_nothing')
def test_the_last_errors_are_in_order():
  """Of predictions that are 0 still, in units of the running error."""
  found = seen(np.array([[-7], [12], [0], [5]], np.int32)).features
  assert found[1, 5] == squashed(-7.0, 0.75 * (16 - 9 / 32))
  assert found[1, 6] == 0
  np.testing.assert_array_equal(np.sign(found[1:3, 5]), [-1, 1])
  assert np.sign(found[2, 6]) == -1


@pytest.mark.usefixtures('knows_nothing')
def test_cells_are_in_units_of_the_running_error():
  """Which begins with 16, of which 1 is 12: bins of the first samples, by hand. The largest sample's has no end."""
  samples = np.array([[-40], [7], [40]], np.int32)
  found = seen(samples)
  np.testing.assert_allclose(found.width[1], 1 / (0.75 * (16 + 24 / 32)), rtol=1e-6)
  assert (found.width[0], found.width[2]) == (-2e9, 1e9)
  np.testing.assert_allclose(found.below[0], -39.5 / 12, rtol=1e-6)
  centre = 7 - 0.5 - found.below[1] / found.width[1]
  np.testing.assert_allclose(centre[2], -40 * 0, atol=1e-4)


def test_prediction_begins_with_what_suits_the_sound():
  """The first unit of a loud sound is large, and its first samples cost less than their depth."""
  quiet = tone(64)
  loud = 200 * quiet + np.random.default_rng(0).integers(0, 200, quiet.shape, np.int32)
  found = seen(loud, sample_bytes=3)
  assert found.features[1, 0] > seen(quiet).features[1, 0] + 32  # Four octaves.
  assert -found.experts_log2[:8].mean() < 22


def test_what_is_near_a_centre_is_likelier():
  found = seen(tone(400))
  near = np.abs(found.below[100:, 0]) < 1
  assert near.mean() > 0.4
  assert found.experts_log2[100:][near].mean() > found.experts_log2[100:][~near].mean() + 0.5


@pytest.mark.parametrize(
  ('name', 'least', 'most'),
  [
    # Entropies of the noises alone: log2(20 * sqrt(2 * pi * e)) and 16 and 24 bits.
    pytest.param('tone', 6.37, 7.0, id='tone in noise'),
    pytest.param('noise at full scale', 15.99, 16.5, id='noise'),
    pytest.param('24 bits in noise', 23.99, 24.5, id='24-bit noise'),
    pytest.param('silence', 0.0, 0.001, id='silence'),
    pytest.param('extremes in turn', 0.0, 0.01, id='extremes'),
  ],
)
def test_experts_alone_come_near_the_entropy(name, least, most):
  samples, sample_bytes = hybrid_cases.sounds(3000)[name]
  bits = -seen(samples, sample_bytes, 1).experts_log2[1500:].mean()
  assert least <= bits < most


def test_equal_channels_cost_once():
  bits = (
    -seen(hybrid_cases.sounds(1500)['two equal channels'][0], effort=1).experts_log2.reshape(-1, 2)[800:].mean(axis=0)
  )
  assert bits[0] > 6 and bits[1] < 0.1


def test_gains_are_followed():
  """A few hundred samples after one of 1000, cost is that of the louder noise."""
  bits = -seen(hybrid_cases.sounds(3000)['sudden gain'][0], effort=1).experts_log2
  assert bits[1000:1500].mean() < 6
  assert bits[2000:].mean() < bits[1000:1500].mean() + 10.2


def test_values_that_are_never_used_have_no_mass():
  quiet = np.random.default_rng(2).laplace(0, 60, (2000, 1)).round()
  louder = np.round(1.9968 * quiet).astype(np.int32)
  # A bit less than they would cost if the values between them had mass.
  plain = -seen(quiet.astype(np.int32)).experts_log2.mean()
  assert abs(-seen(louder).experts_log2.mean() - plain) < 0.25


def test_efforts_fit_the_loops():
  """Which run in whole blocks and vectors; a network is told of three least squares."""
  assert len(EFFORTS) == MAX_EFFORT_NUMBER + 1
  for effort in EFFORTS:
    assert len(effort.least_squares) == 3 and effort.stages and effort.quick_stages
    assert all(each.own % 8 == each.other % 8 == 0 and each.other <= each.own for each in effort.least_squares)
    stages = effort.stages + effort.quick_stages
    assert all(stage.taps in (16, 32) or stage.taps % 64 == 0 for stage in stages)
    assert max(stage.taps for stage in stages) <= history.HISTORY_SLOTS
