"""Side information of codings 5 and 6: as that of the codings before (side_information.py), in fewer bytes.

Beside values and lags it says how channels begin. What seldom is, a step, a map, is there only where a flag says so; a
channel of one value is that value; nothing is written that could not be otherwise. docs/FORMAT.md has every byte.

Shapes: C channels of a group, B blocks of lags.
"""

import numpy as np

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.entropy.varints import NumberReader, write_natural, write_number
from language_modeling_is_compression.format.payloads import SegmentShape
from language_modeling_is_compression.format.side_information import (
  Header,
  ReadGroup,
  lag_numbers,
  read_group_by,
  read_lags,
  sound_values,
)
from language_modeling_is_compression.prediction.codebook import NUM_FILTERS
from language_modeling_is_compression.prediction.long_term import NUM_LAGS, num_blocks
from language_modeling_is_compression.prediction.start import DEFAULT_START, MAX_LEVEL, MIN_LEVEL, Start
from language_modeling_is_compression.prediction.value_map import ChannelValues

_ONE_VALUE = 0  # The head of a channel that never changes; others are above.
_HAS_STEP, _HAS_MAP = 1, 2
_FLAGS = 4
_NUM_LEVELS = MAX_LEVEL - MIN_LEVEL + 1


def write_group(channels: list[ChannelValues], lags: np.ndarray, blocks: list[np.ndarray]) -> bytes:
  """A group: its side information, and the code of all blocks of intervals. lags: int64 [B, NUM_LAGS]."""
  return write_header(channels, lags) + rans.encode_compact(*blocks)


def write_header(channels: list[ChannelValues], lags: np.ndarray) -> bytes:
  """lags: int64 [B, NUM_LAGS]."""
  written = b''.join(_channel_bytes(channel) for channel in channels)
  if _may_have_lags(channels, len(lags)):
    written += b''.join(write_natural(number) for number in lag_numbers(lags))
  return written


def read_group(body: bytes, num_channels: int, shape: SegmentShape) -> ReadGroup | None:
  """What stands before the samples of a group, starts too; None for what no encoder wrote."""
  return read_group_by(read_header, rans.Decoder.of_compact, body, num_channels, shape)


def read_header(reader: NumberReader, num_channels: int, shape: SegmentShape) -> Header | None:
  """Inverse of `write_header`, with maps of the right lengths that are still to be read; None if it contradicts itself.

  Raises ValueError if it ends early.
  """
  channels = []
  for _ in range(num_channels):
    channel = _read_channel(reader, shape)
    if channel is None:
      return None
    channels.append(channel)
  num = num_blocks(shape.num_frames)
  lags = read_lags(reader.read_natural, num) if _may_have_lags(channels, num) else np.zeros((num, NUM_LAGS), np.int64)
  return None if lags is None else (channels, lags)


def _may_have_lags(channels: list[ChannelValues], num: int) -> bool:
  """Whether there can be lags: they lead back to a block before."""
  return num > 1 and any(channel.least < channel.largest for channel in channels)


def _channel_bytes(channel: ChannelValues) -> bytes:
  span = channel.largest - channel.least
  if span == 0:
    return write_natural(_ONE_VALUE) + write_number(channel.step * channel.least + channel.offset)
  start = channel.start or DEFAULT_START
  flags = (_HAS_STEP if channel.step > 1 else 0) + (_HAS_MAP if len(channel.used) else 0)
  head = ((start.level - MIN_LEVEL) * NUM_FILTERS + start.filter) * _FLAGS + flags
  written = write_natural(1 + head)
  if channel.step > 1:
    written += write_natural(channel.step) + write_natural(channel.offset)
  written += write_number(channel.least + (span >> 1)) + write_natural(span)
  if len(channel.used):
    written += write_natural(len(channel.used)) + write_natural(channel.zone_start - channel.least)
  return written


def _read_channel(reader: NumberReader, shape: SegmentShape) -> ChannelValues | None:
  head = reader.read_natural()
  if head == _ONE_VALUE:
    return sound_values(1, 0, reader.read(), 0, 0, 0, shape)
  start, flags = divmod(head - 1, _FLAGS)
  level, number = divmod(start, NUM_FILTERS)
  step, offset = (reader.read_natural(), reader.read_natural()) if flags & _HAS_STEP else (1, 0)
  middle, span = reader.read(), reader.read_natural()
  zone, zone_start = (reader.read_natural(), reader.read_natural()) if flags & _HAS_MAP else (0, 0)
  values = sound_values(step, offset, middle - (span >> 1), span, zone, zone_start, shape)
  if values is None or level >= _NUM_LEVELS or span == 0:
    return None
  return values.begun(Start(filter=number, level=MIN_LEVEL + level))
