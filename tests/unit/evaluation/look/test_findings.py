"""Sums over points of time."""

import numpy as np
import pytest

from language_modeling_is_compression.evaluation.look.findings import MAX_POINTS, PointSums


@pytest.mark.parametrize('num_frames', [1, MAX_POINTS - 1, MAX_POINTS, MAX_POINTS + 1, 5 * MAX_POINTS + 77])
@pytest.mark.parametrize('span', [1, 333, 1000, 1 << 20])
def test_spans_meet_at_their_points(num_frames, span):
  rng = np.random.default_rng(0)
  bits = rng.random((num_frames, 2))
  points = PointSums(num_frames=num_frames, num_channels=2)
  if num_frames // span > 1000:
    span = 7
  for start in range(0, num_frames, span):
    points.add(start, 0, bits[start : start + span, :1])
    points.add(start, 1, bits[start : start + span, 1:])
  assert len(points.bits) <= MAX_POINTS and points.frames.sum() == num_frames
  means = [part.mean(axis=0) for part in np.split(bits, np.cumsum(points.frames)[:-1])]
  np.testing.assert_allclose(points.mean_bits, means)
