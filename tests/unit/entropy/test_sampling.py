"""Symbols that are drawn: the generator's published values, shares that are those of the cdf, temperature and top_p."""

import math

import numpy as np
import pytest

from language_modeling_is_compression.entropy import sampling
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.entropy.sampling import Sampler, draw_symbols, random_bits

WHOLE = 1 << PRECISION_BITS
SIZES = np.array([1, 1 << 8, 1 << 20, 1 << 22, 1 << 22, 3_000_000, 0], np.int64)
SIZES[-1] = WHOLE - SIZES.sum()


def cdf_of(sizes) -> np.ndarray:
  return np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint32)


def drawn(sizes, *, count: int, temperature: float = 1.0, top_p: float = 1.0, seed: int = 7) -> np.ndarray:
  """Symbols at positions 0, 1 and so on of one sequence."""
  sampler = Sampler(seed, [temperature], top_p)
  cdfs, sequences = cdf_of(sizes)[None], np.zeros(1, np.int64)
  symbols = np.zeros((count, 1), np.int64)
  for position in range(count):
    draw_symbols(sampler.draws(sequences, position, len(sizes)), 0, cdfs, symbols[position])
  return symbols[:, 0]


def chi_square(symbols: np.ndarray, shares: np.ndarray) -> float:
  """Statistic over symbols that are expected at least 5 times, the others as one."""
  expected = shares * len(symbols)
  counts = np.bincount(symbols, minlength=len(shares))
  often = expected >= 5
  pairs = [*zip(counts[often], expected[often], strict=True), (counts[~often].sum(), expected[~often].sum())]
  return sum((count - mean) ** 2 / mean for count, mean in pairs if mean > 0)


# 99.99% of a chi-square distribution with 7 degrees of freedom or fewer is below it.
MOST = 29.9


def reference_philox(counter, key):
  """Philox4x32-10 as it is published, word by word."""
  a, b, c, d = counter
  for _ in range(10):
    first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
    a, b, c, d = (second >> 32) ^ b ^ key[0], second % 2**32, (first >> 32) ^ d ^ key[1], first % 2**32
    key = ((key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32)
  return a, b, c, d


@pytest.mark.parametrize(
  ('counter', 'key', 'words'),
  [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
      (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
      (0xA4093822, 0x299F31D0),
      (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
  ],
)
def test_the_reference_has_the_published_answers(counter, key, words):
  assert reference_philox(counter, key) == words


@pytest.mark.parametrize(
  ('seed', 'position', 'sequence'), [(0, 1, 0), (2**64 - 1, 2**40 + 3, 5), (123456789012, 7, 2**32 - 1)]
)
def test_numbers_are_those_of_the_reference(seed, position, sequence):
  words = reference_philox((position % 2**32, position >> 32, sequence, 0), (seed % 2**32, seed >> 32))
  assert int(random_bits(np.uint64(seed), np.uint64(position), np.uint64(sequence))) == words[0] | words[1] << 32


def test_tables_are_rounded_right():
  logs, powers = sampling._tables()
  places = np.arange(4097) / 4096
  assert np.abs(logs - np.log2(1 + places) * 2**24).max() < 0.5 + 1e-6
  assert np.abs(powers - 2.0**-places * 2**30).max() < 0.5 + 1e-6


def test_shares_are_those_of_the_cdf():
  assert chi_square(drawn(SIZES, count=20_000), SIZES / WHOLE) < MOST


@pytest.mark.parametrize('temperature', [0.3, 0.95, 1.7, 50.0])
def test_temperature_is_a_power_of_the_shares(temperature):
  shares = (SIZES / WHOLE) ** (1 / temperature)
  assert chi_square(drawn(SIZES, count=20_000, temperature=temperature), shares / shares.sum()) < MOST


@pytest.mark.parametrize('temperature', [0, 1e-9])
def test_without_temperature_the_likeliest_is_taken(temperature):
  assert set(drawn([5, WHOLE // 2 - 5, WHOLE // 4, WHOLE // 4], count=50, temperature=temperature)) == {1}


def test_at_a_temperature_near_zero_what_is_hardly_less_likely_does_not_come():
  """By 0.2%; by a millionth it does, since such a weight is the same to all digits."""
  half = WHOLE // 2
  assert set(drawn([half - half // 1000, half + half // 1000], count=500, temperature=1e-9)) == {1}
  assert set(drawn([half - 4, half + 4], count=500, temperature=1e-9)) == {0, 1}


def test_of_equally_likely_ones_the_first_is_taken():
  assert set(drawn([1, WHOLE // 2 - 1, WHOLE // 2 - 1, 1], count=50, temperature=0)) == {1}


@pytest.mark.parametrize(
  ('top_p', 'kept'),
  [(0.5, [6]), (0.6, [3, 6]), (0.8, [3, 4, 6]), (1.0, [2, 3, 4, 5, 6]), (1e-9, [6])],
)
def test_top_p_leaves_the_likeliest(top_p, kept):
  """Half of all are symbol 6, 3 sixteenths each are 3 and 4; of equal ones the first comes first."""
  sizes = np.array([1, 1, (1 << 19) - 2, 3 << 20, 3 << 20, 3 << 19, 1 << 23])
  assert sizes.sum() == WHOLE
  symbols = drawn(sizes, count=5000, top_p=top_p)
  assert sorted(set(symbols)) == kept
  shares = np.where(np.isin(np.arange(7), kept), sizes, 0)
  assert chi_square(symbols, shares / shares.sum()) < MOST


def test_a_sequence_depends_on_no_other():
  rng = np.random.default_rng(0)
  sizes = rng.integers(1, 100_000, (40, 5, 256))
  sizes[..., 0] += WHOLE - sizes.sum(axis=-1)
  cdfs = np.concatenate([np.zeros((40, 5, 1), int), np.cumsum(sizes, axis=-1)], axis=-1).astype(np.uint32)
  sampler = Sampler(3, [0.8, 1.0, 0.0, 1.3, 0.5], 0.99)
  together, alone = np.zeros((40, 5), np.int64), np.zeros((40, 5), np.int64)
  for position in range(40):
    draw_symbols(sampler.draws(np.arange(5), 0, 256), position, cdfs[position], together[position])
    for lane in range(5):
      draws = sampler.draws(np.array([lane]), position, 256)
      draw_symbols(draws, 0, cdfs[position, lane : lane + 1], alone[position, lane : lane + 1])
  np.testing.assert_array_equal(together, alone)
  assert len({tuple(column) for column in together.T}) == 5


def test_a_large_vocabulary():
  sizes = np.full(65536, 256)
  symbols = drawn(sizes, count=400, temperature=0.9, top_p=0.5)
  assert symbols.max() < 32768 and len(set(symbols)) > 390


def test_entropy_of_what_is_drawn():
  """The mean code length of drawn symbols is the entropy."""
  shares = SIZES / WHOLE
  entropy = -float(shares @ np.log2(shares))
  lengths = -np.log2(shares[drawn(SIZES, count=20_000)])
  assert lengths.mean() == pytest.approx(entropy, abs=4 * lengths.std() / math.sqrt(20_000))
