"""Figures of byte models: where the bits go by byte and by position, the embedding, and attention by distance."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from language_modeling_is_compression.evaluation.look.findings import ByteFindings, Findings
from language_modeling_is_compression.evaluation.look.plots import COLOURS_OF_VALUES, model_legend
from language_modeling_is_compression.evaluation.report.style import (
  FAINT,
  GREY,
  data_limits,
  figure_settings,
  look_of,
  new_figure,
)

_HATCHES = ('', '////')
_FEW_BARS = 4  # Up to which there is room for two digits above each.


def bits_by_place(findings: Sequence[Findings]) -> Figure:
  """Bits of each byte of a sample, and of a sample by its position in a chunk."""
  with figure_settings():
    figure = new_figure(2.7)
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    width = 0.8 / len(findings)
    digits = 2 if len(findings) * len(_by_byte(findings[0]).byte_bits) <= _FEW_BARS else 1
    for index, each in enumerate(findings):
      by_byte, look = _by_byte(each), look_of(each.rank)
      places = np.arange(len(by_byte.byte_bits)) + (index - (len(findings) - 1) / 2) * width
      left.bar(places, by_byte.byte_bits, width, color=look.colour, hatch=_HATCHES[each.rank], edgecolor='white')
      for place, bits in zip(places, by_byte.byte_bits, strict=True):
        left.text(place, bits, f'{bits:.{digits}f}', ha='center', va='bottom')
      right.plot(by_byte.positions + 1, by_byte.position_bits, **look.line())
      right.plot(by_byte.positions + 1, by_byte.position_bits, **look.dots(3.5))
    trained = sorted({_by_byte(each).trained_samples for each in findings})
    for samples in trained:
      right.axvline(samples, color=GREY, linewidth=0.9, linestyle=(0, (1, 1)))
    names = [_byte_name(place, _by_byte(findings[0])) for place in range(len(_by_byte(findings[0]).byte_bits))]
    left.set_xticks(range(len(names)), names)
    most = max(float(_by_byte(each).byte_bits.max()) for each in findings)
    left.set(ylabel='bits', ylim=(0, max(9.0, 1.1 * most)))
    right.set(xscale='log', xlabel='position in the chunk, samples', ylabel='bits per sample')
    right.set_ylim(*data_limits(value for each in findings for value in _by_byte(each).position_bits))
    right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,.0f}'))
    right.xaxis.set_minor_formatter(NullFormatter())
    right.grid(color=FAINT)
    model_legend(figure, findings)
  return figure


def _byte_name(place: int, by_byte: ByteFindings) -> str:
  name = f'byte {place + 1}'
  return name if place < by_byte.model_bytes else f'{name},\ncounted'


def embeddings(findings: Sequence[Findings]) -> Figure:
  """The tokens' two principal components: a row for each model, a column for each byte of a sample."""
  tables = [_by_byte(each).embedding for each in findings]
  columns = max(len(table) for table in tables)
  with figure_settings():
    figure = new_figure(0.4 + 2.7 * len(findings))
    panels = figure.subplots(len(findings), columns, squeeze=False)
    for row, each, table in zip(panels, findings, tables, strict=True):
      for axes in row[len(table) :]:
        axes.set_axis_off()
      for place, (axes, places) in enumerate(zip(row, table, strict=False)):
        shares = _by_byte(each).variances[place]
        axes.plot(*places.T, color=FAINT, linewidth=0.8, zorder=1)
        dots = axes.scatter(*places.T, c=np.arange(len(places)), cmap=COLOURS_OF_VALUES, s=12, linewidths=0)
        for value in sorted({0, len(places) // 4, len(places) // 2, 3 * len(places) // 4, len(places) - 1}):
          axes.annotate(f'{value}', places[value], (3, 3), textcoords='offset points')
        title = f'byte {place + 1}' if columns > 1 else 'tokens'
        axes.set_title(f'{each.model}, {title}' if len(findings) > 1 else title)
        axes.set(xlabel=f'first component, {shares[0]:.0%}', ylabel=f'second component, {shares[1]:.0%}')
        axes.margins(0.12)
    figure.colorbar(dots, ax=panels, label='value of the byte', shrink=0.8)
  return figure


def attention(findings: Sequence[Findings]) -> Figure:
  """Shares of attention by distance, in tokens: a row for each layer, a column for each model."""
  layers = max(len(_by_byte(each).attention) for each in findings)
  with figure_settings():
    figure = new_figure(0.8 + 1.35 * layers)
    panels = figure.subplots(layers, len(findings), squeeze=False)
    for column, each in zip(panels.T, findings, strict=True):
      weights = _by_byte(each).attention
      edges = [0, *(1 << power for power in range(weights.shape[2].bit_length()) if 1 << power < weights.shape[2])]
      shares = np.add.reduceat(weights, edges, axis=2)
      names = [_distances(first, last) for first, last in itertools.pairwise([*edges, weights.shape[2]])]
      for axes in column[len(weights) :]:
        axes.set_axis_off()
      for layer, (axes, found) in enumerate(zip(column, shares, strict=False)):
        image = axes.imshow(found, cmap=COLOURS_OF_VALUES, vmin=0, vmax=1, aspect='auto', interpolation='none')
        axes.set_title(f'{each.model}, layer {layer + 1}' if len(findings) > 1 else f'layer {layer + 1}')
        axes.set_ylabel('head')
        axes.set_yticks(range(len(found)), [f'{head + 1}' for head in range(len(found))])
        last = layer == len(weights) - 1
        axes.set_xticks(range(len(names)), names if last else [''] * len(names))
        axes.tick_params('x', rotation=45 if len(findings) > 1 or len(names) > 9 else 0)
        if last:
          axes.set_xlabel('distance, tokens')
    figure.colorbar(image, ax=panels, label='share of the head’s attention', shrink=0.8)
  return figure


def _distances(first: int, stop: int) -> str:
  return f'{first}' if stop == first + 1 else f'{first}–{stop - 1}'


def _by_byte(findings: Findings) -> ByteFindings:
  assert findings.by_byte, 'a figure of byte models'
  return findings.by_byte
