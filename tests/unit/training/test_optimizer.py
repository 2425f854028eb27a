"""Step sizes over time, and that the optimizer takes them."""

import jax.numpy as jnp
import numpy as np
import pytest
from support.settings import training_settings

from language_modeling_is_compression.training.optimizer import learning_rate_schedule, make_optimizer


def step_sizes(schedule: str, steps: int) -> np.ndarray:
  config = training_settings(learning_rate=0.5, learning_rate_schedule=schedule, training_steps=steps)
  values = learning_rate_schedule(config)
  return np.array([values(step) for step in range(steps)])


def test_constant():
  np.testing.assert_array_equal(step_sizes('constant', 5), 0.5)


def test_cosine_warms_up_and_decays_to_a_fiftieth():
  sizes = step_sizes('cosine', 200)
  np.testing.assert_allclose(sizes[:11], np.linspace(0.5 / 11, 0.5, 11), rtol=1e-6)
  progress = np.arange(190) / 190
  np.testing.assert_allclose(sizes[10:], 0.01 + 0.49 * (1 + np.cos(np.pi * progress)) / 2, rtol=1e-5)
  config = training_settings(learning_rate=0.5, learning_rate_schedule='cosine', training_steps=200)
  assert float(learning_rate_schedule(config)(200)) == pytest.approx(0.01)


@pytest.mark.parametrize('steps', [1, 2, 9, 10, 11])
def test_cosine_of_few_steps_begins_high_and_stays_positive(steps):
  sizes = step_sizes('cosine', steps)
  assert sizes.max() == 0.5 and sizes.min() > 0 and np.argmax(sizes) <= 1


def test_large_gradients_are_scaled_down_where_that_is_asked_for():
  config = training_settings(learning_rate=0.5, gradient_clip_norm=2.0)
  plain, clipped = make_optimizer(training_settings(learning_rate=0.5)), make_optimizer(config)
  gradients = [jnp.array([6.0, 8.0]), jnp.array([0.6, 0.8])]
  shortened = [jnp.array([1.2, 1.6]), gradients[1]]
  states = [plain.init(jnp.zeros(2)), clipped.init(jnp.zeros(2))]
  for gradient, short in zip(gradients, shortened, strict=True):
    expected, states[0] = plain.update(short, states[0])
    updates, states[1] = clipped.update(gradient, states[1])
    np.testing.assert_allclose(updates, expected, rtol=1e-6)


def test_the_optimizer_is_adam_with_that_step_size():
  config = training_settings(learning_rate=0.5, learning_rate_schedule='cosine', training_steps=200)
  optimizer = make_optimizer(config)
  state = optimizer.init(jnp.zeros(2))
  # Adam's first updates are the step size against the sign of the gradient, whatever its magnitude.
  for step in range(2):
    updates, state = optimizer.update(jnp.array([1e-3, -1e3]), state)
    size = 0.5 * (step + 1) / 11
    np.testing.assert_allclose(updates, [-size, size], rtol=1e-4)
