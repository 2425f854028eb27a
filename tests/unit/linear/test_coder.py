"""Segments coded by linear prediction: back as they were, at the length that is said, and no damage does harm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hybrid_cases
from support.hybrid_cases import shape_of, tone
from support.segment_bodies import body_of, groups_of

from language_modeling_is_compression.config.defaults import MAX_PRESET
from language_modeling_is_compression.errors import CancelledError, ConfigError
from language_modeling_is_compression.format.layout import LinearLayout
from language_modeling_is_compression.format.payloads import Raw, RawShape, Segment, SegmentShape
from language_modeling_is_compression.linear.coder import LinearCoder, load_coder
from language_modeling_is_compression.linear.presets import PRESETS
from language_modeling_is_compression.prediction.value_map import channel_values
from language_modeling_is_compression.system.cancellation import Cancellation

CODER = LinearCoder(LinearLayout)
NUM_FRAMES = 900
ALL_PRESETS = range(len(PRESETS))


def more_sounds() -> dict[str, tuple[np.ndarray, int]]:
  """Beside those of hybrid_cases: samples, int32 [N, C], and bytes of one."""
  rng = np.random.default_rng(3)
  low, high = -(1 << 31), (1 << 31) - 1
  times = np.arange(NUM_FRAMES)[:, None]
  found = {
    '8 bits of noise': (rng.integers(-128, 128, (NUM_FRAMES, 2)), 1),
    '24 bits of noise': (rng.integers(-(1 << 23), 1 << 23, (NUM_FRAMES, 1)), 3),
    '32 bits of noise': (rng.integers(low, high, (NUM_FRAMES, 2), endpoint=True), 4),
    'extremes by turns': (np.where(times % 2, low, high), 4),
    'extremes at random': (np.where(rng.uniform(size=(NUM_FRAMES, 2)) < 0.5, low, high), 4),
    'square wave': (np.where(times // 50 % 2, -32_768, 32_767), 2),
    'impulses in silence': (np.where(rng.uniform(size=(NUM_FRAMES, 2)) < 0.01, 32_767, 0), 2),
    'impulses of 32 bits': (np.where(rng.uniform(size=(NUM_FRAMES, 1)) < 0.01, [[high]], [[-3]]) + times % 3 // 2, 4),
    'far from 0': (30_000 + rng.integers(-3, 4, (NUM_FRAMES, 1)), 2),
    'a step': (256 * rng.integers(-90, 90, (NUM_FRAMES, 2)) + 7, 3),
    'a sparse map': (rng.choice(np.array([-900, -5, 0, 40, 41, 3000]), (4000, 1)), 2),
    'made louder': (np.round(1.9968 * rng.laplace(0, 300, (4000, 2)).round()), 2),
    'far apart': (np.where(times < 450, low + times, high - times), 4),
    'three channels': (tone(NUM_FRAMES, channels=3), 2),
    'eight channels': (tone(300, channels=8), 2),
    'seventeen channels': (tone(60, channels=17), 2),
    'two frames': (np.array([[5, -5], [6, 7]]), 2),
    'two values': (np.arange(NUM_FRAMES)[:, None] % 7 // 6, 1),
  }
  return {name: (samples.astype(np.int32), sample_bytes) for name, (samples, sample_bytes) in found.items()}


SOUNDS = hybrid_cases.sounds() | more_sounds()


def encoded(samples: np.ndarray, shape: SegmentShape) -> tuple[bytes, np.ndarray]:
  """The body, and samples' code lengths."""
  [found] = CODER.encode([Segment(samples=samples, shape=shape)], Cancellation())
  assert found is not None
  return found.body, found.sample_bits()


def decoded(body: bytes, shape: SegmentShape) -> np.ndarray | None:
  [found] = CODER.decode([body], [shape], Cancellation())
  if found is None:
    return None
  assert isinstance(found, Segment) and found.shape == shape and found.samples.dtype == np.int32
  return found.samples


def check_round_trip(samples: np.ndarray, shape: SegmentShape) -> bytes:
  body, bits = encoded(samples, shape)
  np.testing.assert_array_equal(decoded(body, shape), samples)
  assert bits.shape == samples.shape and (bits >= 0).all()
  groups = groups_of(body, shape.num_channels)
  code, said = sum(len(group.code) for group in groups), bits.sum() / 8
  # Maps of values are not among what samples cost, and take less than a bit for an index.
  maps = sum(len(channel_values(channel).used) for channel in samples.T) / 8
  assert said + 3 * len(groups) < code <= 1.001 * said + 9 * len(groups) + maps
  return body


def check_damaged(body: bytes, shape: SegmentShape) -> None:
  """It is refused, or holds samples that a file can have."""
  samples = decoded(body, shape)
  if samples is not None:
    limit = 1 << (8 * shape.sample_bytes - 1)
    assert samples.shape == (shape.num_frames, shape.num_channels)
    assert samples.min() >= -limit and samples.max() < limit


# Round trips.


@pytest.mark.parametrize('preset', ALL_PRESETS)
@pytest.mark.parametrize('name', SOUNDS)
def test_round_trip(name, preset):
  samples, sample_bytes = SOUNDS[name]
  check_round_trip(samples, shape_of(samples, sample_bytes, preset))


@pytest.mark.parametrize('num_frames', [4095, 4096, 4097, 8193])
def test_round_trip_of_about_a_block(num_frames):
  """Blocks are what is coded between two looks at the cancellation, and histories are moved back after as many."""
  samples = tone(num_frames, channels=2)
  check_round_trip(samples, shape_of(samples, effort=2))


def test_loud_then_silent():
  """Long after all that was learned has faded."""
  samples = np.concatenate([tone(3000), np.zeros((100_000, 1), np.int32), tone(500)])
  body = check_round_trip(samples, shape_of(samples, effort=0))
  assert len(body) < 4500


def test_sound_that_repeats_has_lags():
  samples = np.resize(np.random.default_rng(0).integers(-3000, 3000, (3000, 2)), (12_000, 2)).astype(np.int32)
  lags = []
  for preset in (1, 2):
    group = groups_of(check_round_trip(samples, shape_of(samples, effort=preset)), 2)[0]
    lags.append(group.lags[0])
  assert lags[0] == 0 < lags[1]


@settings(max_examples=60, deadline=None)
@given(
  num_frames=st.integers(1, 60),
  channels=st.integers(1, 10),
  sample_bytes=st.integers(1, 4),
  preset=st.sampled_from(ALL_PRESETS),
  scale=st.floats(0, 32),
  seed=st.integers(0, 1 << 32),
)
def test_any_samples_come_back(num_frames, channels, sample_bytes, preset, scale, seed):
  rng, limit = np.random.default_rng(seed), 1 << (8 * sample_bytes - 1)
  drawn = rng.standard_t(1, (num_frames, channels)) * 2.0**scale
  samples = np.clip(np.round(drawn), -limit, limit - 1).astype(np.int32)
  shape = shape_of(samples, sample_bytes, preset)
  np.testing.assert_array_equal(decoded(encoded(samples, shape)[0], shape), samples)


# What it costs.


def test_what_never_changes_costs_its_header():
  for value in (0, -30_000):
    samples = np.full((5000, 2), value, np.int32)
    body, bits = encoded(samples, shape_of(samples))
    assert len(body) < 30 and not bits.any()


def test_sound_is_made_smaller():
  """To little more than the noise in it has: samples of a normal distribution with a deviation of 20."""
  samples = tone(20_000, noise=20.0)
  entropy = 0.5 * np.log2(2 * np.pi * np.e * 400)
  for preset in ALL_PRESETS:
    bits = encoded(samples, shape_of(samples, effort=preset))[1]
    assert entropy < bits[4000:].mean() < 1.03 * entropy


def test_noise_costs_no_more_than_it_has():
  """A part in a thousand aside, and what is learned at the beginning."""
  samples = np.random.default_rng(0).integers(-32_768, 32_768, (20_000, 1)).astype(np.int32)
  assert encoded(samples, shape_of(samples))[1][2000:].mean() < 16.5


# Damage.


def small() -> tuple[np.ndarray, SegmentShape]:
  samples = np.concatenate([tone(40, channels=2), np.full((40, 1), 5, np.int32)], axis=1)
  samples[20] *= 3
  return samples, shape_of(samples, effort=2)


@pytest.mark.parametrize('change', [1, 0x80, 0xFF])
def test_a_changed_byte(change):
  samples, shape = small()
  body, _ = encoded(samples, shape)
  for place in range(len(body)):
    changed = bytearray(body)
    changed[place] ^= change
    check_damaged(bytes(changed), shape)


def test_a_body_that_is_cut_off_or_goes_on():
  samples, shape = small()
  body, _ = encoded(samples, shape)
  for kept in range(len(body)):
    assert decoded(body[:kept], shape) is None
  for more in (b'\0', b'\xff' * 9, body):
    assert decoded(body + more, shape) is None


def test_a_code_that_ends_early_is_given_up():
  """Also where the lengths of groups are right."""
  samples = tone(20_000, channels=2)
  shape = shape_of(samples)
  [group] = groups_of(encoded(samples, shape)[0], 2)
  for kept in (0, 4, 8, 400, len(group.code) - 4):
    assert decoded(body_of([group._replace(code=group.code[:kept])]), shape) is None


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, MAX_PRESET), st.sampled_from([1, 2, 4]))
def test_any_code_behind_a_sound_header(code, preset, sample_bytes):
  samples = np.clip(tone(300, channels=2), -100, 100)
  samples[:2] = [[-128], [127]]
  samples *= 1 << (8 * sample_bytes - 8)
  shape = shape_of(samples, sample_bytes, preset)
  [group] = groups_of(encoded(samples, shape)[0], 2)
  check_damaged(body_of([group._replace(code=code)]), shape)


def test_lags_of_a_preset_that_has_none_are_refused():
  samples = np.resize(np.random.default_rng(0).integers(-3000, 3000, (3000, 1)), (9000, 1)).astype(np.int32)
  body, _ = encoded(samples, shape_of(samples, effort=2))
  assert groups_of(body, 1)[0].lags[0]
  assert decoded(body, shape_of(samples, effort=1)) is None


def test_a_body_of_another_preset_is_no_exception():
  samples = tone(500, channels=2)
  for preset in ALL_PRESETS:
    body, _ = encoded(samples, shape_of(samples, effort=preset))
    for other in ALL_PRESETS:
      check_damaged(body, shape_of(samples, effort=other))


# Its interface.


def test_cancellation():
  samples = tone(500)
  shape, cancellation = shape_of(samples), Cancellation()
  body, _ = encoded(samples, shape)
  cancellation.cancel()
  with pytest.raises(CancelledError):
    CODER.encode([Segment(samples=samples, shape=shape)], cancellation)
  with pytest.raises(CancelledError):
    CODER.decode([body], [shape], cancellation)


def test_what_is_no_segment_is_left_to_others():
  assert CODER.encode([Raw(data=b'abc')], Cancellation()) == [None]
  assert CODER.decode([b'abc'], [RawShape(num_bytes=3)], Cancellation()) == [None]


def test_a_gpu_is_refused():
  assert load_coder('cpu').of(LinearLayout).identity == CODER.identity
  with pytest.raises(ConfigError, match='--device gpu: linear prediction runs on CPUs only'):
    load_coder('gpu')


def test_presets_are_as_many_as_headers_and_settings_know():
  assert len(PRESETS) == MAX_PRESET + 1
  for preset in PRESETS:
    assert len(preset.least_squares) >= 2  # The second one is a centre of its own.
    assert all(each.own % 8 == each.other % 8 == 0 and each.other <= each.own for each in preset.least_squares)
    assert all(stage.taps in (16, 32) or stage.taps % 64 == 0 for stage in preset.stages)
