"""Runs that log to Weights & Biases: what wandb keeps of them, and that a run goes on where wandb does not.

wandb is the real one, offline: it writes to disk what it would have sent, and that is read back here.
"""

import dataclasses
import functools
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.training_runs import REPOSITORY, TINY, command, finish, read_metrics

from language_modeling_is_compression import load_model
from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.network.byte_model import ByteModel

_SETTINGS = (*TINY, '--training_steps', 10, '--validate_every', 5, '--wandb_project', 'speech', '--model_name', 'voice')
_LOG_BLOCK_BYTES = 32768
_FULL, _FIRST, _MIDDLE, _LAST = range(1, 5)


@dataclasses.dataclass(frozen=True)
class Run:
  folder: Path
  stdout: str
  stderr: str

  @functools.cached_property
  def records(self) -> list:
    """wandb's own records, in the order of writing."""
    from wandb.proto import wandb_internal_pb2

    (path,) = self.folder.rglob('*.wandb')
    messages: Any = wandb_internal_pb2
    return [messages.Record.FromString(data) for data in _log_entries(path.read_bytes())]

  def of_kind(self, kind: str) -> list:
    return [getattr(record, kind) for record in self.records if record.WhichOneof('record_type') == kind]


def _log_entries(data: bytes) -> Iterator[bytes]:
  """The entries of a LevelDB log after wandb's own 7 bytes: in pieces (checksum, length, kind), none across a block."""
  assert data.startswith(b':W&B')
  position, entry = 7, b''
  while position + 7 <= len(data):
    left = _LOG_BLOCK_BYTES - position % _LOG_BLOCK_BYTES
    if left < 7:
      position += left
      continue
    _, size, kind = struct.unpack_from('<IHB', data, position)
    piece = data[position + 7 : position + 7 + size]
    position += 7 + size
    entry = piece if kind in (_FULL, _FIRST) else entry + piece
    if kind in (_FULL, _LAST):
      yield entry


def _train(audio: Path, folder: Path, env: dict[str, str], *flags: object) -> Run:
  done = finish(command('--audio_dir', audio, '--output_dir', folder, *_SETTINGS, *flags), env)
  assert done.returncode == 0, done.stderr
  return Run(folder, done.stdout, done.stderr)


@pytest.fixture(scope='module')
def offline_env(cached_env, tmp_path_factory) -> dict[str, str]:
  return {**cached_env, 'WANDB_MODE': 'offline', 'WANDB_DIR': str(tmp_path_factory.mktemp('wandb'))}


@pytest.fixture(scope='module')
def run(audio, tmp_path_factory, offline_env) -> Run:
  return _train(audio, tmp_path_factory.mktemp('out'), offline_env)


@pytest.fixture(scope='module')
def unstarted(audio, tmp_path_factory, cached_env) -> Run:
  """A run whose wandb has no key and no terminal to ask for one."""
  return _train(audio, tmp_path_factory.mktemp('out'), cached_env)


def test_wandb_knows_the_project_and_a_name_that_tells_the_settings(run):
  (started,) = run.of_kind('run')
  assert (started.project, started.display_name) == ('speech', 'voice_8bit_8x1_lr0.0001_steps10_seed42')


@pytest.mark.slow
def test_the_name_can_be_chosen(audio, tmp_path, offline_env):
  (started,) = _train(audio, tmp_path, offline_env, '--wandb_run_name', 'Tuesday').of_kind('run')
  assert started.display_name == 'Tuesday'


def test_wandb_knows_every_flag_and_the_sizes_of_the_data_and_the_model(run):
  (started,) = run.of_kind('run')
  config = {update.key: json.loads(update.value_json) for update in started.config.update}
  model = load_model(run.folder / 'voice.npz')
  assert isinstance(model, ByteModel)
  stored = {**dataclasses.asdict(model.spec.data), **dataclasses.asdict(model.spec.network)}
  assert config.items() >= {name: value for name, value in stored.items() if value is not None}.items()
  assert config.items() >= model.provenance['settings'].items()
  assert (
    config.items()
    >= {
      'batch_size': 8,
      'learning_rate': 1e-4,
      'training_steps': 10,
      'num_train_files': 2,
      'num_valid_files': 1,
      'num_train_chunks': 47 + 24,
      'num_valid_chunks': 16,
      'num_parameters': model.num_parameters,
    }.items()
  )


def test_the_smallest_value_sums_up_what_should_be_small(run):
  smallest = {metric.name or metric.glob_name for metric in run.of_kind('metric') if metric.summary.min}
  assert smallest == {
    *('loss_nats', 'bits_per_byte', 'bits_per_sample'),
    'valid/*',
  }
  assert {metric.step_metric for metric in run.of_kind('metric') if metric.glob_name == '*'} == {'_step'}


def test_wandb_has_the_figures_of_the_metrics_file(run):
  expected: dict[int, dict[str, float]] = {}
  for record in read_metrics(run.folder / 'voice_metrics.jsonl'):
    expected.setdefault(record.pop('step'), {}).update(record)
  got: dict[int, dict[str, float]] = {}
  for row in run.of_kind('history'):
    items = {'/'.join(item.nested_key) or item.key: json.loads(item.value_json) for item in row.item}
    assert ('held_out/files/_type' in items) == (items['_step'] == 10), 'the table is of the last step'
    got[items['_step']] = {name: value for name, value in items.items() if not name.startswith(('_', 'held_out/files'))}
  assert list(expected) == [5, 10] and set(expected[5]) >= {'loss_nats', 'valid/bits_per_byte'}
  assert got == {step: pytest.approx(figures) for step, figures in expected.items()}


def test_wandb_has_the_model_file(run):
  (artifact,) = [each for each in run.of_kind('artifact') if each.type == 'model']  # Tables are artifacts too.
  assert (artifact.name, artifact.type) == ('voice', 'model')
  (content,) = artifact.manifest.contents
  assert content.path == 'voice.npz'
  assert Path(content.local_path).read_bytes() == (run.folder / 'voice.npz').read_bytes()
  metadata, provenance = json.loads(artifact.metadata), load_model(run.folder / 'voice.npz').provenance
  assert metadata['num_train_files'] == 2
  assert (metadata['held_out'], metadata['settings']) == (provenance['held_out'], provenance['settings'])


def test_the_model_knows_the_run(run):
  (started,) = run.of_kind('run')
  assert load_model(run.folder / 'voice.npz').provenance['wandb'] == {'id': started.run_id, 'project': 'speech'}


def test_wandb_has_the_sounds_that_are_generated(audio, tmp_path, offline_env):
  sounds = ('--generate_every', 5, '--generate_duration', 0.05)
  run = _train(audio, tmp_path, {**offline_env, 'WANDB_DIR': str(tmp_path)}, *sounds)
  logged: dict[tuple[int, str], dict[str, Any]] = {}
  for row in run.of_kind('history'):
    items = {'/'.join(item.nested_key) or item.key: json.loads(item.value_json) for item in row.item}
    for name, value in items.items():
      if name.startswith('generated/'):
        sound, _, field = name.rpartition('/')
        logged.setdefault((items['_step'], sound), {})[field] = value
  assert sorted(logged) == [(step, f'generated/{name}') for step in (5, 10) for name in ('1_silence', '2_c')]
  (folder,) = tmp_path.glob('wandb/offline-run-*/files')
  for (step, name), sound in logged.items():
    assert sound['_type'] == 'audio-file'
    kept = read_info(folder / sound['path'])
    made = read_info(tmp_path / f'voice_generated/step_{step:06d}_{name.removeprefix("generated/")}.wav')
    assert kept.sample_rate_hz == made.sample_rate_hz == 8000
    expected = read_frames(made, 0, made.num_frames) << 8  # 8 bits as 16.
    assert (read_frames(kept, 0, kept.num_frames) == expected).all()


@pytest.mark.slow
def test_the_environment_names_the_run(audio, tmp_path, offline_env):
  (started,) = _train(audio, tmp_path, {**offline_env, 'WANDB_NAME': 'Wednesday'}).of_kind('run')
  assert started.display_name == 'Wednesday'


@pytest.mark.slow
def test_without_a_home_wandb_is_as_quiet(audio, tmp_path, offline_env):
  homeless = {name: value for name, value in offline_env.items() if name not in ('HOME', 'XDG_CACHE_HOME')}
  run = _train(audio, tmp_path, homeless)
  assert len([line for line in run.stderr.splitlines() if 'wandb: ' in line]) == 2
  assert ' INFO ' not in run.stderr and ' ERROR ' not in run.stderr


def test_wandb_is_told_that_the_run_went_well(run):
  (ended,) = run.of_kind('exit')
  assert ended.exit_code == 0


def test_wandb_writes_into_the_output_folder_and_says_nothing(run):
  assert sorted(path.name for path in run.folder.iterdir()) == [
    'voice.npz',
    'voice.toml',
    'voice_checkpoints',
    'voice_held_out.csv',
    'voice_held_out.svg',
    'voice_metrics.jsonl',
    'voice_training.log',
    'wandb',
  ]
  assert run.stdout == f'{run.folder}/voice.npz\n'
  # When it begins, and when it ends.
  said = [line for line in run.stderr.splitlines() if 'wandb' in line]
  (folder,) = (run.folder / 'wandb').glob('offline-run-*')
  assert said == 2 * [f'wandb: offline; to send it: wandb sync {folder}']


def test_a_wandb_that_cannot_start_is_said_in_one_line(unstarted):
  (line,) = [line for line in unstarted.stderr.splitlines() if 'wandb' in line.lower()]
  assert line.startswith('wandb cannot start, the run goes on without it: ') and 'API key' in line
  assert 'Traceback' not in unstarted.stderr


def test_a_run_without_wandb_trains_all_the_same(unstarted):
  assert load_model(unstarted.folder / 'voice.npz').provenance['steps'] == 10
  assert [record['step'] for record in read_metrics(unstarted.folder / 'voice_metrics.jsonl')] == [5, 5, 10, 10]
  assert unstarted.stdout == f'{unstarted.folder}/voice.npz\n'


def test_an_evaluation_logs_its_table_and_its_figures(audio, tmp_path, offline_env):
  script = str(REPOSITORY / 'evaluate_audio.py')
  flags = ('--audio_dir', audio, '--baselines', 'gzip,flac', '--output_dir', tmp_path / 'out', '--no_progress')
  arguments = [sys.executable, '-W', 'error', script, *map(str, flags), '--wandb_project', 'rates']
  done = finish(arguments, {**offline_env, 'WANDB_DIR': str(tmp_path)})
  assert done.returncode == 0, done.stderr
  run = Run(tmp_path, done.stdout, done.stderr)
  kinds = {
    item.nested_key[0]: json.loads(item.value_json)
    for row in run.of_kind('history')
    for item in row.item
    if item.nested_key[1:] == ['_type']
  }
  assert kinds.pop('summaries') == 'table-file'
  assert set(kinds.values()) == {'image-file'} and len(kinds) >= 4
  assert {path.stem for path in (tmp_path / 'out/figures').iterdir()} == set(kinds)
  sums = {'/'.join([update.key, *update.nested_key]) for row in run.of_kind('summary') for update in row.update}
  assert any('gzip -9/compression_rate' in key for key in sums)
