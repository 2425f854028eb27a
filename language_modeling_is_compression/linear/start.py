"""The beginning of a channel in codings 5 and 6: what its predictors and its mixture know before the first sample.

The first samples are predicted by filters of the codebook, of as many coefficients as there are samples before; then
least squares begin as if they had seen as much as _PRIOR samples of sound with that autocorrelation. They do not learn
from the first samples of all, whose past is not known, and solve their equations oftener for a while. Running errors
begin with the level that is said, follow faster at first, and shrink as the first filters grow; for the first sample,
which nothing foretells, some are as wide as the channel's range.

Versions 3 and 4 begin with nothing.

Shapes: C channels.
"""

from collections.abc import Sequence

import numpy as np

from language_modeling_is_compression.linear.distribution import NUM_CENTRES, Mixture
from language_modeling_is_compression.linear.predictor import Predictor
from language_modeling_is_compression.prediction.codebook import ORDER, filters
from language_modeling_is_compression.prediction.ensemble import neighbour_of
from language_modeling_is_compression.prediction.start import DEFAULT_START, Start

_PRIOR = 4.0  # Samples that what least squares begin with counts as.
_SPREAD = (1.0, 0.6, 1.0, 1.7)  # Running errors of each rate at first, in levels: one of them may be nearer.
_WIDE_LANE = 1  # Of running errors, the one that is as wide as the channel's range for the first sample,
_SPAN_PARTS = 4.0  # which is so many of it.
_STARTING_FRAMES = 1024  # Frames in which something is done oftener or faster than later.
_UNLEARNED_FRAMES = 16  # Frames that least squares do not learn from.


def begin(predictor: Predictor, mixture: Mixture, starts: Sequence[Start | None]) -> tuple[Predictor, Mixture]:
  """States that begin as codings 5 and 6 say, of those that know nothing. starts: of each channel; None: the default.

  Arrays of both are written to, and shared.
  """
  known = [DEFAULT_START if start is None else start for start in starts]
  predictors = np.zeros((len(known), ORDER, ORDER))
  growth = np.ones((len(known), ORDER))
  for channel, start in enumerate(known):
    chosen = filters()[start.filter]
    predictors[channel] = chosen.predictors[:ORDER]
    growth[channel] = chosen.deviations[1:] / chosen.deviations[:-1]
    spread = np.array(_SPREAD * NUM_CENTRES)
    mixture.running[channel] = start.magnitude * chosen.deviations[0] * spread
    mixture.second[channel] = start.magnitude * chosen.deviations[1] * spread
    span = predictor.limits[channel, 1] - predictor.limits[channel, 0]
    for lane in (_WIDE_LANE, _WIDE_LANE + len(_SPREAD)):
      mixture.running[channel, lane] = max(mixture.running[channel, lane], span / _SPAN_PARTS)
    predictor.error[channel] = start.magnitude
    predictor.blend_error[channel] = start.magnitude
    _begin_least_squares(predictor, channel, start, known[neighbour_of(channel)] if len(known) > 1 else start)
  return (
    predictor._replace(first_predictors=predictors, num_starting=_STARTING_FRAMES, num_unlearned=_UNLEARNED_FRAMES),
    mixture._replace(growth=growth, num_starting=_STARTING_FRAMES),
  )


def _begin_least_squares(predictor: Predictor, channel: int, start: Start, beside: Start) -> None:
  """Writes what a channel's least squares begin with; beside: the start of the channel's neighbour.

  Both channels are as good as independent: how they are related, samples have to say.
  """
  several, count = predictor.least_squares, len(predictor.own)
  weight = _PRIOR / (start.magnitude + 2.0)  # As `learn` weights samples.
  for k, (own, other) in enumerate(zip(predictor.own.tolist(), predictor.other.tolist(), strict=True)):
    g = channel * count + k
    covariance, correlations = several.covariances[g], _powers(start, own + 1)
    several.coefficients[g, :ORDER] = filters()[start.filter].predictors[ORDER]
    several.moments[g, :own] = weight * correlations[1:]
    covariance[:own, :own] = weight * _toeplitz(correlations[:own])
    covariance[own : own + other, own : own + other] = weight * _toeplitz(_powers(beside, other))


def _powers(start: Start, count: int) -> np.ndarray:
  """The autocorrelation of what begins so, at distances below count."""
  return start.magnitude * start.magnitude * filters()[start.filter].correlations(count)


def _toeplitz(correlations: np.ndarray) -> np.ndarray:
  places = np.arange(len(correlations))
  return correlations[np.abs(places[:, np.newaxis] - places)]
