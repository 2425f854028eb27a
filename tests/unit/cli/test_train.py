"""What train-audio refuses before any work."""

import importlib.util

import pytest
from support.training_runs import write_folder

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
