"""Training run on a given task: puts together what is needed, and writes what is left."""

import contextlib
import functools
import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm.contrib.logging import logging_redirect_tqdm

from language_modeling_is_compression.config.options import TrainingSettings, as_begun, recorded_settings
from language_modeling_is_compression.config.plugins import loaded_plugins
from language_modeling_is_compression.config.settings import configs_of
from language_modeling_is_compression.config.toml_text import toml_text
from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.training.checkpoints import Checkpoint
from language_modeling_is_compression.training.flops import Arithmetic, training_arithmetic
from language_modeling_is_compression.training.forecast import say_costs, say_sizes
from language_modeling_is_compression.training.held_out import report_held_out
from language_modeling_is_compression.training.layout import Layout
from language_modeling_is_compression.training.loop import NO_PROGRESS, Progress, RunOutcome, Trainer
from language_modeling_is_compression.training.optimizer import learning_rate_schedule
from language_modeling_is_compression.training.origin import source_commit
from language_modeling_is_compression.training.processes import Processes
from language_modeling_is_compression.training.profiling import profiled
from language_modeling_is_compression.training.resume import (
  begin_resumed,
  checkpoint_folder,
  first_state,
  restored_watcher,
  state_arrays,
)
from language_modeling_is_compression.training.run_files import RunFiles
from language_modeling_is_compression.training.setup import Setup, set_up
from language_modeling_is_compression.training.sounds import Sounds, planned_sounds
from language_modeling_is_compression.training.state import TrainingState, evaluated_params, make_code_length
from language_modeling_is_compression.training.stopper import Stopper
from language_modeling_is_compression.training.task import Task, ValidationResult
from language_modeling_is_compression.training.tracking import TrackedRun, Tracker, start_tracker
from language_modeling_is_compression.training.watcher import Watcher
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
  of another network or other data, if the schedule does not fit into as many steps as the epochs are, or if the model
  cannot generate sound that is asked for.
  """
  # Epochs are of chunks, and byte models alone may be given them. The model file records the number of steps.
  settings = settings.with_steps(task.facts.get('num_train_chunks', 0))
  if checkpoint:
    begin_resumed(checkpoint, settings, task.fingerprint)
  processes = processes or Processes()
  if not task.validation(periodic=False).num_rows:
    _logger.warning('no samples are held out, so nothing will be known of how well the model compresses other files')
  setup = set_up(settings, task, processes)
  with processes.explaining():
    state = setup.layout.placed(first_state(settings, task, setup.objective, setup.optimizer, checkpoint))
  facts = {**task.facts, 'num_parameters': sum(array.size for array in jax.tree.leaves(state.params))}
  for name, value in facts.items():
    _logger.info('%s: %d', name, value)
  sounds = planned_sounds(settings, task)
  say_sizes(settings, task, state, sound_bytes=sum(sound.num_bytes for sound in sounds))
  say_costs_of_steps = functools.partial(
    say_costs,
    *(settings, task, state),
    mesh=setup.layout.mesh,
    micro_batches=setup.micro_batches,
    update=setup.update,
    stopped=stopper.is_requested if processes.count == 1 else lambda: False,
  )
  if dry:
    with processes.explaining():
      say_costs_of_steps()
    return RunOutcome(state, None, None, is_saved=False)
  watcher = restored_watcher(settings, checkpoint, state.params, setup.layout.collected)
  given = recorded_settings(settings)
  if processes.is_first:
    files.write_settings(toml_text(configs_of(as_begun(settings)), family=task.spec.family))
    tracker = start_tracker(
      TrackedRun(
        settings.logging,
        files,
        _run_name(settings, task),
        {**given, **facts},
        wandb_id=_wandb_id(checkpoint) if files.goes_on else None,
        keep_to_step=checkpoint.step if checkpoint and files.goes_on else None,
      )
    )
  else:
    tracker = Tracker({})
  saver = _Saver(settings, task, files, facts, setup.layout, processes, watcher, tracker, checkpoint)
  listening = Sounds(
    sounds,
    settings,
    lambda params: task.trained_model(params, task.provenance),
    files=files,
    tracker=tracker,
    is_first=processes.is_first,
  )
  profiling = settings.logging if processes.is_first else replace(settings.logging, profile=0)
  exit_code = 1
  try:
    with logging_redirect_tqdm(), profiled(setup.update, profiling, files) as traced:
      stopper.begin()
      with processes.explaining():
        say_costs_of_steps()
      schedule = learning_rate_schedule(settings)
      outcome = Trainer(
        settings=settings,
        task=task,
        micro_batches=setup.micro_batches,
        learning_rate=lambda step: float(np.asarray(schedule(step))),
        arithmetic=_arithmetic(settings, task, setup, state),
        update=traced,
        code_length=make_code_length(setup.objective, setup.layout),
        save=saver.save_model,
        checkpoint=saver.save_checkpoint,
        tracker=tracker,
        stopper=stopper,
        processes=processes,
        watcher=watcher,
        sounds_due=listening.is_due,
        generate=lambda state, is_over: listening.generate(
          int(state.step), setup.layout.collected(evaluated_params(state)), is_over
        ),
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


class _Saver:
  """Saves a run's model and checkpoints, with all that they say beside parameters.

  All processes have to ask, since parameters may be shared out; the first of them writes. checkpoint: what the run goes
  on from.
  """

  def __init__(
    self,
    settings: TrainingSettings,
    task: Task,
    files: RunFiles,
    facts: Mapping[str, int],
    layout: Layout,
    processes: Processes,
    watcher: Watcher,
    tracker: Tracker,
    checkpoint: Checkpoint | None,
  ):
    self._task, self._files, self._facts = task, files, facts
    self._layout, self._is_first = layout, processes.is_first
    self._watcher, self._tracker = watcher, tracker
    self._given = recorded_settings(settings)
    self._folder = checkpoint_folder(settings, files)
    self._started = time.time() - (float(checkpoint.metadata['seconds']) if checkpoint else 0.0)

  def save_model(self, state: TrainingState, held_out: ValidationResult | None) -> None:
    """Saves the model of a state, with its held-out figures if they are known. Raises CheckpointError."""
    devices = self._layout.mesh.devices
    provenance = {
      **self._task.provenance,
      **_origin(self._tracker),
      'package_version': __version__,
      'jax_version': jax.__version__,
      'device_kind': devices.flat[0].device_kind,
      'num_devices': devices.size,
      'steps': int(state.step),
      'training_seconds': self._seconds(),
      **self._watcher.provenance(),
      'held_out': held_out.provenance if held_out else None,
      'settings': self._given,
      'facts': self._facts,
    }
    params = self._layout.collected(evaluated_params(state))
    if self._is_first:
      _save_somewhere(self._files, self._task.trained_model(params, provenance))

  def save_checkpoint(self, state: TrainingState, progress: Progress, score: float | None) -> None:
    """Saves what a run goes on from. score: of a validation of this state, if there was one. Raises CheckpointError."""
    metadata = {
      'step': int(state.step),
      'settings': self._given,
      'data': self._task.fingerprint,
      'progress': list(progress),
      'score': score,
      'seconds': self._seconds(),
      'package_version': __version__,
      **({'watched': self._watcher.metadata()} if self._watcher.is_on else {}),
      **_origin(self._tracker),
    }
    arrays = state_arrays(self._layout.collected(state), self._watcher.best_params)
    if self._is_first:
      self._folder.save(arrays, metadata)

  def _seconds(self) -> float:
    """Time that the run has taken so far, from its beginning."""
    return round(time.time() - self._started, 1)


def _arithmetic(settings: TrainingSettings, task: Task, setup: Setup, state: TrainingState) -> Arithmetic:
  """What a token costs in training: without what saves memory, noise and transfers, which are no part of it."""
  devices = setup.layout.mesh.devices
  return training_arithmetic(
    task.objective(setup.computation._replace(remat=False, dropout=0.0, shard_axis=None)),
    jax.eval_shape(setup.objective.init, jax.random.key(0)),
    task.training_batch(int(state.step), [0]),
    device_kind=devices.flat[0].device_kind,
    num_devices=devices.size,
    peak_tflops=settings.logging.peak_tflops,
  )


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
  """Origin of a model beside versions: the sources' commit, plugins, and what loggers call the run, where there are."""
  origin = {'git_commit': source_commit(), 'plugins': loaded_plugins(), **tracker.identities}
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
