"""The loss is the code length of the tokens, whatever the vocabulary and however it is cut."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from language_modeling_is_compression.network.transformer import Hidden, log_probabilities
from language_modeling_is_compression.training import loss
from language_modeling_is_compression.training.loss import code_length, code_lengths_by_row, token_code_lengths, z_loss


def naive_code_length(outputs, tokens, lengths):
  picked = jnp.take_along_axis(log_probabilities(outputs), tokens[..., None], axis=-1)[..., 0]
  return -jnp.sum(jnp.where(np.arange(tokens.shape[1]) < lengths[:, None], picked, 0))


def random_case(num_rows: int, num_tokens: int, vocab_size: int, width: int = 4):
  rng = np.random.default_rng(num_tokens)
  hidden, weights, bias = (
    rng.normal(size=shape) for shape in ((num_rows, num_tokens, width), (width, vocab_size), vocab_size)
  )
  outputs = Hidden(*(jnp.asarray(array, jnp.float32) for array in (hidden, weights, bias)))
  tokens = rng.integers(0, vocab_size, (num_rows, num_tokens))
  tokens[0, :2] = [0, vocab_size - 1]
  lengths = rng.integers(0, num_tokens + 1, num_rows)
  lengths[:2] = [num_tokens, 0]
  return outputs, tokens, lengths


@pytest.mark.usefixtures('unoptimized')
@pytest.mark.parametrize(
  ('vocab_size', 'max_logits'),
  [
    (256, 1 << 23),  # One block.
    (256, 256 * 7),  # 36 tokens in blocks of 7, the last one filled up.
    (256, 256 * 12),  # In blocks that end with the rows.
    (256, 1),  # Not one token's logits are allowed, and one it is.
    (65_536, 1 << 23),
    (65_536, 65_536 * 10),
  ],
)
def test_equals_the_naive_form(monkeypatch, vocab_size, max_logits):
  monkeypatch.setattr(loss, '_MAX_LOGITS', max_logits)
  outputs, tokens, lengths = random_case(3, 12, vocab_size)
  measured, gradient = jax.jit(jax.value_and_grad(lambda outputs: code_length(outputs, tokens, lengths)))(outputs)
  expected, wanted = jax.jit(jax.value_and_grad(lambda outputs: naive_code_length(outputs, tokens, lengths)))(outputs)
  np.testing.assert_allclose(measured, expected, rtol=1e-5)
  for part, wanted_part in zip(gradient, wanted, strict=True):
    np.testing.assert_allclose(part, wanted_part, rtol=1e-3, atol=1e-5)


def test_many_tokens_of_a_large_vocabulary_are_cut(monkeypatch):
  monkeypatch.setattr(loss, '_MAX_LOGITS', 65_536 * 4)
  outputs, tokens, lengths = random_case(2, 9, 65_536)
  jaxpr = str(jax.make_jaxpr(code_length)(outputs, tokens, lengths))
  assert 'f32[4,65536]' in jaxpr
  assert 'f32[18,65536]' not in jaxpr and 'f32[2,9,65536]' not in jaxpr


def test_tokens_of_a_byte_wide_type():
  outputs, tokens, lengths = random_case(2, 6, 256)
  np.testing.assert_array_equal(
    code_length(outputs, tokens.astype(np.uint8), lengths), code_length(outputs, tokens, lengths)
  )


def test_nothing_counts_nothing():
  outputs, tokens, lengths = random_case(2, 6, 256)
  assert float(code_length(outputs, tokens, np.zeros_like(lengths))) == 0


@pytest.mark.parametrize('max_logits', [1 << 23, 256 * 7])
@pytest.mark.parametrize('places', [1, 2, 3])
def test_code_lengths_by_row_and_byte_are_sums_of_those_of_the_tokens(monkeypatch, max_logits, places):
  monkeypatch.setattr(loss, '_MAX_LOGITS', max_logits)
  outputs, tokens, lengths = random_case(3, 12, 256)
  lengths -= lengths % places
  total, by_row = jax.jit(functools.partial(code_lengths_by_row, places=places))(outputs, tokens, lengths)
  assert np.asarray(total).tobytes() == np.asarray(jax.jit(code_length)(outputs, tokens, lengths)).tobytes()
  each = np.where(np.arange(12) < lengths[:, None], token_code_lengths(outputs, tokens), 0)
  np.testing.assert_allclose(by_row, each.reshape(3, -1, places).sum(axis=1), rtol=1e-5, atol=1e-6)


def test_z_loss_adds_the_squared_logarithm_of_the_denominator():
  outputs, tokens, lengths = random_case(3, 12, 256)
  log_z = jax.nn.logsumexp(outputs.hidden @ outputs.weights + outputs.bias, axis=-1)
  added = 1e-4 * jnp.sum(jnp.where(np.arange(12) < lengths[:, None], log_z**2, 0))
  expected = float(naive_code_length(outputs, tokens, lengths) + added)
  assert float(z_loss(outputs, tokens, lengths)) == pytest.approx(expected, rel=1e-5) and float(added) > 0.1
