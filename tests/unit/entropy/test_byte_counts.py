"""Adaptive distributions of bytes, against the rule of docs/FORMAT.md in plain Python."""

import numpy as np
import pytest

from language_modeling_is_compression.entropy import byte_counts
from language_modeling_is_compression.entropy.rans import PRECISION_BITS

TOTAL = 1 << PRECISION_BITS


class PlainCounts:
  """docs/FORMAT.md, "Intervals", word by word."""

  def __init__(self):
    self.count = [1] * 256

  def sizes(self) -> list[int]:
    total = sum(self.count)
    sizes = [1 + count * (2**24 - 256) // total for count in self.count]
    sizes[255] += 2**24 - sum(sizes)
    return sizes

  def push(self, byte: int) -> None:
    self.count[byte] += 2
    if sum(self.count) > 65_536:
      self.count = [(count + 1) >> 1 for count in self.count]


def plain_intervals(values: np.ndarray, looks: range) -> list[tuple[int, int]]:
  """Start and size of the bytes whose index is in looks."""
  counts, found = PlainCounts(), []
  for index, value in enumerate(values.tolist()):
    if index in looks:
      sizes = counts.sizes()
      found.append((sum(sizes[:value]), sizes[value]))
    counts.push(value)
  return found


def skewed(num_samples: int, num_places: int) -> np.ndarray:
  return (
    np.random.default_rng(0).binomial(255, [0.1, 0.5, 0.9][:num_places], (num_samples, num_places)).astype(np.uint8)
  )


def test_intervals_are_those_of_the_format():
  values = skewed(300, 3)
  found = byte_counts.intervals(values)
  assert found.dtype == np.uint32 and found.shape == (300, 3, 2)
  for place in range(3):
    assert [tuple(each) for each in found[:, place].tolist()] == plain_intervals(values[:, place], range(300))


@pytest.mark.parametrize('byte', [0, 200, 255])
def test_one_byte_alone(byte):
  values = np.full((50, 1), byte, np.uint8)
  found = byte_counts.intervals(values)[:, 0].tolist()
  assert [tuple(interval) for interval in found] == plain_intervals(values[:, 0], range(50))


def test_counts_are_halved_past_the_limit():
  """256 + 2 * 32,641 is the first sum above 65,536; rounding up keeps it from being half of it."""
  values = skewed(33_000, 1)
  looks = range(32_630, 32_660)
  found = byte_counts.intervals(values)[looks.start : looks.stop, 0]
  assert [tuple(each) for each in found.tolist()] == plain_intervals(values[:, 0], looks)
  unhalved = PlainCounts()
  unhalved.count = (1 + 2 * np.bincount(values[: looks.stop - 1, 0], minlength=256)).tolist()
  assert unhalved.sizes()[values[looks.stop - 1, 0]] != found[-1, 1]


def test_counts_stay_bounded_and_forget():
  """After as many samples again of another byte, the old one is all but gone."""
  values = np.repeat(np.array([3, 4], np.uint8), 100_000)[:, None]
  share = byte_counts.intervals(np.concatenate([values, [[3]]]).astype(np.uint8))[-1, 0, 1] / TOTAL
  assert 2**-24 < share < 0.1


def test_step_by_step_is_at_once():
  values = skewed(200, 3)
  at_once = byte_counts.intervals(values)
  counts = byte_counts.ByteCounts(1, 3)
  for sample, row in enumerate(values.astype(np.int64)):
    for place, value in enumerate(row):
      cdf = counts.cdfs(place, 1)[0].astype(np.int64)
      assert cdf[0] == 0 and cdf[-1] == TOTAL and np.diff(cdf).min() >= 1
      assert [cdf[value], cdf[value + 1] - cdf[value]] == at_once[sample, place].tolist()
      counts.push(place, np.array([value]))


def test_lanes_count_for_themselves_and_drop_out():
  lengths = [40, 25, 10]
  rows = [skewed(length, 1) + np.uint8(lane) for lane, length in enumerate(lengths)]
  counts = byte_counts.ByteCounts(3, 1)
  for sample in range(40):
    active = sum(length > sample for length in lengths)
    cdfs = counts.cdfs(0, active).astype(np.int64)
    assert cdfs.shape == (active, 257)
    values = np.array([row[sample, 0] for row in rows[:active]], np.int64)
    for lane, value in enumerate(values):
      expected = byte_counts.intervals(rows[lane][: sample + 1])[-1, 0].tolist()
      assert [cdfs[lane, value], cdfs[lane, value + 1] - cdfs[lane, value]] == expected
    counts.push(0, values)


def test_no_places_and_no_samples():
  assert byte_counts.intervals(np.zeros((5, 0), np.uint8)).shape == (5, 0, 2)
  assert byte_counts.intervals(np.zeros((0, 2), np.uint8)).shape == (0, 2, 2)
