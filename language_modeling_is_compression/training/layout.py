"""Layout of a run's arrays over the devices of all its processes.

Shapes: D devices of all processes, L of this one; M micro-batches of R rows over all devices.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DEVICE_AXIS = 'devices'
ROWS = PartitionSpec(None, DEVICE_AXIS)  # Batches [M, R, ...]: each device has its share of R.
BY_DEVICE = PartitionSpec(DEVICE_AXIS)  # Sums [D, ...].
EVERYWHERE = PartitionSpec()

_Tree = TypeVar('_Tree')


def device_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """All devices of all processes in one axis, those of a process side by side; devices: these instead."""
  chosen = sorted(jax.devices() if devices is None else devices, key=lambda device: (device.process_index, device.id))
  return Mesh(np.array(chosen), (DEVICE_AXIS,), axis_types=(AxisType.Auto,))


class Layout:
  """Places of arrays. sharded: each device has a share of every large array of a state, not all of it (FSDP)."""

  def __init__(self, mesh: Mesh, *, sharded: bool = False):
    self.mesh = mesh
    self.sharded = sharded
    self._num_local = sum(device.process_index == jax.process_index() for device in mesh.devices.flat)

  @property
  def num_devices(self) -> int:
    return self.mesh.devices.size

  @property
  def is_cpu(self) -> bool:
    return self.mesh.devices.flat[0].platform == 'cpu'

  def cut_axis(self, shape: Sequence[int]) -> int | None:
    """The axis that an array of a state is sharded over: the longest one that can be cut evenly; None for none.

    It depends on the shape alone, so what an optimizer keeps of a parameter lies where the parameter does.
    """
    if not self.sharded or len(shape) < 2:
      return None
    fitting = [axis for axis, size in enumerate(shape) if size and size % self.num_devices == 0]
    return max(fitting, key=lambda axis: shape[axis], default=None)

  def specs(self, tree: Any) -> Any:
    """The PartitionSpec of each array of a state, or of what stands for its shape."""
    return jax.tree.map(lambda leaf: self._spec(np.shape(leaf)), tree)

  def shardings(self, tree: Any) -> Any:
    """The same as shardings."""
    return jax.tree.map(lambda leaf: NamedSharding(self.mesh, self._spec(np.shape(leaf))), tree)

  def placed(self, state: _Tree) -> _Tree:
    """A state where it belongs. Every process gives the same one, or one that lies there already."""
    shardings = self.shardings(state)
    if jax.process_count() == 1:
      return jax.device_put(state, shardings)
    return jax.tree.map(_placed, state, shardings)

  def device_bytes(self, tree: Any) -> int:
    """Bytes that arrays of a state take on a device."""
    return sum(
      leaf.nbytes // (1 if self.cut_axis(leaf.shape) is None else self.num_devices) for leaf in jax.tree.leaves(tree)
    )

  def rows(self, batch: _Tree) -> _Tree:
    """Micro-batches [M, R, ...] over all devices, of each process's own rows of them, [M, R * L / D, ...]."""
    sharding = NamedSharding(self.mesh, ROWS)
    return jax.tree.map(lambda array: jax.make_array_from_process_local_data(sharding, array), batch)

  def counts(self, count: int) -> jax.Array:
    """int32 [D] whose sum is that of the processes' counts."""
    local = np.zeros(self._num_local, np.int32)
    local[0] = count
    return jax.make_array_from_process_local_data(NamedSharding(self.mesh, BY_DEVICE), local)

  def collected(self, tree: Any) -> Any:
    """Arrays of a state as whole NumPy arrays, in every process; all of them have to ask."""
    return jax.tree.map(self._collected, tree)

  def _spec(self, shape: Sequence[int]) -> PartitionSpec:
    axis = self.cut_axis(shape)
    return EVERYWHERE if axis is None else PartitionSpec(*[None] * axis, DEVICE_AXIS)

  def _collected(self, leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable and not leaf.is_fully_replicated:
      # One at a time: all of them at once may be more than a device holds.
      leaf = jax.jit(lambda array: array, out_shardings=NamedSharding(self.mesh, EVERYWHERE))(leaf)
    return np.asarray(leaf)


def _placed(leaf: Any, sharding: NamedSharding) -> jax.Array:
  if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
    return leaf
  whole = np.asarray(leaf)
  return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])
