"""Mixture of logistic distributions: mass that never falls, weights that add up, and learning by what came."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import distribution
from language_modeling_is_compression.linear.distribution import LANES, MASS_BITS, NUM_SHAPES, WEIGHT_BITS, Mixture

FAR = 1e30
CENTRES = st.floats(-(2.0**31), 2.0**31)


@compiled
def build(mixture, channel, centres):
  distribution.build(mixture, channel, centres)


@compiled
def masses_below(mixture, edges, row, masses):
  for k in range(len(edges)):
    masses[k] = distribution.mass_below(mixture, edges[k], row)


@compiled
def update(mixture, channel, sample, low, high):
  distribution.update(mixture, channel, sample, low, high)


def masses(mixture: Mixture, edges: np.ndarray, row: int = 0) -> np.ndarray:
  found = np.zeros(len(edges), np.int64)
  masses_below(mixture, np.asarray(edges, np.float64), row, found)
  return found


def random_mixture(seed: int, centres: tuple[float, float], num_channels: int = 2) -> Mixture:
  """What the second channel's weights and errors may be, from all in one shape to all the same."""
  rng = np.random.default_rng(seed)
  mixture = distribution.new_mixture(num_channels)
  weights = rng.exponential(size=NUM_SHAPES) ** rng.integers(0, 20)
  mixture.weights[1] = weights / weights.sum()
  mixture.running[1] = 10.0 ** rng.uniform(-30, 9.6, LANES)
  build(mixture, 1, np.array(centres))
  return mixture


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 32), CENTRES, CENTRES)
def test_mass_never_falls_and_is_nothing_and_everything_at_the_ends(seed, one, other):
  mixture = random_mixture(seed, (one, other))
  rng = np.random.default_rng(seed)
  scales = 10.0 ** rng.uniform(-3, 10, 200)
  near = np.concatenate([one + scales, one - scales, other + scales, other - scales])
  edges = np.sort(np.concatenate([near, np.floor(near) - 0.5, np.nextafter(near, FAR), [one, other, -FAR, FAR]]))
  found = masses(mixture, edges)
  assert (np.diff(found) >= 0).all()
  assert (found[0], found[-1]) == (0, 1 << MASS_BITS)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 32))
def test_shares_are_whole_numbers_that_add_up(seed):
  mixture = random_mixture(seed, (3.0, -7.5))
  assert mixture.shares.sum() == 1 << WEIGHT_BITS
  assert (mixture.shares == np.floor(mixture.shares)).all() and (mixture.shares >= 0).all()
  # What is lost by rounding goes to one shape.
  differ = mixture.shares != np.floor(mixture.weights[1] * (1 << WEIGHT_BITS))
  assert set(np.flatnonzero(differ)) <= {LANES + 1}


def test_mass_is_that_of_logistic_distributions():
  """But for what the table rounds, and lines between its entries."""
  mixture = random_mixture(5, (100.0, 90.0))
  mixture.running[1] = np.geomspace(1, 300, LANES)
  build(mixture, 1, np.array([100.0, 90.0]))
  edges = np.linspace(-500, 700, 97)
  scales = np.concatenate([0.4 * mixture.running[1], 0.7 * mixture.running[1]])
  centres = np.tile(np.repeat([100.0, 90.0], LANES // 2), 2)
  distances = ((centres - edges[:, None]) / scales).clip(-600, 600)
  expected = (mixture.weights[1] / (1 + np.exp(distances))).sum(axis=1)
  np.testing.assert_allclose(masses(mixture, edges) / (1 << MASS_BITS), expected, atol=1e-4)


def step(mixture: Mixture, centres: tuple[float, float], sample: float) -> None:
  build(mixture, 1, np.array(centres))
  masses(mixture, np.array([sample - 0.5]), row=2)
  masses(mixture, np.array([sample + 0.5]), row=1)
  update(mixture, 1, sample, 2, 1)


def test_learns_which_centre_is_right():
  """And leaves another channel as it is."""
  mixture = distribution.new_mixture(2)
  rng = np.random.default_rng(0)
  for _ in range(500):
    sample = float(rng.integers(-1000, 1000))
    step(mixture, (sample + float(rng.integers(-500, 500)), sample + float(rng.normal())), sample)
  of_centres = mixture.weights[1].reshape(2, 2, LANES // 2).sum(axis=(0, 2))
  assert of_centres[1] > 0.99
  assert (mixture.running[1, LANES // 2 : -1] < 3).all() and (mixture.running[1, : LANES // 2 - 1] > 100).all()
  assert (mixture.weights[0] == 1 / NUM_SHAPES).all() and (mixture.running[0] == 16).all()


@pytest.mark.parametrize('sample', [0.0, 2.0**31, -(2.0**31)])
def test_weights_add_up_whatever_comes(sample):
  """Samples where no shape has any mass, and those that are always right, until errors are as small as they can be."""
  mixture = distribution.new_mixture(2)
  for k in range(3000):
    centre = sample if k > 20 else 0.0
    step(mixture, (centre, centre), sample)
    assert abs(mixture.weights[1].sum() - 1) < 1e-12
    assert (mixture.weights[1] > 0.99e-3 / NUM_SHAPES).all()
  assert np.isfinite(mixture.running).all() and (mixture.running[1] >= 1e-30).all()
