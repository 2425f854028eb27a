"""Segments of linear prediction and a network: back as they were, at the length that is said, and no damage does harm.

Shapes: N frames, C channels.
"""

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hybrid_cases
from support.generation_cases import hybrid_model
from support.hybrid_cases import Patience, samples_of, shape_of, tone
from support.segment_bodies import body_of, groups_of

from language_modeling_is_compression.audio.pcm import wav_integers
from language_modeling_is_compression.config.defaults import MAX_EFFORT_NUMBER
from language_modeling_is_compression.entropy.varints import write_number
from language_modeling_is_compression.errors import CancelledError, ConfigError
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.layout import HybridLayout
from language_modeling_is_compression.format.payloads import Raw, RawShape, Segment, SegmentShape
from language_modeling_is_compression.linear import groups
from language_modeling_is_compression.linear.extraction import extract_evidence
from language_modeling_is_compression.network.hybrid_model import HybridModel
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.evidence import ENSEMBLE_EXPERTS, LINEAR_EXPERTS
from language_modeling_is_compression.prediction.value_map import channel_values
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder, load_coder
from language_modeling_is_compression.quantized.quantize_hybrid import QuantizedHybridNetwork
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from language_modeling_is_compression.system.cancellation import Cancellation

SOUNDS = hybrid_cases.sounds()
EFFORTS = range(MAX_EFFORT_NUMBER + 1)
network = functools.partial(hybrid_cases.random_network, experts=LINEAR_EXPERTS)
CODER = HybridCoder(network(), HybridLayout)


def encoded(samples: np.ndarray, shape: SegmentShape, coder: HybridCoder = CODER) -> tuple[bytes, np.ndarray]:
  """The body, and samples' code lengths, float64 [N, C]."""
  [found] = coder.encode([Segment(samples=samples, shape=shape)], Cancellation())
  assert found is not None
  return found.body, found.sample_bits()


def decoded(body: bytes, shape: SegmentShape, coder: HybridCoder = CODER) -> np.ndarray | None:
  """What comes out, which is of the shape and within the range of its samples, or None."""
  [found] = coder.decode([body], [shape], Cancellation())
  return samples_of(found, shape)


def check_round_trip(samples: np.ndarray, shape: SegmentShape, coder: HybridCoder = CODER) -> bytes:
  """Also that samples cost what is said: beside them a map of values takes about a bit for an index at most."""
  body, bits = encoded(samples, shape, coder)
  np.testing.assert_array_equal(decoded(body, shape, coder), samples)
  assert bits.shape == samples.shape and (bits >= 0).all()
  parts = groups_of(body, shape.num_channels)
  code, said = sum(len(part.code) for part in parts), bits.sum() / 8
  maps = sum(len(channel_values(channel).used) for channel in samples.T) / 7.8
  assert said + 3 * len(parts) < code <= 1.001 * said + 9 * len(parts) + maps
  return body


# Round trips.


@pytest.mark.parametrize('effort', EFFORTS)
@pytest.mark.parametrize('name', SOUNDS)
def test_round_trip(name, effort):
  samples, sample_bytes = SOUNDS[name]
  check_round_trip(samples, shape_of(samples, sample_bytes, effort))


@pytest.mark.parametrize(
  ('seed', 'options'),
  [
    (1, {'gain': 0.0}),
    (2, {'gain': 700.0}),
    (3, {'width': 24, 'num_heads': 4, 'num_layers': 1, 'window': 200}),
    (4, {'window': 1}),
  ],
  ids=['always the same', 'at its limits', 'wide', 'no context'],
)
def test_round_trip_with_another_network(seed, options):
  coder = HybridCoder(network(seed, **options), HybridLayout)
  for name in ('two channels', 'nine channels', 'scaled volume', '32 bits in noise', 'a single sample'):
    samples, sample_bytes = SOUNDS[name]
    check_round_trip(samples, shape_of(samples, sample_bytes), coder)


@functools.cache
def any_coder(seed: int, gain: float) -> HybridCoder:
  return HybridCoder(network(seed, gain=gain), HybridLayout)


@settings(max_examples=80, deadline=None)
@given(
  num_frames=st.integers(1, 60),
  channels=st.integers(1, 10),
  sample_bytes=st.integers(1, 4),
  effort=st.sampled_from(EFFORTS),
  scale=st.floats(0, 32),
  seed=st.integers(0, 1 << 32),
  of_network=st.integers(0, 5),
  gain=st.sampled_from([0.0, 1.0, 100.0]),
)
def test_any_samples_come_back(num_frames, channels, sample_bytes, effort, scale, seed, of_network, gain):
  """Whatever the network says of them."""
  rng, limit = np.random.default_rng(seed), 1 << (8 * sample_bytes - 1)
  drawn = rng.standard_t(1, (num_frames, channels)) * 2.0**scale
  samples = np.clip(np.round(drawn), -limit, limit - 1).astype(np.int32)
  check_round_trip(samples, shape_of(samples, sample_bytes, effort), any_coder(of_network, gain))


@pytest.mark.parametrize('num_frames', [4095, 4096, 4097, 8193])
def test_round_trip_of_about_a_block(num_frames):
  """Blocks are what is coded between two looks at the cancellation, and histories are moved back after as many.

  The network goes on where it was.
  """
  samples = tone(num_frames, channels=2)
  check_round_trip(samples, shape_of(samples))


def test_what_a_block_is_changes_nothing(monkeypatch):
  """Channels that are known from the side information are no place of the network's lane."""
  samples = tone(700, channels=3)
  samples[:, 1] = -7
  body = check_round_trip(samples, shape_of(samples))
  monkeypatch.setattr(groups, '_BLOCK_FRAMES', 37)
  assert check_round_trip(samples, shape_of(samples)) == body


def test_loud_then_silent():
  """Long after all that was learned has faded."""
  samples = np.concatenate([tone(3000), np.zeros((30_000, 1), np.int32), tone(500)])
  body = check_round_trip(samples, shape_of(samples))
  assert len(body) < 4500


def test_32_bit_sound_far_from_0_that_uses_few_values():
  """Edges of a map meet those around it, wherever the zone is."""
  rng = np.random.default_rng(0)
  sound = np.round(1.9968 * rng.laplace(0, 100, 6000).round().clip(-700, 700)).astype(np.int64)
  sound[[5, 9]] = 25_000, -25_000
  for offset in (1_500_000_000, 1_500_000_040, 1_500_000_080):
    samples = (sound + offset).astype(np.int32)[:, None]
    channel = channel_values(samples[:, 0])
    assert 0 < len(channel.used) < channel.largest - channel.least
    check_round_trip(samples, shape_of(samples, 4))


def test_sound_that_repeats_has_lags():
  samples = np.resize(np.random.default_rng(0).integers(-3000, 3000, (3000, 2)), (12_000, 2)).astype(np.int32)
  [group] = groups_of(check_round_trip(samples, shape_of(samples)), 2)
  assert group.lags[0] > 0


def test_many_threads_write_the_same():
  samples = tone(1500, channels=2)
  shape = shape_of(samples)
  expected = encoded(samples, shape)[0]
  with ThreadPoolExecutor(6) as pool:
    bodies = list(pool.map(lambda _: encoded(samples, shape)[0], range(6)))
    back = list(pool.map(lambda body: decoded(body, shape), bodies))
  assert set(bodies) == {expected}
  for each in back:
    np.testing.assert_array_equal(each, samples)


# What it costs.


@pytest.mark.parametrize('channels', [1, 2, 9])
def test_what_never_changes_costs_its_header(channels):
  samples = np.tile(np.arange(channels, dtype=np.int32) - 3, (20_000, 1))
  body, bits = encoded(samples, shape_of(samples))
  assert len(body) < 20 * channels and not bits.any()
  np.testing.assert_array_equal(decoded(body, shape_of(samples)), samples)


@pytest.mark.parametrize('silent', [0, 1, 2])
def test_a_channel_that_never_changes_costs_nothing(silent):
  """And the network hears nothing of it: the others are coded as if they stood one after the other."""
  samples = tone(600, channels=3)
  samples[:, silent] = -77
  bits = encoded(samples, shape_of(samples))[1]
  assert not bits[:, silent].any() and (np.delete(bits, silent, axis=1).mean(axis=0) > 4).all()
  other = samples.copy()
  other[:, silent] = 12
  np.testing.assert_array_equal(encoded(other, shape_of(other))[1], bits)


def experts_bits(samples: np.ndarray, shape: SegmentShape) -> float:
  """What prediction alone needs, as training has it."""
  evidence = extract_evidence(
    samples, sample_bytes=shape.sample_bytes, sample_rate_hz=shape.sample_rate_hz, effort=shape.effort
  )
  return -float(evidence.experts_log2.sum(dtype=np.float64))


def silent_network() -> QuantizedHybridNetwork:
  """One that leaves everything to the experts."""
  found = network(gain=0.0)
  found.output_bias[:8] = -(1 << 25)
  return found


@pytest.mark.parametrize('effort', EFFORTS)
def test_a_network_that_leaves_it_to_the_experts_costs_what_they_say(effort):
  coder = HybridCoder(silent_network())
  for name in (
    'tone',
    'two channels',
    'one channel silent',
    'nine channels',
    '8 bits',
    'noise at full scale',
    '24 bits in noise',
    '24 bits',  # Where the second centre is far nearer than the first one for long.
  ):
    samples, sample_bytes = SOUNDS[name]
    shape = shape_of(samples, sample_bytes, effort)
    cost, said = encoded(samples, shape, coder)[1].sum(), experts_bits(samples, shape)
    assert 0.97 * said < cost < 1.03 * said + 24, name


def test_a_bad_network_costs_little():
  samples = tone(3000)
  shape = shape_of(samples)
  for gain in (10.0, 700.0):
    bad = HybridCoder(network(5, gain=gain), HybridLayout)
    assert encoded(samples, shape, bad)[1].sum() < 1.01 * experts_bits(samples, shape) + 100


# What depends on what.


@pytest.mark.parametrize('effort', EFFORTS)
def test_what_comes_later_changes_nothing_before(effort):
  """Apart from the values that are used, which stand in the header."""
  samples = tone(400, channels=2)
  samples[:3] = [[-20_000, -20_000], [20_000, 20_000], [0, 1]]
  later = samples.copy()
  later[250:] = np.random.default_rng(0).integers(-9000, 9000, (150, 2))
  first, second = (encoded(each, shape_of(each, effort=effort))[1] for each in (samples, later))
  np.testing.assert_array_equal(first[:250], second[:250])
  assert (first[250:] != second[250:]).any()


def test_everything_that_is_told_matters():
  samples = tone(300)
  bodies = [
    encoded(samples, shape_of(samples))[0],
    encoded(samples, shape_of(samples, sample_bytes=3))[0],
    encoded(samples, shape_of(samples, sample_rate_hz=96_000))[0],
    encoded(samples, shape_of(samples, effort=1))[0],
    encoded(samples, shape_of(samples, effort=2))[0],
    encoded(samples, shape_of(samples), HybridCoder(network(1), HybridLayout))[0],
  ]
  assert len(set(bodies)) == len(bodies)


def test_identity_is_of_the_network_and_of_its_experts():
  assert CODER.identity == HybridCoder(network(), HybridLayout).identity
  assert len(CODER.identity) == 32
  other = network()
  other.output_bias[3] += 1
  assert HybridCoder(other, HybridLayout).identity != CODER.identity
  assert EnsembleCoder(hybrid_cases.random_network()).identity != CODER.identity


# Its interface.


@pytest.mark.parametrize('patience', [2, 6], ids=['while lags are looked for', 'while it is coded'])
def test_it_is_cancelled(patience):
  """Lags are looked for in five blocks, five times frames are coded."""
  samples = tone(20_000)
  shape = shape_of(samples)
  body, _ = encoded(samples, shape)
  encoding, decoding = Patience(patience), Patience(2)
  with pytest.raises(CancelledError):
    CODER.encode([Segment(samples=samples, shape=shape)], encoding)
  with pytest.raises(CancelledError):
    CODER.decode([body], [shape], decoding)
  assert (encoding.checks, decoding.checks) == (patience + 1, 3)


def test_what_is_no_segment_is_left_to_others():
  assert CODER.encode([Raw(data=b'abc')], Cancellation()) == [None]
  assert CODER.decode([b'abc'], [RawShape(num_bytes=3)], Cancellation()) == [None]


def test_files_are_divided_into_segments_of_version_4():
  pcm = wav_integers(sample_bytes=2, num_channels=2, sample_rate_hz=8000)
  found = CODER.division(pcm, 1000, SegmentSettings(frames=300, effort=2, preset=1))
  assert found is not None and found.layout == HybridLayout(effort=2) and found.layout.coding == 4
  assert found.span_frames == 250


def test_experts_of_a_model_decide_who_codes_it():
  for experts, kind in ((LINEAR_EXPERTS, HybridCoder), (ENSEMBLE_EXPERTS, EnsembleCoder)):
    assert type(load_coder(model_of(experts), 'cpu')) is kind
  with pytest.raises(ConfigError, match='--device gpu: hybrid models run on CPUs only'):
    load_coder(model_of(LINEAR_EXPERTS), 'gpu')


def model_of(experts: int) -> HybridModel:
  model = hybrid_model()
  return dataclasses.replace(model, spec=dataclasses.replace(model.spec, experts=experts))


# Damage.


def small(effort: int) -> tuple[np.ndarray, SegmentShape]:
  samples = np.concatenate([tone(40, channels=2), np.full((40, 1), 5, np.int32)], axis=1)
  samples[20] *= 3
  return samples, shape_of(samples, effort=effort)


@pytest.mark.parametrize('change', [1, 0x80, 0xFF])
def test_a_changed_byte(change):
  """What `decoded` asks of what comes out holds for each; some of the last samples may change unseen."""
  samples, shape = small(0)
  body, _ = encoded(samples, shape)
  num_refused = 0
  for place in range(len(body)):
    changed = bytearray(body)
    changed[place] ^= change
    found = decoded(bytes(changed), shape)
    num_refused += found is None
    assert found is None or not np.array_equal(found, samples)
  assert num_refused > 0.8 * len(body)


def test_a_body_that_is_cut_off_or_goes_on():
  samples, shape = small(0)
  body, _ = encoded(samples, shape)
  for kept in range(len(body)):
    assert decoded(body[:kept], shape) is None
  for more in (b'\0', b'\xff' * 9, body):
    assert decoded(body + more, shape) is None


def test_a_code_that_ends_early_is_given_up():
  """Also where the lengths of groups are right."""
  samples = tone(9000, channels=2)
  shape = shape_of(samples)
  [group] = groups_of(encoded(samples, shape)[0], 2)
  for kept in (0, 4, 8, 400, len(group.code) - 4):
    assert decoded(body_of([group._replace(code=group.code[:kept])]), shape) is None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([1, 2, 3, 4]), st.sampled_from([1, 2, 9]), st.sampled_from(EFFORTS))
def test_any_bytes(body, sample_bytes, channels, effort):
  shape = SegmentShape(num_frames=20, num_channels=channels, sample_bytes=sample_bytes, sample_rate_hz=0, effort=effort)
  decoded(body, shape)
  decoded(write_number(len(body)) + body, shape)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(EFFORTS), st.sampled_from([1, 2, 4]), st.integers(0, 3), st.booleans())
def test_any_code_behind_a_sound_header(code, effort, sample_bytes, of_network, is_nonsense):
  samples = np.clip(tone(300, channels=2), -100, 100)
  samples[:2] = [[-128], [127]]
  samples *= 1 << (8 * sample_bytes - 8)
  shape, coder = shape_of(samples, sample_bytes, effort), any_coder(of_network, 100.0 if is_nonsense else 1.0)
  [group] = groups_of(encoded(samples, shape, coder)[0], 2)
  decoded(body_of([group._replace(code=code)]), shape, coder)


NUMBERS = st.integers(-3, 300) | st.integers(-(1 << 33), 1 << 33) | st.sampled_from([1 << 17, (1 << 17) + 1, 1 << 62])


@settings(max_examples=150, deadline=None)
@given(st.lists(NUMBERS, min_size=5, max_size=10), st.binary(max_size=40), st.sampled_from([1, 2, 3, 4]))
def test_any_header(numbers, code, sample_bytes):
  shape = SegmentShape(num_frames=20, num_channels=1, sample_bytes=sample_bytes, sample_rate_hz=8000, effort=0)
  header, code = b''.join(map(write_number, numbers)), code + bytes(-len(code) % 4)
  decoded(write_number(len(header) + len(code)) + header + code, shape)


def test_a_map_at_the_ends_of_32_bits():
  """Where its edges would be rounded, masses would fall, and what follows from them would be no numbers."""
  shape = SegmentShape(num_frames=300, num_channels=1, sample_bytes=4, sample_rate_hz=8000, effort=0)
  rng = np.random.default_rng(0)
  for least in (-(1 << 31), (1 << 31) - 3001, 1_500_000_001):
    for seed in range(5):
      code = rng.integers(0, 256, 800).astype(np.uint8).tobytes()
      numbers = (1, 0, least, 3000, 900 + seed, 1001 + seed, 0)
      header = b''.join(map(write_number, numbers))
      decoded(write_number(len(header) + len(code)) + header + code, shape)


def test_the_largest_zone():
  shape = SegmentShape(num_frames=5, num_channels=1, sample_bytes=4, sample_rate_hz=8000, effort=0)
  header = b''.join(map(write_number, (1, 0, 0, 1 << 20, value_map.MAX_ZONE, 0, 0)))
  decoded(write_number(len(header) + 4000) + header + b'\xa5' * 4000, shape)
