"""The sdist and the wheel: what they hold, and that what is installed from them works without the checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.training_runs import REPOSITORY, TINY, environment, write_folder

from language_modeling_is_compression.kernels import native

pytestmark = pytest.mark.slow

_BUILD = 'import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))'

# Before Python 3.11.4 there are no filters, from 3.12 on a warning without one.
_SAFELY: dict[str, Any] = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}


def _build(what: str, source: Path, folder: Path) -> Path:
  folder.mkdir(exist_ok=True)
  done = subprocess.run(
    [sys.executable, '-W', 'ignore', '-c', _BUILD, what, folder], cwd=source, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  return folder / done.stdout.split()[-1]


@pytest.fixture(scope='module')
def unpacked(tmp_path_factory) -> Path:
  """The sdist's contents, made of what a checkout has."""
  folder = tmp_path_factory.mktemp('sdist')
  checkout = folder / 'checkout'
  ignored = ('.git', '.venv', '__pycache__', '*.egg-info', 'demo', 'wandb', 'evaluation', '.*_cache', '.hypothesis')
  # `evaluation` is also a package of ours, and only the folder of results in the root is left out.
  copied = [path for path in REPOSITORY.iterdir() if not any(path.match(pattern) for pattern in ignored)]
  checkout.mkdir()
  for path in copied:
    subprocess.run(['cp', '-r', path, checkout], check=True)
  with tarfile.open(_build('build_sdist', checkout, folder / 'dist')) as archive:
    archive.extractall(folder / 'unpacked', **_SAFELY)
  [unpacked] = (folder / 'unpacked').iterdir()
  return unpacked


@pytest.fixture(scope='module')
def wheel(unpacked) -> Path:
  """The wheel that the sdist makes."""
  return _build('build_wheel', unpacked, unpacked.parent / 'wheels')


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory) -> Path:
  """The scripts of an environment in which the wheel was installed with all its extras."""
  return _environment(wheel, tmp_path_factory.mktemp('environment'), Path(sysconfig.get_path('purelib')))


@pytest.fixture(scope='module')
def codec_alone(wheel, tmp_path_factory) -> Path:
  """The same without extras: links to what the codec depends on, and to nothing else."""
  packages = tmp_path_factory.mktemp('packages')
  for path in Path(sysconfig.get_path('purelib')).iterdir():
    if re.fullmatch(r'(numpy|numba|llvmlite|tqdm)(\.libs|-[\d.]+\.dist-info)?', path.name):
      (packages / path.name).symlink_to(path)
  return _environment(wheel, tmp_path_factory.mktemp('codec'), packages)


def _environment(wheel: Path, folder: Path, dependencies: Path) -> Path:
  venv.create(folder, with_pip=False)
  python = folder / 'bin/python'
  subprocess.run(
    [sys.executable, '-m', 'pip', '--python', python, 'install', '-q', '--no-deps', '--no-index', wheel], check=True
  )
  [packages] = folder.glob('lib/python*/site-packages')
  # Editable installations work by .pth files, which count in an environment's own folder only.
  (packages / 'dependencies.pth').write_text(f'{dependencies}\n')
  return folder / 'bin'


def _run(folder: Path, *command: object, **variables: str) -> str:
  env = environment(folder, **variables)
  env.pop('PYTHONPATH', None)
  done = subprocess.run([*map(str, command)], cwd=folder, env=env, capture_output=True, text=True, timeout=900)
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_the_wheel_holds_the_package_and_models_alone(wheel):
  names = zipfile.ZipFile(wheel).namelist()
  tops = {name.partition('/')[0] for name in names}
  assert {top.partition('-')[0] for top in tops} == {'language_modeling_is_compression'}
  for model in ('default', 'default_v4', 'default_v2', 'tiny', 'bytes'):
    assert f'language_modeling_is_compression/models/{model}.npz' in names
  assert not [name for name in names if 'test' in name or name.endswith('.lmic_code')]
  assert 'language_modeling_is_compression/py.typed' in names
  for target in native.TARGETS:
    assert f'language_modeling_is_compression/kernels/compiled/{target}.zip' in names
  assert wheel.name.endswith('-py3-none-any.whl')  # Machine code is data: which one is used is found out when it runs.
  assert [name for name in names if name.endswith('/licenses/LICENSE')]
  assert [name for name in names if name.endswith('data/share/man/man1/lmic.1')]


def test_what_is_installed_works_anywhere(installed, tmp_path):
  write_folder(tmp_path / 'audio')
  song = tmp_path / 'audio/train/a.wav'
  assert 'site-packages' in _run(
    tmp_path, installed / 'python', '-c', 'import language_modeling_is_compression as l; print(l.__file__)'
  )
  _run(tmp_path, installed / 'lmic', 'compress', '-1', song, '-o', 'song.lmic')
  _run(tmp_path, installed / 'lmic', 'decompress', 'song.lmic', '-o', 'song.wav')
  assert (tmp_path / 'song.wav').read_bytes() == song.read_bytes()
  _run(tmp_path, installed / 'train-audio', '--audio_dir', 'audio', *TINY, '--training_steps', 2)
  said = _run(
    *(tmp_path, installed / 'evaluate-audio', '--audio_dir', 'audio', '--split', 'valid', '--protocol', 'whole'),
    *('--model_path', 'audio_model.npz', '--baselines', 'gzip', '--no_progress'),
  )
  assert 'audio_model' in said


def test_the_codec_needs_no_extra(codec_alone, tmp_path):
  write_folder(tmp_path / 'audio')
  song = tmp_path / 'audio/train/a.wav'
  _run(tmp_path, codec_alone / 'lmic', '-1', song, '-o', 'song.lmic')
  _run(tmp_path, codec_alone / 'lmic', '-t', 'song.lmic')
  program = (
    'import numpy as np, language_modeling_is_compression as lmic; '
    'samples = np.arange(-50, 50, dtype=np.int16); '
    'assert (lmic.decompress(lmic.compress(samples, 8000, level=1))[0] == samples).all(); '
    'assert lmic.code_length(samples, 8000, model="bytes").shape == (100,)'
  )
  _run(tmp_path, codec_alone / 'python', '-W', 'error', '-c', program)
  for command, extra in (('train-audio', 'train'), ('evaluate-audio', 'evaluate')):
    done = subprocess.run(
      [codec_alone / command, '--audio_dir', 'audio'], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1 and done.stderr.count('\n') == 1, done.stderr
    assert done.stderr.endswith(f'is not installed: pip install "language-modeling-is-compression[{extra}]"\n')


def test_the_first_command_compiles_nothing(codec_alone, tmp_path):
  """All that packaged models do, with a folder for compiled code that stays empty, and without numba."""
  write_folder(tmp_path / 'audio')
  song = tmp_path / 'audio/train/a.wav'
  program = (
    'import logging, sys; from language_modeling_is_compression.cli import main; '
    'code = main.main(sys.argv[1:]); print(code, "numba" in sys.modules)'
  )
  for command in (
    ('compress', '-q', '-1', song, '-o', 'fast.lmic'),
    ('compress', '-q', song, '-o', 'song.lmic'),
    ('compress', '-q', '-9', song, '-o', 'small.lmic'),
    ('compress', '-q', '-m', 'bytes', song, '-o', 'bytes.lmic'),
    ('decompress', '-q', 'song.lmic', '-o', 'song.wav'),
    ('test', '-q', 'fast.lmic', 'small.lmic', 'bytes.lmic'),
    ('generate', '-q', '--duration', '0.01', '-o', 'drawn.wav', '--seed_audio', song),
  ):
    said = _run(tmp_path, codec_alone / 'python', '-c', program, *command, NUMBA_CACHE_DIR=str(tmp_path / 'kept'))
    assert said.splitlines()[-1] == '0 False', command
  assert (tmp_path / 'song.wav').read_bytes() == song.read_bytes()
  assert not list((tmp_path / 'kept').glob('*'))


@pytest.mark.parametrize('target', native.TARGETS)
def test_golden_files_by_the_code_of_every_target(installed, tmp_path, target):
  if target not in native.usable_targets():
    pytest.skip('not of this machine')
  kept = tmp_path / 'kept'
  names = ('test_golden', 'test_golden_v2', 'test_golden_v3', 'test_golden_v4', 'test_golden_v5', 'test_generated')
  golden = [REPOSITORY / 'tests/golden' / f'{name}.py' for name in names]
  # The package that is installed, not the checkout's, which settings would put first.
  _run(
    *(tmp_path, installed / 'python', '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '--rootdir', REPOSITORY),
    *('-c', REPOSITORY / 'pyproject.toml', '-o', 'pythonpath=tests docs', '-m', '', *golden),
    **{native.VARIABLE: target, 'NUMBA_CACHE_DIR': str(kept)},
  )
  assert not list(kept.glob('*')), 'some of it was compiled'


def test_scripts_of_the_root_are_no_modules_of_everybody(installed, tmp_path):
  for name in ('data_paths', 'train_audio', 'evaluate_audio', 'tests', 'bench'):
    done = subprocess.run([installed / 'python', '-c', f'import {name}'], cwd=tmp_path, capture_output=True, text=True)
    assert 'ModuleNotFoundError' in done.stderr


def test_the_sdist_can_test_itself(unpacked):
  for name in (
    'Makefile',
    'requirements.lock',
    'LICENSE',
    'CITATION.cff',
    'docs/lmic.1',
    'tests/conftest.py',
    'examples/demo.py',
    'data_paths.py',
    '.ci/run',
  ):
    assert (unpacked / name).exists(), name
  chosen = ('tests/unit/data/test_paths.py', 'tests/unit/config', 'tests/golden')
  env = {**os.environ, 'PYTHONPATH': str(unpacked)}
  done = subprocess.run(
    [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *chosen],
    cwd=unpacked,
    env=env,
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert done.returncode == 0, done.stdout[-2000:]
