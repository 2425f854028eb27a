"""A step is one step however its batch is cut, and one that is not finite is none."""

import functools
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.settings import training_settings
from support.tiny_models import random_params, random_tokens

from language_modeling_is_compression.data.batches import Batch
from language_modeling_is_compression.network.computation import Computation
from language_modeling_is_compression.network.transformer import Hidden, log_probabilities
from language_modeling_is_compression.training.layout import DEVICE_AXIS, Layout, device_mesh
from language_modeling_is_compression.training.objectives import Objective, byte_objective
from language_modeling_is_compression.training.optimizer import make_optimizer
from language_modeling_is_compression.training.plan import MicroBatches
from language_modeling_is_compression.training.state import (
  TrainingState,
  evaluated_params,
  initial_state,
  make_code_length,
  make_update,
  together,
)

NUM_ROWS, NUM_TOKENS = 8, 12
LENGTHS = [12, 5, 12, 0, 1, 12, 7, 12]


def _bigram(tokens: jax.Array) -> Hidden:
  before = jnp.pad(tokens.astype(jnp.int32)[:, :-1], ((0, 0), (1, 0)))
  table = hk.get_parameter('embedding', [256, 4], init=hk.initializers.RandomNormal())
  hidden = jnp.tanh(table[before])
  weights = hk.get_parameter('output_weights', [4, 256], init=jnp.zeros)
  return Hidden(hidden, weights, hk.get_parameter('output_bias', [256], init=jnp.zeros))


# What is tested here asks nothing of a network but gradients, and this one compiles in no time.
TRANSFORMER: hk.Transformed = hk.without_apply_rng(hk.transform(_bigram))
OBJECTIVE = byte_objective(TRANSFORMER)
# Adam divides by the gradient's magnitude, which blows rounding up where that is nothing: the step size is small.
OPTIMIZER = make_optimizer(training_settings(learning_rate=1e-4))
# (devices, micro-batches, rows in each)
CUTS = [(1, 8, 1), (2, 1, 8), (2, 2, 4), (2, 3, 4)]  # The last one adds rows of length 0.


def layout_of(num_devices: int, *, sharded: bool = False) -> Layout:
  return Layout(device_mesh(jax.devices()[:num_devices]), sharded=sharded)


def make_batch(seed: int = 0) -> Batch:
  tokens = random_tokens((NUM_ROWS, NUM_TOKENS), seed=seed).astype(np.uint8)
  return Batch(tokens, np.array(LENGTHS, np.int32))


def make_state(scale: float = 0.05) -> TrainingState:
  params = random_params(TRANSFORMER, scale=scale)
  return TrainingState(params, OPTIMIZER.init(params), jnp.zeros((), jnp.int32))


def arranged(batch: Batch, count: int = 2, rows: int = 4) -> Batch:
  return MicroBatches(count=count, rows=rows, remat=False).arrange(batch)


@functools.cache
def update_on(num_devices: int):
  """One for all tests, since most of their time is its compilation."""
  return make_update(OBJECTIVE, OPTIMIZER, layout_of(num_devices))


@pytest.fixture
def update():
  return update_on(2)


def naive_mean(params, batch: Batch) -> jax.Array:
  """Nats per token, from all logits of the whole batch."""
  log_probs = log_probabilities(TRANSFORMER.apply(params, batch.tokens))
  picked = jnp.take_along_axis(log_probs, batch.tokens[..., None].astype(np.int32), axis=-1)[..., 0]
  counted = np.arange(NUM_TOKENS) < batch.lengths[:, None]
  return -jnp.sum(jnp.where(counted, picked, 0)) / batch.lengths.sum()


def assert_bits_equal(got, expected) -> None:
  structure: Any = jax.tree.structure(got)
  assert structure == jax.tree.structure(expected)
  for array, wanted in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
    assert array.dtype == wanted.dtype and np.asarray(array).tobytes() == np.asarray(wanted).tobytes()


def assert_close(got, expected, rtol: float, atol: float = 0) -> None:
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), got, expected)


@pytest.fixture(scope='module')
def expected():
  """Loss and gradient, all at once and without any of the code that cuts."""
  return jax.jit(jax.value_and_grad(naive_mean))(make_state().params, make_batch())


@pytest.mark.parametrize(('devices', 'count', 'rows'), CUTS)
def test_the_update_does_not_depend_on_the_cut(expected, devices, count, rows):
  loss, gradient = expected
  before = make_state()
  after, metrics = update_on(devices)(before, arranged(make_batch(), count, rows))
  np.testing.assert_allclose(metrics.loss_nats, loss, rtol=1e-5)
  norm = np.sqrt(sum(np.sum(np.square(leaf, dtype=np.float64)) for leaf in jax.tree.leaves(gradient)))
  np.testing.assert_allclose(metrics.grad_norm, norm, rtol=1e-4)
  module_norms = {
    path: np.sqrt(sum(np.sum(np.square(leaf)) for leaf in own.values())) for path, own in gradient.items()
  }
  assert metrics.module_grad_norms == pytest.approx(module_norms, rel=1e-4)
  assert int(metrics.num_tokens) == sum(LENGTHS) and bool(metrics.finite)
  assert int(after.step) == 1 and int(before.step) == 0
  # Adam's first moment is a tenth of the gradient after the first step.
  first_moment = after.opt_state[0].mu
  largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
  assert_close(jax.tree.map(lambda leaf: 10 * leaf, first_moment), gradient, rtol=1e-3, atol=1e-5 * largest)


def test_the_parameters_move_against_the_gradient_by_the_step_size(expected, update):
  _, gradient = expected
  before = make_state()
  after, _ = update(before, arranged(make_batch()))
  moved = jax.tree.map(lambda new, old: np.asarray(new, np.float64) - old, after.params, before.params)
  for step, slope in zip(jax.tree.leaves(moved), jax.tree.leaves(gradient), strict=True):
    steep = np.abs(slope) > 1e-5
    np.testing.assert_allclose(step[steep], -1e-4 * np.sign(slope)[steep], rtol=1e-2)
    assert not step[slope == 0].any()


@pytest.mark.parametrize('place', ['rows of length 0', 'behind the lengths'])
def test_tokens_that_do_not_count_change_no_bit(update, place):
  batch = make_batch()
  uncounted = np.arange(NUM_TOKENS) >= batch.lengths[:, None]
  if place == 'rows of length 0':
    uncounted &= batch.lengths[:, None] == 0
  other = Batch(np.where(uncounted, 255 - batch.tokens, batch.tokens), batch.lengths)
  assert not np.array_equal(other.tokens, batch.tokens)
  assert_bits_equal(update(make_state(), arranged(other)), update(make_state(), arranged(batch)))


def test_tokens_that_count_do_change_the_update(update):
  batch = make_batch()
  batch.tokens[0, 11] ^= 1
  changed, _ = update(make_state(), arranged(batch))
  usual, _ = update(make_state(), arranged(make_batch()))
  assert any((a != b).any() for a, b in zip(jax.tree.leaves(changed), jax.tree.leaves(usual), strict=True))


def test_an_update_is_a_function_of_its_arguments(update):
  state, batch = make_state(), arranged(make_batch())
  once = update(state, batch)
  update(once[0], arranged(make_batch(seed=1)))
  assert_bits_equal(update(state, batch), once)


def test_a_batch_of_nothing_is_finite(update):
  nothing = Batch(make_batch().tokens, np.zeros(NUM_ROWS, np.int32))
  state, metrics = update(make_state(), arranged(nothing))
  assert bool(metrics.finite) and float(metrics.loss_nats) == 0 and int(metrics.num_tokens) == 0
  assert_bits_equal(state.params, make_state().params)


@pytest.mark.parametrize('number', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('name', ['embedding', 'output_bias'])
def test_a_step_that_is_not_finite_changes_no_bit(update, number, name):
  before, _ = update(make_state(), arranged(make_batch()))  # So that the optimizer has something to keep.
  params = jax.tree.map(np.array, before.params)
  spoilt = next(module[name] for module in params.values() if name in module)
  spoilt[(0,) * spoilt.ndim] = number
  before = before._replace(params=params)
  after, metrics = update(before, arranged(make_batch(seed=1)))
  assert not bool(metrics.finite)
  assert_bits_equal(after, before)


def test_a_loss_too_large_for_a_float_changes_no_bit(update):
  """Every parameter is finite, and only the sum over rows is not."""
  before = make_state()
  params: Any = before.params
  params['~']['output_bias'] = np.array([3e38] + 255 * [-3e38], np.float32)
  after, metrics = update(before, arranged(make_batch()))
  assert not bool(metrics.finite)
  assert_bits_equal(after, before)


def test_a_step_that_leaves_for_infinity_is_not_taken():
  """Loss and gradient are finite, and what Adam makes of them is not."""
  optimizer = make_optimizer(training_settings(learning_rate=3e38))
  params = random_params(TRANSFORMER)
  before = TrainingState(params, optimizer.init(params), jnp.zeros((), jnp.int32))
  updated = make_update(OBJECTIVE, optimizer, layout_of(2))(before, arranged(make_batch()))
  assert updated is not None
  after, metrics = updated
  assert np.isfinite(metrics.loss_nats) and np.isfinite(metrics.grad_norm) and not bool(metrics.finite)
  assert_bits_equal(after, before)


def test_training_goes_on_after_a_step_that_was_not_taken(update):
  before, batch = make_state(), arranged(make_batch())
  params = jax.tree.map(np.array, before.params)
  params['~']['output_bias'][0] = np.nan
  kept, _ = update(before._replace(params=params), batch)
  again, metrics = update(kept._replace(params=before.params), batch)
  assert bool(metrics.finite)
  assert_bits_equal(again, update(before, batch)[0])


def spoilt(state: TrainingState) -> TrainingState:
  """A state from which no step is finite."""
  params = jax.tree.map(np.array, state.params)
  params['~']['output_bias'][0] = np.nan
  return state._replace(params=params)


@functools.cache
def lenient_update(ema_decay: float | None = 0.75):
  """One that keeps a moving average and skips two steps."""
  return make_update(OBJECTIVE, OPTIMIZER, layout_of(2), ema_decay=ema_decay, max_bad_steps=2)


def averaged_state() -> TrainingState:
  state = make_state()
  return state._replace(ema=state.params)


def test_a_skipped_step_counts_and_changes_nothing_else():
  """Were it not counted, a run would meet the same batch again, for that is a function of the count."""
  update, batch = lenient_update(), arranged(make_batch())
  before, _ = update(averaged_state(), batch)
  after, metrics = update(spoilt(before), batch)
  assert not bool(metrics.finite) and bool(metrics.skipped) and int(metrics.skipped_steps) == 1
  assert_bits_equal(after, spoilt(before)._replace(step=jnp.asarray(2, jnp.int32), skipped=np.int32(1)))
  # The step after it is what it would have been without.
  again, metrics = update(after._replace(params=before.params), batch)
  without, _ = update(before, batch)
  assert bool(metrics.finite) and not bool(metrics.skipped) and int(metrics.skipped_steps) == 1
  assert_bits_equal(again._replace(step=without.step, skipped=without.skipped), without)
  assert (int(again.step), int(again.skipped)) == (3, 1)


def test_more_than_so_many_steps_are_not_skipped():
  update, batch = lenient_update(), arranged(make_batch())
  state = spoilt(averaged_state())
  for count in (1, 2):
    state, metrics = update(state, batch)
    assert bool(metrics.skipped) and int(metrics.skipped_steps) == count == int(state.step)
  after, metrics = update(state, batch)
  assert not bool(metrics.finite) and not bool(metrics.skipped) and int(metrics.skipped_steps) == 2
  assert_bits_equal(after, state)


def test_the_moving_average_is_that_of_the_steps_taken():
  """Against a recursion from zero that is corrected as Adam's means are; a skipped step is none."""
  update = lenient_update()
  # As if it had been trained with a large learning rate, so that the average is not all but the last parameters.
  state = averaged_state()
  total: Any = jax.tree.map(lambda x: np.zeros(x.shape), state.params)
  for taken in range(1, 5):
    shift = float(taken * taken)
    state = state._replace(params=jax.tree.map(lambda x, shift=shift: x + shift, state.params))
    if taken == 3:
      good = state.params
      state, metrics = update(spoilt(state), arranged(make_batch()))
      assert bool(metrics.skipped)
      state = state._replace(params=good)
    state, _ = update(state, arranged(make_batch(seed=taken)))
    total = jax.tree.map(lambda sum_, new: 0.75 * sum_ + 0.25 * np.asarray(new, np.float64), total, state.params)
    mean = jax.tree.map(lambda sum_, taken=taken: sum_ / (1 - 0.75**taken), total)
    assert_close(evaluated_params(state), mean, rtol=1e-5, atol=1e-6)


def test_an_average_with_a_long_memory_begins_with_what_the_first_step_made():
  update = make_update(OBJECTIVE, OPTIMIZER, layout_of(2), ema_decay=1 - 2**-24)
  updated = update(averaged_state(), arranged(make_batch()))
  assert updated is not None
  assert_close(updated[0].ema, updated[0].params, rtol=1e-6)


def test_without_an_average_the_last_parameters_are_evaluated():
  state = initial_state(OBJECTIVE, OPTIMIZER, seed=0)
  assert state.ema is None and evaluated_params(state) is state.params
  averaged = initial_state(OBJECTIVE, OPTIMIZER, seed=0, averaged=True)
  assert_bits_equal(evaluated_params(averaged), state.params)
  # Whoever writes down the leaves of a state writes down its average and its counts.
  num_params = len(jax.tree.leaves(state.params))
  assert len(jax.tree.leaves(averaged)) == len(jax.tree.leaves(state)) + num_params


def test_steps_with_an_average_are_the_same_steps():
  state, metrics = lenient_update()(averaged_state(), arranged(make_batch()))
  plain, expected = update_on(2)(make_state(), arranged(make_batch()))
  assert_bits_equal(state._replace(ema=None), plain)
  assert_bits_equal(metrics, expected)


def test_the_optimizer_is_given_the_parameters():
  """Weight decay is a function of them."""
  optimizer = make_optimizer(training_settings(optimizer='adamw', learning_rate=1e-4, weight_decay=100.0))
  before = make_state()
  updated = make_update(OBJECTIVE, optimizer, layout_of(2))(
    before._replace(opt_state=optimizer.init(before.params)), arranged(make_batch())
  )
  assert updated is not None
  after: Any = updated[0]
  plain, _ = update_on(2)(make_state(), arranged(make_batch()))
  for name, pull in (('embedding', 0.01), ('output_weights', 0.01), ('output_bias', 0.0)):
    expected = np.asarray(plain.params['~'][name]) - pull * np.asarray(before.params['~'][name])
    np.testing.assert_allclose(after.params['~'][name], expected, rtol=1e-3, atol=1e-7)


def test_steps_lower_the_loss():
  optimizer = make_optimizer(training_settings(learning_rate=3e-2))
  update = make_update(OBJECTIVE, optimizer, layout_of(2))
  state = initial_state(OBJECTIVE, optimizer, seed=0)
  losses = []
  for _ in range(20):
    updated = update(state, arranged(make_batch()))
    assert updated is not None
    state, metrics = updated
    losses.append(float(metrics.loss_nats))
  assert losses[0] == pytest.approx(np.log(256), rel=1e-5) and losses[-1] < losses[0] - 1
  assert int(state.step) == 20


@pytest.mark.parametrize(('devices', 'count', 'rows'), CUTS[:3])
def test_code_lengths_are_those_of_each_micro_batch(devices, count, rows):
  params, batch = make_state().params, make_batch()
  nats, by_row = make_code_length(OBJECTIVE, layout_of(devices))(params, arranged(batch, count, rows))
  assert nats.shape == (count,) and by_row.shape == (count, rows, 1)
  of_rows = [
    float(naive_mean(params, Batch(batch.tokens[row : row + 1], batch.lengths[row : row + 1]))) * length
    for row, length in enumerate(LENGTHS)
    if length
  ]
  expected = np.zeros(count * rows)
  expected[np.flatnonzero(LENGTHS)] = of_rows
  np.testing.assert_allclose(nats, expected.reshape(count, rows).sum(axis=1), rtol=1e-5)
  np.testing.assert_allclose(by_row[..., 0], expected.reshape(count, rows), rtol=1e-5)


def seeded(seed: int) -> TrainingState:
  return initial_state(OBJECTIVE, OPTIMIZER, seed=seed)


def test_equal_seeds_begin_equal():
  assert_bits_equal(seeded(5), seeded(5))
  assert int(seeded(5).step) == 0


def test_every_bit_of_a_seed_counts():
  seeds = [0, 1, 5, 5 + 2**31, 5 + 2**32, 5 + 2**64, 2**70, 10**40]
  queries = {np.asarray(seeded(seed).params['~']['embedding']).tobytes() for seed in seeds}
  assert len(queries) == len(seeds)


def test_devices_that_share_parameters_make_the_same_step(expected, update):
  """Optimizer state too is cut, and comes out as that of devices that have all of it."""
  layout = layout_of(2, sharded=True)
  before = make_state()
  # The network of these tests does not collect its parameters, as those of network/ do.
  transformer = hk.without_apply_rng(hk.transform(lambda tokens: _collected(tokens)))
  share: Any = make_update(byte_objective(transformer), OPTIMIZER, layout)
  shared, metrics = share(before, arranged(make_batch()))
  whole, wanted = update(before, arranged(make_batch()))
  assert not shared.opt_state[0].mu['~']['output_weights'].is_fully_replicated
  assert_close(layout.collected(shared), jax.tree.map(np.asarray, whole), rtol=1e-4, atol=1e-6)
  assert_close(metrics.grad_norm, wanted.grad_norm, rtol=1e-5)


def _collected(tokens: jax.Array) -> Hidden:
  with Computation(shard_axis=DEVICE_AXIS).of_parameters():
    return _bigram(tokens)


def _noisy(params, batch, keys) -> jax.Array:
  """A loss that tells its keys."""
  return jnp.sum(jax.vmap(jax.random.uniform)(keys) * batch.lengths) + 0 * optax.tree.norm(params)


@pytest.mark.parametrize(('devices', 'count', 'rows'), [(1, 2, 4), (2, 1, 8), (2, 4, 2)])
def test_a_rows_noise_depends_on_its_place_in_the_batch_alone(devices, count, rows):
  @functools.cache
  def update_of(seed: int) -> Any:
    objective = Objective(OBJECTIVE.init, _noisy, OBJECTIVE.code_lengths)
    return make_update(objective, optax.sgd(0.1), layout_of(devices), dropout_seed=seed)

  def loss(step: int, seed: int) -> float:
    params = make_state().params
    state = TrainingState(params, optax.sgd(0.1).init(params), jnp.int32(step))
    return float(update_of(seed)(state, arranged(make_batch(), count, rows))[1].loss_nats)

  key = jax.random.fold_in(jax.random.key(int(np.random.SeedSequence(9).generate_state(1)[0])), 5)
  each = [float(jax.random.uniform(jax.random.fold_in(key, row))) for row in range(NUM_ROWS)]
  assert loss(5, 9) == pytest.approx(np.dot(each, LENGTHS) / sum(LENGTHS), rel=1e-5)
  assert loss(6, 9) != loss(5, 9)
  if devices == 1:  # Which seed it is has nothing to do with the cut.
    assert loss(5, 10) != loss(5, 9)


def test_the_memory_of_a_step_is_at_least_its_state_gradients_and_batch(update):
  state, batch = make_state(), arranged(make_batch())
  planned = update.memory(state, batch)
  sizes = [sum(leaf.nbytes for leaf in jax.tree.leaves(part)) for part in (state, state.params)]
  assert planned is not None and sizes[0] + sizes[1] < planned < 10 * (sizes[0] + sizes[1]) + (1 << 20)
  assert_bits_equal(make_state(), state)


@pytest.mark.parametrize(('count', 'expected'), [(1, 1), (2, 2), (3, 1), (8, 2)])
def test_micro_batches_that_are_one_call(count, expected):
  assert together(count) == expected
