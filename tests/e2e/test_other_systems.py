"""Commands on systems that have not all that Linux has: here its names are taken away before anything is imported."""

import sys
from pathlib import Path

import pytest
from support.training_runs import REPOSITORY, TINY, finish, write_folder

# What Windows, macOS or both lack.
_WITHOUT = """
import os, runpy, signal, sys
for name in ('sched_getaffinity', 'sched_setaffinity', 'killpg', 'getpgid', 'mkfifo'):
  delattr(os, name)
for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios', 'tty', 'pty'):
  sys.modules[name] = None
del signal.SIGUSR1, signal.SIGHUP
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_module('language_modeling_is_compression', run_name='__main__') if sys.argv[0] == 'lmic' else runpy.run_path(
  sys.argv[0], run_name='__main__'
)
"""


@pytest.fixture
def run(cached_env, tmp_path):
  """Runs a command there, and returns its standard output."""
  write_folder(tmp_path / 'audio')

  def run(*arguments: object) -> str:
    done = finish([sys.executable, '-c', _WITHOUT, *map(str, arguments)], cached_env)
    assert done.returncode == 0, done.stderr
    return done.stdout

  return run


def test_compress_and_decompress(run, tmp_path):
  song = tmp_path / 'audio/train/a.wav'
  run('lmic', 'compress', '--level', '1', song, '-o', tmp_path / 'song.lmic')
  run('lmic', 'test', tmp_path / 'song.lmic')
  run('lmic', 'decompress', tmp_path / 'song.lmic', '-o', tmp_path / 'song.wav')
  assert (tmp_path / 'song.wav').read_bytes() == song.read_bytes()
  assert '"frames": 3000' in run('lmic', 'info', '--json', tmp_path / 'song.lmic')


def test_train_and_evaluate(run, tmp_path):
  folders = ('--audio_dir', tmp_path / 'audio', '--output_dir')
  run(REPOSITORY / 'train_audio.py', *folders, tmp_path / 'models', *TINY, '--training_steps', 2)
  model = tmp_path / 'models/audio_model.npz'
  said = run(
    *(REPOSITORY / 'evaluate_audio.py', *folders, tmp_path / 'results', '--split', 'valid', '--protocol', 'whole'),
    *('--model_path', model, '--baselines', 'gzip,flac', '--no_progress'),
    *('--custom_baseline', f'copy={sys.executable} {_copier(tmp_path)} {{in}} {{out}}'),
  )
  assert 'audio_model' in said and 'gzip' in said and 'copy' in said


@pytest.mark.slow
def test_train_a_hybrid_model(run, tmp_path):
  run(
    *(REPOSITORY / 'train_audio.py', '--model', 'hybrid', '--audio_dir', tmp_path / 'audio', '--no_progress'),
    *('--output_dir', tmp_path, '--training_steps', 2, '--batch_size', 2, '--sequence_length', 16, '--num_layers', 1),
    *('--embedding_dim', 8, '--num_heads', 2, '--attention_window', 4, '--effort', 0, '--bit_depths', 'native'),
  )
  assert (tmp_path / 'audio_model.npz').exists()


def _copier(folder: Path) -> Path:
  (folder / 'copy.py').write_text('import shutil, sys\nshutil.copyfile(*sys.argv[1:])\n')
  return folder / 'copy.py'
