"""Pictures of `lmic look` in a real browser: on a desk, on a phone, in the dark, on paper."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.browser import CHROMIUM, PROBE, WHY_NOT, browse, misplaced, probe, screenshot
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.evaluation.look.page import look

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=WHY_NOT)]
FIGURES = ['time', 'difference', 'calibration', 'weights', 'repetition', 'bytes', 'embedding', 'attention']


@pytest.fixture(scope='module')
def page(tmp_path_factory) -> str:
  """Of a sound in stereo that repeats, under models of both families: every figure that there is."""
  rng = np.random.default_rng(0)
  bar = rng.normal(0, 900, (6000, 2)) * np.exp(-np.arange(6000) % 3000 / 700)[:, None]
  samples = np.round(np.tile(bar, (6, 1)) + rng.normal(0, 3, (36_000, 2))).astype(np.int64)
  path = tmp_path_factory.mktemp('sound') / 'a_name_<b>.wav'
  path.write_bytes(build_wav(pcm_bytes(samples, 16), channels=2, rate_hz=16_000))
  return look(path, ['tiny', 'bytes'])


@pytest.mark.parametrize('width', [1200, 500])  # A window is at least 500 wide.
def test_everything_has_its_place(tmp_path, page, width):
  found = probe(tmp_path, page, f'--window-size={width},6000')
  content, window = found['page']
  assert window == width and content <= window  # What is wider scrolls in its own box.
  # Images are within the page, which asks for nothing else.
  assert all(name.startswith('data:image/png') for name in found['loaded']) and found['overlong'] == []
  assert [figure['name'] for figure in found['figures']] == FIGURES
  for figure in found['figures']:
    left, top, right, bottom = figure['box']
    assert right - left > 500 and bottom - top > 150, figure['name']
    assert misplaced(figure) == []


def test_a_phone_has_its_text_as_large(tmp_path, page):
  """On a page of 360 pixels, in a window that cannot be so narrow: figures scroll in their own boxes."""
  phone = page.replace('</head>', '<style>html { width: 360px; }</style></head>')
  found = probe(tmp_path, phone, '--window-size=500,6000')
  assert found['overlong'] == [] and found['page'][0] <= 500
  for figure in found['figures']:
    assert figure['box'][2] > 500 and misplaced(figure) == []


def test_no_script_of_the_page_runs(tmp_path, page):
  assert 'data-probe' not in browse(tmp_path, page.replace('</body>', f'{PROBE}</body>'), '--dump-dom')


def test_the_policy_lets_the_spectrogram_be_seen(tmp_path, page):
  """The sound is loud at all frequencies: yellow, which no line is, and which is gone where images are forbidden."""
  start = only(page, 'time')
  assert yellow(screenshot(tmp_path, start, '--window-size=1200,1000')) > 50_000
  forbidden = start.replace('img-src data:', "img-src 'none'")
  assert forbidden != start and yellow(screenshot(tmp_path, forbidden, '--window-size=1200,1000')) < 2000


def yellow(pixels: np.ndarray) -> int:
  """Pixels of the colours of cividis for what is loud."""
  red, green, blue = np.moveaxis(pixels.astype(int), -1, 0)
  return int(((abs(red - green) < 40) & (red - blue > 30)).sum())


def only(page: str, name: str) -> str:
  """The page with one of its figures."""
  return re.sub(rf'<figure id="(?!{name}").*?</figure>', '', page, flags=re.DOTALL)


def test_dark_mode_is_dark_around_the_figures(tmp_path, page):
  pixels = screenshot(tmp_path, page, '--window-size=1200,7000', '--blink-settings=preferredColorScheme=0')
  assert (pixels[:, 0] == 0x18).all()
  assert 0.1 < (pixels == 255).all(axis=-1).mean() < 0.8


def test_it_can_be_printed(tmp_path: Path, page):
  browse(tmp_path, page, f'--print-to-pdf={tmp_path}/page.pdf', '--no-pdf-header-footer')
  document = (tmp_path / 'page.pdf').read_bytes()
  assert document.startswith(b'%PDF')
  assert 3 <= len(re.findall(rb'/Type\s*/Page\b', document)) <= 8
