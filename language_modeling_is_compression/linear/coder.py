"""Segments of sound to bytes and back by linear prediction alone, without a network: levels that are fast.

A segment's channels are coded together, a frame at a time, in groups of at most GROUP_CHANNELS: each group is a code of
its own. docs/FORMAT.md has every byte.

Shapes: N frames, C channels of a group.
"""

from collections.abc import Sequence

import numpy as np

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.format.division import Division, SegmentSettings, segment_division
from language_modeling_is_compression.format.layout import LinearLayout, PcmFormat
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.format.segment_coder import SegmentCoder, join_bodies, split_channels
from language_modeling_is_compression.format.side_information import map_intervals, read_group, write_header
from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import distribution, predictor
from language_modeling_is_compression.linear.buckets import MAX_SYMBOLS, decode_index, encode_index, ranks_of, window_of
from language_modeling_is_compression.linear.distribution import new_mixture
from language_modeling_is_compression.linear.predictor import new_predictor
from language_modeling_is_compression.linear.presets import PRESETS
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.lag_search import find_lags
from language_modeling_is_compression.prediction.long_term import NUM_LAGS, num_blocks
from language_modeling_is_compression.prediction.value_map import ChannelValues
from language_modeling_is_compression.system.cancellation import Cancellation

_BLOCK_FRAMES = 4096  # Coded between two looks at the cancellation.
_ENCODE, _DECODE = range(2)
_NO_INTERVALS = np.zeros((0, 2), np.uint32)
_NO_COUNTS = np.zeros((0, 0), np.uint8)
_NO_CODE = (np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64))


class LinearCoder(SegmentCoder):
  """The `ModelCoder` of linear prediction; the effort of a segment is the number of its preset."""

  identity = LinearLayout.model_id

  def division(self, pcm: PcmFormat, num_frames: int, segments: SegmentSettings) -> Division | None:
    return segment_division(pcm, num_frames, segments.frames, LinearLayout(effort=segments.preset))

  def encode_segment(self, segment: Segment, cancellation: Cancellation) -> Encoded:
    groups = [_encode_group(samples, segment.shape, cancellation) for samples in split_channels(segment.samples)]
    return Encoded(
      join_bodies([group.body for group in groups]),
      lambda: np.concatenate([group.sample_bits() for group in groups], axis=1),
    )

  def decode_group(
    self, body: bytes, num_channels: int, shape: SegmentShape, cancellation: Cancellation
  ) -> np.ndarray | None:
    read = read_group(body, num_channels, shape)
    if read is None:
      return None
    channels, lags, decoder = read
    if lags.any() and not PRESETS[shape.effort].has_lags:
      return None
    group = _Group(channels, lags, shape)
    indices = np.zeros((shape.num_frames, num_channels), np.int32)
    _, _, following, ends = decoder.arrays
    for begin in range(0, shape.num_frames, _BLOCK_FRAMES):
      cancellation.check()
      if (following > ends).any():  # A code that ends too early is given up.
        return None
      end = min(begin + _BLOCK_FRAMES, shape.num_frames)
      group.run(_DECODE, indices, begin, end, _NO_INTERVALS, _NO_COUNTS, decoder.arrays)
    return value_map.to_samples(indices, channels).astype(np.int32) if decoder.sound()[0] else None


def load_coder(device: str) -> LinearCoder:
  """The coder on a device. Raises ConfigError for another one than 'cpu'."""
  if device != 'cpu':
    raise ConfigError(f'--device {device}: linear prediction runs on CPUs only: leave it out, or name a byte model')
  return LinearCoder()


def _encode_group(samples: np.ndarray, shape: SegmentShape, cancellation: Cancellation) -> Encoded:
  """Codes the samples of a group: int32 [N, C]."""
  num_frames = len(samples)
  channels = [value_map.channel_values(channel) for channel in samples.T]
  indices = value_map.to_indices(samples, channels).astype(np.int32)
  if PRESETS[shape.effort].has_lags:
    lags = find_lags(indices, cancellation)
  else:
    lags = np.zeros((num_blocks(num_frames), NUM_LAGS), np.int64)
  blocks = [map_intervals(channel.used) for channel in channels]
  counts = np.zeros((num_frames, len(channels)), np.uint8)
  group = _Group(channels, lags, shape)
  scratch = np.zeros((min(_BLOCK_FRAMES, num_frames) * len(channels) * MAX_SYMBOLS, 2), np.uint32)
  for begin in range(0, num_frames, _BLOCK_FRAMES):
    cancellation.check()
    end = min(begin + _BLOCK_FRAMES, num_frames)
    count = group.run(_ENCODE, indices, begin, end, scratch, counts, _NO_CODE)
    blocks.append(scratch[:count].copy())
  return Encoded(
    write_header(channels, lags) + rans.encode(*blocks), lambda: _sample_bits(blocks[len(channels) :], counts)
  )


def _sample_bits(blocks: Sequence[np.ndarray], counts: np.ndarray) -> np.ndarray:
  """Code lengths of samples, float64 [N, C], by the number of their symbols, uint8 [N, C]."""
  bits = np.concatenate([[0.0], np.cumsum(rans.code_lengths(np.concatenate(blocks)))])
  ends = np.cumsum(counts, dtype=np.int64).reshape(counts.shape)
  return bits[ends] - bits[ends - counts]


class _Group:
  """State of one group of channels while it is coded. lags: int64 [B, NUM_LAGS], see prediction/long_term.py."""

  def __init__(self, channels: list[ChannelValues], lags: np.ndarray, shape: SegmentShape):
    self._bins = value_map.edges(channels)
    self._ranks = ranks_of(channels)
    self._predictor = new_predictor(PRESETS[shape.effort], self._bins.limits, lags, shape.num_frames)
    self._mixture = new_mixture(len(channels))

  def run(
    self,
    purpose: int,
    indices: np.ndarray,
    begin: int,
    end: int,
    intervals: np.ndarray,
    counts: np.ndarray,
    code: tuple[np.ndarray, ...],
  ) -> int:
    """Codes frames begin to end of indices, int32 [N, C].

    Encoding writes intervals, uint32, from the first on, and their number for each sample to counts, uint8 [N, C].
    Returns how many they are.
    """
    state = (self._predictor, self._mixture, self._bins, self._ranks)
    return _run(*state, purpose, indices, begin, end, intervals, counts, code)


@compiled
def _run(state, mixture, bins, ranks, purpose, indices, begin, end, intervals, counts, code):
  num_channels = indices.shape[1]
  at = 0
  for t in range(begin, end):
    for channel in range(num_channels):
      if bins.limits[channel, 0] == bins.limits[channel, 1]:  # Known from the side information.
        indices[t, channel] = np.int64(bins.limits[channel, 0])
        continue
      predictor.predict(state, channel, t)
      centres = state.centres[channel]
      distribution.build(mixture, channel, centres)
      window = window_of(mixture, bins, channel, centres[0])
      low_row, high_row = 0, 1
      if purpose == _ENCODE:
        index = np.int64(indices[t, channel])
        count = encode_index(mixture, bins, ranks, channel, window, index, intervals, at)
        counts[t, channel] = count
        at += count
      else:
        index, low_row, high_row = decode_index(mixture, bins, ranks, channel, centres[0], window, code)
        indices[t, channel] = index
      distribution.update(mixture, channel, np.float64(index), low_row, high_row)
      predictor.learn(state, channel, t, np.float64(index))
  return at
