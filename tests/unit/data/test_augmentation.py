"""What chunks are changed by, against the same in floats, and how often."""

import numpy as np
import pytest

from language_modeling_is_compression.config.options import AugmentationConfig
from language_modeling_is_compression.data.augmentation import Change, drawn_change

UNITY = 1 << 16
# Runs that go on on another machine rely on it.
DRAWN = {
  (5, 0, 0): Change(gain=90949, inverted=True, reversed=False),
  (5, 3, 1): Change(gain=34304, inverted=False, reversed=True),
  (2**70, 10**6, 127): Change(gain=47603, inverted=False, reversed=False),
}


def drawn(config: AugmentationConfig, count: int = 3000) -> list[Change]:
  return [drawn_change(config, seed=1, step=step, row=row) for step in range(count // 30) for row in range(30)]


@pytest.mark.parametrize('bits', [8, 16, 24, 32])
@pytest.mark.parametrize('gain_db', [-60, -3.3, 0, 0.1, 20, 60])
def test_a_gain_rounds_and_clips(bits, gain_db):
  low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
  samples = np.random.default_rng(bits).integers(low, high, 500, endpoint=True).astype(np.int32)
  samples[:4] = [low, high, 0, -1]
  change = Change(gain=round(10 ** (gain_db / 20) * UNITY), inverted=False, reversed=False)
  changed = change.apply(samples, bits)
  assert changed.dtype == np.int32
  expected = np.clip(np.floor(samples.astype(np.longdouble) * change.gain / UNITY + 0.5), low, high)
  np.testing.assert_array_equal(changed, expected.astype(np.int64))
  np.testing.assert_allclose(
    changed, np.clip(samples * 10 ** (gain_db / 20), low, high), rtol=1e-2 if gain_db < 0 else 1e-5, atol=0.51
  )
  if gain_db == 0:
    np.testing.assert_array_equal(changed, samples)


def test_polarity_and_time():
  samples = np.array([-128, -3, 0, 5, 127], np.int32)
  assert Change(UNITY, True, False).apply(samples, 8).tolist() == [127, 3, 0, -5, -127]
  assert Change(UNITY, False, True).apply(samples, 8).tolist() == [127, 5, 0, -3, -128]
  assert Change(2 * UNITY, True, True).apply(samples, 8).tolist() == [-128, -10, 0, 6, 127]
  assert samples.tolist() == [-128, -3, 0, 5, 127]


def test_what_is_drawn_is_the_same_on_every_machine():
  config = AugmentationConfig(min_gain_db=-6, max_gain_db=3, invert_polarity=0.5, reverse_time=0.5)
  found = {key: drawn_change(config, seed=key[0], step=key[1], row=key[2]) for key in DRAWN}
  assert found == DRAWN


def test_shares_and_ranges():
  changes = drawn(AugmentationConfig(min_gain_db=-6, max_gain_db=3, invert_polarity=0.25, reverse_time=0.5))
  assert np.mean([change.inverted for change in changes]) == pytest.approx(0.25, abs=0.03)
  assert np.mean([change.reversed for change in changes]) == pytest.approx(0.5, abs=0.03)
  decibels = 20 * np.log10([change.gain / UNITY for change in changes])
  assert -6.001 <= decibels.min() < -5.9 and 2.9 < decibels.max() <= 3.001
  assert np.median(decibels) == pytest.approx(-1.5, abs=0.3)
  assert np.corrcoef(decibels, [change.inverted for change in changes])[0, 1] == pytest.approx(0, abs=0.06)


def test_what_is_not_asked_for_changes_nothing():
  for config, what in (
    (AugmentationConfig(), Change(UNITY, False, False)),
    (AugmentationConfig(invert_polarity=1.0), Change(UNITY, True, False)),
    (AugmentationConfig(reverse_time=1), Change(UNITY, False, True)),
    (AugmentationConfig(min_gain_db=0, invert_polarity=0.0), Change(UNITY, False, False)),
  ):
    assert set(drawn(config, 60)) == {what}
    assert config.changes_nothing == (what == Change(UNITY, False, False))
  assert {change.gain for change in drawn(AugmentationConfig(max_gain_db=-0.0))} == {UNITY}
  assert min(change.gain for change in drawn(AugmentationConfig(max_gain_db=2))) >= UNITY
  assert max(change.gain for change in drawn(AugmentationConfig(min_gain_db=-2))) <= UNITY
