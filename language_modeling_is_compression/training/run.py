"""Training run on a given task: puts together what is needed, and writes what is left."""

import contextlib
import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm.contrib.logging import logging_redirect_tqdm

from language_modeling_is_compression.config.options import LoggingConfig, TrainingSettings
from language_modeling_is_compression.config.settings import given_settings, kinds_of
from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.training.loop import RunOutcome, Trainer, explained
from language_modeling_is_compression.training.optimizer import learning_rate_schedule, make_optimizer
from language_modeling_is_compression.training.origin import source_commit
from language_modeling_is_compression.training.plan import device_mesh, plan_micro_batches
from language_modeling_is_compression.training.run_files import RunFiles
from language_modeling_is_compression.training.state import (
  TrainingState,
  evaluated_params,
  initial_state,
  make_code_length,
  make_update,
)
from language_modeling_is_compression.training.stopper import Stopper
from language_modeling_is_compression.training.task import Task, ValidationResult
from language_modeling_is_compression.training.tracking import TRAINING_MINIMA, Tracker, default_wandb_name, start_wandb
from language_modeling_is_compression.version import __version__

_logger = logging.getLogger(__name__)


def train_model(settings: TrainingSettings, task: Task, *, files: RunFiles, stopper: Stopper) -> RunOutcome:
  """Trains, validates, saves `files.model` and logs beside it.

  Raises TrainingError and CheckpointError as `Trainer.run`, and ConfigError if the schedule does not fit into as many
  steps as the epochs are.
  """
  # Epochs are of chunks, and byte models alone may be given them. The model file records the number of steps.
  settings = settings.with_steps(task.facts.get('num_train_chunks', 0))
  training = settings.training
  if not task.validation(periodic=False).num_rows:
    _logger.warning('no samples are held out, so nothing will be known of how well the model compresses other files')
  mesh = device_mesh()
  micro_batches = plan_micro_batches(
    row_bytes=task.row_length * task.unit_bytes,
    batch_size=training.batch_size,
    rows_per_device=training.micro_batch_size,
    mesh=mesh,
  )
  objective = task.objective(remat=micro_batches.remat)
  optimizer, schedule = make_optimizer(settings), learning_rate_schedule(settings)
  try:
    averaged = settings.optimizer.ema_decay is not None
    state = initial_state(objective, optimizer, seed=training.seed, averaged=averaged)
  except jax.errors.JaxRuntimeError as error:
    raise explained(error) from error
  facts = {**task.facts, 'num_parameters': sum(array.size for array in jax.tree.leaves(state.params))}
  for name, value in facts.items():
    _logger.info('%s: %d', name, value)
  configs = tuple(getattr(settings, name) for name in kinds_of(TrainingSettings))
  given = given_settings(configs, family=task.spec.family)
  tracker = _start_tracker(settings.logging, _run_name(settings, task), files, {**given, **facts})
  started = time.time()

  def save(state: TrainingState, held_out: ValidationResult | None) -> None:
    provenance = {
      **task.provenance,
      **_origin(tracker),
      'package_version': __version__,
      'jax_version': jax.__version__,
      'device_kind': mesh.devices.flat[0].device_kind,
      'num_devices': mesh.devices.size,
      'steps': int(state.step),
      'training_seconds': round(time.time() - started, 1),
      'held_out': held_out.provenance if held_out else None,
      'settings': given,
      'facts': facts,
    }
    params = jax.tree.map(np.asarray, evaluated_params(state))
    _save_somewhere(files, task.trained_model(params, provenance))

  exit_code = 1
  try:
    with logging_redirect_tqdm():
      stopper.begin()
      outcome = Trainer(
        settings=settings,
        task=task,
        micro_batches=micro_batches,
        learning_rate=lambda step: float(np.asarray(schedule(step))),
        update=make_update(
          objective,
          optimizer,
          mesh,
          ema_decay=settings.optimizer.ema_decay,
          max_bad_steps=settings.optimizer.max_bad_steps,
        ),
        code_length=make_code_length(objective, mesh),
        save=save,
        tracker=tracker,
        stopper=stopper,
      ).run(state)
      if outcome.is_saved:
        held_out = outcome.held_out.provenance if outcome.held_out else None
        tracker.save_artifact(files.model, {**facts, 'held_out': held_out, 'settings': given})
    exit_code = 0 if outcome.stopped_by is None else 128 + outcome.stopped_by
    return outcome
  finally:
    tracker.close(exit_code)


def _run_name(settings: TrainingSettings, task: Task) -> str:
  """Name that distinguishes an experiment, e.g. speech_16bit_64x4_lr0.0001_steps1000_seed42."""
  network = task.spec.network
  kind = f'{task.label}_{network.embedding_dim}x{network.num_layers}'
  training = settings.training
  return (
    f'{settings.run.model_name}_{kind}_lr{settings.optimizer.learning_rate:g}_steps{training.steps}_seed{training.seed}'
  )


def _start_tracker(config: LoggingConfig, default_name: str, files: RunFiles, recorded: Mapping[str, Any]) -> Tracker:
  wandb_run = None
  if config.wandb_project:
    name = config.wandb_run_name or default_wandb_name(default_name)
    wandb_run = start_wandb(config.wandb_project, name, files.model.parent, recorded, minima=TRAINING_MINIMA)
  tracker = Tracker(files.metrics, wandb_run)
  files.when_renamed(metrics=tracker.rename)
  return tracker


def _origin(tracker: Tracker) -> dict[str, Any]:
  """Origin of a model beside versions: the commit of the package's sources and the wandb run, where there are."""
  origin = {'git_commit': source_commit(), 'wandb': tracker.wandb_identity}
  return {name: value for name, value in origin.items() if value}


def _save_somewhere(files: RunFiles, model: Model) -> None:
  """Saves a model, in the system's temporary folder if it cannot be written where it belongs.

  Raises CheckpointError in both cases of failure; it says where the model is.
  """
  try:
    files.save(lambda path: save_model(path, model))
  except CheckpointError as error:
    try:
      refuge = Path(tempfile.mkdtemp(prefix='audio_model_'), files.model.name)
    except OSError:
      raise error from None
    try:
      save_model(refuge, model)
    except CheckpointError:
      with contextlib.suppress(OSError):
        refuge.parent.rmdir()
      raise error from None
    raise CheckpointError(f'{error}; the model is in {refuge} instead') from error
