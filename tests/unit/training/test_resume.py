"""A run that goes on from a checkpoint ends as if it had not been interrupted; what does not suit it is refused."""

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from support.settings import training_settings
from support.training_runs import write_folder

from language_modeling_is_compression.cli.train import main
from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.data import paths
from language_modeling_is_compression.data.folders import find_folders
from language_modeling_is_compression.errors import CheckpointError, ConfigError
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.training import byte_task
from language_modeling_is_compression.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from language_modeling_is_compression.training.loop import RunOutcome, Trainer
from language_modeling_is_compression.training.resume import chosen_checkpoint, restored_watcher
from language_modeling_is_compression.training.run import train_model
from language_modeling_is_compression.training.run_files import claimed_files
from language_modeling_is_compression.training.stopper import Stopper
from language_modeling_is_compression.training.watcher import Watcher

NETWORK = {'embedding_dim': 8, 'num_layers': 1, 'num_heads': 2, 'attention_window': 16}
GIVEN: dict[str, Any] = {
  **NETWORK,
  'chunk_size': 64,
  'batch_size': 4,
  'training_steps': 6,
  'log_every': 4,
  'learning_rate': 1e-2,
  'learning_rate_schedule': 'cosine',
  'no_progress': True,
}
SHARDED = training_settings(save_parameters='best', validate_every=1, shard_parameters=True)


@pytest.fixture(scope='module', autouse=True)
def compiled_once(tmp_path_factory) -> Iterator[None]:
  """Most of a run's time is compilation, and all runs here compile the same."""
  options = {
    'jax_compilation_cache_dir': str(tmp_path_factory.mktemp('compiled')),
    'jax_persistent_cache_min_compile_time_secs': 0.0,
  }
  before = {name: getattr(jax.config, name) for name in options}
  for name, value in options.items():
    jax.config.update(name, value)
  yield
  for name, value in before.items():
    jax.config.update(name, value)


@pytest.fixture(scope='module')
def audio(tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp('audio')
  write_folder(folder)
  return folder


def settings_of(audio: Path, out: Path, **values: Any) -> TrainingSettings:
  return training_settings(**{'audio_dir': (str(audio),), 'output_dir': str(out), 'model_name': 'a', **GIVEN, **values})


def train(settings: TrainingSettings, stopper: Stopper | None = None) -> RunOutcome:
  folders = find_folders(settings.folders.audio_dir, settings.folders.valid_fraction, paths)
  task: Any = byte_task.make_task(settings, folders)
  with claimed_files(settings.run, goes_on=settings.checkpoint.resume) as files:
    checkpoint = chosen_checkpoint(settings, files)
    return train_model(settings, task, files=files, stopper=stopper or Stopper(), checkpoint=checkpoint)


class StopAfter(Stopper):
  """Asks for a stop when it has been asked so often whether there is one."""

  def __init__(self, count: int):
    super().__init__()
    self._left = count

  def is_requested(self) -> bool:
    self._left -= 1
    if self._left < 0:
      self.signal = 15
    return super().is_requested()


def metrics(out: Path) -> list[dict[str, Any]]:
  """Records without what depends on the clock."""
  lines = (out / 'a_metrics.jsonl').read_text().splitlines()
  return [{key: value for key, value in json.loads(line).items() if 'second' not in key} for line in lines]


@pytest.fixture(scope='module')
def whole(audio, tmp_path_factory) -> Path:
  """Folder of a run that nothing interrupted, with a checkpoint of every step."""
  out = tmp_path_factory.mktemp('whole')
  train(settings_of(audio, out, checkpoint_every=1, max_checkpoints=9))
  return out


def same_params(first: Path, second: Path) -> bool:
  a, b = load_model(first).params, load_model(second).params
  return all(a[module][name].tobytes() == b[module][name].tobytes() for module in a for name in a[module])


def test_there_is_a_checkpoint_of_each_step(whole):
  names = sorted(path.name for path in (whole / 'a_checkpoints').iterdir())
  assert names == [f'step_{step:09}.ckpt' for step in range(1, 7)]
  metadata = read_checkpoint(whole / 'a_checkpoints' / names[-1]).metadata
  assert metadata['step'] == 6 and metadata['settings']['batch_size'] == 4 and metadata['seconds'] >= 0


@pytest.mark.parametrize('step', [1, 4, 5])
def test_a_resumed_run_equals_one_that_was_not_interrupted(audio, whole, tmp_path, step):
  """As a run that was killed leaves it: with records of steps that no checkpoint has, and half a line."""
  (tmp_path / 'a_checkpoints').mkdir()
  name = f'step_{step:09}.ckpt'
  (tmp_path / 'a_checkpoints' / name).write_bytes((whole / 'a_checkpoints' / name).read_bytes())
  (tmp_path / 'a_metrics.jsonl').write_text((whole / 'a_metrics.jsonl').read_text() + '{"step": 3, "lo')
  train(settings_of(audio, tmp_path, resume=True))
  assert same_params(whole / 'a.npz', tmp_path / 'a.npz')
  assert metrics(tmp_path) == metrics(whole)
  last = [read_checkpoint(out / 'a_checkpoints' / 'step_000000006.ckpt') for out in (whole, tmp_path)]
  assert last[0].arrays.keys() == last[1].arrays.keys()
  assert all(last[0].arrays[key].tobytes() == last[1].arrays[key].tobytes() for key in last[0].arrays)


def test_the_state_of_all_that_moves_is_in_a_checkpoint(audio, tmp_path):
  """Moments of another optimizer, the moving average, steps that were skipped, a schedule of its own."""
  given = {
    'optimizer': 'muon',
    'weight_decay': 0.1,
    'ema_decay': 0.9,
    'max_bad_steps': 2,
    'learning_rate_schedule': 'warmup_stable_decay',
    'warmup_steps': 2,
  }
  train(settings_of(audio, tmp_path / 'whole', checkpoint_every=3, **given))
  middle = tmp_path / 'whole' / 'a_checkpoints' / 'step_000000003.ckpt'
  train(settings_of(audio, tmp_path / 'resumed', resume_from=str(middle), **given))
  assert same_params(tmp_path / 'whole' / 'a.npz', tmp_path / 'resumed' / 'a.npz')
  with pytest.raises(ConfigError, match=r'was trained with optimizer muon \(now adam\)'):
    train(settings_of(audio, tmp_path / 'other', resume_from=str(middle)))


def test_a_stopped_run_is_resumed_where_it_stopped(audio, whole, tmp_path):
  outcome = train(settings_of(audio, tmp_path), StopAfter(3))
  assert outcome.stopped_by == 15 and 0 < int(outcome.state.step) < 6
  train(settings_of(audio, tmp_path, resume=True))
  assert same_params(whole / 'a.npz', tmp_path / 'a.npz')
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    *('a.npz', 'a.toml', 'a_checkpoints', 'a_held_out.csv', 'a_held_out.svg', 'a_metrics.jsonl')
  ]


def test_a_run_that_was_killed_after_its_last_step_is_validated_and_saved(audio, whole, tmp_path):
  outcome = train(settings_of(audio, tmp_path, resume_from=str(whole / 'a_checkpoints' / 'step_000000006.ckpt')))
  assert outcome.is_saved and same_params(whole / 'a.npz', tmp_path / 'a.npz')
  assert metrics(tmp_path) == metrics(whole)[-1:]
  assert load_model(tmp_path / 'a.npz').provenance['held_out'] == load_model(whole / 'a.npz').provenance['held_out']


def test_a_longer_run_goes_on_from_a_finished_one(audio, whole, tmp_path, caplog):
  caplog.set_level(logging.INFO)
  newest = whole / 'a_checkpoints' / 'step_000000006.ckpt'
  outcome = train(settings_of(audio, tmp_path, resume_from=str(newest), training_steps=8, learning_rate=1e-3))
  assert int(outcome.state.step) == 8
  assert f'resuming from {newest}, after 6 steps' in caplog.messages
  assert 'learning_rate: 0.01 in the checkpoint, now 0.001' in caplog.messages
  assert 'training_steps: 6 in the checkpoint, now 8' in caplog.messages
  assert metrics(tmp_path)[0]['step'] == 8


def test_a_new_run_of_the_same_name_keeps_the_checkpoints_of_the_earlier_one(audio, whole, tmp_path):
  shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
  train(settings_of(audio, tmp_path, seed=7, checkpoint_every=1))
  for path in (whole / 'a_checkpoints').iterdir():
    assert (tmp_path / 'a_checkpoints.1' / path.name).read_bytes() == path.read_bytes()
  assert [path.name for path in sorted((tmp_path / 'a_checkpoints').iterdir())] == [
    'step_000000005.ckpt',
    'step_000000006.ckpt',
  ]
  assert not list(tmp_path.glob('*unsaved*'))


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    ({'seed': 7}, 'was trained with seed 42 (now 7): resume with the same'),
    ({'batch_size': 5, 'num_layers': 2}, 'was trained with batch_size 4 (now 5), num_layers 1 (now 2)'),
    ({'training_steps': 5}, 'has 6 steps already, expected as many or more, got 5'),
    ({'gradient_clip_norm': 1.0, 'training_steps': 9}, 'its state is not that of this model and optimizer: '),
  ],
)
def test_settings_that_would_lie_are_refused(audio, whole, tmp_path, changed, message):
  newest = str(whole / 'a_checkpoints' / 'step_000000006.ckpt')
  with pytest.raises(ConfigError) as caught:
    train(settings_of(audio, tmp_path, resume_from=newest, **changed))
  assert message in str(caught.value)


def test_other_data_is_refused(audio, whole, tmp_path):
  other = tmp_path / 'other'
  other.mkdir()
  write_folder(other)
  next(other.rglob('*.wav')).unlink()
  newest = str(whole / 'a_checkpoints' / 'step_000000006.ckpt')
  with pytest.raises(ConfigError, match=r'the audio files, their division .* are not those'):
    train(settings_of(other, tmp_path, resume_from=newest, training_steps=9))


def test_a_folder_that_has_moved_is_the_same_data(audio, whole, tmp_path):
  moved = tmp_path / 'moved'
  moved.mkdir()
  write_folder(moved)
  newest = str(whole / 'a_checkpoints' / 'step_000000005.ckpt')
  train(settings_of(moved, tmp_path, resume_from=newest))
  assert same_params(whole / 'a.npz', tmp_path / 'a.npz')
  # Settings that are recorded are those of a run from the beginning.
  recorded = load_model(tmp_path / 'a.npz').provenance['settings']
  assert recorded['batch_size'] == 4 and 'resume_from' not in recorded and recorded['resume'] is False


def test_what_is_no_checkpoint_is_refused(audio, whole, tmp_path):
  with pytest.raises(CheckpointError, match='no checkpoint to resume from; leave out --resume to begin'):
    train(settings_of(audio, tmp_path, resume=True))
  with pytest.raises(CheckpointError, match='it is something else'):
    train(settings_of(audio, tmp_path, resume_from=str(whole / 'a.npz')))
  write_checkpoint(tmp_path / 'b.ckpt', {'x': np.zeros(1)}, {'step': 1})
  with pytest.raises(ConfigError, match='it holds no settings'):
    train(settings_of(audio, tmp_path, resume_from=str(tmp_path / 'b.ckpt')))
  assert not list(tmp_path.glob('a*'))


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    ({'progress': None}, 'no sound progress'),
    ({'progress': [1]}, 'no sound progress'),
    ({'progress': ['a', 1]}, 'no sound progress'),
    ({'seconds': '1'}, 'no sound progress'),
    ({'wandb': ['x']}, 'no sound progress'),
    ({'watched': {'best': None}}, 'no sound tracks of what was watched'),
    ({'watched': [1]}, 'no sound tracks of what was watched'),
    ({'watched': {'best': {'step': 1}}}, 'no sound best parameters'),
  ],
)
def test_a_whole_checkpoint_of_another_program_is_refused(audio, whole, tmp_path, changed, message):
  found = read_checkpoint(whole / 'a_checkpoints' / 'step_000000003.ckpt')
  write_checkpoint(tmp_path / 'b.ckpt', found.arrays, {**found.metadata, **changed})
  with pytest.raises(ConfigError, match=f'b.ckpt: it holds {message}, so it was written by something else'):
    train(settings_of(audio, tmp_path, resume_from=str(tmp_path / 'b.ckpt')))


class _Elsewhere:
  """An array of which another process has a part."""

  shape = (2,)

  def __array__(self, *_: Any, **__: Any) -> np.ndarray:
    raise AssertionError('it cannot be brought here')


def test_parameters_that_lie_in_several_processes_are_resumed(whole):
  path = whole / 'a_checkpoints' / 'step_000000003.ckpt'
  params = {'m': {'w': _Elsewhere()}}
  checkpoint = Checkpoint(path, {"best['m']['w']": np.ones(2)}, {'watched': Watcher(SHARDED).metadata()})
  with pytest.raises(ConfigError, match='no sound best parameters'):  # There are some, of which nothing is said.
    restored_watcher(SHARDED, checkpoint, params, lambda tree: tree)
  checkpoint.metadata['watched']['best'] = {'figure': 'score', 'step': 2, 'value': 1.0}
  assert restored_watcher(SHARDED, checkpoint, params, lambda tree: tree).best_params['m']['w'].tolist() == [1, 1]


def test_a_run_begins_with_a_models_parameters(audio, whole, tmp_path):
  model = whole / 'a.npz'
  train(settings_of(audio, tmp_path, init_from=str(model)))
  assert metrics(tmp_path)[0]['loss_nats'] < metrics(whole)[0]['loss_nats'] - 0.01
  assert load_model(tmp_path / 'a.npz').provenance['settings']['init_from'] == str(model)
  with pytest.raises(ConfigError, match=r'^init_from: .* bytes with embedding_dim 8, .* expected bytes with .*_dim 16'):
    train(settings_of(audio, tmp_path, init_from=str(model), embedding_dim=16))
  with pytest.raises(CheckpointError, match='cannot be read'):
    train(settings_of(audio, tmp_path, init_from=str(tmp_path / 'none.npz')))


def test_a_run_begins_in_one_way(audio, tmp_path):
  with pytest.raises(ConfigError, match=r'^resume, init_from: a run begins in one way'):
    settings_of(audio, tmp_path, resume=True, init_from='a.npz')
  with pytest.raises(ConfigError, match=r'^checkpoint_policy: best is judged by validations: give --validate_every$'):
    settings_of(audio, tmp_path, checkpoint_policy='best')


def test_the_best_checkpoints_are_those_of_the_best_validations(audio, tmp_path):
  train(settings_of(audio, tmp_path, checkpoint_policy='best', validate_every=1, max_checkpoints=1))
  records = [record for record in metrics(tmp_path) if 'valid/bits_per_sample' in record]
  best = min(records, key=lambda record: record['valid/bits_per_sample'])
  kept = sorted(int(path.name[5:14]) for path in (tmp_path / 'a_checkpoints').iterdir())
  assert kept == sorted({best['step'], 6})


WATCHED: dict[str, Any] = {
  'learning_rate': 0.3,  # So high that validations become worse.
  'learning_rate_schedule': 'plateau',
  'plateau_patience': 1,
  'save_parameters': 'best',
  'early_stopping_patience': 4,
  'validate_every': 1,
  'log_every': 1,
  'training_steps': 12,
}


@pytest.fixture(scope='module')
def watched(audio, tmp_path_factory) -> Path:
  """Folder of a run that ended early, with a checkpoint of every step."""
  out = tmp_path_factory.mktemp('watched')
  train(settings_of(audio, out, checkpoint_every=1, max_checkpoints=12, **WATCHED))
  return out


def watched_facts(out: Path) -> dict[str, Any]:
  provenance = load_model(out / 'a.npz').provenance
  return {name: provenance[name] for name in ('steps', 'saved', 'best', 'ended_early', 'held_out')}


def test_a_run_ends_early_with_its_best_parameters(watched):
  records = metrics(watched)
  scores = {record['step']: record['valid/bits_per_sample'] for record in records if 'valid/bits_per_sample' in record}
  facts, best = watched_facts(watched), min(scores, key=scores.__getitem__)
  assert facts['steps'] == best + 4 == records[-1]['step'] < 12
  assert facts['saved'] == 'best' and facts['best']['step'] == best and facts['best']['value'] == scores[best]
  assert 'no improvement in 4 measurements' in facts['ended_early']
  assert facts['held_out']['bits_per_sample'] == pytest.approx(scores[best])  # All that is held out is validated.
  assert len({record['learning_rate'] for record in records if 'learning_rate' in record}) > 2


def test_what_is_watched_is_in_a_checkpoint(audio, watched, tmp_path):
  step = watched_facts(watched)['steps'] - 3
  checkpoint = watched / 'a_checkpoints' / f'step_{step:09}.ckpt'
  train(settings_of(audio, tmp_path, resume_from=str(checkpoint), **WATCHED))
  assert same_params(watched / 'a.npz', tmp_path / 'a.npz') and watched_facts(watched) == watched_facts(tmp_path)
  assert metrics(tmp_path) == [record for record in metrics(watched) if record['step'] > step]


def test_a_run_that_has_ended_early_does_so_at_once_when_it_is_resumed(audio, watched, tmp_path):
  step = watched_facts(watched)['steps']
  checkpoint = watched / 'a_checkpoints' / f'step_{step:09}.ckpt'
  outcome = train(settings_of(audio, tmp_path, resume_from=str(checkpoint), **WATCHED))
  assert int(outcome.state.step) == step and same_params(watched / 'a.npz', tmp_path / 'a.npz')


def test_a_validation_that_a_signal_cut_short_is_made_up_for(audio, watched, tmp_path, monkeypatch):
  validate = Trainer._validate

  def interrupted(self: Any, state: Any, *args: Any, **keywords: Any) -> Any:
    if int(state.step) == 2:
      self._stopper.signal = 15
    return validate(self, state, *args, **keywords)

  with monkeypatch.context() as patch:
    patch.setattr(Trainer, '_validate', interrupted)
    assert train(settings_of(audio, tmp_path, **WATCHED)).stopped_by == 15
  train(settings_of(audio, tmp_path, resume=True, **WATCHED))
  assert same_params(watched / 'a.npz', tmp_path / 'a.npz') and watched_facts(watched) == watched_facts(tmp_path)
  assert metrics(tmp_path) == metrics(watched)


def test_a_figure_that_is_never_logged_is_refused_before_the_first_step(audio, tmp_path):
  given = {'early_stopping_patience': 1, 'validate_every': 1}
  with pytest.raises(
    ConfigError, match=r'^early_stopping_figure: expected one of .*valid/compression_rate, got .valid/x'
  ):
    train(settings_of(audio, tmp_path, early_stopping_figure='valid/x', **given))
  assert not (tmp_path / 'a.npz').exists()


def test_a_model_to_begin_with_is_refused_before_the_data_are_prepared(audio, whole, monkeypatch, tmp_path, capsys):
  monkeypatch.setattr(byte_task, 'make_task', lambda *_: pytest.fail('this may take hours'))
  network = [f'--{name}={value}' for name, value in {**NETWORK, 'embedding_dim': 16}.items()]
  flags = [f'--audio_dir={audio}', f'--output_dir={tmp_path / "out"}', *network, f'--init_from={whole / "a.npz"}']
  for more in ([], ['--find_learning_rate']):
    assert main([*flags, *more]) == 2
    assert 'error: init_from: ' in capsys.readouterr().err
