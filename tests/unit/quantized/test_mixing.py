"""Masses that rise with the index, bent by what was seen, and scales that are exact."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.quantized import hybrid_network, mixing
from language_modeling_is_compression.quantized.mixing import WHOLE_BITS, new_mixer, whole_mass
from language_modeling_is_compression.quantized.quantize import exp2_table

WHOLE = 1 << WHOLE_BITS
STEP = WHOLE >> 6  # From one quantile to the next.
MASSES = st.integers(0, WHOLE) | st.builds(
  lambda q, by: min(max(q * STEP + by, 0), WHOLE), st.integers(0, 64), st.integers(-2, 2)
)
RISING = st.lists(st.floats(0, 1), min_size=63, max_size=63).map(lambda inner: np.array([0.0, *sorted(inner), 1.0]))


@settings(deadline=None)
@given(RISING, MASSES, MASSES)
def test_bent_masses_never_fall(quantiles, first, second):
  low, high = sorted((first, second))
  found = mixing._recalibrated(quantiles, np.int64(low)), mixing._recalibrated(quantiles, np.int64(high))
  assert 0 <= found[0] <= found[1] <= WHOLE


@settings(deadline=None)
@given(RISING)
def test_all_of_the_mass_stays_and_none_of_it_is_impossible(quantiles):
  assert mixing._recalibrated(quantiles, np.int64(0)) == 0
  assert mixing._recalibrated(quantiles, np.int64(WHOLE)) == WHOLE
  at = [mixing._recalibrated(quantiles, np.int64(q * STEP)) for q in range(65)]
  # 16 of 2**22 for every quantile, which a rounded one may lack one of.
  assert min(np.diff(at)) >= 15 << (WHOLE_BITS - 22)


def test_nothing_is_bent_before_anything_has_come():
  [quantiles] = new_mixer(1).quantiles
  for mass in (0, 1 << 20, WHOLE // 3, WHOLE - 1):
    assert abs(mixing._recalibrated(quantiles, np.int64(mass)) - mass) <= 2 << (WHOLE_BITS - 22)


def test_what_was_seen_often_gets_more():
  quantiles = np.array([0.0] + [0.75] * 32 + [1.0] * 32)
  assert mixing._recalibrated(quantiles, np.int64(STEP)) == pytest.approx(0.75 * WHOLE, rel=1e-3)


@pytest.mark.parametrize(('num_indices', 'floor'), [(2, 1 << 30), (65_536, 1 << 15), (1 << 31, 1), (1 << 32, 1)])
def test_every_index_has_some_mass(num_indices, floor):
  assert whole_mass(num_indices) == WHOLE + num_indices * floor


@pytest.mark.parametrize('log2_scale', [0, 1, -1, 1023, 1024, 1025, -1023, -1024, -1025, 12 << 10, -12 << 10, 5000])
def test_scales_are_powers_of_two_without_rounding(log2_scale):
  scale = hybrid_network.scale_of(np.int64(log2_scale), exp2_table())
  assert scale == pytest.approx(2 ** (log2_scale / 1024), rel=2**-14)
  assert (scale * 2**27).is_integer() and scale * 2**27 < 1 << 53
  if log2_scale % 1024 == 0:
    assert math.frexp(scale)[0] == 0.5
