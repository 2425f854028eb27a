"""Training run on a given task: puts together what is needed, and writes what is left."""

import contextlib
import functools
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from tqdm.contrib.logging import logging_redirect_tqdm

from language_modeling_is_compression.config.options import (
  TrainingSettings,
  as_begun,
  recorded_settings,
)
from language_modeling_is_compression.config.settings import configs_of
from language_modeling_is_compression.config.toml_text import toml_text
from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.training.checkpoints import Checkpoint
from language_modeling_is_compression.training.flops import training_arithmetic
from language_modeling_is_compression.training.forecast import say_costs, say_sizes
from language_modeling_is_compression.training.held_out import report_held_out
from language_modeling_is_compression.training.layout import Layout, device_mesh
from language_modeling_is_compression.training.loop import NO_PROGRESS, Progress, RunOutcome, Trainer, explained
from language_modeling_is_compression.training.objectives import Objective
from language_modeling_is_compression.training.optimizer import learning_rate_schedule, make_optimizer
from language_modeling_is_compression.training.origin import source_commit
from language_modeling_is_compression.training.plan import plan_micro_batches
from language_modeling_is_compression.training.processes import Processes
from language_modeling_is_compression.training.profiling import profiled
from language_modeling_is_compression.training.resume import (
  begin_resumed,
  checkpoint_folder,
  initial_params,
  restored_state,
  restored_watcher,
  state_arrays,
)
from language_modeling_is_compression.training.run_files import RunFiles
from language_modeling_is_compression.training.state import (
  TrainingState,
  evaluated_params,
  initial_state,
  make_code_length,
  make_update,
)
from language_modeling_is_compression.training.stopper import Stopper
from language_modeling_is_compression.training.task import (
  Task,
  ValidationResult,
  training_computation,
  validating_computation,
)
from language_modeling_is_compression.training.tracking import TrackedRun, Tracker, start_tracker
from language_modeling_is_compression.version import __version__

_logger = logging.getLogger(__name__)


def train_model(
  settings: TrainingSettings,
  task: Task,
  *,
  files: RunFiles,
  stopper: Stopper,
  checkpoint: Checkpoint | None = None,
  processes: Processes | None = None,
  dry: bool = False,
) -> RunOutcome:
  """Trains, validates, saves `files.model` and logs beside it. checkpoint: what the run goes on from.

  processes: that train together; the first of them writes all files. dry: says what the run would take, and trains and
  writes nothing.

  Raises TrainingError and CheckpointError as `Trainer.run`, ConfigError if the checkpoint or the model to begin with is
  of another network or other data, or if the schedule does not fit into as many steps as the epochs are.
  """
  # Epochs are of chunks, and byte models alone may be given them. The model file records the number of steps.
  settings = settings.with_steps(task.facts.get('num_train_chunks', 0))
  if checkpoint:
    begin_resumed(checkpoint, settings, task.fingerprint)
  training, processes = settings.training, processes or Processes()
  if not task.validation(periodic=False).num_rows:
    _logger.warning('no samples are held out, so nothing will be known of how well the model compresses other files')
  mesh = device_mesh()
  micro_batches = plan_micro_batches(
    row_bytes=task.row_length * task.unit_bytes,
    batch_size=training.batch_size,
    rows_per_device=training.micro_batch_size,
    mesh=mesh,
    remat=settings.computation.remat_wanted,
    num_processes=processes.count,
    process=processes.index,
  )
  layout = Layout(mesh, sharded=settings.processes.shard_parameters)
  objective = task.objective(validating_computation(settings))
  computation = training_computation(settings, remat=micro_batches.remat)
  optimizer, schedule = make_optimizer(settings), learning_rate_schedule(settings)
  with _explained():
    state = layout.placed(_first_state(settings, task, objective, optimizer, checkpoint))
  watcher = restored_watcher(settings, checkpoint, state.params, layout.collected)
  facts = {**task.facts, 'num_parameters': sum(array.size for array in jax.tree.leaves(state.params))}
  for name, value in facts.items():
    _logger.info('%s: %d', name, value)
  say_sizes(settings, task, state)
  update = make_update(
    task.objective(computation),
    optimizer,
    layout,
    ema_decay=settings.optimizer.ema_decay,
    max_bad_steps=settings.optimizer.max_bad_steps,
    dropout_seed=training.seed if settings.computation.dropout else None,
  )
  say_costs_of_steps = functools.partial(
    say_costs,
    *(settings, task, state),
    mesh=mesh,
    micro_batches=micro_batches,
    update=update,
    stopped=stopper.is_requested if processes.count == 1 else lambda: False,
  )
  if dry:
    with _explained():
      say_costs_of_steps()
    return RunOutcome(state, None, None, is_saved=False)
  given = recorded_settings(settings)
  if processes.is_first:
    files.write_settings(toml_text(configs_of(as_begun(settings)), family=task.spec.family))
  tracker = (
    start_tracker(
      TrackedRun(
        settings.logging,
        files,
        _run_name(settings, task),
        {**given, **facts},
        wandb_id=_wandb_id(checkpoint) if files.goes_on else None,
        keep_to_step=checkpoint.step if checkpoint and files.goes_on else None,
      )
    )
    if processes.is_first
    else Tracker({})
  )
  started = time.time() - (float(checkpoint.metadata['seconds']) if checkpoint else 0.0)
  kept = checkpoint_folder(settings, files)

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
      **watcher.provenance(),
      'held_out': held_out.provenance if held_out else None,
      'settings': given,
      'facts': facts,
    }
    params = layout.collected(evaluated_params(state))
    if processes.is_first:
      _save_somewhere(files, task.trained_model(params, provenance))

  def save_checkpoint(state: TrainingState, progress: Progress, score: float | None) -> None:
    metadata = {
      'step': int(state.step),
      'settings': given,
      'data': task.fingerprint,
      'progress': list(progress),
      'score': score,
      'seconds': round(time.time() - started, 1),
      'package_version': __version__,
      **({'watched': watcher.metadata()} if watcher.is_on else {}),
      **_origin(tracker),
    }
    arrays = state_arrays(layout.collected(state), watcher.best_params)
    if processes.is_first:
      kept.save(arrays, metadata)

  exit_code = 1
  try:
    # Traces of several processes of a host would have one name.
    tracing = profiled(update, settings.logging, files) if processes.is_first else contextlib.nullcontext(update)
    with logging_redirect_tqdm(), tracing as traced:
      stopper.begin()
      with _explained():
        say_costs_of_steps()
      outcome = Trainer(
        settings=settings,
        task=task,
        micro_batches=micro_batches,
        learning_rate=lambda step: float(np.asarray(schedule(step))),
        arithmetic=training_arithmetic(
          task.objective(computation._replace(remat=False, dropout=0.0, shard_axis=None)),
          jax.eval_shape(objective.init, jax.random.key(0)),
          task.training_batch(int(state.step), [0]),
          device_kind=mesh.devices.flat[0].device_kind,
          num_devices=mesh.devices.size,
          peak_tflops=settings.logging.peak_tflops,
        ),
        update=traced,
        code_length=make_code_length(objective, layout),
        save=save,
        checkpoint=save_checkpoint,
        tracker=tracker,
        stopper=stopper,
        processes=processes,
        watcher=watcher,
      ).run(state, Progress(*checkpoint.metadata['progress']) if checkpoint else NO_PROGRESS)
      if outcome.is_saved and processes.is_first:
        held_out = outcome.held_out.provenance if outcome.held_out else None
        tracker.save_artifact(files.model, {**facts, 'held_out': held_out, 'settings': given})
      if outcome.held_out and processes.is_first:
        report_held_out(files, int(outcome.state.step), outcome.held_out.parts, tracker)
    exit_code = 0 if outcome.stopped_by is None else 128 + outcome.stopped_by
    return outcome
  finally:
    tracker.close(exit_code)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
  """Raises TrainingError where the devices fail."""
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    raise explained(error) from error


def _first_state(
  settings: TrainingSettings,
  task: Task,
  objective: Objective,
  optimizer: optax.GradientTransformation,
  checkpoint: Checkpoint | None,
) -> TrainingState:
  """The state of the checkpoint, or a new one, with random parameters or those of a model."""
  averaged = settings.optimizer.ema_decay is not None

  def new_state() -> TrainingState:
    return initial_state(objective, optimizer, seed=settings.training.seed, averaged=averaged)

  if checkpoint:
    return restored_state(checkpoint, new_state)
  if not settings.checkpoint.init_from:
    return new_state()
  params = initial_params(settings.checkpoint.init_from, task.spec)
  return new_state()._replace(params=params, opt_state=optimizer.init(params), ema=params if averaged else None)


def _run_name(settings: TrainingSettings, task: Task) -> str:
  """Name that distinguishes an experiment, e.g. speech_16bit_64x4_lr0.0001_steps1000_seed42."""
  network = task.spec.network
  kind = f'{task.label}_{network.embedding_dim}x{network.num_layers}'
  training = settings.training
  return (
    f'{settings.run.model_name}_{kind}_lr{settings.optimizer.learning_rate:g}_steps{training.steps}_seed{training.seed}'
  )


def _wandb_id(checkpoint: Checkpoint | None) -> str | None:
  """The wandb run that a resumed run goes on in."""
  return checkpoint.metadata.get('wandb', {}).get('id') if checkpoint else None


def _origin(tracker: Tracker) -> dict[str, Any]:
  """Origin of a model beside versions: the commit of the package's sources and its run at wandb, where there are."""
  origin = {'git_commit': source_commit(), **tracker.identities}
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
