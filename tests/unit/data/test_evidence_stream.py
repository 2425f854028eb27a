"""Streamed rows are those of the cache in distribution, known from the seed and the headers, and bounded in memory."""

import collections
import logging
from concurrent.futures import Future

import numpy as np
import pytest
from support.evidence_cases import VERSION, extract_evidence, write_sound

from language_modeling_is_compression.data import evidence_stream
from language_modeling_is_compression.data.evidence_cache import RECORD, Extractor, Sound, records_of, segments_of
from language_modeling_is_compression.data.evidence_sources import Group, StreamPart
from language_modeling_is_compression.data.evidence_stream import EvidenceStream, StreamPlan, StreamSource
from language_modeling_is_compression.errors import AudioFormatError, CancelledError, ConfigError, TrainingError

LENGTH = 8
LONG, SHORT, DEEP, OTHER = Group('a', 'native'), Group('b', 'native'), Group('b', '8'), Group('c', 'native')
WEIGHTS = {'a': 1.0, 'b': 2.0, 'c': 1.0}
ROUND_BYTES = 400 * RECORD.itemsize
# Of seed 5, in the third round: runs on other machines, and runs that are resumed, rely on it.
ROWS = range(6)  # Of a batch.
EXPECTED_ROWS = [(2, 20), (5, 0), (2, 4), (3, 10), (5, 0), (2, 12), (5, 0), (3, 2)]


def part(path, num_frames: int, *, num_samples: int | None = None, bits: int = 16) -> StreamPart:
  """A file of one segment, of which num_samples are trained on."""
  info = write_sound(path, num_frames, seed=num_frames)
  (segment,) = segments_of([Sound(info=info, bits=bits)], 1 << 20)
  return StreamPart(segment=segment, num_samples=num_samples or num_frames)


@pytest.fixture
def parts(tmp_path) -> dict[Group, list[StreamPart]]:
  return {
    LONG: [part(tmp_path / 'a0.wav', 300), part(tmp_path / 'a1.wav', 100, num_samples=90)],
    SHORT: [part(tmp_path / 'b0.wav', 20), part(tmp_path / 'b1.wav', 5)],
    DEEP: [part(tmp_path / 'b2.wav', 30, bits=8)],
    OTHER: [part(tmp_path / 'c.wav', LENGTH)],
  }


def plan_of(parts, *, seed: int = 5, round_bytes: int = ROUND_BYTES) -> StreamPlan:
  return StreamPlan(parts, WEIGHTS, length=LENGTH, seed=seed, round_bytes=round_bytes)


def rows_of(plan: StreamPlan, number: int) -> list[tuple[int, int]]:
  """Rows of a round: parts by index, and first samples."""
  plan.first_row(number)
  indices, starts = plan.rows(number)
  return list(zip(indices.tolist(), starts.tolist(), strict=True))


def test_rounds_are_a_function_of_the_seed_and_the_sizes(parts):
  plan = plan_of(parts)
  in_order = [rows_of(plan, number) for number in range(12)]
  again = plan_of(dict(reversed(parts.items())))
  assert [rows_of(again, number) for number in (9, 2)] == [in_order[9], in_order[2]]
  assert rows_of(plan_of(parts, seed=6), 9) != in_order[9]
  assert rows_of(plan_of(parts, seed=5 + 2**64), 9) != in_order[9]


def test_the_order_is_the_same_on_every_machine(parts):
  plan = plan_of(parts)
  assert rows_of(plan, 2) == EXPECTED_ROWS


def test_rows_follow_each_other_without_a_gap_between_rounds(parts):
  plan = plan_of(parts)
  numbers = [plan.round_of(row) for row in range(500)]
  counts = collections.Counter(numbers)
  assert numbers == sorted(numbers)
  for number in range(numbers[-1]):
    assert counts[number] == len(rows_of(plan, number)) > 0
    assert plan.round_of(plan.first_row(number)) == number


def test_what_a_round_takes_is_bounded_and_the_first_ones_are_small(parts):
  plan = plan_of(parts, round_bytes=2000 * RECORD.itemsize)
  sizes = []
  for number in range(40):
    visits = collections.Counter(index for index, _ in rows_of(plan, number))
    rows = {index: max(1, plan.parts[index].num_samples // LENGTH) for index in visits}
    sizes.append(sum(count // rows[index] * plan.parts[index].segment.num_samples for index, count in visits.items()))
  assert all(size <= 2000 for size in sizes) and max(sizes) > 1700
  for number, limit in enumerate((300, 300, 500, 1000)):  # 1/16 of it is less than a segment, which is the least.
    assert sizes[number] <= limit


def test_a_round_of_many_short_segments_ends_too(tmp_path, monkeypatch):
  monkeypatch.setattr(evidence_stream, '_MOST_DRAWS', 1500)
  plan = StreamPlan({OTHER: [part(tmp_path / 'a.wav', 3)]}, {'c': 1}, length=LENGTH, seed=0, round_bytes=1 << 40)
  assert (plan.first_row(1), plan.first_row(2)) == (1500, 3000)
  assert set(rows_of(plan, 1)) == {(0, 0)} and plan.stop(0, 0) == 3


def test_a_segment_that_is_drawn_gives_all_of_its_rows_once(parts):
  plan = plan_of(parts, round_bytes=1)  # Less than any segment, of which a round has one then.
  begins = collections.defaultdict(set)
  for number in range(600):
    rows = sorted(rows_of(plan, number))
    index, begin = rows[0]
    samples = plan.parts[index].num_samples
    assert rows == [(index, begin + LENGTH * row) for row in range(max(1, samples // LENGTH))]
    assert begin + min(samples, LENGTH * len(rows)) <= samples
    begins[plan.parts[index].segment.sound.info.path.name].add(begin)
  assert begins['b0.wav'] == {0, 1, 2, 3, 4} and begins['b1.wav'] == begins['c.wav'] == {0}


def test_any_draws_in_a_row_have_all_domains_in_proportion(tmp_path):
  groups = {Group(domain, 'native'): [part(tmp_path / f'{domain}.wav', LENGTH)] for domain in 'abc'}
  plan = plan_of(groups, round_bytes=8 * LENGTH * RECORD.itemsize)
  for number in range(4, 200):
    counts = collections.Counter(index for index, _ in rows_of(plan, number))
    assert sum(counts.values()) == 8 and all(abs(counts[index] - due) < 2 for index, due in enumerate((2, 4, 2)))


def test_domains_weigh_what_was_asked_and_segments_what_they_hold(parts):
  """As rows of a cache do."""
  plan = plan_of(parts)
  counts: collections.Counter = collections.Counter()
  places = []
  number = 0
  while plan.first_row(number) < 60_000:
    for index, start in rows_of(plan, number):
      counts[index] += 1
      if plan.parts[index] is parts[LONG][0]:
        places.append(start)
    number += 1
  total = sum(counts.values())
  shares = {plan.parts[index].segment.sound.info.path.name: count / total for index, count in counts.items()}
  expected = {
    'a0.wav': 1 / 4 * 300 / 390,
    'a1.wav': 1 / 4 * 90 / 390,
    'b0.wav': 1 / 4 * 4 / 5,
    'b1.wav': 1 / 4 * 1 / 5,
    'b2.wav': 1 / 4,
    'c.wav': 1 / 4,
  }
  assert shares == pytest.approx(expected, abs=0.015)
  np.testing.assert_allclose(np.histogram(places, 4, (0, 292))[0] / len(places), 0.25, atol=0.02)


def stream_of(parts, *, max_bytes: int = 2 * ROUND_BYTES, num_steps: int = 50, count: int = 6) -> EvidenceStream:
  source = StreamSource(
    parts=parts,
    extractor=Extractor(extract=extract_evidence, version=VERSION, effort=1),
    max_bytes=max_bytes,
  )
  return EvidenceStream(source, WEIGHTS, length=LENGTH, count=count, seed=5, num_steps=num_steps)


class Here:
  """Workers in this process; each has done its work when it is asked."""

  def __init__(self, extractor, count):
    self._extractor = extractor

  def submit(self, segment, state):
    future: Future = Future()
    asked.append(segment)
    try:
      future.set_result(records_of(segment.samples(), segment.sound, self._extractor))
    except AudioFormatError as error:
      future.set_exception(error)
    return future


asked: list = []


@pytest.fixture
def _here(monkeypatch):
  asked.clear()
  monkeypatch.setattr(evidence_stream, 'Workers', Here)


@pytest.mark.usefixtures('_here')
def test_rows_are_what_the_experts_say_of_their_segments(parts):
  stream, plan = stream_of(parts), plan_of(parts)
  order = [row for number in range(40) for row in rows_of(plan, number)]
  for step in range(20):
    batch = stream.batch(step, ROWS)
    assert [array.dtype for array in batch] == [np.int8, np.float32, np.float32, np.float32, np.int32, np.int32]
    for place, (index, start) in enumerate(order[6 * step : 6 * step + 6]):
      segment, stop = plan.parts[index].segment, plan.stop(index, start)
      evidence = extract_evidence(
        segment.samples(), sample_bytes=segment.sound.bits // 8, sample_rate_hz=8000, effort=1
      )
      assert (batch.begins[place], batch.lengths[place]) == (0, stop - start)
      np.testing.assert_array_equal(batch.below[place, : stop - start], evidence.below[start:stop])
      np.testing.assert_array_equal(batch.features[place, : stop - start], evidence.features[start:stop])
      assert not batch.width[place, stop - start :].any()


@pytest.mark.usefixtures('_here')
def test_a_batch_is_the_same_whatever_came_before(parts):
  in_order = stream_of(parts)
  batches = [in_order.batch(step, ROWS) for step in range(30)]
  resumed = stream_of(parts)
  for step in (17, 18, 29, 3, 3, 4):
    for array, expected in zip(resumed.batch(step, ROWS), batches[step], strict=True):
      np.testing.assert_array_equal(array, expected)


@pytest.mark.usefixtures('_here')
def test_rows_of_one_process_are_those_of_the_whole_batch(parts):
  whole, alone = stream_of(parts), stream_of(parts)
  for step in (3, 8):
    for own in ([1, 4], [5]):
      for array, expected in zip(alone.batch(step, own), whole.batch(step, ROWS), strict=True):
        np.testing.assert_array_equal(array, expected[own])


@pytest.mark.usefixtures('_here')
def test_what_two_rounds_hold_is_not_extracted_again_and_nothing_after_the_last_step(parts):
  stream, plan = stream_of(parts, num_steps=30), plan_of(parts)
  for step in range(30):
    stream.batch(step, ROWS)
  last = plan.round_of(30 * 6 - 1)
  rounds = [{index for index, _ in rows_of(plan, number)} for number in range(last + 1)]
  held: list[set[int]] = [set(), set(), *rounds]
  expected = sum(len(each - held[number] - held[number + 1]) for number, each in enumerate(rounds))
  assert len(asked) == expected


@pytest.mark.usefixtures('_here')
def test_a_file_that_is_gone_counts_for_nothing_and_is_named_once(parts, caplog):
  gone = parts[SHORT][0].segment.sound.info.path
  gone.unlink()
  stream = stream_of(parts, max_bytes=10 * ROUND_BYTES)
  batches = [stream.batch(step, ROWS) for step in range(30)]
  index = next(i for i, each in enumerate(plan_of(parts).parts) if each is parts[SHORT][0])
  plan = plan_of(parts, round_bytes=5 * ROUND_BYTES)
  order = [row for number in range(30) for row in rows_of(plan, number)][: 30 * 6]
  lengths = np.concatenate([batch.lengths for batch in batches])
  np.testing.assert_array_equal(lengths == 0, [row[0] == index for row in order])
  assert (lengths == 0).any()
  (message,) = [message for message in caplog.messages if 'are left out' in message]
  assert message.startswith(f'frames 0 to 20 are left out: {gone}: ')


@pytest.mark.usefixtures('_here')
def test_files_that_are_all_gone(parts):
  stream = stream_of(parts)
  for each in parts.values():
    for one in each:
      one.segment.sound.info.path.unlink()
  with pytest.raises(TrainingError, match=r'^step 3: none of its 6 rows can be read any more'):
    stream.batch(2, ROWS)


def test_what_is_waited_for_can_be_stopped(parts, monkeypatch):
  class Slow(Here):
    def submit(self, segment, state):
      return Future()

  monkeypatch.setattr(evidence_stream, 'Workers', Slow)
  stream = stream_of(parts)
  asked_for = iter((False, True))
  stream.stopped = lambda: next(asked_for)
  with pytest.raises(CancelledError):
    stream.batch(0, ROWS)


def test_too_little_memory(parts):
  with pytest.raises(ConfigError, match=r'^stream_megabytes: the evidence of a segment of .*/a0\.wav takes 0 MB, exp'):
    stream_of(parts, max_bytes=2 * 300 * RECORD.itemsize - 1)
  stream_of(parts, max_bytes=2 * 300 * RECORD.itemsize)


def test_what_it_takes_is_said_first(parts, monkeypatch, caplog):
  monkeypatch.setattr(evidence_stream, 'seconds_per_sample', lambda _: 0.5)
  monkeypatch.setattr(evidence_stream, 'usable_cores', lambda: 2)
  with caplog.at_level(logging.INFO):
    stream_of(parts, max_bytes=5 * 10**6)
  (said,) = [message for message in caplog.messages if 'is streamed' in message]
  assert said == (
    'evidence is streamed: 6 segments of 463 samples, 0.00 GB that are not kept on disk; at most 0.01 GB of them in '
    'memory, and about 0.00 GB in each of 2 processes, which make about 4 samples/s: 12.00 s for a step; once they '
    'have started, 50 s before the first one'
  )


def test_what_batches_are_made_of_is_in_the_fingerprint(parts):
  def of(stream):
    return stream.fingerprint_parts()

  same = of(stream_of(parts))
  assert same == of(stream_of(dict(reversed(parts.items())), num_steps=9))
  assert same != of(stream_of(parts, max_bytes=3 * ROUND_BYTES))
  assert same != of(stream_of({**parts, SHORT: parts[SHORT][:1]}))


def test_real_workers_make_the_same(parts, monkeypatch):
  monkeypatch.setattr(evidence_stream, 'usable_cores', lambda: 1)
  stream = stream_of(parts)
  batches = [stream.batch(step, ROWS) for step in range(5)]
  monkeypatch.setattr(evidence_stream, 'Workers', Here)
  here = stream_of(parts)
  for step, batch in enumerate(batches):
    for array, expected in zip(batch, here.batch(step, ROWS), strict=True):
      np.testing.assert_array_equal(array, expected)
