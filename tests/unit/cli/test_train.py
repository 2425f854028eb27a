"""What train-audio refuses before any work."""

import importlib.util
import signal
import sys
from typing import Any, NoReturn

import pytest
from support.training_runs import write_folder

from language_modeling_is_compression.cli import train
from language_modeling_is_compression.cli.train import main


def test_a_logger_whose_library_is_missing_is_named_before_any_work(tmp_path, monkeypatch, capsys):
  write_folder(tmp_path / 'audio')
  find = importlib.util.find_spec
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == 'tensorboardX' else find(name))
  flags = ['--audio_dir', str(tmp_path / 'audio'), '--output_dir', str(tmp_path / 'out'), '--loggers', 'tensorboard']
  assert main(flags) == 1
  assert capsys.readouterr().err == (
    'train-audio: error: tensorboardX is not installed, and --loggers tensorboard needs it: pip install tensorboardX\n'
  )
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--dry_run'], 'dry_run: a sweep of the learning rate has none: leave it or --find_learning_rate out'),
    (
      ['--coordinator_address', 'localhost:1', '--num_processes', '2', '--process_id', '1'],
      'find_learning_rate: a sweep is of one process: leave --coordinator_address, --num_processes and --process_id '
      'out',
    ),
  ],
)
def test_a_sweep_is_no_dry_run_and_of_one_process(tmp_path, capsys, flags, message):
  write_folder(tmp_path / 'audio')
  out = ['--audio_dir', str(tmp_path / 'audio'), '--output_dir', str(tmp_path / 'out')]
  assert main([*out, '--find_learning_rate', *flags]) == 2
  assert capsys.readouterr().err == f'train-audio: error: {message}\n'
  assert not (tmp_path / 'out').exists()


def test_what_is_interrupted_where_jax_is_at_work_ends_at_once(monkeypatch, capsys):
  """JAX's threads, which still run then, may crash an interpreter that ends in order."""
  ended: list[int] = []

  def interrupted(*_: Any, **__: Any) -> NoReturn:
    signal.raise_signal(signal.SIGTERM)
    raise AssertionError('the signal was not heeded')

  monkeypatch.setattr(train, '_train', interrupted)
  monkeypatch.setattr(train, 'end_process', ended.append)
  monkeypatch.delitem(sys.modules, 'jax', raising=False)
  assert main(['--audio_dir', 'a']) == 128 + signal.SIGTERM and ended == []
  monkeypatch.setitem(sys.modules, 'jax', sys)
  main(['--audio_dir', 'a'])
  assert ended == [128 + signal.SIGTERM]
  assert capsys.readouterr().err == 2 * 'train-audio: interrupted; a model that is saved already stays\n'
