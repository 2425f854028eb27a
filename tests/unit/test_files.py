"""What is written appears whole or not at all, and never instead of what somebody else has put there."""

import errno
import os
from pathlib import Path

import pytest

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.files import STANDARD, output_file


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
