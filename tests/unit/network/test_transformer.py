"""What a distribution may depend on, that it is one, and how a network begins."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.tiny_models import DATA, MODEL, random_params, random_tokens

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.network.computation import Computation
from language_modeling_is_compression.network.transformer import build_transformer, log_probabilities

# One of each: byte of an 8-bit sample, bytes of a 16-bit sample; 65,536 tokens have a test of their own.
DATA_CONFIGS = [DATA, DataConfig(use_16bit=True, chunk_size=16)]


def make(model: ModelConfig = MODEL, data: DataConfig = DATA):
  """Random parameters and a compiled function of (params, tokens)."""
  transformer = build_transformer(model, data)
  return random_params(transformer), jax.jit(lambda *inputs: log_probabilities(transformer.apply(*inputs)))


def seen_lags(model: ModelConfig, num_tokens: int, positions: set[int]) -> dict[int, list[int]]:
  """How far back the tokens are whose embedding has a gradient from the distribution at a position: 1 is the last one.

  Every token of the row is another one, so a row of the embedding stands for a position; silence is none of them.
  """
  params, log_probs = make(model)
  tokens = np.arange(num_tokens, dtype=np.int32)[None]
  assert num_tokens <= 128

  def some_log_probs(params, position):
    return jnp.sum(log_probs(params, tokens)[0, position] * jnp.cos(jnp.arange(256.0)))

  gradient, found = jax.jit(jax.grad(some_log_probs)), {}
  for position in positions:
    (embedding,) = (module['embedding'] for module in gradient(params, position).values() if 'embedding' in module)
    used = np.flatnonzero(np.abs(np.asarray(embedding)).sum(axis=(0, 2)))
    found[position] = sorted(position - int(token) for token in used if token != 128)
  return found


@pytest.mark.parametrize('data', DATA_CONFIGS, ids=['8bit', '16bit'])
def test_later_tokens_change_no_bit_of_earlier_distributions(data):
  params, log_probs = make(data=data)
  tokens = random_tokens((1, 24))
  before = np.asarray(log_probs(params, tokens))
  for position in (0, 1, 9, 23):
    changed = tokens.copy()
    changed[:, position:] = random_tokens((1, 24 - position), seed=1)
    after = np.asarray(log_probs(params, changed))
    np.testing.assert_array_equal(after[:, : position + 1], before[:, : position + 1])
    if position < 23:
      assert not np.array_equal(after[:, position + 1], before[:, position + 1])


# A layer adds the window less one: at the default flags 4 * 127 + 1 = 509 tokens.
@pytest.mark.usefixtures('unoptimized')
@pytest.mark.parametrize(('num_layers', 'window', 'reach'), [(1, 1, 1), (2, 1, 1), (1, 5, 5), (3, 4, 10), (2, 64, 127)])
def test_gradients_reach_back_as_far_as_the_windows_and_never_forward(num_layers, window, reach):
  model = dataclasses.replace(MODEL, num_layers=num_layers, attention_window=window)
  num_tokens = min(128, reach + 20)
  positions = {num_tokens - 8, reach // 2, 0}
  expected = {position: list(range(1, min(reach, position) + 1)) for position in positions}
  assert seen_lags(model, num_tokens, positions) == expected


@pytest.mark.parametrize('data', DATA_CONFIGS, ids=['8bit', '16bit'])
def test_distributions_sum_to_one(data):
  params, log_probs = make(data=data)
  values = np.asarray(log_probs(params, random_tokens((2, 9))))
  assert values.shape == (2, 9, 256) and values.dtype == np.float32
  np.testing.assert_allclose(np.exp(values.astype(np.float64)).sum(axis=-1), 1, rtol=1e-5)
  assert values.std() > 0.01, 'the test needs distributions that are not uniform'


def test_rows_are_independent():
  params, log_probs = make()
  tokens = random_tokens((3, 10))
  np.testing.assert_array_equal(log_probs(params, tokens)[1], log_probs(params, tokens[[0, 1, 0]])[1])
  np.testing.assert_allclose(log_probs(params, tokens)[1], log_probs(params, tokens[1:2])[0], rtol=1e-5)


def test_a_prefix_gives_the_same_distributions():
  params, log_probs = make()
  tokens = random_tokens((1, 70))
  whole = log_probs(params, tokens)
  for length in (1, 3, 64):
    np.testing.assert_allclose(log_probs(params, tokens[:, :length])[0], whole[0, :length], rtol=1e-5)


def test_the_byte_of_a_sample_that_is_next_is_known():
  params, log_probs = make(data=DATA_CONFIGS[1])
  zeros = np.zeros((1, 6), np.int32)
  high, low = np.asarray(log_probs(params, zeros))[0, 4:]
  assert not np.allclose(high, low)


def test_the_first_distribution_is_that_after_silence():
  params, log_probs = make(dataclasses.replace(MODEL, attention_window=1))
  values = np.asarray(log_probs(params, np.array([[128, 5]], np.int32)))
  np.testing.assert_array_equal(values[0, 0], values[0, 1])


@pytest.mark.parametrize(
  ('settings', 'expected'),
  [({}, 234_304), ({'use_16bit': True}, 250_688), ({'use_16bit': True, 'tokenization': 'sample'}, 8_655_424)],
)
def test_number_of_parameters_at_the_default_flags(settings, expected):
  transformer = build_transformer(ModelConfig(), DataConfig(**settings))
  shapes = jax.eval_shape(transformer.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 1), jnp.int32))
  assert sum(math.prod(spec.shape) for spec in jax.tree.leaves(shapes)) == expected


@pytest.mark.parametrize(
  ('data', 'vocab_size'),
  [
    (DATA_CONFIGS[0], 256),
    (DATA_CONFIGS[1], 256),
    (DataConfig(use_16bit=True, tokenization='sample', chunk_size=16), 65_536),
  ],
)
def test_a_fresh_network_knows_nothing(data, vocab_size):
  transformer = build_transformer(MODEL, data)
  tokens = random_tokens((2, 5), vocab_size)
  params = transformer.init(jax.random.key(3), tokens)
  values = np.asarray(log_probabilities(transformer.apply(params, tokens)))
  assert values.shape == (2, 5, vocab_size)
  np.testing.assert_allclose(values, -math.log(vocab_size), rtol=1e-6)


@pytest.mark.usefixtures('unoptimized')
def test_recomputing_layers_changes_no_gradient():
  params, _ = make()
  tokens = random_tokens((2, 20))

  def gradient(remat: bool):
    transformer = build_transformer(MODEL, DATA, Computation(remat=remat))
    loss = lambda params: jnp.sum(log_probabilities(transformer.apply(params, tokens)) ** 2)  # noqa: E731
    return jax.jit(jax.value_and_grad(loss))(params)

  (kept, kept_gradient), (recomputed, recomputed_gradient) = gradient(False), gradient(True)
  np.testing.assert_allclose(recomputed, kept, rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(jnp.abs(b).max())),
    recomputed_gradient,
    kept_gradient,
  )
