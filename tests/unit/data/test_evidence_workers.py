"""Workers answer, outlive signals that are not for them, and end with what started them, however that ends."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.evidence_cases import BEGUN_VARIABLE, VERSION, extract_evidence, failing, write_sound

from language_modeling_is_compression.data.evidence_cache import Extractor, Sound, records_of, segments_of
from language_modeling_is_compression.data.evidence_workers import Workers, file_state
from language_modeling_is_compression.errors import AudioFormatError, TrainingError

EXPERTS = Extractor(extract=extract_evidence, version=VERSION, effort=1)
_PATIENCE_SECONDS = 60

_STARTED = """
import sys
from pathlib import Path
from support.evidence_cases import VERSION, sleeping, write_sound
from language_modeling_is_compression.data.evidence_cache import Extractor, Sound, segments_of
from language_modeling_is_compression.data.evidence_workers import Workers, file_state

path = Path(sys.argv[1])
(segment,) = segments_of([Sound(info=write_sound(path, 10), bits=16)], 100)
workers = Workers(Extractor(extract=sleeping, version=VERSION, effort=1), 1)
workers.submit(segment, file_state(path)).result()
"""


@pytest.fixture
def segment(tmp_path):
  (made,) = segments_of([Sound(info=write_sound(tmp_path / 'a.wav', 500, channels=2), bits=8)], 1000)
  return made


@pytest.fixture
def workers():
  made = Workers(EXPERTS, 1)
  yield made
  made.close()


def asked(workers: Workers, segment, state=None) -> np.ndarray:
  state = state or file_state(segment.sound.info.path)
  return workers.submit(segment, state).result(timeout=_PATIENCE_SECONDS)


def process_of(workers: Workers):
  finalizer = workers.close.peek()
  assert finalizer
  return finalizer[2][0][0]


@pytest.mark.skipif(sys.platform == 'win32', reason='signals are ends there')
def test_they_answer_also_after_signals_that_are_not_for_them(workers, segment):
  process = process_of(workers)
  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    process.send_signal(number)
  expected = records_of(segment.samples(), segment.sound, EXPERTS)
  np.testing.assert_array_equal(asked(workers, segment), expected)
  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    process.send_signal(number)
  np.testing.assert_array_equal(asked(workers, segment), expected)
  assert process.poll() is None and os.getpgid(process.pid) != os.getpgid(0)


def test_a_file_that_has_changed_or_is_gone(workers, segment):
  path = segment.sound.info.path
  before = file_state(path)
  path.write_bytes(path.read_bytes())
  os.utime(path, ns=(0, before.changed_ns + 1))
  with pytest.raises(AudioFormatError, match=r'a\.wav: it changed while it was in use'):
    asked(workers, segment, before)
  assert len(asked(workers, segment)) == 1000
  path.unlink()
  with pytest.raises(AudioFormatError, match=r'a\.wav'):
    asked(workers, segment, before)
  with pytest.raises(AudioFormatError, match=r'a\.wav: cannot be read: No such file'):
    file_state(path)


@pytest.mark.skipif(sys.platform == 'win32', reason='processes end with codes there')
def test_a_worker_that_is_killed_is_an_error(workers, segment):
  assert len(asked(workers, segment)) == 1000
  process_of(workers).kill()
  for _ in range(2):
    with pytest.raises(TrainingError, match=r'^a process that extracts evidence was ended by SIGKILL: .*if memory'):
      asked(workers, segment)


def test_what_fails_in_a_worker_is_an_error(segment):
  workers = Workers(Extractor(extract=failing, version=VERSION, effort=1), 1)
  with pytest.raises(TrainingError, match=r'a\.wav cannot be extracted: MemoryError: no room for 1000 samples; if mem'):
    asked(workers, segment)
  workers.close()


def test_they_end_when_nobody_refers_to_them(segment):
  workers = Workers(EXPERTS, 2)
  process = process_of(workers)
  asked(workers, segment)
  del workers
  assert process.poll() is not None


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='the test reads /proc')
def test_they_end_with_a_process_that_is_killed(tmp_path):
  begun = tmp_path / 'begun'
  variables = {'PYTHONPATH': os.pathsep.join(filter(None, sys.path)), BEGUN_VARIABLE: str(begun)}
  command = [sys.executable, '-c', _STARTED, str(tmp_path / 'a.wav')]
  with subprocess.Popen(command, env={**os.environ, **variables}) as parent:
    wait_until(begun.exists)
    worker = int(begun.read_text())
    assert is_alive(worker)
    parent.kill()
  wait_until(lambda: not is_alive(worker))


def is_alive(process_id: int) -> bool:
  """Whether there is such a process that has not ended; one that nobody has asked about still has a number."""
  try:
    with open(f'/proc/{process_id}/stat') as file:
      return file.read().rpartition(')')[2].split()[0] != 'Z'
  except FileNotFoundError:
    return False


def wait_until(is_so) -> None:
  deadline = time.monotonic() + _PATIENCE_SECONDS
  while not is_so():
    assert time.monotonic() < deadline
    time.sleep(0.02)
