"""What is said before a run, and that saying it changes nothing."""

import logging
import shutil
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.settings import training_settings

from language_modeling_is_compression.data.batches import Batch
from language_modeling_is_compression.training import forecast
from language_modeling_is_compression.training.forecast import say_costs, say_sizes
from language_modeling_is_compression.training.layout import device_mesh
from language_modeling_is_compression.training.plan import MicroBatches
from language_modeling_is_compression.training.state import TrainingState, Update, together


@pytest.fixture(autouse=True)
def all_is_heard(caplog):
  caplog.set_level(logging.INFO, 'language_modeling_is_compression')


def task_of(**facts: int) -> Any:
  def batch(step, rows):
    return Batch(np.full((6, 4), step, np.uint8), np.full(6, 4, np.int32))

  def validation(periodic):
    return SimpleNamespace(num_rows=6 if periodic else 18)

  return SimpleNamespace(
    row_length=4, unit='token', facts=facts, meaning='what it means', training_batch=batch, validation=validation
  )


def state_of(step: int = 0) -> TrainingState:
  params: Any = {'a': jnp.ones((1000, 100))}
  moments = {'mean': jnp.ones((1000, 100)), 'square': jnp.ones((1000, 100))}
  return TrainingState(params, moments, jnp.int32(step))


@pytest.mark.parametrize(
  ('facts', 'epochs'), [({'num_train_chunks': 15}, ['an epoch: 2.5 steps; the run: 4 epochs']), ({}, [])]
)
def test_sizes(caplog, tmp_path, monkeypatch, facts, epochs):
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=5e6))
  folder = tmp_path / 'not' / 'yet'
  settings = training_settings(training_steps=10, batch_size=6, output_dir=str(folder))
  say_sizes(settings, task_of(**facts), state_of())
  assert caplog.messages == [
    'a step: 6 rows of up to 4 tokens, 24 in all',
    *epochs,
    f'disk: model 400 kB, 2 checkpoint(s) of 1.2 MB each; 5 MB are free in {folder}',
    'what it means',
  ]
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('chosen', 'needed'),
  [({}, '4.4 MB'), ({'checkpoint_policy': 'best'}, '5.6 MB'), ({'save_parameters': 'best'}, '5.6 MB')],
)
def test_a_disk_that_will_be_full_is_said(caplog, tmp_path, monkeypatch, chosen, needed):
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=4.3e6))
  settings = training_settings(output_dir=str(tmp_path), validate_every=5, **chosen)
  say_sizes(settings, task_of(), state_of())
  (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
  assert warning == f'{tmp_path}: the model and its checkpoints will take {needed}, and 4.3 MB are free'


class FakeUpdate:
  """An update that takes seconds of a clock that it moves."""

  def __init__(self, clock: list[float], seconds, stop_at: int):
    self.batches: list[Batch] = []
    self._clock, self._seconds, self._stop_at = clock, iter(seconds), stop_at

  def __call__(self, state, batch, stopped):
    self.batches.append(batch)
    if len(self.batches) == self._stop_at:
      return None
    self._clock[0] += next(self._seconds)
    return state._replace(params=None, opt_state=None), None


def tried(monkeypatch, count: int, *, first: int = 0, stop_at: int = 9, **settings: Any) -> list[Batch]:
  """Batches that were tried, the first in 100 seconds, the second in 3."""
  clock = [0.0]
  monkeypatch.setattr(forecast, 'time', SimpleNamespace(monotonic=lambda: clock[0]))
  step: Any = FakeUpdate(clock, [100.0, 3.0], stop_at)
  state = state_of(first)
  say_costs(
    training_settings(batch_size=6, **settings),
    task_of(),
    state,
    mesh=device_mesh(),
    micro_batches=MicroBatches(count=count, rows=6 // count, remat=False),
    update=Update(step, lambda state, batch: 2_500_000),
    stopped=lambda: False,
  )
  assert sum(float(leaf.sum()) for leaf in jax.tree.leaves((state.params, state.opt_state))) == 3e5, 'the state is gone'
  return step.batches


@pytest.mark.parametrize('count', [1, 2])
def test_the_second_try_is_what_a_step_takes(caplog, monkeypatch, count):
  batches = tried(monkeypatch, count, training_steps=15)
  assert [len(batch.lengths) for batch in batches] == [count, count] and together(count) == count
  assert caplog.messages == [
    'compiling the training step, once per run',
    f'memory: 2.5 MB on each of {len(jax.devices())} device(s), by plan of the compiler, beside the program',
    # 15 steps of 3 s, and 18 rows in a third of what 6 take.
    'time: a step takes about 3 s, the 15 steps and validations of the run about 48 s',
  ]


def test_a_step_is_as_long_as_all_its_micro_batches(caplog, monkeypatch):
  batches = tried(monkeypatch, 3, training_steps=100, validate_every=10, first=20)
  assert [batch.tokens.shape for batch in batches] == [(1, 2, 4), (1, 2, 4)]
  assert (batches[0].tokens == 20).all(), 'not the batch of the first step to come'
  # 80 steps of 9 s; 7 validations of 6 rows and one of 18, 3 s for 6 rows.
  assert (
    caplog.messages[-1] == 'time: a step takes about 9 s, the 80 steps and validations of the run about 12 min 30 s'
  )


@pytest.mark.parametrize('stop_at', [1, 2])
def test_who_stops_hears_nothing_of_time(caplog, monkeypatch, stop_at):
  assert len(tried(monkeypatch, 1, stop_at=stop_at)) == stop_at
  assert not any(message.startswith('time') for message in caplog.messages)


def test_a_run_that_has_all_its_steps_tries_none(caplog, monkeypatch):
  assert tried(monkeypatch, 1, training_steps=20, first=20) == []
  assert caplog.messages == ['compiling the training step, once per run']


def test_the_room_of_sounds_is_said(caplog, tmp_path, monkeypatch):
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=6e6))
  settings = training_settings(output_dir=str(tmp_path), training_steps=1000, generate_every=300)
  say_sizes(settings, task_of(), state_of(step=310), sound_bytes=10**6)
  assert 'disk: sounds that are generated 2 MB' in caplog.messages
  (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
  assert warning == f'{tmp_path}: the model, its checkpoints and sounds will take 6.4 MB, and 6 MB are free'
