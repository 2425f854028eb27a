"""A trace says how a segment's distributions fared, and changes nothing of what is coded."""

import numpy as np
import pytest
from support import hybrid_cases
from support.hybrid_cases import shape_of, tone

from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import Segment
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS
from language_modeling_is_compression.quantized import trace
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.segments import CodedGroup, EnsembleCoder
from language_modeling_is_compression.quantized.trace import COPY, FIRST_RATE, NETWORK, Trace, TracedGroup
from language_modeling_is_compression.system.cancellation import Cancellation

CODER = EnsembleCoder(hybrid_cases.random_network())
# Version 2 does not change any more, and its trace takes a quarter of a minute to compile.
OF_VERSION_2 = pytest.mark.slow


def trace_of(group: CodedGroup) -> Trace:
  assert group.trace is not None
  return group.trace


def traced(samples: np.ndarray, sample_bytes: int = 2, step: int = 100, offset: int = 0) -> list[CodedGroup]:
  segment = Segment(samples=samples, shape=shape_of(samples, sample_bytes))
  return CODER.code_groups(segment, Cancellation(), trace_step=step, trace_offset=offset)


@OF_VERSION_2
@pytest.mark.parametrize('name', ['two channels', 'nine channels', 'silence', '24 bits', 'scaled volume', 'square'])
def test_a_traced_segment_is_coded_as_any_other(name):
  samples, sample_bytes = hybrid_cases.sounds()[name]
  plain = CODER.code_groups(Segment(samples=samples, shape=shape_of(samples, sample_bytes)), Cancellation())
  assert [group.body for group in traced(samples, sample_bytes)] == [group.body for group in plain]
  assert all(group.trace is None for group in plain)


@OF_VERSION_2
def test_the_first_sample_knows_nothing():
  [group] = traced(tone(50), step=1)
  first = trace_of(group).figures[0, 0]
  assert first[NETWORK] == 0.5 and first[COPY] == 0
  np.testing.assert_allclose(first[FIRST_RATE:], 0.25)
  assert not np.array_equal(trace_of(group).figures[-1, 0], first)


@OF_VERSION_2
def test_points_are_counted_from_the_beginning_of_the_file():
  [every] = traced(tone(470, channels=2), step=1)
  [group] = traced(tone(470, channels=2), step=100, offset=30)
  bounds = [0, 70, 170, 270, 370]
  np.testing.assert_allclose(trace_of(group).figures, np.add.reduceat(trace_of(every).figures, bounds))
  np.testing.assert_allclose(trace_of(group).figures[..., FIRST_RATE:].sum(axis=(1, 2)), [140, 200, 200, 200, 200])


@OF_VERSION_2
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


@OF_VERSION_2
def test_every_sixteenth_frame_has_a_residual_and_what_was_expected_of_it():
  [group] = traced(tone(1600, channels=2))
  assert trace_of(group).observed.sum() == 200 and trace_of(group).expected.sum() == pytest.approx(200)
  centre = trace.NUM_RESIDUALS // 2
  inner = slice(centre - 8, centre + 8)
  assert trace_of(group).expected[inner].sum() > 100 and trace_of(group).observed[inner].sum() > 100


@OF_VERSION_2
def test_what_has_one_value_has_no_trace():
  [group] = traced(np.full((300, 1), -77, np.int32))
  assert (
    not trace_of(group).figures.any() and not trace_of(group).quantiles.any() and not trace_of(group).observed.any()
  )


@OF_VERSION_2
def test_lags_come_with_the_code():
  rng = np.random.default_rng(3)
  block = rng.integers(-3000, 3000, (5000, 1)).astype(np.int32)
  [group] = traced(np.concatenate([block, block]))
  assert group.lags.shape == (3, 2) and 5000 in group.lags
  assert trace_of(group).figures[-10:, 0, COPY].mean() > 80  # Of 100 samples of a point.


# Of format version 4.


HYBRID = HybridCoder(hybrid_cases.random_network(experts=LINEAR_EXPERTS))


def traced_anew(
  samples: np.ndarray, sample_bytes: int = 2, step: int = 100, offset: int = 0, effort: int = 0
) -> tuple[Encoded, list[TracedGroup]]:
  segment = Segment(samples=samples, shape=shape_of(samples, sample_bytes, effort))
  return HYBRID.trace_segment(segment, Cancellation(), step=step, offset=offset)


@pytest.mark.parametrize('effort', [0, 1, 2])
@pytest.mark.parametrize('name', ['two channels', 'nine channels', 'silence', '24 bits', 'scaled volume', 'square'])
def test_a_traced_segment_of_version_4_is_coded_as_any_other(name, effort):
  samples, sample_bytes = hybrid_cases.sounds()[name]
  [plain] = HYBRID.encode([Segment(samples=samples, shape=shape_of(samples, sample_bytes, effort))], Cancellation())
  encoded, _ = traced_anew(samples, sample_bytes, effort=effort)
  assert plain is not None and encoded.body == plain.body
  np.testing.assert_array_equal(encoded.sample_bits(), plain.sample_bits())


@pytest.mark.parametrize('name', ['two channels', 'nine channels', 'one channel silent', '24 bits in noise'])
def test_every_coded_sample_of_version_4_is_in_all_sums_once(name):
  """And those of a channel of one value, which have no code, in none."""
  samples, sample_bytes = hybrid_cases.sounds(480)[name]
  _, found = traced_anew(samples, sample_bytes, step=100, offset=30)
  assert [each.trace.figures.shape[1] for each in found] == [min(8, samples.shape[1] - at) for at in (0, 8)][
    : len(found)
  ]
  for number, (lags, traced_sums) in enumerate(found):
    part = samples[:, 8 * number : 8 * number + 8]
    coded = np.ptp(part, axis=0) > 0
    assert not lags.any()
    of_rates = traced_sums.figures[..., FIRST_RATE:].sum(axis=2)
    np.testing.assert_allclose(of_rates, np.outer([70, 100, 100, 100, 100, 10], coded))
    network = traced_sums.figures[..., NETWORK]
    assert (network >= 0).all() and (network <= of_rates + 1e-9).all() and (network[:, coded] > 0).all()
    assert not traced_sums.figures[..., COPY].any()
    assert traced_sums.quantiles.sum() == pytest.approx(480 * coded.sum()) and (traced_sums.quantiles >= -1e-9).all()
    # Every sixteenth frame.
    assert traced_sums.observed.sum() == 30 * coded.sum()
    assert traced_sums.expected.sum() == pytest.approx(30 * coded.sum()) and (traced_sums.expected >= 0).all()


def test_points_of_version_4_are_counted_from_the_beginning_of_the_file():
  samples = tone(470, channels=2)
  [every], [group] = (traced_anew(samples, **points)[1] for points in ({'step': 1}, {'step': 100, 'offset': 30}))
  bounds = [0, 70, 170, 270, 370]
  np.testing.assert_allclose(group.trace.figures, np.add.reduceat(every.trace.figures, bounds))
  first = every.trace.figures[0, 0]
  assert first[NETWORK] == 0.5
  np.testing.assert_allclose(first[FIRST_RATE:], 0.25)
  assert not np.array_equal(every.trace.figures[-1, 0], first)


def test_quantiles_of_version_4_are_those_of_the_distribution_that_is_coded():
  """Where all buckets are of one index, the code has the very interval that each sample has of all mass."""
  samples = np.random.default_rng(0).laplace(0, 4, (2000, 1)).round().clip(-100, 100).astype(np.int32)
  _, [group] = traced_anew(samples, 1)
  code = HYBRID.encode_group(samples, shape_of(samples, 1), HYBRID.new_group, Cancellation())
  assert (code.counts == 1).all()
  low, size = np.concatenate(code.blocks[1:]).T / (1 << PRECISION_BITS)
  edges = np.arange(trace.NUM_QUANTILES + 1)[:, None] / trace.NUM_QUANTILES
  expected = np.diff(np.clip((edges - low) / size, 0, 1).sum(axis=1))
  np.testing.assert_allclose(group.trace.quantiles, expected, atol=0.5)
  assert expected.std() > 5  # They are not even, so that even ones would not pass.


def test_lags_of_version_4_come_with_the_code():
  block = np.random.default_rng(3).integers(-3000, 3000, (5000, 1)).astype(np.int32)
  [group] = traced_anew(np.concatenate([block, block]))[1]
  assert group.lags.shape == (3, 2) and 5000 in group.lags
