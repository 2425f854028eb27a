"""What steps are computed with, put together from settings and a task, for runs and for sweeps of the learning rate."""

from typing import NamedTuple

import optax

from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.network.computation import Computation
from language_modeling_is_compression.training.layout import Layout, device_mesh
from language_modeling_is_compression.training.objectives import Objective
from language_modeling_is_compression.training.optimizer import make_optimizer
from language_modeling_is_compression.training.plan import MicroBatches, plan_micro_batches
from language_modeling_is_compression.training.processes import Processes
from language_modeling_is_compression.training.state import Update, make_update
from language_modeling_is_compression.training.task import Task, training_computation, validating_computation


class Setup(NamedTuple):
  """layout: of arrays over the devices of all processes. micro_batches: that a batch is cut into.

  objective: as it is measured, in float32, of which a run's first parameters are too. computation: how it is trained.
  optimizer, update: of a step.
  """

  layout: Layout
  micro_batches: MicroBatches
  objective: Objective
  computation: Computation
  optimizer: optax.GradientTransformation
  update: Update


def set_up(
  settings: TrainingSettings, task: Task, processes: Processes, schedule: optax.Schedule | None = None
) -> Setup:
  """The setup of one of the processes of a run. schedule: of the learning rate, in place of what the settings say."""
  training, mesh = settings.training, device_mesh()
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
  computation = training_computation(settings, remat=micro_batches.remat)
  optimizer = make_optimizer(settings, schedule)
  update = make_update(
    task.objective(computation),
    optimizer,
    layout,
    ema_decay=settings.optimizer.ema_decay,
    max_bad_steps=settings.optimizer.max_bad_steps,
    dropout_seed=training.seed if settings.computation.dropout else None,
  )
  objective = task.objective(validating_computation(settings))
  return Setup(layout, micro_batches, objective, computation, optimizer, update)
