"""The table and the picture of held-out files."""

import csv
import itertools
import logging
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from language_modeling_is_compression.training.held_out import COLUMNS, report_held_out, shown
from language_modeling_is_compression.training.run_files import RunFiles
from language_modeling_is_compression.training.task import HeldOutPart
from language_modeling_is_compression.training.tracking import Tracker

SVG = '{http://www.w3.org/2000/svg}'


class Tables(Tracker):
  """A tracker that keeps tables."""

  def __init__(self) -> None:
    super().__init__({})
    self.tables: list = []

  def log_table(self, step, name, columns, rows):
    self.tables.append((step, name, columns, rows))


def reported(folder: Path, parts) -> tuple[list[list[str]], list[str], list]:
  """Rows of the table, texts of the picture, and tables of the tracker."""
  files, tracker = RunFiles(folder, 'a'), Tables()
  report_held_out(files, 9, parts, tracker)
  with open(folder / 'a_held_out.csv', newline='', encoding='utf-8') as file:
    rows = list(csv.reader(file))
  picture = ElementTree.parse(folder / 'a_held_out.svg')
  return rows, [text.text or '' for text in picture.iter(f'{SVG}text')], tracker.tables


def test_files_stand_from_the_hardest_to_the_easiest_below_their_common_folder(tmp_path, caplog):
  caplog.set_level(logging.INFO)
  parts = [
    HeldOutPart('/music/valid/a.wav', 10, 1.25),
    HeldOutPart('/music/valid/b & "c", d.wav', 20, 7.5),
    HeldOutPart('/music/e.wav', 30, 2.0),
  ]
  rows, texts, tables = reported(tmp_path, parts)
  names = [os.path.join('valid', 'b & "c", d.wav'), 'e.wav', os.path.join('valid', 'a.wav')]
  assert rows == [list(COLUMNS), [names[0], '20', '7.5'], [names[1], '30', '2.0'], [names[2], '10', '1.25']]
  assert texts == ['Held out, bits per sample', names[0], '7.500', names[1], '2.000', names[2], '1.250']
  ((step, name, columns, logged),) = tables
  assert (step, name, columns) == (9, 'held_out/files', COLUMNS) and [part.name for part in logged] == names
  assert caplog.messages == [f'held out, from {names[0]} with 7.5000 bits per sample to {names[2]} with 1.2500']


def test_of_a_single_one_the_figure_was_said_already(tmp_path, caplog):
  caplog.set_level(logging.INFO)
  rows, _, _ = reported(tmp_path, [HeldOutPart('a.wav', 10, 1.25)])
  assert len(rows) == 2 and caplog.messages == []


@pytest.mark.parametrize(
  ('given', 'names'),
  [
    (['/a/b/c.wav'], ['c.wav']),
    (['c.wav', 'd/e.wav'], ['c.wav', 'd/e.wav']),
    (['/a/c.wav', 'a/e.wav'], ['/a/c.wav', 'a/e.wav']),
    (['speech', 'speech_8bit'], ['speech', 'speech_8bit']),
    (['/a/\udce4\n.wav'], ['\\udce4\n.wav']),
  ],
)
def test_names(tmp_path, given, names):
  rows, texts, _ = reported(tmp_path, [HeldOutPart(name, 1, 1.0) for name in given])
  assert [row[0] for row in rows[1:]] == names
  assert len(texts) == 1 + 2 * len(names) and not any('\n' in text for text in texts)


def test_the_picture_shows_some_of_many_and_both_ends(tmp_path):
  parts = [HeldOutPart(f'{index}', 1, 99.0 - index) for index in range(50)]
  rows, texts, _ = reported(tmp_path, parts)
  assert len(rows) == 51
  assert texts[0] == 'Held out, bits per sample: 16 of 50' and len(texts) == 1 + 2 * 16
  assert texts[1] == '0' and texts[-2] == '49'
  places = [parts.index(part) for part in shown(parts)]
  assert {after - before for before, after in itertools.pairwise(places)} == {3, 4}


@pytest.mark.parametrize('bits', [0.0, -1e-9])
def test_what_costs_nothing_has_a_bar_of_no_width(tmp_path, bits):
  _, texts, _ = reported(tmp_path, [HeldOutPart('silence', 5, bits)])
  assert texts[1:] == ['silence', '0.000']
  bars = [each.get('width') for each in ElementTree.parse(tmp_path / 'a_held_out.svg').iter(f'{SVG}rect')]
  assert bars[1:] == ['0.0']


def test_nothing_is_written_of_nothing(tmp_path):
  report_held_out(RunFiles(tmp_path, 'a'), 9, [], Tables())
  assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_said(tmp_path, caplog):
  tracker = Tables()
  report_held_out(RunFiles(tmp_path / 'gone', 'a'), 9, [HeldOutPart('a', 1, 1.0)], tracker)
  warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
  assert [message.partition(': ')[0] for message in warnings] == [
    f'{tmp_path}/gone/a_held_out.{suffix}' for suffix in ('csv', 'svg')
  ]
  assert len(tracker.tables) == 1
