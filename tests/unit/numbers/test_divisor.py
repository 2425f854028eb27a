"""What numbers are multiples of is found from rounded ones, and nothing is found where they are none."""

import numpy as np
import pytest

from language_modeling_is_compression.numbers.divisor import common_divisor


def magnitudes(multiples: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
  """Rising multiples in 32-bit floats, and errors of two units in the last place."""
  values = np.unique((multiples * size).astype(np.float32))
  return values.astype(np.float64), 2.0 * np.spacing(values).astype(np.float64)


@pytest.mark.parametrize('size', [0.6531 / 32768, 1 / 32767, 1.7])
@pytest.mark.parametrize('least', [1, 40, 2000])
def test_it_is_found(size, least):
  multiples = np.random.default_rng(0).integers(least, 200_000, 3000)
  found = common_divisor(*magnitudes(multiples, size))
  assert found == pytest.approx(size, rel=1e-9)


def test_it_is_the_greatest():
  multiples = 6 * np.random.default_rng(0).integers(1, 9000, 3000)
  assert common_divisor(*magnitudes(multiples, 0.01)) == pytest.approx(0.06, rel=1e-8)


def test_a_few_odd_numbers_do_not_hide_it():
  rng = np.random.default_rng(0)
  multiples = np.concatenate([rng.integers(1, 30_000, 5000), rng.uniform(100, 30_000, 10)])
  assert common_divisor(*magnitudes(multiples, 0.01)) == pytest.approx(0.01, rel=1e-8)


def test_numbers_without_one_have_none():
  values = np.random.default_rng(0).uniform(0.001, 1, 5000)
  assert common_divisor(*magnitudes(values, 1.0)) is None
