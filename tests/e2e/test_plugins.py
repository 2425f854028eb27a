"""Runs with a plugin: its optimizer, schedule, loss and logger, as docs/TRAINING.md has them."""

import re
from pathlib import Path

import pytest
from support.training_runs import REPOSITORY, TINY, command, finish, read_metrics

from language_modeling_is_compression import load_model


@pytest.fixture(scope='module')
def plugins(tmp_path_factory) -> Path:
  """The folder with the document's example, my_plugin.py."""
  folder = tmp_path_factory.mktemp('plugins')
  text = (REPOSITORY / 'docs/TRAINING.md').read_text()
  (source,) = re.findall(r'```python\n(# my_plugin\.py\n.*?)```', text, re.DOTALL)
  (folder / 'my_plugin.py').write_text(source)
  return folder


FLAGS = ('--training_steps', 6, '--log_every', 1, '--learning_rate', 1e-3, '--plugin', 'my_plugin')


def test_what_a_plugin_registers_is_used(audio, plugins, tmp_path, cached_env):
  env = {**cached_env, 'PYTHONPATH': str(plugins)}
  mine = ('--optimizer', 'sign', '--learning_rate_schedule', 'halves', '--loss', 'margin', '--loggers', 'jsonl,shout')
  done = finish(command('--audio_dir', audio, '--output_dir', tmp_path, *TINY, *FLAGS, *mine), env)
  assert done.returncode == 0, done.stderr
  records = read_metrics(tmp_path / 'audio_model_metrics.jsonl')
  rates = [record['learning_rate'] for record in records if 'learning_rate' in record]
  assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 5e-4])
  assert done.stderr.count('LOSS_NATS') == 6
  model = load_model(tmp_path / 'audio_model.npz')
  assert model.provenance['plugins'] == ['my_plugin']
  assert model.provenance['settings']['optimizer'] == 'sign'
  # The file of settings names what it needs, and not the plugin.
  settings = (tmp_path / 'audio_model.toml').read_text()
  assert '\nplugin' not in settings
  again = finish(command('--config', tmp_path / 'audio_model.toml', '--output_dir', tmp_path / 'b'), env)
  assert again.returncode == 2 and "got 'margin'" in again.stderr


def test_without_the_plugin_its_names_are_unknown(audio, tmp_path, cached_env):
  done = finish(command('--audio_dir', audio, '--output_dir', tmp_path / 'out', '--optimizer', 'sign'), cached_env)
  assert done.returncode == 2
  assert done.stderr == (
    "train_audio.py: error: optimizer: expected one of adam, adamw, sgd, rmsprop, lion, muon, got 'sign'\n"
  )


def test_a_plugin_that_is_not_there_is_one_line(audio, tmp_path, cached_env):
  done = finish(command('--audio_dir', audio, '--output_dir', tmp_path / 'out', '--plugin', 'nowhere'), cached_env)
  assert (done.returncode, done.stdout) == (2, '')
  assert done.stderr == (
    'train_audio.py: error: --plugin nowhere: there is no such module: put the folder that it is in on PYTHONPATH\n'
  )


def test_a_settings_file_cannot_name_a_plugin(audio, tmp_path, cached_env):
  (tmp_path / 'a.toml').write_text('plugin = "os"\n')
  done = finish(command('--audio_dir', audio, '--config', tmp_path / 'a.toml'), cached_env)
  assert done.returncode == 2 and 'a.toml:1: plugin: unknown setting' in done.stderr
