"""The figures of an evaluation, that show compressors; style.py says how they look.

A figure shows the compressors that it is given numbers of. looks: of every compressor, in the order of the legend.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from language_modeling_is_compression.evaluation.report.style import (
  GREY,
  Look,
  add_legend,
  data_limits,
  figure_settings,
  new_figure,
)
from language_modeling_is_compression.evaluation.statistics.measurements import Measurement
from language_modeling_is_compression.evaluation.statistics.summary import ALL, MEAN, Summary
from language_modeling_is_compression.system.text import printable

Looks: TypeAlias = Mapping[str, Look]
# Speed, × real time, and rate, in percent, of each compressor.
Points: TypeAlias = Mapping[str, tuple[float, float]]

# Offsets of a label's corner from its dot, in points, with the text's alignment: the first without a collision is
# taken.
_PLACES = (
  (5, 0, 'left', 'center'),
  (-5, 0, 'right', 'center'),
  (0, 5, 'center', 'bottom'),
  (0, -5, 'center', 'top'),
  (4, 4, 'left', 'bottom'),
  (4, -4, 'left', 'top'),
  (-4, 4, 'right', 'bottom'),
  (-4, -4, 'right', 'top'),
  (0, -11, 'center', 'top'),
  (0, 11, 'center', 'bottom'),
  (6, -11, 'left', 'top'),
  (-6, -11, 'right', 'top'),
)


def rates_by_domain(summaries: Sequence[Summary], looks: Looks) -> Figure:
  """A row for each scope, in the order given: dots for the rates, bars for their intervals. One protocol's.

  Compressors without any rate are left out.
  """
  rows = list(dict.fromkeys(_row_name(summary) for summary in summaries))
  names = named_in(looks, {summary.compressor for summary in summaries if summary.compression_rate is not None})
  row_inches = max(0.22, 0.065 * (len(names) + 2))
  with figure_settings():
    figure = new_figure(0.9 + row_inches * len(rows))
    axes = figure.add_subplot()
    for row in range(0, len(rows), 2):
      axes.axhspan(row, row + 1, color='#f5f5f5', linewidth=0, zorder=0)
    for place, name in enumerate(names):
      by_row = {rows.index(_row_name(each)): each for each in summaries if each.compressor == name}
      heights = {row + (place + 1.5) / (len(names) + 2): summary for row, summary in by_row.items()}
      _rates_with_intervals(axes, heights, looks[name])
    axes.set(xlabel='compressed size, % of the samples’ bytes', ylim=(len(rows), 0))
    axes.set_yticks([row + 0.5 for row in range(len(rows))], rows)
    axes.tick_params(axis='y', length=0)
    axes.grid(axis='x')
    add_legend(figure, dots(names, looks), names)
  return figure


def _row_name(summary: Summary) -> str:
  return {ALL: 'all files', MEAN: 'mean of domains'}.get(summary.scope) or printable(summary.domain, 32)


def _rates_with_intervals(axes: Axes, heights: Mapping[float, Summary], look: Look) -> None:
  bars = {y: each.interval for y, each in heights.items() if each.interval}
  lows, highs = [100 * bar.low for bar in bars.values()], [100 * bar.high for bar in bars.values()]
  axes.hlines(list(bars), lows, highs, color=look.colour, linewidth=1.2)
  rates = {y: 100 * each.compression_rate for y, each in heights.items() if each.compression_rate is not None}
  axes.plot(list(rates.values()), list(rates), **look.dots(4))


def rate_against_speed(summaries: Sequence[Summary], looks: Looks) -> Figure:
  """Compressors in one scope, over their speeds, with the front of those that no other is better than in both."""
  rates = {each.compressor: 100 * each.compression_rate for each in summaries if each.compression_rate is not None}
  encode = {each.compressor: each.encode_speed for each in summaries if each.encode_speed}
  decode = {each.compressor: each.decode_speed for each in summaries if each.decode_speed}
  names = named_in(looks, rates)
  with figure_settings():
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2, sharey=True)
    left.set(title='encoding', ylabel='compressed size,\n% of the samples’ bytes')
    left.margins(y=0.16)
    right.set(title='decoding')
    panels = [
      (axes, {name: (speeds[name], rates[name]) for name in names if name in speeds})
      for axes, speeds in [(left, encode), (right, decode)]
    ]
    for axes, points in panels:
      _speed_panel(axes, points, looks)
    # Where labels have room is known when everything else has its place.
    figure.draw_without_rendering()
    labels = [label for axes, points in panels for label in _label_dots(axes, points)]
    if len(labels) < sum(len(points) for _, points in panels):
      for label in labels:
        label.remove()
      add_legend(figure, dots(names, looks), names)
  return figure


def _speed_panel(axes: Axes, points: Points, looks: Looks) -> None:
  for name, (speed, rate) in points.items():
    axes.plot([speed], [rate], **looks[name].dots(5.5))
  corners = _staircase(pareto_front(list(points.values())))
  axes.plot([x for x, _ in corners], [y for _, y in corners], color=GREY, linestyle=(0, (3, 2)), zorder=1)
  speeds = [speed for speed, _ in points.values()]
  # Room for labels at both ends.
  low, high = min(speeds, default=1) / 3, max(speeds, default=1) * 3
  axes.set(xscale='log', xlim=(low, high), xlabel='speed, × real time')
  _number_ticks(axes, _log_ticks(low, high))
  axes.grid()


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
  """Those of the (speed, rate) points that no other one is at least as good as in both, fastest first."""
  front: list[tuple[float, float]] = []
  for speed, rate in sorted(set(points), key=lambda point: (-point[0], point[1])):
    if not front or rate < front[-1][1]:
      front.append((speed, rate))
  return front


def _staircase(front: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
  """The corners of the line through a front: whoever is content with less speed gets the same rate, up to the next."""
  corners: list[tuple[float, float]] = []
  for speed, rate in front:
    if corners:
      corners.append((speed, corners[-1][1]))
    corners.append((speed, rate))
  return corners


def _log_ticks(low: float, high: float) -> list[float]:
  """At most seven powers of ten; between few of them twice and five times as much too."""
  powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
  factors = (1, 2, 5) if len(powers) < 4 else (1,)
  ticks = [factor * 10**power for power in powers[:: 1 + len(powers) // 8] for factor in factors]
  return [tick for tick in ticks if low <= tick <= high]


def _number_ticks(axes: Axes, ticks: Sequence[float]) -> None:
  axes.set_xticks(ticks)
  axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,.10g}'))
  axes.xaxis.set_minor_formatter(NullFormatter())


def _label_dots(axes: Axes, points: Points) -> list[Annotation]:
  """Names at those dots where they find room."""
  figure = axes.get_figure(root=True)
  assert figure
  renderer = FigureCanvasAgg(figure).get_renderer()
  frame = axes.get_window_extent(renderer)
  centres = [axes.transData.transform(point) for point in points.values()]
  taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in centres]
  front = Path([axes.transData.transform(point) for point in _staircase(pareto_front(list(points.values())))])
  labels: list[Annotation] = []
  for name, point in points.items():
    for label in _label_places(axes, printable(name, 24), point):
      box = label.get_window_extent(renderer).padded(1.5)
      inside = frame.containsx(box.x0) and frame.containsx(box.x1) and frame.containsy(box.y0)
      if inside and not box.count_overlaps(taken) and not front.intersects_bbox(box, filled=False):
        taken.append(box)
        labels.append(label)
        break
      label.remove()
  return labels


def _label_places(axes: Axes, text: str, point: tuple[float, float]) -> Iterator[Annotation]:
  for x, y, horizontal, vertical in _PLACES:
    yield axes.annotate(text, point, (x, y), textcoords='offset points', ha=horizontal, va=vertical, in_layout=False)


def bits_by_position(measurements: Sequence[Measurement], looks: Looks) -> Figure:
  """A line for each compressor whose cost is known by position: bits per sample of each span, all files together."""
  totals: dict[str, dict[int, list[float]]] = {}
  for measurement in measurements:
    for span in measurement.by_position:
      total = totals.setdefault(measurement.compressor, {}).setdefault(span.begin, [0, 0])
      total[0] += span.bits
      total[1] += span.num_samples
  names = named_in(looks, totals)
  lines = {name: {**looks[name].dots(4), **looks[name].line()} for name in names}
  with figure_settings():
    figure = new_figure(2.9)
    axes = figure.add_subplot()
    shown: list[tuple[int, float]] = []
    for name in names:
      spans = sorted((begin, bits / samples) for begin, (bits, samples) in totals[name].items() if samples)
      shown += spans
      axes.plot([begin + 1 for begin, _ in spans], [bits for _, bits in spans], drawstyle='steps-post', **lines[name])
    axes.set(xscale='log', xlabel='position in the chunk, samples from its first one (1)', ylabel='bits per sample')
    _number_ticks(axes, _log_ticks(1, max((begin for begin, _ in shown), default=0) + 1))
    axes.set_ylim(*data_limits(bits for _, bits in shown))
    axes.grid()
    add_legend(figure, [Line2D([], [], **lines[name]) for name in names], names)
  return figure


def named_in(looks: Looks, present: Collection[str]) -> list[str]:
  """Those of the compressors that are present, in the order of the legend."""
  return [name for name in looks if name in present]


def dots(names: Sequence[str], looks: Looks) -> list[Line2D]:
  """Samples of the compressors' dots, for a legend."""
  return [Line2D([], [], **looks[name].dots()) for name in names]
