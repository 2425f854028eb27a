"""Files as commands use them: whole or not at all, with the source's date and permissions, or standard streams."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from language_modeling_is_compression.errors import ConfigError

STANDARD = '-'  # Standard input or output, where a command takes a file's name.


def named_again(paths: Iterable[str | Path], *, capitals: bool = True) -> str | Path | None:
  """The first name of a file that had one already; none need exist. capitals: whether they make a difference."""
  places = set()
  for path in paths:
    place = os.path.join(os.path.realpath(os.path.dirname(path) or '.'), os.path.basename(path))
    place = place if capitals else place.casefold()
    if place in places:
      return path
    places.add(place)
  return None


def remove_source(source: str, before: os.stat_result) -> None:
  """Removes what has become another file. Raises ConfigError if it is not what it was `before`, or has to stay."""
  now = os.stat(source)
  if any(getattr(now, field) != getattr(before, field) for field in ('st_dev', 'st_ino', 'st_size', 'st_mtime_ns')):
    raise ConfigError('it changed after it was read, so it was not removed, and its output is of what it was before')
  try:
    os.unlink(source)
  except OSError as error:
    raise ConfigError(f'its output was written, but it could not be removed: {error.strerror}') from None


@contextlib.contextmanager
def replacing(path: Path, like: Path | None = None, *, only_new: bool = False) -> Iterator[BinaryIO]:
  """A file, open for writing and reading, that becomes `path` if the block ends without an exception, else vanishes.

  It stands beside `path` until it is on the disk. It has the permissions and times of `like`, or those of a new file.
  only_new: what has come to be at `path` meanwhile stays there, which raises ConfigError. Raises OSError.
  """
  with _told_of(path):
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name[:32]}.', suffix='.partial')
  try:
    with os.fdopen(descriptor, 'w+b') as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    if like:
      # Not who a program runs as, which would become another one's: its owner is whoever runs this.
      stands = like.stat()
      os.chmod(name, stands.st_mode & 0o777)
      os.utime(name, ns=(stands.st_atime_ns, stands.st_mtime_ns))
    else:
      # mkstemp's file is for its owner alone.
      umask = os.umask(0)
      os.umask(umask)
      os.chmod(name, 0o666 & ~umask)
    with _told_of(path):
      if only_new:
        _name_new(name, path)
      else:
        os.replace(name, path)
  except BaseException:
    with contextlib.suppress(OSError):
      os.unlink(name)
    raise


@contextlib.contextmanager
def _told_of(path: Path) -> Iterator[None]:
  """Errors name what is to be written, not the file beside it."""
  try:
    yield
  except OSError as error:
    raise OSError(error.errno, error.strerror, str(path)) from None


def _name_new(name: str, path: Path) -> None:
  """Renames a file to what must not exist."""
  taken = ConfigError(f'{path} has come to exist meanwhile; -f overwrites it')
  try:
    os.link(name, path)
  except FileExistsError:
    raise taken from None
  except OSError:  # A file system without links; there is nothing better than to look first.
    if os.path.lexists(path):
      raise taken from None
    os.replace(name, path)
  else:
    os.unlink(name)


@contextlib.contextmanager
def input_file(source: str) -> Iterator[Path]:
  """A regular file: the source, or a temporary copy of standard input. Raises ConfigError for any other kind."""
  if source == STANDARD:
    if sys.stdin is None:
      raise ConfigError('standard input is closed')
    with tempfile.NamedTemporaryFile(prefix='lmic_', suffix='.input') as copy:
      shutil.copyfileobj(sys.stdin.buffer, copy)
      copy.flush()
      yield Path(copy.name)
    return
  path = Path(source)
  if path.exists() and not path.is_file():
    kind = 'a folder; -r takes folders' if path.is_dir() else 'a device, pipe or socket; pipe it into -'
    raise ConfigError(f'expected a regular file, got {kind}')
  yield path


@contextlib.contextmanager
def output_file(target: Path | None, source: str, *, force: bool, spooled: bool) -> Iterator[BinaryIO]:
  """Where a source's output goes: a new file, or (target None) standard output.

  A file appears when the block ends without an exception, with the source's date and permissions. spooled: standard
  output gets nothing before that either, and what the block has written can be read back meanwhile.
  Raises ConfigError if the file exists, before or after it was made, and force is not given.
  """
  if target is None:
    if not spooled:
      yield sys.stdout.buffer
      sys.stdout.buffer.flush()
      return
    with tempfile.TemporaryFile(prefix='lmic_') as copy:
      yield copy
      copy.seek(0)
      shutil.copyfileobj(copy, sys.stdout.buffer)
      sys.stdout.buffer.flush()
    return
  if os.path.lexists(target):
    if not force:
      raise ConfigError(f'{target} exists already; -f overwrites it')
    if source != STANDARD and target.exists() and os.path.samefile(source, target):
      raise ConfigError(f'{target} is the source itself; name another output')
    if target.exists() and not target.is_file():
      kind = 'a folder' if target.is_dir() else 'a device, pipe or socket; -c writes to standard output'
      raise ConfigError(f'{target} is {kind}')
  with replacing(target, None if source == STANDARD else Path(source), only_new=not force) as file:
    yield file
