"""Figures of all models: a sound over time with what it costs, and calibration; report/style.py says how they look.

Findings of up to two models stand in one figure, told apart by dashes and marks as well as by colour.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from language_modeling_is_compression.evaluation.look.findings import Findings, Residuals
from language_modeling_is_compression.evaluation.look.sound import DYNAMIC_RANGE
from language_modeling_is_compression.evaluation.look.sources import Sound
from language_modeling_is_compression.evaluation.report.style import (
  FAINT,
  GREY,
  INK,
  add_legend,
  data_limits,
  figure_settings,
  look_of,
  new_figure,
)

MAX_CHANNELS = 4  # That have a panel of their own; of more the mean is shown.
COLOURS_OF_VALUES = 'cividis'  # Even to the eye, with full sight of colours and without, and in grey.
_BARS = '#9ecae1'


def times_of(sound: Sound, points: int) -> np.ndarray:
  """Times of a figure's points, and of the end: seconds, float64 [points + 1], for lines of steps."""
  step = max(1, -(-sound.info.num_frames // points)) / sound.info.sample_rate_hz
  ends = np.minimum(np.arange(points + 1) * step, sound.seconds)
  return np.asarray(sound.start_seconds + ends)


def sound_over_time(sound: Sound, levels: np.ndarray, findings: Sequence[Findings]) -> Figure:
  """Spectrogram above bits per sample, a panel for each channel. levels: see `spectrogram`."""
  num_channels = sound.info.num_channels
  rows = [each.bits for each in findings]
  if num_channels == 1:
    names = ['bits per sample']
  elif num_channels <= MAX_CHANNELS:
    names = [f'bits,\nchannel {channel + 1}' for channel in range(num_channels)]
  else:
    rows = [bits.mean(axis=1, keepdims=True) for bits in rows]
    names = [f'bits, mean of\n{num_channels} channels']
  row_inches = 1.6 if len(names) == 1 else 1.1
  with figure_settings():
    figure = new_figure(2.5 + row_inches * len(names))
    upper, *lower = figure.subplots(1 + len(names), 1, sharex=True, height_ratios=[2.0] + [row_inches] * len(names))
    times = times_of(sound, len(rows[0]))
    upper.imshow(
      levels,
      cmap=COLOURS_OF_VALUES,
      vmin=-DYNAMIC_RANGE,
      vmax=0,
      origin='lower',
      aspect='auto',
      interpolation='none',
      extent=(times[0], times[-1], 0, sound.info.sample_rate_hz / 2000),
    )
    upper.set(ylabel='kHz')
    limits = data_limits(value for bits in rows for value in (bits.min(), bits.max()))
    for channel, (axes, name) in enumerate(zip(lower, names, strict=True)):
      for each, bits in zip(findings, rows, strict=True):
        steps(axes, times, bits[:, channel], each)
      axes.set(ylabel=name, ylim=limits, xlim=(times[0], times[-1]))
      axes.grid(color=FAINT)
    lower[-1].set_xlabel('time, seconds')
    model_legend(figure, findings)
  return figure


def difference_over_time(sound: Sound, first: Findings, second: Findings) -> Figure:
  """What the second model costs more than the first, in bits per sample of all channels."""
  with figure_settings():
    figure = new_figure(2.2)
    axes = figure.add_subplot()
    more = (second.bits - first.bits).mean(axis=1)
    times, values = times_of(sound, len(more)), np.append(more, more[-1])
    for each, part in ((first, np.maximum(values, 0)), (second, np.minimum(values, 0))):
      axes.fill_between(times, part, step='post', color=look_of(each.rank).colour, alpha=0.35, linewidth=0)
    axes.plot(times, values, drawstyle='steps-post', color=INK, linewidth=0.7)
    axes.axhline(0, color=GREY, linewidth=0.8)
    low, high = min(values.min(), 0), max(values.max(), 0)
    room = 0.06 * (high - low) or 0.01
    axes.set(xlim=(times[0], times[-1]), ylim=(low - room, high + room))
    axes.set(xlabel='time, seconds', ylabel='bits per sample')
    axes.grid(color=FAINT)
  return figure


def calibration(findings: Sequence[Findings]) -> Figure:
  """The histogram of quantiles, and residuals against what was expected of them: a row for each model."""
  columns = 1 + max(len(each.residuals) for each in findings)
  with figure_settings():
    figure = new_figure(0.6 + 2.3 * len(findings))
    rows = figure.subplots(len(findings), columns, squeeze=False, width_ratios=[2] + [3] * (columns - 1))
    for row, each in zip(rows, findings, strict=True):
      _quantiles(row[0], each.quantiles)
      for axes, residuals in zip(row[1:], each.residuals, strict=False):
        _residuals(axes, residuals, each.rank)
        axes.set_xlabel('residual, × running error' if each.hybrid else f'{residuals.label} less its likeliest value')
      for axes in row[1 + len(each.residuals) :]:
        axes.set_axis_off()
      row[0].set_title(each.model if len(findings) > 1 else '')
      row[1].set_ylabel('share of samples')
    look = look_of(0)
    handles = [Line2D([], [], **look.line()), Line2D([], [], **look.dots(3.2) | {'markerfacecolor': 'white'})]
    add_legend(figure, handles, ['expected', 'observed'])
  return figure


def _residuals(axes: Axes, residuals: Residuals, rank: int) -> None:
  """A line for what was expected and marks for what came; at the ends, which are not bins like the others, no line."""
  total, look = max(residuals.observed.sum(), 1), look_of(rank)
  expected, observed = residuals.expected / total, residuals.observed / total
  # Below the rarest of what came: what is expected of the rest goes on for ever. First of all, since of what has one
  # value there may be nothing, which has no place on a logarithmic axis.
  axes.set_ylim(0.5 / total, 2 * float(max(expected.max(), observed.max(), 1 / total)))
  end = np.floor(residuals.places[-1])
  axes.set(yscale='log', xticks=np.linspace(-end, end, 5))
  axes.plot(residuals.places[1:-1], expected[1:-1], **look.line())
  ends = look.dots(7) | {'marker': '_', 'markeredgewidth': 1.3}
  axes.plot(residuals.places[[0, -1]], expected[[0, -1]], **ends)
  axes.plot(residuals.places, np.where(observed > 0, observed, np.nan), **look.dots(3.2) | {'markerfacecolor': 'white'})
  axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{100 * value:g}%'))
  axes.yaxis.set_minor_formatter(NullFormatter())
  axes.grid(color=FAINT)


def _quantiles(axes: Axes, quantiles: np.ndarray) -> None:
  shares = quantiles / max(quantiles.sum(), 1) * len(quantiles)
  edges = np.arange(len(shares)) / len(shares)
  axes.bar(edges, shares, 1 / len(shares), align='edge', color=_BARS, edgecolor=INK, linewidth=0.5)
  axes.axhline(1, color=INK, linewidth=1, linestyle=(0, (4, 1.5)))
  axes.set(xlabel='mass below the sample', ylabel='samples, × even', xlim=(0, 1), xticks=(0, 0.5, 1))
  axes.set_ylim(0, max(1.3, 1.1 * float(shares.max(initial=0))))


def steps(axes: Axes, times: np.ndarray, values: np.ndarray, findings: Findings) -> None:
  """A model's line over time. values: [points]."""
  line = look_of(findings.rank).line() | {'linewidth': 1.0}
  axes.plot(times, np.append(values, values[-1]), drawstyle='steps-post', **line)


def model_legend(figure: Figure, findings: Sequence[Findings]) -> None:
  """A legend of the models' lines, where there are several."""
  if len(findings) > 1:
    handles = [Line2D([], [], **look_of(each.rank).line()) for each in findings]
    add_legend(figure, handles, [each.model for each in findings])
