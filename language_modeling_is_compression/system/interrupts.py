"""Ends a process that does not end by itself soon after Ctrl-C or SIGTERM.

Python runs signal handlers on the main thread, between two instructions of its own. A compiler or a matrix product that
runs there delays them for as long as it takes, and so does joining a thread. Here a thread watches instead, which the
operating system notifies of signals at once.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

from language_modeling_is_compression.system.files import remove_unfinished

GRACE_SECONDS = 1.0  # For an orderly end: running work is cancelled, and threads are joined.

# All that ask a run to end; SLURM announces its end by the last one, where there is one.
END_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, 'SIGUSR1') else []))
_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})


class TerminatedError(BaseException):
  """SIGTERM came: what it is raised in ends in order, as for Ctrl-C."""


def end_process(code: int) -> NoReturn:
  """Ends the process without Python's own end, which waits for libraries' threads, or crashes where they still run."""
  logging.shutdown()
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError, AttributeError):  # It is closed, or there is none.
      stream.flush()
  os._exit(code)


@contextlib.contextmanager
def ended_soon(message: str, *, may_end: Callable[[int, int], bool] = lambda number, count: True) -> Iterator[None]:
  """Within the block, a signal ends the process after GRACE_SECONDS, whatever it is doing, unless the block has ended.

  Unfinished outputs are removed, `message` goes to standard error, and the exit code is 128 + the signal's number.
  may_end: asked when the time is up, given the signal's number and how many came so far (those that come until it is
  asked are one); False leaves the process alone until another signal comes.
  Does nothing outside of the main thread, where signals cannot be watched.
  """
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  reading, writing = socket.socketpair()
  writing.setblocking(False)
  over = threading.Event()
  watch = threading.Thread(target=_watch, args=(reading, over, message, may_end), name='signals', daemon=True)
  before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
  watch.start()
  try:
    yield
  finally:
    over.set()
    signal.set_wakeup_fd(before)
    writing.close()
    watch.join()
    reading.close()


def _watch(reading: socket.socket, over: threading.Event, message: str, may_end: Callable[[int, int], bool]) -> None:
  count = 0
  while numbers := reading.recv(1):
    if numbers[0] not in _SIGNALS:
      continue
    if over.wait(GRACE_SECONDS):
      return
    _drop_pending(reading)
    count += 1
    if may_end(numbers[0], count):
      _end(128 + numbers[0], message)


def _drop_pending(reading: socket.socket) -> None:
  """Forgets signals that have come meanwhile: whoever starts a program often passes on what it has got itself."""
  reading.setblocking(False)
  with contextlib.suppress(BlockingIOError):
    reading.recv(1 << 16)
  reading.setblocking(True)


def _end(code: int, message: str) -> None:
  """Leaves at once: threads that run in compiled code cannot be stopped in any other way."""
  remove_unfinished()
  with contextlib.suppress(OSError, ValueError):
    print(message, file=sys.stderr, flush=True)
  os._exit(code)
