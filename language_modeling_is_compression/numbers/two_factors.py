"""Floats of a recorder with two converters, a quiet one and a louder one: each has a factor of its own.

Integers are multiples of the quiet one's factor, so that both are on one scale; of those of the louder one the nearest
is taken, which tells its own multiple, since the louder one's factor is larger. Which converter a sample is of is
coded as the lengths of stretches.

Shapes: N samples of one channel, S stretches.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.entropy.varints import NumberReader, write_number
from language_modeling_is_compression.numbers.divisor import common_divisor
from language_modeling_is_compression.numbers.factor import (
  FACTOR_BYTES,
  ROUNDINGS,
  Factor,
  factor_from_bytes,
  find_factor,
)
from language_modeling_is_compression.numbers.patterns import Precision, orders_from_values
from language_modeling_is_compression.numbers.scale import usable

_BLOCK_FRAMES = 2048
_NUM_BLOCKS = 32
_LEAST_BLOCKS = 2  # That a factor must be found in.
_ALIKE = 1e-4
_LEAST_SHARE = 0.99
_CONTEXT = 30  # Of samples of the louder converter, see remainders.py.


class TwoFactors(NamedTuple):
  """Factors, and where the stretches end by turns, the quiet one's first: int64 [S], the last of them N."""

  quiet: Factor
  loud: Factor
  ends: np.ndarray

  def to_bytes(self) -> bytes:
    lengths = np.diff(self.ends, prepend=0)
    numbers = b''.join(write_number(length) for length in (len(lengths), *lengths.tolist()))
    return self.quiet.to_bytes() + self.loud.to_bytes() + numbers

  def is_loud(self, num_frames: int) -> np.ndarray:
    """bool [N]."""
    lengths = np.diff(self.ends, prepend=0)
    found: np.ndarray = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    assert len(found) == num_frames
    return found

  def bases(self, integers: np.ndarray, precision: Precision) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `Factor.bases` returns, of int32 [N]."""
    is_loud = self.is_loud(len(integers))
    bases, free, contexts = self.quiet.bases(integers, precision)
    with np.errstate(all='ignore'):
      multiples = np.rint(integers[is_loud] * (self.quiet.unit / self.loud.unit)).astype(np.int32)
    bases[is_loud] = orders_from_values(self.loud.values(multiples), precision)
    contexts[is_loud] = _CONTEXT
    return bases, free, contexts


def two_factors_from_bytes(data: bytes, num_frames: int) -> tuple[TwoFactors, bytes] | None:
  """Inverse of `TwoFactors.to_bytes`, and what follows; None for what no encoder wrote."""
  factors = [factor_from_bytes(data[at : at + FACTOR_BYTES]) for at in (0, FACTOR_BYTES)] if _fits(data) else []
  if len(factors) < 2 or factors[0] is None or factors[1] is None:
    return None
  reader = NumberReader(data[2 * FACTOR_BYTES :])
  ends, end = [], 0
  try:
    num = reader.read()
    if not 0 < num <= num_frames + 1:
      return None
    for _ in range(num):
      length = reader.read()
      if not 0 <= length <= num_frames - end:
        return None
      end += length
      ends.append(end)
  except ValueError:
    return None
  # Both have to be on the scale of 32 bits.
  ratio = factors[0].unit / factors[1].unit if factors[1].unit > 0.0 else np.inf
  if end != num_frames or not 0.0 < ratio <= 1.0:
    return None
  return TwoFactors(factors[0], factors[1], np.array(ends)), data[2 * FACTOR_BYTES + reader.position :]


def _fits(data: bytes) -> bool:
  return len(data) >= 2 * FACTOR_BYTES


def find_two_factors(values: np.ndarray, precision: Precision) -> TwoFactors | None:
  """Factors of values, float64 [N], that are multiples of one or of the other for stretches; or None."""
  if len(values) < 2 * _BLOCK_FRAMES:
    return None
  magnitudes = np.where(usable(values), np.abs(values), 0.0)
  with np.errstate(over='ignore', under='ignore'):
    spacings = np.spacing(magnitudes.astype(precision.floats)).astype(np.float64)
  errors = ROUNDINGS[0] * spacings
  starts = np.unique(np.linspace(0, len(values) - _BLOCK_FRAMES, _NUM_BLOCKS).astype(np.int64))
  divisors = [_block_divisor(magnitudes[start : start + _BLOCK_FRAMES], precision) for start in starts.tolist()]
  factors = []
  for divisor, places in _groups(divisors):
    block_values = np.concatenate([values[starts[place] : starts[place] + _BLOCK_FRAMES] for place in places])
    found = find_factor(block_values[usable(block_values)], precision)
    if found is None or found[1] < _LEAST_SHARE or abs(found[0].unit / divisor - 1.0) > _ALIKE:
      return None
    factors.append(found[0])
  if len(factors) != 2:
    return None
  quiet, loud = sorted(factors, key=lambda factor: factor.unit)
  return TwoFactors(quiet, loud, _ends(_multiples(magnitudes, errors, quiet), _multiples(magnitudes, errors, loud)))


def _block_divisor(magnitudes: np.ndarray, precision: Precision) -> float | None:
  some = np.unique(magnitudes)
  some = some[some > 2.0**-100]
  if len(some) < 64 or some[-1] > 2.0**100:  # Silence says nothing, and what is no sound is not looked at.
    return None
  return common_divisor(some, ROUNDINGS[-1] * np.spacing(some.astype(precision.floats)).astype(np.float64))


def _groups(divisors: list[float | None]) -> list[tuple[float, list[int]]]:
  """Two divisors that most blocks have, each with its blocks."""
  groups: list[tuple[float, list[int]]] = []
  for place, divisor in enumerate(divisors):
    if divisor is not None:
      for other, places in groups:
        if abs(divisor / other - 1.0) < _ALIKE:
          places.append(place)
          break
      else:
        groups.append((divisor, [place]))
  groups.sort(key=lambda group: -len(group[1]))
  return [group for group in groups[:2] if len(group[1]) >= _LEAST_BLOCKS]


def _multiples(magnitudes: np.ndarray, errors: np.ndarray, factor: Factor) -> np.ndarray:
  """Which are multiples of a factor, or may be: bool [N]."""
  found: np.ndarray = np.abs(magnitudes - np.rint(magnitudes / factor.unit) * factor.unit) <= errors
  return found


def _ends(is_quiet: np.ndarray, is_loud: np.ndarray) -> np.ndarray:
  """Ends of stretches: what may be of both is of what the last sample was that may not."""
  certain = np.flatnonzero(is_quiet != is_loud)
  if not len(certain):
    return np.array([len(is_quiet)])
  classes = is_loud[certain]
  changes = certain[1:][classes[1:] != classes[:-1]]
  return np.concatenate([[0] if classes[0] else [], changes, [len(is_quiet)]]).astype(np.int64)
