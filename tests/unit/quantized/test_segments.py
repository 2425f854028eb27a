"""Segments of version 2: back as they were, at the length that the intervals say, and no damage does harm.

One compiled function stands behind all of these, which takes half a minute to compile when the package has changed.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hybrid_cases
from support.hybrid_cases import shape_of, tone
from support.segment_bodies import groups_of

from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.entropy.varints import write_number
from language_modeling_is_compression.errors import CancelledError
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.prediction import lag_search, value_map
from language_modeling_is_compression.prediction.value_map import channel_values
from language_modeling_is_compression.quantized import segments
from language_modeling_is_compression.quantized.segments import EnsembleCoder

SOUNDS = hybrid_cases.sounds()
CODER = EnsembleCoder(hybrid_cases.random_network())


def encoded(samples: np.ndarray, shape: SegmentShape, coder: EnsembleCoder = CODER) -> bytes:
  return hybrid_cases.encode(coder, samples, shape)[0]


def code_bytes(samples: np.ndarray, shape: SegmentShape, coder: EnsembleCoder = CODER) -> float:
  """The length that the intervals say, without headers."""
  intervals = hybrid_cases.encode(coder, samples, shape)[1]
  return -float(np.log2(intervals[..., 1] / (1 << PRECISION_BITS)).sum()) / 8


def experts_bytes(samples: np.ndarray, shape: SegmentShape) -> float:
  """What the experts need beside a network that leaves everything to them."""
  network = hybrid_cases.random_network(gain=0.0)
  network.output_bias[:8] = -(1 << 25)
  return code_bytes(samples, shape, EnsembleCoder(network))


def whole(header: bytes, code: bytes) -> bytes:
  """The body of a single group."""
  return write_number(len(header) + len(code)) + header + code


# Round trips.


@pytest.mark.parametrize('effort', [0, 1, 2])
@pytest.mark.parametrize('name', SOUNDS)
def test_round_trip(name, effort):
  samples, sample_bytes = SOUNDS[name]
  shape = shape_of(samples, sample_bytes, effort)
  body, intervals = hybrid_cases.encode(CODER, samples, shape)
  decoded = hybrid_cases.decode(CODER, body, shape)
  assert decoded is not None and decoded.dtype == np.int32
  np.testing.assert_array_equal(decoded, samples)

  assert intervals.dtype == np.uint32 and intervals.shape == (samples.size, sample_bytes, 2)
  start, size = intervals.reshape(-1, 2).astype(np.int64).T
  assert (size >= 1).all() and (start + size <= 1 << PRECISION_BITS).all()
  groups = groups_of(body, shape.num_channels)
  headers = sum(len(one.header) + len(write_number(len(one.header) + len(one.code))) for one in groups)
  said = -np.log2(size / (1 << PRECISION_BITS)).sum() / 8
  # Maps of values are not among the samples' intervals, and take less than a bit for an index.
  maps = sum(len(channel_values(samples[:, channel]).used) for channel in range(samples.shape[1])) / 8
  assert headers + said + 3 * len(groups) < len(body) <= headers + 1.001 * said + 9 * len(groups) + maps


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
  coder = EnsembleCoder(hybrid_cases.random_network(seed, **options))
  for name in ('two channels', 'nine channels', 'scaled volume', '32 bits in noise', 'a single sample'):
    samples, sample_bytes = SOUNDS[name]
    shape = shape_of(samples, sample_bytes)
    np.testing.assert_array_equal(hybrid_cases.decode(coder, encoded(samples, shape, coder), shape), samples)


def test_a_long_segment():
  """Histories are moved back on the way, and its end is looked for several times."""
  samples = np.concatenate([tone(5000, channels=2), np.zeros((4000, 2), np.int32), tone(300, channels=2)])
  shape = shape_of(samples)
  np.testing.assert_array_equal(hybrid_cases.decode(CODER, encoded(samples, shape), shape), samples)


def test_32_bit_sound_far_from_0_that_uses_few_values():
  """Edges of a map meet those around it, wherever the zone is: single precision has no room for such indices."""
  rng = np.random.default_rng(0)
  sound = np.round(1.9968 * rng.laplace(0, 100, 6000).round().clip(-700, 700)).astype(np.int64)
  sound[[5, 9]] = 25_000, -25_000
  for offset in (1_500_000_000, 1_500_000_040, 1_500_000_080):
    samples = (sound + offset).astype(np.int32)[:, None]
    shape = shape_of(samples, 4)
    channel = value_map.channel_values(samples[:, 0])
    assert 0 < len(channel.used) < channel.largest - channel.least
    np.testing.assert_array_equal(hybrid_cases.decode(CODER, encoded(samples, shape), shape), samples)


# What it costs.


@pytest.mark.parametrize('name', ['silence', 'constant'])
def test_what_never_changes_costs_its_header(name):
  samples, sample_bytes = SOUNDS[name]
  shape = shape_of(samples, sample_bytes)
  assert (hybrid_cases.encode(CODER, samples, shape)[1] == [0, 1 << PRECISION_BITS]).all()
  assert len(encoded(samples, shape)) < 20


def test_what_never_changes_takes_no_work(monkeypatch):
  def work(*_: object) -> None:
    pytest.fail('there is nothing to predict, nor to look for')

  monkeypatch.setattr(segments, 'new_experts', work)
  monkeypatch.setattr(lag_search, '_History', work)
  monkeypatch.setattr(lag_search, '_correlate', work)
  samples = np.full((20_000, 2), [0, -7], np.int32)
  body = encoded(samples, shape_of(samples))
  np.testing.assert_array_equal(hybrid_cases.decode(CODER, body, shape_of(samples)), samples)


def test_silence_is_not_looked_for_in_what_was_before(monkeypatch):
  samples = tone(20_000, channels=2)
  samples[8192:] = 0
  expected = lag_search.find_lags(samples.astype(np.int64))
  most_like = lag_search._History.most_like
  monkeypatch.setattr(
    lag_search._History, 'most_like', lambda self, here, *rest: most_like(self, here, *rest) if here.any() else 1 / 0
  )
  np.testing.assert_array_equal(lag_search.find_lags(samples.astype(np.int64)), expected)


def test_silence_in_a_sound_costs_almost_nothing():
  """From where it has been for long enough to be believed."""
  samples = np.concatenate([tone(300), np.zeros((6000, 1), np.int32)])
  sizes = hybrid_cases.encode(CODER, samples, shape_of(samples))[1][350:, :, 1]
  assert -np.log2(sizes / (1 << PRECISION_BITS)).sum() < 1.5


def test_shifted_samples_cost_no_more():
  samples = SOUNDS['8 bits'][0]
  plain, shifted = encoded(samples, shape_of(samples, 1)), encoded(samples << 8, shape_of(samples << 8, 2))
  assert abs(len(plain) - len(shifted)) < 10


def test_a_bad_network_costs_little():
  """Nonsense is not for_network."""
  samples = tone(3000)
  shape = shape_of(samples)
  for gain in (10.0, 700.0):
    bad = EnsembleCoder(hybrid_cases.random_network(5, gain=gain))
    assert code_bytes(samples, shape, bad) < 1.01 * experts_bytes(samples, shape) + 10


# What depends on what.


def test_what_comes_later_changes_nothing_before():
  """Apart from the values that are used, which stand in the header."""
  samples = tone(400, channels=2)
  samples[:3] = [[-20_000, -20_000], [20_000, 20_000], [0, 1]]
  later = samples.copy()
  later[250:] = np.random.default_rng(0).integers(-9000, 9000, (150, 2))
  first, second = (hybrid_cases.encode(CODER, each, shape_of(each))[1] for each in (samples, later))
  per_frame = 2
  np.testing.assert_array_equal(first[: 250 * per_frame], second[: 250 * per_frame])
  assert (first[250 * per_frame :] != second[250 * per_frame :]).any()


def test_many_threads_write_the_same():
  samples = tone(1500, channels=2)
  shape = shape_of(samples)
  expected = encoded(samples, shape)
  with ThreadPoolExecutor(6) as pool:
    bodies = list(pool.map(lambda _: encoded(samples, shape), range(6)))
    decoded = list(pool.map(lambda body: hybrid_cases.decode(CODER, body, shape), bodies))
  assert set(bodies) == {expected}
  for each in decoded:
    np.testing.assert_array_equal(each, samples)


def test_everything_that_is_told_matters():
  samples = tone(300)
  bodies = [
    encoded(samples, shape_of(samples)),
    encoded(samples, shape_of(samples, sample_bytes=3)),
    encoded(samples, shape_of(samples, sample_rate_hz=96_000)),
    encoded(samples, shape_of(samples, effort=1)),
    encoded(samples, shape_of(samples), EnsembleCoder(hybrid_cases.random_network(1))),
  ]
  assert len(set(bodies)) == len(bodies)


def test_identity_is_of_the_network():
  assert CODER.identity == EnsembleCoder(hybrid_cases.random_network()).identity
  assert len(CODER.identity) == 32
  other = hybrid_cases.random_network()
  other.output_bias[3] += 1
  assert EnsembleCoder(other).identity != CODER.identity


@pytest.mark.parametrize('patience', [2, 6], ids=['while lags are looked for', 'while it is coded'])
def test_it_is_cancelled(patience):
  """Lags are looked for in five blocks, five times frames are coded."""
  samples = tone(20_000)
  shape = shape_of(samples)
  body = encoded(samples, shape)
  encoding, decoding = hybrid_cases.Patience(patience), hybrid_cases.Patience(2)
  with pytest.raises(CancelledError):
    CODER.encode([Segment(samples=samples, shape=shape)], encoding)
  with pytest.raises(CancelledError):
    CODER.decode([body], [shape], decoding)
  assert (encoding.checks, decoding.checks) == (patience + 1, 3)


# Damage.


SHORT = np.round(1.9968 * np.random.default_rng(3).laplace(0, 30, (500, 1)).round()).astype(np.int32)
SHORT_SHAPE = shape_of(SHORT)
SHORT_BODY = encoded(SHORT, SHORT_SHAPE)


def read(body: bytes, shape: SegmentShape = SHORT_SHAPE) -> np.ndarray | None:
  """What comes out, which is of the shape and within the range of its samples, or None."""
  decoded = hybrid_cases.decode(CODER, body, shape)
  if decoded is not None:
    assert decoded.dtype == np.int32 and decoded.shape == (shape.num_frames, shape.num_channels)
    limit = 1 << (8 * shape.sample_bytes - 1)
    assert -limit <= decoded.min() and decoded.max() < limit
  return decoded


def test_the_damaged_body_has_a_map():
  assert len(value_map.channel_values(SHORT[:, 0]).used) > 100


def test_flipped_bits():
  """In lengths, headers and all along the code, where maps come first. Some of the last samples may change unseen."""
  [group] = groups_of(SHORT_BODY, 1)
  coded_bits = 8 * (len(SHORT_BODY) - len(group.code))
  num_sound = 0
  bits = [*range(coded_bits), *range(coded_bits, 8 * len(SHORT_BODY), 13)]
  for bit in bits:
    flipped = bytearray(SHORT_BODY)
    flipped[bit // 8] ^= 1 << bit % 8
    decoded = read(bytes(flipped))
    num_sound += decoded is not None
    assert decoded is None or not np.array_equal(decoded, SHORT)
  assert num_sound < len(bits) / 10


def test_cut_or_longer():
  for length in (*range(40), *range(40, len(SHORT_BODY), 13), len(SHORT_BODY) - 1):
    assert read(SHORT_BODY[:length]) is None
  for more in (b'\0', bytes(4), b'\xff' * 9):
    assert read(SHORT_BODY + more) is None


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60), st.sampled_from([1, 2, 3, 4]), st.sampled_from([1, 2, 9]))
def test_any_bytes(body, sample_bytes, channels):
  shape = SegmentShape(num_frames=20, num_channels=channels, sample_bytes=sample_bytes, sample_rate_hz=0, effort=0)
  read(body, shape)
  read(write_number(len(body)) + body, shape)


NUMBERS = st.integers(-3, 300) | st.integers(-(1 << 33), 1 << 33) | st.sampled_from([1 << 17, (1 << 17) + 1, 1 << 62])


@settings(deadline=None, max_examples=200)
@given(st.lists(NUMBERS, min_size=5, max_size=10), st.binary(max_size=40), st.sampled_from([1, 2, 3, 4]))
def test_any_header(numbers, code, sample_bytes):
  shape = SegmentShape(num_frames=20, num_channels=1, sample_bytes=sample_bytes, sample_rate_hz=8000, effort=0)
  read(whole(b''.join(map(write_number, numbers)), code + bytes(-len(code) % 4)), shape)


def header(*, span: int, zone: int, start: int = 0, least: int = 0) -> bytes:
  """Of one channel and no lags."""
  return b''.join(write_number(number) for number in (1, 0, least, span, zone, start, 0))


def test_a_header_that_contradicts_itself():
  shape, code = shape_of(np.zeros((5, 1), np.int32)), bytes(8)
  assert read(whole(header(span=200, zone=100, start=102), code), shape) is None


def test_the_largest_zone():
  shape = SegmentShape(num_frames=5, num_channels=1, sample_bytes=4, sample_rate_hz=8000, effort=0)
  read(whole(header(span=1 << 20, zone=value_map.MAX_ZONE), b'\xa5' * 4000), shape)


def test_a_map_at_the_ends_of_32_bits():
  """Where its edges would be rounded, masses would fall, and what follows from them would be no numbers."""
  shape = SegmentShape(num_frames=300, num_channels=1, sample_bytes=4, sample_rate_hz=8000, effort=0)
  rng = np.random.default_rng(0)
  for least in (-(1 << 31), (1 << 31) - 3001, 1_500_000_001):
    for seed in range(5):
      code = rng.integers(0, 256, 800).astype(np.uint8).tobytes()
      read(whole(header(least=least, span=3000, zone=900 + seed, start=1001 + seed), code), shape)
