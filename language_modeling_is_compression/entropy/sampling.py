"""Symbols drawn from cdfs, in integers alone: the same seed gives the same symbols on every machine.

Random numbers are Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011). A number is a
function of a seed and its place, so what one sequence draws depends on no other, nor on how many are drawn together.

A symbol whose interval has the size s gets the weight s ** (1 / T), T the temperature: logarithms to base 2 from a
table, times 1 / T in fixed point, and powers of two from a table. For T = 1 that is s itself, for T = 0 the likeliest
symbol is taken, the first of several. Then `top_p` leaves the likeliest symbols that have such a share together.

Shapes: L lanes, V vocabulary.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled

_TABLE_BITS = 12
_LOG_BITS = 24  # Fractional bits of logarithms.
_REST_BITS = _LOG_BITS - _TABLE_BITS
_POWER_BITS = 30  # Fractional bits of powers: what is less than 2**-30 of the likeliest counts as nothing.
_INVERSE_BITS = 16  # Fractional bits of 1 / T, and
_MAX_INVERSE = 1 << 32  # its largest value: what is less likely than the likeliest by 0.04% counts as nothing then.
_SHARE_BITS = 32  # Fractional bits of top_p.
_GREEDY = 0  # Stands for 1 / T of T = 0.
_PLAIN = 1 << _INVERSE_BITS  # 1 / T of T = 1.
_ALL = 1 << _SHARE_BITS
MAX_SEED = (1 << 64) - 1


class _Tables(NamedTuple):
  """int64 [2**12 + 1] each: logs, log2(1 + i / 2**12), _LOG_BITS; powers, 2**(-i / 2**12), _POWER_BITS."""

  logs: np.ndarray
  powers: np.ndarray


class Draws(NamedTuple):
  """Arguments of `draw_symbols` that stay the same.

  inverses: int64 [L], 1 / T. share: of top_p. sequences: int64 [L]. first: position of the first symbol.
  work: int64 [V].
  """

  inverses: np.ndarray
  share: int
  seed: np.uint64
  sequences: np.ndarray
  first: int
  tables: _Tables
  work: np.ndarray


_NO_NUMBERS = np.zeros(0, np.int64)
NO_DRAWS = Draws(_NO_NUMBERS, 0, np.uint64(0), _NO_NUMBERS, 0, _Tables(_NO_NUMBERS, _NO_NUMBERS), _NO_NUMBERS)


class Sampler:
  """Draws a symbol for each of several sequences.

  seed: 0 or more, below 2**64. temperatures: of each sequence, 0 or more. top_p: above 0, at most 1.
  """

  def __init__(self, seed: int, temperatures: Sequence[float], top_p: float = 1.0):
    assert 0 <= seed <= MAX_SEED and all(0 <= t < math.inf for t in temperatures) and 0 < top_p <= 1
    self.temperatures = tuple(temperatures)
    self._seed = np.uint64(seed)
    self._inverses = np.array([_inverse(temperature) for temperature in temperatures], np.int64)
    numerator, denominator = float(top_p).as_integer_ratio()
    self._share = max(1, (numerator << _SHARE_BITS) // denominator)

  def draws(self, sequences: np.ndarray, first: int, vocab_size: int) -> Draws:
    """Draws of some sequences, by their numbers, int64 [L], from a position on; for one thread at a time."""
    work = np.zeros(vocab_size, np.int64)
    return Draws(self._inverses[sequences], self._share, self._seed, sequences, first, _tables(), work)


def _inverse(temperature: float) -> int:
  if temperature == 0:
    return _GREEDY
  numerator, denominator = float(temperature).as_integer_ratio()
  rounded = ((denominator << (_INVERSE_BITS + 1)) // numerator + 1) >> 1
  return min(max(1, rounded), _MAX_INVERSE)


@functools.cache
def _tables() -> _Tables:
  """By integer square roots, since no two libraries need agree on the last bit of a logarithm."""
  bits = 128
  size = 1 << _TABLE_BITS
  root = 1 << (bits + 1)  # 2, then its square root, _TABLE_BITS times.
  for _ in range(_TABLE_BITS):
    root = math.isqrt(root << bits)
  power, powers = 1 << bits, []
  for _ in range(size + 1):
    powers.append((power + (1 << (bits - _POWER_BITS - 1))) >> (bits - _POWER_BITS))
    power = (power << bits) // root
  logs = [_log2_of((size + index) << (bits - _TABLE_BITS), bits) for index in range(size + 1)]
  return _Tables(np.array(logs, np.int64), np.array(powers, np.int64))


def _log2_of(value: int, bits: int) -> int:
  """log2(value / 2**bits), from 1 to 2, to _LOG_BITS: a square is twice the logarithm, which tells a bit at a time."""
  log = value >> (bits + 1)  # 1 for 2 itself.
  if log:
    return 1 << _LOG_BITS
  for _ in range(_LOG_BITS + 1):
    value = (value * value) >> bits
    log <<= 1
    if value >> (bits + 1):
      value, log = value >> 1, log + 1
  return (log + 1) >> 1


@compiled
def random_bits(seed, position, sequence):
  """64 bits, uint64, of a seed, a position below 2**64 and the number of a sequence, below 2**32: all uint64."""
  mask = np.uint64(0xFFFFFFFF)
  half = np.uint64(32)
  key0, key1 = seed & mask, seed >> half
  a, b, c, d = position & mask, position >> half, sequence & mask, np.uint64(0)
  for _ in range(10):
    first, second = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
    a, b, c, d = (second >> half) ^ b ^ key0, second & mask, (first >> half) ^ d ^ key1, first & mask
    key0, key1 = (key0 + np.uint64(0x9E3779B9)) & mask, (key1 + np.uint64(0xBB67AE85)) & mask
  return a | (b << half)


@compiled
def draw_symbols(draws, number, cdfs, symbols):
  """Writes a symbol of each lane to symbols, int64 [L]: the one so many after the first.

  cdfs: uint32 [L, V + 1], from 0 to 1 << PRECISION_BITS.
  """
  vocab_size = cdfs.shape[1] - 1
  inverses, share, weights = draws.inverses, draws.share, draws.work
  logs, powers = draws.tables.logs, draws.tables.powers
  position = np.uint64(draws.first + number)
  for lane in range(len(symbols)):
    likeliest = 0
    for v in range(vocab_size):
      weights[v] = np.int64(cdfs[lane, v + 1]) - np.int64(cdfs[lane, v])
      if weights[v] > weights[likeliest]:
        likeliest = v
    symbols[lane] = likeliest
    if inverses[lane] == _GREEDY:
      continue
    if inverses[lane] != _PLAIN:
      most = _log2(weights[likeliest], logs)
      for v in range(vocab_size):
        weights[v] = _power((most - _log2(weights[v], logs)) * inverses[lane] >> _INVERSE_BITS, powers)
    total = np.int64(0)
    for v in range(vocab_size):
      total += weights[v]
    if share < _ALL:
      # In two parts, since a total may have 46 bits.
      high, low = total >> 16, total & 0xFFFF
      needed = ((high * share) >> (_SHARE_BITS - 16)) + ((low * share) >> _SHARE_BITS)
      total = _keep_likeliest(weights, vocab_size, max(needed, np.int64(1)))
    # Of all symbols at T = 1 the total divides 2**64, so that this is exact; else some have at most 2**-18 too much.
    place = np.int64(random_bits(draws.seed, position, np.uint64(draws.sequences[lane])) % np.uint64(total))
    symbol = 0
    while place >= weights[symbol]:
      place -= weights[symbol]
      symbol += 1
    symbols[lane] = symbol


@compiled
def _log2(size, logs):
  """log2 of a size from 1 to 1 << PRECISION_BITS, to _LOG_BITS; it never falls as the size rises."""
  whole = math.frexp(np.float64(size))[1] - 1
  fraction = (size << (_LOG_BITS - whole)) - (np.int64(1) << _LOG_BITS)
  entry, rest = fraction >> _REST_BITS, fraction & ((1 << _REST_BITS) - 1)
  return (np.int64(whole) << _LOG_BITS) + logs[entry] + ((logs[entry + 1] - logs[entry]) * rest >> _REST_BITS)


@compiled
def _power(exponent, powers):
  """2**-exponent, to _POWER_BITS; exponent: 0 or more, to _LOG_BITS."""
  whole, fraction = exponent >> _LOG_BITS, exponent & ((np.int64(1) << _LOG_BITS) - 1)
  entry, rest = fraction >> _REST_BITS, fraction & ((1 << _REST_BITS) - 1)
  return (powers[entry] - ((powers[entry] - powers[entry + 1]) * rest >> _REST_BITS)) >> min(whole, np.int64(62))


@compiled
def _keep_likeliest(weights, vocab_size, needed):
  """Takes their weight from all but the likeliest symbols that have so much together. Returns what these have."""
  low, high = np.int64(0), np.int64(1) << 31  # Symbols of weight `low` or more have enough, those of `high` do not.
  while high - low > 1:
    middle = (low + high) >> 1
    mass = np.int64(0)
    for v in range(vocab_size):
      if weights[v] >= middle:
        mass += weights[v]
    if mass >= needed:
      low = middle
    else:
      high = middle
  mass = np.int64(0)
  for v in range(vocab_size):
    if weights[v] > low:
      mass += weights[v]
  for v in range(vocab_size):
    # Of equally likely ones the first come first.
    if weights[v] == low and mass < needed:
      mass += low
    elif weights[v] <= low:
      weights[v] = 0
  return mass
