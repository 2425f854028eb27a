"""Side information, which stands before the code of a group of channels: values in use, and lags.

Maps of used values are the first part of the code itself. docs/FORMAT.md has every byte.

Shapes: N frames, C channels of a group, B blocks of repeats.py, Z indices of a map.
"""

from collections.abc import Callable

import numpy as np

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.entropy.varints import NumberReader, write_number
from language_modeling_is_compression.format.payloads import SegmentShape
from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.long_term import BLOCK_FRAMES, MIN_LAG, NUM_LAGS, num_blocks
from language_modeling_is_compression.prediction.value_map import ChannelValues

Header = tuple[list[ChannelValues], np.ndarray]  # Values in use and, int64 [B, NUM_LAGS], lags.
ReadGroup = tuple[list[ChannelValues], np.ndarray, rans.Decoder]  # And the decoder of what follows.


def write_group(channels: list[ChannelValues], lags: np.ndarray, blocks: list[np.ndarray]) -> bytes:
  """A group: its side information, and the code of all blocks of intervals. lags: int64 [B, NUM_LAGS]."""
  return write_header(channels, lags) + rans.encode(*blocks)


def write_header(channels: list[ChannelValues], lags: np.ndarray) -> bytes:
  """lags: int64 [B, NUM_LAGS]."""
  numbers = [
    number
    for channel in channels
    for number in (
      channel.step,
      channel.offset,
      channel.least,
      channel.largest - channel.least,
      len(channel.used),
      *([channel.zone_start - channel.least] if len(channel.used) else []),
    )
  ]
  return b''.join(write_number(number) for number in numbers + lag_numbers(lags))


def read_group(body: bytes, num_channels: int, shape: SegmentShape) -> ReadGroup | None:
  """What stands before the samples of a group; None for what no encoder wrote."""
  return read_group_by(read_header, lambda code: rans.Decoder([code]), body, num_channels, shape)


def read_group_by(
  read: Callable[[NumberReader, int, SegmentShape], Header | None],
  new_decoder: Callable[[bytes], rans.Decoder],
  body: bytes,
  num_channels: int,
  shape: SegmentShape,
) -> ReadGroup | None:
  """As `read_group`, by what reads the header, and the decoder of the code behind it."""
  reader = NumberReader(body)
  try:
    header = read(reader, num_channels, shape)
  except ValueError:
    return None
  if header is None:
    return None
  channels, lags = header
  decoder = new_decoder(body[reader.position :])
  for channel in channels:
    read_map(channel.used, decoder)
  return channels, lags, decoder


def read_header(reader: NumberReader, num_channels: int, shape: SegmentShape) -> Header | None:
  """Inverse of `write_header`, with maps of the right lengths that are still to be read; None if it contradicts itself.

  Raises ValueError if it ends early.
  """
  channels = [_read_channel(reader, shape) for _ in range(num_channels)]
  lags = read_lags(reader.read, num_blocks(shape.num_frames))
  sound = [channel for channel in channels if channel is not None]
  return None if lags is None or len(sound) < num_channels else (sound, lags)


def _read_channel(reader: NumberReader, shape: SegmentShape) -> ChannelValues | None:
  step, offset, least, span, zone = (reader.read() for _ in range(5))
  start = reader.read() if zone else 0
  return sound_values(step, offset, least, span, zone, start, shape)


def sound_values(
  step: int, offset: int, least: int, span: int, zone: int, start: int, shape: SegmentShape
) -> ChannelValues | None:
  """A channel's values, or None if samples of the segment cannot have them.

  span: from the least to the largest index. zone, start: of the map, how many indices it has, and from the least on.
  """
  limit = 1 << (8 * shape.sample_bytes - 1)
  sound = (
    0 < step <= 2 * limit
    and 0 <= offset < step
    and 0 <= span < 2 * limit
    and -limit <= step * least + offset
    and step * (least + span) + offset < limit
    and 0 <= zone <= min(value_map.MAX_ZONE, span + 1)
    and 0 <= start <= span + 1 - zone
  )
  if not sound:
    return None
  used = np.ones(zone, bool)
  return ChannelValues(step=step, offset=offset, least=least, largest=least + span, zone_start=least + start, used=used)


def lag_numbers(lags: np.ndarray) -> list[int]:
  """Numbers that lags are written as.

  how many changes; for each, blocks since the last one, and lags up to the first 0.
  """
  numbers, changes, last, at = [0], 0, [0] * NUM_LAGS, 0
  for block, row in enumerate(lags.tolist()):
    if row != last:
      numbers += [block - at, *row[: row.index(0) + 1 if 0 in row else NUM_LAGS]]
      changes, last, at = changes + 1, row, block
  numbers[0] = changes
  return numbers


def read_lags(read: Callable[[], int], num: int) -> np.ndarray | None:
  """Lags of so many blocks from the numbers that `read` returns: inverse of `lag_numbers`; None if none has them."""
  lags = np.zeros((num, NUM_LAGS), np.int64)
  changes, at = read(), 0
  for change in range(changes):
    step = read()
    at += step
    if not (step > 0 or change == 0) or not 0 <= at < num:
      return None
    lags[at:] = 0
    for k in range(NUM_LAGS):
      lag = read()
      if lag and not MIN_LAG <= lag <= at * BLOCK_FRAMES:
        return None
      lags[at:, k] = lag
      if not lag:
        break
  return lags if changes >= 0 else None


def map_intervals(used: np.ndarray) -> np.ndarray:
  """Intervals of a map, uint32 [Z - 2, 2]: the first and the last are known to be used."""
  intervals = np.zeros((max(0, len(used) - 2), 2), np.uint32)
  if len(intervals):
    _encode_map(used, value_map.new_use_counts(), intervals)
  return intervals


def read_map(used: np.ndarray, decoder: rans.Decoder) -> None:
  """Fills a map, bool [Z], from the code."""
  if len(used) > 2:
    _decode_map(used, value_map.new_use_counts(), *decoder.arrays)


@compiled
def _encode_map(used, counts, intervals):
  context = value_map.count_use(0, np.int64(1), counts)
  for place in range(1, len(used) - 1):
    chance = value_map.used_chance(context, counts) << (PRECISION_BITS - 16)
    bit = np.int64(used[place])
    intervals[place - 1, 0] = 0 if bit else chance
    intervals[place - 1, 1] = chance if bit else (1 << PRECISION_BITS) - chance
    context = value_map.count_use(context, bit, counts)


@compiled
def _decode_map(used, counts, states, words, following, ends):
  context = value_map.count_use(0, np.int64(1), counts)
  for place in range(1, len(used) - 1):
    chance = value_map.used_chance(context, counts) << (PRECISION_BITS - 16)
    bit = np.int64(1) if rans.slot(states, 0) < chance else np.int64(0)
    start = np.int64(0) if bit else chance
    rans.pop(states, words, following, ends, 0, start, chance if bit else (1 << PRECISION_BITS) - chance)
    used[place] = bit
    context = value_map.count_use(context, bit, counts)
