"""Trace of a segment: how its distributions fared while it was coded, summed up over points of time, for pictures.

A point is a number of frames, counted from the beginning of a file, so that the points of its segments meet. Nothing
here changes what is coded.

Shapes: M points, C channels, P bins of quantiles, R bins of residuals.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear.distribution import MASS_BITS, RATES, SPARE_ROW, mass_below
from language_modeling_is_compression.prediction import mixture
from language_modeling_is_compression.prediction.evidence import NUM_COMPONENTS
from language_modeling_is_compression.prediction.value_map import lower_edge
from language_modeling_is_compression.quantized.mixing import COPY_BITS, cumulative_mass, final_mass, whole_mass

# What is summed up at each point: the network's posterior, the copy's share, and the weights of the experts' shapes by
# the rate at which their running errors adapt (mixture.RATES), which add up to 1.
NETWORK, COPY, FIRST_RATE = range(3)
NUM_FIGURES = FIRST_RATE + mixture.NUM_RATES
NUM_QUANTILES = 20
# Residuals of the first stacking, in units of the running error: whole bins, and one beyond each end.
RESIDUAL_WIDTH = 0.25
FIRST_RESIDUAL = -8.0
NUM_RESIDUALS = 2 + round(-2 * FIRST_RESIDUAL / RESIDUAL_WIDTH)
_RESIDUAL_EVERY = 16  # Frames between two whose whole distribution is asked for, which takes a mass for each bin.


class Trace(NamedTuple):
  """Sums over a segment.

  step: frames of a point. offset: frames of the first point that are before the segment.
  figures: float64 [M, C, NUM_FIGURES]. quantiles: float64 [P], samples by the share of mass below them; one whose own
  mass spans several bins counts in each of them by its part (the non-randomised histogram of Czado, Gneiting and Held,
  "Predictive Model Assessment for Count Data", 2009).
  expected, observed: float64 [R], what the distributions of some samples gave each bin, and where these samples were.
  """

  step: int
  offset: int
  figures: np.ndarray
  quantiles: np.ndarray
  expected: np.ndarray
  observed: np.ndarray


class TracedGroup(NamedTuple):
  """How the code of a group of channels came about. lags: see prediction/long_term.py."""

  lags: np.ndarray
  trace: Trace


def new_trace(num_frames: int, num_channels: int, step: int, offset: int) -> Trace:
  """An empty trace of a segment."""
  return Trace(
    step=step,
    offset=offset,
    figures=np.zeros((-(-(offset + num_frames) // step), num_channels, NUM_FIGURES)),
    quantiles=np.zeros(NUM_QUANTILES),
    expected=np.zeros(NUM_RESIDUALS),
    observed=np.zeros(NUM_RESIDUALS),
  )


@compiled
def trace_sample(trace, mixer, experts, bins, channel, t, index):
  """Adds a sample that has been scored, before anything is updated on it."""
  figures = trace.figures[(trace.offset + t) // trace.step, channel]
  figures[NETWORK] += mixer.network_weight[channel]
  figures[COPY] += mixer.copy_share[0] / (1 << COPY_BITS)
  for j in range(mixture.NUM_SHAPES):
    figures[FIRST_RATE + j // mixture.NUM_MULTIPLES % mixture.NUM_RATES] += experts.shape_weights[channel, j]
  least, largest = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1])
  whole = np.float64(whole_mass(largest - least + 1))
  low = final_mass(mixer, bins, channel, index, mixer.below[NUM_COMPONENTS]) / whole
  high = final_mass(mixer, bins, channel, index + 1, mixer.above[NUM_COMPONENTS]) / whole
  _add_quantiles(trace.quantiles, low, high)
  if t % _RESIDUAL_EVERY == 0:
    start, mass = least, np.int64(0)
    for r in range(NUM_RESIDUALS):
      stop = _residual_stop(r, experts.centres[channel, 0], experts.unit[channel], bins, channel)
      reached = cumulative_mass(mixer, bins, experts.table, channel, stop)
      _add_residual(trace, r, (reached - mass) / whole, start <= index < stop)
      start, mass = stop, reached


@compiled
def trace_hybrid_sample(trace, mixture, centre, unit, bins, channel, t, index):
  """Adds a sample whose mixture, of linear/distribution.py, is built, before anything is updated on it."""
  figures = trace.figures[(trace.offset + t) // trace.step, channel]
  figures[NETWORK] += mixture.posterior[channel]
  for j in range(mixture.weights.shape[1]):
    figures[FIRST_RATE + j % len(RATES)] += mixture.weights[channel, j]
  whole = np.float64(np.int64(1) << MASS_BITS)
  low = mass_below(mixture, lower_edge(bins, channel, index), SPARE_ROW) / whole
  high = mass_below(mixture, lower_edge(bins, channel, index + 1), SPARE_ROW) / whole
  _add_quantiles(trace.quantiles, low, high)
  if t % _RESIDUAL_EVERY == 0:
    start, mass = np.int64(bins.limits[channel, 0]), 0.0
    for r in range(NUM_RESIDUALS):
      stop = _residual_stop(r, centre, unit, bins, channel)
      reached = mass_below(mixture, lower_edge(bins, channel, stop), SPARE_ROW) / whole
      _add_residual(trace, r, reached - mass, start <= index < stop)
      start, mass = stop, reached


@compiled
def _add_quantiles(quantiles, low, high):
  """Spreads a sample evenly over the bins from low to high, of 1."""
  reached = 0.0
  for q in range(NUM_QUANTILES):
    edge = (q + 1) / NUM_QUANTILES
    part = min(max((edge - low) / max(high - low, 1e-12), 0.0), 1.0) if q < NUM_QUANTILES - 1 else 1.0
    quantiles[q] += part - reached
    reached = part


@compiled
def _residual_stop(r, centre, unit, bins, channel):
  """The first index beyond a bin of residuals."""
  least, end = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1]) + 1
  if r == NUM_RESIDUALS - 1:
    return end
  edge = np.ceil(centre + unit * (FIRST_RESIDUAL + r * RESIDUAL_WIDTH))
  return np.int64(min(max(edge, np.float64(least)), np.float64(end)))


@compiled
def _add_residual(trace, r, mass, observed):
  trace.expected[r] += mass
  if observed:
    trace.observed[r] += 1.0
