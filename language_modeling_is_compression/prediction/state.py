"""State of the experts of a segment, their number and their constants.

Shapes: C channels, D coefficients of least squares, T taps, H slots of a history.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.prediction import mixture, nlms
from language_modeling_is_compression.prediction.evidence import NUM_CENTRES, NUM_FEATURES
from language_modeling_is_compression.prediction.history import HISTORY_SLOTS
from language_modeling_is_compression.prediction.least_squares import BLOCK, LeastSquares, new_least_squares
from language_modeling_is_compression.prediction.long_term import LongTerm, new_long_term

# Least squares, in the order of their predictions: medium memory (forgetting 0.997), long memory, and a short-memory
# filter (forgetting 0.985) of fewer inputs.
QUICK, SLOW, SHORT = range(3)
NUM_LEAST_SQUARES = 3
FORGETTING = (0.997, 0.9995, 0.985)
# Cascades: a long one after the slow least squares, a short one after the quick one.
LONG_STAGES, SHORT_STAGES = 4, 3
NUM_STAGES = LONG_STAGES + SHORT_STAGES
STAGE_RATES = (0.1, 0.12, 0.06, 0.05, 0.12, 0.06, 0.05)
# Predictions: of least squares, of the short cascade after each stage, long-term, of the long cascade.
LAST_OF_SHORT = NUM_LEAST_SQUARES + SHORT_STAGES - 1
REPEATED = LAST_OF_SHORT + 1
FIRST_OF_LONG = REPEATED + 1
LAST_OF_LONG = REPEATED + LONG_STAGES
NUM_PREDICTIONS = LAST_OF_LONG + 1

# Stackings of all predictions: one with a long memory, one with a short memory.
BLEND_FORGETTING = (0.9985, 0.99)
NUM_BLENDS = len(BLEND_FORGETTING)

GROUP_CHANNELS = 8  # Channels that are predicted from one another, at most.
NUM_ERRORS = 16  # Last errors of the final prediction that are kept.
BLEND_SIZE = NUM_PREDICTIONS + -NUM_PREDICTIONS % BLOCK  # Coefficients of a stacking, padded to whole blocks.


@dataclass(frozen=True, kw_only=True)
class Effort:
  """Amount of computation for a sample.

  own, other: inputs of each least squares from the same channel and from another one.
  solve_every, solve_long_term_every: samples between two solutions of each, and of long-term prediction.
  taps: of each stage, the long cascade's first.
  """

  own: tuple[int, int, int]
  other: tuple[int, int, int]
  solve_every: tuple[int, int, int]
  solve_long_term_every: int
  taps: tuple[int, ...]


EFFORTS = (
  Effort(
    own=(16, 16, 8),
    other=(8, 8, 8),
    solve_every=(32, 32, 8),
    solve_long_term_every=32,
    taps=(256, 64, 32, 16, 64, 32, 16),
  ),
  Effort(
    own=(32, 32, 16),
    other=(16, 16, 8),
    solve_every=(8, 8, 2),
    solve_long_term_every=8,
    taps=(1024, 256, 32, 16, 256, 32, 16),
  ),
  Effort(
    own=(32, 32, 16),
    other=(16, 16, 8),
    solve_every=(1, 1, 1),
    solve_long_term_every=4,
    taps=(2048, 512, 32, 16, 256, 32, 16),
  ),
)


class Experts(NamedTuple):
  """Arrays of all channels' experts. Histories have the newest sample first, at the channel's position."""

  own: np.ndarray  # int64 [3], inputs of least squares from the same channel,
  other: np.ndarray  # int64 [3], and from another one; 0 for mono
  solve_every: np.ndarray  # int64 [3]
  taps: np.ndarray  # int64 [7]
  steps: np.ndarray  # float64 [7], mu / n * sum(p_k)
  recency: np.ndarray  # float32 [7, T]
  limits: np.ndarray  # float64 [C, 2], the least and the largest sample of each channel
  table: np.ndarray  # the logistic function

  samples: np.ndarray  # float64 [C, H], as they came
  sample_position: np.ndarray  # int64 [C]
  least_squares: LeastSquares  # G = 3 C, all of the first channel first
  weighting_error: np.ndarray  # float64 [C, 3], running errors, by which samples are weighted
  residuals: np.ndarray  # float32 [C, 7, H], targets of each stage
  residual_position: np.ndarray  # int64 [C]
  weights: np.ndarray  # float32 [C, 7, T]
  products: np.ndarray  # float32 [T], scratch
  stage_predictions: np.ndarray  # float64 [C, 7]
  long_term: LongTerm
  predictions: np.ndarray  # float64 [C, NUM_PREDICTIONS]
  blends: LeastSquares  # G = 2 C, stackings of predictions less the long-term one
  blend_error: np.ndarray  # float64 [C]
  centres: np.ndarray  # float64 [C, 4], see evidence.py
  running: np.ndarray  # float64 [C, 2 * 4], running errors of the tracked centres
  inverse_scales: np.ndarray  # float64 [C, J], table steps per unit
  shape_weights: np.ndarray  # float64 [C, J]
  below: np.ndarray  # int64 [J], cumulative masses of components at the lower edge of the sample's bin,
  above: np.ndarray  # and at the upper one
  masses: np.ndarray  # float64 [J], scratch
  unit: np.ndarray  # float64 [C]: the scale that features and the network's answers are in
  errors: np.ndarray  # float64 [C, 16], of the final prediction, newest first
  equal_rate: np.ndarray  # float64 [C], how often a sample was equal to the one before it
  features: np.ndarray  # int16 [F], of which 8 bits are in use
  constants: np.ndarray  # float64 [2], of the segment: its depth and its rate


def new_experts(
  effort: Effort, limits: np.ndarray, lags: np.ndarray, num_frames: int, sample_bytes: int, sample_rate_hz: int
) -> Experts:
  """Experts at the beginning of a segment.

  limits: [C, 2], the least and the largest sample of each channel. lags: see long_term.py.
  """
  num_channels = len(limits)
  stereo = num_channels > 1
  sizes = [own + other * stereo for own, other in zip(effort.own, effort.other, strict=True)]
  longest = max(effort.taps)
  recency = np.zeros((NUM_STAGES, longest), np.float32)
  steps = np.zeros(NUM_STAGES)
  for stage, taps in enumerate(effort.taps):
    recency[stage, :taps] = nlms.recency(taps)
    total = 0.0
    for value in recency[stage, :taps].tolist():  # One order, which NumPy's sum does not promise.
      total += value
    steps[stage] = STAGE_RATES[stage] / taps * total
  slots = HISTORY_SLOTS + longest
  return Experts(
    own=np.array(effort.own, np.int64),
    other=np.array(effort.other, np.int64) * stereo,
    solve_every=np.array(effort.solve_every, np.int64),
    taps=np.array(effort.taps, np.int64),
    steps=steps,
    recency=recency,
    limits=np.asarray(limits, np.float64),
    table=mixture.logistic_table(),
    samples=np.zeros((num_channels, slots)),
    sample_position=np.full(num_channels, HISTORY_SLOTS, np.int64),
    least_squares=new_least_squares(sizes * num_channels, FORGETTING * num_channels),
    weighting_error=np.zeros((num_channels, NUM_LEAST_SQUARES)),
    residuals=np.zeros((num_channels, NUM_STAGES, slots), np.float32),
    residual_position=np.full(num_channels, HISTORY_SLOTS, np.int64),
    weights=np.zeros((num_channels, NUM_STAGES, longest), np.float32),
    products=np.zeros(longest, np.float32),
    stage_predictions=np.zeros((num_channels, NUM_STAGES)),
    long_term=new_long_term(lags, num_frames, num_channels, effort.solve_long_term_every),
    predictions=np.zeros((num_channels, NUM_PREDICTIONS)),
    blends=new_least_squares([BLEND_SIZE] * len(BLEND_FORGETTING) * num_channels, BLEND_FORGETTING * num_channels),
    blend_error=np.full(num_channels, 16.0),
    centres=np.zeros((num_channels, NUM_CENTRES)),
    running=np.full((num_channels, mixture.NUM_TRACKED * mixture.NUM_RATES), 16.0),
    inverse_scales=np.zeros((num_channels, mixture.NUM_SHAPES)),
    shape_weights=np.full((num_channels, mixture.NUM_SHAPES), 1.0 / mixture.NUM_SHAPES),
    below=np.zeros(mixture.NUM_SHAPES, np.int64),
    above=np.zeros(mixture.NUM_SHAPES, np.int64),
    masses=np.zeros(mixture.NUM_SHAPES),
    unit=np.ones(num_channels),
    errors=np.zeros((num_channels, NUM_ERRORS)),
    equal_rate=np.zeros(num_channels),
    features=np.zeros(NUM_FEATURES, np.int16),
    constants=np.array([sample_bytes - 2.0, octaves(sample_rate_hz)]),
  )


def octaves(sample_rate_hz: int) -> float:
  """Octaves of a rate above 16 kHz, approximately: piecewise linear, so that no library's logarithm is needed."""
  fraction, exponent = math.frexp(max(1, sample_rate_hz) / 16000)
  return exponent - 2 + 2 * fraction
