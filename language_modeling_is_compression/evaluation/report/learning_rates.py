"""Figure of a sweep of the learning rate."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from language_modeling_is_compression.evaluation.report.style import GREY, INK, figure_settings, new_figure
from language_modeling_is_compression.training.learning_rate_finder import SUGGESTED_SHARE, Point, lowest

_ACCENT = '#d55e00'


def loss_over_rate(points: Sequence[Point], suggested: float | None, unit: str) -> Figure:
  """Losses over the learning rate, the smoothed ones, and the suggested rate. unit: what the loss is of."""
  rates = [point.learning_rate for point in points]
  with figure_settings():
    figure = new_figure(3.4)
    axes = figure.add_subplot()
    axes.plot(rates, [point.loss for point in points], color=GREY, linewidth=0.6, label='each step')
    axes.plot(rates, [point.smoothed for point in points], color=INK, linewidth=1.3, label='smoothed')
    best = lowest(points)
    axes.plot([best.learning_rate], [best.smoothed], 'o', color=INK, markersize=4.5, label='lowest')
    if suggested is not None:
      label = f'suggested: {suggested:.2g}, {SUGGESTED_SHARE:g} of the rate of the lowest'
      axes.axvline(suggested, color=_ACCENT, linewidth=1.3, linestyle=(0, (4, 1.5)), label=label)
    highest, least = max(point.smoothed for point in points), min(point.loss for point in points)
    room = 0.08 * (highest - least) or 1.0
    axes.set_ylim(least - room, highest + room)
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f'{rate:g}'))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel='learning rate', ylabel=f'loss, nats per {unit}')
    axes.grid(True)
    figure.legend(loc='outside upper left', ncols=2, borderpad=0.1)
  return figure
