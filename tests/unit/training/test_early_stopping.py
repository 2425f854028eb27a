"""What counts as an improvement, and when training ends."""

import math

import pytest

from language_modeling_is_compression.config.options import ANY_IMPROVEMENT, EarlyStoppingConfig, Improvement
from language_modeling_is_compression.training.early_stopping import Track, observed, reason_to_stop


def track_of(values, required: Improvement = ANY_IMPROVEMENT) -> Track:
  track = Track()
  for index, value in enumerate(values):
    track = observed(track, 10 * (index + 1), value, required)
  return track


def steps_until_the_end(values, **settings) -> int | None:
  """Step of the value that ends training; None if none does."""
  config = EarlyStoppingConfig(**{f'early_stopping_{name}': value for name, value in settings.items()})
  track = Track()
  for index, value in enumerate(values):
    track = observed(track, index + 1, value, config.improvement)
    if reason_to_stop(track, config, 'x'):
      return index + 1
  return None


def test_a_track_knows_the_best_and_how_long_ago_it_was():
  assert track_of([3.0, 2.0, 2.5, 2.0]) == Track(2.0, 20, 2, 2.0, 40)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_improvement(value):
  assert track_of([2.0, value])[:3] == (2.0, 10, 1)
  assert track_of([value])[:3] == (math.inf, 0, 1)


@pytest.mark.parametrize(
  ('required', 'value', 'is_better'),
  [
    (Improvement(absolute=0.5), 3.5, False),
    (Improvement(absolute=0.5), 3.25, True),
    (Improvement(share=0.25), 3.0, False),
    (Improvement(share=0.25), 2.75, True),
    (ANY_IMPROVEMENT, 4.0, False),
    (ANY_IMPROVEMENT, math.nextafter(4.0, 0.0), True),
  ],
)
def test_an_improvement_may_have_to_be_large(required, value, is_better):
  assert track_of([4.0, value], required).best == (value if is_better else 4.0)


def test_a_share_of_a_negative_figure_is_asked_downwards():
  assert track_of([-4.0, -4.5], Improvement(share=0.25)).without == 1
  assert track_of([-4.0, -5.5], Improvement(share=0.25)).without == 0


@pytest.mark.parametrize(
  ('values', 'settings', 'end'),
  [
    ([3, 2, 2, 1, 1, 1], {'patience': 2}, 6),
    ([3, 2, 2, 1, 1, 1], {'patience': 1}, 3),
    ([3, 2, 2, 1, 1, 1], {'patience': 3}, None),
    ([8, 7.9, 7.8, 7.7], {'patience': 3, 'min_improvement': '1'}, 4),
    ([8, 7.9, 7.8, 7.7], {'patience': 3, 'min_improvement': '2%'}, None),
    ([3, 5, 5.5], {'divergence': 5}, 3),
    ([3, math.nan], {'divergence': 5}, 2),
    ([3, math.nan], {'target': 1}, None),
    ([3, 2, 1], {'target': 2}, 2),
  ],
)
def test_the_end(values, settings, end):
  assert steps_until_the_end(values, **settings) == end


def test_reasons_say_what_and_when():
  track = track_of([3.0, 4.0])
  patience = reason_to_stop(track, EarlyStoppingConfig(early_stopping_patience=1), 'loss_nats')
  assert patience == 'loss_nats is 4 at step 20: no improvement in 1 measurements on 3 at step 10'
  divergence = reason_to_stop(track, EarlyStoppingConfig(early_stopping_divergence=3.5), 'loss_nats')
  assert divergence == 'loss_nats is 4 at step 20, above the divergence threshold of 3.5'
  target = reason_to_stop(track, EarlyStoppingConfig(early_stopping_target=4), 'loss_nats')
  assert target == 'loss_nats is 4 at step 20: the target of 4 is reached'


def test_a_track_survives_being_written_down():
  track = track_of([3.0, 4.0])
  assert Track.from_mapping(track._asdict()) == track
