"""What figures show: the right numbers at the right places, and all of their text."""

import dataclasses
import itertools
from typing import Any, cast
from xml.etree import ElementTree

import matplotlib
import matplotlib.text
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from support import evaluation_cases, report_cases
from support.report_cases import FLAC, MODEL

from language_modeling_is_compression.evaluation.report.file_plots import (
  bits_against_reference,
  hardest_and_easiest,
  waveform_over_bits,
)
from language_modeling_is_compression.evaluation.report.pictures import file_bits, pictures
from language_modeling_is_compression.evaluation.report.plots import (
  bits_by_position,
  pareto_front,
  rate_against_speed,
  rates_by_domain,
)
from language_modeling_is_compression.evaluation.report.results import Results
from language_modeling_is_compression.evaluation.report.style import looks, png, svg
from language_modeling_is_compression.evaluation.statistics.bootstrap import Interval
from language_modeling_is_compression.evaluation.statistics.measurements import CHUNKED, WHOLE, Span, Trace
from language_modeling_is_compression.evaluation.statistics.summary import ALL, EVERY, ONCE

GZIP = 'gzip -9'
INFOS = [evaluation_cases.compressor(FLAC), evaluation_cases.compressor(MODEL, parameters_bytes=1)]
LOOKS = looks(INFOS)


def two_files() -> Results:
  """FLAC takes 400 and 800 of 1000 bytes, the model 350 and 700, of two domains."""
  sizes = [(FLAC, 'a/1.wav', 400), (FLAC, 'b/2.wav', 800), (MODEL, 'a/1.wav', 350), (MODEL, 'b/2.wav', 700)]
  measurements = [evaluation_cases.measured(name, file, 1000, size) for name, file, size in sizes]
  return report_cases.of_measurements(INFOS, measurements)


def dots(figure: Figure, index: int = 0) -> list[tuple[float, float]]:
  """Where the marks of one of its axes are."""
  marked = [line for line in figure.axes[index].lines if line.get_marker() != 'None']
  return [(float(x), float(y)) for line in marked for x, y in zip(*cast(Any, line.get_data()), strict=True)]


def shown_texts(figure: Figure) -> list[matplotlib.text.Text]:
  """All text that a reader sees, without that of ticks that are out of sight."""
  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  found = [text for legend in figure.legends for text in legend.get_texts()]
  for axes in figure.axes:
    found += [axes.xaxis.label, axes.yaxis.label, axes.title, cast(Any, axes)._left_title, *axes.texts]
    for axis, limits in [(axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())]:
      ticks = (tick for tick in axis.get_major_ticks() if min(limits) <= tick.get_loc() <= max(limits))
      found += [tick.label1 for tick in ticks if tick.label1.get_visible()]
  return [text for text in found if text.get_text() and text.get_visible()]


def legend_names(figure: Figure) -> list[str]:
  return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


# Rates and speeds.


def test_rates_stand_where_they_are():
  figure = rates_by_domain(two_files().summaries, LOOKS)
  rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
  assert rows == ['all files', 'mean of domains', 'a', 'b']
  found = {(round(x, 6), rows[int(y)]) for x, y in dots(figure)}
  assert found == {
    *((60, row) for row in rows[:2]),
    *((52.5, row) for row in rows[:2]),
    (40, 'a'),
    (35, 'a'),
    (80, 'b'),
    (70, 'b'),
  }
  assert legend_names(figure) == [MODEL, FLAC]  # Models first.


def test_intervals_are_bars_and_may_be_missing():
  summary = two_files().summaries[0]
  narrow = dataclasses.replace(summary, interval=Interval(low=0.3, high=0.7))
  missing = dataclasses.replace(summary, domain='x', scope='domain', compression_rate=None, interval=None)
  figure = rates_by_domain([narrow, missing], LOOKS)
  [bars] = figure.axes[0].collections
  assert isinstance(bars, LineCollection)
  [bar] = bars.get_segments()
  assert list(bar[:, 0]) == pytest.approx([30, 70])
  assert len(dots(figure)) == 1


def test_speeds_and_names():
  pooled = [each for each in two_files().summaries if each.scope == ALL]
  slow = dataclasses.replace(pooled[1], encode_speed=0.01, decode_speed=None)
  figure = rate_against_speed([pooled[0], slow], LOOKS)
  encoding: list[Any] = dots(figure, 0)
  decoding: list[Any] = dots(figure, 1)
  assert encoding == [(0.01, pytest.approx(52.5)), (pooled[0].encode_speed, pytest.approx(60))]
  assert decoding == [(pooled[0].decode_speed, pytest.approx(60))]
  assert {text.get_text() for text in figure.axes[0].texts} == {MODEL, FLAC}
  assert figure.axes[0].get_xscale() == 'log' and not figure.legends


def test_dots_in_one_place_get_a_legend():
  pooled = [each for each in report_cases.results(num_domains=1).summaries if each.scope == ALL]
  together = [dataclasses.replace(each, compression_rate=0.5, encode_speed=1.0, decode_speed=1.0) for each in pooled]
  infos = report_cases.results(num_domains=1).compressors
  figure = rate_against_speed(together, looks(infos))
  assert sorted(legend_names(figure)) == sorted(info.name for info in infos)
  assert not any(axes.texts for axes in figure.axes)


def test_pareto_front_by_hand():
  assert pareto_front([(1, 40), (10, 50), (5, 55), (100, 60), (100, 70), (10, 50)]) == [(100, 60), (10, 50), (1, 40)]
  assert pareto_front([]) == []


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=20))
def test_pareto_front_is_of_those_that_nobody_beats(points):
  front = pareto_front(points)

  def beaten(point):
    return any(other != point and other[0] >= point[0] and other[1] <= point[1] for other in points)

  assert sorted(front) == sorted({point for point in points if not beaten(point)})


# Models and files.


def test_positions_are_weighted_by_samples():
  spans = [
    (Span(begin=0, num_samples=1, bits=9.0), Span(begin=1, num_samples=3, bits=12.0)),
    (Span(begin=0, num_samples=3, bits=15.0),),
  ]
  measurements = [
    evaluation_cases.measured(MODEL, f'{index}.wav', 100, 50, by_position=by_position)
    for index, by_position in enumerate(spans)
  ]
  figure = bits_by_position(measurements, LOOKS)
  assert dots(figure) == [(1, 6), (2, 4)]
  assert figure.axes[0].get_xscale() == 'log' and legend_names(figure) == [MODEL]


def test_bits_of_a_file():
  whole = evaluation_cases.measured(FLAC, 'a.wav', 1000, 400)
  chunked = evaluation_cases.measured(FLAC, 'b.wav', 1000, 400, num_chunks=5, header_bytes=20)
  bad = evaluation_cases.failed(FLAC, 'c.wav')
  assert file_bits([whole, chunked, bad], ONCE) == {FLAC: {'a.wav': 8 * 400 / 500, 'b.wav': 8 * 320 / 500}}
  assert file_bits([whole, chunked, bad], EVERY) == {FLAC: {'a.wav': 8 * 400 / 500, 'b.wav': 8 * 400 / 500}}


def test_files_against_the_reference():
  bits = {FLAC: {'a': 4.0, 'b': 8.0, 'c': 1.0}, MODEL: {'a': 3.0, 'b': 9.0, 'd': 1.0}}
  figure = bits_against_reference(bits, [MODEL], FLAC, LOOKS)
  assert dots(figure) == [(4, 3), (8, 9)]
  assert legend_names(figure) == [f'{MODEL}:\nsmaller on 1 of 2 files']
  [axes] = figure.axes
  assert axes.get_xlim() == axes.get_ylim() and axes.get_aspect() == 1
  assert axes.get_xlabel() == f'{FLAC}, bits per sample'


@pytest.mark.parametrize(
  ('num_files', 'shown'),
  [(1, [range(1)]), (20, [range(20)]), (21, [range(10), range(11, 21)]), (300, [range(10), range(290, 300)])],
)
def test_hardest_and_easiest(num_files, shown):
  names = [f'{index:03}.wav' for index in range(num_files)]
  bits = {MODEL: {name: 500.0 - index for index, name in enumerate(names)}, FLAC: {names[0]: 3.0}}
  figure = hardest_and_easiest(bits, [MODEL, FLAC], LOOKS)
  rows = [[text.get_text() for text in axes.texts] for axes in figure.axes]
  assert rows == [[names[index] for index in part] for part in shown]
  assert (500, 0) in dots(figure) and (3, 0) in dots(figure)


def test_names_of_files_stand_above_their_marks_and_take_no_width():
  names = [f'{"folder/" * 9}{index}.wav' for index in range(3)]
  figure = hardest_and_easiest({MODEL: {name: 7.0 + index for index, name in enumerate(names)}}, [MODEL], LOOKS)
  shown_texts(figure)
  [axes] = figure.axes
  frame = axes.get_window_extent()
  assert frame.width > 0.9 * figure.bbox.width
  for text, (x, y) in zip(axes.texts, sorted(dots(figure), key=lambda dot: dot[1]), strict=True):
    box, (_, mark) = text.get_window_extent(), axes.transData.transform((x, y))
    assert mark + 4 < box.y0 and frame.x0 <= box.x0 and box.x1 <= frame.x1 and box.y1 <= frame.y1


def test_waveform_and_bits_share_the_time():
  trace = Trace(file='a.wav', seconds=(0.0, 0.5), low=(-0.5, -0.25), high=(0.5, 1.0), bits={MODEL: (3.0, 7.0)})
  figure = waveform_over_bits(trace, LOOKS)
  upper, lower = figure.axes
  assert upper.get_xlim() == lower.get_xlim() == (0, 1)  # The last column is as long as the others.
  [line] = lower.lines
  assert np.asarray(line.get_xdata()).tolist() == [0, 0.5, 1] and np.asarray(line.get_ydata()).tolist() == [3, 7, 7]
  corners = np.asarray(upper.collections[0].get_paths()[0].vertices)
  assert [*corners.min(axis=0), *corners.max(axis=0)] == [0, -0.5, 1, 1]


def taken(limits: tuple[float, float], values: list[float]) -> float:
  """The share of an axis that is between the smallest and the largest value, all of which are inside."""
  assert limits[0] < min(values) and max(values) < limits[1]
  return (max(values) - min(values)) / (limits[1] - limits[0])


def test_axes_are_where_the_figures_are():
  """Bits per sample from 7 to 9: an axis from 0 on would keep them in a corner."""
  bits = {FLAC: {'a': 8.0, 'b': 9.0}, MODEL: {'a': 7.0, 'b': 8.5}}
  [axes] = bits_against_reference(bits, [MODEL], FLAC, LOOKS).axes
  assert axes.get_xlim() == axes.get_ylim() and taken(axes.get_xlim(), [7, 9]) > 0.8
  [axes] = hardest_and_easiest(bits, [MODEL, FLAC], LOOKS).axes
  assert taken(axes.get_xlim(), [7, 9]) > 0.8
  spans = (Span(begin=0, num_samples=1, bits=9.0), Span(begin=1, num_samples=1, bits=7.0))
  measurement = evaluation_cases.measured(MODEL, 'a.wav', 100, 50, by_position=spans)
  [axes] = bits_by_position([measurement], LOOKS).axes
  assert taken(axes.get_ylim(), [7, 9]) > 0.8
  quiet = Trace(file='a.wav', seconds=(0.0, 0.5), low=(-0.01, -0.02), high=(0.01, 0.0), bits={MODEL: (7.0, 9.0)})
  upper, lower = waveform_over_bits(quiet, LOOKS).axes
  assert taken(lower.get_ylim(), [7, 9]) > 0.8 and taken(upper.get_ylim(), [-0.02, 0.02]) > 0.8


@pytest.mark.parametrize('bits', [0.0, 7.0])
def test_axes_of_one_figure_alone(bits):
  [axes] = bits_against_reference({FLAC: {'a': bits}, MODEL: {'a': bits}}, [MODEL], FLAC, LOOKS).axes
  low, high = axes.get_xlim()
  assert 0 <= low <= bits < high
  silence = Trace(file='a.wav', seconds=(0.0, 0.5), low=(0.0, 0.0), high=(0.0, 0.0), bits={MODEL: (bits, bits)})
  upper, lower = waveform_over_bits(silence, LOOKS).axes
  assert lower.get_ylim()[0] <= bits < lower.get_ylim()[1] and upper.get_ylim()[1] > 0


def test_a_model_without_bytes_is_in_figures_of_code_lengths_alone():
  tokens = evaluation_cases.compressor('tokens', parameters_bytes=1)
  spans = (Span(begin=0, num_samples=1, bits=8.0),)
  sized = [dataclasses.replace(each, protocol=CHUNKED) for each in two_files().measurements]
  fields = {'protocol': CHUNKED, 'encode_seconds': 0.0, 'decode_seconds': 0.0, 'code_length_bits': 8.0}
  unsized = [
    evaluation_cases.measured('tokens', file, 1000, None, by_position=spans, **fields)
    for file in ('a/1.wav', 'b/2.wav')
  ]
  results = report_cases.of_measurements([*INFOS, tokens], [*sized, *unsized])
  found = {each.name: each.figure for each in pictures(results, reference=FLAC, count_headers=ONCE)}
  assert set(found) == {f'{kind}-chunked' for kind in ('rates', 'speed', 'files', 'extremes')} | {'bits-by-position'}
  assert legend_names(found['bits-by-position']) == ['tokens']
  for name in ('rates-chunked', 'files-chunked', 'extremes-chunked'):
    assert not any('tokens' in text for text in legend_names(found[name]))
  alone = report_cases.of_measurements([tokens], unsized)
  assert [each.name for each in pictures(alone, reference=None, count_headers=ONCE)] == ['bits-by-position']


# All of them.


@pytest.fixture(
  scope='module',
  params=[
    {},
    {'num_domains': 15, 'more_models': 5, 'files_per_domain': 2},
    {'num_domains': 1, 'files_per_domain': 1, 'more_models': 2},
  ],
  ids=['usual', 'many', 'few'],
)
def all_pictures(request):
  """With the text that each of them shows."""
  found = pictures(report_cases.results(**request.param, protocols=(CHUNKED,)), reference=FLAC, count_headers=ONCE)
  return [(picture, shown_texts(picture.figure)) for picture in found]


def test_text_can_be_read_in_print_and_of_one_figure_on_a_phone(all_pictures):
  """A phone shows about 345 CSS pixels, 3.6 inches, beside the page's margins."""
  for picture, texts in all_pictures:
    inches = 3.6 if picture.name.startswith('extremes') else 16 / 2.54
    assert picture.figure.get_figwidth() == pytest.approx(inches, abs=0.01)
    assert min(text.get_fontsize() for text in texts) >= 8


def test_text_is_neither_cut_off_nor_over_other_text(all_pictures):
  for picture, texts in all_pictures:
    boxes = [text.get_window_extent() for text in texts]
    width, height = picture.figure.bbox.size
    for text, box in zip(texts, boxes, strict=True):
      inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1
      assert inside, (picture.name, text.get_text())
    for (one, box), (other, other_box) in itertools.combinations(zip(texts, boxes, strict=True), 2):
      assert not box.padded(-1).overlaps(other_box.padded(-1)), (picture.name, one.get_text(), other.get_text())


def test_names_are_no_formulas_and_what_is_too_long_is_cut():
  names = ['_hidden $x^2$', 'a' * 200, '<b>&"\'\x1b\udcff\n']
  infos = [evaluation_cases.compressor(name, parameters_bytes=1) for name in names]
  files = [f'{name}/{"long/" * 40}$y$.wav' for name in names]
  measurements = [
    evaluation_cases.measured(info.name, file, 1000, 300 + index, domain=file)
    for index, file in enumerate(files)
    for info in infos
  ]
  results = report_cases.of_measurements(infos, measurements)
  found = pictures(results, reference=names[0], count_headers=ONCE)
  assert len(found) == 4
  for picture in found:
    texts = shown_texts(picture.figure)
    for text in texts:
      box = text.get_window_extent()
      assert box.x0 > -1 and box.x1 < picture.figure.bbox.width + 1, (picture.name, text.get_text())
    root = ElementTree.fromstring(svg(picture.figure, picture.name))
    drawn = [''.join(element.itertext()) for element in root.iter() if element.tag.endswith('text')]
    # Lines of a text are elements of their own.
    assert {line for text in texts for line in text.get_text().split('\n')} <= set(drawn)
  assert '_hidden $x^2$' in legend_names(found[0].figure)
  assert r"""<b>&"'\x1b\udcff\n""" in legend_names(found[0].figure)


def test_pictures_of_what_there_is():
  gzip = evaluation_cases.compressor(GZIP)

  def names(infos, measurements):
    results = report_cases.of_measurements(infos, measurements)
    return [picture.name for picture in pictures(results, reference=FLAC, count_headers=ONCE)]

  one = evaluation_cases.measured(GZIP, 'a/b.wav', 1000, 300)
  assert names([gzip], [one]) == ['rates-whole', 'speed-whole', 'extremes-whole']
  assert names([gzip], [evaluation_cases.failed(GZIP, 'a/b.wav')]) == []
  assert names([gzip], []) == []
  without_flac = [one, evaluation_cases.measured(MODEL, 'a/b.wav', 1000, 300)]
  assert names([gzip, INFOS[1]], without_flac) == ['rates-whole', 'speed-whole', 'extremes-whole']
  flac_failed = [*without_flac, evaluation_cases.failed(FLAC, 'a/b.wav')]
  of_both = [f'{kind}-{protocol}' for protocol in (WHOLE, CHUNKED) for kind in ('rates', 'speed', 'files', 'extremes')]
  chunked = [dataclasses.replace(each, protocol=CHUNKED) for each in two_files().measurements]
  by_position = dataclasses.replace(chunked[-1], by_position=(Span(begin=0, num_samples=1, bits=1.0),))
  everything = report_cases.of_measurements(
    INFOS, [*two_files().measurements, *chunked[:-1], by_position], traces=[report_cases.trace()] * 2
  )
  found = [picture.name for picture in pictures(everything, reference=FLAC, count_headers=ONCE)]
  assert sorted(found) == sorted([*of_both, 'bits-by-position', 'trace-1', 'trace-2'])
  assert names([gzip, *INFOS], flac_failed) == ['rates-whole', 'speed-whole', 'extremes-whole']


# Looks, SVG and PNG.


def test_looks_are_distinct_also_without_colour():
  infos = [evaluation_cases.compressor(str(index), parameters_bytes=index % 2) for index in range(12)]
  found = looks(infos)
  assert len({look.marker for look in found.values()}) == 12
  assert [name for name, look in found.items() if look.filled] == ['1', '3', '5', '7', '9', '11']
  many = looks([evaluation_cases.compressor(str(index)) for index in range(84)])
  assert len({(look.colour, look.marker) for look in many.values()}) == 84


def test_colours_can_be_told_from_paper():
  for look in looks([evaluation_cases.compressor(str(index)) for index in range(7)]).values():
    luminance = np.dot([0.2126, 0.7152, 0.0722], np.power(matplotlib.colors.to_rgb(look.colour), 2.2))
    assert 1.05 / (luminance + 0.05) > 2  # The contrast ratio of WCAG 2.


def test_the_same_results_give_the_same_svg_whatever_the_settings_of_matplotlib():
  summaries = [each for each in two_files().summaries if each.scope == ALL]

  def settings() -> dict:
    # To ask for the backend would choose one.
    return {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}

  def drawn() -> str:
    return svg(rate_against_speed(summaries, LOOKS), 'p')

  before = settings()
  first = drawn()
  assert settings() == before
  with matplotlib.rc_context({'font.size': 30, 'axes.grid': True, 'svg.hashsalt': 'x', 'lines.color': 'red'}):
    assert drawn() == first
  assert '<date' not in first and 'dc:' not in first


def test_ids_begin_with_the_prefix_and_references_follow():
  trace = waveform_over_bits(report_cases.trace(), LOOKS)
  text = svg(trace, 'one')
  root = ElementTree.fromstring(text)
  ids = [found for element in root.iter() if (found := element.get('id'))]
  assert len(ids) == len(set(ids)) > 10 and all(each.startswith('one-') for each in ids)
  used = [found for element in root.iter() if (found := element.get('href'))]
  clipped = [found for element in root.iter() if (found := element.get('clip-path'))]
  assert used and {each.removeprefix('#') for each in used} <= set(ids)
  assert clipped and {each.removeprefix('url(#').removesuffix(')') for each in clipped} <= set(ids)


def test_thousands_of_dots_become_an_image():
  bits = {name: {f'{index}.wav': 1 + index / 1000 for index in range(2001)} for name in (FLAC, MODEL)}
  text = svg(bits_against_reference(bits, [MODEL], FLAC, LOOKS), 'p')
  assert 'href="data:image/png;base64,' in text and len(text) < 200_000


def test_png_is_for_print():
  image = png(waveform_over_bits(report_cases.trace(), LOOKS))
  width = int.from_bytes(image[16:20], 'big')
  assert image.startswith(b'\x89PNG') and width == 1890  # 16 cm at 300 dots per inch.
