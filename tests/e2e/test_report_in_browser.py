"""The report in a real browser, from disk and without a network: on a desk, on a phone, in the dark, on paper."""

import dataclasses
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from support import report_cases
from support.report_cases import FLAC

from language_modeling_is_compression.evaluation.report.page import report_html
from language_modeling_is_compression.evaluation.report.pictures import pictures
from language_modeling_is_compression.evaluation.statistics.summary import ONCE

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(CHROMIUM is None, reason='there is no chromium here: apt-get install chromium'),
]

# Sizes in CSS pixels, as the browser has laid them out with its own fonts.
_PROBE = """
<script>
addEventListener('load', () => {
  const box = element => {
    const {left, top, right, bottom} = element.getBoundingClientRect();
    return [left, top, right, bottom];
  };
  const found = {
    page: [document.documentElement.scrollWidth, innerWidth],
    loaded: performance.getEntriesByType('resource').map(entry => entry.name),
    figures: [...document.querySelectorAll('figure')].map(figure => ({
      name: figure.id,
      box: box(figure.querySelector('svg')),
      texts: [...figure.querySelectorAll('svg text')].map(text => [text.textContent, ...box(text)]),
    })),
    overlong: [...document.querySelectorAll('h1, h2, p, pre, figcaption')]
      .filter(element => element.scrollWidth > element.clientWidth + 1 && element.clientWidth).map(e => e.textContent),
  };
  document.body.dataset.probe = JSON.stringify(found);
});
</script>
"""


@pytest.fixture(scope='module')
def page() -> str:
  results = report_cases.results()
  long_name = f'{"a_folder_with_a_long_name/" * 4}<script>alert(1)</script>.wav'
  results = dataclasses.replace(
    results, unreadable={long_name: 'it is empty'}, missing={'mac -c5000': 'no such program'}
  )
  return report_html(results, pictures(results, reference=FLAC, count_headers=ONCE), title='Evaluation of corpus')


def browse(folder: Path, page: str, *flags: str) -> str:
  """Opens a page from disk; what the browser writes to standard output. No name resolves to an address."""
  path = folder / 'report.html'
  path.write_text(page, encoding='utf-8')
  assert CHROMIUM
  command = [CHROMIUM, '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars']
  command += ['--disable-dev-shm-usage', '--host-resolver-rules=MAP * ~NOTFOUND', f'--user-data-dir={folder}/profile']
  done = subprocess.run([*command, *flags, path.as_uri()], capture_output=True, text=True, timeout=300, check=False)
  assert done.returncode == 0, done.stderr
  return done.stdout


def probe(folder: Path, page: str, *flags: str) -> dict:
  """What the page says of itself; only without its policy may it run a script."""
  policy = re.search('<meta http-equiv="Content-Security-Policy".*?>', page)
  assert policy
  dom = browse(folder, page.replace(policy[0], '').replace('</body>', f'{_PROBE}</body>'), '--dump-dom', *flags)
  found = re.search('data-probe="(.*?)"', dom)
  assert found, dom[-2000:]
  return json.loads(html.unescape(found[1]))


def overlap(one: list[float], other: list[float], tolerance: float = 2) -> bool:
  width = min(one[2], other[2]) - max(one[0], other[0])
  height = min(one[3], other[3]) - max(one[1], other[1])
  return width > tolerance and height > tolerance


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
    texts = [text for text in figure['texts'] if text[0]]
    assert len(texts) > 5
    for text, *box in texts:
      inside = box[0] > left - 4 and box[1] > top - 4 and box[2] < right + 4 and box[3] < bottom + 4
      assert inside, (figure['name'], text)
    heights = [min(box[2] - box[0], box[3] - box[1]) for text, *box in texts if len(text) > 1]
    assert min(heights) > 9, figure['name']
    for index, (text, *box) in enumerate(texts):
      for other_text, *other_box in texts[index + 1 :]:
        assert not overlap(box, other_box), (figure['name'], text, other_text)


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
  assert 'data-probe' not in browse(tmp_path, page.replace('</body>', f'{_PROBE}</body>'), '--dump-dom')


def screenshot(folder: Path, page: str, *flags: str) -> np.ndarray:
  """uint8 [H, W, 3]."""
  browse(folder, page, f'--screenshot={folder}/page.png', *flags)
  return np.round(255 * image.imread(folder / 'page.png')[..., :3]).astype(np.uint8)


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
