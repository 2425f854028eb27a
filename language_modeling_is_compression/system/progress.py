"""Progress: a bar on a terminal, a log line a minute where standard error goes elsewhere."""

import logging
import sys
import time
from types import TracebackType

from tqdm import tqdm

_logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 60.0


class ProgressLog:
  """The part of tqdm's interface that this package uses, as a log line a minute.

  total: units of work in all, or None if that is not known. initial: those done before.
  """

  def __init__(self, *, total: float | None, unit: str, description: str, initial: float = 0):
    self._total, self._unit, self._description = total, unit, description
    self._initial = self._done = initial
    self._postfix = ''
    self._started = self._said = time.monotonic()

  def update(self, count: float = 1) -> None:
    """Counts units of work as done."""
    self._done += count
    now = time.monotonic()
    if now - self._said >= _SECONDS_BETWEEN_LINES:
      self._said = now
      _logger.info('%s', self._line(now - self._started))

  def set_postfix_str(self, text: str = '', refresh: bool = True) -> None:
    """Text that goes with the next line."""
    self._postfix = text

  def close(self) -> None:
    """Ends without a last line: whoever did the work says what came of it."""

  def __enter__(self) -> 'ProgressLog':
    return self

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
  ) -> None:
    self.close()

  def _line(self, seconds: float) -> str:
    done = self._done - self._initial
    parts = [f'{tqdm.format_sizeof(self._done)} {self._unit}s']
    if self._total:
      parts[0] = f'{self._done / self._total:.0%}, {tqdm.format_sizeof(self._done)} of '
      parts[0] += f'{tqdm.format_sizeof(self._total)} {self._unit}s'
      if done:
        left = tqdm.format_interval(seconds / done * max(0.0, self._total - self._done))
        parts.append(f'{tqdm.format_interval(seconds)} so far, {left} left')
    return ': '.join(filter(None, (self._description, ', '.join(filter(None, (*parts, self._postfix))))))


def progress_bar(
  *, total: float | None, unit: str, description: str = '', initial: float = 0, shown: bool = True, leave: bool = True
) -> 'tqdm | ProgressLog':
  """Progress of some work; shown: whether anybody is to see it. leave: whether the bar stays when the work is done."""
  if shown and not sys.stderr.isatty():
    return ProgressLog(total=total, unit=unit, description=description, initial=initial)
  return tqdm(
    total=total,
    unit=unit,
    unit_scale=True,
    desc=description or None,
    initial=initial,
    leave=leave,
    disable=not shown,
    dynamic_ncols=True,
  )
