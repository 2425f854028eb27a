"""Workers: threads that do the work of any number of files, which come in parts, and bound what is in memory of them.

A part has steps, one after the other, each of jobs that may be done at the same time. Jobs are done in the order in
which they are handed over, by whichever thread is free, so the last step of one part overlaps with the first of others.
"""

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from language_modeling_is_compression.errors import CancelledError
from language_modeling_is_compression.system.cores import usable_cores

_PARTS_PER_THREAD = 2  # One in work, one that is ready when it is done, or waits for those before it.

_Outcome = TypeVar('_Outcome')

Job = Callable[[], int]  # Returns how many bytes are done by it.
# Yields the jobs of each step, at least one, and is asked for the next when all of them are done; returns the outcome.
Steps = Generator[list[Job], None, _Outcome]


class Workers:
  """Threads that several files share. Close them, or use them as a context; what they do then must end by itself.

  num_threads: None for one on each core. at_most: jobs at a time, if these are fewer.
  """

  def __init__(self, num_threads: int | None = None, *, at_most: int | None = None):
    num_threads = num_threads or usable_cores()
    self.num_threads = min(num_threads, at_most or num_threads)
    self._pool = ThreadPoolExecutor(self.num_threads)
    self._room = threading.Semaphore(_PARTS_PER_THREAD * self.num_threads)

  def __enter__(self) -> 'Workers':
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def close(self) -> None:
    """Waits for the jobs that were handed over; parts that have more steps end with CancelledError."""
    self._pool.shutdown()

  def in_order(
    self, parts: Iterable[Steps[_Outcome]], progress: Callable[[int], object]
  ) -> Generator[_Outcome, None, None]:
    """Yields the outcomes of a file's parts, in their order; close it where they are not all taken.

    parts: taken one by one, as there is room for them among those of all files; a file always has room for one.
    progress: called with the bytes of each job, by the thread that asks for outcomes. An exception in a job is raised
    in the part's place.
    """
    coming = iter(parts)
    running: deque[_Part[_Outcome]] = deque()
    told: queue.SimpleQueue[int] = queue.SimpleQueue()
    more = True
    with contextlib.ExitStack() as stack:
      stack.callback(self._give_up, running)
      while more or running:
        if more and ((has_room := self._room.acquire(blocking=False)) or not running):
          part = _Part[_Outcome](self._pool, told, self._room if has_room else None)
          running.append(part)
          steps = next(coming, None)
          if steps is not None:
            part.begin(steps)
          else:
            more = False
            running.pop().leave()
          continue
        while not running[0].finished:
          if count := told.get():
            progress(count)
        yield running[0].outcome()
        running.popleft().leave()
      while not told.empty():
        if count := told.get():
          progress(count)

  def _give_up(self, running: 'deque[_Part[_Outcome]]') -> None:
    for part in running:
      part.leave()


class _Part(Generic[_Outcome]):
  """A part of a file. told: gets the bytes of each job, and a 0 when the part is finished. room: what it takes up."""

  def __init__(self, pool: ThreadPoolExecutor, told: 'queue.SimpleQueue[int]', room: threading.Semaphore | None):
    self._pool, self._told, self._room = pool, told, room
    self._lock = threading.Lock()
    self._jobs_left = 0
    self._error: BaseException | None = None
    self._outcome: list[_Outcome] = []
    self.finished = False

  def begin(self, steps: Steps[_Outcome]) -> None:
    self._steps = steps
    self._next_step()

  def outcome(self) -> _Outcome:
    """Outcome of a part that is finished, which keeps it no longer. Raises what a job has raised."""
    if self._error is not None:
      raise self._error
    return self._outcome.pop()

  def leave(self) -> None:
    """Gives its room to others; jobs that have not begun are left out."""
    if not self.finished:
      self._error = CancelledError('cancelled')
    if self._room is not None:
      self._room.release()

  def _next_step(self) -> None:
    try:
      jobs = next(self._steps)
      self._jobs_left = len(jobs)
      for job in jobs:
        try:
          self._pool.submit(self._do, job)
        except RuntimeError:  # The workers are closed.
          raise CancelledError('cancelled') from None
    except StopIteration as end:
      self._outcome.append(end.value)
      self._finish()
    except BaseException as error:
      self._error = error
      self._finish()

  def _do(self, job: Job) -> None:
    try:
      if self._error is None:
        self._told.put(job())
    except BaseException as error:
      self._error = error
    with self._lock:
      self._jobs_left -= 1
      is_last = self._jobs_left == 0
    if is_last and self._error is None:
      self._next_step()
    elif is_last:
      self._finish()

  def _finish(self) -> None:
    self.finished = True
    self._told.put(0)
