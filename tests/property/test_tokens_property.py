"""Tokens: round trips, exact rules against Python's integers, and chunks read alone against the whole file."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from language_modeling_is_compression.audio.pcm import integers_from_raw, wav_integers
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

FRAMES = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))

# A busy machine is no failure.
unhurried = settings(deadline=None)


@st.composite
def spans(draw):
  num_frames = draw(st.integers(0, 40))
  num_channels = draw(st.integers(1, 5))
  block = draw(st.integers(1, 12))
  start, stop = sorted(draw(st.tuples(*[st.integers(0, num_frames * num_channels)] * 2)))
  return start, stop, num_frames, num_channels, block


def distinct_frames(num_frames: int, num_channels: int) -> np.ndarray:
  return np.arange(num_frames * num_channels).reshape(num_frames, num_channels)


@unhurried
@given(spans())
def test_span_alone_is_the_slice_of_the_whole(case):
  start, stop, num_frames, num_channels, block = case
  frames = distinct_frames(num_frames, num_channels)
  frame_start, frame_stop, offset = interleaved_span(*case)
  assert 0 <= frame_start <= frame_stop <= num_frames and frame_start % block == 0 and offset >= 0
  alone = interleave_blocks(frames[frame_start:frame_stop], block)[offset : offset + stop - start]
  np.testing.assert_array_equal(alone, interleave_blocks(frames, block)[start:stop])


@unhurried
@given(spans())
def test_no_smaller_span_will_do(case):
  start, stop, num_frames, num_channels, block = case
  frames = distinct_frames(num_frames, num_channels)
  wanted = interleave_blocks(frames, block)[start:stop].tobytes()
  frame_start, frame_stop, _ = interleaved_span(*case)
  if start < stop:
    later = interleave_blocks(frames[frame_start + block : frame_stop], block)
    shorter = interleave_blocks(frames[frame_start : frame_stop - 1], block)
    assert wanted not in later.tobytes() and wanted not in shorter.tobytes()


@unhurried
@given(FRAMES, st.integers(1, 12))
def test_layout_keeps_every_sample_in_channel_order(frames, block):
  laid_out = interleave_blocks(frames, block).tolist()
  for begin in range(0, len(frames), block):
    for channel in range(frames.shape[1]):
      part = frames[begin : begin + block, channel].tolist()
      assert laid_out[: len(part)] == part
      del laid_out[: len(part)]
  assert laid_out == []


@unhurried
@given(FRAMES)
def test_mix_down_is_the_rounded_mean(frames):
  expected = [(2 * sum(frame) + len(frame)) // (2 * len(frame)) for frame in frames.tolist()]
  assert mix_down(frames).tolist() == expected


@unhurried
@given(st.sampled_from([8, 16, 24, 32]), st.sampled_from([8, 16]), st.data())
def test_reduce_depth_is_the_top_bits(from_bits, to_bits, data):
  values = data.draw(st.lists(st.integers(-(2 ** (from_bits - 1)), 2 ** (from_bits - 1) - 1)))
  expected = [value * 2**to_bits // 2**from_bits + 2 ** (to_bits - 1) for value in values]
  assert reduce_depth(np.array(values, np.int32), from_bits, to_bits).tolist() == expected


@unhurried
@given(st.integers(1, 4), st.data())
def test_bytes_and_samples_round_trip(sample_bytes, data):
  values = data.draw(st.lists(st.integers(0, 2 ** (8 * sample_bytes) - 1)))
  tokens = bytes_from_samples(np.array(values, np.uint32), sample_bytes)
  assert tokens.tobytes() == b''.join(value.to_bytes(sample_bytes, 'big') for value in values)
  assert samples_from_bytes(tokens, sample_bytes).tolist() == values


@unhurried
@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=1)))
def test_mu_law_of_what_it_decodes_to_is_the_same_value(tokens):
  decoded = mu_law_decode(tokens)
  np.testing.assert_array_equal(mu_law(decoded, 16), np.where(tokens == 127, 128, tokens))


@unhurried
@given(hnp.arrays(np.int16, hnp.array_shapes(max_dims=1)))
def test_mu_law_error_is_at_most_half_a_step(samples):
  wide = samples.astype(np.int32)
  decoded = mu_law_decode(mu_law(wide, 16))
  # A step of segment g is 2**(g + 3); flooring to 14 bits adds up to 3, clipping up to 32768 - 32124.
  step = 2.0 ** (np.floor(np.log2(np.abs(decoded) + 132)) - 4)
  clipped = np.abs(wide) > 32124
  assert (np.abs(decoded - wide) <= np.where(clipped, 644, step / 2 + 3)).all()


@unhurried
@given(FRAMES, st.integers(1, 4))
def test_planes_are_those_of_the_file(frames, sample_bytes):
  """Whether from a file's bytes or from its samples: the same, and nothing is lost."""
  samples = frames >> (32 - 8 * sample_bytes)
  stored = (samples + 128 if sample_bytes == 1 else samples).astype('<i4').view(np.uint8)
  raw = stored.reshape(*frames.shape, 4)[:, :, :sample_bytes]
  pcm = wav_integers(sample_bytes=sample_bytes, num_channels=frames.shape[1], sample_rate_hz=8000)
  planes = planes_from_samples(samples, sample_bytes)
  expected = raw[:, :, ::-1].transpose(1, 2, 0).copy()
  expected[:, 0] ^= 0x80 * (sample_bytes > 1)
  np.testing.assert_array_equal(planes, expected)
  np.testing.assert_array_equal(integers_from_raw(np.ascontiguousarray(raw), pcm), samples)
  np.testing.assert_array_equal(samples_from_planes(planes), samples)
