"""Runs whose model cannot be written where it belongs: they say so, say where it is instead, and leave no scraps."""

import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
from support.training_runs import TINY, Running, command, environment, finish, write_folder

from language_modeling_is_compression import load_model

_LIMIT_BYTES = 16384  # More than the logs need, less than the model does.
# The system refuses to let any file grow further, much as a full disk does.
_LIMITED = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({_LIMIT_BYTES}, {_LIMIT_BYTES}))
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def audio(tmp_path) -> Path:
  write_folder(tmp_path / 'audio')
  return tmp_path / 'audio'


@pytest.fixture
def env(tmp_path) -> dict[str, str]:
  """With a temporary folder of its own, and without a cache, which could not be written either."""
  (tmp_path / 'tmp').mkdir()
  return environment(tmp_path, TMPDIR=str(tmp_path / 'tmp'))


def _arguments(audio: Path, folder: Path, *flags: object) -> list[str]:
  return command('--audio_dir', audio, '--output_dir', folder, *TINY, *flags)


def test_a_model_that_can_be_written_nowhere_is_said_to_be_lost_and_leaves_nothing(audio, env, tmp_path):
  arguments = _arguments(audio, tmp_path / 'out', '--training_steps', '5')
  done = finish([sys.executable, '-c', _LIMITED, *arguments], env)
  assert (done.returncode, done.stdout) == (1, '')
  assert done.stderr.splitlines()[-1] == (
    f'train_audio.py: error: {tmp_path}/out/audio_model.npz: cannot be written: File too large: '
    'free space or name another folder'
  )
  assert 'Traceback' not in done.stderr
  assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
    'audio_model.toml',
    'audio_model_metrics.jsonl',
    'audio_model_training.log',
  ]
  assert list((tmp_path / 'tmp').iterdir()) == []


def test_a_model_that_cannot_be_written_in_its_place_is_in_the_temporary_folder(audio, env, tmp_path):
  folder = tmp_path / 'out'
  with Running(_arguments(audio, folder, '--training_steps', 10**9), env, tmp_path / 'stderr') as run:
    run.wait_until('its first report', lambda: 'step 5 of' in run.stderr)
    shutil.rmtree(folder)  # As when a disk is pulled out.
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 1
  said = re.fullmatch(
    f'train_audio.py: error: {re.escape(str(folder))}/audio_model.npz: cannot be written: No such file or directory: '
    'free space or name another folder; the model is in (.+) instead',
    run.stderr.splitlines()[-1],
  )
  assert said, run.stderr
  saved = Path(said[1])
  assert saved.is_relative_to(tmp_path / 'tmp')
  assert load_model(saved).provenance['steps'] >= 5
  assert [path for path in (tmp_path / 'tmp').rglob('*') if path.is_file()] == [saved]
  assert 'Traceback' not in run.stderr
