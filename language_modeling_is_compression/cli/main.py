"""The `lmic` command: what its commands have in common. Each is a module of its own, imported when it is asked for.

Importing what codes takes a good part of a second, which whoever asks for a version need not wait for.
"""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

from language_modeling_is_compression.cli import options
from language_modeling_is_compression.cli.parser import parse
from language_modeling_is_compression.errors import ConfigError, InputError, LmicError
from language_modeling_is_compression.system.interrupts import TerminatedError, ended_soon
from language_modeling_is_compression.system.text import printable, write_between_bars

_INTERRUPTED = 'lmic: interrupted; unfinished output was removed'


def main(argv: Sequence[str] | None = None) -> int:
  """Returns 0 when all is done, 1 if a file failed, 2 for wrong usage, 128 + N if signal N ended it."""
  _open_closed_streams()
  try:
    chosen = parse(sys.argv[1:] if argv is None else argv)
    if chosen is None:
      return 2
    with _sigterm_raises(), ended_soon(_INTERRUPTED), _package_log_shown(_log_level(chosen)):
      code = _run(chosen)
      if sys.stdout is not None:
        sys.stdout.flush()
      return code
  except LmicError as error:
    print(f'lmic: error: {printable(str(error))}', file=sys.stderr)
    return 2 if isinstance(error, ConfigError | InputError) else 1
  except MemoryError:
    print('lmic: error: there is not enough memory', file=sys.stderr)
    return 1
  except BrokenPipeError:
    # Whoever read our output has gone.
    _drop_output()
    return 1
  except OSError as error:
    print(f'lmic: error: {printable(str(error.filename or "standard output"))}: {error.strerror}', file=sys.stderr)
    _drop_output()
    return 1
  except KeyboardInterrupt:
    print(_INTERRUPTED, file=sys.stderr)
    return 128 + signal.SIGINT
  except TerminatedError:
    print(_INTERRUPTED, file=sys.stderr)
    return 128 + signal.SIGTERM


def _run(chosen: options.Options) -> int:
  match chosen:
    case options.Compress() | options.Decompress() | options.Test():
      from language_modeling_is_compression.cli import coding

      return coding.run(chosen)
    case options.Info():
      from language_modeling_is_compression.cli.info import list_files

      return list_files(chosen)
    case options.Generate():
      from language_modeling_is_compression.cli.generate import generate_files

      return generate_files(chosen)
    case options.Look():
      from language_modeling_is_compression.cli.look import draw_page

      return draw_page(chosen)


def _log_level(chosen: options.Options) -> int:
  if isinstance(chosen, options.Info):
    return logging.INFO
  if isinstance(chosen, options.Generate | options.Look):
    return logging.ERROR if chosen.quiet else logging.INFO
  return logging.ERROR if chosen.work.quiet else logging.DEBUG if chosen.work.verbose else logging.INFO


class _ShownLog(logging.Handler):
  """Shows what the package logs beside progress bars, at once, also while lines about files wait for their turn."""

  def emit(self, record: logging.LogRecord) -> None:
    write_between_bars(f'lmic: {printable(record.getMessage())}')


@contextlib.contextmanager
def _package_log_shown(level: int) -> Iterator[None]:
  logger, handler = logging.getLogger('language_modeling_is_compression'), _ShownLog()
  before = logger.level
  logger.addHandler(handler)
  logger.setLevel(level)
  try:
    yield
  finally:
    logger.removeHandler(handler)
    logger.setLevel(before)


def _open_closed_streams() -> None:
  """So that no file that is opened gets the number of a standard stream, and no error is lost for lack of one."""
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)
  if sys.stderr is None:
    sys.stderr = open(os.devnull, 'w')  # noqa: SIM115 - for as long as the process lasts


def _drop_output() -> None:
  """Discards what is buffered for standard output, which would be flushed at exit."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
  def terminate(number: int, frame: object) -> NoReturn:
    raise TerminatedError

  before = signal.signal(signal.SIGTERM, terminate)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)
