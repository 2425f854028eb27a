"""Work on many files: one after the other or several at a time; one that fails is told, others have their turn."""

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from language_modeling_is_compression.errors import LmicError

_held_back = threading.local()  # `lines` of the file that a thread is at, until it is that file's turn.


def printable(text: str) -> str:
  """What a terminal shows as one line, and every encoding has: names of files may hold anything."""
  return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)


def say(line: str) -> None:
  """Between progress bars, if there are any; in the order of the files, though they may end in another."""
  line = printable(line)
  if (lines := getattr(_held_back, 'lines', None)) is not None:
    lines.append(line)
  else:
    tqdm.write(line, file=sys.stderr)


def each_file(sources: Sequence[str], work: Callable[[str], object]) -> int:
  """One after the other; the exit code is 1 if any failed."""
  return max([_reported(source, work) for source in sources], default=0)


def several_files(
  sources: Sequence[str], work: Callable[[str], object], stop: Callable[[], object], at_a_time: int
) -> int:
  """As `each_file`, but so many at a time.

  stop: makes all work end within a moment with an exception that is none of ours, for when a signal comes.
  """

  def hold_back(source: str) -> tuple[int, list[str]]:
    _held_back.lines = []
    return _reported(source, work), _held_back.lines

  code = 0
  with ThreadPoolExecutor(at_a_time) as threads:
    try:
      for failed, lines in threads.map(hold_back, sources):
        code = max(code, failed)
        for line in lines:
          say(line)
      return code
    except BaseException:
      # No file is begun any more; the threads take their unfinished outputs away, and are waited for.
      try:
        threads.shutdown(wait=False, cancel_futures=True)
      finally:
        stop()
      raise


def _reported(source: str, work: Callable[[str], object]) -> int:
  """Works on a file; 1 if that failed, which is told."""
  try:
    work(source)
    return 0
  except BrokenPipeError:
    raise
  except LmicError as error:
    reason = str(error).removeprefix(f'{source}: ')
  except OSError as error:
    reason = f'{error.filename or "input or output"}: {error.strerror or error}'.removeprefix(f'{source}: ')
  except MemoryError:
    reason = 'there is not enough memory: try fewer --lanes'
  say(f'lmic: {source}: {reason}')
  return 1
