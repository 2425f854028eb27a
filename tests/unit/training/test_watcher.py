"""What a run does about its figures: its end, its learning rate, and which parameters it saves."""

import json
from typing import Any

import numpy as np
import pytest
from support.settings import training_settings

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.training.optimizer import ScaleState
from language_modeling_is_compression.training.state import TrainingState
from language_modeling_is_compression.training.watcher import SCORE, Watcher

STOPPING = {'early_stopping_patience': 2, 'validate_every': 1}
PLATEAU = {'learning_rate_schedule': 'plateau', 'warmup_steps': 2, 'plateau_patience': 2, 'final_fraction': 0.2}


def state_of(step: int) -> TrainingState:
  """Parameters and their average that tell the step."""
  state: Any = TrainingState
  plain: Any = ScaleState
  return state({'a': np.float32(step)}, ({}, plain(np.float32(1))), step, None)


def params(state: TrainingState) -> Any:
  return state.params


def scores(watcher: Watcher, *values: float, name: str = SCORE, first: int = 1) -> list[float]:
  """Shares of the learning rate after each value, as the optimizer's state has them."""
  return [
    float(watcher.see(state_of(first + index), {name: value}).opt_state[-1].scale) for index, value in enumerate(values)
  ]


def copy_of(watcher: Watcher, **settings) -> Watcher:
  """The watcher of a run that goes on, from what a checkpoint has."""
  return Watcher(training_settings(**settings), json.loads(json.dumps(watcher.metadata())), watcher.best_params)


def test_nothing_is_watched_by_default():
  watcher = Watcher(training_settings(validate_every=1))
  scores(watcher, 3.0, 4.0)
  assert not watcher.is_on and watcher.metadata() == watcher.provenance() == {}
  assert watcher.saved_state(state_of(2)) == state_of(2) and watcher.reason() is None


def test_early_stopping_saves_the_best():
  watcher = Watcher(training_settings(**STOPPING))
  scores(watcher, 3.0, 2.0, 2.5)
  assert watcher.reason() is None
  scores(watcher, 2.0, first=4)
  reason = "the validations' bits per sample is 2 at step 4: no improvement in 2 measurements on 2 at step 2"
  assert watcher.reason() == reason
  saved = watcher.saved_state(state_of(4))
  assert params(saved) == {'a': 2.0} and saved.step == 4
  best = {'step': 2, 'figure': "the validations' bits per sample", 'value': 2.0}
  assert watcher.provenance() == {'saved': 'best', 'best': best, 'ended_early': reason}


def test_the_best_is_that_of_the_average_where_there_is_one():
  watcher = Watcher(training_settings(save_parameters='best', validate_every=1, ema_decay=0.5))
  watcher.see(state_of(1)._replace(ema={'a': np.float32(9)}), {SCORE: 1.0})
  saved = watcher.saved_state(state_of(2)._replace(ema={'a': np.float32(7)}))
  assert params(saved) == {'a': 9.0} and saved.ema is None


def test_the_last_are_saved_where_that_is_asked_for_or_training_alone_is_watched():
  for settings in ({**STOPPING, 'save_parameters': 'last'}, {**STOPPING, 'early_stopping_figure': 'loss_nats'}):
    watcher = Watcher(training_settings(**settings))
    scores(watcher, 1.0, 2.0)
    assert params(watcher.saved_state(state_of(2))) == {'a': 2.0}
    assert watcher.provenance() == {'ended_early': None}


def test_a_figure_by_name_with_a_warm_up():
  settings = {**STOPPING, 'early_stopping_figure': 'valid/x', 'early_stopping_warmup_steps': 2}
  watcher = Watcher(training_settings(**settings))
  scores(watcher, 1.0, 1.0, 5.0, 5.0, name='valid/x')
  assert watcher.reason() is None
  scores(watcher, 5.0, name='valid/x', first=5)
  assert watcher.reason() is not None


def test_plateau_lowers_the_rate_down_to_its_floor():
  watcher = Watcher(training_settings(**PLATEAU, validate_every=1))
  given = scores(watcher, 1.0, 1.0, 5.0, 5.0, 5.0, 4.0, 4.5, 4.0, 4.0, 4.0, 4.0, 4.0)
  # The first two are of the warm-up, and count for nothing. A state without news has a scale of 1 here.
  np.testing.assert_allclose(given, [1, 1, 1, 1, 0.5, 1, 1, 0.25, 1, 0.2, 1, 1])
  assert watcher.scale == 0.2


def test_plateau_goes_by_the_loss_without_validations():
  watcher = Watcher(training_settings(**PLATEAU))
  assert scores(watcher, 5.0, 5.0, 5.0, name='loss_nats', first=3) == [1, 1, 0.5]


@pytest.mark.parametrize('cut', range(1, 6))
def test_going_on_equals_not_having_stopped(cut):
  settings = {**PLATEAU, **STOPPING, 'early_stopping_patience': 4}
  values = [9.0, 8.0, 5.0, 5.0, 5.0, 5.0]
  whole, first = Watcher(training_settings(**settings)), Watcher(training_settings(**settings))
  scores(whole, *values)
  scores(first, *values[:cut])
  second = copy_of(first, **settings)
  scores(second, *values[cut:], first=cut + 1)
  assert second.metadata() == whole.metadata() and second.scale == 0.5
  assert second.best_params == whole.best_params == {'a': 3.0}


def test_a_run_that_goes_on_with_other_settings_begins_anew_with_what_they_changed():
  watcher = Watcher(training_settings(**STOPPING))
  scores(watcher, 1.0, 2.0, 2.0)
  assert watcher.reason() and copy_of(watcher, **STOPPING).reason() == watcher.reason()
  assert copy_of(watcher, **{**STOPPING, 'early_stopping_patience': 3}).reason() is None
  other = copy_of(watcher, **STOPPING, early_stopping_figure='valid/x')
  assert other.reason() is None and other.best_params is None


def test_unknown_figures_are_refused():
  watcher = Watcher(training_settings(**STOPPING, early_stopping_figure='valid/z'))
  with pytest.raises(ConfigError, match=r"^early_stopping_figure: expected one of a, b, valid/x, got 'valid/z'$"):
    watcher.check_figures(['b', 'a'], ['x'])
  with pytest.raises(ConfigError, match=r'^validate_every: no samples are held out'):
    watcher.check_figures(['a'], [])
  for name in ('a', 'valid/x'):
    Watcher(training_settings(**STOPPING, early_stopping_figure=name)).check_figures(['a'], ['x'])


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'early_stopping_patience': 1}, 'early_stopping_figure: the default is a figure of validations: give --valida'),
    ({'early_stopping_target': 1, 'early_stopping_figure': 'valid/x'}, 'early_stopping_figure: valid/x is a figure'),
    ({'save_parameters': 'best'}, 'save_parameters: best is judged by validations: give --validate_every'),
    ({'early_stopping_warmup_steps': 1}, 'early_stopping_warmup_steps: expected one of early_stopping_patience'),
    (
      {'early_stopping_target': 1, 'early_stopping_min_improvement': '1'},
      'early_stopping_min_improvement: expected early_stopping_patience with it',
    ),
  ],
)
def test_settings_that_do_not_go_together(settings, message):
  with pytest.raises(ConfigError) as caught:
    training_settings(**settings)
  assert str(caught.value).startswith(message)
