"""Floats and companded samples as integers: every bit comes back, and no side information does harm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.numbers import companding, floats
from language_modeling_is_compression.numbers.conversion import (
  depth_bytes,
  integers_from_patterns,
  patterns_from_integers,
)

HALF, SINGLE, DOUBLE = np.float16, np.float32, np.float64
NUM_FRAMES = 4000
# Infinities, NaNs with all kinds of payloads, zeros, the least and the largest of normal and of other numbers.
ODD = {
  2: [0x7C00, 0xFC00, 0x7E00, 0x7C01, 0xFFFF, 0, 1 << 15, 1, 0x83FF, 0x0400, 0x7BFF],
  4: [0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0, 1 << 31, 1, 0x807FFFFF, 0x00800000, 0x7F7FFFFF],
  8: [value << 52 for value in (0, 0x7FF, 0xFFF, 0x800, 1)]
  + [1, (1 << 52) - 1, 0x7FF0000000000001, (1 << 64) - 1, 0x7FEFFFFFFFFFFFFF, 0x800FFFFFFFFFFFFF],
}


def sound(bits: int, seed: int = 0) -> np.ndarray:
  """A tone in noise that has all values near 0, integers of so many bits: float64 [N, 1]."""
  rng = np.random.default_rng(seed)
  times = np.arange(NUM_FRAMES)
  tone = 0.3 * np.sin(0.05 * times) + 0.2 * np.sin(0.0071 * times) + rng.normal(0, 0.003, NUM_FRAMES)
  return np.round(tone * (1 << (bits - 1)))[:, np.newaxis] + 0.0  # No -0.


def patterns_of(values: np.ndarray) -> np.ndarray:
  return np.ascontiguousarray(values).view(f'u{values.dtype.itemsize}')


def converted(patterns: np.ndarray, kind: SampleKind = SampleKind.FLOAT) -> tuple[np.ndarray, bytes]:
  """Integers and side information, of which the same patterns have come back, and which are the same twice."""
  before = patterns.copy()
  integers, depth, side = integers_from_patterns(patterns, kind)
  assert integers.dtype == np.int32 and integers.shape == patterns.shape
  limit = 1 << (8 * depth - 1)
  assert integers.min(initial=0) >= -limit and integers.max(initial=0) < limit
  found = patterns_from_integers(integers, side, kind, patterns.dtype.itemsize)
  assert found is not None and found.dtype == patterns.dtype
  np.testing.assert_array_equal(found, before)
  np.testing.assert_array_equal(patterns, before)
  again = integers_from_patterns(patterns, kind)
  assert again[2] == side and np.array_equal(again[0], integers)
  return integers, side


def gained(bits: int, *gains: float, precision: type = SINGLE) -> np.ndarray:
  """Sound of so many bits made quieter step by step, each of them rounded."""
  values: np.ndarray = sound(bits).astype(precision)
  for gain in gains:
    values = values * precision(gain)
  return values


HALF_16, HALF_24 = 2.0**-15, 2.0**-23
LATTICES = {
  '16 bits': (16, gained(16, HALF_16)),
  '24 bits': (24, gained(24, HALF_24)),
  '8 bits': (8, gained(8, 2.0**-7)),
  '16 bits, 64': (16, gained(16, HALF_16, precision=DOUBLE)),
  '24 bits, 64': (24, gained(24, HALF_24, precision=DOUBLE)),
  '16 bits, divided': (16, sound(16).astype(SINGLE) / SINGLE(32767)),
  '16 bits, by a reciprocal': (16, gained(16, 1 / 32767)),
  '16 bits, divided, 64': (16, sound(16) / 32767),
  '24 bits, divided': (24, sound(24).astype(SINGLE) / SINGLE(8388607)),
  '24 bits, divided, 64': (24, sound(24) / 8388607),
  '16 bits, quieter': (16, gained(16, HALF_16, 0.6531)),
  '16 bits, louder': (16, gained(16, HALF_16, 1.7)),
  '24 bits, quieter': (24, gained(24, HALF_24, 0.6531)),
  '24 bits, quieter, 64': (24, gained(24, HALF_24, 0.6531, precision=DOUBLE)),
  '16 bits, divided and quieter': (16, sound(16).astype(SINGLE) / SINGLE(32767) * SINGLE(0.6531)),
  '16 bits, divided and quieter, 64': (16, sound(16) / 32767 * 0.6531),
  '11 bits, half': (11, gained(11, 2.0**-10, precision=HALF)),
  '11 bits, divided, half': (11, (sound(11) / 1023).astype(HALF)),
  '10 bits, quieter, half': (10, (gained(10, 2.0**-9) * SINGLE(0.6531)).astype(HALF)),
  '16 bits, divided, 32 in 64': (16, (sound(16).astype(SINGLE) / SINGLE(32767)).astype(DOUBLE)),
}


@pytest.mark.parametrize('name', LATTICES)
def test_integers_are_those_that_floats_were_made_of(name):
  bits, values = LATTICES[name]
  integers, side = converted(patterns_of(values))
  np.testing.assert_array_equal(integers, sound(bits))
  assert len(side) < 40


@pytest.mark.parametrize('name', ['16 bits', '24 bits, divided', '16 bits, quieter'])
def test_odd_values_among_them_cost_themselves(name):
  bits, values = LATTICES[name]
  patterns = patterns_of(values).copy()
  places = 100 + 300 * np.arange(len(ODD[4]))
  patterns[places, 0] = ODD[4]
  integers, side = converted(patterns)
  others = np.setdiff1d(np.arange(NUM_FRAMES), places)
  np.testing.assert_array_equal(integers[others], sound(bits)[others])
  assert len(side) < 40 + 9 * len(places)


@pytest.mark.parametrize('precision', [SINGLE, DOUBLE])
def test_rounded_twice(precision):
  """The first factor is unknown, so some values are off by one; which ones is half known from how they were rounded."""
  values = gained(16, HALF_16, 0.7123, 0.6117, precision=precision)
  integers, side = converted(patterns_of(values))
  np.testing.assert_array_equal(integers, sound(16))
  assert len(side) < 1.2 * NUM_FRAMES / 8


@pytest.mark.parametrize('value', [0.0, -0.0, 0.3, 1e-42, np.nan, -np.inf])
@pytest.mark.parametrize('precision', [HALF, SINGLE, DOUBLE])
def test_one_value_costs_next_to_nothing(value, precision):
  integers, side = converted(patterns_of(np.full((5000, 2), value, precision)))
  assert not integers.any() and len(side) <= 24


def test_stretches_of_silence_cost_next_to_nothing():
  values = gained(16, HALF_16)
  values = np.concatenate([values, np.zeros_like(values), -np.zeros_like(values), values])
  integers, side = converted(patterns_of(values))
  assert len(side) < 20 and depth_bytes(integers) == 2


def test_few_values_on_a_curve():
  values = np.tanh(gained(8, 2.0**-7, 1.5))
  integers, side = converted(patterns_of(values))
  assert depth_bytes(integers) <= 2 and len(side) < 700
  # Values that are larger are further up.
  order = np.argsort(values[:, 0], kind='stable')
  assert (np.diff(integers[order, 0]) >= 0).all()


@pytest.mark.parametrize('precision', [SINGLE, DOUBLE])
def test_noise_costs_no_more_than_its_bits(precision):
  width = precision().itemsize
  patterns = np.random.default_rng(0).integers(0, 1 << (8 * width - 1), (60_000, 1), f'u{width}')
  patterns[:, 0] ^= np.resize(np.array([0, 1 << (8 * width - 1)], f'u{width}'), len(patterns))
  _, side = converted(patterns)
  assert len(side) < 1.004 * patterns.nbytes


def test_small_floats_in_large_ones_cost_no_more():
  values = 0.7 * np.sin(np.arange(NUM_FRAMES) ** 1.5 * 1e-3)[:, np.newaxis].astype(SINGLE)
  integers, side = converted(patterns_of(values))
  wide_integers, wide_side = converted(patterns_of(values.astype(DOUBLE)))
  np.testing.assert_array_equal(integers, wide_integers)
  assert len(wide_side) < len(side) + 200


@pytest.mark.parametrize('width', [2, 3, 4])
def test_halves_of_finer_sound_leave_little_open(width):
  """They are integers in a unit that is finer than the largest are told apart, so that hardly any bit is left."""
  values = gained(8 * width, 2.0 ** (1 - 8 * width)).astype(HALF)
  integers, side = converted(patterns_of(values))
  assert np.abs(integers).max() < 1 << 16 and len(side) < NUM_FRAMES / 8


def test_a_loud_half_among_others_costs_itself():
  values = gained(16, HALF_16).astype(HALF)
  _, side = converted(patterns_of(values))
  values[300:305, 0] = 65504.0
  integers, odd_side = converted(patterns_of(values))
  assert np.abs(integers).max() > 1 << 14 and len(odd_side) < len(side) + 100


def test_all_halves_come_back():
  patterns = np.arange(1 << 16, dtype=np.uint16)
  mixed = np.random.default_rng(0).permutation(patterns)
  for each in (patterns, mixed, mixed.reshape(-1, 2), mixed.reshape(-1, 1 << 8)):
    converted(each.reshape(len(each), -1).copy())


def recorded() -> tuple[np.ndarray, np.ndarray]:
  """Of a quiet converter for half of the time, then of a louder one whose step is no multiple of the other's, beyond 1.

  Returns values, float32 [N, 1], and what integers in the quiet one's step they are nearest to.
  """
  rng, ratio = np.random.default_rng(0), 16.3
  quiet, loud = rng.integers(-90_000, 90_000, (8000, 1)), rng.integers(-(1 << 22), 1 << 22, (8000, 1))
  values = np.concatenate([quiet.astype(SINGLE) * SINGLE(2.0**-21 / ratio), loud.astype(SINGLE) * SINGLE(2.0**-21)])
  return values, np.concatenate([quiet, np.rint(loud * ratio)])


def test_two_converters():
  values, expected = recorded()
  assert np.abs(values).max() > 1
  integers, side = converted(patterns_of(values))
  assert len(side) < 80
  assert np.mean(np.abs(integers - expected) <= 1) > 0.99


def test_two_converters_of_which_one_was_in_use():
  values, expected = recorded()
  for half in (slice(0, 8000), slice(8000, None)):
    _, side = converted(patterns_of(values[half]))
    assert len(side) < 40
  integers, _ = converted(patterns_of(values[:8000]))
  np.testing.assert_array_equal(integers, expected[:8000])


@settings(max_examples=80, deadline=None)
@given(
  width=st.sampled_from([2, 4, 8]),
  num_frames=st.integers(0, 200),
  channels=st.integers(1, 4),
  seed=st.integers(0, 1 << 32),
  spread=st.integers(0, 300),
  odd=st.floats(0, 1),
)
def test_any_floats_come_back(width, num_frames, channels, seed, spread, odd):
  rng = np.random.default_rng(seed)
  values = rng.normal(size=(num_frames, channels)) * 2.0 ** rng.integers(-spread, spread + 1, (num_frames, channels))
  with np.errstate(over='ignore', under='ignore'):
    patterns = patterns_of(values.astype(f'f{width}'))
  drawn = rng.choice(np.array(ODD[width], f'u{width}'), patterns.shape)
  converted(np.where(rng.uniform(size=patterns.shape) < odd, drawn, patterns))


@settings(max_examples=80, deadline=None)
@given(width=st.sampled_from([2, 4, 8]), data=st.binary(max_size=400), channels=st.integers(1, 3))
def test_any_bits_come_back(width, data, channels):
  num = len(data) // (width * channels)
  converted(np.frombuffer(data[: num * width * channels], f'u{width}').reshape(num, channels).copy())


@settings(max_examples=80, deadline=None)
@given(
  width=st.sampled_from([2, 4, 8]),
  bits=st.integers(1, 31),
  gains=st.lists(st.floats(1e-6, 1e6), max_size=3),
  num_frames=st.integers(1, 300),
  seed=st.integers(0, 1 << 32),
)
def test_any_lattice_comes_back(width, bits, gains, num_frames, seed):
  rng = np.random.default_rng(seed)
  integers = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (num_frames, 1))
  with np.errstate(over='ignore', under='ignore', invalid='ignore'):
    values = integers.astype(f'f{width}')
    for gain in gains:
      values = values * values.dtype.type(gain)
  converted(patterns_of(values))


@pytest.mark.parametrize('channels', [64, 65, 3000])
def test_many_channels(channels):
  values = np.random.default_rng(0).normal(size=(7, channels)).astype(SINGLE)
  _, side = converted(patterns_of(values))
  assert len(side) < 4.2 * values.size + 12 * min(channels, 64)


def test_channels_have_factors_of_their_own():
  values = np.concatenate([gained(16, HALF_16, gain) for gain in (1.0, 0.6531, 0.17)], axis=1)
  integers, _ = converted(patterns_of(values))
  np.testing.assert_array_equal(integers, np.repeat(sound(16), 3, axis=1))


# Damage.


def hostile_sources() -> dict[str, np.ndarray]:
  """Patterns of which each is described in another way, [N, 1], little of them."""
  rng = np.random.default_rng(0)
  scaled = patterns_of(gained(16, HALF_16)[:100]).copy()
  scaled[7] = ODD[4][3]
  factored = patterns_of(gained(16, HALF_16, 0.7123, 0.6117)[:600])
  return {
    'constant': scaled[:1],
    'exact': scaled,
    'scale': patterns_of(rng.normal(size=(60, 1)) * 2.0 ** rng.integers(-60, 3, (60, 1))),
    'factor': factored,
    'list': patterns_of(np.tanh(gained(6, 0.05)[:2000])),
    'two factors': patterns_of(recorded()[0]),
  }


@pytest.mark.parametrize('way', hostile_sources())
def test_side_information_that_was_changed(way):
  """It is refused, or some floats are made of it."""
  patterns = hostile_sources()[way]
  width = patterns.dtype.itemsize
  integers, side = converted(patterns)
  assert list(hostile_sources()).index(way) == side[1 if side[0] < 128 else 2]
  rng = np.random.default_rng(0)

  def check(changed: bytes) -> None:
    found = patterns_from_integers(integers, changed, SampleKind.FLOAT, width)
    assert found is None or (found.shape == patterns.shape and found.dtype == patterns.dtype)

  for place in range(len(side)):
    for change in (1, 0x80, 0xFF):
      check(side[:place] + bytes([side[place] ^ change]) + side[place + 1 :])
  for kept in range(len(side)):
    assert patterns_from_integers(integers, side[:kept], SampleKind.FLOAT, width) is None
  assert patterns_from_integers(integers, side + b'\0', SampleKind.FLOAT, width) is None
  for other in (integers[:-1], -integers, integers + 1, rng.integers(-(1 << 31), 1 << 31, integers.shape, np.int32)):
    patterns_from_integers(other, side, SampleKind.FLOAT, width)
  for other_width in {2, 4, 8} - {width}:
    patterns_from_integers(integers, side, SampleKind.FLOAT, other_width)


@settings(max_examples=300, deadline=None)
@given(
  width=st.sampled_from([2, 4, 8]),
  way=st.integers(0, 6),
  data=st.binary(max_size=60),
  seed=st.integers(0, 1 << 32),
  bits=st.integers(1, 31),
)
def test_any_side_information(width, way, data, seed, bits):
  integers = np.random.default_rng(seed).integers(-(1 << bits), 1 << bits, (20, 1)).astype(np.int32)
  for side in (bytes([2 * (len(data) + 1) % 128, way]) + data, data):
    found = patterns_from_integers(integers, side, SampleKind.FLOAT, width)
    assert found is None or found.shape == integers.shape


# Companded samples.


@pytest.mark.parametrize('kind', [SampleKind.A_LAW, SampleKind.MU_LAW])
def test_all_characters_come_back(kind):
  characters = np.arange(256, dtype=np.uint8).reshape(128, 2)
  integers, side = converted(characters, kind)
  assert side == b'' and depth_bytes(integers) == 2
  assert len(np.unique(integers)) == 256


def test_values_are_those_of_the_recommendation():
  """ITU-T G.711, tables 1a and 2a: the ends of segments, of characters as lines have them."""
  a_law = companding.linear_values(SampleKind.A_LAW)
  positive = np.arange(128, 256) ^ 0x55
  expected = [1, 31, 33, 63, 66, 126, 132, 252, 264, 504, 528, 1008, 1056, 2016, 2112, 4032]
  assert a_law[positive][[place for k in range(8) for place in (16 * k, 16 * k + 15)]].tolist() == expected
  np.testing.assert_array_equal(a_law[positive ^ 0x80], -a_law[positive])
  mu_law = companding.linear_values(SampleKind.MU_LAW)
  positive = 255 - np.arange(128)
  expected = [0, 30, 33, 93, 99, 219, 231, 471, 495, 975, 1023, 1983, 2079, 3999, 4191, 8031]
  assert mu_law[positive][[place for k in range(8) for place in (16 * k, 16 * k + 15)]].tolist() == expected
  np.testing.assert_array_equal(mu_law[positive - 128][1:], -mu_law[positive][1:])
  assert mu_law[0x7F] == -1 and mu_law[0xFF] == 0


@pytest.mark.parametrize('kind', [SampleKind.A_LAW, SampleKind.MU_LAW])
def test_integers_of_no_character_are_refused(kind):
  integers = np.array([[2], [1]], np.int32) if kind == SampleKind.A_LAW else np.array([[0], [1]], np.int32)
  assert patterns_from_integers(integers, b'', kind, 1) is None
  for value in (-(1 << 31), -8032, 8032, (1 << 31) - 1):
    assert patterns_from_integers(np.array([[value]], np.int32), b'', kind, 1) is None
  characters = np.zeros((3, 1), np.uint8)
  assert patterns_from_integers(integers_from_patterns(characters, kind)[0], b'\0', kind, 1) is None


def test_depth_is_the_narrowest():
  for value, expected in ((0, 1), (127, 1), (-128, 1), (128, 2), (-32_769, 3), (1 << 23, 4), (-(1 << 31), 4)):
    assert depth_bytes(np.array([[value]], np.int32)) == expected


def test_channels_share_a_description_where_they_are_many():
  assert floats.integers_from_floats(np.zeros((1, 70), np.uint32))[1] == bytes([4, floats.CONSTANT, 0])
