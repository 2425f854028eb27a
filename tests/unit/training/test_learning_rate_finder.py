"""Sweeps of the learning rate: rates, smoothing, and what is suggested."""

import csv
import math
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from support.settings import training_settings

from language_modeling_is_compression.config.options import FinderConfig
from language_modeling_is_compression.data.batches import Batch
from language_modeling_is_compression.errors import ConfigError, TrainingError
from language_modeling_is_compression.training import learning_rate_finder
from language_modeling_is_compression.training.learning_rate_finder import (
  Point,
  has_diverged,
  rate_at,
  smoothed,
  suggested_rate,
  sweep,
  write_points,
)
from language_modeling_is_compression.training.plan import MicroBatches
from language_modeling_is_compression.training.stopper import Stopper

CONFIG = FinderConfig(find_learning_rate=True, find_from=1e-4, find_to=1.0, find_steps=5)


def points_of(*means: float) -> list[Point]:
  return [Point(index + 1, 10.0 ** (index - 12), mean, mean) for index, mean in enumerate(means)]


def test_rates_rise_by_the_same_factor():
  assert [rate_at(step, CONFIG) for step in range(5)] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
  assert rate_at(0, FinderConfig(find_learning_rate=True, find_steps=1)) == 1e-6


def test_rates_are_the_same_where_they_are_traced():
  traced = jax.jit(lambda step: rate_at(step, CONFIG))
  assert [float(traced(step)) for step in range(5)] == pytest.approx([rate_at(step, CONFIG) for step in range(5)])


def test_a_device_that_fails_is_one_error(monkeypatch):
  def fail(*_):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: none left\nand 100 lines more')

  rows = MicroBatches(count=1, rows=1, remat=False)
  setup = SimpleNamespace(update=fail, micro_batches=rows, objective=None, optimizer=None)
  monkeypatch.setattr(learning_rate_finder, 'set_up', lambda *_: setup)
  monkeypatch.setattr(learning_rate_finder, 'first_state', lambda *_: None)
  batch = Batch(np.zeros((1, 4), np.uint8), np.full(1, 4, np.int32))
  task: Any = SimpleNamespace(training_batch=lambda step, rows: batch)
  settings = training_settings(find_learning_rate=True, no_progress=True, batch_size=1)
  with pytest.raises(TrainingError, match=r'^the device failed: RESOURCE_EXHAUSTED: none left; try a lower --micro_b'):
    sweep(settings, task, Stopper())


def test_smoothing_does_not_begin_at_zero():
  assert smoothed([4.0, 4.0, 4.0]) == pytest.approx([4, 4, 4])
  assert smoothed([4.0, 2.0])[1] == pytest.approx((0.09 * 4 + 0.1 * 2) / 0.19)


def test_divergence():
  assert has_diverged([3.0, math.nan]) and has_diverged([3.0, math.inf])
  assert not has_diverged([3.0] * 20) and not has_diverged([3.0, 30.0])
  assert has_diverged([3.0] * 20 + [60.0])


def test_a_tenth_of_the_rate_of_the_lowest_loss_is_suggested():
  assert suggested_rate(points_of(*[9, 8, 7, 6, 5, 4, 3, 2, 1, 4, 9])) == pytest.approx(1e-5)


def test_nothing_is_suggested_of_a_loss_that_rises_or_of_few_steps():
  assert suggested_rate(points_of(*range(1, 20))) is None
  assert suggested_rate(points_of(3, 2, 1, 2)) is None
  assert suggested_rate([]) is None


def test_the_table_has_every_bit(tmp_path):
  points = [Point(1, 1e-6 / 3, 2 / 3, 0.1 + 0.2)]
  write_points(tmp_path / 'a.csv', points)
  with open(tmp_path / 'a.csv', encoding='utf-8', newline='') as file:
    (row,) = csv.DictReader(file)
  assert [float(row[name]) for name in Point._fields] == list(points[0])


@pytest.mark.parametrize(
  ('values', 'message'),
  [
    ({'find_steps': 3}, 'find_steps: expected find_learning_rate with it'),
    ({'find_learning_rate': True, 'find_from': 0.5, 'find_to': 0.5}, 'find_to: expected more than find_from'),
  ],
)
def test_settings_that_do_not_go_together(values, message):
  with pytest.raises(ConfigError) as caught:
    FinderConfig(**values)
  assert str(caught.value).startswith(message)
