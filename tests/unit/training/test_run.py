"""What a run is made of and what it saves, and where that goes when it cannot go where it belongs."""

import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.settings import training_settings
from support.tiny_models import DATA, MODEL, random_params
from support.training_runs import write_tone

from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.data import paths
from language_modeling_is_compression.data.folders import find_folders
from language_modeling_is_compression.errors import CheckpointError, ConfigError
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.training.byte_task import make_task
from language_modeling_is_compression.training.objectives import CodeLengths, Objective
from language_modeling_is_compression.training.processes import Processes
from language_modeling_is_compression.training.run import _save_somewhere, train_model
from language_modeling_is_compression.training.run_files import RunFiles, claimed_files
from language_modeling_is_compression.training.stopper import Stopper


@pytest.fixture(scope='module')
def model() -> Model:
  params = jax.tree.map(np.asarray, random_params(build_transformer(MODEL, DATA)))
  return ByteModel(params=params, spec=ByteSpec(network=MODEL, data=DATA), provenance={'steps': 1})


@pytest.fixture
def temporary(tmp_path, monkeypatch):
  folder = tmp_path / 'temporary'
  folder.mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(folder))
  return folder


def test_a_model_that_can_be_written_needs_no_refuge(tmp_path, temporary, model):
  _save_somewhere(RunFiles(tmp_path, 'a'), model)
  assert load_model(tmp_path / 'a.npz').provenance == {'steps': 1}
  assert list(temporary.iterdir()) == []


def test_the_refuge_is_in_the_temporary_folder_and_the_error_says_where(tmp_path, temporary, model):
  wanted = tmp_path / 'gone' / 'a.npz'
  with pytest.raises(CheckpointError) as caught:
    _save_somewhere(RunFiles(wanted.parent, 'a'), model)
  (refuge,) = temporary.glob('*/*')
  assert refuge.name == 'a.npz'
  message = str(caught.value)
  assert message.startswith(f'{wanted}: cannot be written: ')
  assert message.endswith(f'; the model is in {refuge} instead')
  jax.tree.map(np.testing.assert_array_equal, load_model(refuge).params, model.params)


def test_two_refuges_do_not_meet(tmp_path, temporary, model):
  for _ in range(2):
    with pytest.raises(CheckpointError):
      _save_somewhere(RunFiles(tmp_path / 'gone', 'a'), model)
  assert len(list(temporary.glob('*/a.npz'))) == 2


def test_without_a_refuge_the_error_is_that_of_the_place_asked_for(tmp_path, temporary, model):
  temporary.rmdir()
  with pytest.raises(CheckpointError, match=r'free space or name another folder$') as caught:
    _save_somewhere(RunFiles(tmp_path / 'gone', 'a'), model)
  assert str(caught.value).startswith(f'{tmp_path}/gone/a.npz: ')


def epochs_of_a_tone(folder: Path, **values: Any) -> tuple[TrainingSettings, Any]:
  """Settings of two epochs, and a task of 4 chunks."""
  write_tone(folder / 'train' / 'a.wav', 60, 0)
  write_tone(folder / 'valid' / 'b.wav', 32, 1)
  settings = training_settings(
    audio_dir=(str(folder),),
    output_dir=str(folder),
    chunk_size=16,
    embedding_dim=8,
    num_layers=1,
    num_heads=2,
    attention_window=4,
    **{'num_epochs': 2, 'batch_size': 3, 'no_progress': True, **values},
  )
  task: Any = make_task(settings, find_folders(settings.folders.audio_dir, 0.1, paths))
  # What is tested asks nothing of a loss but gradients, and the network's takes ten seconds to compile.
  params = random_params(build_transformer(settings.model, settings.data))
  task.objective = lambda computation: Objective(
    lambda key: params,
    lambda params, batch: optax.tree.norm(params, squared=True) * batch.lengths.sum(),
    lambda params, batch: CodeLengths(jnp.float32(1), jnp.ones((len(batch.lengths), 1))),
  )
  return settings, task


def test_epochs_become_steps_and_the_moving_average_is_saved(tmp_path):
  settings, task = epochs_of_a_tone(tmp_path, ema_decay=0.5, optimizer='adamw', learning_rate=0.01)
  with claimed_files(settings.run) as files:
    outcome = train_model(settings, task, files=files, stopper=Stopper())
  assert task.facts['num_train_chunks'] == 4 and int(outcome.state.step) == 3  # Eight chunks, three at a time.
  saved = load_model(files.model)
  assert saved.provenance['steps'] == saved.provenance['settings']['training_steps'] == 3
  assert 'num_epochs' not in saved.provenance['settings']
  jax.tree.map(np.testing.assert_array_equal, saved.params, jax.tree.map(np.asarray, outcome.state.ema))
  pairs = zip(jax.tree.leaves(saved.params), jax.tree.leaves(outcome.state.params), strict=True)
  assert any((average != last).any() for average, last in pairs)


def test_a_schedule_that_does_not_fit_into_the_epochs_is_refused(tmp_path):
  settings, task = epochs_of_a_tone(tmp_path, warmup_steps=3)
  with (
    claimed_files(settings.run) as files,
    pytest.raises(ConfigError, match=r'^warmup_steps: expected fewer than all steps \(3\), got 3$'),
  ):
    train_model(settings, task, files=files, stopper=Stopper())


@pytest.mark.parametrize('index', [0, 1])
def test_the_first_process_alone_is_traced(tmp_path, monkeypatch, index):
  started: list[str] = []
  monkeypatch.setattr(jax.profiler, 'start_trace', started.append)
  monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: None)
  settings, task = epochs_of_a_tone(tmp_path, profile=1)
  files = RunFiles(tmp_path, 'a')
  train_model(settings, task, files=files, stopper=Stopper(), processes=Processes(1, index))
  assert started == [str(files.profile)] * (index == 0)
