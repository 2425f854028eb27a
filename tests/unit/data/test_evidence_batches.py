"""What a step reads depends on seed and step alone, domains come as often as they weigh, and rows are what they say."""

import collections
import logging

import numpy as np
import pytest

from language_modeling_is_compression.data.evidence_batches import EvidenceRows, Row, in_batches, read_batch
from language_modeling_is_compression.data.evidence_cache import RECORD, EvidenceSpan
from language_modeling_is_compression.data.evidence_sources import Group

LENGTH = 8
LONG, SHORT, DEEP, OTHER = Group('a', 'native'), Group('b', 'native'), Group('b', '8'), Group('c', 'native')


@pytest.fixture
def spans(tmp_path) -> dict[Group, list[EvidenceSpan]]:
  """Files whose samples are numbered on, in `width`."""
  sizes = {LONG: [300, 100], SHORT: [20, 5], DEEP: [30], OTHER: [LENGTH]}
  made: dict[Group, list[EvidenceSpan]] = {}
  number = 0
  for group, each in sizes.items():
    for size in each:
      records = np.zeros(size, RECORD)
      records['width'] = np.arange(number, number + size) + 1
      records['features'][:, 0] = 5
      records['below'][:, 1] = 3
      records['experts_log2'] = -2
      path = tmp_path / f'{number}.evidence'
      records.tofile(path)
      made.setdefault(group, []).append(EvidenceSpan(path=path, first=0, last=size))
      number += size
  return made


@pytest.fixture
def rows(spans) -> EvidenceRows:
  return EvidenceRows(spans, LENGTH)


WEIGHTS = {'a': 1.0, 'b': 2.0, 'c': 1.0}
# Of seed 5 at step 3: runs on other machines rely on it.
EXPECTED_DRAW = [
  ('400.evidence', 5, 13),
  ('400.evidence', 6, 14),
  ('300.evidence', 8, 16),
  ('455.evidence', 0, 8),
  ('300.evidence', 27, 35),
  ('0.evidence', 109, 117),
]


def draw(rows: EvidenceRows, step: int, *, seed: int = 5, count: int = 6, weights=WEIGHTS) -> list[Row]:
  return rows.draw(weights, count=count, seed=seed, step=step)


def test_a_batch_is_a_function_of_seed_and_step(rows, spans):
  in_order = [draw(rows, step) for step in range(8)]
  again = EvidenceRows(dict(reversed(spans.items())), LENGTH)
  assert [draw(again, step) for step in (5, 2)] == [in_order[5], in_order[2]]
  assert len({tuple(each) for each in in_order}) == 8
  assert draw(rows, 0, seed=6) != in_order[0]
  assert draw(rows, 0, seed=5 + 2**64) != in_order[0]


def test_the_draw_is_the_same_on_every_machine(rows):
  assert [(row.span.path.name, row.start, row.stop) for row in draw(rows, 3)] == EXPECTED_DRAW


def test_domains_weigh_what_was_asked_and_depths_the_same_and_spans_what_they_hold(rows, spans):
  drawn = draw(rows, 0, count=8000)
  counts = collections.Counter(row.span.path for row in drawn)
  shares = [counts[span.path] / 8000 for each in spans.values() for span in each]
  expected = [1 / 4 * 3 / 4, 1 / 4 * 1 / 4, 1 / 4 * 4 / 5, 1 / 4 * 1 / 5, 1 / 4, 1 / 4]
  np.testing.assert_allclose(shares, expected, atol=0.02)
  starts = [row.start for row in drawn if row.span == spans[LONG][0]]
  assert min(starts) == 0 and max(starts) == 300 - LENGTH
  np.testing.assert_allclose(np.histogram(starts, 4, (0, 292))[0] / len(starts), 0.25, atol=0.04)


def test_a_domain_of_no_samples_is_none(spans):
  rows = EvidenceRows({**spans, Group('d', 'native'): []}, LENGTH)
  assert rows.domains == ['a', 'b', 'c'] and Group('d', 'native') not in rows.groups
  assert rows.num_samples(SHORT) == 25


def test_rows_stay_inside_their_span(spans):
  part = EvidenceSpan(path=spans[LONG][0].path, first=50, last=61)
  rows = EvidenceRows({LONG: [part]}, LENGTH)
  for row in draw(rows, 0, count=200):
    assert 50 <= row.start == row.first <= 53 and row.stop == row.start + LENGTH
  assert {row.start for row in draw(rows, 0, count=200)} == {50, 51, 52, 53}


def test_rows_are_read_and_filled_up(rows, spans):
  drawn = [Row(spans[LONG][0], 10, 13, 18), Row(spans[SHORT][1], 0, 0, 5)]
  batch = read_batch(drawn, num_rows=3, length=10)
  assert [array.dtype for array in batch] == [np.int8, np.float32, np.float32, np.float32, np.int32, np.int32]
  np.testing.assert_array_equal(batch.width, [[*range(11, 19), 0, 0], [*range(421, 426), *[0] * 5], [0] * 10])
  np.testing.assert_array_equal(batch.features[0, :8, 0], 5)
  np.testing.assert_array_equal(batch.below[1, :6, 1], [3] * 5 + [0])
  np.testing.assert_array_equal(batch.experts_log2[0], [-2] * 8 + [0, 0])
  np.testing.assert_array_equal(batch.begins, [3, 0, 0])
  np.testing.assert_array_equal(batch.lengths, [8, 5, 0])
  np.testing.assert_array_equal(np.flatnonzero(batch.counted[0]), range(3, 8))
  np.testing.assert_array_equal(batch.counted.sum(axis=1), [5, 5, 0])
  assert batch.num_counted == 10


def test_a_row_that_can_no_longer_be_read_counts_for_nothing(rows, spans, caplog):
  spans[LONG][0].path.unlink()
  with caplog.at_level(logging.WARNING):
    batch = read_batch([Row(spans[LONG][0], 0, 0, 8), Row(spans[SHORT][0], 0, 0, 8)], num_rows=2, length=8)
  np.testing.assert_array_equal(batch.lengths, [0, 8])
  assert not batch.width[0].any() and 'a row is left out: ' in caplog.text


def test_all_of_a_group_is_cut_into_rows(rows, spans):
  cut = rows.spread(SHORT, 1000, 0)
  assert [(row.span, row.first, row.stop) for row in cut] == [
    *((spans[SHORT][0], first, min(first + LENGTH, 20)) for first in (0, 8, 16)),
    (spans[SHORT][1], 0, 5),
  ]


def test_few_rows_are_spread_over_all(rows, spans):
  cut = rows.spread(LONG, 3, 0)
  # Of 38 and 13 rows.
  assert [(row.span, row.first) for row in cut] == [
    (spans[LONG][0], 0),
    (spans[LONG][0], 17 * LENGTH),
    (spans[LONG][0], 34 * LENGTH),
  ]
  assert rows.spread(LONG, 3, 0) == cut
  assert [row.span for row in rows.spread(LONG, 4, 0)][3] == spans[LONG][1]


def test_context_is_what_stands_before_in_the_segment(spans):
  part = EvidenceSpan(path=spans[LONG][0].path, first=5, last=40)
  cut = EvidenceRows({LONG: [part]}, LENGTH).spread(LONG, 3, 10)
  assert [(row.start, row.first, row.stop) for row in cut] == [(0, 5, 13), (3, 13, 21), (19, 29, 37)]


def test_batches_are_all_rows_once_in_order(rows):
  cut = rows.spread(LONG, 1000, 2)
  batches = list(in_batches(cut, num_rows=7, length=LENGTH + 2))
  assert all(batch.width.shape == (7, LENGTH + 2) for batch in batches)
  counted = np.concatenate([batch.width[batch.counted] for batch in batches])
  np.testing.assert_array_equal(counted, np.arange(400) + 1)
