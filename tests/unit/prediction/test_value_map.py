"""Values that are used: indices and samples, maps and bins, whatever the samples are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_strategies
from support import hybrid_cases

from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.value_map import (
  channel_values,
  edges,
  lower_edge,
  to_indices,
  to_samples,
)

SOUNDS = hybrid_cases.sounds()
INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
SAMPLES = np_strategies.arrays(np.int32, st.integers(1, 40), elements=INT32 | st.integers(-200, 200)) | st.builds(
  lambda indices, step, offset: indices * np.int32(step) + np.int32(offset),
  np_strategies.arrays(np.int32, st.integers(1, 400), elements=st.integers(-1000, 1000)),
  st.integers(1, 1 << 18),
  st.integers(-(1 << 20), 1 << 20),
)


def louder(num_samples: int = 4000, factor: float = 1.9968) -> np.ndarray:
  return np.round(factor * np.random.default_rng(0).laplace(0, 150, num_samples).round()).astype(np.int32)


def all_edges(samples: np.ndarray) -> np.ndarray:
  """From the least index's lower edge to the largest one's upper edge."""
  channel = channel_values(samples)
  bins = edges([channel])
  return np.array([lower_edge(bins, 0, index) for index in range(channel.least, channel.largest + 2)])


@settings(deadline=None)
@given(SAMPLES)
def test_samples_come_back(samples):
  channel = channel_values(samples)
  indices = to_indices(samples[:, None], [channel])
  assert (indices.min(), indices.max()) == (channel.least, channel.largest)
  np.testing.assert_array_equal(to_samples(indices, [channel]), samples[:, None])
  assert 0 <= channel.offset < channel.step
  if len(channel.used):
    assert channel.used[0] and channel.used[-1]
    assert channel.least <= channel.zone_start <= channel.largest + 1 - len(channel.used)
    inside = indices[(indices >= channel.zone_start) & (indices < channel.zone_start + len(channel.used))]
    np.testing.assert_array_equal(np.unique(inside) - channel.zone_start, np.flatnonzero(channel.used))


@pytest.mark.parametrize(
  ('samples', 'step', 'offset', 'least', 'largest'),
  [
    ([5, 5, 5], 1, 0, 5, 5),
    ([-256, 0, 512], 256, 0, -1, 2),
    ([-255, 1, 513], 256, 1, -1, 2),
    ([-(1 << 31), (1 << 31) - 1], (1 << 32) - 1, (1 << 31) - 1, -1, 0),
    ([3, 4, 9], 1, 0, 3, 9),
  ],
)
def test_a_common_step_is_divided_out(samples, step, offset, least, largest):
  channel = channel_values(np.array(samples, np.int32))
  assert (channel.step, channel.offset, channel.least, channel.largest) == (step, offset, least, largest)


def test_channels_have_steps_of_their_own():
  samples = np.stack([np.arange(-20, 20) * 256, np.arange(-20, 20) + 7], axis=1).astype(np.int32)
  channels = [channel_values(samples[:, channel]) for channel in range(2)]
  indices = to_indices(samples, channels)
  np.testing.assert_array_equal(indices, np.stack([np.arange(-20, 20), np.arange(-20, 20) + 7], axis=1))
  np.testing.assert_array_equal(to_samples(indices, channels), samples)


def test_a_map_is_made_where_it_pays():
  assert len(channel_values(louder()).used) > 1000
  ordinary = np.random.default_rng(0).laplace(0, 150, 4000).round().astype(np.int32)
  assert len(channel_values(ordinary).used) == 0
  assert len(channel_values(louder(60)).used) == 0
  assert len(channel_values(SOUNDS['noise at full scale'][0][:, 0]).used) == 0


def test_a_map_leaves_out_what_is_far():
  samples = louder()
  samples[[10, 20]] = -30_000, 30_000
  channel = channel_values(samples)
  assert 1000 < len(channel.used) < 10_000 and channel.least < channel.zone_start


def test_two_halves_that_are_far_apart():
  """The median lies between them, where nothing is used."""
  rng = np.random.default_rng(0)
  samples = np.where(np.arange(2000) % 2, 30_000, -30_000) + rng.integers(-3, 4, 2000)
  channel = channel_values(samples.astype(np.int32))
  np.testing.assert_array_equal(to_samples(to_indices(samples[:, None], [channel]), [channel]), samples[:, None])


def test_edges_rise_and_cells_of_used_values_touch():
  samples = louder()
  samples[[10, 20]] = -5001, 5000
  channel, found = channel_values(samples), all_edges(samples)
  assert (np.diff(found) >= 0).all()
  widths = np.diff(found)
  inside = slice(channel.zone_start - channel.least, channel.zone_start - channel.least + len(channel.used))
  np.testing.assert_array_equal(widths[inside] > 0, channel.used)
  outside = np.delete(widths, np.r_[inside])[1:-1]
  np.testing.assert_array_equal(outside, 1)
  # A used value lies in its cell, also after the smallest edge on either side.
  used = np.flatnonzero(widths > 0)
  indices = np.arange(channel.least, channel.largest + 1)[used]
  assert ((found[used] < indices) & (indices < found[used + 1])).all()


def test_edges_lie_in_the_middle_of_used_values():
  channel = value_map.ChannelValues(
    step=1, offset=0, least=-10, largest=10, zone_start=2, used=np.array([True, False, False, True, True])
  )
  bins = edges([channel])
  assert [lower_edge(bins, 0, index) for index in (1, 2, 3, 4, 5, 6, 7, 8)] == [0.5, 1.5, 3.5, 3.5, 3.5, 5.5, 6.5, 7.5]
  assert lower_edge(bins, 0, -10) == -1e30 and lower_edge(bins, 0, 11) == 1e30


@pytest.mark.parametrize('start', [-(1 << 31), -(1 << 23) - 3, 0, (1 << 24) - 5, 1_500_000_001, (1 << 31) - 2001])
def test_edges_are_exact_wherever_the_zone_is(start):
  """Single precision alone has no halves beyond 2**23: edges would fall where a zone ends."""
  near = value_map.ChannelValues(step=1, offset=0, least=0, largest=2000, zone_start=701, used=np.arange(600) % 7 < 3)
  near.used[-1] = True
  far = value_map.ChannelValues(
    step=1, offset=0, least=start, largest=start + 2000, zone_start=start + 701, used=near.used
  )
  near_cells, far_cells = edges([near]), edges([far])
  for index in range(1, 2001):
    assert lower_edge(far_cells, 0, start + index) == start + lower_edge(near_cells, 0, index)


def test_bytes_in_use():
  def used(sample_bytes: int, *steps: int) -> int:
    channels = [
      value_map.ChannelValues(step=step, offset=0, least=0, largest=1, zone_start=0, used=np.zeros(0, bool))
      for step in steps
    ]
    return value_map.bytes_in_use(sample_bytes, channels)

  assert [used(3, 1), used(3, 255), used(3, 256), used(3, 65_536), used(3, 1 << 23)] == [3, 3, 2, 1, 1]
  assert [used(2, 256, 1), used(4, 65_536, 1 << 24), used(1, 128)] == [2, 2, 1]


def test_chances_follow_what_came_after_the_same():
  counts = np.zeros((1 << value_map.CONTEXT_BITS, 2), np.int32)
  assert value_map.used_chance(0, counts) == 1 << 15
  context = 0
  for place in range(2000):
    context = value_map.count_use(np.int64(context), np.int64(place % 2), counts)
  assert context == 0b0101010101010101
  assert value_map.used_chance(context, counts) < 1 << 9
  assert value_map.used_chance(0b1010101010101010, counts) > (1 << 16) - (1 << 9)
  assert counts.max() <= value_map.COUNT_LIMIT
  assert value_map.used_chance(context, counts) > 0
  assert value_map.used_chance(0b1010101010101010, counts) < 1 << 16


def test_a_constant_channel_does_not_say_how_many_bytes_mean_something():
  channels = [value_map.channel_values(np.array(samples, np.int32)) for samples in ([0, 256, 1024], [0, 0, 0])]
  assert value_map.bytes_in_use(3, channels) == 2


@pytest.mark.parametrize('value', [2.0**-1074, 2.0**-20, 0.5, 1.0, 1.5, 3.0, 12.0, 1e300])
def test_log2_is_straight_between_powers_of_two(value):
  exponent = np.floor(np.log2(value))
  assert value_map.log2(value) == exponent + value / 2.0**exponent - 1
