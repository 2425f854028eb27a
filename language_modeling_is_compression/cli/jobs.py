"""Work on many files: one after the other or several at a time; failures are reported, the others go on."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from language_modeling_is_compression.errors import CancelledError, LmicError, OutputExistsError
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.text import printable, write_between_bars

_held_back = threading.local()  # `lines`: messages of the thread's file, until it is done.


def say(line: str) -> None:
  """Prints a line to standard error, between progress bars; lines of one file come together."""
  line = printable(line)
  if (lines := getattr(_held_back, 'lines', None)) is not None:
    lines.append(line)
  else:
    write_between_bars(line)


def each_file(sources: Sequence[str], work: Callable[[str], object]) -> int:
  """Runs a job per file, one after the other; reports failures and continues. Returns 1 if any failed, else 0."""
  return max([_reported(source, work) for source in sources], default=0)


def several_files(
  sources: Sequence[str], work: Callable[[str], object], cancellation: Cancellation, at_a_time: int
) -> int:
  """Runs a job per file, `at_a_time` at once, the longest file first, so that none is left over at the end.

  Otherwise as `each_file`; what is said of a file comes when it is done. cancellation: of all jobs; a request ends them
  within a moment, with CancelledError.
  """

  def hold_back(source: str) -> tuple[int, list[str]]:
    _held_back.lines = []
    return _reported(source, work), _held_back.lines

  code = 0
  with ThreadPoolExecutor(at_a_time) as threads:
    try:
      longest_first = sorted(sources, key=_file_bytes, reverse=True)
      for done in as_completed([threads.submit(hold_back, source) for source in longest_first]):
        failed, lines = done.result()
        code = max(code, failed)
        for line in lines:
          say(line)
      return code
    except BaseException:
      # No file is begun any more; the threads take their unfinished outputs away, and are waited for.
      try:
        threads.shutdown(wait=False, cancel_futures=True)
      finally:
        cancellation.cancel()
      raise


def _file_bytes(source: str) -> int:
  """0 for what is not there, which its job reports."""
  try:
    return os.stat(source).st_size
  except OSError:
    return 0


def _reported(source: str, work: Callable[[str], object]) -> int:
  """Runs the job of a file. Returns 1 if it failed, which is reported, else 0."""
  try:
    work(source)
    return 0
  except (BrokenPipeError, CancelledError):
    raise
  except OutputExistsError as error:
    reason = f'{error}; use -f to overwrite it'
  except LmicError as error:
    reason = str(error).removeprefix(f'{source}: ')
  except OSError as error:
    reason = f'{error.filename or "input or output"}: {error.strerror or error}'.removeprefix(f'{source}: ')
  except MemoryError:
    reason = 'there is not enough memory: try fewer --threads'
  say(f'lmic: {source}: {reason}')
  return 1
