"""Where standard error is no terminal, progress is a log line now and then."""

import logging
import sys
import time

import pytest
from tqdm import tqdm

from language_modeling_is_compression.system.progress import ProgressLog, progress_bar


@pytest.fixture
def clock(monkeypatch) -> list[float]:
  now = [0.0]
  monkeypatch.setattr(time, 'monotonic', lambda: now[0])
  return now


def test_a_line_a_minute_says_how_much_is_done_and_left(clock, caplog):
  caplog.set_level(logging.INFO)
  with ProgressLog(total=1000, unit='step', description='training', initial=100) as bar:
    bar.set_postfix_str('5.5 bits')
    for _ in range(9):
      clock[0] += 20
      bar.update(50)
  assert caplog.messages == [
    'training: 25%, 250 of 1.00k steps, 01:00 so far, 05:00 left, 5.5 bits',
    'training: 40%, 400 of 1.00k steps, 02:00 so far, 04:00 left, 5.5 bits',
    'training: 55%, 550 of 1.00k steps, 03:00 so far, 03:00 left, 5.5 bits',
  ]


def test_without_a_total_nothing_is_foretold(clock, caplog):
  caplog.set_level(logging.INFO)
  bar = ProgressLog(total=None, unit='row', description='')
  clock[0] = 61
  bar.update(12)
  assert caplog.messages == ['12.0 rows']


@pytest.mark.parametrize(('terminal', 'shown', 'kind'), [(True, True, tqdm), (False, True, ProgressLog)])
def test_a_terminal_has_a_bar(monkeypatch, terminal, shown, kind):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: terminal, raising=False)
  with progress_bar(total=1, unit='step', shown=shown) as bar:
    assert isinstance(bar, kind)


def test_what_nobody_wants_to_see_is_not_shown(monkeypatch, capsys, caplog):
  with progress_bar(total=1, unit='step', shown=False) as bar:
    bar.update(1)
  assert (capsys.readouterr().err, caplog.messages) == ('', [])
