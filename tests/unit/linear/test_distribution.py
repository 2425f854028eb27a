"""Mixture of logistic distributions: mass that never falls, weights that add up, and learning by what came."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import distribution
from language_modeling_is_compression.linear.distribution import (
  LANES,
  MASS_BITS,
  MULTIPLES,
  NETWORK_MULTIPLES,
  WEIGHT_BITS,
  Mixture,
)

FAR = 1e30
NUM_SHAPES = LANES * len(MULTIPLES)
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
  return distribution.update(mixture, channel, sample, low, high)


def masses(mixture: Mixture, edges: np.ndarray, row: int = 0) -> np.ndarray:
  found = np.zeros(len(edges), np.int64)
  masses_below(mixture, np.asarray(edges, np.float64), row, found)
  return found


def random_mixture(
  seed: int, centres: tuple[float, float], num_channels: int = 2, *, has_network: bool = False
) -> Mixture:
  """What the second channel's weights and errors may be, from all in one shape to all the same."""
  rng = np.random.default_rng(seed)
  mixture = distribution.new_mixture(num_channels, has_network=has_network)
  weights = rng.exponential(size=mixture.weights.shape[1]) ** rng.integers(0, 20)
  mixture.weights[1] = weights / weights.sum()
  mixture.running[1] = 10.0 ** rng.uniform(-30, 9.6, LANES)
  if has_network:
    answer(mixture, rng, centres[0])
    mixture.posterior[1] = rng.choice([1 / 1024, rng.uniform(0, 1), 1 - 1 / 1024])
  build(mixture, 1, np.array(centres))
  return mixture


def answer(mixture: Mixture, rng: np.random.Generator, centre: float) -> None:
  """What a network may say: components of any scale about a centre, some of which have no chance."""
  chances = rng.exponential(size=len(mixture.chances)) ** rng.integers(0, 20)
  mixture.chances[:] = chances / chances.sum()
  mixture.component_inverse_scales[:] = 32 / 10.0 ** rng.uniform(-5, 12, mixture.num_components)
  mixture.component_centres[:] = centre + rng.normal(size=mixture.num_components) * 10.0 ** rng.uniform(-3, 9)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 32), CENTRES, CENTRES, st.booleans())
def test_mass_never_falls_and_is_nothing_and_everything_at_the_ends(seed, one, other, has_network):
  mixture = random_mixture(seed, (one, other), has_network=has_network)
  rng = np.random.default_rng(seed)
  scales = 10.0 ** rng.uniform(-3, 10, 200)
  near = np.concatenate([one + scales, one - scales, other + scales, other - scales])
  edges = np.sort(np.concatenate([near, np.floor(near) - 0.5, np.nextafter(near, FAR), [one, other, -FAR, FAR]]))
  found = masses(mixture, edges)
  assert (np.diff(found) >= 0).all()
  assert (found[0], found[-1]) == (0, 1 << MASS_BITS)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 32), st.booleans())
def test_shares_are_whole_numbers_that_add_up(seed, has_network):
  mixture = random_mixture(seed, (3.0, -7.5), has_network=has_network)
  shares, whole = np.concatenate([mixture.shares, mixture.component_shares]), 1 << WEIGHT_BITS
  assert shares.sum() == whole
  assert (shares == np.floor(shares)).all() and (shares >= 0).all()
  network = mixture.chances[:-1] * (mixture.posterior[1] * whole)
  np.testing.assert_array_equal(mixture.component_shares, np.floor(network))
  # What is lost by rounding goes to one shape.
  differ = mixture.shares != np.floor(mixture.weights[1] * (whole - np.floor(network).sum()))
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


def test_beside_a_network_there_is_its_mixture():
  """In which the shapes have a chance of their own; its share of the whole is its posterior."""
  mixture = random_mixture(5, (100.0, 90.0), has_network=True)
  mixture.running[1] = np.geomspace(1, 300, LANES)
  mixture.posterior[1] = 0.75
  scales = np.geomspace(2, 90, 8)
  mixture.component_centres[:] = np.linspace(70, 130, 8)
  mixture.component_inverse_scales[:] = 32 / scales
  mixture.chances[:] = np.arange(1, 10) / 45
  build(mixture, 1, np.array([100.0, 90.0]))
  edges = np.linspace(-500, 700, 97)

  def below(centres: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(((centres - edges[:, None]) / scales).clip(-600, 600)))

  of_shapes = np.concatenate([multiple * mixture.running[1] for multiple in NETWORK_MULTIPLES])
  shapes = below(np.tile(np.repeat([100.0, 90.0], LANES // 2), 3), of_shapes) @ mixture.weights[1]
  components = below(mixture.component_centres, scales)
  expected = 0.75 * (components @ mixture.chances[:8]) + (1 - 0.75 * mixture.chances[:8].sum()) * shapes
  np.testing.assert_allclose(masses(mixture, edges) / (1 << MASS_BITS), expected, atol=3e-4)


def step(mixture: Mixture, centres: tuple[float, float], sample: float) -> float:
  """Returns what the shapes gave the sample."""
  build(mixture, 1, np.array(centres))
  masses(mixture, np.array([sample - 0.5]), row=2)
  masses(mixture, np.array([sample + 0.5]), row=1)
  return update(mixture, 1, sample, 2, 1)


@pytest.mark.parametrize('is_right', [False, True])
def test_the_posterior_says_whether_the_network_knows_more(is_right):
  """By Bayes' rule, but for what is shared so that it may change."""
  mixture = distribution.new_mixture(2, has_network=True)
  assert (mixture.posterior == 0.5).all()
  rng = np.random.default_rng(0)
  for _ in range(300):
    sample = float(rng.integers(-1000, 1000))
    mixture.chances[:] = 1 / 9
    mixture.component_centres[:] = sample if is_right else 4000
    mixture.component_inverse_scales[:] = 32.0
    before = mixture.posterior[1]
    shapes = step(mixture, (0.0, 0.0), sample)
    # A component of scale 1 has 0.245 of its mass within half a step of its centre.
    network = (8 * 0.2449 * is_right + shapes) / 9
    expected = before * network / (before * network + (1 - before) * shapes)
    assert mixture.posterior[1] == pytest.approx(expected * (1 - 2 / 1024) + 1 / 1024, rel=0.01)
  assert mixture.posterior[1] == pytest.approx(1 - 1 / 1024 if is_right else 1 / 1024, abs=1e-3)
  assert mixture.posterior[0] == 0.5


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


@pytest.mark.parametrize('has_network', [False, True])
@pytest.mark.parametrize('sample', [0.0, 2.0**31, -(2.0**31)])
def test_weights_add_up_whatever_comes(sample, has_network):
  """Samples where no shape has any mass, and those that are always right, until errors are as small as they can be."""
  mixture, rng = distribution.new_mixture(2, has_network=has_network), np.random.default_rng(0)
  for k in range(3000):
    centre = sample if k > 20 else 0.0
    if has_network:
      answer(mixture, rng, 1e8)
    step(mixture, (centre, centre), sample)
    assert abs(mixture.weights[1].sum() - 1) < 1e-12
    assert (mixture.weights[1] > 0.99e-3 / mixture.weights.shape[1]).all()
    assert 0.99 / 1024 < mixture.posterior[1] < 1 - 0.99 / 1024
  assert np.isfinite(mixture.running).all() and (mixture.running[1] >= 1e-30).all()
