"""Traces of a few training steps for the JAX profiler. That one cannot be written never ends a run."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from language_modeling_is_compression.config.options import LoggingConfig
from language_modeling_is_compression.training.run_files import RunFiles

_logger = logging.getLogger(__name__)

_SKIPPED_STEPS = 2  # The first one compiles, and the second finds its arrays where the first left them.


@contextlib.contextmanager
def profiled(update: Callable[..., Any], config: LoggingConfig, files: RunFiles) -> Iterator[Callable[..., Any]]:
  """An update, as `state.make_update` makes it, whose calls after the first two are traced, as many as asked for."""
  if not config.profile:
    yield update
    return
  trace = _Trace(files.profile)
  files.when_renamed(profile=trace.rename)
  last = _SKIPPED_STEPS + config.profile
  calls = 0

  def traced(*arguments: Any) -> Any:
    nonlocal calls
    calls += 1
    if calls == _SKIPPED_STEPS + 1:
      jax.block_until_ready(arguments[0])  # Or the step before would be part of the trace.
      trace.start()
    updated = update(*arguments)
    if calls == last:
      jax.block_until_ready(updated)
      trace.stop()
    return updated

  try:
    yield traced
  finally:
    trace.stop()


class _Trace:
  """A trace in a folder, which may be renamed at any time."""

  def __init__(self, path: Path):
    self._path = self._wanted = path
    self._is_running = False

  def start(self) -> None:
    try:
      jax.profiler.start_trace(str(self._path))
      self._is_running = True
    except Exception as error:  # The profiler raises errors of several libraries.
      self._lost(error)

  def stop(self) -> None:
    """Writes the trace, if one was started."""
    if not self._is_running:
      return
    self._is_running = False
    try:
      jax.profiler.stop_trace()
      self.rename(self._wanted)
      _logger.info('trace of the profiler: %s', self._path)
    except Exception as error:
      self._lost(error)

  def rename(self, path: Path) -> None:
    """Gives the folder another name, at the latest when the trace is written. Raises OSError."""
    self._wanted = path
    if self._is_running:
      return
    if self._path != path and self._path.exists():
      os.replace(self._path, path)
    self._path = path

  def _lost(self, error: Exception) -> None:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    _logger.warning('%s: cannot be written, there is no trace of the profiler: %s', self._path, reason)
