"""A decoder-only transformer over audio tokens: the body of layers.py between embeddings and logits.

Token embeddings begin as smooth functions of the sample's value, since neighbouring values sound alike.

Shapes: B rows, T tokens, E embedding_dim, V vocabulary.
"""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.network.computation import PLAIN, Computation
from language_modeling_is_compression.network.layers import decoded, parameter


class Hidden(NamedTuple):
  """Factors of the logits, so that a large vocabulary's are never held all at once.

  hidden: [B, T, E]. weights: [E, V]. bias: [V]. Logits of the token at position t: hidden[:, t] @ weights + bias.
  """

  hidden: jax.Array
  weights: jax.Array
  bias: jax.Array


def build_transformer(model: ModelConfig, data: DataConfig, computation: Computation = PLAIN) -> hk.Transformed:
  """A pure `init(rng_key, tokens)` and `apply(params, tokens, keys=None) -> Hidden`; tokens: integers [B, T].

  The distribution at position t depends on the tokens before t only. keys: of the rows, as `Computation.dropped` says.
  """

  def forward(tokens: jax.Array, keys: jax.Array | None = None) -> Hidden:
    with computation.of_parameters():
      return _decoder(tokens, model, data, computation, keys)

  return hk.without_apply_rng(hk.transform(forward))


def log_probabilities(outputs: Hidden) -> jax.Array:
  """log p of every token at every position, in nats: [B, T, V]."""
  return jax.nn.log_softmax(outputs.hidden @ outputs.weights + outputs.bias)


def _decoder(
  tokens: jax.Array, model: ModelConfig, data: DataConfig, computation: Computation, keys: jax.Array | None
) -> Hidden:
  # What many tokens have in common gets the sum of their gradients, which has to be one of float32.
  hidden = decoded(_embed(tokens, model, data).astype(computation.dtype), model, computation, keys)
  weights = parameter('output_weights', [model.embedding_dim, data.vocab_size], jnp.zeros).astype(computation.dtype)
  bias = parameter('output_bias', [data.vocab_size], jnp.zeros)
  return Hidden(hidden, weights, bias)


def _embed(tokens: jax.Array, model: ModelConfig, data: DataConfig) -> jax.Array:
  """The residual stream [B, T, E]: at position t the embedding of the token at t - 1.

  Each byte of a sample has a table of its own, so the embedding also tells which byte is next.
  """
  places, vocab_size = data.tokens_per_sample, data.vocab_size
  table = parameter('embedding', [places, vocab_size, model.embedding_dim], _smooth_features)
  # Silence stands before the first token: in offset binary 128, 32768, or as two bytes 128 and 0.
  silence = vocab_size // 2 if places == 1 else 0
  before = jnp.pad(tokens.astype(jnp.int32)[:, :-1], ((0, 0), (1, 0)), constant_values=silence)
  return table[(jnp.arange(tokens.shape[1]) - 1) % places, before]


def _smooth_features(shape: list[int], dtype: jnp.dtype) -> jax.Array:
  """Cosines and sines of a token's value [places, V, E]: half a period over the range and its multiples."""
  places, vocab_size, width = shape
  half_periods = np.arange(width) // 2 + 1
  angles = np.pi * half_periods * np.arange(vocab_size)[:, None] / vocab_size
  waves = np.where(np.arange(width) % 2 == 0, np.cos(angles), np.sin(angles)) / (1 + half_periods / 8)
  return jnp.asarray(np.tile(waves, (places, 1, 1)), dtype)
