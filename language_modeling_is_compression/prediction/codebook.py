"""Codebook of prediction filters that a channel may begin with, when nothing of it is known but an index.

Each is all-pole, of order ORDER, and stands as its reflection coefficients. From these follow, by the recursion of
Levinson and Durbin, the predictors of all lower orders, which the first samples have, and the autocorrelation. They
are the centroids of spectra of short blocks from the train folders, of all domains alike, by the distortion of Itakura
(the logarithm of what a filter leaves over, relative to the block's own filter): bench/codebook.py.

Everything here is computed with + − × ÷ √ in one order, since decoders depend on it.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

ORDER = 8
_ONE = 1024  # Of reflection coefficients as they stand here.
_REFLECTIONS = (
  (1023, -966, -570, -144, 133, 226, 180, 76),
  (1023, -882, -650, -492, -370, -265, -166, -70),
  (1023, -850, -652, -492, -376, -277, -187, -99),
  (1023, -826, -829, -398, -87, 76, 200, 175),
  (1023, -820, -463, -239, -127, -158, -122, -129),
  (1023, -767, -633, -500, -377, -311, -252, -195),
  (1023, -605, -595, -480, -397, -334, -279, -238),
  (1023, -593, -544, -416, -300, -200, -106, -68),
  (1023, -555, -583, -467, -374, -307, -248, -188),
  (1023, -539, -204, -538, -121, -331, -49, -212),
  (1023, -495, -537, -454, -371, -273, -203, -129),
  (1023, -378, -484, -480, -365, -325, -249, -244),
  (1023, -268, -787, -528, -318, -215, -177, -152),
  (1023, 25, -387, -389, -376, -301, -279, -232),
  (1023, 31, 4, -545, -220, -407, -59, -269),
  (1023, 337, -22, -164, -213, -244, -217, -200),
  (1021, -979, 640, 295, -157, -192, -10, 44),
  (1017, -807, 632, -524, 289, -267, -87, 10),
  (1014, -967, 439, -161, 254, -49, 151, -97),
  (1010, 505, 288, 167, 69, -52, 2, -40),
  (992, -590, -173, -549, 176, 7, 386, -106),
  (992, 83, 158, 62, 160, 84, 219, 98),
  (988, -602, 598, -187, 295, -126, 182, -48),
  (970, -940, 540, 53, -239, -259, 59, -123),
  (967, -755, 245, -409, -49, 17, 4, -329),
  (961, -602, -298, -203, -44, -60, 38, -153),
  (961, -11, -275, -755, -287, -31, 426, 22),
  (902, -346, 688, -195, 505, -109, 297, -168),
  (871, -411, 281, -166, 108, -134, 64, -66),
  (703, 104, 592, -105, 365, -64, 371, 12),
  (311, -591, 133, -226, 6, -57, 88, -48),
  (19, 523, 508, 316, 380, 125, 59, -21),
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
