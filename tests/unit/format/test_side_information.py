"""Headers of groups: values, lags and maps come back as they were, and what no encoder writes is refused at once."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hybrid_cases import shape_of

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.entropy.varints import NumberReader, write_number
from language_modeling_is_compression.format.payloads import SegmentShape
from language_modeling_is_compression.format.side_information import map_intervals, read_header, read_map, write_header
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.long_term import BLOCK_FRAMES, MIN_LAG, NUM_LAGS
from language_modeling_is_compression.prediction.value_map import ChannelValues, channel_values

NUM_BLOCKS = 5
# The last block has one frame.
LONG = SegmentShape(
  num_frames=(NUM_BLOCKS - 1) * BLOCK_FRAMES + 1, num_channels=1, sample_bytes=2, sample_rate_hz=8000, effort=0
)
SHORT = shape_of(np.zeros((5, 1), np.int32))
NO_LAGS = np.zeros((1, NUM_LAGS), np.int64)


def bytes_of(numbers: Sequence[int]) -> bytes:
  return b''.join(write_number(number) for number in numbers)


def channel_numbers(*, step=1, offset=0, least=-100, span=200, zone=0, start=0) -> list[int]:
  return [step, offset, least, span, zone, *([start] if zone else [])]


def read(
  numbers: Sequence[int], shape: SegmentShape = SHORT, channels: int = 1
) -> tuple[list[ChannelValues], np.ndarray] | None:
  """What numbers say, all of which are read if it is anything."""
  data = bytes_of(numbers)
  reader = NumberReader(data)
  found = read_header(reader, channels, shape)
  assert found is None or reader.position == len(data)
  return found


def read_lags(*numbers: int) -> list[list[int]] | None:
  found = read([*channel_numbers(), *numbers], LONG)
  return None if found is None else found[1].tolist()


# Values.


@pytest.mark.parametrize(
  'numbers',
  [
    {'step': 0},
    {'step': -1},
    {'step': 1 << 17},
    {'offset': 1},
    {'offset': -1, 'step': 4},
    {'least': -32_769},
    {'least': 32_700},
    {'least': 1 << 62},
    {'span': -1},
    {'span': 1 << 16},
    {'zone': -1},
    {'zone': 202},
    {'zone': 100, 'start': 102},
    {'zone': 100, 'start': -1},
  ],
)
def test_values_that_contradict_themselves(numbers):
  assert read([*channel_numbers(), 0]) is not None
  assert read([*channel_numbers(**numbers), 0]) is None
  assert read([*channel_numbers(), *channel_numbers(**numbers), 0], channels=2) is None


def test_the_largest_zone():
  shape = SegmentShape(num_frames=5, num_channels=1, sample_bytes=4, sample_rate_hz=8000, effort=0)
  found = read([*channel_numbers(least=0, span=1 << 20, zone=value_map.MAX_ZONE, start=3), 0], shape)
  assert found is not None
  [channel], _ = found
  assert (channel.zone_start, len(channel.used)) == (3, value_map.MAX_ZONE)
  assert read([*channel_numbers(least=0, span=1 << 20, zone=value_map.MAX_ZONE + 1), 0], shape) is None


def test_values_come_back():
  """Of steps, offsets, maps and constants."""
  rng = np.random.default_rng(0)
  sounds = np.stack(
    [
      np.round(1.9968 * rng.laplace(0, 150, 4000).round()),
      16 * rng.integers(-900, 900, 4000) - 5,
      np.full(4000, -77),
      rng.integers(-32_768, 32_768, 4000),
    ]
  ).astype(np.int32)
  channels = [channel_values(sound) for sound in sounds]
  assert len(channels[0].used) > 100 and channels[1].step == 16
  data = write_header(channels, NO_LAGS)
  reader = NumberReader(data)
  found = read_header(reader, len(channels), shape_of(sounds.T))
  assert found is not None and reader.position == len(data)
  for channel, back in zip(channels, found[0], strict=True):
    for name in ('step', 'offset', 'least', 'largest', 'zone_start'):
      assert getattr(channel, name) == getattr(back, name)
    assert len(channel.used) == len(back.used)


def test_maps_come_back():
  channel = channel_values(np.round(1.9968 * np.random.default_rng(0).laplace(0, 150, 4000).round()).astype(np.int32))
  intervals = map_intervals(channel.used)
  assert intervals.shape == (len(channel.used) - 2, 2) and (intervals[:, 1] > 0).all()
  used = np.ones(len(channel.used), bool)
  decoder = rans.Decoder([rans.encode(intervals)])
  read_map(used, decoder)
  np.testing.assert_array_equal(used, channel.used)
  assert decoder.sound()[0] and not used.all()


@pytest.mark.parametrize('size', [0, 1, 2])
def test_maps_of_what_is_known_take_nothing(size):
  assert len(map_intervals(np.ones(size, bool))) == 0
  used, decoder = np.ones(size, bool), rans.Decoder([rans.encode(np.zeros((0, 2), np.uint32))])
  read_map(used, decoder)
  assert used.all() and decoder.sound()[0]


# Lags.


@st.composite
def lags(draw: st.DrawFn) -> np.ndarray:
  """int64 [B, NUM_LAGS], as an encoder might choose them: often the same as before, or none, or the first alone."""
  rows = [[0] * NUM_LAGS]
  for block in range(1, NUM_BLOCKS):
    lag = st.integers(MIN_LAG, block * BLOCK_FRAMES) | st.sampled_from([MIN_LAG, block * BLOCK_FRAMES])
    count = draw(st.integers(0, NUM_LAGS))
    new = [draw(lag) for _ in range(count)] + [0] * (NUM_LAGS - count)
    rows.append(draw(st.sampled_from([rows[-1], new])))
  return np.array(rows, np.int64)


@settings(deadline=None)
@given(lags())
def test_lags_come_back(lags):
  data = write_header([channel_values(np.array([-5, 100, 3], np.int32))], lags)
  reader = NumberReader(data)
  found = read_header(reader, 1, LONG)
  assert found is not None and reader.position == len(data)
  assert found[1].dtype == np.int64
  np.testing.assert_array_equal(found[1], lags)


def test_lags_cost_what_changes():
  """By hand: blocks since the last change, lags up to the first 0."""
  lags = np.array([[0, 0], [4096, 0], [4096, 0], [32, 8192], [0, 0]])
  start = bytes_of(channel_numbers(least=-5, span=105))
  written = write_header([channel_values(np.array([-5, 100, 3], np.int32))], lags)
  assert written == start + bytes_of([3, 1, 4096, 0, 2, 32, 8192, 1, 0])
  nothing = write_header([channel_values(np.array([-5, 100, 3], np.int32))], np.zeros_like(lags))
  assert nothing == start + bytes_of([0])


def test_lags_hold_until_they_change():
  assert read_lags(2, 1, 4096, 0, 2, 32, 40) == [[0, 0], [4096, 0], [4096, 0], [32, 40], [32, 40]]
  assert read_lags(2, 2, 8192, 32, 1, 0) == [[0, 0], [0, 0], [8192, 32], [0, 0], [0, 0]]


@pytest.mark.parametrize(
  'numbers',
  [
    pytest.param([1, 1, MIN_LAG - 1, 0], id='too short a lag'),
    pytest.param([1, 1, -MIN_LAG, 0], id='a lag below 0'),
    pytest.param([1, 1, -1, 0], id='-1'),
    pytest.param([1, 1, 100, MIN_LAG - 1], id='too short a second lag'),
    pytest.param([1, 1, 100, -100], id='a second lag below 0'),
    pytest.param([1, 1, BLOCK_FRAMES + 1, 0], id='beyond the frames before'),
    pytest.param([1, 1, 100, BLOCK_FRAMES + 1], id='a second lag beyond the frames before'),
    pytest.param([1, 1, 1 << 62, 0], id='far beyond the frames before'),
    pytest.param([1, 0, MIN_LAG, 0], id='in the first block'),
    pytest.param([1, 5, MIN_LAG, 0], id='beyond the last block'),
    pytest.param([2, 4, MIN_LAG, 0, 1, 0], id='one beyond the last block'),
    pytest.param([1, 1 << 62, MIN_LAG, 0], id='far beyond the last block'),
    pytest.param([1, -1, MIN_LAG, 0], id='before the first block'),
    pytest.param([2, 3, MIN_LAG, 0, -1, 0], id='back to a block before'),
    pytest.param([2, 3, MIN_LAG, 0, 0, 0], id='twice in a block'),
    pytest.param([-1], id='changes below 0'),
    pytest.param([-(1 << 62)], id='changes far below 0'),
  ],
)
def test_lags_that_no_encoder_writes(numbers):
  """However the numbers go on."""
  assert read_lags(1, 1, MIN_LAG, BLOCK_FRAMES) is not None
  data = bytes_of([*channel_numbers(), *numbers]) + bytes(40)
  assert read_header(NumberReader(data), 1, LONG) is None


@pytest.mark.parametrize('count', [5, 1 << 30, 1 << 60])
@pytest.mark.parametrize('change', [[1, MIN_LAG, 0], [1, 0], [0, 0]])
def test_more_changes_than_blocks_end_at_the_last_block(count, change):
  """Whatever there is to read: a file that promises many keeps nobody busy."""
  reader = NumberReader(bytes_of([*channel_numbers(), count, *(change * 1000)]))
  assert read_header(reader, 1, LONG) is None
  assert reader.position < 50


def test_headers_that_end_early():
  """At each place, a number with its last byte missing among them; also where many changes are promised."""
  data = bytes_of([*channel_numbers(), 2, 1, 4096, 0, 2, 32, 8192])
  assert read_header(NumberReader(data), 1, LONG) is not None
  promised = bytes_of([*channel_numbers(), 1 << 60])
  for cut in [data[:length] for length in range(len(data))] + [promised]:
    with pytest.raises(ValueError, match='no number'):
      read_header(NumberReader(cut), 1, LONG)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.integers(-2, 40) | st.integers(0, 5 * BLOCK_FRAMES), max_size=20))
def test_whatever_is_read_is_within_the_sound(numbers):
  """Compiled code looks there without asking."""
  try:
    found = read_header(NumberReader(bytes_of([*channel_numbers(), *numbers])), 1, LONG)
  except ValueError:
    return
  if found is not None:
    starts = np.arange(NUM_BLOCKS)[:, None] * BLOCK_FRAMES
    assert ((found[1] == 0) | ((found[1] >= MIN_LAG) & (found[1] <= starts))).all()
    # What stands after a lag that is not there is not there either.
    assert (found[1][found[1][:, 0] == 0] == 0).all()
