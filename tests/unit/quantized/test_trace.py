"""A trace of version 2 says how a segment's distributions fared, and changes nothing of what is coded."""

import numpy as np
import pytest
from support import hybrid_cases
from support.hybrid_cases import shape_of, tone

from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.format.payloads import Segment
from language_modeling_is_compression.quantized import trace
from language_modeling_is_compression.quantized.segments import CodedGroup, EnsembleCoder
from language_modeling_is_compression.quantized.trace import COPY, FIRST_RATE, NETWORK, Trace
from language_modeling_is_compression.system.cancellation import Cancellation

CODER = EnsembleCoder(hybrid_cases.random_network())


def trace_of(group: CodedGroup) -> Trace:
  assert group.trace is not None
  return group.trace


def traced(samples: np.ndarray, sample_bytes: int = 2, step: int = 100, offset: int = 0) -> list[CodedGroup]:
  segment = Segment(samples=samples, shape=shape_of(samples, sample_bytes))
  return CODER.code_groups(segment, Cancellation(), trace_step=step, trace_offset=offset)


@pytest.mark.parametrize('name', ['two channels', 'nine channels', 'silence', '24 bits', 'scaled volume', 'square'])
def test_a_traced_segment_is_coded_as_any_other(name):
  samples, sample_bytes = hybrid_cases.sounds()[name]
  plain = CODER.code_groups(Segment(samples=samples, shape=shape_of(samples, sample_bytes)), Cancellation())
  assert [group.body for group in traced(samples, sample_bytes)] == [group.body for group in plain]
  assert all(group.trace is None for group in plain)


def test_the_first_sample_knows_nothing():
  [group] = traced(tone(50), step=1)
  first = trace_of(group).figures[0, 0]
  assert first[NETWORK] == 0.5 and first[COPY] == 0
  np.testing.assert_allclose(first[FIRST_RATE:], 0.25)
  assert not np.array_equal(trace_of(group).figures[-1, 0], first)


def test_points_are_counted_from_the_beginning_of_the_file():
  [every] = traced(tone(470, channels=2), step=1)
  [group] = traced(tone(470, channels=2), step=100, offset=30)
  bounds = [0, 70, 170, 270, 370]
  np.testing.assert_allclose(trace_of(group).figures, np.add.reduceat(trace_of(every).figures, bounds))
  np.testing.assert_allclose(trace_of(group).figures[..., FIRST_RATE:].sum(axis=(1, 2)), [140, 200, 200, 200, 200])


def test_quantiles_are_those_that_are_coded():
  """Of samples of one byte the code has the very interval that each of them has of all mass."""
  samples, sample_bytes = hybrid_cases.sounds(2000)['8 bits']
  [group] = traced(samples, sample_bytes)
  low = group.intervals[:, 0] / (1 << PRECISION_BITS)
  size = group.intervals[:, 1] / (1 << PRECISION_BITS)
  edges = np.arange(trace.NUM_QUANTILES + 1)[:, None] / trace.NUM_QUANTILES
  expected = np.diff(np.clip((edges - low) / size, 0, 1).sum(axis=1))
  np.testing.assert_allclose(trace_of(group).quantiles, expected, atol=0.2)
  assert trace_of(group).quantiles.sum() == pytest.approx(2000)
  assert expected.std() > 5  # They are not even, so that even ones would not pass.


def test_every_sixteenth_frame_has_a_residual_and_what_was_expected_of_it():
  [group] = traced(tone(1600, channels=2))
  assert trace_of(group).observed.sum() == 200 and trace_of(group).expected.sum() == pytest.approx(200)
  centre = trace.NUM_RESIDUALS // 2
  inner = slice(centre - 8, centre + 8)
  assert trace_of(group).expected[inner].sum() > 100 and trace_of(group).observed[inner].sum() > 100


def test_what_has_one_value_has_no_trace():
  [group] = traced(np.full((300, 1), -77, np.int32))
  assert (
    not trace_of(group).figures.any() and not trace_of(group).quantiles.any() and not trace_of(group).observed.any()
  )


def test_lags_come_with_the_code():
  rng = np.random.default_rng(3)
  block = rng.integers(-3000, 3000, (5000, 1)).astype(np.int32)
  [group] = traced(np.concatenate([block, block]))
  assert group.lags.shape == (3, 2) and 5000 in group.lags
  assert trace_of(group).figures[-10:, 0, COPY].mean() > 80  # Of 100 samples of a point.
