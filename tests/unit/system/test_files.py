"""What is written appears whole or not at all, and never instead of what somebody else has put there."""

import concurrent.futures
import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.files import (
  STANDARD,
  check_folder,
  input_file,
  is_pipe,
  is_stream,
  locked,
  output_file,
  remove_source,
)


@pytest.fixture(params=[True, False], ids=['links', 'no links'])
def target(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
  """In an empty folder of a file system with or without links."""
  if not request.param:

    def link(*_: object) -> None:
      raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, 'link', link)
  return tmp_path / 'out.wav'


def write(target: Path, *, force: bool, meanwhile: bytes | None = None, error: Exception | None = None) -> None:
  with output_file(target, STANDARD, force=force, spooled=False) as file:
    file.write(b'ours')
    assert not target.exists()
    if meanwhile is not None:
      target.write_bytes(meanwhile)
    if error:
      raise error


def names(target: Path) -> list[str]:
  return os.listdir(target.parent)


@pytest.mark.parametrize('force', [False, True])
def test_a_new_file(target, force):
  write(target, force=force)
  assert target.read_bytes() == b'ours' and names(target) == ['out.wav']
  umask = os.umask(0)
  os.umask(umask)
  assert target.stat().st_mode & 0o777 == 0o666 & ~umask and target.stat().st_nlink == 1


def test_what_comes_to_exist_meanwhile_stays(target):
  """It may be an hour after the look at the beginning."""
  with pytest.raises(ConfigError, match=r'was created by another process$'):
    write(target, force=False, meanwhile=b'theirs')
  assert target.read_bytes() == b'theirs' and names(target) == ['out.wav']


def test_a_link_to_nothing_that_comes_meanwhile_stays(target):
  with (
    pytest.raises(ConfigError, match=r'was created by another process$'),
    output_file(target, STANDARD, force=False, spooled=False),
  ):
    target.symlink_to('nowhere')
  assert target.is_symlink() and names(target) == ['out.wav']


def test_force_takes_its_place(target):
  write(target, force=True, meanwhile=b'theirs')
  assert target.read_bytes() == b'ours' and names(target) == ['out.wav']


def test_nothing_is_left_of_what_fails(target):
  with pytest.raises(RuntimeError):
    write(target, force=False, error=RuntimeError())
  assert names(target) == []


def test_force_takes_no_place_of_a_folder(target):
  target.mkdir()
  with pytest.raises(ConfigError, match='folder'):
    write(target, force=True)
  assert names(target) == ['out.wav'] and target.is_dir()


@pytest.mark.parametrize('spooled', [False, True])
def test_a_pipe_is_written_to_and_stays(target, spooled):
  os.mkfifo(target)
  with concurrent.futures.ThreadPoolExecutor() as threads:
    received = threads.submit(target.read_bytes)
    with output_file(target, '-', force=False, spooled=spooled) as file:
      file.write(b'ours')
    assert received.result(timeout=30) == b'ours'
  assert names(target) == ['out.wav'] and is_pipe(target)


def test_the_null_device_takes_what_it_gets():
  for spooled in (False, True):
    with output_file(Path(os.devnull), '-', force=False, spooled=spooled) as file:
      file.write(b'ours')
  assert is_stream(os.devnull)


def test_a_pipe_is_read_once_and_can_be_sought_in(target):
  os.mkfifo(target)
  with concurrent.futures.ThreadPoolExecutor() as threads:
    written = threads.submit(target.write_bytes, b'from a pipe')
    with input_file(str(target)) as path:
      assert path.read_bytes() == path.read_bytes() == b'from a pipe'
    written.result(timeout=30)
  assert not path.exists() and not path.parent.exists()


@pytest.mark.parametrize('error', [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_named(target, error):
  with pytest.raises(OSError) as caught:  # noqa: PT011 (the name is what matters)
    write(target, force=False, error=OSError(error, os.strerror(error)))
  assert caught.value.filename == str(target)
  with pytest.raises(OSError) as caught, output_file(Path(os.devnull), '-', force=False, spooled=True):  # noqa: PT011
    raise OSError(error, os.strerror(error))
  assert caught.value.filename == tempfile.gettempdir()


def test_an_error_of_the_source_is_not_the_outputs(target):
  with pytest.raises(OSError) as caught:  # noqa: PT011
    write(target, force=False, error=OSError(errno.EIO, 'Input/output error'))
  assert caught.value.filename is None


_ENDED = """
import sys
from pathlib import Path
from language_modeling_is_compression.system.files import remove_unfinished, replacing, scratch_folder
with replacing(Path(sys.argv[1], 'out')) as file, scratch_folder() as folder:
  (folder / 'in it').write_bytes(b'x')
  print(folder)
  remove_unfinished()
  sys.stdout.flush()
  import os
  os._exit(0)
"""


def test_a_process_that_ends_at_once_leaves_nothing(tmp_path):
  folder = subprocess.run([sys.executable, '-c', _ENDED, tmp_path], check=True, capture_output=True, text=True).stdout
  assert folder and not Path(folder.strip()).exists() and list(tmp_path.iterdir()) == []


def test_a_lock_is_had_once(tmp_path):
  with open(tmp_path / 'lock', 'a') as first, open(tmp_path / 'lock', 'a') as second:
    assert locked(first) and not locked(second)
  with open(tmp_path / 'lock', 'a') as third:
    assert locked(third)


def test_without_locks_a_second_process_is_not_noticed(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'fcntl', None)
  with open(tmp_path / 'lock', 'a') as first, open(tmp_path / 'lock', 'a') as second:
    assert locked(first) and locked(second)


def test_an_output_runs_as_nobody_else(target):
  """A file of another owner may run as that owner; its copy must not run as ours."""
  source = target.with_name('source')
  source.write_bytes(b'')
  source.chmod(0o6751)
  os.utime(source, ns=(5, 10**18 + 7))
  with output_file(target, str(source), force=False, spooled=False):
    pass
  assert (target.stat().st_mode & 0o7777, target.stat().st_mtime_ns) == (0o751, 10**18 + 7)


def test_errors_name_the_output(tmp_path):
  target = tmp_path / 'no' / 'out.wav'
  with pytest.raises(OSError, match='No such file') as caught, output_file(target, '-', force=False, spooled=False):
    pass
  assert caught.value.filename == str(target)


@pytest.mark.parametrize('change', ['longer', 'rewritten', 'another'])
def test_a_source_that_changed_is_not_removed(tmp_path, change):
  source = tmp_path / 'source'
  source.write_bytes(b'first')
  before = source.stat()
  if change == 'another':
    source.rename(tmp_path / 'kept')
  source.write_bytes(b'first, and more' if change == 'longer' else b'other')
  os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns + (change == 'rewritten')))
  with pytest.raises(ConfigError, match=r'^source changed after compression; not removed$'):
    remove_source(str(source), before)
  assert source.exists()
  remove_source(str(source), source.stat())
  assert not source.exists()


def test_a_folder_that_could_be_made_is_told_from_one_that_could_not(tmp_path, monkeypatch):
  (tmp_path / 'file').touch()
  check_folder(tmp_path)
  check_folder(tmp_path / 'a' / 'b')
  for path in (tmp_path / 'file', tmp_path / 'file' / 'a'):
    with pytest.raises(NotADirectoryError) as caught:
      check_folder(path)
    assert caught.value.filename == str(path)
  monkeypatch.setattr(os, 'access', lambda path, mode: path != tmp_path)  # Who is root may write everywhere.
  with pytest.raises(PermissionError):
    check_folder(tmp_path / 'a')
  assert sorted(tmp_path.iterdir()) == [tmp_path / 'file']
