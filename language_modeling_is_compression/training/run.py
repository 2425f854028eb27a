"""One training run on given streams: what is needed is put together here, and what is left is written here."""

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
from language_modeling_is_compression.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from language_modeling_is_compression.data.chunks import Chunks, Stream
from language_modeling_is_compression.errors import AudioFormatError, CheckpointError, ConfigError
from language_modeling_is_compression.model.transformer import build_transformer
from language_modeling_is_compression.tracking import TRAINING_MINIMA, Tracker, start_wandb
from language_modeling_is_compression.training.loop import Outcome, Rates, Trainer, explained
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
    if not _locked(lock.fileno()):
      raise ConfigError(f'model_name: another run is writing {outputs.model}; wait for it or choose another name')
    try:
      _set_aside((outputs.model, outputs.metrics, outputs.log))
      yield outputs
    finally:
      with contextlib.suppress(OSError):
        outputs.lock.unlink()


def train_model(
  run: RunConfig,
  data: DataConfig,
  model: ModelConfig,
  training: TrainingConfig,
  *,
  train_streams: Sequence[Stream],
  valid_streams: Sequence[Stream],
  outputs: Outputs,
  stopper: Stopper,
) -> Outcome:
  """Trains, validates, saves `outputs.model` and logs beside it.

  Raises AudioFormatError if there is nothing to train on; TrainingError and CheckpointError as `Trainer.run`.
  """
  train_chunks = Chunks(train_streams, data, training.num_chunks)
  valid_chunks = Chunks(valid_streams, data)
  if not len(train_chunks):
    raise AudioFormatError(f'{run.audio_dir}: the files to train on hold no samples')
  if not len(valid_chunks):
    _logger.warning('no samples are held out, so nothing will be known of how well the model compresses other files')
  num_tokens = max(train_chunks.max_tokens, valid_chunks.max_tokens)
  mesh = device_mesh()
  micro_batches = plan_micro_batches(
    model,
    data,
    num_tokens=num_tokens,
    batch_size=training.batch_size,
    rows_per_device=training.micro_batch_size,
    mesh=mesh,
  )
  transformer = build_transformer(model, data, recompute_layers=micro_batches.recompute_layers)
  optimizer = make_optimizer(training)
  try:
    state = initial_state(transformer, optimizer, seed=training.seed, num_tokens=num_tokens)
  except jax.errors.JaxRuntimeError as error:
    raise explained(error) from error
  facts = {
    'num_train_files': train_chunks.num_streams,
    'num_valid_files': valid_chunks.num_streams,
    'num_train_chunks': len(train_chunks),
    'num_valid_chunks': len(valid_chunks),
    'num_parameters': sum(array.size for array in jax.tree.leaves(state.params)),
  }
  for name, value in facts.items():
    _logger.info('%s: %d', name, value)
  flags = {key: value for config in (run, data, model, training) for key, value in dataclasses.asdict(config).items()}
  tracker = _start_tracker(run, data, training, outputs, {**flags, **facts})
  started = time.time()

  def save(state: TrainingState, held_out: Rates | None) -> None:
    provenance = {
      'package_version': __version__,
      'jax_version': jax.__version__,
      'device_kind': mesh.devices.flat[0].device_kind,
      'num_devices': mesh.devices.size,
      'steps': int(state.step),
      'training_seconds': round(time.time() - started, 1),
      'held_out': held_out._asdict() if held_out else None,
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
        train_chunks=train_chunks,
        valid_chunks=valid_chunks,
        num_tokens=num_tokens,
        micro_batches=micro_batches,
        learning_rate=lambda step: float(np.asarray(learning_rate_schedule(training)(step))),
        update=make_update(transformer, optimizer, mesh),
        code_length=make_code_length(transformer, mesh),
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


def default_run_name(data: DataConfig, training: TrainingConfig) -> str:
  """E.g. 8bit_block1024_chunk2048_steps1000."""
  return f'{data.sample_bits}bit_block{data.stereo_blocking_n}_chunk{data.chunk_size}_steps{training.training_steps}'


def _start_tracker(
  run: RunConfig, data: DataConfig, training: TrainingConfig, outputs: Outputs, config: Mapping[str, Any]
) -> Tracker:
  wandb_run = None
  if run.wandb_project:
    name = run.wandb_run_name or default_run_name(data, training)
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


def _locked(descriptor: int) -> bool:
  """Whether the lock could be had. It goes with the process, however that ends."""
  try:
    import fcntl
  except ImportError:  # Windows: a second run is not noticed.
    return True
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    return False
  return True
