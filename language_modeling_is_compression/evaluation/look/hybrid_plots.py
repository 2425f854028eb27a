"""Figures of hybrid models: what is believed over time, and what repeats."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from language_modeling_is_compression.evaluation.look.findings import Findings, HybridFindings
from language_modeling_is_compression.evaluation.look.plots import COLOURS_OF_VALUES, model_legend, steps, times_of
from language_modeling_is_compression.evaluation.look.sources import Sound
from language_modeling_is_compression.evaluation.report.style import (
  FAINT,
  INK,
  add_legend,
  figure_settings,
  look_of,
  new_figure,
)
from language_modeling_is_compression.prediction.mixture import RATES

_MAX_POINTS = 200  # Of weights, which go up and down all the time.
_MANY_DOTS = 2000  # From here on an image of them is smaller than their outlines.
_LEAST_COPIES = 0.01  # Share that copies must have somewhere to be shown: where nothing repeats it is far less.
_HATCHES = ('', '....', '', '////')


def weights_over_time(sound: Sound, findings: Sequence[Findings]) -> Figure:
  """Each network's posterior, and the experts' shapes by their rates, which do not depend on the network."""
  colours = [colormaps[COLOURS_OF_VALUES](place) for place in np.linspace(0.15, 1, len(RATES))]
  areas: dict[str, Any] = {'edgecolor': INK, 'linewidth': 0}
  with figure_settings():
    figure = new_figure(4.0)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for each in findings:
      times, means = _thinned(sound, _hybrid(each).network)
      upper.plot(times, means, drawstyle='steps-post', **look_of(each.rank).line())
    upper.grid(color=FAINT)
    times, means = _thinned(sound, _hybrid(findings[0]).rates)
    lower.stackplot(times, means.T, step='post', colors=colours, hatch=_HATCHES, **areas)
    upper.set(ylabel='network’s weight', ylim=(0, 1.03))
    lower.set(ylabel='weights of shapes', ylim=(0, 1), xlim=(times[0], times[-1]), xlabel='time, seconds')
    patches = [Patch(facecolor=colour, hatch=hatch, **areas) for colour, hatch in zip(colours, _HATCHES, strict=True)]
    # In the order in which they are stacked.
    lower.legend(
      patches[::-1],
      [f'{round(1 / rate):,} samples' for rate in reversed(RATES)],
      title='error followed over',
      title_fontsize=8,
      loc='center left',
      bbox_to_anchor=(1, 0.5),
    )
    model_legend(figure, findings)
  return figure


def repeats(findings: Sequence[Findings]) -> bool:
  """Whether there is anything that `repetition` can show."""
  return bool(_hybrid(findings[0]).lags) or any(_most(_hybrid(each).copies) > _LEAST_COPIES for each in findings)


def repetition(sound: Sound, findings: Sequence[Findings]) -> Figure:
  """Lags over time, if there are any, which do not depend on the model, and the share of copies under each model."""
  lags = _hybrid(findings[0]).lags
  handles: list[Line2D] = []
  names: list[str] = []
  with figure_settings():
    figure = new_figure(3.6 if lags else 1.9)
    panels = figure.subplots(2 if lags else 1, 1, sharex=True, squeeze=False, height_ratios=[3, 2] if lags else [1])[
      :, 0
    ]
    lower = panels[-1]
    for rank, name in enumerate(('best lag', 'second lag') if lags else ()):
      found = [(sound.start_seconds + each.seconds, each.lag_seconds[rank]) for each in lags if each.lag_seconds[rank:]]
      dots = look_of(2 + rank).dots(3) | ({'markerfacecolor': 'white'} if rank else {})
      panels[0].plot([time for time, _ in found], [lag for _, lag in found], rasterized=len(found) > _MANY_DOTS, **dots)
      handles.append(Line2D([], [], **dots))
      names.append(name)
    if lags:
      panels[0].set(yscale='log', ylabel='lag, seconds')
      panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
      panels[0].yaxis.set_minor_formatter(NullFormatter())
      panels[0].grid(color=FAINT)
    times = times_of(sound, len(findings[0].bits))
    for each in findings:
      steps(lower, times, _hybrid(each).copies, each)
      if len(findings) > 1:
        handles.append(Line2D([], [], **look_of(each.rank).line()))
        names.append(each.model)
    lower.set(xlim=(times[0], times[-1]), ylim=(-0.03, 1.03), xlabel='time, seconds', ylabel='share of copies')
    lower.grid(color=FAINT)
    add_legend(figure, handles, names)
  return figure


def _most(values: np.ndarray) -> float:
  return float(np.nan_to_num(values).max(initial=0))


def _thinned(sound: Sound, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Times of fewer points, and the means [points + 1, ...] of values [M, ...] there, the last one twice; 0 for none."""
  times = times_of(sound, len(values))
  starts = np.unique(np.linspace(0, len(values), min(_MAX_POINTS, len(values)), endpoint=False).astype(int))
  known = ~np.isnan(values)
  sums = np.add.reduceat(np.where(known, values, 0), starts)
  means = sums / np.maximum(np.add.reduceat(known.astype(float), starts), 1)
  return np.append(times[starts], times[-1]), np.concatenate([means, means[-1:]])


def _hybrid(findings: Findings) -> HybridFindings:
  assert findings.hybrid, 'a figure of hybrid models'
  return findings.hybrid
