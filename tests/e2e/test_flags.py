"""Wrong usage is told in one line and with exit code 2, before anything expensive starts."""

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.settings import training_settings
from support.training_runs import command, environment, finish, write_tone

import train_audio
from language_modeling_is_compression.config.options import TrainingConfig, TrainingSettings
from language_modeling_is_compression.config.settings import kinds_of, read_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
  write_tone(tmp_path / 'audio/a.wav', 100, 0)
  return tmp_path / 'audio'


def _refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
  """The one line that the command says about wrong usage."""
  try:
    exit_code: Any = train_audio.main([str(argument) for argument in arguments])
  except SystemExit as exit:
    exit_code = exit.code
  captured = capsys.readouterr()
  assert exit_code == 2
  assert captured.out == ''
  assert captured.err.startswith('train_audio.py: error: ') and captured.err.endswith('\n')
  assert captured.err.count('\n') == 1, captured.err
  return captured.err


_COUNTS = (
  'stereo_blocking_n',
  'chunk_size',
  'training_steps',
  'num_epochs',
  'batch_size',
  'micro_batch_size',
  'log_every',
  'embedding_dim',
  'num_layers',
  'num_heads',
  'widening_factor',
  'attention_window',
  'num_chunks',
)


@pytest.mark.parametrize('name', _COUNTS)
@pytest.mark.parametrize('value', ['0', '-1', '2147483648'])
def test_a_count_is_a_positive_integer_of_31_bits(folder, capsys, name, value):
  line = _refused(capsys, '--audio_dir', folder, f'--{name}', value)
  assert f'{name}: expected a positive integer' in line and value in line


@pytest.mark.parametrize('name', [*_COUNTS, 'seed', 'validate_every'])
@pytest.mark.parametrize('value', ['1.5', 'many', '', '1e3'])
def test_a_count_is_an_integer(folder, capsys, name, value):
  line = _refused(capsys, '--audio_dir', folder, f'--{name}', value)
  assert f'argument --{name}: invalid int value: {value!r}' in line


@pytest.mark.parametrize('value', ['0', '-1e-4', 'nan', 'inf', '-inf', '1e999'])
@pytest.mark.parametrize('name', ['learning_rate', 'save_minutes'])
def test_a_rate_is_positive_and_finite(folder, capsys, name, value):
  assert f'{name}: expected a positive finite number' in _refused(capsys, '--audio_dir', folder, f'--{name}={value}')


@pytest.mark.parametrize('name', ['seed', 'validate_every'])
def test_a_seed_or_interval_is_not_negative(folder, capsys, name):
  assert f'{name}: expected 0 or more, got -1' in _refused(capsys, '--audio_dir', folder, f'--{name}', '-1')


@pytest.mark.parametrize('value', ['0', '1', '-0.1', '1.5', 'nan'])
def test_a_fraction_is_between_0_and_1(folder, capsys, value):
  line = _refused(capsys, '--audio_dir', folder, '--valid_fraction', value)
  assert 'valid_fraction: expected a fraction between 0 and 1' in line


@pytest.mark.parametrize(
  ('flags', 'expected'),
  [
    (['--learning_rate', 'fast'], "argument --learning_rate: invalid float value: 'fast'"),
    (['--use_16bit', '--chunk_size', '63'], 'chunk_size: expected an even number of samples with use_16bit, got 63'),
    (['--embedding_dim', '20'], 'embedding_dim: expected a multiple of num_heads (8), got 20'),
    (['--use_16bit', '--quantization', 'mu-law'], 'quantization: mu-law makes 8-bit samples'),
    (['--tokenization', 'word'], "tokenization: expected one of byte, sample, got 'word'"),
    (['--quantization', 'a-law'], "quantization: expected one of linear, mu-law, got 'a-law'"),
    (['--channels', 'left'], "channels: expected one of mono, stereo, got 'left'"),
    (['--learning_rate_schedule', 'step'], 'learning_rate_schedule: expected one of constant, linear, cosine, expo'),
    (['--model_name', 'a/b'], "model_name: expected a plain file name without a folder, got 'a/b'"),
    (['--model_name', ''], "model_name: expected a plain file name without a folder, got ''"),
    (['--training_step_count', '5'], 'unrecognized arguments: --training_step_count 5'),
    (['surplus'], 'unrecognized arguments: surplus'),
    (['--seed'], 'argument --seed: expected one argument'),
  ],
)
def test_wrong_flags_and_combinations(folder, capsys, flags, expected):
  assert expected in _refused(capsys, '--audio_dir', folder, *flags)


def test_the_folder_is_required(capsys):
  assert '--audio_dir is required' in _refused(capsys)


def test_a_folder_that_does_not_exist(tmp_path, capsys):
  line = _refused(capsys, '--audio_dir', tmp_path / 'nowhere')
  assert f'{tmp_path}/nowhere: expected a folder of audio files, got: No such file or directory' in line


def test_a_file_where_a_folder_should_be(folder, capsys):
  line = _refused(capsys, '--audio_dir', folder / 'a.wav')
  assert f'{folder}/a.wav: expected a folder of audio files, got a file' in line


def test_a_folder_without_a_name(capsys):
  # What "$AUDIO" gives when it was never set: not the folder that the user happens to be in.
  assert 'audio_dir: expected a name, got none' in _refused(capsys, '--audio_dir', '')


def test_a_folder_without_wavs(tmp_path, capsys):
  (tmp_path / 'notes.txt').write_text('no audio here')
  assert f'{tmp_path}: expected audio files to train on, found none' in _refused(capsys, '--audio_dir', tmp_path)


def test_an_output_folder_that_cannot_be_made(folder, capsys):
  line = _refused(capsys, '--audio_dir', folder, '--output_dir', folder / 'a.wav/below_a_file')
  assert f'output_dir: {folder}/a.wav/below_a_file cannot be written: Not a directory' in line


def test_an_output_folder_that_cannot_be_written(folder, capsys):
  # Not even root makes files in /proc.
  assert 'output_dir: /proc cannot be written' in _refused(capsys, '--audio_dir', folder, '--output_dir', '/proc')


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('trainings_steps = 5', 'wrong.toml:1: trainings_steps: unknown setting; did you mean training_steps?'),
    ('[training]\ntraining_steps = "5"', "wrong.toml:2: [training] training_steps: expected int, got '5'"),
    ('training_steps = true', 'training_steps: expected int, got True'),
    ('training_steps = 0', 'training_steps: expected a positive integer'),
    ('training_steps 5', 'not a TOML file'),
  ],
)
def test_a_wrong_settings_file(folder, tmp_path, capsys, text, expected):
  (tmp_path / 'wrong.toml').write_text(text)
  assert expected in _refused(capsys, '--audio_dir', folder, '--config', tmp_path / 'wrong.toml')


def test_a_settings_file_that_does_not_exist(folder, tmp_path, capsys):
  line = _refused(capsys, '--audio_dir', folder, '--config', tmp_path / 'none.toml')
  assert f'{tmp_path}/none.toml: cannot be read: No such file or directory' in line


@pytest.mark.parametrize(
  'flags', [['--training_steps', '0'], ['--training_steps', 'x'], ['--unknown'], ['--audio_dir', 'nowhere']]
)
def test_the_command_itself_says_one_line_and_exits_2(folder, tmp_path, flags):
  done = subprocess.run(
    command('--audio_dir', folder, *flags), cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True
  )
  assert (done.returncode, done.stdout) == (2, '')
  assert re.fullmatch(r'train_audio\.py: error: .+\n', done.stderr)


# JAX must not be imported, nor audio be read.
_WITHOUT_JAX = """
import runpy, sys
sys.modules['jax'] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def test_the_settings_that_are_printed_are_the_same_when_read_again(tmp_path):
  script, *flags = command('--audio_dir', 'nowhere', '--seed', '7', '--model', 'hybrid', '--print_config')[3:]
  start = [*command()[:3], '-c', _WITHOUT_JAX, script]
  printed = finish([*start, *flags], environment(tmp_path))
  assert (printed.returncode, printed.stderr) == (0, '')
  (tmp_path / 'speech.toml').write_text(printed.stdout)
  again = finish([*start, '--config', str(tmp_path / 'speech.toml'), '--print_config'], environment(tmp_path))
  assert (again.returncode, again.stdout) == (0, printed.stdout)
  settings = read_settings({'config': str(tmp_path / 'speech.toml')}, TrainingSettings)
  assert settings == training_settings(audio_dir=('nowhere',), seed=7, model='hybrid')


def _squeezed(text: str) -> str:
  return ''.join(text.split())


def test_help_shows_every_flag_and_default(tmp_path):
  done = finish(command('--help'), environment(tmp_path))
  assert (done.returncode, done.stderr) == (0, '')
  # One entry from each flag to the next, without the white space, since lines are broken at hyphens too.
  entries = {entry.split()[0]: _squeezed(entry) for entry in done.stdout.split('\n  --')[1:]}
  for kind in kinds_of(TrainingSettings).values():
    for field in dataclasses.fields(kind):
      shown = isinstance(field.default, (int, float, str)) and field.default is not False
      assert not shown or f'(default:{field.default})' in entries[field.name]
      assert _squeezed(field.metadata['help']) in entries[field.name]
  assert '(required)' in entries['audio_dir']


@pytest.mark.parametrize(
  ('name', 'default'),
  {
    'stereo_blocking_n': 1024,
    'chunk_size': 2048,
    'batch_size': 128,
    'log_every': 100,
    'learning_rate': 1e-4,
    'embedding_dim': 64,
    'num_layers': 4,
    'num_heads': 8,
    'widening_factor': 4,
    'output_dir': './',
    'model_name': 'audio_model',
    'seed': 42,
    'num_chunks': 488281,
    'tokenization': 'byte',
    'quantization': 'linear',
    'channels': 'mono',
    'valid_fraction': 0.1,
    'use_16bit': False,
    'wandb_project': None,
    'wandb_run_name': None,
    'no_progress': False,
  }.items(),
)
def test_the_defaults_are_those_that_were_promised(name, default):
  fields = {field.name: field for kind in kinds_of(TrainingSettings).values() for field in dataclasses.fields(kind)}
  assert fields[name].default == default


def test_the_steps_are_those_that_were_promised_unless_epochs_are_given():
  assert TrainingConfig().steps == 1000
