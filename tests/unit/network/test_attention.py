"""Windowed attention against softmax over all pairs, masked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from language_modeling_is_compression.network import attention
from language_modeling_is_compression.network.attention import window_attention

pytestmark = pytest.mark.usefixtures('unoptimized')

HEADS, WIDTH = 2, 3


def dense_attention(queries, keys, values, lag_bias):
  """The definition: scores of every pair of tokens, minus infinity outside of the window."""
  num_tokens, window = queries.shape[1], lag_bias.shape[1]
  lags = np.arange(num_tokens)[:, None] - np.arange(num_tokens)
  inside = (lags >= 0) & (lags < window)
  scores = jnp.einsum('bqhd,bkhd->bhqk', queries, keys) / np.sqrt(queries.shape[-1])
  scores = jnp.where(inside, scores + lag_bias[:, np.clip(lags, 0, window - 1)], -jnp.inf)
  return jnp.einsum('bhqk,bkhd->bqhd', jax.nn.softmax(scores), values)


def random_inputs(num_tokens: int, window: int, scale: float = 1.0):
  rng = np.random.default_rng(num_tokens * 1000 + window)
  shapes = [(2, num_tokens, HEADS, WIDTH)] * 3 + [(HEADS, window)]
  return tuple(jnp.asarray(rng.normal(0, scale, shape), jnp.float32) for shape in shapes)


def with_gradients(function):
  """The output, and the gradients of all inputs for a loss in which every output counts differently."""

  @jax.jit
  def evaluate(*inputs):
    def loss(*inputs):
      output = function(*inputs)
      return jnp.sum(output * jnp.cos(jnp.arange(output.size)).reshape(output.shape)), output

    gradients, output = jax.grad(loss, argnums=(0, 1, 2, 3), has_aux=True)(*inputs)
    return output, gradients

  return evaluate


def assert_equal(inputs):
  output, gradients = with_gradients(window_attention)(*inputs)
  wanted, wanted_gradients = with_gradients(dense_attention)(*inputs)
  np.testing.assert_allclose(output, wanted, rtol=2e-5, atol=2e-6)
  for gradient, wanted_gradient in zip(gradients, wanted_gradients, strict=True):
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=2e-4, atol=5e-6)


# Blocks of 4 queries: rows shorter than a block, of whole blocks and of one token more or fewer; windows of one token,
# shorter than a block, as long, longer, and longer than the row. Each of these is in one that is not slow.
@pytest.mark.parametrize(
  ('num_tokens', 'window'),
  [
    *[(1, 5), (3, 2), (5, 1), (7, 3), (4, 4), (8, 4), (12, 7), (13, 12), (13, 14)],
    *[pytest.param(*sizes, marks=pytest.mark.slow) for sizes in [(1, 1), (5, 9), (9, 5), (13, 13)]],
  ],
)
def test_equals_dense_attention(monkeypatch, num_tokens, window):
  monkeypatch.setattr(attention, '_BLOCK', 4)
  assert_equal(random_inputs(num_tokens, window))


@pytest.mark.parametrize(('num_tokens', 'window'), [(63, 64), (65, 64), (130, 20), (128, 100)])
def test_equals_dense_attention_in_blocks_as_they_are(num_tokens, window):
  assert_equal(random_inputs(num_tokens, window))


def test_large_scores_do_not_overflow(monkeypatch):
  monkeypatch.setattr(attention, '_BLOCK', 4)
  output, gradients = with_gradients(window_attention)(*random_inputs(9, 5, scale=1e3))
  wanted, _ = with_gradients(dense_attention)(*random_inputs(9, 5, scale=1e3))
  np.testing.assert_allclose(output, wanted, rtol=1e-4)
  assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_what_an_accelerator_runs_is_the_same(monkeypatch):
  monkeypatch.setattr(attention, '_BLOCK', 4)
  inputs = random_inputs(9, 5)
  on_cpu = jax.jit(window_attention)(*inputs)
  monkeypatch.setattr(jax.lax, 'platform_dependent', lambda *arrays, cpu, default: default(*arrays))
  in_parallel = jax.jit(lambda *arrays: window_attention(*arrays))(*inputs)
  np.testing.assert_allclose(in_parallel, on_cpu, rtol=1e-5, atol=1e-6)
