"""One training run on given material: what is needed is put together here, and what is left is written here."""

import contextlib
import dataclasses
import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm.contrib.logging import logging_redirect_tqdm

from language_modeling_is_compression import __version__
from language_modeling_is_compression.checkpoint import Model, save_model
from language_modeling_is_compression.config import RunConfig, TrainingConfig
from language_modeling_is_compression.errors import CheckpointError, ConfigError
from language_modeling_is_compression.files import locked
from language_modeling_is_compression.tracking import TRAINING_MINIMA, Tracker, start_wandb
from language_modeling_is_compression.training.loop import Outcome, Trainer, explained
from language_modeling_is_compression.training.material import Material, Measured
from language_modeling_is_compression.training.optimizer import learning_rate_schedule, make_optimizer
from language_modeling_is_compression.training.plan import device_mesh, plan_micro_batches
from language_modeling_is_compression.training.state import (
  TrainingState,
  initial_state,
  make_code_length,
  make_update,
)
from language_modeling_is_compression.training.stopper import Stopper

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outputs:
  """The files of a run, all in output_dir and named after the model."""

  model: Path
  metrics: Path
  log: Path
  lock: Path

  @classmethod
  def of(cls, config: RunConfig) -> 'Outputs':
    folder, name = Path(config.output_dir), config.model_name
    return cls(
      model=folder / f'{name}.npz',
      metrics=folder / f'{name}_metrics.jsonl',
      log=folder / f'{name}_training.log',
      lock=folder / f'.{name}.lock',
    )


@contextlib.contextmanager
def claimed_outputs(config: RunConfig) -> Iterator[Outputs]:
  """Makes the output folder and holds its files against a second run; files of an earlier run become NAME.previous.

  Raises ConfigError if the folder cannot be written, or if another run is writing the same files.
  """
  outputs = Outputs.of(config)
  try:
    outputs.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = open(outputs.lock, 'a')  # noqa: SIM115 (it stays open as long as the run)
  except OSError as error:
    raise ConfigError(f'output_dir: {outputs.lock.parent} cannot be written: {error.strerror}') from error
  with lock:
    if not locked(lock):
      raise ConfigError(f'model_name: another run is writing {outputs.model}; wait for it or choose another name')
    try:
      _set_aside((outputs.model, outputs.metrics, outputs.log))
      yield outputs
    finally:
      with contextlib.suppress(OSError):
        outputs.lock.unlink()


def train_model(
  run: RunConfig, training: TrainingConfig, material: Material, *, outputs: Outputs, stopper: Stopper
) -> Outcome:
  """Trains, validates, saves `outputs.model` and logs beside it.

  Raises TrainingError and CheckpointError as `Trainer.run`.
  """
  model, data = material.model_config, material.data_config
  if not material.validation(periodic=False).num_rows:
    _logger.warning('no samples are held out, so nothing will be known of how well the model compresses other files')
  mesh = device_mesh()
  micro_batches = plan_micro_batches(
    model,
    data,
    num_tokens=material.row_length,
    batch_size=training.batch_size,
    rows_per_device=training.micro_batch_size,
    mesh=mesh,
  )
  objective = material.objective(recompute_layers=micro_batches.recompute_layers)
  optimizer = make_optimizer(training)
  try:
    state = initial_state(objective, optimizer, seed=training.seed)
  except jax.errors.JaxRuntimeError as error:
    raise explained(error) from error
  facts = {**material.facts, 'num_parameters': sum(array.size for array in jax.tree.leaves(state.params))}
  for name, value in facts.items():
    _logger.info('%s: %d', name, value)
  configs = [dataclasses.asdict(config) for config in (run, model, training)]
  flags = {key: value for config in (*configs, material.settings) for key, value in config.items()}
  tracker = _start_tracker(run, material.run_name(training.training_steps), outputs, {**flags, **facts})
  started = time.time()

  def save(state: TrainingState, held_out: Measured | None) -> None:
    provenance = {
      **material.provenance,
      'package_version': __version__,
      'jax_version': jax.__version__,
      'device_kind': mesh.devices.flat[0].device_kind,
      'num_devices': mesh.devices.size,
      'steps': int(state.step),
      'training_seconds': round(time.time() - started, 1),
      'held_out': held_out.provenance if held_out else None,
      'settings': {**flags, **facts},
    }
    params = jax.tree.map(np.asarray, state.params)
    trained = Model(params=params, model_config=model, data_config=data, provenance=provenance)
    _save_somewhere(outputs.model, trained)

  exit_code = 1
  try:
    with logging_redirect_tqdm():
      stopper.begin()
      outcome = Trainer(
        config=training,
        material=material,
        micro_batches=micro_batches,
        learning_rate=lambda step: float(np.asarray(learning_rate_schedule(training)(step))),
        update=make_update(objective, optimizer, mesh),
        code_length=make_code_length(objective, mesh),
        save=save,
        tracker=tracker,
        stopper=stopper,
        show_progress=not run.no_progress,
      ).run(state)
      tracker.save_artifact(outputs.model, facts)
    exit_code = 0 if outcome.stopped_by is None else 128 + outcome.stopped_by
    return outcome
  finally:
    tracker.close(exit_code)


def _start_tracker(run: RunConfig, default_name: str, outputs: Outputs, config: Mapping[str, Any]) -> Tracker:
  wandb_run = None
  if run.wandb_project:
    name = run.wandb_run_name or default_name
    wandb_run = start_wandb(run.wandb_project, name, outputs.model.parent, config, minima=TRAINING_MINIMA)
  return Tracker(outputs.metrics, wandb_run)


def _set_aside(paths: Sequence[Path]) -> None:
  for path in paths:
    if path.exists():
      previous = path.with_name(path.name + '.previous')
      try:
        path.replace(previous)
      except OSError as error:
        raise ConfigError(f'model_name: {path} cannot become {previous.name}: {error.strerror}') from error


def _save_somewhere(path: Path, model: Model) -> None:
  """Saves a model, in the system's temporary folder if it cannot be written where it belongs.

  Raises CheckpointError in both cases of failure; it says where the model is.
  """
  try:
    save_model(path, model)
  except CheckpointError as error:
    try:
      refuge = Path(tempfile.mkdtemp(prefix='audio_model_'), path.name)
    except OSError:
      raise error from None
    try:
      save_model(refuge, model)
    except CheckpointError:
      with contextlib.suppress(OSError):
        refuge.parent.rmdir()
      raise error from None
    raise CheckpointError(f'{error}; the model is in {refuge} instead') from error
