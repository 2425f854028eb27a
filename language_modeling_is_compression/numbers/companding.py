"""Companded telephone speech (ITU-T G.711) as the integers that decoders make of it, and back.

A character is a sign, three bits of segment and four of interval. Tables 1a to 2b of the recommendation give values in
units of which the largest is 4,032 for A-law and 8,031 for mu-law; A-law's middles are odd in halves of its own unit,
so integers here are the recommendation's y of A-law, 13 bits with the sign, and of mu-law, 14.

Shapes: N frames, C channels.
"""

import functools

import numpy as np

from language_modeling_is_compression.audio.pcm import SampleKind

_A_LAW_INVERTED = 0x55  # Even bits are, on lines.
_MU_LAW_INVERTED = 0xFF  # All are.
_SIGN = 0x80


def linear_values(kind: SampleKind) -> np.ndarray:
  """The integer of each character: int32 [256], all different. mu-law's negative zero is -1, which is no other's."""
  characters = np.arange(256)
  if kind == SampleKind.A_LAW:
    characters = characters ^ _A_LAW_INVERTED
    segment, interval = characters >> 4 & 7, characters & 15
    # The first two segments have the same steps.
    magnitudes = np.where(segment, (2 * interval + 33) << np.maximum(segment - 1, 0), 2 * interval + 1)
    values = np.where(characters & _SIGN, magnitudes, -magnitudes)
  else:
    characters = characters ^ _MU_LAW_INVERTED
    segment, interval = characters >> 4 & 7, characters & 15
    magnitudes = ((2 * interval + 33) << segment) - 33
    values = np.where(characters & _SIGN, -magnitudes, magnitudes)
    values[characters == _SIGN] = -1
  return values.astype(np.int32)


def integers_from_characters(characters: np.ndarray, kind: SampleKind) -> np.ndarray:
  """int32 of uint8, of any shape."""
  integers: np.ndarray = linear_values(kind)[characters]
  return integers


def characters_from_integers(integers: np.ndarray, kind: SampleKind) -> np.ndarray | None:
  """Inverse of `integers_from_characters`; None where an integer is no character's."""
  values, characters = _inverse(kind)
  places = np.minimum(np.searchsorted(values, integers), len(values) - 1)
  if not np.array_equal(values[places], integers):
    return None
  found: np.ndarray = characters[places]
  return found


@functools.cache
def _inverse(kind: SampleKind) -> tuple[np.ndarray, np.ndarray]:
  """Integers in rising order, and the character of each."""
  values = linear_values(kind)
  characters = np.argsort(values)
  return values[characters], characters.astype(np.uint8)
