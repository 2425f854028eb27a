"""Memory that devices have in use, where their backend counts it."""

from collections.abc import Mapping, Sequence

import jax


def memory_figures(devices: Sequence[jax.Device]) -> Mapping[str, float]:
  """Bytes in use, now and at most since the process began, of the device that has most; CPUs count none."""
  stats = [device.memory_stats() or {} for device in devices]
  names = {'device_memory_bytes': 'bytes_in_use', 'device_memory_peak_bytes': 'peak_bytes_in_use'}
  return {
    name: max(each[counter] for each in stats)
    for name, counter in names.items()
    if all(counter in each for each in stats)
  }
