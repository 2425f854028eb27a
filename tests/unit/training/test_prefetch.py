"""Batches that are made ahead: in order, each once, errors at their turn."""

import threading

import pytest

from language_modeling_is_compression.training.prefetch import prefetched


def test_in_order_each_once_and_a_little_ahead():
  made: list[int] = []
  ready = threading.Event()

  def make(step: int) -> int:
    made.append(step)
    if step == 5:
      ready.set()
    return 10 * step

  with prefetched(make, 3, 9) as take:
    assert take() == 30
    assert ready.wait(60)  # Step 5 is made before it is asked for, and step 6 is not.
    assert made == [3, 4, 5]
    assert [take() for _ in range(5)] == [40, 50, 60, 70, 80]
  assert made == [3, 4, 5, 6, 7, 8]


def test_an_error_is_raised_when_its_step_comes():
  def make(step: int) -> int:
    if step == 1:
      raise ValueError('of step 1')
    return step

  with prefetched(make, 0, 3) as take:
    assert take() == 0
    with pytest.raises(ValueError, match='of step 1'):
      take()
    assert take() == 2


def test_what_is_being_made_at_the_end_is_told_to_end():
  over = threading.Event()

  def make(step: int) -> bool:
    return step == 0 or over.wait(60)

  with prefetched(make, 0, 9, over.set) as take:
    assert take()
  assert over.is_set()


def test_nothing_runs_on_behind_the_block():
  with prefetched(lambda step: step, 0, 1000) as take:
    take()
  assert not [thread for thread in threading.enumerate() if thread.name.startswith('batches')]
