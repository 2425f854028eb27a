"""What channels begin with: the filter and the level that an encoder finds."""

import numpy as np
import pytest

from language_modeling_is_compression.prediction.codebook import NUM_FILTERS, ORDER, filters
from language_modeling_is_compression.prediction.start import MAX_LEVEL, MIN_LEVEL, Start, find_start


def process(number: int, magnitude: float, seed: int = 0, length: int = 4000) -> np.ndarray:
  """Sound of a filter of the codebook, whose residual has that mean magnitude; int64 [N]."""
  noise = np.random.default_rng(seed).laplace(0, magnitude, length)
  samples = np.zeros(length + ORDER)
  for t in range(length):
    samples[t + ORDER] = noise[t] + filters()[number].predictors[ORDER] @ samples[t : t + ORDER][::-1]
  return np.round(samples[-64:]).astype(np.int64)


@pytest.mark.parametrize('level', [4, 9, 14])
def test_the_level_is_that_of_the_residual(level):
  for number in range(NUM_FILTERS):
    assert abs(find_start(process(number, 2.0**level)).level - level) <= 1


def test_the_filter_is_hardly_worse_than_the_one_it_came_from():
  """Mostly it is that one; neighbours in the codebook may do as well in 64 samples."""
  same = 0
  for number in range(NUM_FILTERS):
    for seed in range(4):
      same += find_start(process(number, 1000.0, seed)).filter == number
  assert same > 0.5 * 4 * NUM_FILTERS


@pytest.mark.parametrize('count', [1, 2, ORDER, ORDER + 1, 63, 64, 65, 200])
def test_sound_of_any_length_has_a_start(count):
  samples = np.random.default_rng(count).integers(-500, 500, count)
  found = find_start(samples)
  assert 0 <= found.filter < NUM_FILTERS and 0 <= found.level <= 12
  assert found == find_start(np.concatenate([samples, np.full(300, 7)])) or count < 64


@pytest.mark.parametrize(('value', 'level'), [(0, MIN_LEVEL), ((1 << 31) - 1, MAX_LEVEL)])
def test_levels_are_limited(value, level):
  assert find_start(np.where(np.arange(80) % 2, -value, value)).level in (level, level - 1)
  assert find_start(np.zeros(80, np.int32)).level == MIN_LEVEL


def test_the_magnitude_of_a_level():
  assert Start(filter=0, level=-2).magnitude == 0.25
  assert Start(filter=0, level=10).magnitude == 1024.0
