"""Samples that are no integers, floats and companded ones, as integers for the predictors, and back, bit for bit.

Shapes: N frames, C channels.
"""

import numpy as np

from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.numbers import companding, floats

KINDS = (SampleKind.FLOAT, SampleKind.A_LAW, SampleKind.MU_LAW)


def integers_from_patterns(patterns: np.ndarray, kind: SampleKind) -> tuple[np.ndarray, int, bytes]:
  """Integers, int32 [N, C], the fewest bytes that hold each of them, 1 to 4, and what else their patterns take.

  patterns: of one of KINDS, uint16, uint32 or uint64 [N, C] of floats, uint8 [N, C] of companded samples.
  """
  if kind == SampleKind.FLOAT:
    integers, side = floats.integers_from_floats(patterns)
  else:
    integers, side = companding.integers_from_characters(patterns, kind), b''
  return integers, depth_bytes(integers), side


def patterns_from_integers(
  integers: np.ndarray, side: bytes, kind: SampleKind, pattern_bytes: int
) -> np.ndarray | None:
  """Inverse of `integers_from_patterns`; None for what it does not write. pattern_bytes: 1, 2, 4 or 8 as kinds have."""
  if kind == SampleKind.FLOAT:
    return floats.floats_from_integers(integers, side, pattern_bytes)
  return None if side else companding.characters_from_integers(integers, kind)


def depth_bytes(integers: np.ndarray) -> int:
  """Bytes of the narrowest two's complement that holds each of int32 [N, C]: 1 to 4."""
  least, largest = int(integers.min(initial=0)), int(integers.max(initial=0))
  return (max(largest, ~least).bit_length() + 8) // 8
