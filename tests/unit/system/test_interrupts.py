"""A process that does not end by itself after a signal is ended, and leaves nothing unfinished."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

# It heeds no signal, as while a compiler runs; what it writes says when signals may come.
_BUSY = """
import signal, sys, threading
from pathlib import Path
from language_modeling_is_compression.system.files import replacing, scratch_folder
from language_modeling_is_compression.system.interrupts import ended_soon
for number in (signal.SIGINT, signal.SIGTERM):
  signal.signal(number, lambda *_: None)
asked = []
def may_end(number, count):
  asked.append((number, count))
  print('asked', number, count, flush=True)
  return count > int(sys.argv[2])
with ended_soon('it was ended', may_end=may_end), replacing(Path(sys.argv[1], 'out')), scratch_folder() as folder:
  print(folder, flush=True)
  for _ in range(int(sys.argv[3])):
    threading.Event().wait(0.1)
print('ended in order')
"""


@contextlib.contextmanager
def start(folder: Path, refusals: int, tenths: int = 10**6) -> Iterator[subprocess.Popen[str]]:
  command = [sys.executable, '-c', _BUSY, str(folder), str(refusals), str(tenths)]
  with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
    watch = threading.Timer(60, process.kill)  # Or else a test that fails would wait for ever.
    watch.start()
    try:
      yield process
    finally:
      process.kill()
      watch.cancel()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_heeds_no_signal_is_ended(tmp_path, number):
  with start(tmp_path, 0) as process:
    assert process.stdout is not None
    scratch = process.stdout.readline().strip()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
  assert (process.returncode, err) == (128 + number, 'it was ended\n')
  assert out == f'asked {int(number)} 1\n'
  assert scratch and not Path(scratch).exists() and list(tmp_path.iterdir()) == []


def test_who_may_not_be_ended_goes_on_until_the_next_signal(tmp_path):
  with start(tmp_path, 1) as process:
    assert process.stdout is not None
    process.stdout.readline()
    for _ in range(3):  # Those that come together are one.
      process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == 'asked 2 1\n'
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
  assert (process.returncode, out) == (130, 'asked 2 2\n')


def test_who_ends_in_order_is_left_alone(tmp_path):
  with start(tmp_path, 0, tenths=5) as process:
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
  assert (process.returncode, out, err) == (0, 'ended in order\n', '')


def test_a_process_ends_without_what_would_be_done_at_its_end():
  program = (
    'import atexit; from language_modeling_is_compression.system.interrupts import end_process; '
    "atexit.register(print, 'late'); print('said'); end_process(7)"
  )
  ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=False)
  assert (ended.returncode, ended.stdout, ended.stderr) == (7, 'said\n', '')
