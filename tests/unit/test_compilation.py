"""Compiled code that is kept on disk is used for as long as all sources are the same, and no longer."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from language_modeling_is_compression import compilation

CALLER = """
from package.callee import callee
from package.compilation import compiled

@compiled
def caller(number):
  return callee(number)

if __name__ == '__main__':
  print(caller(20), sum(caller.stats.cache_hits.values()))
"""
CALLEE = """
from package.compilation import {decorator}

@{decorator}
def callee(number):
  return number + {increment}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
  monkeypatch.delenv('NUMBA_CACHE_DIR', raising=False)
  folder = tmp_path / 'package'
  folder.mkdir()
  shutil.copy(compilation.__file__, folder / 'compilation.py')
  (folder / 'caller.py').write_text(CALLER)
  return folder


def call(package: Path) -> tuple[int, int]:
  """What the caller returns in a process of its own, and how often code of an earlier one was used."""
  command = [sys.executable, '-B', '-W', 'error', '-m', 'package.caller']
  result, hits = subprocess.run(command, cwd=package.parent, check=True, capture_output=True, text=True).stdout.split()
  return int(result), int(hits)


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


def test_without_a_folder_for_it_code_is_compiled_each_time(package: Path, monkeypatch: pytest.MonkeyPatch):
  (package / 'callee.py').write_text(CALLEE.format(decorator='inlined', increment=1))
  monkeypatch.setenv('NUMBA_CACHE_LOCATOR_CLASSES', 'UserProvidedCacheLocator')
  assert call(package) == (21, 0)
  assert call(package) == (21, 0)
