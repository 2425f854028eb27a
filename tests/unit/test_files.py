"""What is written appears whole or not at all, and never instead of what somebody else has put there."""

import errno
import os
from pathlib import Path

import pytest

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.files import STANDARD, output_file, remove_source


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
  with pytest.raises(ConfigError, match='has come to exist meanwhile; -f overwrites it'):
    write(target, force=False, meanwhile=b'theirs')
  assert target.read_bytes() == b'theirs' and names(target) == ['out.wav']


def test_a_link_to_nothing_that_comes_meanwhile_stays(target):
  with (
    pytest.raises(ConfigError, match='has come to exist meanwhile'),
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


@pytest.mark.parametrize('kind', ['pipe', 'folder'])
def test_force_takes_no_place_of_what_is_no_file(target, kind):
  os.mkfifo(target) if kind == 'pipe' else target.mkdir()
  with pytest.raises(ConfigError, match=kind):
    write(target, force=True)
  assert names(target) == ['out.wav'] and not target.is_file()


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
  with pytest.raises(ConfigError, match='it changed after it was read, so it was not removed'):
    remove_source(str(source), before)
  assert source.exists()
  remove_source(str(source), source.stat())
  assert not source.exists()
