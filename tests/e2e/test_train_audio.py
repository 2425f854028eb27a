"""Whole runs of the command: what it writes, says and leaves alone, and that it says the truth."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.training_runs import TINY, command, environment, finish, held_out_bits, read_metrics, write_folder

from language_modeling_is_compression import __version__, load_model
from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.config.settings import read_settings
from language_modeling_is_compression.network.byte_model import ByteModel

_STEPS = 60
_SETTINGS = (*TINY, '--training_steps', _STEPS, '--learning_rate', '3e-3', '--validate_every', '30')


@dataclasses.dataclass(frozen=True)
class Run:
  """A run that is done. held_out: 16-bit samples of the file that it did not train on."""

  folder: Path
  held_out: np.ndarray
  stdout: str
  stderr: str

  @property
  def model_path(self) -> Path:
    return self.folder / 'speech.npz'


def _train(audio: Path, folder: Path, env: dict[str, str], *flags: object) -> Run:
  done = finish(
    command('--audio_dir', audio, '--output_dir', folder, '--model_name', 'speech', *_SETTINGS, *flags), env
  )
  assert done.returncode == 0, done.stderr
  return Run(folder, np.load(audio / 'held_out.npy'), done.stdout, done.stderr)


@pytest.fixture(scope='module')
def audio(tmp_path_factory) -> Path:
  """Three sound files, and two that are not."""
  folder = tmp_path_factory.mktemp('audio')
  np.save(folder / 'held_out.npy', write_folder(folder)[:, 0])
  (folder / 'train/broken.wav').write_bytes(b'no audio')
  (folder / 'valid/empty.wav').touch()
  return folder


@pytest.fixture(scope='module')
def run(audio, tmp_path_factory, cached_env) -> Run:
  return _train(audio, tmp_path_factory.mktemp('first') / 'made/by/the/run', cached_env)


@pytest.fixture(scope='module')
def repeated(run, audio, tmp_path_factory) -> Run:
  """The same run in another process, compiled anew."""
  return _train(audio, tmp_path_factory.mktemp('second'), environment(tmp_path_factory.mktemp('home')))


@pytest.fixture(scope='module')
def other_seed(run, audio, tmp_path_factory, cached_env) -> Run:
  """A run with another seed where the first run's files are."""
  folder = shutil.copytree(run.folder, tmp_path_factory.mktemp('third') / 'copy')
  return _train(audio, folder, cached_env, '--seed', '7')


def test_it_writes_the_model_and_its_logs_and_nothing_else(run):
  assert sorted(path.name for path in run.folder.iterdir()) == [
    'speech.npz',
    'speech.toml',
    'speech_checkpoints',
    'speech_held_out.csv',
    'speech_held_out.svg',
    'speech_metrics.jsonl',
    'speech_training.log',
  ]
  assert run.stdout == f'{run.model_path}\n'


def test_the_model_says_what_it_is_and_where_it_came_from(run):
  model = load_model(run.model_path)
  assert isinstance(model, ByteModel)
  assert (model.spec.network.embedding_dim, model.spec.network.num_layers) == (8, 1)
  assert (model.spec.data.chunk_size, model.spec.data.use_16bit) == (64, False)
  assert (model.provenance['steps'], model.provenance['package_version']) == (_STEPS, __version__)
  assert {**model.provenance['settings'], **model.provenance['facts']}.items() >= {
    'seed': 42,
    'learning_rate': 3e-3,
    'num_train_files': 2,
    'num_valid_files': 1,
    'num_train_chunks': 47 + 24,
    'num_valid_chunks': 16,
    'num_parameters': model.num_parameters,
  }.items()


def test_metrics_hold_what_is_promised(run):
  records = read_metrics(run.folder / 'speech_metrics.jsonl')
  training = [record for record in records if 'loss_nats' in record]
  assert [record['step'] for record in training] == list(range(5, _STEPS + 1, 5))
  for record in training:
    modules = [name for name in record if name.startswith('grad_norm/')]
    assert list(record) == [
      *('step', 'loss_nats', 'bits_per_byte', 'bits_per_sample'),
      *('learning_rate', 'grad_norm', 'tokens_per_second', 'flops_per_second', 'data_seconds', 'elapsed_seconds'),
      *modules,
    ]
    assert record['grad_norm'] == pytest.approx(np.linalg.norm([record[name] for name in modules]))
    assert record['bits_per_byte'] == record['bits_per_sample'] == pytest.approx(record['loss_nats'] / np.log(2))
    assert record['learning_rate'] == pytest.approx(3e-3)
    assert record['grad_norm'] > 0 and record['tokens_per_second'] > 0
  validations = [record for record in records if 'loss_nats' not in record]
  assert [record['step'] for record in validations] == [30, _STEPS]
  # The one in the end is of the model that is saved, and of all that is held out.
  for record, side in zip(validations, ('valid', 'held_out'), strict=True):
    assert list(record) == ['step', f'{side}/bits_per_byte', f'{side}/bits_per_sample', f'{side}/compression_rate']
    assert record[f'{side}/bits_per_byte'] == record[f'{side}/bits_per_sample']
    assert record[f'{side}/compression_rate'] == pytest.approx(record[f'{side}/bits_per_byte'] / 8)


def test_the_log_says_the_same_as_the_metrics_and_the_terminal(run):
  log = (run.folder / 'speech_training.log').read_text()
  for record in read_metrics(run.folder / 'speech_metrics.jsonl'):
    if 'loss_nats' in record:
      assert f'step {record["step"]} of {_STEPS}: {record["bits_per_byte"]:.4f} bits per byte' in log
    else:
      bits = record.get('valid/bits_per_byte') or record['held_out/bits_per_byte']
      assert f'at step {record["step"]}: {bits:.4f} bits per byte' in log
  # Each line of the log is a time, a level and what the terminal shows.
  lines = [re.fullmatch(r'[-\d]+ [:,\d]+ [A-Z]+ (.+)', line) for line in log.splitlines()]
  assert [line and line[1] for line in lines] == run.stderr.splitlines()


def test_the_held_out_figure_is_the_code_length_of_the_held_out_file(run):
  model = load_model(run.model_path)
  tokens = (run.held_out >> 8) + 128
  bits = held_out_bits(model, tokens, 64) / len(tokens)
  record = read_metrics(run.folder / 'speech_metrics.jsonl')[-1]
  assert record['held_out/bits_per_sample'] == pytest.approx(bits, rel=1e-5)
  assert model.provenance['held_out'] == {
    'loss_nats': pytest.approx(bits * np.log(2), rel=1e-5),
    'bits_per_byte': record['held_out/bits_per_byte'],
    'bits_per_sample': record['held_out/bits_per_sample'],
    'compression_rate': record['held_out/compression_rate'],
  }
  assert f'held-out at step {_STEPS}: {bits:.4f} bits per byte' in run.stderr
  assert '(16 chunks, 1000 tokens)' in run.stderr


def test_the_table_of_held_out_files_has_what_the_run_says(run):
  record = read_metrics(run.folder / 'speech_metrics.jsonl')[-1]
  title, row = (run.folder / 'speech_held_out.csv').read_text().splitlines()
  name, samples, bits = row.split(',')
  assert (title, name, samples) == ('name,samples,bits_per_sample', 'c.wav', '1000')
  assert float(bits) == pytest.approx(record['held_out/bits_per_sample'], rel=1e-5)


def test_it_learns(run):
  records = [record for record in read_metrics(run.folder / 'speech_metrics.jsonl') if 'loss_nats' in record]
  assert records[0]['bits_per_byte'] > 6.5
  # The values alone, each by itself, have more than 5.5 bits.
  assert read_metrics(run.folder / 'speech_metrics.jsonl')[-1]['held_out/bits_per_byte'] < 4.5


def test_files_that_cannot_be_read_are_skipped_and_named(run, audio):
  assert f'skipped: {audio}/train/broken.wav: ' in run.stderr
  assert f'skipped: {audio}/valid/empty.wav: ' in run.stderr
  assert '2 of 5 files cannot be read and are skipped' in run.stderr


def test_the_same_seed_gives_the_same_parameters_bit_for_bit(run, repeated):
  first, second = np.load(run.model_path), np.load(repeated.model_path)
  with first, second:
    assert first.files == second.files
    for name in first.files:
      assert name == 'metadata' or first[name].tobytes() == second[name].tobytes(), name


def test_another_seed_gives_other_parameters(run, other_seed):
  first, second = load_model(run.model_path).params, load_model(other_seed.model_path).params
  for module, arrays in first.items():
    for name, array in arrays.items():
      assert not np.array_equal(array, second[module][name]), f'{module}/{name}'


def test_files_of_an_earlier_run_are_kept(run, other_seed):
  for path in run.folder.iterdir():
    kept = other_seed.folder / f'{path.stem}.1{path.suffix}'
    assert _contents(kept) == _contents(path)
    assert _contents(other_seed.folder / path.name) != _contents(path)


def _contents(path: Path) -> bytes | dict[str, bytes]:
  """Of a file, or of the files of a folder by name."""
  return {each.name: each.read_bytes() for each in path.iterdir()} if path.is_dir() else path.read_bytes()


def test_short_stereo_blocks_are_warned_of(audio, tmp_path, cached_env, other_seed):
  assert 'stereo_blocking_n' not in other_seed.stderr
  short = _train(audio, tmp_path, cached_env, '--stereo_blocking_n', '31', '--training_steps', '1')
  assert 'stereo_blocking_n: two blocks of 31 samples are shorter than a chunk of 64' in short.stderr


def test_its_settings_as_a_file_give_the_same_run(run, tmp_path, cached_env):
  settings = load_model(run.model_path).provenance['settings']
  (tmp_path / 'again.toml').write_text(''.join(f'{key} = {json.dumps(value)}\n' for key, value in settings.items()))
  saved = str(run.folder / 'speech.toml')
  stored = {'config': str(tmp_path / 'again.toml')}
  assert read_settings({'config': saved}, TrainingSettings) == read_settings(stored, TrainingSettings)
  done = finish(command('--config', saved, '--output_dir', tmp_path), cached_env)
  assert done.returncode == 0, done.stderr
  again = load_model(tmp_path / 'speech.npz')
  assert {**again.provenance['settings'], 'output_dir': settings['output_dir']} == settings
  for module, arrays in load_model(run.model_path).params.items():
    for name, array in arrays.items():
      np.testing.assert_array_equal(again.params[module][name], array)


def test_audio_that_is_no_wav_is_counted(tmp_path, cached_env):
  for name in ('a.ogg', 'b.ogg', 'c.mp3'):
    (tmp_path / name).touch()
  flags = ('--audio_dir', tmp_path, '--output_dir', tmp_path / 'out', *TINY, '--training_steps', '1')
  done = finish(command(*flags), cached_env)
  assert (done.returncode, done.stderr.count('\n')) == (2, 1)
  said = '3 audio files not used, since only PCM and FLAC are read (2 .ogg, 1 .mp3): convert them first'
  assert f'expected audio files to train on, found none; {said}' in done.stderr
  write_folder(tmp_path)
  done = finish(command(*flags), cached_env)
  assert done.returncode == 0 and said in done.stderr


@pytest.mark.parametrize(
  'flags',
  [
    ('--quantization', 'mu-law'),
    pytest.param(('--use_16bit', '--tokenization', 'sample'), marks=pytest.mark.slow),  # Its vocabulary is large.
  ],
)
def test_models_that_cannot_code_files_are_said_to_be_so(tmp_path, cached_env, flags):
  write_folder(tmp_path / 'audio')
  arguments = ('--audio_dir', tmp_path / 'audio', '--output_dir', tmp_path, *TINY, '--training_steps', '1', *flags)
  done = finish(command(*arguments), cached_env)
  assert done.returncode == 0 and 'lmic cannot code files with them' in done.stderr


def test_a_sweep_of_the_learning_rate_writes_its_own_files_alone(run, audio, tmp_path, cached_env):
  folder = tmp_path / 'made'
  shutil.copytree(run.folder, folder)
  before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()}
  swept = _train(audio, folder, cached_env, '--find_learning_rate', '--find_steps', 40)
  after = {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()}
  table, picture, suggested = swept.stdout.splitlines()
  assert after.keys() - before.keys() == {Path(table).relative_to(folder), Path(picture).relative_to(folder)}
  assert all(after[path] == content for path, content in before.items())
  assert 1e-6 < float(suggested) < 0.1 and f'--learning_rate {suggested}' in swept.stderr
