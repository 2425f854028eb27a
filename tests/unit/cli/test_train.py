"""What train-audio refuses before any work."""

import importlib.util

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
