"""PCM samples to tokens and back, in integers alone: every rule here is exact and the same on every machine.

Shapes: N frames or samples, C channels. Samples are signed until `reduce_depth` or `mu_law` makes them unsigned.
"""

import numpy as np

_MU_LAW_BIAS = 33
_MU_LAW_CLIP = 8158


def mix_down(frames: np.ndarray) -> np.ndarray:
  """Mean of the channels, rounded to nearest, ties upwards: floor((2 * sum + C) / (2 * C)).

  frames: signed integers [N, C], of 32 bits or fewer.
  Returns int32 [N].
  """
  num_channels = frames.shape[1]
  sums = frames.sum(axis=1, dtype=np.int64)
  return ((2 * sums + num_channels) // (2 * num_channels)).astype(np.int32)


def interleave_blocks(frames: np.ndarray, block: int) -> np.ndarray:
  """Lays the channels out in alternating blocks: `block` samples of channel 0, the same span of channel 1, and so on.

  frames: [N, C] of any dtype. block: samples, 1 or more, else ValueError.
  Returns [N * C] of the same dtype: after the last channel's block the next span begins with channel 0; the last span
  is shorter where block does not divide N.
  """
  _check_block(block)
  num_frames, num_channels = frames.shape
  whole = num_frames - num_frames % block
  blocks = frames[:whole].reshape(-1, block, num_channels).transpose(0, 2, 1)
  return np.concatenate([blocks.reshape(-1), frames[whole:].T.reshape(-1)])


def frames_of_blocks(samples: np.ndarray, num_channels: int, block: int) -> np.ndarray:
  """Inverse of `interleave_blocks` where all blocks are whole: [N, C] from samples [N * C] of any dtype.

  Raises ValueError if block is not 1 or more, or num_channels * block does not divide the number of samples.
  """
  _check_block(block)
  if samples.size % (num_channels * block):
    raise ValueError(f'{samples.size} samples in {num_channels} channels and blocks of {block}')
  return samples.reshape(-1, num_channels, block).transpose(0, 2, 1).reshape(-1, num_channels)


def interleaved_span(start: int, stop: int, num_frames: int, num_channels: int, block: int) -> tuple[int, int, int]:
  """The frames that must be read for samples start:stop of what `interleave_blocks` returns for a whole file.

  0 <= start <= stop <= num_frames * num_channels and block >= 1, else ValueError.
  Returns (frame_start, frame_stop, offset): the smallest span whose own layout has the wanted samples in one piece,
  `interleave_blocks(frames[frame_start:frame_stop], block)[offset : offset + stop - start]`; frame_start is a multiple
  of block.
  """
  _check_block(block)
  if not 0 <= start <= stop <= num_frames * num_channels:
    raise ValueError(f'samples {start}:{stop} of {num_frames} frames of {num_channels} channels')
  span = block * num_channels  # Samples from one block of channel 0 to the next.
  first_span, offset = divmod(start, span)
  frame_start = first_span * block
  if start == stop:
    return frame_start, frame_start, 0
  last_span, last_sample = divmod(stop - 1, span)
  last_start = last_span * block
  last_frames = min(block, num_frames - last_start)
  last_channel, last_frame = divmod(last_sample, last_frames)
  first_channel, first_frame = divmod(offset, last_frames) if first_span == last_span else (0, 0)
  if first_channel < last_channel:
    return frame_start, last_start + last_frames, offset
  # The last span is wanted in one channel only, so the frames after the last wanted sample are not needed; without them
  # the blocks before that channel's are shorter.
  if first_span == last_span:
    offset = first_channel * (last_frame + 1) + first_frame
  return frame_start, last_start + last_frame + 1, offset


def reduce_depth(samples: np.ndarray, from_bits: int, to_bits: int) -> np.ndarray:
  """The top bits of signed samples, in offset binary: floor(s / 2**(from_bits - to_bits)) + 2**(to_bits - 1).

  samples: signed integers of from_bits bits. from_bits: 8, 16, 24 or 32. to_bits: 8, 16 or 24. Else ValueError. Where
  from_bits < to_bits the samples are shifted left.
  Returns uint32 of the same shape, in [0, 2**to_bits).
  """
  if to_bits not in (8, 16, 24):
    raise ValueError(f'to_bits is {to_bits}, not 8, 16 or 24')
  return (_to_bits(samples, from_bits, to_bits) + (1 << (to_bits - 1))).astype(np.uint32)


def mu_law(samples: np.ndarray, from_bits: int) -> np.ndarray:
  """ITU-T G.711 mu-law of signed samples, renumbered so that the order of tokens is the order of values.

  samples: signed integers of from_bits bits (8, 16, 24 or 32, else ValueError).
  Returns uint8 tokens of the same shape: 0 the loudest negative, 128 silence, 255 the loudest positive.

  The rule: s becomes 14 bits, floor(s / 2**(from_bits - 14)), or s * 2**6 from 8 bits. m = min(|s|, 8158) + 33, from 33
  to 8191; segment g = floor(log2(m)) - 5, from 0 to 7; step q = floor(m / 2**(g + 1)) - 16, from 0 to 15; magnitude
  a = 16 * g + q. The token is 128 + a for s >= 0 and 127 - a for s < 0.

  G.711's own byte is the token below 128, and 383 - token from 128 on. No sample gives token 127, its negative zero.
  """
  linear = _to_bits(samples, from_bits, 14)
  biased = np.minimum(np.abs(linear), _MU_LAW_CLIP) + _MU_LAW_BIAS
  segment = np.searchsorted(np.left_shift(64, np.arange(7)), biased, side='right')
  magnitude = 16 * segment + (biased >> (segment + 1)) - 16
  return np.where(linear < 0, 127 - magnitude, 128 + magnitude).astype(np.uint8)


def mu_law_decode(tokens: np.ndarray) -> np.ndarray:
  """The samples that G.711 reconstructs from the tokens of `mu_law`, as 16-bit integers.

  tokens: uint8 of any shape.
  Returns int32 of the same shape, in [-32124, 32124]: with a = token - 128 (or 127 - token below 128), g = a // 16 and
  q = a % 16, the magnitude is (8 * q + 132) * 2**g - 132, four times the 14-bit value.
  """
  linear = tokens.astype(np.int32)
  magnitude = np.where(linear < 128, 127 - linear, linear - 128)
  segment, step = magnitude >> 4, magnitude & 15
  value = ((8 * step + 4 * _MU_LAW_BIAS) << segment) - 4 * _MU_LAW_BIAS
  return np.where(linear < 128, -value, value)


def bytes_from_samples(samples: np.ndarray, sample_bytes: int) -> np.ndarray:
  """Byte tokens of unsigned samples, most significant byte first.

  samples: integers [N] in [0, 2**(8 * sample_bytes)). sample_bytes: 1 to 4. Else ValueError, so that no bit is lost.
  Returns uint8 [N * sample_bytes].
  """
  _check_sample_bytes(sample_bytes)
  if samples.size and (samples.min() < 0 or int(samples.max()) >> (8 * sample_bytes)):
    raise ValueError(f'samples from {samples.min()} to {samples.max()} in {sample_bytes} bytes')
  return samples.astype('>u4').view(np.uint8).reshape(-1, 4)[:, 4 - sample_bytes :].reshape(-1)


def samples_from_bytes(tokens: np.ndarray, sample_bytes: int) -> np.ndarray:
  """Inverse of `bytes_from_samples`: uint32 [N] from uint8 tokens [N * sample_bytes].

  Raises ValueError if sample_bytes is not 1 to 4 or does not divide the number of tokens.
  """
  _check_sample_bytes(sample_bytes)
  if tokens.size % sample_bytes:
    raise ValueError(f'{tokens.size} tokens in samples of {sample_bytes} bytes')
  wide = np.zeros((tokens.size // sample_bytes, 4), np.uint8)
  wide[:, 4 - sample_bytes :] = tokens.reshape(-1, sample_bytes)
  return wide.reshape(-1).view('>u4').astype(np.uint32)


def _to_bits(samples: np.ndarray, from_bits: int, to_bits: int) -> np.ndarray:
  """Signed samples of from_bits bits as int32 of to_bits bits (at most 24): shifted, rounding down."""
  if from_bits not in (8, 16, 24, 32):
    raise ValueError(f'from_bits is {from_bits}, not 8, 16, 24 or 32')
  wide = samples.astype(np.int32)
  return wide >> (from_bits - to_bits) if from_bits >= to_bits else wide << (to_bits - from_bits)


def _check_block(block: int) -> None:
  if block < 1:
    raise ValueError(f'block is {block}, not 1 or more')


def _check_sample_bytes(sample_bytes: int) -> None:
  if not 1 <= sample_bytes <= 4:
    raise ValueError(f'sample_bytes is {sample_bytes}, not 1 to 4')
