"""Step sizes over time, and what each optimizer does with them and with its own settings."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.settings import training_settings
from support.tiny_models import DATA, MODEL, hybrid_params, random_params

from language_modeling_is_compression.config.options import OPTIMIZERS, SCHEDULES
from language_modeling_is_compression.network.hybrid import build_hybrid
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.training.optimizer import (
  learning_rate_schedule,
  make_optimizer,
  matrices,
  with_scale,
)


def step_sizes(schedule: str, steps: int, **values: Any) -> np.ndarray:
  config = training_settings(learning_rate=0.5, learning_rate_schedule=schedule, training_steps=steps, **values)
  return rates(learning_rate_schedule(config), steps)


def rates(schedule: optax.Schedule, steps: int) -> np.ndarray:
  """Of all steps, and of the one that would follow, as a compiled step computes them."""
  return np.asarray(jax.jit(jax.vmap(lambda step: jnp.asarray(schedule(step), jnp.float32)))(jnp.arange(steps + 1)))


def test_constant():
  np.testing.assert_array_equal(step_sizes('constant', 5), 0.5)


@pytest.mark.parametrize('steps', [1, 9, 10, 200])
def test_cosine_is_bit_for_bit_what_it_was(steps):
  warm_up = round(0.05 * steps)
  former = optax.warmup_cosine_decay_schedule(
    init_value=0.5 / (warm_up + 1),
    peak_value=0.5,
    warmup_steps=warm_up,
    decay_steps=max(steps, warm_up + 1),
    end_value=0.5 * 0.02,
  )
  assert step_sizes('cosine', steps).tobytes() == rates(former, steps).tobytes()


# The share of the learning rate, given the share of the way down.
FORMULAS = {
  'constant': lambda progress, final: np.ones_like(progress),
  'linear': lambda progress, final: 1 + (final - 1) * progress,
  'cosine': lambda progress, final: final + (1 - final) * (1 + np.cos(np.pi * progress)) / 2,
  'exponential': lambda progress, final: final**progress,
}


@pytest.mark.parametrize('final', [None, 0.25])
@pytest.mark.parametrize('warm_up', [None, 0, 30])
@pytest.mark.parametrize('name', FORMULAS)
def test_schedules_are_their_formulas(name, warm_up, final):
  given = {'warmup_steps': warm_up, 'final_fraction': final if SCHEDULES[name] else None}
  sizes = step_sizes(name, 100, **given)
  rise = {None: 0 if name == 'constant' else 5}.get(warm_up, warm_up)
  np.testing.assert_allclose(sizes[:rise], 0.5 * (1 + np.arange(rise)) / (rise + 1), rtol=1e-6)
  progress = np.arange(101 - rise) / (100 - rise)
  np.testing.assert_allclose(sizes[rise:], 0.5 * FORMULAS[name](progress, final or 0.02), rtol=1e-5)


@pytest.mark.parametrize('name', ['linear', 'cosine'])
def test_a_schedule_may_come_down_to_nothing(name):
  sizes = step_sizes(name, 20, final_fraction=0.0)
  assert abs(sizes[-1]) < 1e-7 and (sizes[:-1] > 0).all()


@pytest.mark.parametrize(('given', 'rise', 'fall'), [({}, 5, 20), ({'warmup_steps': 0, 'decay_fraction': 0.4}, 0, 40)])
def test_warmup_stable_decay_is_constant_in_between(given, rise, fall):
  sizes = step_sizes('warmup_stable_decay', 100, **given)
  np.testing.assert_allclose(sizes[:rise], 0.5 * (1 + np.arange(rise)) / (rise + 1), rtol=1e-6)
  np.testing.assert_array_equal(sizes[rise : 100 - fall], 0.5)
  np.testing.assert_allclose(sizes[100 - fall :], 0.5 * (1 - 0.98 * np.arange(fall + 1) / fall), rtol=1e-5)


def test_cosine_may_come_down_several_times():
  sizes = step_sizes('cosine', 100, warmup_steps=10, cycles=4)
  starts = [10, 32, 55, 77, 100]  # A quarter of 90 steps each, as near as it goes.
  for before, after in itertools.pairwise(starts):
    progress = np.arange(after - before) / (after - before)
    np.testing.assert_allclose(sizes[before:after], 0.5 * FORMULAS['cosine'](progress, 0.02), rtol=1e-5)
  assert sizes[100] == pytest.approx(0.01)


@pytest.mark.parametrize('name', SCHEDULES)
@pytest.mark.parametrize('steps', [1, 2, 3])
def test_every_schedule_has_a_first_step(name, steps):
  sizes = step_sizes(name, steps)
  assert sizes[0] == 0.5 and (sizes > 0).all()


def test_cosine_warms_up_and_decays_to_a_fiftieth():
  sizes = step_sizes('cosine', 200)[:-1]
  np.testing.assert_allclose(sizes[:11], np.linspace(0.5 / 11, 0.5, 11), rtol=1e-6)
  progress = np.arange(190) / 190
  np.testing.assert_allclose(sizes[10:], 0.01 + 0.49 * (1 + np.cos(np.pi * progress)) / 2, rtol=1e-5)
  config = training_settings(learning_rate=0.5, learning_rate_schedule='cosine', training_steps=200)
  assert float(learning_rate_schedule(config)(200)) == pytest.approx(0.01)


@pytest.mark.parametrize('steps', [1, 2, 9, 10, 11])
def test_cosine_of_few_steps_begins_high_and_stays_positive(steps):
  sizes = step_sizes('cosine', steps)[:-1]
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


# What there is in both networks: matrices, norms, biases of one and two axes, embeddings of three.
PARAMS = {
  'layer_0': {'queries': (4, 6), 'lag_bias': (2, 4), 'attention_norm': (4,)},
  '~': {'embedding': (1, 5, 4), 'output_bias': (6,)},
}


def arrays(seed: int) -> dict:
  rng = np.random.default_rng(seed)
  return {
    module: {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}
    for module, shapes in PARAMS.items()
  }


def updated(optimizer: optax.GradientTransformation, params: Any, gradients: list) -> Any:
  state = optimizer.init(params)
  step = jax.jit(optimizer.update)
  for gradient in gradients:
    updates, state = step(gradient, state, params)
    params = optax.apply_updates(params, updates)
  return params


def assert_bits_equal(got: Any, expected: Any) -> None:
  jax.tree.map(
    lambda a, b: np.testing.assert_array_equal(np.asarray(a).view(np.int32), b.view(np.int32)), got, expected
  )


@pytest.mark.parametrize('clip', [None, 1.0])
def test_at_default_flags_it_is_plain_adam_bit_for_bit(clip):
  plain = optax.adam(optax.constant_schedule(1e-4))
  if clip:
    plain = optax.chain(optax.clip_by_global_norm(clip), plain)
  gradients = [arrays(seed) for seed in range(1, 4)]
  got = updated(make_optimizer(training_settings(gradient_clip_norm=clip)), arrays(0), gradients)
  assert_bits_equal(got, updated(plain, arrays(0), gradients))


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_each_optimizer_lowers_a_quadratic_loss(name):
  config = training_settings(optimizer=name, learning_rate=0.05, learning_rate_schedule='cosine', training_steps=300)
  optimizer, target = make_optimizer(config), arrays(1)

  def loss(params: Any) -> jax.Array:
    return optax.tree.norm(jax.tree.map(jnp.subtract, params, target), squared=True)

  def step(carry: Any, _: None) -> Any:
    params, state = carry
    updates, state = optimizer.update(jax.grad(loss)(params), state, params)
    return (optax.apply_updates(params, updates), state), None

  (params, _), _ = jax.jit(lambda start: jax.lax.scan(step, (start, optimizer.init(start)), None, 300))(arrays(0))
  for got, wanted, began in zip(*map(jax.tree.leaves, (params, target, arrays(0))), strict=True):
    assert np.linalg.norm(got - wanted) < 0.1 * np.linalg.norm(began - wanted)


# Each optimizer with all that it heeds, and the same in optax's words.
SPELT_OUT = {
  'adam': ({'beta1': 0.5, 'beta2': 0.75, 'epsilon': 0.25}, optax.adam, {'b1': 0.5, 'b2': 0.75, 'eps': 0.25}),
  'adamw': (
    {'beta1': 0.5, 'beta2': 0.75, 'epsilon': 0.25, 'weight_decay': 0.125},
    functools.partial(optax.adamw, mask=matrices),
    {'b1': 0.5, 'b2': 0.75, 'eps': 0.25, 'weight_decay': 0.125},
  ),
  'sgd': ({'momentum': 0.5}, optax.sgd, {'momentum': 0.5}),
  'rmsprop': (
    {'beta2': 0.75, 'epsilon': 0.25, 'momentum': 0.5},
    optax.rmsprop,
    {'decay': 0.75, 'eps': 0.25, 'momentum': 0.5},
  ),
  'lion': (
    {'beta1': 0.5, 'beta2': 0.75, 'weight_decay': 0.125},
    functools.partial(optax.lion, mask=matrices),
    {'b1': 0.5, 'b2': 0.75, 'weight_decay': 0.125},
  ),
}


@pytest.mark.parametrize('name', SPELT_OUT)
def test_settings_reach_the_optimizer(name):
  given, make, keywords = SPELT_OUT[name]
  assert set(given) == set(OPTIMIZERS[name])
  gradients = [arrays(seed) for seed in range(1, 4)]
  config = training_settings(optimizer=name, learning_rate=0.125, **given)
  got = updated(make_optimizer(config), arrays(0), gradients)
  assert_bits_equal(got, updated(make(0.125, **keywords), arrays(0), gradients))
  for left_out in given:
    others = {key: value for key, value in given.items() if key != left_out}
    other = make_optimizer(training_settings(optimizer=name, learning_rate=0.125, **others))
    of_matrix = [{'w': array['layer_0']['queries']} for array in (arrays(0), *gradients)]
    changed = updated(other, of_matrix[0], of_matrix[1:])['w']
    assert (changed != got['layer_0']['queries']).any(), f'{left_out} changes nothing'


@pytest.mark.parametrize('params', [random_params(build_transformer(MODEL, DATA)), hybrid_params(build_hybrid(MODEL))])
def test_matrices_are_what_layers_multiply_by(params):
  found = {name for module, each in matrices(params).items() for name, is_matrix in each.items() if is_matrix}
  layers = {'queries', 'keys', 'values', 'attention_output', 'feed_forward_in', 'feed_forward_out'}
  assert found - {'input_weights'} == {*layers, 'output_weights'}


@pytest.mark.parametrize('name', [name for name, heeded in OPTIMIZERS.items() if 'weight_decay' in heeded])
def test_weight_decay_pulls_on_matrices_alone(name):
  def after(decay: float) -> dict:
    config = training_settings(optimizer=name, learning_rate=0.125, weight_decay=decay)
    return updated(make_optimizer(config), arrays(0), [arrays(1)])

  without, decayed, began = after(0.0), after(0.5), arrays(0)
  for module, each in PARAMS.items():
    for parameter in each:
      pull = decayed[module][parameter] - without[module][parameter]
      expected = -0.125 * 0.5 * began[module][parameter] if parameter == 'queries' else np.zeros(each[parameter])
      np.testing.assert_allclose(pull, expected, rtol=1e-4, atol=1e-6 if parameter == 'queries' else 0)


def test_muon_orthogonalizes_matrices_and_moves_the_rest_as_adamw_does():
  given = {'beta1': 0.5, 'beta2': 0.75, 'epsilon': 0.25, 'momentum': 0.5, 'weight_decay': 0.0}
  assert set(given) == set(OPTIMIZERS['muon'])
  gradients = [arrays(seed) for seed in range(1, 4)]
  config = training_settings(optimizer='muon', learning_rate=0.125, **given)
  got = updated(make_optimizer(config), arrays(0), gradients)
  rest = optax.adamw(0.125, b1=0.5, b2=0.75, eps=0.25, weight_decay=0, nesterov=True)
  expected = updated(rest, arrays(0), gradients)
  expected['layer_0']['queries'] = got['layer_0']['queries']
  assert_bits_equal(got, expected)
  # Singular values of an update are all about the same, as large as a mean square of 0.2^2 asks.
  first = updated(make_optimizer(config), arrays(0), gradients[:1])['layer_0']['queries']
  values = np.linalg.svd((first - arrays(0)['layer_0']['queries']) / 0.125, compute_uv=False)
  assert (values > 0.2 * np.sqrt(6) * 0.5).all() and (values < 0.2 * np.sqrt(6) * 1.5).all()
  # Its momentum is that of the matrices.
  other = make_optimizer(training_settings(optimizer='muon', learning_rate=0.125, **{**given, 'momentum': 0.9}))
  moved = updated(other, arrays(0), gradients)
  assert (moved['layer_0']['queries'] != got['layer_0']['queries']).any()
  moved['layer_0']['queries'] = got['layer_0']['queries']
  assert_bits_equal(moved, got)


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_plateau_scales_the_step_of_every_optimizer(name):
  config = training_settings(optimizer=name, learning_rate=0.125, learning_rate_schedule='plateau', warmup_steps=0)
  optimizer, plain = make_optimizer(config), make_optimizer(training_settings(optimizer=name, learning_rate=0.125))
  params, gradients = arrays(0), arrays(1)
  state = optimizer.init(params)
  expected = plain.update(gradients, plain.init(params), params)[0]
  for scale in (1.0, 0.25):
    got = optimizer.update(gradients, with_scale(state, scale), params)[0]
    jax.tree.map(lambda a, b, scale=scale: np.testing.assert_array_equal(a, scale * np.asarray(b)), got, expected)
