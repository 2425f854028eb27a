"""A real browser, without a network: what it shows of a page, and what the page says of itself."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
from matplotlib import image

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
WHY_NOT = 'there is no chromium here: apt-get install chromium'

# Sizes in CSS pixels, as the browser has laid them out with its own fonts.
PROBE = """
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
  dom = browse(folder, page.replace(policy[0], '').replace('</body>', f'{PROBE}</body>'), '--dump-dom', *flags)
  found = re.search('data-probe="(.*?)"', dom)
  assert found, dom[-2000:]
  return json.loads(html.unescape(found[1]))


def overlap(one: list[float], other: list[float], tolerance: float = 2) -> bool:
  width = min(one[2], other[2]) - max(one[0], other[0])
  height = min(one[3], other[3]) - max(one[1], other[1])
  return width > tolerance and height > tolerance


def screenshot(folder: Path, page: str, *flags: str) -> np.ndarray:
  """uint8 [H, W, 3]."""
  browse(folder, page, f'--screenshot={folder}/page.png', *flags)
  return np.round(255 * image.imread(folder / 'page.png')[..., :3]).astype(np.uint8)


def misplaced(figure: dict) -> list[tuple]:
  """Texts of a probed figure that are outside of it, too small, or over another one."""
  left, top, right, bottom = figure['box']
  texts = [text for text in figure['texts'] if text[0]]
  found: list[tuple] = []
  for index, (text, *box) in enumerate(texts):
    if not (box[0] > left - 4 and box[1] > top - 4 and box[2] < right + 4 and box[3] < bottom + 4):
      found.append((figure['name'], text, 'outside'))
    if len(text) > 1 and min(box[2] - box[0], box[3] - box[1]) <= 9:
      found.append((figure['name'], text, 'too small'))
    found += [(figure['name'], text, other) for other, *other_box in texts[index + 1 :] if overlap(box, other_box)]
  return found
