"""An orderly end when the user, or the system, asks for it."""

import contextlib
import logging
import signal
import sys
from collections.abc import Iterator
from typing import Any

from language_modeling_is_compression.system.interrupts import END_SIGNALS, ended_soon

_logger = logging.getLogger(__name__)


class Stopper:
  """Handler of SIGINT, SIGTERM and, where there is one, SIGUSR1 (by which SLURM announces the end) while it is
  installed.

  Until `begin` they raise KeyboardInterrupt. Libraries that are being imported or started then may swallow it, so
  `begin` raises it again. From then on the first of them is a request that the loop heeds between micro-batches.

  As long as a run has no work that it could save, compilation included, it ends a moment after a signal, whatever it is
  doing. After that a second Ctrl-C ends it at once and the work since the last save is lost; other signals that come
  later change nothing.

  command: its name, for messages. signal: the number of the first signal that came. has_unsaved_work: whether steps
  were done that no file has.
  """

  def __init__(self, command: str = 'train-audio') -> None:
    self.command = command
    self.signal: int | None = None
    self.has_unsaved_work = False
    self._begun = False

  def is_requested(self) -> bool:
    return self.signal is not None

  def begin(self) -> None:
    """Training begins. Raises KeyboardInterrupt if a signal came before."""
    self._begun = True
    if self.signal is not None:
      raise KeyboardInterrupt

  @contextlib.contextmanager
  def installed(self) -> Iterator['Stopper']:
    before = {number: signal.signal(number, self._request) for number in END_SIGNALS}
    try:
      with (
        ended_soon(f'{self.command}: ended at once; a model that is saved already stays', may_end=self._may_end),
        _swallowed_quietly(),
      ):
        yield self
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def _may_end(self, number: int, count: int) -> bool:
    return not self.has_unsaved_work or (number == signal.SIGINT and count > 1)

  def _request(self, number: int, _frame: object) -> None:
    first, self.signal = self.signal is None, self.signal or number
    if not self._begun:
      raise KeyboardInterrupt
    if first:
      then = ', then saving the model' if self.has_unsaved_work else ''
      again = '; Ctrl-C again ends at once, without saving' if then and number == signal.SIGINT else ''
      _logger.warning('%s: stopping%s%s', signal.Signals(number).name, then, again)


@contextlib.contextmanager
def _swallowed_quietly() -> Iterator[None]:
  """Silences a KeyboardInterrupt that is raised where it has to be swallowed, as in a callback of JAX's."""
  before = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
      before(unraisable)

  sys.unraisablehook = hook
  try:
    yield
  finally:
    sys.unraisablehook = before
