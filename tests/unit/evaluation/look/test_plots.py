"""Figures show the right numbers at the right places."""

import dataclasses
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.look_cases import byte_findings, findings, hybrid_findings, residuals, sound_of, write_wav

from language_modeling_is_compression.evaluation.look import byte_plots, hybrid_plots, plots
from language_modeling_is_compression.evaluation.look.sources import Sound

LEVELS = np.linspace(-90, 0, 12).reshape(3, 4)


@pytest.fixture
def sound(tmp_path) -> Sound:
  """Of 600 frames at 8000 Hz that begin 2 seconds into a file."""
  return sound_of(write_wav(tmp_path / 'a.wav', 600), start_seconds=2.0)


def lines(figure: Figure, axes: int) -> list[tuple[list[float], list[float]]]:
  found = [cast(Any, line.get_data()) for line in figure.axes[axes].lines]
  return [(np.asarray(x, float).tolist(), np.asarray(y, float).tolist()) for x, y in found]


def test_times(sound):
  np.testing.assert_allclose(plots.times_of(sound, 6), 2 + np.arange(7) * 100 / 8000)
  # Of 7 points each but the last one has 86 frames, which is up to the end.
  np.testing.assert_allclose(plots.times_of(sound, 7)[[1, -2, -1]], [2 + 86 / 8000, 2 + 516 / 8000, 2.075])


def test_spectrogram_and_bits_share_the_time(sound):
  figure = plots.sound_over_time(sound, LEVELS, [findings(), findings('n', 1)])
  upper, lower = figure.axes
  assert upper.get_xlim() == lower.get_xlim() == (2, 2.075)
  [image] = upper.images
  assert list(image.get_extent()) == [2, 2.075, 0, 4]
  np.testing.assert_array_equal(np.asarray(image.get_array()), LEVELS)
  first, second = lines(figure, 1)
  assert first == second and first[1] == [1, 2, 3, 4, 5, 6, 6]
  assert lower.lines[0].get_linestyle() != lower.lines[1].get_linestyle()
  assert [text.get_text() for text in figure.legends[0].get_texts()] == ['m', 'n']


@pytest.mark.parametrize(('channels', 'panels'), [(1, 1), (2, 2), (4, 4), (5, 1)])
def test_a_panel_for_each_channel(tmp_path, channels, panels):
  sound = sound_of(write_wav(tmp_path / 'a.wav', 600, channels))
  each = findings(channels=channels)
  figure = plots.sound_over_time(sound, LEVELS, [each])
  assert len(figure.axes) == 1 + panels
  means = each.bits if panels == channels else each.bits.mean(axis=1, keepdims=True)
  for panel in range(panels):
    [(_, values)] = lines(figure, 1 + panel)
    assert values[:-1] == means[:, panel].tolist()


def test_difference(sound):
  first, second = findings(), findings('n', 1, bits=np.array([[2.0], [0], [3], [5], [4], [6]]))
  figure = plots.difference_over_time(sound, first, second)
  assert lines(figure, 0)[0][1] == [1, -2, 0, 1, -1, 0, 0]
  low, high = figure.axes[0].get_ylim()
  assert low < -2 and high > 1


def test_calibration(sound):
  quantiles = np.arange(20.0)
  figure = plots.calibration([findings(quantiles=quantiles), findings('n', 1, residuals=(residuals(), residuals()))])
  bars = [cast(Any, bar).get_height() for bar in figure.axes[0].patches]
  np.testing.assert_allclose(bars, quantiles / 190 * 20)
  expected, ends, observed = lines(figure, 1)
  assert expected[0] == [-3, -2, -1, 0, 1, 2, 3] and ends[0] == observed[0][::8] == [-4, 4]
  np.testing.assert_allclose(expected[1], np.exp2(-np.abs(np.arange(-3, 4))) / 36)
  np.testing.assert_allclose(observed[1][1:], np.arange(1, 9) / 36)
  assert np.isnan(observed[1][0])  # Nothing has no place on a logarithmic axis.
  assert [axes.axison for axes in figure.axes] == [True, True, False, True, True, True]


def test_weights(sound):
  hybrid = hybrid_findings()
  hybrid.rates[:] = [0.1, 0.2, 0.3, 0.4]
  figure = hybrid_plots.weights_over_time(sound, [findings(hybrid=hybrid), findings('n', 1, hybrid=hybrid)])
  first, second = lines(figure, 0)
  np.testing.assert_allclose(first[1], [*hybrid.network, 1])
  assert first == second
  tops = [cast(Any, area).get_paths()[0].vertices[:, 1].max() for area in figure.axes[1].collections]
  np.testing.assert_allclose(tops, [0.1, 0.3, 0.6, 1.0])
  legend = figure.axes[1].get_legend()
  assert legend
  names = [text.get_text() for text in legend.get_texts()]
  assert names == ['1,024 samples', '128 samples', '32 samples', '8 samples']


def test_weights_are_thinned_to_their_means_and_silence_is_left_out(sound):
  network = np.repeat(np.arange(200.0), 3) / 200
  network[:3] = np.nan  # A point where every channel has one value.
  network[3:5] = np.nan
  many = hybrid_findings(600)
  figure = hybrid_plots.weights_over_time(sound, [findings(hybrid=dataclasses.replace(many, network=network))])
  [(times, values)] = lines(figure, 0)
  assert len(times) == 201
  np.testing.assert_allclose(values[:-1], np.arange(200) / 200)


def test_repetition(sound):
  figure = hybrid_plots.repetition(sound, [findings(hybrid=hybrid_findings())])
  assert lines(figure, 0) == [([2.1, 2.2], [0.01, 0.02]), ([2.2], [0.5])]
  assert lines(figure, 1)[0][1] == [0.5] * 7
  alone = hybrid_plots.repetition(sound, [findings(hybrid=hybrid_findings(lags=False))])
  assert len(alone.axes) == 1 and lines(alone, 0)[0][1] == [0.5] * 7


def test_bits_by_place():
  figure = byte_plots.bits_by_place([findings(by_byte=byte_findings(places=1))])
  assert [cast(Any, bar).get_height() for bar in figure.axes[0].patches] == [2, 7]
  assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ['byte 1', 'byte 2,\ncounted']
  assert [text.get_text() for text in figure.axes[0].texts] == ['2.00', '7.00'] and figure.axes[0].get_ylim() == (0, 9)
  line, dots, trained = lines(figure, 1)
  assert line == dots == ([1, 2, 3, 5], [16, 12, 9, 8]) and trained[0] == [3, 3]


def test_bytes_that_take_more_than_they_have():
  """A model that is sure of what does not come."""
  by_byte = dataclasses.replace(byte_findings(), byte_bits=np.array([2.0, 7.0, 20.0]))
  figure = byte_plots.bits_by_place([findings(by_byte=by_byte), findings('n', 1, by_byte=by_byte)])
  assert figure.axes[0].get_ylim()[1] >= 22
  assert [text.get_text() for text in figure.axes[0].texts] == ['2.0', '7.0', '20.0'] * 2
  places = [text.get_position()[0] for text in figure.axes[0].texts]
  assert sorted(places) == pytest.approx([-0.2, 0.2, 0.8, 1.2, 1.8, 2.2])


def test_embedding():
  by_byte = byte_findings()
  figure = byte_plots.embeddings([findings(by_byte=by_byte)])
  for place in range(2):
    axes = figure.axes[place]
    np.testing.assert_allclose(cast(Any, axes.collections[0]).get_offsets(), by_byte.embedding[place])
    assert [text.get_text() for text in axes.texts] == ['0', '64', '128', '192', '255']
    assert axes.get_xlabel() == 'first component, 50%'


def test_attention():
  figure = byte_plots.attention([findings(by_byte=byte_findings(window=12))])
  first, last = figure.axes[:2]
  np.testing.assert_allclose(np.asarray(first.images[0].get_array()), np.array([[1, 1, 2, 4, 4]] * 3) / 12)
  assert [text.get_text() for text in last.get_xticklabels()] == ['0', '1', '2–3', '4–7', '8–11']
