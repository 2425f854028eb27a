"""Cooperative cancellation: a token that long work takes as an argument and checks regularly."""

import threading

from language_modeling_is_compression.errors import CancelledError


class Cancellation:
  """A request to stop, for any number of threads.

  parent: a token whose request counts for this one too.
  """

  def __init__(self, parent: 'Cancellation | None' = None):
    self._event = threading.Event()
    self._parent = parent

  def cancel(self) -> None:
    """Requests that all work with this token ends soon, with CancelledError; there is no way back."""
    self._event.set()

  @property
  def requested(self) -> bool:
    return self._event.is_set() or (self._parent is not None and self._parent.requested)

  def check(self) -> None:
    """Raises CancelledError if a stop is requested."""
    if self.requested:
      raise CancelledError('cancelled')
