"""The processes of a run, each with devices of its own: how they find one another, agree, and end together."""

import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from language_modeling_is_compression.config.options import ProcessesConfig
from language_modeling_is_compression.errors import ConfigError, TrainingError
from language_modeling_is_compression.system.files import remove_unfinished
from language_modeling_is_compression.system.interrupts import end_process

_logger = logging.getLogger(__name__)

# A process is missed after so long where nothing is asked of it meanwhile, as before training, or where its host
# vanished without a word; one that is killed while it trains is missed at once.
_HEARTBEAT_SECONDS = 60
_JOIN_SECONDS = 300
_LEAVE_SECONDS = 3600  # The first process may still be writing a large model, for which the others wait.
LOST = 'another process of the run has ended, its own messages say why; --resume goes on from the last checkpoint'
_kept_alive: list[Any] = []  # Handlers that C code has pointers to.


class Processes:
  """All processes of a run, which each of them belongs to. count: of them. index: of this one."""

  def __init__(self, count: int = 1, index: int = 0):
    self.count = count
    self.index = index

  @property
  def is_first(self) -> bool:
    """Whether this process is the one that writes files and logs."""
    return self.index == 0

  def largest(self, *values: int) -> tuple[int, ...]:
    """The largest that any process gives for each value; all of them have to ask, and wait for one another."""
    if self.count == 1:
      return values
    from jax.experimental import multihost_utils

    try:
      gathered = np.asarray(multihost_utils.process_allgather(np.array(values, np.int32)))
    except jax.errors.JaxRuntimeError as error:
      raise TrainingError(LOST) from error
    return tuple(int(value) for value in gathered.max(axis=0))

  @contextlib.contextmanager
  def together(self) -> Iterator[None]:
    """Ends the block in all processes alike: one that raises says so, and TrainingError tells the others."""
    try:
      yield
    except Exception:
      with contextlib.suppress(Exception):  # What is raised below is worth more.
        self.largest(1)
      raise
    if self.largest(0)[0]:
      raise TrainingError('another process of the run could not begin, its own messages say why')

  def explained(self, error: jax.errors.JaxRuntimeError) -> TrainingError:
    """Error for a failure of the devices: that memory ran out, say, or, of several processes, that one has ended."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if 'RESOURCE_EXHAUSTED' in reason:
      return TrainingError(f'the device failed: {reason}; try a lower --micro_batch_size or a smaller model')
    said = f'the device failed: {reason}'
    return TrainingError(said if self.count == 1 else f'{LOST} ({said})')

  @contextlib.contextmanager
  def explaining(self) -> Iterator[None]:
    """Raises TrainingError where the devices fail within the block."""
    try:
      yield
    except jax.errors.JaxRuntimeError as error:
      raise self.explained(error) from error

  def check_same(self, what: str, digest: str) -> None:
    """Raises ConfigError if processes do not have the same of something. digest: hexadecimal, of what this one has."""
    parts = [int(digest[place : place + 7], 16) for place in range(0, 28, 7)]
    largest = self.largest(*parts, *(-part for part in parts))
    if list(largest[:4]) != [-part for part in largest[4:]]:
      raise ConfigError(f'the processes of the run do not have the same {what}: start all of them with the same')


def join_processes(config: ProcessesConfig, command: str) -> Processes:
  """Joins the other processes of a run, if there are any, before the first computation. command: its name, to say.

  Where no flags name them SLURM, Open MPI and Cloud TPU do. Raises ConfigError if they cannot be joined.
  """
  if not config.coordinator_address and not _is_found_by_jax():
    return Processes()
  _say_why_aborted(command)
  # It would take SIGTERM away from training/stopper.py.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      config.coordinator_address,
      config.num_processes,
      config.process_id,
      initialization_timeout=_JOIN_SECONDS,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      shutdown_timeout_seconds=_LEAVE_SECONDS,
    )
  except (RuntimeError, ValueError) as error:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise ConfigError(
      f'coordinator_address: the processes of the run cannot be joined: {reason}: check that process 0 runs and can '
      'be reached there'
    ) from error
  processes = Processes(jax.process_count(), jax.process_index())
  if processes.count > 1:
    for handler in logging.getLogger().handlers:
      handler.addFilter(_Labelled(processes))
    _logger.info('process %d of %d', processes.index, processes.count)
  return processes


def leave(exit_code: int) -> int:
  """Ends a process whose run has failed, if others belong to it: JAX would wait for them, and they may be gone.

  Returns the exit code otherwise.
  """
  if jax.distributed.is_initialized():
    end_process(exit_code)
  return exit_code


def _is_found_by_jax() -> bool:
  """Whether the environment is one of several processes that JAX knows how to join."""
  counts = ('SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
  hosts = [name for name in os.environ.get('TPU_WORKER_HOSTNAMES', '').split(',') if name]
  # A shell within an allocation has the number of tasks, but is no task.
  is_slurm = 'SLURM_PROCID' in os.environ and 'SLURM_STEP_NODELIST' in os.environ
  return (
    (is_slurm and int(os.environ.get(counts[0], '1')) > 1) or int(os.environ.get(counts[1], '1')) > 1 or len(hosts) > 1
  )


def _say_why_aborted(command: str) -> None:
  """Has the process say in one line that another one was lost.

  JAX's coordination service aborts a process whose peers are gone, whatever it is doing, with a stack trace of C++
  alone. A handler in Python would never run: the process is gone when abort() returns from it.
  """

  def aborted(_: int) -> None:
    os.write(2, f'{command}: error: {LOST}\n'.encode())
    remove_unfinished()
    os._exit(1)

  if sys.platform == 'win32':
    return
  kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
  handler = kind(aborted)
  _kept_alive.append(handler)
  library = ctypes.CDLL(None)
  library.signal.argtypes, library.signal.restype = [ctypes.c_int, kind], ctypes.c_void_p
  library.signal(signal.SIGABRT, handler)


class _Labelled(logging.Filter):
  """Says which process a warning is from, and drops what the first process says too."""

  def __init__(self, processes: Processes):
    super().__init__()
    self._processes = processes

  def filter(self, record: logging.LogRecord) -> bool:
    if not self._processes.is_first:
      if record.levelno < logging.WARNING:
        return False
      record.msg = f'process {self._processes.index}: {record.msg}'
    return True
