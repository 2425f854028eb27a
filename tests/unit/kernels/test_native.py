"""Code that was compiled ahead of time computes what numba's does, without numba, and is used for its sources alone."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.kernels import native

KERNELS = """
import math
from typing import Any, NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.kernels.vectors import DOUBLES, load, store

class State(NamedTuple):
  sums: Any
  nothing: Any
  factor: Any

@inlined
def _scaled(value, factor):
  return value * factor + 0.1

@compiled
def _square(value):
  return value * value

@compiled
def run(state, values, count, upwards):
  total = np.uint64(0)
  for k in range(count):
    store(state.sums, 0, load(state.sums, 0) + load(values, DOUBLES * k))
    total += np.uint64(_square(k))
  if upwards and state.nothing is None:
    state.sums[0] = _scaled(math.sqrt(state.sums[0]), state.factor)
  return count, total, state.sums[0], values[0] < 1, math.frexp(state.sums[1])[1]

@compiled
def alone(value):
  return value / 3

@compiled
def nothing(values):
  values[0] = 7
"""
CALLS = """
import json
import sys

import numpy as np

from language_modeling_is_compression import kernels_of_mine
from language_modeling_is_compression.kernels.compilation import Kernel
from language_modeling_is_compression.kernels_of_mine import State, alone, nothing, run

def call_all():
  sums, values = np.linspace(1, 2, 8), np.linspace(0, 5, 24)
  found = run(State(sums, None, 1.7), values, 3, True)
  return [*found, alone(2.5), nothing(values), values[0], *map(float.hex, sums)]

if __name__ == '__main__':
  if len(sys.argv) > 1:
    from pathlib import Path
    from language_modeling_is_compression.kernels import objects
    Kernel.heard = []
    call_all()
    points, Kernel.heard = objects.entry_points(Kernel.heard), None
    Path(sys.argv[1]).mkdir()
    for kernel in vars(kernels_of_mine).values():
      if isinstance(kernel, Kernel):
        vars(kernel).pop('dispatcher', None)
    objects.write_objects(Path(sys.argv[1]), sys.argv[2], points)
  else:
    import logging
    logging.basicConfig()
    found = call_all()
    print(json.dumps([found, [type(value).__name__ for value in found], 'numba' in sys.modules]))
"""


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> Path:
  """A folder with a package of three kernels and objects of it, for the least of targets that this machine can run."""
  root = tmp_path_factory.mktemp('made')
  folder = root / 'language_modeling_is_compression'
  kernels = Path(native.__file__).parent
  shutil.copytree(kernels, folder / 'kernels', ignore=shutil.ignore_patterns('__pycache__', 'compiled'))
  shutil.copy(kernels.parent / 'errors.py', folder)
  (folder / '__init__.py').write_text('')
  (folder / 'kernels_of_mine.py').write_text(KERNELS)
  (folder / 'calls.py').write_text(CALLS)
  run(root, str(folder / 'kernels' / 'compiled'), target())
  return root


@pytest.fixture(scope='module')
def expected(made: Path) -> tuple[list, list[str]]:
  """What all calls return, and its types, by numba's own code."""
  values, kinds, with_numba, said = found(made, 'jit')
  assert with_numba and said == ''
  return values, kinds


@pytest.fixture
def package(made: Path, tmp_path: Path) -> Path:
  """The same, to be changed."""
  return shutil.copytree(made, tmp_path / 'copy', ignore=shutil.ignore_patterns('__pycache__'))


def target() -> str:
  usable = native.usable_targets()
  if not usable:
    pytest.skip('there are no objects for this machine')
  return usable[-1]


def run(root: Path, *arguments: str, code: str = '') -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, '-B', '-W', 'error', '-m', 'language_modeling_is_compression.calls', *arguments],
    cwd=root,
    env={**os.environ, 'LMIC_CODE': code, 'NUMBA_CACHE_DIR': str(root / 'kept')},
    check=True,
    capture_output=True,
    text=True,
  )


def found(root: Path, code: str = '') -> tuple[list, list[str], bool, str]:
  """What all calls return, its types, whether numba was imported, and what was logged."""
  done = run(root, code=code)
  return (*json.loads(done.stdout), done.stderr)


def archive(root: Path) -> Path:
  [path] = (root / 'language_modeling_is_compression/kernels/compiled').iterdir()
  return path


def test_objects_compute_what_the_compiler_does_without_it(made, expected):
  values, kinds, with_numba, said = found(made)
  assert not with_numba and said == ''
  assert values[:2] == [3, 0 + 1 + 4] and kinds[:5] == ['int', 'int', 'float', 'bool', 'int']
  assert (values, kinds) == expected


def test_objects_of_other_sources_are_not_used(package):
  path = package / 'language_modeling_is_compression/kernels_of_mine.py'
  path.write_text(KERNELS.replace('value / 3', 'value / 5'))
  values, _, with_numba, said = found(package)
  assert with_numba and values[5] == 0.5 and said == ''


@pytest.mark.parametrize('place', [0.4, 0.9])
def test_damaged_objects_are_not_used(package, expected, place):
  path = archive(package)
  data = bytearray(path.read_bytes())
  data[int(len(data) * place)] ^= 255
  path.write_bytes(data)
  values, _, with_numba, said = found(package)
  assert values == expected[0]
  assert with_numba and 'damaged' in said


def test_an_object_in_the_place_of_another_is_not_used(package, expected):
  path = archive(package)
  with zipfile.ZipFile(path) as old:
    contents = {name: old.read(name) for name in old.namelist()}
  with zipfile.ZipFile(path, 'w') as new:
    for name, data in contents.items():
      new.writestr(name, contents['1.o'] if name == '0.o' else data)
  values, _, with_numba, said = found(package)
  assert with_numba and '0.o of it is damaged' in said and values == expected[0]


@pytest.mark.parametrize('length', [0, 1000])
def test_objects_that_are_cut_off_are_not_used(package, expected, length):
  path = archive(package)
  path.write_bytes(path.read_bytes()[:length])
  values, _, with_numba, said = found(package)
  assert with_numba and said.count('damaged') == 1 and values == expected[0]


@pytest.mark.parametrize('code', ['x86-64-v9', 'JIT', 'mips'])
def test_a_target_that_there_is_not(monkeypatch, code):
  monkeypatch.setenv('LMIC_CODE', code)
  native._chosen.cache_clear()
  with pytest.raises(ConfigError, match=f"LMIC_CODE is '{code}': expected one of .*jit on this machine"):
    native.objects()
  native._chosen.cache_clear()


def test_a_target_without_objects(monkeypatch, tmp_path):
  monkeypatch.setenv('LMIC_CODE', target())
  monkeypatch.setattr(native, 'FOLDER', tmp_path)
  native._chosen.cache_clear()
  with pytest.raises(ConfigError, match='make objects'):
    native.objects()
  native._chosen.cache_clear()


def test_targets_need_what_their_name_says():
  """The best one is first, and what it needs includes what the next one does."""
  needed = [set(native.TARGETS[name].features) for name in ('x86-64-v4', 'x86-64-v3', 'x86-64-v2')]
  assert needed[0] > needed[1] > needed[2]
  assert {'avx512vl', 'avx512bw'} <= needed[0] and {'avx2', 'bmi2'} <= needed[1] and 'sse4.2' in needed[2]


@pytest.mark.parametrize('word', [0, -1, 2**62])
def test_results(word):
  assert native.RESULTS['unsigned'](word) == word % 2**64
  assert native.RESULTS['float'](word).hex() == np.array([word]).view(np.float64)[0].hex()


@pytest.fixture
def chosen_anew():
  """What was chosen before is forgotten, and what the test chooses, too."""
  native._chosen.cache_clear()
  yield
  native._chosen.cache_clear()


def at_once(function):
  """What several threads get that call a function at the same time."""
  begin = threading.Barrier(4)

  def call(_):
    begin.wait(timeout=30)
    return function()

  with ThreadPoolExecutor(4) as pool:
    return list(pool.map(call, range(4)))


def test_threads_that_ask_at_once_have_the_same_objects(monkeypatch, tmp_path, chosen_anew):
  """Of two, one would be thrown away while its code runs, which crashed one process in three."""
  opened = []

  def slowly(target):
    time.sleep(0.05)
    opened.append(native._Objects(archive=None, entry_points={}))  # type: ignore[arg-type]
    return opened[-1]

  monkeypatch.setenv('LMIC_CODE', '')
  monkeypatch.setattr(native, 'FOLDER', tmp_path)
  monkeypatch.setattr(native, 'usable_targets', lambda: ['x86-64-v2'])
  monkeypatch.setattr(native, '_opened', slowly)
  assert set(at_once(native.objects)) == set(opened) and len(opened) == 1


def test_threads_that_ask_at_once_link_once(monkeypatch, tmp_path):
  linked = []

  def slowly(data, symbol):
    time.sleep(0.05)
    linked.append(symbol)
    return 1 << 20

  with zipfile.ZipFile(tmp_path / 'objects.zip', 'w') as archive:
    archive.writestr('one.o', b'code')
  entry = {'object': 'one.o', 'symbol': 'one', 'digest': hashlib.blake2b(b'code').hexdigest()}
  monkeypatch.setattr(native, '_link', slowly)
  with zipfile.ZipFile(tmp_path / 'objects.zip') as archive:
    found = native._Objects(archive, {'kernel key': entry})
    assert len(set(map(id, at_once(lambda: found.entry_point('kernel', 'key'))))) == 1
  assert linked == ['one']
