"""Codings 5 and 6: what prediction begins with, what it is worth, and that any sound comes back and no damage harms.

Shapes: N frames, C channels.
"""

import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hybrid_cases
from support.hybrid_cases import samples_of, shape_of, tone

from language_modeling_is_compression.entropy.varints import NumberReader, write_natural, write_number
from language_modeling_is_compression.format import compact_side_information
from language_modeling_is_compression.format.layout import HybridLayout, LinearLayout
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.linear.distribution import new_mixture
from language_modeling_is_compression.linear.groups import GroupCoder
from language_modeling_is_compression.linear.predictor import new_predictor
from language_modeling_is_compression.linear.presets import EFFORTS, PRESETS, Preset
from language_modeling_is_compression.linear.start import begin
from language_modeling_is_compression.prediction.codebook import NUM_FILTERS, ORDER, filters
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS, STARTED_EXPERTS
from language_modeling_is_compression.prediction.long_term import NUM_LAGS
from language_modeling_is_compression.prediction.start import MAX_LEVEL, MIN_LEVEL, Start
from language_modeling_is_compression.prediction.value_map import channel_values
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.system.cancellation import Cancellation

NETWORK = hybrid_cases.random_network(experts=LINEAR_EXPERTS)
CODERS: dict[str, GroupCoder] = {'linear': LinearCoder(), 'hybrid': HybridCoder(NETWORK)}
FORMER: dict[str, GroupCoder] = {'linear': LinearCoder(LinearLayout), 'hybrid': HybridCoder(NETWORK, HybridLayout)}
KINDS = [(kind, effort) for kind, coder in CODERS.items() for effort in range(len(coder.presets))]
SOUNDS = hybrid_cases.sounds()


def encoded(samples: np.ndarray, shape: SegmentShape, coder: GroupCoder) -> tuple[bytes, np.ndarray]:
  """The body, and samples' code lengths, float64 [N, C]."""
  [found] = coder.encode([Segment(samples=samples, shape=shape)], Cancellation())
  assert found is not None
  return found.body, found.sample_bits()


def decoded(body: bytes, shape: SegmentShape, coder: GroupCoder) -> np.ndarray | None:
  """What comes out, which is of the shape and within the range of its samples, or None."""
  [found] = coder.decode([body], [shape], Cancellation())
  return samples_of(found, shape)


def check_round_trip(samples: np.ndarray, shape: SegmentShape, coder: GroupCoder) -> bytes:
  """Also that it takes what its samples cost, about 8 bytes beside these in a channel, and maps."""
  body, bits = encoded(samples, shape, coder)
  np.testing.assert_array_equal(decoded(body, shape, coder), samples)
  assert bits.shape == samples.shape and (bits >= 0).all()
  maps = sum(len(channel_values(channel).used) for channel in samples.T) / 7.8
  channels = samples.shape[1]
  assert bits.sum() / 8 + channels < len(body) <= 1.001 * bits.sum() / 8 + 17 * channels + 5 + maps
  return body


# Round trips.


@pytest.mark.parametrize(('kind', 'effort'), KINDS)
@pytest.mark.parametrize('name', SOUNDS)
def test_round_trip(name, kind, effort):
  samples, sample_bytes = SOUNDS[name]
  check_round_trip(samples, shape_of(samples, sample_bytes, effort), CODERS[kind])


@pytest.mark.parametrize('kind', CODERS)
@pytest.mark.parametrize('num_frames', [1, ORDER, ORDER + 1, 16, 17, 1024, 1025, 4097, 8193])
def test_round_trip_of_about_what_a_start_takes(num_frames, kind):
  samples = tone(num_frames, channels=2)
  check_round_trip(samples, shape_of(samples), CODERS[kind])


@pytest.mark.parametrize('kind', CODERS)
def test_sound_that_repeats_comes_back(kind):
  """With lags in its side information."""
  samples = np.resize(np.random.default_rng(0).integers(-3000, 3000, (3000, 2)), (9000, 2)).astype(np.int32)
  body = check_round_trip(samples, shape_of(samples, effort=2), CODERS[kind])
  found = compact_side_information.read_group(body, 2, shape_of(samples, effort=2))
  assert found is not None and found[1].any()


@settings(max_examples=60, deadline=None)
@given(
  num_frames=st.integers(1, 60),
  channels=st.integers(1, 10),
  sample_bytes=st.integers(1, 4),
  kind_and_effort=st.sampled_from(KINDS),
  scale=st.floats(0, 32),
  seed=st.integers(0, 1 << 32),
)
def test_any_samples_come_back(num_frames, channels, sample_bytes, kind_and_effort, scale, seed):
  rng, limit = np.random.default_rng(seed), 1 << (8 * sample_bytes - 1)
  drawn = rng.standard_t(1, (num_frames, channels)) * 2.0**scale
  samples = np.clip(np.round(drawn), -limit, limit - 1).astype(np.int32)
  kind, effort = kind_and_effort
  shape = shape_of(samples, sample_bytes, effort)
  np.testing.assert_array_equal(decoded(encoded(samples, shape, CODERS[kind])[0], shape, CODERS[kind]), samples)


@settings(max_examples=60, deadline=None)
@given(
  starts=st.lists(
    st.builds(Start, filter=st.integers(0, NUM_FILTERS - 1), level=st.integers(MIN_LEVEL, MAX_LEVEL)),
    min_size=2,
    max_size=2,
  ),
  kind_and_effort=st.sampled_from(KINDS),
)
def test_samples_come_back_from_any_start(starts, kind_and_effort):
  """An encoder may choose any, however bad."""
  kind, effort = kind_and_effort
  coder, samples = CODERS[kind], tone(40, channels=2)
  shape = shape_of(samples, effort=effort)
  lags = np.zeros((1, NUM_LAGS), np.int64)
  channels = [channel_values(channel).begun(start) for channel, start in zip(samples.T, starts, strict=True)]
  intervals, counts = np.zeros((40 * 2 * 5, 2), np.uint32), np.zeros((40, 2), np.uint8)
  count = coder.new_group(channels, lags, shape).encode(samples.astype(np.int32), 0, 40, intervals, counts)
  body = compact_side_information.write_group(channels, lags, [intervals[:count]])
  np.testing.assert_array_equal(decoded(body, shape, coder), samples)


# What it is worth.


@pytest.mark.parametrize(('kind', 'effort'), KINDS)
def test_no_sample_costs_more_than_its_depth_and_a_bit(kind, effort):
  """In the mean of many sounds, at any place, of those that version 3 begins with at more than 20 bits."""
  rng, shape = np.random.default_rng(0), None
  costs = []
  for seed in range(24):
    amplitude = 2.0 ** rng.uniform(6, 14)
    times = np.arange(60)[:, None] + seed * 1000
    samples = np.round(amplitude * (np.sin(rng.uniform(0.01, 0.5) * times) + 0.1 * rng.normal(size=(60, 1))))
    shape = shape_of(samples, effort=effort)
    costs.append(encoded(samples.astype(np.int32), shape, CODERS[kind])[1][:, 0])
  assert np.mean(costs, axis=0).max() < 17


@pytest.mark.parametrize(('kind', 'effort'), KINDS)
def test_the_beginning_costs_less_than_before(kind, effort):
  samples = tone(600, amplitude=6000.0)
  shape = shape_of(samples, effort=effort)
  costs = [encoded(samples, shape, coder[kind])[1][:64].sum() for coder in (CODERS, FORMER)]
  assert costs[0] < 0.9 * costs[1]


@pytest.mark.parametrize('kind', CODERS)
@pytest.mark.parametrize('channels', [1, 2, 8])
def test_silence_takes_two_bytes_a_channel(channels, kind):
  samples = np.zeros((48_000, channels), np.int32)
  assert len(check_silent(samples, kind)) == 2 * channels
  assert len(check_silent(samples - 70, kind)) == 3 * channels


def check_silent(samples: np.ndarray, kind: str) -> bytes:
  body, bits = encoded(samples, shape_of(samples), CODERS[kind])
  assert not bits.any()
  np.testing.assert_array_equal(decoded(body, shape_of(samples), CODERS[kind]), samples)
  return body


@pytest.mark.parametrize('kind', CODERS)
def test_a_second_of_one_channel_has_ten_bytes_beside_its_samples_at_most(kind):
  samples = tone(16_000, amplitude=10_000)
  body, bits = encoded(samples, shape_of(samples), CODERS[kind])
  assert len(body) - bits.sum() / 8 < 10.5


def test_clipped_sound_costs_less_without_a_network_too():
  """Its extremes are buckets of their own."""
  samples = (2 * tone(6000, amplitude=30_000.0)).clip(-32_768, 32_767).astype(np.int32)
  shape = shape_of(samples)
  costs = [encoded(samples, shape, coder)[1].sum() for coder in (CODERS['linear'], FORMER['linear'])]
  assert costs[0] < 0.9 * costs[1]


# What states begin with.


@functools.cache
def states(preset: Preset, start: Start, channels: int = 1):
  limits = np.array([(-1000.0, 1000.0)] * channels)
  return begin(
    new_predictor(preset, limits, np.zeros((1, NUM_LAGS), np.int64), 10), new_mixture(channels), [start] * channels
  )


@pytest.mark.parametrize('preset', [*PRESETS, *EFFORTS])
@pytest.mark.parametrize('number', [0, 14, NUM_FILTERS - 1])
def test_least_squares_begin_with_equations_that_their_filter_solves(preset, number):
  """All of them, to what the equations of a process of order ORDER lose when they are solved."""
  predictor, _ = states(preset, Start(filter=number, level=3), 2)
  several, count = predictor.least_squares, len(predictor.own)
  for channel in range(2):
    for k, (own, other) in enumerate(zip(predictor.own, predictor.other, strict=True)):
      g, size = channel * count + k, own + other
      expected = np.zeros(size)
      expected[:ORDER] = filters()[number].predictors[ORDER]
      np.testing.assert_array_equal(several.coefficients[g, :size], expected)
      covariance, moments = several.covariances[g, :size, :size], several.moments[g, :size]
      np.testing.assert_allclose(covariance @ expected, moments, rtol=1e-6, atol=1e-9 * covariance[0, 0])
      assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_running_errors_begin_around_what_the_first_sample_has():
  for level in (MIN_LEVEL, 5, MAX_LEVEL):
    predictor, mixture = states(PRESETS[0], Start(filter=14, level=level))
    deviation = 2.0**level * filters()[14].deviations[0]
    wide = np.isin(np.arange(8), [1, 5])
    assert (mixture.running[:, ~wide] > 0.5 * deviation).all() and (mixture.running[:, ~wide] < 2 * deviation).all()
    np.testing.assert_array_equal(mixture.running[:, wide], max(0.6 * deviation, 2000 / 4))
    assert (predictor.error == 2.0**level).all()
    # When the filters have grown, they are in levels again.
    grown = mixture.second * mixture.growth[:, 1:].prod()
    np.testing.assert_allclose(grown, 2.0**level * np.array([[1.0, 0.6, 1.0, 1.7] * 2]), rtol=1e-12)


@pytest.mark.parametrize('kind', CODERS)
@pytest.mark.parametrize('first', [0, 10_000, 20_000, 30_000])
def test_a_first_sample_far_from_what_is_expected_is_no_escape(first, kind):
  """Which takes 44 bits; a distribution as wide as the range takes half."""
  samples = np.round(np.random.default_rng(0).normal(0, 3, (300, 1))).astype(np.int32)
  samples[0], samples[200] = first, 30_000
  assert encoded(samples, shape_of(samples), CODERS[kind])[1][0, 0] < 24
  assert encoded(samples, shape_of(samples), FORMER[kind])[1][0, 0] > 24 or first == 0


# Damage.


def small(channels: int = 2) -> np.ndarray:
  samples = np.concatenate([tone(40, channels=channels), np.full((40, 1), 5, np.int32)], axis=1)
  samples[20] *= 3
  return samples


@pytest.mark.parametrize('kind', CODERS)
@pytest.mark.parametrize('change', [1, 0x80, 0xFF])
def test_a_changed_byte(change, kind):
  """What `decoded` asks of what comes out holds for each; it is hardly ever what was coded."""
  samples = small()
  shape = shape_of(samples)
  body, _ = encoded(samples, shape, CODERS[kind])
  num_same = 0
  for place in range(len(body)):
    changed = bytearray(body)
    changed[place] ^= change
    found = decoded(bytes(changed), shape, CODERS[kind])
    num_same += found is not None and np.array_equal(found, samples)
  assert num_same == 0


@pytest.mark.parametrize('kind', CODERS)
def test_a_body_that_is_cut_off_or_goes_on(kind):
  samples = small(9)
  shape = shape_of(samples)
  body, _ = encoded(samples, shape, CODERS[kind])
  found = [decoded(body[:kept], shape, CODERS[kind]) for kept in range(len(body))]
  # A compact code has no bits to spare that would tell: what is left may be the code of other samples, but seldom is.
  assert sum(each is not None for each in found) < 0.01 * len(body)
  assert all(each is None or not np.array_equal(each, samples) for each in found)
  for more in (b'\0', b'\xff' * 9, body):
    assert decoded(body + more, shape, CODERS[kind]) is None


@pytest.mark.parametrize('kind', CODERS)
def test_a_code_that_ends_early_is_given_up(kind):
  samples = tone(9000, channels=2)
  shape = shape_of(samples)
  body, _ = encoded(samples, shape, CODERS[kind])
  for kept in (20, 24, 400, len(body) - 4):
    assert decoded(body[:kept], shape, CODERS[kind]) is None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([1, 2, 3, 4]), st.sampled_from([1, 2, 9]), st.sampled_from(KINDS))
def test_any_bytes(body, sample_bytes, channels, kind_and_effort):
  kind, effort = kind_and_effort
  shape = SegmentShape(num_frames=20, num_channels=channels, sample_bytes=sample_bytes, sample_rate_hz=0, effort=effort)
  decoded(body, shape, CODERS[kind])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(KINDS), st.sampled_from([1, 2, 4]))
def test_any_code_behind_a_sound_header(code, kind_and_effort, sample_bytes):
  kind, effort = kind_and_effort
  samples = np.clip(tone(300, channels=2), -100, 100)
  samples[:2] = [[-128], [127]]
  samples *= 1 << (8 * sample_bytes - 8)
  shape = shape_of(samples, sample_bytes, effort)
  body, _ = encoded(samples, shape, CODERS[kind])
  reader = NumberReader(body)
  assert compact_side_information.read_header(reader, 2, shape) is not None
  decoded(body[: reader.position] + code, shape, CODERS[kind])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 5000), st.integers(-300, 300), st.integers(0, 300), st.binary(max_size=60))
def test_any_start(head, middle, span, code):
  shape = SegmentShape(num_frames=20, num_channels=1, sample_bytes=2, sample_rate_hz=8000, effort=0)
  header = write_natural(head) + write_number(middle) + write_natural(span)
  for coder in CODERS.values():
    decoded(header + code, shape, coder)


def test_bodies_of_another_version_are_no_exception():
  samples = tone(300, channels=2)
  shape = shape_of(samples)
  for kind, coder in CODERS.items():
    for one, other in ((coder, FORMER[kind]), (FORMER[kind], coder)):
      body, _ = encoded(samples, shape, one)
      found = decoded(body, shape, other)
      assert found is None or not np.array_equal(found, samples)


def test_identity_of_a_hybrid_model_is_another_one():
  """Since its network is given other features: STARTED_EXPERTS is a part of it."""
  former, new = HybridCoder(NETWORK, HybridLayout), HybridCoder(NETWORK)
  assert former.identity == NETWORK.identity() != new.identity
  assert new.identity == dataclasses.replace(NETWORK, experts=STARTED_EXPERTS).identity()
