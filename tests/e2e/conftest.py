"""What runs of train_audio.py share: a home without anything in it, a cache of compiled code, loggers as they were."""

import logging
from pathlib import Path

import pytest
from support.training_runs import environment, write_folder


@pytest.fixture(scope='session')
def cached_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
  """Environment of commands which need not compile again what another one has."""
  return environment(
    tmp_path_factory.mktemp('home'),
    JAX_COMPILATION_CACHE_DIR=str(tmp_path_factory.mktemp('compiled')),
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
    JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES='-1',
  )


@pytest.fixture(scope='module')
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """A folder of three files, one of them held out."""
  folder = tmp_path_factory.mktemp('audio')
  write_folder(folder)
  return folder


@pytest.fixture(autouse=True)
def _loggers_as_they_were():
  """train_audio.main sets up logging for its process, and here the process is pytest."""
  root = logging.getLogger()
  handlers, level = root.handlers[:], root.level
  yield
  root.handlers[:] = handlers
  root.setLevel(level)
