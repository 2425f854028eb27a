"""Processes that extract evidence in memory, each on a core of its own.

They are started as new programs, not forked, since JAX runs threads. What they make comes through pipes, so nothing of
it has a name that would have to be removed, and a worker sees by its pipe that whoever started it is gone, however that
ended.
"""

import contextlib
import json
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.data.evidence_cache import RECORD, Extractor, Segment, records_of
from language_modeling_is_compression.errors import AudioFormatError, TrainingError
from language_modeling_is_compression.system.interrupts import END_SIGNALS

# A new interpreter finds the package where this one did, which may have been started in other ways than by its name.
_PROGRAM = f'import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import main; main()'
# One core for each worker: libraries of linear algebra would start threads for all cores in each.
_ONE_THREAD = dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'), '1')


class FileState(NamedTuple):
  """Size and time of change of a file, in bytes and nanoseconds."""

  num_bytes: int
  changed_ns: int


def file_state(path: Path) -> FileState:
  """State of a file now. Raises AudioFormatError if there is none."""
  try:
    status = path.stat()
  except OSError as error:
    raise AudioFormatError(f'{path}: cannot be read: {error.strerror}') from error
  return FileState(status.st_size, status.st_mtime_ns)


class Workers:
  """`count` processes; they end when `close` is called, when nobody refers to this object, or with this process.

  extractor: its function is found by its name, so it must be one of a module.
  """

  def __init__(self, extractor: Extractor, count: int):
    command = [sys.executable, '-c', _PROGRAM, json.dumps(sys.path)]
    with _signals_held():
      processes = [
        subprocess.Popen(
          command,
          stdin=subprocess.PIPE,
          stdout=subprocess.PIPE,
          env={**os.environ, **_ONE_THREAD},
          start_new_session=True,  # Ctrl-C at a terminal is not for them.
        )
        for _ in range(count)
      ]
    self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
    threads = [
      threading.Thread(target=_serve, args=(process, extractor, self._jobs), name='evidence', daemon=True)
      for process in processes
    ]
    for thread in threads:
      thread.start()
    self.close = weakref.finalize(self, _close, processes, threads, self._jobs)

  def submit(self, segment: Segment, state: FileState) -> 'Future[np.ndarray]':
    """Evidence of a segment: RECORD [num_samples], of a file that is still in the state.

    The future raises AudioFormatError if the segment cannot be read or the file has changed, and TrainingError if the
    worker has ended.
    """
    future: Future[np.ndarray] = Future()
    self._jobs.put(_Job(future, segment, state))
    return future


class _Job(NamedTuple):
  future: 'Future[np.ndarray]'
  segment: Segment
  state: FileState


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
  """Blocks signals; a process that is started meanwhile never gets them, even before it can say so itself."""
  if not hasattr(signal, 'pthread_sigmask'):
    yield
    return
  before = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(process: 'subprocess.Popen[bytes]', extractor: Extractor, jobs: 'queue.SimpleQueue[_Job | None]') -> None:
  """Hands one worker its jobs, one at a time."""
  request: object = extractor
  while (job := jobs.get()) is not None:
    if job.future.set_running_or_notify_cancel():
      try:
        if request is not None:
          _send(process, request)
          request = None
        job.future.set_result(_asked(process, job))
      except BaseException as error:
        job.future.set_exception(error)
    del job  # Else it would keep what it has made until another one comes.


def _send(process: 'subprocess.Popen[bytes]', message: object) -> None:
  assert process.stdin
  try:
    pickle.dump(message, process.stdin)
    process.stdin.flush()
  except OSError as error:
    raise _ended(process) from error


def _asked(process: 'subprocess.Popen[bytes]', job: _Job) -> np.ndarray:
  """A worker's answer. Raises AudioFormatError and TrainingError."""
  assert process.stdout
  _send(process, (job.segment, job.state))
  line = process.stdout.readline()
  if not line.endswith(b'\n'):
    raise _ended(process)
  answer = json.loads(line)
  if 'unreadable' in answer:
    raise AudioFormatError(answer['unreadable'])
  if 'failure' in answer:
    raise TrainingError(
      f'the evidence of {job.segment.sound.info.path} cannot be extracted: {answer["failure"]}; '
      'if memory has run out, try fewer --segment_frames'
    )
  records = np.empty(answer['num_samples'], RECORD)
  if process.stdout.readinto(records.view(np.uint8).data) < records.nbytes:  # type: ignore[attr-defined]
    raise _ended(process)
  return records


def _ended(process: 'subprocess.Popen[bytes]') -> TrainingError:
  code = process.wait()
  how = f'was ended by {_signal_name(-code)}' if code < 0 else f'ended with code {code}'
  return TrainingError(
    f'a process that extracts evidence {how}: what is trained so far is saved; if memory has run out, try a lower '
    '--stream_megabytes or fewer --segment_frames; --resume goes on'
  )


def _signal_name(number: int) -> str:
  try:
    return signal.Signals(number).name
  except ValueError:
    return f'signal {number}'


def _close(
  processes: 'Sequence[subprocess.Popen[bytes]]',
  threads: Sequence[threading.Thread],
  jobs: 'queue.SimpleQueue[_Job | None]',
) -> None:
  for process in processes:
    process.kill()
  for _ in threads:
    jobs.put(None)
  for thread in threads:
    if thread is not threading.current_thread():  # The last reference may be a thread's.
      thread.join()
  for process in processes:
    process.wait()
    for pipe in (process.stdin, process.stdout):
      with contextlib.suppress(OSError):  # What was not sent any more.
        assert pipe
        pipe.close()


def main() -> None:
  """Answers requests until standard input ends, which ends the process at once."""
  for number in END_SIGNALS:  # Whoever started the workers heeds them; they may be sent to all processes of a job.
    signal.signal(number, signal.SIG_IGN)
  logging.disable(logging.CRITICAL)  # What compiled functions say has been said by the process that began.
  requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), 'wb')
  # Whatever prints something does not print into an answer.
  os.dup2(sys.stderr.fileno() if sys.stderr else os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  jobs: queue.SimpleQueue[tuple[Segment, FileState]] = queue.SimpleQueue()
  extractor = pickle.load(requests)

  def read() -> None:
    try:
      while True:
        jobs.put(pickle.load(requests))
    except (EOFError, OSError, pickle.UnpicklingError):
      os._exit(0)  # Whoever asked is gone.

  threading.Thread(target=read, name='requests', daemon=True).start()
  while True:
    header, records = _answer(extractor, *jobs.get())
    try:
      answers.write(json.dumps(header).encode() + b'\n')
      answers.write(records.view(np.uint8).data)
      answers.flush()
    except OSError:
      os._exit(0)


def _answer(extractor: Extractor, segment: Segment, state: FileState) -> tuple[dict[str, str | int], np.ndarray]:
  """What is said of an answer, and the evidence, which is empty if there is none."""
  path = segment.sound.info.path
  try:
    samples = segment.samples()
    if file_state(path) != state:
      raise AudioFormatError(f'{path}: it changed while it was in use: start again once nothing writes to it')
    records = records_of(samples, segment.sound, extractor)
  except AudioFormatError as error:
    return {'unreadable': str(error)}, np.empty(0, RECORD)
  except Exception as error:
    return {'failure': f'{type(error).__name__}: {error}'}, np.empty(0, RECORD)
  return {'num_samples': len(records)}, records
