"""Plan of micro-batches: a batch is cut so that a step fits the devices' memory, and laid over the devices."""

import logging
import math
from dataclasses import dataclass
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from language_modeling_is_compression.config.options import ModelConfig
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.training.objectives import Rows

_logger = logging.getLogger(__name__)

AnyRows = TypeVar('AnyRows', bound=Rows)

# Activations on a host, for all its cores: more is no faster, since rows are processed one by one.
_CPU_ACTIVATION_BYTES = 1 << 30
# Share of micro-batches: with the default flags one is half a second's work, so that a signal is soon heeded.
_CPU_SLICE_BYTES = 1 << 28
# Share of an accelerator's memory; the rest is for parameters, gradients, the optimizer and the compiler.
_ACCELERATOR_FRACTION = 0.35
_FALLBACK_ACCELERATOR_BYTES = 4 << 30


@dataclass(frozen=True, kw_only=True)
class MicroBatches:
  """count micro-batches of rows rows each over all devices; count * rows >= batch_size.

  remat: even one row is too large to keep all that the backward pass reads. num_processes, process: of the run, and
  this one, which has as many of the rows of each micro-batch as every other one.
  """

  count: int
  rows: int
  remat: bool
  num_processes: int = 1
  process: int = 0

  @property
  def own_rows(self) -> int:
    """Rows of a micro-batch that this process has."""
    return self.rows // self.num_processes

  def own(self, batch_size: int) -> list[int]:
    """Numbers of the rows of a batch, of batch_size, that this process has."""
    first = self.process * self.own_rows
    return [
      row
      for start in range(first, self.count * self.rows, self.rows)
      for row in range(start, start + self.own_rows)
      if row < batch_size
    ]

  def arrange(self, batch: AnyRows) -> AnyRows:
    """Arrays [N, ...] of this process's rows of a batch as [count, own_rows, ...].

    Rows that are added are zero, so their length is; they are the last ones of a batch.
    """

    def cut(array: np.ndarray) -> np.ndarray:
      missing = self.count * self.own_rows - len(array)
      padded = np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
      return padded.reshape(self.count, self.own_rows, *array.shape[1:])

    return jax.tree.map(cut, batch)


def use_all_cores() -> None:
  """Makes each processor core a JAX device, unless the user's environment says how many; accelerators are not touched.

  Rows of a batch are independent, and on a CPU one thread per row beats many threads in one row.
  """
  if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]
    jax.config.update('jax_num_cpu_devices', usable_cores())


def plan_micro_batches(
  *,
  row_bytes: int,
  batch_size: int,
  rows_per_device: int | None,
  mesh: Mesh,
  remat: bool | None = None,
  num_processes: int = 1,
  process: int = 0,
) -> MicroBatches:
  """As few micro-batches as fit, all of the same size.

  row_bytes: estimate of what the backward pass keeps for a row. rows_per_device: fixed by the user, or None to choose.
  remat: chosen by the user, or None for where a row would not fit otherwise.
  The choice depends on the configuration and the machine, never on what happens to be free: another cut would add up
  floats in another order.
  """
  num_devices = mesh.devices.size
  budget = _activation_bytes(mesh, num_processes)
  fitting = rows_per_device or max(1, int(min(budget, _slice_bytes(mesh, num_processes)) // row_bytes))
  count = -(-batch_size // (fitting * num_devices))
  rows = -(-batch_size // (count * num_devices)) * num_devices
  plan = MicroBatches(
    count=count,
    rows=rows,
    remat=rows // num_devices * row_bytes > budget if remat is None else remat,
    num_processes=num_processes,
    process=process,
  )
  _logger.info(
    '%d device(s) of kind %s, %d micro-batch(es) of %d rows%s',
    num_devices,
    mesh.devices.flat[0].device_kind,
    plan.count,
    plan.rows,
    ', layers recomputed' if plan.remat else '',
  )
  return plan


def _activation_bytes(mesh: Mesh, num_processes: int) -> float:
  """Memory of one device that activations may take."""
  device = mesh.devices.flat[0]
  if device.platform == 'cpu':
    return _CPU_ACTIVATION_BYTES * num_processes / mesh.devices.size
  limit = (device.memory_stats() or {}).get('bytes_limit')
  return limit * _ACCELERATOR_FRACTION if limit else _FALLBACK_ACCELERATOR_BYTES


def _slice_bytes(mesh: Mesh, num_processes: int) -> float:
  """Limit of a micro-batch's activations on one device, however much memory there is."""
  is_cpu = mesh.devices.flat[0].platform == 'cpu'
  return _CPU_SLICE_BYTES * num_processes / mesh.devices.size if is_cpu else math.inf


def activation_bytes(network: ModelConfig, others: int) -> int:
  """Estimate of the bytes that the backward pass keeps for one token or sample, in float32, from the layers' shapes.

  A layer keeps about ten arrays of width embedding_dim and three of the feed-forward width. others: numbers that are
  kept before and behind the layers.
  """
  per_layer = network.embedding_dim * (10 + 3 * network.widening_factor)
  return 4 * (network.num_layers * per_layer + others)
