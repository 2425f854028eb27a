"""How a channel begins, before anything was learned of it: a filter of the codebook, and how loud its residual is.

Side information of codings 5 and 6 says both. How an encoder finds them is not part of the format.

Shapes: N frames, K filters of the codebook.
"""

import math
from dataclasses import dataclass

import numpy as np

from language_modeling_is_compression.prediction.codebook import NUM_FILTERS, ORDER, filters

MIN_LEVEL = -2
MAX_LEVEL = 29
_FRAMES = 64  # That a start is chosen for: what comes later is predicted by what was learned in them.
_ROUNDING = 0.3  # A mean residual as small costs hardly less than none, since samples are whole numbers.


@dataclass(frozen=True, kw_only=True)
class Start:
  """filter: its index in the codebook. level: logarithm to base 2 of its mean absolute residual, as a whole number."""

  filter: int
  level: int

  @property
  def magnitude(self) -> float:
    """The mean absolute residual."""
    return math.ldexp(1.0, self.level)


# Where nobody says one: a filter that is near the mean of all sound, and running errors as they are in coding 4.
DEFAULT_START = Start(filter=16, level=4)
assert DEFAULT_START.filter < NUM_FILTERS


def find_start(indices: np.ndarray) -> Start:
  """The start that lets the first of some indices, int [N], cost least."""
  known = indices[:_FRAMES].astype(np.float64)
  count = len(known)
  orders = np.minimum(np.arange(count), ORDER)
  best, best_cost = DEFAULT_START, math.inf
  for number, each in enumerate(filters()):
    left = known.copy()
    for distance in range(1, min(ORDER, count - 1) + 1):
      left[distance:] -= each.predictors[orders[distance:], distance - 1] * known[:-distance]
    deviations = each.deviations[orders]
    magnitude = math.fsum(np.abs(left / deviations).tolist()) / count
    cost = math.log2(magnitude + _ROUNDING) + math.fsum(np.log2(deviations).tolist()) / count
    if cost < best_cost:
      best, best_cost = Start(filter=number, level=_level_of(magnitude)), cost
  return best


def _level_of(magnitude: float) -> int:
  return min(max(round(math.log2(max(magnitude, 2.0 ** (MIN_LEVEL - 1)))), MIN_LEVEL), MAX_LEVEL)
