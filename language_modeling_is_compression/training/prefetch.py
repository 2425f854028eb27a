"""Batches that are made ahead, so that devices do not wait for the disk."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Batch = TypeVar('_Batch')

_NUM_AHEAD = 2


@contextlib.contextmanager
def prefetched(
  make: Callable[[int], _Batch], first: int, last: int, give_up: Callable[[], None] = lambda: None
) -> Iterator[Callable[[], _Batch]]:
  """A function that returns `make` of steps first to last - 1, one after the other; a thread makes the next ones.

  It raises what `make` raised for a step when that step's turn comes. give_up: called at the end of the block, which
  waits for what is being made, to have `make` end soon.
  """
  pool = ThreadPoolExecutor(1, 'batches')
  steps = iter(range(first, last))
  ahead: list[Future[_Batch]] = []

  def fill() -> None:
    while len(ahead) < _NUM_AHEAD and (step := next(steps, None)) is not None:
      ahead.append(pool.submit(make, step))

  def take() -> _Batch:
    fill()
    batch = ahead.pop(0)
    fill()
    return batch.result()

  try:
    yield take
  finally:
    give_up()
    pool.shutdown(cancel_futures=True)
