"""Plan of micro-batches: a batch is cut so that a step fits the devices' memory, and laid over the devices."""

import logging
import math
from dataclasses import dataclass
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from language_modeling_is_compression.config.options import ModelConfig
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.training.objectives import Rows

DEVICE_AXIS = 'devices'

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

  remat: even one row is too large to keep all that the backward pass reads.
  """

  count: int
  rows: int
  remat: bool

  def arrange(self, batch: AnyRows) -> AnyRows:
    """A batch's arrays [B, ...] as [count, rows, ...]; the rows that are added are zero, so their length is."""

    def cut(array: np.ndarray) -> np.ndarray:
      missing = self.count * self.rows - len(array)
      padded = np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
      return padded.reshape(self.count, self.rows, *array.shape[1:])

    return jax.tree.map(cut, batch)


def device_mesh() -> Mesh:
  """All local devices in one axis."""
  devices = jax.local_devices()
  return jax.make_mesh((len(devices),), (DEVICE_AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def use_all_cores() -> None:
  """Makes each processor core a JAX device, unless the user's environment says how many; accelerators are not touched.

  Rows of a batch are independent, and on a CPU one thread per row beats many threads in one row.
  """
  if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]
    jax.config.update('jax_num_cpu_devices', usable_cores())


def plan_micro_batches(*, row_bytes: int, batch_size: int, rows_per_device: int | None, mesh: Mesh) -> MicroBatches:
  """As few micro-batches as fit, all of the same size.

  row_bytes: estimate of what the backward pass keeps for a row. rows_per_device: fixed by the user, or None to choose.
  The choice depends on the configuration and the machine, never on what happens to be free: another cut would add up
  floats in another order.
  """
  num_devices = mesh.devices.size
  budget = _activation_bytes(mesh)
  fitting = rows_per_device or max(1, int(min(budget, _slice_bytes(mesh)) // row_bytes))
  count = -(-batch_size // (fitting * num_devices))
  rows = -(-batch_size // (count * num_devices)) * num_devices
  plan = MicroBatches(count=count, rows=rows, remat=rows // num_devices * row_bytes > budget)
  _logger.info(
    '%d device(s) of kind %s, %d micro-batch(es) of %d rows%s',
    num_devices,
    mesh.devices.flat[0].device_kind,
    plan.count,
    plan.rows,
    ', layers recomputed' if plan.remat else '',
  )
  return plan


def _activation_bytes(mesh: Mesh) -> float:
  """Memory of one device that activations may take."""
  device = mesh.devices.flat[0]
  if device.platform == 'cpu':
    return _CPU_ACTIVATION_BYTES / mesh.devices.size
  limit = (device.memory_stats() or {}).get('bytes_limit')
  return limit * _ACCELERATOR_FRACTION if limit else _FALLBACK_ACCELERATOR_BYTES


def _slice_bytes(mesh: Mesh) -> float:
  """Limit of a micro-batch's activations on one device, however much memory there is."""
  return _CPU_SLICE_BYTES / mesh.devices.size if mesh.devices.flat[0].platform == 'cpu' else math.inf


def activation_bytes(network: ModelConfig, others: int) -> int:
  """Estimate of the bytes that the backward pass keeps for one token or sample, in float32, from the layers' shapes.

  A layer keeps about ten arrays of width embedding_dim and three of the feed-forward width. others: numbers that are
  kept before and behind the layers.
  """
  per_layer = network.embedding_dim * (10 + 3 * network.widening_factor)
  return 4 * (network.num_layers * per_layer + others)
