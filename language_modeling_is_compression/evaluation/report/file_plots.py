"""The figures that show files: each against another compressor's, the hardest and easiest, one over time."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from language_modeling_is_compression.evaluation.report.plots import Looks, dots, named_in
from language_modeling_is_compression.evaluation.report.style import (
  FAINT,
  GREY,
  NARROW_INCHES,
  add_legend,
  data_limits,
  figure_settings,
  new_figure,
)
from language_modeling_is_compression.evaluation.statistics.measurements import Trace
from language_modeling_is_compression.system.text import printable

# Bits per sample of each file, by compressor.
FileBits: TypeAlias = Mapping[str, Mapping[str, float]]

_MANY_DOTS = 2000  # From here on an image of them is smaller than their outlines.
_SHOWN_FILES = 10  # Hardest files that are shown, and as many of the easiest.


def bits_against_reference(bits: FileBits, names: Sequence[str], reference: str, looks: Looks) -> Figure:
  """A dot for each file that both did: a compressor's bits per sample over the reference's. Below the line it is less.

  names: of the compressors to show, without the reference. The legend counts the files on which each is smaller.
  """
  with figure_settings():
    figure = new_figure(4.2)
    axes = figure.add_subplot()
    legend = []
    shown: list[float] = []
    for name in names:
      pairs = [(bits[reference][file], cost) for file, cost in bits[name].items() if file in bits[reference]]
      style = {**looks[name].dots(3.5), 'markeredgewidth': 0.6, 'rasterized': len(pairs) > _MANY_DOTS}
      axes.plot([x for x, _ in pairs], [y for _, y in pairs], **style)
      shown += [cost for pair in pairs for cost in pair]
      legend.append(f'{printable(name, 24)}:\nsmaller on {sum(y < x for x, y in pairs):,} of {len(pairs):,} files')
    limits = data_limits(shown)
    axes.plot(limits, limits, color=GREY, linewidth=0.8, zorder=1)
    # Anchored at the left, where the layout has made room for the label.
    axes.set(xlim=limits, ylim=limits, aspect='equal', anchor='W')
    axes.set(xlabel=f'{printable(reference, 40)}, bits per sample')
    axes.set(ylabel=f'{printable(names[0], 40) if len(names) == 1 else "model"}, bits per sample')
    axes.grid()
    figure.legend(dots(names, looks), legend, loc='outside right upper', borderpad=0.1, handletextpad=0.4)
  return figure


def hardest_and_easiest(bits: FileBits, names: Sequence[str], looks: Looks) -> Figure:
  """Rows for the files that took the first compressor most bits per sample, and fewest; dots for it and the others.

  A file's name stands above its row, so that all of the width, which is a phone's, is for the dots.
  """
  first = bits[names[0]]
  files = sorted(first, key=lambda file: (-first[file], file))
  groups = {'': files}
  if len(files) > 2 * _SHOWN_FILES:
    groups = {'hardest': files[:_SHOWN_FILES], 'easiest': files[-_SHOWN_FILES:]}
  shown = [file for group in groups.values() for file in group]
  with figure_settings():
    figure = new_figure(1.0 + 0.36 * sum(len(group) + 0.5 for group in groups.values()), NARROW_INCHES)
    heights = [len(group) + 0.2 for group in groups.values()]
    all_axes = figure.subplots(len(groups), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, group) in zip(all_axes, groups.items(), strict=True):
      axes.set_title(title)
      _file_rows(axes, group, bits, names, looks)
    all_axes[-1].set_xlabel('bits per sample')
    all_axes[-1].set_xlim(*data_limits(bits[name][file] for name in names for file in shown if file in bits[name]))
    add_legend(figure, dots(names, looks), names)
  return figure


def _file_rows(axes: Axes, files: Sequence[str], bits: FileBits, names: Sequence[str], looks: Looks) -> None:
  for row, file in enumerate(files):
    costs = [bits[name][file] for name in names if file in bits[name]]
    axes.plot([min(costs), max(costs)], [row, row], color=GREY, linewidth=0.6, zorder=1)
    axes.text(0.01, row - 0.24, printable(file, 44), transform=axes.get_yaxis_transform(), va='bottom')
  # The first one above the others, where they meet.
  for name in reversed(names):
    rows = [(bits[name][file], row) for row, file in enumerate(files) if file in bits[name]]
    axes.plot([cost for cost, _ in rows], [row for _, row in rows], **looks[name].dots())
  axes.set_yticks([])
  axes.set_ylim(len(files) - 0.7, -0.9)
  axes.grid(axis='x')


def waveform_over_bits(trace: Trace, looks: Looks) -> Figure:
  """A file's waveform, and below it what its samples cost each compressor at that time."""
  names = named_in(looks, trace.bits)
  step = trace.seconds[-1] - trace.seconds[-2] if len(trace.seconds) > 1 else 1
  # A column holds from its beginning to the next one's.
  seconds = [*trace.seconds, trace.seconds[-1] + step]
  with figure_settings():
    figure = new_figure(3.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 3])
    low, high = ([*values, values[-1]] for values in (trace.low, trace.high))
    upper.fill_between(seconds, low, high, step='post', color=GREY, linewidth=0.4)
    loudest = max(map(abs, (*low, *high))) or 1.0
    upper.set(ylabel='amplitude', ylim=(-1.05 * loudest, 1.05 * loudest))
    upper.locator_params(axis='y', nbins=4)
    # Models above the others.
    for name in reversed(names):
      costs = trace.bits[name]
      lower.plot(seconds, [*costs, costs[-1]], drawstyle='steps-post', **looks[name].line())
    lower.set(xlabel='time, seconds', ylabel='bits per sample', xlim=(seconds[0], seconds[-1]))
    lower.set_ylim(*data_limits(cost for name in names for cost in trace.bits[name]))
    lower.grid(color=FAINT)
    add_legend(figure, [Line2D([], [], **looks[name].line()) for name in names], names)
  return figure
