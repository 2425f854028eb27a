"""Rules of tokens against small tables worked out by hand, and against the standard library's G.711."""

import warnings

import numpy as np
import pytest

from language_modeling_is_compression.audio.planes import planes_from_samples, samples_from_planes
from language_modeling_is_compression.data.tokens import (
  bytes_from_samples,
  interleave_blocks,
  interleaved_span,
  mix_down,
  mu_law,
  mu_law_decode,
  reduce_depth,
  samples_from_bytes,
)

INT16 = np.arange(-(2**15), 2**15, dtype=np.int32)
EXTREMES_32 = np.array([-(2**31), -1, 0, 1, 2**31 - 1], np.int32)


@pytest.fixture
def audioop():
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', DeprecationWarning)
    return pytest.importorskip('audioop')


def test_mix_down_rounds_ties_upwards():
  frames = np.array([[1, 2], [-1, -2], [3, 4], [0, -1], [5, 5], [-3, 0]], np.int32)
  mono = mix_down(frames)
  assert mono.dtype == np.int32
  np.testing.assert_array_equal(mono, [2, -1, 4, 0, 5, -1])
  np.testing.assert_array_equal(
    mix_down(np.array([[0, 0, 1], [0, 1, 1], [0, -1, -1], [0, 0, -1]], np.int32)), [0, 1, -1, 0]
  )


def test_mix_down_of_one_channel_and_of_extremes():
  np.testing.assert_array_equal(mix_down(EXTREMES_32[:, None]), EXTREMES_32)
  for channels in (2, 3, 255):
    np.testing.assert_array_equal(mix_down(np.repeat(EXTREMES_32[:, None], channels, axis=1)), EXTREMES_32)
  assert mix_down(np.zeros((0, 2), np.int32)).shape == (0,)


def test_interleave_blocks():
  frames = np.array([[0, 10], [1, 11], [2, 12], [3, 13], [4, 14]])
  np.testing.assert_array_equal(interleave_blocks(frames, 2), [0, 1, 10, 11, 2, 3, 12, 13, 4, 14])
  np.testing.assert_array_equal(interleave_blocks(frames, 1), frames.reshape(-1))
  np.testing.assert_array_equal(interleave_blocks(frames, 9), frames.T.reshape(-1))
  assert interleave_blocks(frames[:0], 2).shape == (0,)


def test_interleaved_span_reads_no_more_than_it_needs():
  # Laid out: 0 1 10 11 | 2 3 12 13 | 4 14, of five frames in blocks of two.
  assert interleaved_span(4, 6, 5, 2, 2) == (2, 4, 0)
  assert interleaved_span(6, 7, 5, 2, 2) == (2, 3, 1)
  assert interleaved_span(1, 5, 5, 2, 2) == (0, 3, 1)
  assert interleaved_span(9, 10, 5, 2, 2) == (4, 5, 1)
  assert interleaved_span(10, 10, 5, 2, 2) == (4, 4, 0)


@pytest.mark.parametrize(('start', 'stop', 'block'), [(-1, 2, 2), (3, 2, 2), (0, 11, 2), (0, 1, 0)])
def test_interleaved_span_outside_of_the_file(start, stop, block):
  with pytest.raises(ValueError, match=r'samples|block'):
    interleaved_span(start, stop, 5, 2, block)


def test_interleave_blocks_without_a_block():
  with pytest.raises(ValueError, match='block'):
    interleave_blocks(np.zeros((4, 2)), 0)


@pytest.mark.parametrize(
  ('samples', 'from_bits', 'to_bits', 'expected'),
  [
    ([-32768, -1, 0, 1, 32767], 16, 16, [0, 32767, 32768, 32769, 65535]),
    ([-32768, -257, -256, -1, 0, 255, 256, 32767], 16, 8, [0, 126, 127, 127, 128, 128, 129, 255]),
    ([-128, -1, 0, 127], 8, 8, [0, 127, 128, 255]),
    ([-128, -1, 0, 127], 8, 16, [0, 0x7F00, 0x8000, 0xFF00]),
    ([-(2**23), -1, 0, 255, 256, 2**23 - 1], 24, 16, [0, 32767, 32768, 32768, 32769, 65535]),
    ([-(2**23), -1, 0, 1, 2**23 - 1], 24, 24, [0, 2**23 - 1, 2**23, 2**23 + 1, 2**24 - 1]),
    ([-32768, -1, 0, 32767], 16, 24, [0, 0x7FFF00, 0x800000, 0xFFFF00]),
    ([-(2**31), -257, 255, 256, 2**31 - 1], 32, 24, [0, 2**23 - 2, 2**23, 2**23 + 1, 2**24 - 1]),
    (EXTREMES_32, 32, 8, [0, 127, 128, 128, 255]),
  ],
)
def test_reduce_depth(samples, from_bits, to_bits, expected):
  reduced = reduce_depth(np.array(samples, np.int32), from_bits, to_bits)
  assert reduced.dtype == np.uint32
  np.testing.assert_array_equal(reduced, expected)


@pytest.mark.parametrize(('from_bits', 'to_bits'), [(12, 8), (16, 12), (16, 32), (0, 8)])
def test_reduce_depth_of_other_widths(from_bits, to_bits):
  with pytest.raises(ValueError, match='bits'):
    reduce_depth(np.zeros(1, np.int32), from_bits, to_bits)


def test_mu_law_is_g711_renumbered(audioop):
  tokens = mu_law(INT16, 16)
  assert tokens.dtype == np.uint8
  codes = np.frombuffer(audioop.lin2ulaw(INT16.astype('<i2').tobytes(), 2), np.uint8).astype(int)
  np.testing.assert_array_equal(tokens, np.where(codes < 128, codes, 383 - codes))


@pytest.mark.parametrize(('bits', 'width'), [(8, 1), (24, 3), (32, 4)])
def test_mu_law_of_other_widths(audioop, bits, width):
  low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
  rng = np.random.default_rng(2)
  samples = np.concatenate([rng.integers(low, high, 5000, endpoint=True), np.arange(-99, 99), [low, high]]).astype(
    '<i4'
  )
  raw = samples.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
  codes = np.frombuffer(audioop.lin2ulaw(raw, width), np.uint8).astype(int)
  np.testing.assert_array_equal(mu_law(samples, bits), np.where(codes < 128, codes, 383 - codes))


def test_mu_law_decode_is_g711(audioop):
  tokens = np.arange(256, dtype=np.uint8)
  codes = np.where(tokens < 128, tokens, 383 - tokens.astype(int)).astype(np.uint8)
  decoded = mu_law_decode(tokens)
  assert decoded.dtype == np.int32
  np.testing.assert_array_equal(decoded, np.frombuffer(audioop.ulaw2lin(codes.tobytes(), 2), '<i2'))


def test_mu_law_values_by_hand():
  # Silence, the least negative, the edges of segments 0 and 1, clipping.
  samples = np.array([0, -1, 4 * 30, 4 * 31, 4 * 8158, 32767, -32768])
  np.testing.assert_array_equal(mu_law(samples, 16), [128, 126, 143, 144, 255, 255, 0])
  np.testing.assert_array_equal(
    mu_law_decode(np.array([0, 126, 127, 128, 129, 255], np.uint8)), [-32124, -8, 0, 0, 8, 32124]
  )


def test_mu_law_keeps_the_order_of_values():
  assert (np.diff(mu_law(INT16, 16).astype(int)) >= 0).all()
  assert (np.diff(mu_law_decode(np.arange(256, dtype=np.uint8))) >= 0).all()


def test_bytes_most_significant_first():
  np.testing.assert_array_equal(bytes_from_samples(np.array([0x0102, 0xFFFE]), 2), [1, 2, 255, 254])
  np.testing.assert_array_equal(bytes_from_samples(np.array([0x010203], np.uint32), 3), [1, 2, 3])
  np.testing.assert_array_equal(bytes_from_samples(np.array([7, 0], np.uint8), 1), [7, 0])
  np.testing.assert_array_equal(samples_from_bytes(np.array([1, 2, 255, 254], np.uint8), 2), [0x0102, 0xFFFE])
  assert bytes_from_samples(np.zeros(3, np.uint32), 4).dtype == np.uint8
  assert samples_from_bytes(np.zeros(6, np.uint8), 3).dtype == np.uint32
  assert (
    bytes_from_samples(np.zeros(0, np.uint32), 2).shape == samples_from_bytes(np.zeros(0, np.uint8), 2).shape == (0,)
  )


@pytest.mark.parametrize(
  ('samples', 'sample_bytes'), [([256], 1), ([-1], 2), ([-1, 5], 2), ([2**24], 3), ([1], 0), ([1], 5), ([2**32], 4)]
)
def test_no_bit_is_lost_unseen(samples, sample_bytes):
  with pytest.raises(ValueError, match='bytes'):
    bytes_from_samples(np.array(samples), sample_bytes)


@pytest.mark.parametrize(('size', 'sample_bytes'), [(3, 2), (4, 0), (5, 5)])
def test_samples_from_bytes_that_do_not_fit(size, sample_bytes):
  with pytest.raises(ValueError, match='bytes'):
    samples_from_bytes(np.zeros(size, np.uint8), sample_bytes)


@pytest.mark.parametrize(
  ('sample_bytes', 'samples', 'planes'),
  [
    (1, [[-128, 127], [0, -1]], [[[0, 128]], [[255, 127]]]),
    (2, [[-(2**15)], [-1], [0], [0x1234]], [[[0, 127, 128, 0x92], [0, 255, 0, 0x34]]]),
    (3, [[-(2**23)], [2**23 - 1], [0x123456]], [[[0, 255, 0x92], [0, 255, 0x34], [0, 255, 0x56]]]),
    (4, [[-(2**31), 2**31 - 1]], [[[0], [0], [0], [0]], [[255], [255], [255], [255]]]),
  ],
)
def test_samples_and_planes(sample_bytes, samples, planes):
  samples, planes = np.array(samples, np.int32), np.array(planes, np.uint8)
  found = samples_from_planes(planes)
  assert found.dtype == np.int32
  np.testing.assert_array_equal(found, samples)
  back = planes_from_samples(samples, sample_bytes)
  assert back.dtype == np.uint8 and back.flags.c_contiguous
  np.testing.assert_array_equal(back, planes)


@pytest.mark.parametrize('sample_bytes', [0, 5])
def test_planes_of_other_widths(sample_bytes):
  with pytest.raises(ValueError, match=f'sample_bytes is {sample_bytes}, not 1 to 4'):
    planes_from_samples(np.zeros((1, 1), np.int32), sample_bytes)
  with pytest.raises(ValueError, match=f'sample_bytes is {sample_bytes}, not 1 to 4'):
    samples_from_planes(np.zeros((1, sample_bytes, 1), np.uint8))
