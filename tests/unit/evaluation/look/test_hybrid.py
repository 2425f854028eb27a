"""Traces of segments meet at the points of a file."""

import numpy as np
import pytest
from support import hybrid_cases
from support.hybrid_cases import shape_of, tone

from language_modeling_is_compression.evaluation.look.findings import PointSums
from language_modeling_is_compression.evaluation.look.hybrid import HybridObserver
from language_modeling_is_compression.format.payloads import Segment
from language_modeling_is_compression.prediction.evidence import ENSEMBLE_EXPERTS, LINEAR_EXPERTS
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from language_modeling_is_compression.quantized.trace import FIRST_RATE, NETWORK
from language_modeling_is_compression.system.cancellation import Cancellation

LINEAR: HybridCoder | EnsembleCoder = HybridCoder(hybrid_cases.random_network(experts=LINEAR_EXPERTS))
ENSEMBLE = EnsembleCoder(hybrid_cases.random_network(experts=ENSEMBLE_EXPERTS))
# The ensemble, of version 2, does not change any more, and its trace takes a quarter of a minute to compile.
EACH = pytest.mark.parametrize(
  'coder', [pytest.param(LINEAR, id='linear'), pytest.param(ENSEMBLE, id='ensemble', marks=pytest.mark.slow)]
)


@EACH
def test_segments_that_begin_within_a_point(coder):
  """The second of 751 frames, where points have 2."""
  samples = tone(1500, channels=2)
  parts = {start: samples[start:stop] for start, stop in ((0, 751), (751, 1500))}
  segments = {start: Segment(samples=part, shape=shape_of(part)) for start, part in parts.items()}
  points = PointSums(num_frames=1500, num_channels=2)
  observer = HybridObserver(coder, points, 16_000)
  for start in (751, 0):  # In any order.
    _, _, groups = observer.code(segments[start], start, Cancellation())
    observer.add(start, groups)
  found = observer.findings()
  figures = []
  for segment in segments.values():
    figures.append(coder.trace_segment(segment, Cancellation(), step=1, offset=0)[1][0].trace.figures)
  means = np.concatenate(figures).reshape(750, 4, -1).mean(axis=1)
  np.testing.assert_allclose(found.network, means[:, NETWORK])
  np.testing.assert_allclose(found.rates, means[:, FIRST_RATE:])
  [residuals] = observer.residuals()
  assert residuals.observed.sum() == 2 * (47 + 47) and observer.quantiles.sum() == pytest.approx(3000)


@EACH
def test_points_without_a_code_have_no_weights(coder):
  samples = np.concatenate([tone(500), np.zeros((500, 1), np.int32)])
  points = PointSums(num_frames=1000, num_channels=1)
  observer = HybridObserver(coder, points, 16_000)
  for start in (0, 500):
    part = samples[start : start + 500]
    observer.add(start, observer.code(Segment(samples=part, shape=shape_of(part)), start, Cancellation())[2])
  found = observer.findings()
  assert np.isfinite(found.network[:250]).all() and np.isnan(found.network[250:]).all()
