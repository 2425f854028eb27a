"""The same bits whoever computes them: other processors, compilers, threads, lanes and programs, each in its process.

A file that one of them writes, each of them must read; so each is held against the same figures of one plain run.
"""

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from reference_decoder import container as independent_decoder
from support.tiny_models import random_params
from support.training_runs import REPOSITORY, environment, finish
from support.wav_builder import build_wav

from language_modeling_is_compression.cli import main as lmic_main
from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.parameters import PARAMETER_SCALE
from language_modeling_is_compression.network.transformer import build_transformer

_SPEECH = sorted((REPOSITORY / 'examples/audio/valid').glob('*.wav'))[0]
_PROBE = REPOSITORY / 'tests/support/exactness_probe.py'
_NARROW = ModelConfig(embedding_dim=8, num_layers=2, num_heads=2, widening_factor=2, attention_window=5)
# Heads of a width whose root is irrational, and a window that one block of the XLA programs does not fill.
_WIDE = ModelConfig(embedding_dim=24, num_layers=2, num_heads=4, widening_factor=3, attention_window=290)
_SSE = '--xla_cpu_max_isa=SSE4_2'
_AVX2 = '--xla_cpu_max_isa=AVX2'
_FAST_MATH = '--xla_cpu_enable_fast_math=true'


def _model(model_config: ModelConfig, *, use_16bit: bool, scale: float) -> Model:
  """A model that expects bytes near 128, so that files of such bytes are coded with it."""
  data_config = DataConfig(use_16bit=use_16bit)
  drawn = random_params(build_transformer(model_config, data_config), scale=scale)
  params = {module: {name: np.asarray(array) for name, array in arrays.items()} for module, arrays in drawn.items()}
  expected = np.abs(np.arange(256, dtype=np.float32) - 128)
  params['~']['output_bias'] = params['~']['output_bias'] - expected / (16 * PARAMETER_SCALE)
  return ByteModel(params=params, spec=ByteSpec(network=model_config, data=data_config), provenance={})


def _wav(num_frames: int, channels: int, num_bytes: int) -> bytes:
  """Samples whose bytes, in offset binary, are near 128, but for the last one, which may be anything."""
  rng = np.random.default_rng(0)
  planes = rng.normal(128, 20, (num_frames, channels, num_bytes)).clip(0, 255).astype(np.uint8)
  planes[..., -1] = rng.integers(0, 256, (num_frames, channels))
  planes[..., 0] ^= 0x80
  return build_wav(planes[..., ::-1].tobytes(), channels=channels, bits=8 * num_bytes)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory) -> Path:
  """Models of 8 and 16 bits, and files of which most chunks are coded with them."""
  folder = tmp_path_factory.mktemp('tiny')
  save_model(folder / 'eight.npz', _model(_NARROW, use_16bit=False, scale=0.05))
  (folder / 'eight.wav').write_bytes(_wav(400, 3, 2))
  save_model(folder / 'sixteen.npz', _model(_WIDE, use_16bit=True, scale=0.04))
  (folder / 'sixteen.wav').write_bytes(_wav(300, 5, 3))
  # The integers are at their limits; there is nothing that such a model could compress.
  save_model(folder / 'wild.npz', _model(_NARROW, use_16bit=True, scale=20.0))
  _compress(folder)
  for name in ('eight', 'sixteen'):
    chunks = independent_decoder.parse((folder / f'{name}.lmic').read_bytes()).chunks
    assert sum(chunk.method == independent_decoder.MODEL for chunk in chunks) >= 3
  return folder


@pytest.fixture(scope='module')
def real(tiny, tmp_path_factory) -> Path:
  """The above, more lanes than any test has, and the packaged byte model with a second of speech and a short clip."""
  folder = tmp_path_factory.mktemp('real')
  shutil.copytree(tiny, folder, dirs_exist_ok=True)
  (folder / 'sixteen_many.wav').write_bytes(_wav(60, 70, 3))
  (folder / 'default.npz').touch()
  samples = _SPEECH.read_bytes()[10_044:]
  (folder / 'default.wav').write_bytes(build_wav(samples[: 2 * 16_000], rate_hz=16_000))
  (folder / 'default_short.wav').write_bytes(build_wav(samples[: 2 * 450], channels=3, rate_hz=16_000))
  _compress(folder)
  chunks = independent_decoder.parse((folder / 'default.lmic').read_bytes()).chunks
  assert independent_decoder.MODEL in [chunk.method for chunk in chunks]
  return folder


def _compress(folder: Path) -> None:
  for path in folder.glob('*.wav'):
    model = folder / f'{path.stem.split("_")[0]}.npz'
    flags = ['-m', str(model)] if model.stat().st_size else ['-m', 'bytes']
    target = path.with_suffix('.lmic')
    assert lmic_main.main(['compress', '-q', '-f', '--no-verify', *flags, '-o', str(target), str(path)]) == 0


@pytest.fixture(scope='module')
def cold_env(tmp_path_factory) -> dict[str, str]:
  """An environment in which nothing is compiled yet."""
  return environment(tmp_path_factory.mktemp('home'), NUMBA_CACHE_DIR=str(tmp_path_factory.mktemp('numba')))


def _probe(folder: Path, env: dict[str, str], backend: str, lanes: int = 16, cores: int = 2, **more: str) -> Any:
  paths = {'PYTHONPATH': os.pathsep.join([str(REPOSITORY), str(REPOSITORY / 'tests')])}
  command = [sys.executable, str(_PROBE), str(folder), backend, str(lanes), str(cores)]
  done = finish(command, {**env, **paths, **more})
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def _check(found: Any, expected: Any) -> None:
  """All ways to the intervals agree, and everything is what the other run says; XLA may have left out long files."""
  assert found.keys() == expected.keys()
  for name, hashes in found.items():
    assert hashes['rows together'] == hashes['row by row'] == hashes['token by token']
    assert len(hashes) >= len(expected[name]) - 2
    assert hashes == {what: expected[name][what] for what in hashes}


@pytest.fixture(scope='module')
def plain_tiny(tiny) -> Any:
  return _probe(tiny, environment(tiny), 'compiled')


@pytest.fixture(scope='module')
def plain_real(real) -> Any:
  return _probe(real, environment(real), 'compiled')


def test_unoptimized_code_for_any_processor_gives_the_same(tiny, plain_tiny, cold_env):
  generic = {'LMIC_CODE': 'jit', 'NUMBA_OPT': '0', 'NUMBA_CPU_NAME': 'generic', 'NUMBA_CPU_FEATURES': ''}
  _check(_probe(tiny, cold_env, 'compiled', lanes=3, cores=1, **generic), plain_tiny)


@pytest.mark.slow
def test_xla_gives_the_same(tiny, plain_tiny, tmp_path):
  """Five lanes throughout: each other number would have to be compiled."""
  for path in tiny.glob('sixteen.*'):
    shutil.copy(path, tmp_path)
  found = _probe(tmp_path, environment(tmp_path), 'xla', lanes=5, XLA_FLAGS=f'{_SSE} {_FAST_MATH}')
  assert 'sixteen.wav restored' in found['sixteen']
  _check(found, {'sixteen': plain_tiny['sixteen']})


def test_another_model_gives_something_else(tiny, plain_tiny, tmp_path):
  """The probe sees what the models say."""
  shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
  model = _model(_NARROW, use_16bit=False, scale=0.05)
  top = {**model.params['~'], 'output_bias': model.params['~']['output_bias'] + np.eye(256, dtype=np.float32)[7]}
  save_model(tmp_path / 'eight.npz', dataclasses.replace(model, params={**model.params, '~': top}))
  (tmp_path / 'eight.wav').unlink()
  found = _probe(tmp_path, environment(tmp_path), 'compiled')
  assert found['sixteen'] == plain_tiny['sixteen']
  for what, value in found['eight'].items():
    assert value != plain_tiny['eight'][what], what


@pytest.mark.slow
@pytest.mark.parametrize(
  'variables',
  [
    pytest.param({'NUMBA_CPU_NAME': llvm.get_host_cpu_name()}, id='this processor by its name'),
    pytest.param({'NUMBA_CPU_NAME': llvm.get_host_cpu_name(), 'NUMBA_CPU_FEATURES': ''}, id='and no features'),
    pytest.param({'NUMBA_CPU_NAME': 'generic', 'NUMBA_CPU_FEATURES': ''}, id='generic, no features'),
    pytest.param({'NUMBA_OPT': '1', 'NUMBA_SLP_VECTORIZE': '1'}, id='optimized otherwise'),
    pytest.param({'NUMBA_LOOP_VECTORIZE': '0'}, id='not vectorized'),
  ],
)
def test_whatever_the_compiler_does(real, plain_real, tmp_path, variables):
  _check(
    _probe(real, environment(tmp_path, LMIC_CODE='jit', NUMBA_CACHE_DIR=str(tmp_path)), 'compiled', **variables),
    plain_real,
  )


@pytest.mark.slow
@pytest.mark.parametrize('lanes', [1, 3, 16, 64])
@pytest.mark.parametrize('cores', [1, 2])
def test_whatever_the_lanes_and_threads(real, plain_real, lanes, cores):
  _check(_probe(real, environment(real), 'compiled', lanes, cores), plain_real)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('flags', 'lanes', 'cores'),
  [('', 16, 2), (_SSE, 1, 1), (_AVX2, 64, 2), (_FAST_MATH, 3, 2), (f'{_SSE} {_FAST_MATH}', 16, 1)],
)
def test_whatever_xla_does(real, plain_real, flags, lanes, cores):
  _check(_probe(real, environment(real), 'xla', lanes, cores, XLA_FLAGS=flags), plain_real)
