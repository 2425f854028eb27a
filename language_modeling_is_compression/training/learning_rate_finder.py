"""A sweep of the learning rate: a few steps, each with a higher rate than the one before, and what their losses say."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax

from language_modeling_is_compression.config.options import FinderConfig, TrainingSettings
from language_modeling_is_compression.errors import TrainingError
from language_modeling_is_compression.system.files import replacing
from language_modeling_is_compression.system.progress import progress_bar
from language_modeling_is_compression.training.processes import Processes
from language_modeling_is_compression.training.resume import first_state
from language_modeling_is_compression.training.setup import set_up
from language_modeling_is_compression.training.stopper import Stopper
from language_modeling_is_compression.training.task import Task

_logger = logging.getLogger(__name__)

_SMOOTHING = 0.9  # Decay of the mean over steps.
_DIVERGED = 2.0  # A smoothed loss of so many times the lowest one ends the sweep.
_FEWEST_STEPS = 10  # Of which a suggestion is made.
SUGGESTED_SHARE = 0.1  # Of the rate at which the smoothed loss is lowest.


class Point(NamedTuple):
  """One step of a sweep. loss, smoothed: nats per token or sample."""

  step: int
  learning_rate: float
  loss: float
  smoothed: float


def rate_at(step: Any, config: FinderConfig) -> Any:
  """The rate of a step, a number or one that JAX traces, counted from 0: the same factor from each to the next."""
  progress = step / max(1, config.steps - 1)
  return config.low * (config.high / config.low) ** progress


def smoothed(losses: Sequence[float]) -> list[float]:
  """Exponential means, corrected for their beginning."""
  means, mean = [], 0.0
  for index, loss in enumerate(losses):
    mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
    means.append(mean / (1 - _SMOOTHING ** (index + 1)))
  return means


def has_diverged(losses: Sequence[float]) -> bool:
  """Whether going on would tell nothing more."""
  if not math.isfinite(losses[-1]):
    return True
  means = smoothed(losses)
  return len(means) >= _FEWEST_STEPS and means[-1] > _DIVERGED * min(means)


def lowest(points: Sequence[Point]) -> Point:
  """The point at which the smoothed loss is lowest."""
  return min(points, key=lambda point: point.smoothed)


def suggested_rate(points: Sequence[Point]) -> float | None:
  """A tenth of the rate at which the smoothed loss is lowest.

  From there on steps are too large, and before it by how much they can be made is not known; a tenth leaves room for
  a loss that is harder to lower later. None if the loss never came down, or there are too few points.
  """
  if len(points) < _FEWEST_STEPS or lowest(points) is points[0]:
    return None
  return SUGGESTED_SHARE * lowest(points).learning_rate


def write_points(path: Path, points: Sequence[Point]) -> None:
  """Writes a table, CSV, with a column for each field. Raises OSError."""
  with replacing(path) as file:
    rows = [','.join(Point._fields), *(','.join(map(repr, point)) for point in points)]
    file.write(('\n'.join(rows) + '\n').encode())


def sweep(settings: TrainingSettings, task: Task, stopper: Stopper) -> list[Point]:
  """Trains for as many steps as the settings say, or until the loss diverges or the stopper asks for an end.

  The schedule, the moving average and validations have no part in it. Raises TrainingError if not one step is finite.
  """
  config, alone = settings.finder, Processes()
  plain = replace(settings, optimizer=replace(settings.optimizer, ema_decay=None, max_bad_steps=0))
  setup = set_up(plain, task, alone, lambda step: rate_at(step, config))
  micro_batches = setup.micro_batches
  rows = micro_batches.own(settings.training.batch_size)
  losses: list[float] = []
  stopper.begin()
  shown = not settings.logging.no_progress
  with alone.explaining(), progress_bar(total=config.steps, unit='step', shown=shown) as bar:
    state = first_state(plain, task, setup.objective, setup.optimizer)
    for step in range(config.steps):
      updated = setup.update(state, micro_batches.arrange(task.training_batch(step, rows)), stopper.is_requested)
      if updated is None:
        break
      state, metrics = updated
      losses.append(float(jax.device_get(metrics.loss_nats)))
      bar.update()
      if not bool(metrics.finite) or has_diverged(losses):
        _logger.info('the loss diverges at a learning rate of %.3g', rate_at(step, config))
        break
  finite = [loss for loss in losses if math.isfinite(loss)]
  if not finite and stopper.signal is None:
    raise TrainingError('the first step is not finite; try a lower --find_from')
  means = smoothed(finite)
  return [
    Point(step + 1, rate_at(step, config), loss, mean)
    for step, (loss, mean) in enumerate(zip(finite, means, strict=True))
  ]
