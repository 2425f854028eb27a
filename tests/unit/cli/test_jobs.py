"""Many files: several at a time, each told, and all of them stopped when a signal comes."""

import os
import threading
import time
from pathlib import Path

import pytest

from language_modeling_is_compression.cli.jobs import each_file, say, several_files
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.files import named_again

PATIENCE_SECONDS = 60


def test_so_many_are_in_work_at_the_same_time():
  together = threading.Barrier(3, timeout=PATIENCE_SECONDS)
  assert several_files(['a', 'b', 'c', 'd', 'e', 'f'], lambda source: together.wait(), Cancellation(), 3) == 0


def test_none_at_all():
  assert several_files([], print, Cancellation(), 2) == each_file([], print) == 0


@pytest.mark.parametrize('at_a_time', [None, 2])
def test_what_fails_is_told_and_the_others_have_their_turn(at_a_time, capsys):
  done = []

  def work(source: str) -> None:
    if source == 'bad':
      raise ConfigError('bad: it is bad')
    if source == 'gone':
      raise FileNotFoundError(2, 'No such file', 'gone')
    if source == 'huge':
      raise MemoryError
    done.append(source)

  sources = ['bad', 'a', 'gone', 'b', 'huge', 'c']
  code = several_files(sources, work, Cancellation(), at_a_time) if at_a_time else each_file(sources, work)
  assert (code, sorted(done)) == (1, ['a', 'b', 'c'])
  assert sorted(capsys.readouterr().err.splitlines()) == [
    'lmic: bad: it is bad',
    'lmic: gone: No such file',
    'lmic: huge: there is not enough memory: try fewer --threads',
  ]


def test_the_longest_come_first(tmp_path):
  sizes = {'a': 5, 'b': 70, 'c': 9, 'd': 70, 'e': 1000}
  for name, size in sizes.items():
    (tmp_path / name).write_bytes(bytes(size))
  begun: list[str] = []
  sources = [str(tmp_path / name) for name in (*sizes, 'missing')]
  assert several_files(sources, lambda source: begun.append(Path(source).name), Cancellation(), 1) == 0
  assert begun == ['e', 'b', 'd', 'c', 'a', 'missing']


def test_lines_of_one_file_come_together(capsys):
  later = threading.Event()

  def work(source: str) -> None:
    if source == 'first':
      assert later.wait(PATIENCE_SECONDS)
    say(f'{source}: begun')
    say(f'{source}: done')
    later.set()

  assert several_files(['first', 'second', 'third'], work, Cancellation(), 2) == 0
  names = [line.split(':')[0] for line in capsys.readouterr().err.splitlines()]
  assert sorted(names) == ['first', 'first', 'second', 'second', 'third', 'third']
  assert names[::2] == names[1::2]


def test_a_signal_ends_all_and_begins_no_more():
  """What comes out is the interruption, not how the threads ended, and they have ended by then."""
  cancellation, begun, ended = Cancellation(), [], []

  def work(source: str) -> None:
    begun.append(source)
    if source == 'interrupted':
      raise KeyboardInterrupt
    try:
      deadline = time.monotonic() + PATIENCE_SECONDS
      while time.monotonic() < deadline:
        cancellation.check()
        time.sleep(0.001)
    finally:
      ended.append(source)

  with pytest.raises(KeyboardInterrupt):
    several_files(['interrupted', 'long', *'abcdefgh'], work, cancellation, 2)
  assert sorted(begun) == sorted(['interrupted', *ended]) and len(begun) <= 3


def test_a_defect_is_not_hidden():
  cancellation = Cancellation()

  def work(source: str) -> None:
    raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    several_files(['a', 'b'], work, cancellation, 2)
  assert cancellation.requested


def test_distinct_files(tmp_path, monkeypatch):
  (tmp_path / 'real').mkdir()
  (tmp_path / 'link').symlink_to(tmp_path / 'real')
  monkeypatch.chdir(tmp_path)
  assert named_again([]) is None
  assert named_again(['a', 'b', 'real/a', tmp_path / 'real' / 'b']) is None
  for one, other in [('a', './a'), ('a', tmp_path / 'a'), ('real/a', 'link/a'), ('a', 'a')]:
    assert named_again([one, 'other', other]) == other, (one, other)
  assert named_again(['a.wav', 'A.WAV']) is None
  assert named_again(['a.wav', 'A.WAV'], capitals=False) == 'A.WAV'
  # A link is a name of its own: it is replaced, not what it points to.
  Path('alias').symlink_to('a')
  assert named_again(['a', 'alias']) is None and os.path.islink('alias')
