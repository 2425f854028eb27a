"""Segments of sound to bytes and back by linear prediction alone, without a network: levels that are fast.

Shapes: N frames, C channels of a group.
"""

from typing import Self

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.format.division import Division, SegmentSettings, segment_division
from language_modeling_is_compression.format.layout import LinearLayout, SegmentLayout, StartedLinearLayout
from language_modeling_is_compression.format.payloads import SegmentShape
from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import distribution, predictor
from language_modeling_is_compression.linear.buckets import decode_index, encode_index, ranks_of, window_of
from language_modeling_is_compression.linear.distribution import new_mixture
from language_modeling_is_compression.linear.groups import NO_CODE, NO_COUNTS, NO_INTERVALS, GroupCoder
from language_modeling_is_compression.linear.predictor import new_predictor
from language_modeling_is_compression.linear.presets import PRESETS
from language_modeling_is_compression.linear.start import begin
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.value_map import ChannelValues

_ENCODE, _DECODE = range(2)


class LinearCoder(GroupCoder):
  """The `ModelCoder` of linear prediction; the effort of a segment is the number of its preset."""

  presets = PRESETS

  def __init__(self, layout: type[LinearLayout] = StartedLinearLayout):
    super().__init__(layout)
    self.identity = layout.model_id

  def of(self, layout: type[SegmentLayout]) -> Self:
    return type(self)(layout) if issubclass(layout, LinearLayout) else self

  def division(self, pcm: PcmFormat, num_frames: int, segments: SegmentSettings) -> Division | None:
    return segment_division(pcm, num_frames, segments.frames, self.layout(effort=segments.preset))

  def new_group(self, channels: list[ChannelValues], lags: np.ndarray, shape: SegmentShape) -> '_Group':
    return _Group(channels, lags, shape, has_starts=self.has_starts)


def load_coder(device: str) -> LinearCoder:
  """The coder on a device. Raises ConfigError for another one than 'cpu'."""
  if device != 'cpu':
    raise ConfigError(f'--device {device}: linear prediction runs on CPUs only: leave it out, or name a byte model')
  return LinearCoder()


class _Group:
  """The `Group` of linear prediction."""

  def __init__(self, channels: list[ChannelValues], lags: np.ndarray, shape: SegmentShape, *, has_starts: bool):
    bins = value_map.edges(channels)
    predicts = new_predictor(PRESETS[shape.effort], bins.limits, lags, shape.num_frames)
    mixture = new_mixture(len(channels), has_end_buckets=has_starts)
    if has_starts:
      predicts, mixture = begin(predicts, mixture, [channel.start for channel in channels])
    self._state = (predicts, mixture, bins, ranks_of(channels))

  def encode(self, indices: np.ndarray, begin: int, end: int, intervals: np.ndarray, counts: np.ndarray) -> int:
    return _run(*self._state, _ENCODE, indices, begin, end, intervals, counts, NO_CODE)

  def decode(self, indices: np.ndarray, begin: int, end: int, code: tuple[np.ndarray, ...]) -> None:
    _run(*self._state, _DECODE, indices, begin, end, NO_INTERVALS, NO_COUNTS, code)


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
