"""Companded samples: the 16-bit values that ITU-T G.711 gives to A-law and mu-law bytes.

The standard's own values have 13 bits (A-law) and 14 bits (mu-law); as is usual, they are brought to 16 by a shift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from language_modeling_is_compression.system.on_demand import OnDemand

if TYPE_CHECKING:
  import numpy as np
else:
  np = OnDemand('numpy')

_A_LAW_INVERTED = 0x55  # Bits that lines invert.
_MU_LAW_BIAS = 132


def expand_a_law(codes: np.ndarray) -> np.ndarray:
  """Linear values, int32 in [-32256, 32256], of A-law bytes, uint8 of any shape."""
  code = codes.astype(np.int32) ^ _A_LAW_INVERTED
  segment, step = code >> 4 & 7, code & 15
  # Half a step is added; segments 0 and 1 have the same steps.
  magnitude = np.where(segment == 0, 16 * step + 8, (16 * step + 264) << np.maximum(segment - 1, 0))
  return np.where(code & 0x80, magnitude, -magnitude)


def expand_mu_law(codes: np.ndarray) -> np.ndarray:
  """Linear values, int32 in [-32124, 32124], of mu-law bytes, uint8 of any shape. Both zeros become 0."""
  code = codes.astype(np.int32) ^ 0xFF
  magnitude = ((8 * (code & 15) + _MU_LAW_BIAS) << (code >> 4 & 7)) - _MU_LAW_BIAS
  return np.where(code & 0x80, -magnitude, magnitude)
