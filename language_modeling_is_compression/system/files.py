"""Files as commands use them: whole or not at all, with the source's date and permissions, or streams.

A stream is what can only be read, or written, from its beginning to its end: standard input and output, a named pipe,
a device such as /dev/null.
"""

import contextlib
import errno
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from language_modeling_is_compression.errors import ConfigError, OutputExistsError

STANDARD = '-'  # Standard input or output, where a command takes a file's name.

_DISK_IS_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, 'EDQUOT', errno.ENOSPC)})

_unfinished: set[str] = set()  # Temporary files and folders that are in use.
_unfinished_lock = threading.Lock()


def remove_unfinished() -> None:
  """Removes the temporary files and folders of this process, which is about to end: none can be made any more."""
  _unfinished_lock.acquire()  # Never released.
  for name in _unfinished:
    with contextlib.suppress(OSError):
      shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
  """A temporary folder, which vanishes with all that is in it."""
  with _unfinished_lock:
    name = tempfile.mkdtemp(prefix='lmic_')
    _unfinished.add(name)
  try:
    yield Path(name)
  finally:
    shutil.rmtree(name, ignore_errors=True)
    _unfinished.discard(name)


@contextlib.contextmanager
def vanishing(path: Path) -> Iterator[None]:
  """Removes a file when the block ends, or the process at once."""
  _unfinished.add(str(path))
  try:
    yield
  finally:
    with contextlib.suppress(OSError):
      path.unlink()
    _unfinished.discard(str(path))


def locked(file: IO[Any]) -> bool:
  """Locks an open file exclusively, until the process ends, however it does. Returns whether that was possible.

  Where the system or the file system has no locks the answer is yes: then a second process is not noticed.
  """
  try:
    import fcntl
  except ImportError:
    return _locked_on_windows(file)
  try:
    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
  return True


def _locked_on_windows(file: IO[Any]) -> bool:
  try:
    import msvcrt
  except ImportError:
    return True
  place = os.lseek(file.fileno(), 0, os.SEEK_CUR)
  try:
    os.lseek(file.fileno(), 1 << 30, os.SEEK_SET)  # Locked bytes cannot be read by others: one that no file has.
    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
  except OSError:
    return False
  finally:
    os.lseek(file.fileno(), place, os.SEEK_SET)
  return True


def check_folder(folder: Path) -> None:
  """Raises OSError if a folder cannot be written or made; makes nothing."""
  there = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
  if not there.is_dir():
    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
  if not os.access(there, os.W_OK | os.X_OK):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def file_size(file: BinaryIO) -> int:
  """Bytes of a file that can be seeked, wherever it stands; its position does not change. Raises OSError."""
  try:
    return os.fstat(file.fileno()).st_size
  except (OSError, AttributeError):  # A file in memory has no number.
    position = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(position)
    return end


class GrowingFile:
  """A text file that is written line by line, each at once on its way to the disk, and that may be renamed meanwhile.

  append: whether what is at `path` stays in front; otherwise it is replaced. Raises OSError, from every method.
  """

  def __init__(self, path: Path, *, append: bool = False):
    self.path = path
    self._file = self._opened('a' if append else 'w')

  def write(self, line: str) -> None:
    self._file.write(line + '\n')
    self._file.flush()

  def rename(self, path: Path) -> None:
    """Takes another name; what has that name is replaced. It stays open if that fails."""
    self._file.close()  # Windows renames no file that is open.
    try:
      os.replace(self.path, path)
      self.path = path
    finally:
      self._file = self._opened('a')

  def _opened(self, mode: str) -> IO[str]:
    return open(self.path, mode, encoding='utf-8', errors='backslashreplace')

  def close(self) -> None:
    with contextlib.suppress(OSError):  # A failed write has been reported.
      self._file.close()


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
  """Removes a source whose output is written. Raises ConfigError if it changed since `before`, or cannot be removed."""
  now = os.stat(source)
  if any(getattr(now, field) != getattr(before, field) for field in ('st_dev', 'st_ino', 'st_size', 'st_mtime_ns')):
    raise ConfigError('source changed after compression; not removed')
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
  with _told_of(path), _unfinished_lock:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name[:32]}.', suffix='.partial')
    _unfinished.add(name)
  try:
    with _full_disk_named(path), os.fdopen(descriptor, 'w+b') as file:
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
  finally:
    _unfinished.discard(name)


@contextlib.contextmanager
def _told_of(path: Path) -> Iterator[None]:
  """Errors name what is to be written, not the file beside it."""
  try:
    yield
  except OSError as error:
    raise OSError(error.errno, error.strerror, str(path)) from None


@contextlib.contextmanager
def _full_disk_named(place: str | Path) -> Iterator[None]:
  """An error of a disk that is full, which the system tells without a name, names what was being written."""
  try:
    yield
  except OSError as error:
    if error.filename is None and error.errno in _DISK_IS_FULL:
      raise OSError(error.errno, error.strerror, str(place)) from error
    raise


def _name_new(name: str, path: Path) -> None:
  """Renames a file to what must not exist."""
  taken = OutputExistsError(f'{path} was created by another process')
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


def is_pipe(name: str | Path) -> bool:
  """Whether a name is that of a pipe, which can be read once, from its beginning to its end."""
  try:
    return stat.S_ISFIFO(os.stat(name).st_mode)
  except OSError:
    return False


def is_stream(name: str | Path) -> bool:
  """Whether a name is that of a pipe or a device like /dev/null, which cannot be replaced by a file."""
  try:
    mode = os.stat(name).st_mode
  except OSError:
    return False
  return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


@contextlib.contextmanager
def input_file(source: str) -> Iterator[Path]:
  """A regular file: the source, or a temporary copy of standard input or a pipe. Raises ConfigError for other kinds."""
  path = Path(source)
  if source != STANDARD and not is_pipe(path):
    if path.exists() and not path.is_file():
      raise ConfigError(
        f'expected a file, got {"a folder; -r takes folders" if path.is_dir() else "a device or socket"}'
      )
    yield path
    return
  if source == STANDARD and sys.stdin is None:
    raise ConfigError('standard input is closed')
  with scratch_folder() as folder:
    with _full_disk_named(folder.parent), open(folder / 'input', 'wb') as copy:
      if source == STANDARD:
        shutil.copyfileobj(sys.stdin.buffer, copy)
      else:
        with open(path, 'rb') as pipe:
          shutil.copyfileobj(pipe, copy)
    yield folder / 'input'


@contextlib.contextmanager
def output_file(target: Path | None, source: str, *, force: bool, spooled: bool) -> Iterator[BinaryIO]:
  """Opens a source's output: a new file, an existing stream, or (target None) standard output.

  A file appears when the block ends without an exception, with the source's date and permissions. spooled: a stream
  gets nothing before that either, and what the block has written can be read back meanwhile.
  Raises ConfigError if the file exists, before or after it was made, and force is not given.
  """
  if target is None or is_stream(target):
    with _stream(target) as stream:
      if not spooled:
        yield stream
      else:
        with tempfile.TemporaryFile(prefix='lmic_') as copy:
          with _full_disk_named(tempfile.gettempdir()):
            yield copy
            copy.flush()
          copy.seek(0)
          shutil.copyfileobj(copy, stream)
      stream.flush()
    return
  if os.path.lexists(target):
    if not force:
      raise OutputExistsError(f'{target} exists')
    if source != STANDARD and target.exists() and os.path.samefile(source, target):
      raise ConfigError(f'{target} is the source itself; name another output')
    if target.exists() and not target.is_file():
      raise ConfigError(f'{target} is {"a folder" if target.is_dir() else "a device or socket"}')
  like = None if source == STANDARD or is_pipe(source) else Path(source)
  with replacing(target, like, only_new=not force) as file:
    yield file


@contextlib.contextmanager
def _stream(target: Path | None) -> Iterator[BinaryIO]:
  """Standard output, or a pipe or device that is there, open for writing."""
  with _full_disk_named(target or 'standard output'):
    if target is None:
      yield sys.stdout.buffer
      return
    with open(target, 'wb') as stream:
      yield stream
