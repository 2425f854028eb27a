"""Compiled code that is kept on disk is used for as long as all sources are the same, and no longer."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from language_modeling_is_compression.kernels import compilation

CALLER = """
from language_modeling_is_compression.callee import callee
from language_modeling_is_compression.kernels.compilation import compiled

@compiled
def caller(number):
  return callee(number)

if __name__ == '__main__':
  import logging
  logging.basicConfig(level=logging.INFO)
  print(caller(20), sum(caller.dispatcher.stats.cache_hits.values()))
"""
CALLEE = """
from language_modeling_is_compression.kernels.compilation import {decorator}

@{decorator}
def callee(number):
  return number + {increment}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
  monkeypatch.delenv('NUMBA_CACHE_DIR', raising=False)
  monkeypatch.delenv('LMIC_CODE', raising=False)
  folder = tmp_path / 'language_modeling_is_compression'
  kernels = Path(compilation.__file__).parent
  shutil.copytree(kernels, folder / 'kernels', ignore=shutil.ignore_patterns('__pycache__', 'compiled'))
  shutil.copy(kernels.parent / 'errors.py', folder)
  (folder / '__init__.py').write_text('')
  (folder / 'caller.py').write_text(CALLER)
  return folder


COMMAND = [sys.executable, '-B', '-W', 'error', '-m', 'language_modeling_is_compression.caller']
# The system refuses to let any file grow further, much as a full disk does.
LIMITED = (
  'import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (99, 99)); os.execv(sys.argv[1], sys.argv[1:])'
)


def run(package: Path, limited: bool) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, '-c', LIMITED, *COMMAND] if limited else COMMAND
  return subprocess.run(command, cwd=package.parent, check=True, capture_output=True, text=True)


def call(package: Path) -> tuple[int, int]:
  """What the caller returns in a process of its own, and how often code of an earlier one was used."""
  result, hits = run(package, limited=False).stdout.split()
  return int(result), int(hits)


def said_by(package: Path) -> str:
  """What such a process logs."""
  return run(package, limited=False).stderr


@pytest.mark.parametrize('decorator', ['compiled', 'inlined'])
def test_code_is_kept_until_a_file_changes_that_it_was_made_of(package: Path, decorator: str):
  callee = package / 'callee.py'
  callee.write_text(CALLEE.format(decorator=decorator, increment=1))
  assert call(package) == (21, 0)
  assert call(package) == (21, 1)
  callee.write_text(CALLEE.format(decorator=decorator, increment=2))
  assert call(package) == (22, 0)
  assert call(package) == (22, 1)


def test_what_is_no_longer_good_is_replaced(package: Path):
  for increment in range(3):
    (package / 'callee.py').write_text(CALLEE.format(decorator='inlined', increment=increment))
    call(package)
  assert len(list(package.rglob('caller.caller-*.lmic_code'))) == 1


def test_damaged_code_is_compiled_again(package: Path):
  """However much of it is there; what is compiled again is kept, and whole."""
  (package / 'callee.py').write_text(CALLEE.format(decorator='compiled', increment=1))
  call(package)
  kept = list(package.rglob('*.lmic_code'))
  assert len(kept) == 2
  sound = {path: path.read_bytes() for path in kept}
  damaged = [lambda data, length=length: data[:length] for length in (0, 1, 40, -1)]
  for damage in [*damaged, lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]]:
    for path, data in sound.items():
      path.write_bytes(damage(data))
    assert call(package) == (21, 0)
  assert call(package) == (21, 1)


def test_a_folder_that_is_named_is_used(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  (package / 'callee.py').write_text(CALLEE.format(decorator='inlined', increment=1))
  monkeypatch.setenv('NUMBA_CACHE_DIR', str(tmp_path / 'kept' / 'here'))
  assert (call(package), call(package)) == ((21, 0), (21, 1))
  assert list((tmp_path / 'kept' / 'here').iterdir()) and not (package / '__pycache__').exists()


def test_a_user_has_a_folder_where_the_package_cannot_be_written(
  package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
  (package / 'callee.py').write_text(CALLEE.format(decorator='inlined', increment=1))
  (package / '__pycache__').write_text('a file, so no folder can be made here')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'caches'))
  assert (call(package), call(package)) == ((21, 0), (21, 1))
  assert list((tmp_path / 'caches').rglob('*.lmic_code'))


def test_without_a_folder_for_it_code_is_compiled_each_time(package: Path, monkeypatch: pytest.MonkeyPatch):
  (package / 'callee.py').write_text(CALLEE.format(decorator='inlined', increment=1))
  (package / 'a file').write_text('')
  monkeypatch.setenv('NUMBA_CACHE_DIR', str(package / 'a file' / 'folder'))
  for _ in range(2):
    done = run(package, limited=False)
    assert done.stdout.split() == ['21', '0']
    said = done.stderr
    assert said.count('compiled code cannot be kept') == said.count('NUMBA_CACHE_DIR') == 1


def test_a_folder_that_is_full_is_said_once_and_hinders_nothing(package: Path, monkeypatch: pytest.MonkeyPatch):
  (package / 'callee.py').write_text(CALLEE.format(decorator='compiled', increment=1))
  monkeypatch.setenv('NUMBA_CACHE_DIR', str(package / 'kept'))
  done = run(package, limited=True)
  assert done.stdout.split() == ['21', '0']
  assert list((package / 'kept').iterdir()) == []
  assert done.stderr.count('File too large') == 1


def test_that_it_compiles_is_said_once(package: Path):
  (package / 'callee.py').write_text(CALLEE.format(decorator='compiled', increment=1))
  assert said_by(package).count('compiling for this processor, once') == 1
  assert said_by(package) == ''


def test_without_a_compiler_calls_say_so(package: Path, monkeypatch: pytest.MonkeyPatch):
  (package / 'callee.py').write_text(CALLEE.format(decorator='compiled', increment=1))
  monkeypatch.setenv('NUMBA_DISABLE_JIT', '1')
  done = subprocess.run(COMMAND, cwd=package.parent, capture_output=True, text=True)
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1].endswith('ConfigError: ' + compilation.NO_COMPILER)
