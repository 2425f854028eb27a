"""Times and sizes as people say them."""

import importlib
import sys

import pytest

from language_modeling_is_compression.system.text import duration, size, write_between_bars


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [
    (0, '0 s'),
    (0.0123, '0.012 s'),
    (4.26, '4.3 s'),
    (9.96, '10 s'),
    (59.4, '59 s'),
    (59.6, '1 min'),
    (150, '2 min 30 s'),
    (3599.6, '1 h'),
    (11400, '3 h 10 min'),
    (11429, '3 h 10 min'),
    (86399, '1 d'),
    (86400 + 3600, '1 d 1 h'),
    (1e7, '115 d 18 h'),
  ],
)
def test_durations(seconds, text):
  assert duration(seconds) == text


@pytest.mark.parametrize(
  ('num_bytes', 'text'),
  [(0, '0 bytes'), (999, '999 bytes'), (1000, '1 kB'), (2.345e6, '2.35 MB'), (79.7e9, '79.7 GB'), (1.5e13, '15 TB')],
)
def test_sizes(num_bytes, text):
  assert size(num_bytes) == text


def test_a_line_is_written_with_bars_and_without(monkeypatch, capsys):
  monkeypatch.delitem(sys.modules, 'tqdm', raising=False)
  write_between_bars('alone')
  assert 'tqdm' not in sys.modules and capsys.readouterr().err == 'alone\n'
  with importlib.import_module('tqdm').tqdm(total=3, desc='a bar') as bar:
    bar.refresh()
    write_between_bars('a line')
  err = capsys.readouterr().err
  assert err.index('a bar') < err.index('a line') < err.rindex('a bar'), 'the bar is drawn again below the line'
