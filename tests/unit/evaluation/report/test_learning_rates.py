"""The picture of a sweep shows its rates in plain numbers, and the one that is suggested."""

import pytest

from language_modeling_is_compression.evaluation.report.learning_rates import loss_over_rate
from language_modeling_is_compression.evaluation.report.style import svg
from language_modeling_is_compression.training.learning_rate_finder import Point

POINTS = [Point(step + 1, 10.0 ** (step - 5), loss, loss) for step, loss in enumerate([5.0, 4.0, 3.0, 9.0])]


@pytest.mark.parametrize('suggested', [1e-4, None])
def test_what_the_picture_says(suggested):
  text = svg(loss_over_rate(POINTS, suggested, 'token'), 'rates')
  assert ('suggested: 0.0001, 0.1 of the rate of the lowest' in text) == (suggested is not None)
  assert 'loss, nats per token' in text and '0.001<' in text and 'mathdefault' not in text
