"""Number of processor cores that this process may use."""

import os


def usable_cores() -> int:
  """Cores that the process is allowed to run on, at least 1; all of the machine's where the system does not say."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
