"""Writing files so that they appear whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
  """A file, open for writing and reading, that becomes `path` if the block ends without an exception, else vanishes.

  It stands beside `path` until it is on the disk, and has the permissions of any new file. Raises OSError.
  """
  descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name[:32]}.', suffix='.partial')
  try:
    with os.fdopen(descriptor, 'w+b') as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    # mkstemp's file is for its owner alone.
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(name, 0o666 & ~umask)
    os.replace(name, path)
  except BaseException:
    with contextlib.suppress(OSError):
      os.unlink(name)
    raise
