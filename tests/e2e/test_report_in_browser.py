"""The report in a real browser, from disk and without a network: on a desk, on a phone, in the dark, on paper."""

import dataclasses
import re

import numpy as np
import pytest
from support import report_cases
from support.browser import CHROMIUM, PROBE, WHY_NOT, browse, misplaced, probe, screenshot
from support.report_cases import FLAC

from language_modeling_is_compression.evaluation.report.page import report_html
from language_modeling_is_compression.evaluation.report.pictures import pictures
from language_modeling_is_compression.evaluation.statistics.summary import ONCE

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT),
]


@pytest.fixture(scope='module')
def page() -> str:
  results = report_cases.results()
  long_name = f'{"a_folder_with_a_long_name/" * 4}<script>alert(1)</script>.wav'
  results = dataclasses.replace(
    results, unreadable={long_name: 'it is empty'}, missing={'mac -c5000': 'no such program'}
  )
  return report_html(results, pictures(results, reference=FLAC, count_headers=ONCE), title='Evaluation of corpus')


@pytest.mark.parametrize('width', [1200, 500])  # A window is at least 500 wide.
def test_everything_has_its_place(tmp_path, page, width):
  found = probe(tmp_path, page, f'--window-size={width},6000')
  content, window = found['page']
  assert window == width and content <= window  # What is wider scrolls in its own box.
  assert found['loaded'] == [] and found['overlong'] == []
  assert len(found['figures']) == 10
  for figure in found['figures']:
    left, top, right, bottom = figure['box']
    assert right - left > (400 if figure['name'].startswith('extremes') else 500) and bottom - top > 150, figure['name']
    assert len([text for text in figure['texts'] if text[0]]) > 5
    assert misplaced(figure) == []


def test_a_phone_shows_the_files_without_scrolling(tmp_path, page):
  """On a page of 390 pixels, in a window that cannot be so narrow."""
  phone = page.replace('</head>', '<style>html { width: 390px; }</style></head>')
  found = probe(tmp_path, phone, '--window-size=500,6000')
  shown = {figure['name']: figure for figure in found['figures'] if figure['name'].startswith('extremes')}
  assert shown.keys() == {'extremes-whole', 'extremes-chunked'}
  for name, figure in shown.items():
    left, _, right, _ = figure['box']
    assert left >= 0 and right <= 390 and right - left > 330, name
    for text, *box in figure['texts']:
      assert not text or (left - 4 < box[0] and box[2] < right + 4 and box[3] - box[1] > 9), (name, text)
  # Others keep their text as large, and scroll in their own boxes.
  assert all(figure['box'][2] > 500 for figure in found['figures'] if figure['name'] not in shown)


def test_no_script_of_the_page_runs(tmp_path, page):
  assert 'data-probe' not in browse(tmp_path, page.replace('</body>', f'{PROBE}</body>'), '--dump-dom')


def test_colours_of_the_figures_are_on_the_screen(tmp_path, page):
  pixels = screenshot(tmp_path, page, '--window-size=1200,7000')
  assert pixels.shape == (7000, 1200, 3)
  paper = (pixels == 255).all(axis=-1)
  assert 0.5 < paper.mean() < 0.99
  # The model's, FLAC's, and that of the text.
  for colour in ([0xD5, 0x5E, 0x00], [0x56, 0xB4, 0xE9], [0, 0, 0]):
    assert (pixels == colour).all(axis=-1).sum() > 100
  # Nowhere is a screen of nothing.
  ends = np.flatnonzero(~paper.all(axis=1))
  assert np.diff(ends).max() < 200 and ends[-1] > 6000


def test_dark_mode_is_dark_around_the_figures(tmp_path, page):
  pixels = screenshot(tmp_path, page, '--window-size=1200,7000', '--blink-settings=preferredColorScheme=0')
  assert (pixels[:, 0] == 0x18).all()
  assert 0.1 < (pixels == 255).all(axis=-1).mean() < 0.8


def test_it_can_be_printed(tmp_path, page):
  browse(tmp_path, page, f'--print-to-pdf={tmp_path}/page.pdf', '--no-pdf-header-footer')
  document = (tmp_path / 'page.pdf').read_bytes()
  assert document.startswith(b'%PDF')
  assert 4 <= len(re.findall(rb'/Type\s*/Page\b', document)) <= 12
