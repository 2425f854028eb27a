"""Workers: outcomes in order, steps one after the other, room for so many parts, and ends that leave nothing behind."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from language_modeling_is_compression.codec.workers import Job, Steps, Workers
from language_modeling_is_compression.errors import CancelledError

PATIENCE_SECONDS = 60


def steps(number: int, *jobs: Callable[[], object], in_turn: bool = False) -> Steps[int]:
  """A part of jobs at the same time, or each a step of its own, that count a byte; its outcome is its number."""

  def counted(job: Callable[[], object]) -> int:
    job()
    return 1

  each: list[Job] = [functools.partial(counted, job) for job in jobs]
  yield from [[job] for job in each] if in_turn else [each]
  return number


def test_outcomes_come_in_order_whatever_takes_longest():
  last = threading.Event()
  waits = [lambda: last.wait(PATIENCE_SECONDS), *[lambda: None] * 2, last.set]
  with Workers(2) as workers:
    found = list(workers.in_order((steps(number, wait) for number, wait in enumerate(waits)), lambda count: None))
  assert found == [0, 1, 2, 3] and last.is_set()


def test_steps_follow_each_other_and_the_jobs_of_one_are_done_together():
  together = threading.Barrier(2, timeout=PATIENCE_SECONDS)
  with Workers(2) as workers:
    assert list(workers.in_order([steps(7, together.wait, together.wait)], lambda count: None)) == [7]
  seen: list[int] = []
  in_turn = [functools.partial(seen.append, number) for number in range(20)]
  with Workers(4) as workers:
    assert list(workers.in_order([steps(7, *in_turn, in_turn=True)], lambda count: None)) == [7]
  assert seen == list(range(20))


def test_the_second_step_of_a_part_is_done_while_the_next_one_is_in_its_first():
  """One waits for the other, so that it ends only if both are in work."""
  together = threading.Barrier(2, timeout=PATIENCE_SECONDS)
  parts = [steps(0, lambda: None, together.wait, in_turn=True), steps(1, together.wait)]
  with Workers(2) as workers:
    assert list(workers.in_order(parts, lambda count: None)) == [0, 1]


def test_parts_are_taken_as_there_is_room():
  """Those that stand around are bounded; what is asked of one is asked when the one before it is gone."""
  taken: list[int] = []

  def parts() -> Iterator[Steps[int]]:
    for number in range(50):
      taken.append(number)
      yield steps(number, lambda: None)

  with Workers(2) as workers, closing(workers.in_order(parts(), lambda count: None)) as outcomes:
    for outcome in outcomes:
      assert len(taken) - outcome <= 5
  assert len(taken) == 50


def test_a_file_that_nobody_goes_on_with_does_not_hold_up_another():
  with Workers(1) as workers:
    held = workers.in_order((steps(number, lambda: None) for number in range(100)), lambda count: None)
    assert next(held) == 0
    assert list(workers.in_order((steps(n, lambda: None) for n in range(9)), lambda count: None)) == list(range(9))
    held.close()


def test_all_bytes_are_told_by_the_thread_that_asks():
  told: list[tuple[int, int]] = []
  parts = (steps(number, *[lambda: None] * 3) for number in range(30))
  with Workers(3) as workers:
    list(workers.in_order(parts, lambda count: told.append((count, threading.get_ident()))))
  assert sum(count for count, _ in told) == 90
  assert {thread for _, thread in told} == {threading.get_ident()}


def fail() -> None:
  raise ZeroDivisionError


@pytest.mark.parametrize('in_turn', [False, True])
def test_what_a_job_raises_comes_in_its_place_and_room_is_given_back(in_turn):
  done: list[int] = []
  with Workers(2) as workers:
    for _ in range(10):
      parts = [steps(0, lambda: None), steps(1, lambda: None, fail, lambda: done.append(1), in_turn=in_turn)]
      outcomes = workers.in_order(iter(parts), lambda count: None)
      assert next(outcomes) == 0
      with pytest.raises(ZeroDivisionError):
        next(outcomes)
    assert workers._room._value == 4
  assert not (in_turn and done)


def test_what_the_parts_themselves_raise():
  def parts() -> Iterator[Steps[int]]:
    yield steps(0, lambda: None)
    raise ZeroDivisionError

  with Workers(2) as workers:
    with pytest.raises(ZeroDivisionError):
      list(workers.in_order(parts(), lambda count: None))
    assert workers._room._value == 4


def test_jobs_of_a_file_that_is_given_up_are_left_out():
  begun, go_on = threading.Event(), threading.Event()
  done: list[int] = []

  def first() -> None:
    begun.set()
    assert go_on.wait(PATIENCE_SECONDS)

  with Workers(1) as workers:
    parts = [steps(0, lambda: None), steps(1, first), steps(2, functools.partial(done.append, 2))]
    outcomes = workers.in_order(parts, lambda count: None)
    assert next(outcomes) == 0
    assert begun.wait(PATIENCE_SECONDS)
    outcomes.close()
    go_on.set()
  assert done == []


def test_parts_end_where_the_workers_are_closed():
  workers = Workers(1)
  workers.close()
  with pytest.raises(CancelledError):
    list(workers.in_order([steps(0, lambda: None)], lambda count: None))


def test_a_limit_below_the_number_of_threads():
  assert Workers(8, at_most=3).num_threads == 3
  assert Workers(2, at_most=3).num_threads == 2
