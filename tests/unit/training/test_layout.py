"""Where arrays are: shapes that are cut, rows of several processes, and what comes back whole."""

from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from language_modeling_is_compression.data.batches import Batch
from language_modeling_is_compression.training.layout import DEVICE_AXIS, Layout, device_mesh


def layout(*, sharded: bool = True) -> Layout:
  return Layout(device_mesh(jax.devices()[:2]), sharded=sharded)


@pytest.mark.parametrize(
  ('shape', 'axis'),
  [((), None), ((64,), None), ((3, 5), None), ((3, 4), 1), ((8, 4), 0), ((2, 256, 64), 1), ((7, 6, 4), 1), ((0, 4), 1)],
)
def test_the_longest_even_axis_of_a_matrix_is_cut(shape, axis):
  assert layout().cut_axis(shape) == axis
  assert layout(sharded=False).cut_axis(shape) is None


def test_what_is_cut_lies_in_halves_and_comes_back_whole():
  state = {
    'matrix': np.arange(24.0, dtype=np.float32).reshape(3, 8),
    'bias': np.ones(4, np.float32),
    'step': np.int32(7),
  }
  placed: Any = layout().placed(state)
  assert placed['matrix'].sharding.spec == PartitionSpec(None, DEVICE_AXIS)
  assert [shard.data.shape for shard in placed['matrix'].addressable_shards] == [(3, 4), (3, 4)]
  assert [shard.data.shape for shard in placed['bias'].addressable_shards] == [(4,), (4,)]
  jax.tree.map(np.testing.assert_array_equal, layout().collected(placed), state)


def test_rows_of_a_batch_are_spread_over_the_devices():
  tokens = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
  rows: Any = layout().rows(Batch(tokens, np.ones((2, 4), np.int32)))
  assert [shard.data.shape for shard in rows.tokens.addressable_shards] == [(2, 2, 3), (2, 2, 3)]
  np.testing.assert_array_equal(rows.tokens, tokens)


def test_counts_are_a_sum_over_the_devices():
  counts = layout().counts(12)
  assert counts.shape == (2,) and counts.dtype == np.int32 and int(np.sum(counts)) == 12


def test_devices_of_a_process_are_side_by_side():
  class Device:
    def __init__(self, process_index, number):
      self.process_index, self.id = process_index, number

  shuffled = [Device(1, 5), Device(0, 2), Device(1, 1), Device(0, 9)]
  mesh = [(device.process_index, device.id) for device in device_mesh(shuffled).devices.flat]
  assert mesh == [(0, 2), (0, 9), (1, 1), (1, 5)]
