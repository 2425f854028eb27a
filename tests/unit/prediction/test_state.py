"""What the first experts are made of: histories, efforts and constants."""

import numpy as np
import pytest

from language_modeling_is_compression.prediction import features, history, state
from language_modeling_is_compression.prediction.least_squares import BLOCK


def test_histories_are_moved_back_before_they_end():
  slots = history.HISTORY_SLOTS + 5
  histories = np.arange(2 * slots, dtype=np.float64).reshape(2, slots)
  before = histories.copy()
  assert history.rewind(histories, 3) == 3
  np.testing.assert_array_equal(histories, before)
  assert history.rewind(histories, 0) == history.HISTORY_SLOTS
  np.testing.assert_array_equal(histories[:, history.HISTORY_SLOTS :], before[:, :5])


def test_efforts_fit_the_loops():
  """Which run in whole blocks, and halve a stage's taps until 16 are left."""
  for effort in state.EFFORTS:
    assert len(effort.taps) == state.NUM_STAGES
    for own, other in zip(effort.own, effort.other, strict=True):
      assert own % BLOCK == 0 and other % BLOCK == 0
    for taps in effort.taps:
      assert taps % 16 == 0 and (taps // 16).bit_count() == 1
    longest = max(*effort.own, *effort.taps)
    assert longest < history.HISTORY_SLOTS


@pytest.mark.parametrize(
  ('value', 'expected'),
  [(0.0, 0), (1.0, 32), (-1.0, -32), (1 / 64, 1), (-1 / 64, 0), (3.97, 127), (99.0, 127), (-99.0, -127), (1e300, 127)],
)
def test_fixed_rounds_within_8_bits(value, expected):
  assert features.fixed(value) == expected


@pytest.mark.parametrize(
  ('rate', 'octaves'), [(16_000, 0.0), (8000, -1.0), (48_000, 1.5), (96_000, 2.5), (0, -13.97600), (2**32 - 1, 18.0232)]
)
def test_octaves_are_straight_between_powers_of_two(rate, octaves):
  assert state.octaves(rate) == pytest.approx(octaves, abs=1e-3)
