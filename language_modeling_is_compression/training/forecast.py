"""What a run will take, said before it: steps, room on the disk, memory and time."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.system.text import duration, size
from language_modeling_is_compression.training.memory import memory_figures
from language_modeling_is_compression.training.plan import MicroBatches
from language_modeling_is_compression.training.state import TrainingState, Update, together
from language_modeling_is_compression.training.task import Task

_logger = logging.getLogger(__name__)

# A forward pass takes about a third of what a step takes with its gradients.
_FORWARD_SHARE = 1 / 3


def say_sizes(settings: TrainingSettings, task: Task, state: TrainingState, *, sound_bytes: int = 0) -> None:
  """Logs what a step and an epoch are, what figures mean, and the room that files will take.

  settings: with the number of steps. sound_bytes: of the sounds that are generated each time.
  """
  training = settings.training
  _logger.info(
    'a step: %d rows of up to %d %ss, %s in all',
    *(training.batch_size, task.row_length, task.unit, f'{training.batch_size * task.row_length:,}'),
  )
  if num_chunks := task.facts.get('num_train_chunks'):  # Rows of hybrid models are drawn, so they have no epochs.
    in_epoch = num_chunks / training.batch_size
    _logger.info('an epoch: %.4g steps; the run: %.4g epochs', in_epoch, training.steps / in_epoch)
  _say_room(settings, state, sound_bytes)
  _logger.info('%s', task.meaning)


def _say_room(settings: TrainingSettings, state: TrainingState, sound_bytes: int) -> None:
  """Logs the room that the model and its checkpoints take, and warns if there is less."""
  model, checkpoint = (sum(leaf.nbytes for leaf in jax.tree.leaves(part)) for part in (state.params, state))
  if settings.saves_best:
    checkpoint += model  # The best parameters, beside those of the step.
  kept = settings.checkpoint.max_checkpoints + (settings.checkpoint.checkpoint_policy == 'best')
  folder = Path(settings.run.output_dir)
  there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
  try:
    free = shutil.disk_usage(there).free
  except OSError as error:
    _logger.warning('%s: cannot read its free space: %s', there, error.strerror)
    return
  _logger.info(
    'disk: model %s, %d checkpoint(s) of %s each; %s are free in %s',
    *(size(model), kept, size(checkpoint), size(free), folder),
  )
  needed = 2 * model + (kept + 1) * checkpoint  # The one before stays until the next one is whole.
  what = 'the model and its checkpoints'
  if sound_bytes:
    every, first = settings.generation.every, int(state.step)
    sounds = sound_bytes * (settings.training.steps // every - first // every)
    _logger.info('disk: sounds that are generated %s', size(sounds))
    needed += sounds
    what = 'the model, its checkpoints and sounds'
  if needed > free:
    _logger.warning('%s: %s will take %s, and %s are free', folder, what, size(needed), size(free))


def say_costs(
  settings: TrainingSettings,
  task: Task,
  state: TrainingState,
  *,
  mesh: Mesh,
  micro_batches: MicroBatches,
  update: Update,
  stopped: Callable[[], bool],
) -> None:
  """Compiles the step, and logs the memory and the time that it takes, and the time of the run.

  One or two of its micro-batches are tried on its own data; that changes nothing. Nothing more is said once
  `stopped()`. Raises what JAX raises if memory runs out.
  """
  first = int(state.step)
  _logger.info('compiling the training step, once per run')
  if settings.training.steps == first:
    return
  batch = micro_batches.arrange(task.training_batch(first, micro_batches.own(settings.training.batch_size)))
  planned = update.memory(state, batch)
  if planned is not None:
    _logger.info(
      'memory: %s on each of %d device(s), by plan of the compiler, beside the program',
      size(planned),
      mesh.devices.size,
    )
  count = micro_batches.count
  few: Any = jax.tree.map(lambda array: array[: together(count)], batch)
  seconds = 0.0
  for _ in range(2):  # The first time it is compiled.
    started = time.monotonic()
    updated = update(state, few, stopped)
    if updated is None:
      return
    jax.block_until_ready(updated)
    seconds = (time.monotonic() - started) * count / together(count)
  if peak := memory_figures(jax.local_devices()).get('device_memory_peak_bytes'):
    _logger.info('memory: %s were in use at most while it was tried', size(peak))
  steps = settings.training.steps - first
  _logger.info(
    'time: a step takes about %s, the %d steps and validations of the run about %s',
    *(duration(seconds), steps, duration(steps * seconds + _validation_seconds(settings, task, first, seconds))),
  )


def _validation_seconds(settings: TrainingSettings, task: Task, first: int, step_seconds: float) -> float:
  """Estimate for all validations of a run that begins behind `first` steps."""
  training = settings.training
  rows = task.validation(periodic=False).num_rows
  if training.validate_every:
    count = (training.steps - 1) // training.validate_every - first // training.validate_every
    rows += count * task.validation(periodic=True).num_rows
  return rows * step_seconds / training.batch_size * _FORWARD_SHARE
