"""An orderly end when the user, or the system, asks for it."""

import contextlib
import logging
import signal
from collections.abc import Iterator

_logger = logging.getLogger(__name__)


class Stopper:
  """What SIGINT and SIGTERM do while it is installed.

  Until `begin` they raise KeyboardInterrupt. Libraries that are being imported or started then may swallow it, so
  `begin` raises it again. From then on the first of them is a request that the loop heeds between steps; later ones
  change nothing.
  """

  def __init__(self) -> None:
    self.signal: int | None = None
    self._begun = False

  def begin(self) -> None:
    """Training begins. Raises KeyboardInterrupt if a signal came before."""
    self._begun = True
    if self.signal is not None:
      raise KeyboardInterrupt

  @contextlib.contextmanager
  def installed(self) -> Iterator['Stopper']:
    before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
      yield self
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def _request(self, number: int, _frame: object) -> None:
    first, self.signal = self.signal is None, self.signal or number
    if not self._begun:
      raise KeyboardInterrupt
    if first:
      _logger.warning('%s: stopping after this step, then saving the model', signal.Signals(number).name)
