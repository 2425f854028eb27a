"""Side information of version 5: values, starts and lags come back, in as few bytes as is said; other things do not."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hybrid_cases import shape_of

from language_modeling_is_compression.entropy.varints import NumberReader, write_natural, write_number
from language_modeling_is_compression.format import compact_side_information
from language_modeling_is_compression.format.compact_side_information import read_group, read_header, write_header
from language_modeling_is_compression.format.payloads import SegmentShape
from language_modeling_is_compression.format.side_information import map_intervals
from language_modeling_is_compression.prediction.codebook import NUM_FILTERS
from language_modeling_is_compression.prediction.long_term import BLOCK_FRAMES, MIN_LAG, NUM_LAGS
from language_modeling_is_compression.prediction.start import MAX_LEVEL, MIN_LEVEL, Start
from language_modeling_is_compression.prediction.value_map import ChannelValues, channel_values

NUM_BLOCKS = 5
LONG = SegmentShape(
  num_frames=(NUM_BLOCKS - 1) * BLOCK_FRAMES + 1, num_channels=1, sample_bytes=2, sample_rate_hz=8000, effort=0
)
SHORT = shape_of(np.zeros((5, 1), np.int32))
NO_LAGS = np.zeros((1, NUM_LAGS), np.int64)
START = Start(filter=7, level=6)
STARTS = st.builds(Start, filter=st.integers(0, NUM_FILTERS - 1), level=st.integers(MIN_LEVEL, MAX_LEVEL))


def fields(channel: ChannelValues) -> list[object]:
  return [getattr(channel, field.name) for field in dataclasses.fields(channel) if field.name != 'used']


def read(data: bytes, shape: SegmentShape = SHORT) -> tuple[list[ChannelValues], np.ndarray] | None:
  """What bytes say, all of which are read if they are anything."""
  reader = NumberReader(data)
  found = read_header(reader, 1, shape)
  assert found is None or reader.position == len(data)
  return found


def sounds() -> list[np.ndarray]:
  rng = np.random.default_rng(0)
  return [
    np.round(1.9968 * rng.laplace(0, 150, 4000).round()).astype(np.int32),
    (16 * rng.integers(-900, 900, 4000) - 5).astype(np.int32),
    np.full(4000, -77, np.int32),
    rng.integers(-32_768, 32_768, 4000).astype(np.int32),
    np.array([-1, 0, 1, 0] * 1000, np.int32),
  ]


@settings(deadline=None)
@given(STARTS)
def test_values_and_starts_come_back(start):
  """Of steps, offsets, maps and constants; these have no start."""
  channels = [channel_values(sound) for sound in sounds()]
  channels = [channel.begun(start) if channel.least < channel.largest else channel for channel in channels]
  assert len(channels[0].used) > 100 and channels[1].step == 16
  reader = NumberReader(write_header(channels, NO_LAGS))
  found = read_header(reader, len(channels), shape_of(np.stack(sounds(), axis=1)))
  assert found is not None and not found[1].any()
  for channel, back in zip(channels, found[0], strict=True):
    assert fields(channel) == fields(back) and len(channel.used) == len(back.used)


def test_groups_come_back_with_their_maps():
  channel = channel_values(sounds()[0]).begun(START)
  body = compact_side_information.write_group([channel], NO_LAGS, [map_intervals(channel.used)])
  found = read_group(body, 1, shape_of(sounds()[0][:, np.newaxis]))
  assert found is not None
  [back], _, decoder = found
  np.testing.assert_array_equal(back.used, channel.used)
  assert decoder.sound()[0]


@pytest.mark.parametrize(
  ('samples', 'count'),
  [
    ([0, 0, 0], 2),
    ([-64, -64, -64], 2),
    ([64, 64, 64], 3),
    ([-50, 70, 69], 4),
    ([-3000, 3000, 2999], 5),
    ([-32_768, 32_767, 0], 6),
    ([-160, 160, 16], 6),
  ],
)
def test_they_take_few_bytes(samples, count):
  """One value: 2 or more. Others: 2 for the start, 1 or more for the middle and the span each, 2 or more for a step."""
  assert len(write_header([channel_values(np.array(samples, np.int32)).begun(START)], NO_LAGS)) == count


def test_bytes_are_as_the_format_says():
  """By hand."""
  head = 1 + 4 * (32 * (6 + 2) + 7)
  middle, span = write_number(10), write_natural(201)
  plain = ChannelValues(step=1, offset=0, least=-90, largest=111, zone_start=-90, used=np.ones(0, bool), start=START)
  assert write_header([plain], NO_LAGS) == write_natural(head) + middle + span
  stepped = dataclasses.replace(plain, step=300, offset=299)
  assert write_header([stepped], NO_LAGS) == (
    write_natural(head + 1) + write_natural(300) + write_natural(299) + middle + span
  )
  mapped = dataclasses.replace(plain, zone_start=-88, used=np.ones(130, bool))
  assert write_header([mapped], NO_LAGS) == write_natural(head + 2) + middle + span + write_natural(130) + b'\2'
  constant = dataclasses.replace(plain, least=-77, largest=-77)
  assert write_header([constant], NO_LAGS) == b'\0' + write_number(-77)
  lags = np.array([[0, 0], [4096, 0], [4096, 0], [32, 8192], [0, 0]])
  numbers = [3, 1, 4096, 0, 2, 32, 8192, 1, 0]
  assert write_header([plain], lags) == write_natural(head) + middle + span + b''.join(map(write_natural, numbers))
  assert write_header([constant], np.zeros_like(lags)) == b'\0' + write_number(-77)


@settings(deadline=None)
@given(st.data())
def test_lags_come_back(data):
  rows = [[0] * NUM_LAGS]
  for block in range(1, NUM_BLOCKS):
    count = data.draw(st.integers(0, NUM_LAGS))
    new = [data.draw(st.integers(MIN_LAG, block * BLOCK_FRAMES)) for _ in range(count)] + [0] * (NUM_LAGS - count)
    rows.append(data.draw(st.sampled_from([rows[-1], new])))
  found = read(write_header([channel_values(np.array([-5, 100, 3], np.int32)).begun(START)], np.array(rows)), LONG)
  assert found is not None
  np.testing.assert_array_equal(found[1], rows)


def head_of(level: int = 0, *, has_step: bool = False, has_map: bool = False) -> bytes:
  return write_natural(1 + 4 * 32 * level + has_step + 2 * has_map)


@pytest.mark.parametrize(
  'data',
  [
    pytest.param(head_of(32) + b'\0\5', id='a level that there is not'),
    pytest.param(head_of(1 << 50) + b'\0\5', id='a level far beyond'),
    pytest.param(head_of() + b'\0\0', id='one value with a start'),
    pytest.param(head_of() + write_number(0) + write_natural(1 << 16), id='a span of more than 16 bits'),
    pytest.param(head_of() + write_number(32_767) + write_natural(3), id='beyond the largest sample'),
    pytest.param(head_of() + write_number(-32_768) + write_natural(3), id='below the least sample'),
    pytest.param(head_of(has_step=True) + b'\0\0\0\5', id='no step'),
    pytest.param(head_of(has_step=True) + b'\3\3\0\5', id='an offset of a step'),
    pytest.param(head_of(has_map=True) + b'\0\5\7\0', id='a map of more than there is'),
    pytest.param(head_of(has_map=True) + b'\0\5\3\4', id='a map that ends beyond'),
    pytest.param(b'\0' + write_number(32_768), id='one value beyond all'),
  ],
)
def test_what_contradicts_itself(data):
  assert read_header(NumberReader(data), 1, SHORT) is None


@pytest.mark.parametrize('data', [b'', b'\0', head_of(), head_of() + b'\0', head_of() + b'\0\x80'])
def test_headers_that_end_early(data):
  with pytest.raises(ValueError, match='no number'):
    read_header(NumberReader(data), 1, SHORT)
  assert read_group(data, 1, SHORT) is None


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=30))
def test_whatever_is_read_is_within_the_sound(data):
  """Compiled code looks there without asking."""
  try:
    found = read_header(NumberReader(data), 1, LONG)
  except ValueError:
    return
  if found is not None:
    [channel], lags = found
    least, largest = (channel.step * index + channel.offset for index in (channel.least, channel.largest))
    assert -32_768 <= least <= largest < 32_768
    assert len(channel.used) == 0 or (
      channel.least <= channel.zone_start and channel.zone_start + len(channel.used) <= channel.largest + 1
    )
    starts = np.arange(NUM_BLOCKS)[:, None] * BLOCK_FRAMES
    assert ((lags == 0) | ((lags >= MIN_LAG) & (lags <= starts))).all()
