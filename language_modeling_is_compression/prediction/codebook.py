"""Codebook of prediction filters that a channel may begin with, when nothing of it is known but an index.

Each is all-pole, of order ORDER, and stands as its reflection coefficients. From these follow, by the recursion of
Levinson and Durbin, the predictors of all lower orders, which the first samples have, and the autocorrelation. They
are the centroids of spectra of short blocks from the train folders, of all domains alike, by the distortion of Itakura
(the logarithm of what a filter leaves over, relative to the block's own filter): docs/LOG.md, 2026-11-29.

Everything here is computed with + − × ÷ √ in one order, since decoders depend on it.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

ORDER = 8
_ONE = 1024  # Of reflection coefficients as they stand here.
_REFLECTIONS = (
  (1023, -947, -596, -254, 28, 168, 175, 111),
  (1023, -943, -606, -381, -157, 25, 141, 164),
  (1023, -841, -774, -463, -310, -165, -34, 40),
  (1023, -785, -636, -500, -395, -318, -263, -199),
  (1023, -741, -580, -457, -327, -204, -81, 20),
  (1023, -646, -605, -486, -396, -330, -280, -235),
  (1023, -632, -313, -604, -234, -359, -64, -185),
  (1023, -524, -549, -443, -380, -275, -217, -140),
  (1023, -512, -596, -484, -390, -315, -268, -215),
  (1023, -397, -372, -34, -33, -109, -108, -163),
  (1023, -299, -444, -365, -342, -281, -255, -180),
  (1023, -27, -752, -579, -302, -240, -186, -164),
  (1023, 70, -193, -389, -335, -307, -286, -225),
  (1023, 352, 159, -43, -63, -119, -155, -146),
  (1022, -697, 109, -158, 236, -165, 139, -118),
  (1022, 354, -91, -191, -249, -230, -232, -171),
  (1021, -906, 575, -457, -13, -84, -130, 12),
  (1021, -823, 190, 446, 93, -427, 74, 226),
  (1007, -967, 830, -337, -190, 116, 52, -62),
  (1002, -341, -369, -801, 747, -995, -549, 117),
  (999, -167, 433, -44, 326, -69, 206, -92),
  (992, 537, 284, 192, 83, -85, -5, 7),
  (989, -915, 493, -375, 222, -99, 35, -139),
  (982, -949, 71, 157, 25, -130, -60, -132),
  (960, -164, -238, -723, -184, -26, 422, 89),
  (958, -561, 716, -437, 557, -390, 230, -287),
  (957, -740, 318, -390, 43, 75, -187, -480),
  (949, -546, 560, -212, 333, -161, 224, -40),
  (940, -409, -165, -269, -74, -108, 40, -117),
  (883, -258, 717, -112, 482, -88, 364, -88),
  (842, 141, 489, -1, 257, -54, 263, 18),
  (-19, -389, 108, -241, 26, -124, 124, 33),
)
NUM_FILTERS = len(_REFLECTIONS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Filter:
  """One of the codebook, of a process whose residual has the variance 1.

  predictors: float64 [ORDER + 1, ORDER], of each order from 0 on, the newest sample's coefficient first.
  deviations: float64 [ORDER + 1], of what these leave over; the last one is 1.
  autocorrelation: float64 [ORDER + 1].
  """

  predictors: np.ndarray
  deviations: np.ndarray
  autocorrelation: np.ndarray

  def correlations(self, count: int) -> np.ndarray:
    """The autocorrelation at distances below count, float64 [count]: beyond ORDER that of the all-pole process."""
    found = self.autocorrelation.tolist()[:count]
    coefficients = self.predictors[ORDER].tolist()
    while len(found) < count:
      value = 0.0
      for distance, coefficient in enumerate(coefficients, 1):
        value += coefficient * found[-distance]
      found.append(value)
    return np.array(found)


@functools.cache
def filters() -> tuple[Filter, ...]:
  """The whole codebook."""
  return tuple(_filter(reflections) for reflections in _REFLECTIONS)


def _filter(reflections: tuple[int, ...]) -> Filter:
  coefficients: list[float] = []
  predictors = np.zeros((ORDER + 1, ORDER))
  powers, correlations = [1.0], [1.0]  # Of a process whose variance is 1.
  for order, reflection in enumerate(reflections):
    factor = reflection / _ONE
    value = factor * powers[-1]
    for i in range(order):
      value += coefficients[i] * correlations[order - i]
    correlations.append(value)
    mirrored = coefficients[::-1]
    coefficients = [own - factor * other for own, other in zip(coefficients, mirrored, strict=True)] + [factor]
    predictors[order + 1, : order + 1] = coefficients
    powers.append(powers[-1] * (1.0 - factor * factor))
  return Filter(
    predictors=predictors,
    deviations=np.array([math.sqrt(power / powers[-1]) for power in powers]),
    autocorrelation=np.array([value / powers[-1] for value in correlations]),
  )
