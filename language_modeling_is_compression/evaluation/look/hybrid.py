"""What a hybrid model does on a sound, segment by segment."""

import numpy as np

from language_modeling_is_compression.evaluation.look.findings import HybridFindings, Lags, PointSums, Residuals
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import Payload, Segment
from language_modeling_is_compression.prediction.long_term import BLOCK_FRAMES
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from language_modeling_is_compression.quantized.trace import (
  COPY,
  FIRST_RATE,
  FIRST_RESIDUAL,
  NETWORK,
  NUM_FIGURES,
  NUM_QUANTILES,
  NUM_RESIDUALS,
  RESIDUAL_WIDTH,
  TracedGroup,
)
from language_modeling_is_compression.system.cancellation import Cancellation


class HybridObserver:
  """Codes segments as the codec does, and sums up their traces. `code` may be called by any thread, `add` by one."""

  def __init__(self, coder: HybridCoder | EnsembleCoder, points: PointSums, sample_rate_hz: int):
    self._coder = coder
    self._points = points
    self._rate = sample_rate_hz
    self._figures = np.zeros((len(points.bits), NUM_FIGURES))
    self._weights = np.zeros(len(points.bits))  # Samples that have figures: those of channels of one value have none.
    self.quantiles = np.zeros(NUM_QUANTILES)
    self._expected, self._observed = np.zeros(NUM_RESIDUALS), np.zeros(NUM_RESIDUALS)
    self._lags: list[Lags] = []

  def code(
    self, payload: Payload, first_frame: int, cancellation: Cancellation
  ) -> tuple[Encoded, np.ndarray, list[TracedGroup]]:
    """The code of a segment, its bits [N, C], and what `add` takes. Raises CancelledError."""
    assert isinstance(payload, Segment), 'hybrid models code segments'
    step = self._points.step
    encoded, groups = self._coder.trace_segment(payload, cancellation, step=step, offset=first_frame % step)
    return encoded, encoded.sample_bits(), groups

  def add(self, first_frame: int, groups: list[TracedGroup]) -> None:
    """Adds a segment's traces."""
    first = first_frame // self._points.step
    for group in groups:
      trace = group.trace
      points = slice(first, first + len(trace.figures))
      self._figures[points] += trace.figures.sum(axis=1)
      self._weights[points] += trace.figures[..., FIRST_RATE:].sum(axis=(1, 2))
      self.quantiles += trace.quantiles
      self._expected += trace.expected
      self._observed += trace.observed
      for block, lags in enumerate(group.lags):
        if lags[0]:
          middle = (first_frame + (block + 0.5) * BLOCK_FRAMES) / self._rate
          self._lags.append(Lags(seconds=middle, lag_seconds=tuple(float(lag) / self._rate for lag in lags if lag)))

  def residuals(self) -> tuple[Residuals, ...]:
    """Of the experts' first stacking, in units of the running error."""
    places = FIRST_RESIDUAL + RESIDUAL_WIDTH * (np.arange(NUM_RESIDUALS) - 0.5)
    return (Residuals(label='sample', places=places, expected=self._expected, observed=self._observed),)

  def findings(self) -> HybridFindings:
    means = self._figures / np.maximum(self._weights, 1e-9)[:, None]
    means[self._weights == 0] = np.nan
    return HybridFindings(
      network=means[:, NETWORK], copies=means[:, COPY], rates=means[:, FIRST_RATE:], lags=tuple(self._lags)
    )
