"""Audio files as readers open them: regular files, and errors of ours for all else."""

import contextlib
import os
import stat
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path

from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.system.text import printable


@contextlib.contextmanager
def opened(path: Path, what: str) -> Iterator[tuple[RawIOBase, int]]:
  """Opens a file without a buffer; yields it and its bytes. what: it should be, for errors: 'a FLAC file'.

  Raises AudioFormatError, one line beginning with the path, if it is not a regular file, or cannot be opened or read
  within the context.
  """
  name = printable(str(path))
  try:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # Opening a pipe would wait for its writer.
      kind = 'a directory' if stat.S_ISDIR(status.st_mode) else 'a device, pipe or socket'
      raise AudioFormatError(f'{name}: expected a regular {what}, got {kind}: name a file.')
    with open(path, 'rb', buffering=0) as file:
      yield file, status.st_size
  except OSError as error:
    raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> AudioFormatError:
  """Builds the error for a file that cannot be read, or no longer."""
  name = printable(str(path))
  return AudioFormatError(f'{name}: cannot be read: {error.strerror or error}: check the path and its permissions.')
