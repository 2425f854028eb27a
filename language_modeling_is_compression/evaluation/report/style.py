"""Style of figures, and their SVG and PNG: readable in print, by colour-blind people, the same every time.

matplotlib's object interface only: no pyplot, no window, and its settings are as they were after each call.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from language_modeling_is_compression.evaluation.statistics.measurements import CompressorInfo
from language_modeling_is_compression.system.text import printable

WIDTH_INCHES = 6.3  # 16 cm, the text of an A4 page.
NARROW_INCHES = 3.6  # Width of figures that a phone shows whole, with text of the same size.
INK, GREY, FAINT = '#000000', '#767676', '#e4e4e4'
PNG_DPI = 300

# Okabe and Ito, "Color Universal Design" (2008), without yellow, which is too light on paper. Colours and markers come
# round after a different number of compressors, so that two which share one do not share the other.
_COLOURS = ('#d55e00', '#0072b2', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000')
_MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', 'p', 'h', '*')
_DASHES: tuple[Any, ...] = ('-', (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (8, 2)))

_SETTINGS = {
  'axes.axisbelow': True,
  'axes.edgecolor': GREY,
  'axes.labelsize': 8,
  'axes.linewidth': 0.6,
  'axes.spines.right': False,
  'axes.spines.top': False,
  'axes.titlelocation': 'left',
  'axes.titlesize': 8.5,
  'figure.constrained_layout.use': True,
  'font.size': 8,
  'grid.color': FAINT,
  'grid.linewidth': 0.6,
  'legend.fontsize': 8,
  'legend.frameon': False,
  'lines.linewidth': 1,
  'svg.fonttype': 'none',
  # File names and commands are no formulas.
  'text.parse_math': False,
  'xtick.color': GREY,
  'xtick.labelcolor': INK,
  'xtick.labelsize': 8,
  'ytick.color': GREY,
  'ytick.labelcolor': INK,
  'ytick.labelsize': 8,
}
_NAMESPACE = re.compile(r'^\{[^}]*\}')
_CLIP = re.compile(r'<clipPath id="(\w+)"')


@dataclass(frozen=True, kw_only=True)
class Look:
  """Colour and marker of a compressor, in all figures: models are filled, the others hollow."""

  colour: str
  marker: str
  dashes: Any
  filled: bool

  def dots(self, size: float = 4.5) -> dict[str, Any]:
    """Arguments of a plot of dots alone."""
    face = self.colour if self.filled else 'white'
    return {
      'color': self.colour,
      'linestyle': 'none',
      'marker': self.marker,
      'markeredgewidth': 0.9,
      'markerfacecolor': face,
      'markersize': size,
    }

  def line(self) -> dict[str, Any]:
    """Arguments of a plot of a line."""
    return {'color': self.colour, 'linestyle': self.dashes, 'linewidth': 1.3 if self.filled else 0.9}


def looks(compressors: Sequence[CompressorInfo]) -> dict[str, Look]:
  """Every compressor's look by its name, models first: distinct for up to 84 of them."""
  ordered = sorted(compressors, key=lambda info: not info.is_model)
  return {info.name: look_of(index, filled=info.is_model) for index, info in enumerate(ordered)}


def look_of(index: int, *, filled: bool = True) -> Look:
  """The look of one of several things that are shown together."""
  return Look(
    colour=_COLOURS[index % len(_COLOURS)],
    marker=_MARKERS[index % len(_MARKERS)],
    dashes=_DASHES[index % len(_DASHES)],
    filled=filled,
  )


@contextlib.contextmanager
def figure_settings() -> Iterator[None]:
  """Settings that figures are made and saved with. Glyphs that matplotlib's own font lacks are left to the browser."""
  with style.context(['default', _SETTINGS]), warnings.catch_warnings():
    warnings.filterwarnings('ignore', 'Glyph .* missing from font')
    yield


def new_figure(height_inches: float, width_inches: float = WIDTH_INCHES) -> Figure:
  """An empty figure, within `figure_settings`."""
  figure = Figure(figsize=(width_inches, height_inches))
  FigureCanvasAgg(figure)
  return figure


def add_legend(figure: Figure, handles: Sequence[Line2D], labels: Sequence[str]) -> None:
  """One legend above the whole figure, in as many columns as there is room for."""
  labels = [printable(label, min(48, int((figure.get_figwidth() - 0.45) / 0.072))) for label in labels]
  column_inches = 0.4 + 0.068 * max((len(label) for label in labels), default=0)
  columns = max(1, min(len(labels), int(figure.get_figwidth() / column_inches)))
  figure.legend(
    handles, labels, loc='outside upper left', ncols=columns, borderpad=0.1, columnspacing=1.2, handletextpad=0.4
  )


def data_limits(values: Iterable[float], *, margin: float = 0.06) -> tuple[float, float]:
  """Ends of an axis of figures from 0 on: those of the values, with a margin. 0 to 1 if there are none."""
  found = list(values)
  if not found:
    return 0.0, 1.0
  low, high = min(found), max(found)
  room = margin * (high - low) or margin * high or margin
  return max(0.0, low - room), high + room


def svg(figure: Figure, prefix: str) -> str:
  """An <svg> element, to stand in a page or alone. prefix: begins each of its ids, so that figures do not share one."""
  text = io.StringIO()
  nothing = dict.fromkeys(['Creator', 'Date', 'Format', 'Type'])
  with figure_settings(), style.context({'svg.hashsalt': prefix}):
    figure.savefig(text, format='svg', metadata=nothing)
  drawn = text.getvalue()
  # Hashes of coordinates before they are rounded, in whose last bits two layouts of one figure may differ.
  for number, clip in enumerate(_CLIP.findall(drawn)):
    drawn = drawn.replace(clip, f'clip_{number}')
  root = ElementTree.fromstring(drawn)
  for element in root.iter():
    element.tag = _NAMESPACE.sub('', element.tag)
    element.attrib = {_NAMESPACE.sub('', key): _renamed(key, value, prefix) for key, value in element.attrib.items()}
    if element.tag == 'image':  # Its id is a hash, which two images that are equal share, and nothing refers to it.
      element.attrib.pop('id', None)
  root.set('xmlns', 'http://www.w3.org/2000/svg')
  root.set('style', 'background: #ffffff')  # Where a dark page shows it as an image.
  return ElementTree.tostring(root, encoding='unicode')


def _renamed(key: str, value: str, prefix: str) -> str:
  """An attribute's value, with the prefix wherever it is, or refers to, an id."""
  if key == 'id':
    return f'{prefix}-{value}'
  if key.endswith('href') and value.startswith('#'):
    return f'#{prefix}-{value[1:]}'
  return value.replace('url(#', f'url(#{prefix}-')


def png(figure: Figure) -> bytes:
  """The figure as a PNG image of 300 dots per inch."""
  image = io.BytesIO()
  with figure_settings():
    figure.savefig(image, format='png', dpi=PNG_DPI, metadata={'Software': None})
  return image.getvalue()
