"""Changes of the samples that a model is trained on, in integers alone, so that they are the same on every machine.

Shapes: N samples of a chunk.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.config.options import AugmentationConfig
from language_modeling_is_compression.data.draws import generator

_GAIN_BITS = 16  # Behind the point of a gain.
_STREAM = 1  # Numbers of the same seed and step that something else is drawn from are another stream.


class Change(NamedTuple):
  """Change of one chunk. gain: in units of 2**-16."""

  gain: int
  inverted: bool
  reversed: bool

  def apply(self, samples: np.ndarray, bits: int) -> np.ndarray:
    """The changed samples, int32 [N]. samples: signed integers [N] of so many bits, 32 or fewer.

    A sample s becomes floor(s * gain / 2**16 + 1/2), negated where that is asked for, and clipped to its bits.
    """
    wide = (samples.astype(np.int64) * self.gain + (1 << (_GAIN_BITS - 1))) >> _GAIN_BITS
    if self.inverted:
      wide = -wide
    clipped = np.clip(wide, -(1 << (bits - 1)), (1 << (bits - 1)) - 1).astype(np.int32)
    return clipped[::-1] if self.reversed else clipped


def drawn_change(config: AugmentationConfig, *, seed: int, step: int, row: int) -> Change:
  """The change of a row of a step's batch, a function of these alone.

  A gain is a power in float64 that is rounded to 2**-16, so that the last bit, in which machines may differ, is lost.
  """
  rng = generator(seed, step, row, _STREAM)
  low, high = config.gains_db
  gain, inverted, backwards = rng.random(3)
  return Change(
    gain=round(10 ** ((low + (high - low) * gain) / 20) * (1 << _GAIN_BITS)),
    inverted=bool(inverted < (config.invert_polarity or 0)),
    reversed=bool(backwards < (config.reverse_time or 0)),
  )
