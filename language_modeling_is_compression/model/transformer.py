"""A decoder-only transformer over audio tokens.

It began as the network of "Language Modeling Is Compression" (Delétang et al., arXiv 2309.10668) and differs where that
gave fewer bits in the same steps and time (docs/LOG.md), or where exact integer inference needs it:

- the norm (root mean square, no offset) stands before each layer, so the residual stream is a plain sum;
- attention has a window, and a learned bias per lag instead of position encodings;
- token embeddings begin as smooth functions of the sample's value, since neighbouring values sound alike;
- feed-forward layers use the square of the rectified linear unit; no linear layer but the last has a bias.

Shapes: B rows, T tokens, E embedding_dim, H heads, V vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from language_modeling_is_compression.config import DataConfig, ModelConfig
from language_modeling_is_compression.model.attention import window_attention
from language_modeling_is_compression.model.parameters import PARAMETER_SCALE, layer_name

_NORM_EPSILON = 1e-6


class Hidden(NamedTuple):
  """What the logits are made of, so that a large vocabulary's need never be held all at once.

  hidden: [B, T, E]. weights: [E, V]. bias: [V]. Logits of the token at position t: hidden[:, t] @ weights + bias.
  """

  hidden: jax.Array
  weights: jax.Array
  bias: jax.Array


def build_transformer(model: ModelConfig, data: DataConfig, *, recompute_layers: bool = False) -> hk.Transformed:
  """A pure `init(rng_key, tokens)` and `apply(params, tokens) -> Hidden`; tokens: integers [B, T].

  The distribution at position t depends on the tokens before t only. recompute_layers: the backward pass keeps one
  [B, T, E] array per layer and computes the rest again, which costs a third more time.
  """

  def forward(tokens: jax.Array) -> Hidden:
    return _decoder(tokens, model, data, recompute_layers=recompute_layers)

  return hk.without_apply_rng(hk.transform(forward))


def log_probabilities(outputs: Hidden) -> jax.Array:
  """log p of every token at every position, in nats: [B, T, V]."""
  return jax.nn.log_softmax(outputs.hidden @ outputs.weights + outputs.bias)


def _decoder(tokens: jax.Array, model: ModelConfig, data: DataConfig, *, recompute_layers: bool) -> Hidden:
  stream = _embed(tokens, model, data)
  for index in range(model.num_layers):
    layer = _Layer(model, name=layer_name(index))
    stream = hk.remat(layer)(stream) if recompute_layers else layer(stream)
  weights = _parameter('output_weights', [model.embedding_dim, data.vocab_size], jnp.zeros)
  bias = _parameter('output_bias', [data.vocab_size], jnp.zeros)
  return Hidden(_rms_norm(stream, 'output_norm'), weights, bias)


def _embed(tokens: jax.Array, model: ModelConfig, data: DataConfig) -> jax.Array:
  """The residual stream [B, T, E]: at position t the embedding of the token at t - 1.

  Each byte of a sample has a table of its own, so the embedding also tells which byte is next.
  """
  places, vocab_size = data.tokens_per_sample, data.vocab_size
  table = _parameter('embedding', [places, vocab_size, model.embedding_dim], _smooth_features)
  # Silence stands before the first token: in offset binary 128, 32768, or as two bytes 128 and 0.
  silence = vocab_size // 2 if places == 1 else 0
  before = jnp.pad(tokens.astype(jnp.int32)[:, :-1], ((0, 0), (1, 0)), constant_values=silence)
  return table[(jnp.arange(tokens.shape[1]) - 1) % places, before]


class _Layer(hk.Module):
  """Attention, then feed-forward, each added to the residual stream [B, T, E]."""

  def __init__(self, config: ModelConfig, name: str):
    super().__init__(name=name)
    self._config = config

  def __call__(self, stream: jax.Array) -> jax.Array:
    stream += self._attention(_rms_norm(stream, 'attention_norm'))
    return stream + self._feed_forward(_rms_norm(stream, 'feed_forward_norm'))

  def _attention(self, inputs: jax.Array) -> jax.Array:
    config = self._config
    heads = (*inputs.shape[:2], config.num_heads, config.embedding_dim // config.num_heads)
    queries, keys, values = (
      _linear(inputs, config.embedding_dim, name).reshape(heads) for name in ('queries', 'keys', 'values')
    )
    lag_bias = _parameter('lag_bias', [config.num_heads, config.attention_window], _falling_with_lag)
    mixed = window_attention(queries, keys, values, lag_bias)
    return _linear(mixed.reshape(inputs.shape), config.embedding_dim, 'attention_output', init=jnp.zeros)

  def _feed_forward(self, inputs: jax.Array) -> jax.Array:
    config = self._config
    wide = _linear(inputs, config.embedding_dim * config.widening_factor, 'feed_forward_in')
    return _linear(jnp.square(jax.nn.relu(wide)), config.embedding_dim, 'feed_forward_out', init=jnp.zeros)


def _linear(inputs: jax.Array, size: int, name: str, init: Callable | None = None) -> jax.Array:
  """inputs [..., N] times a matrix [N, size], which begins with variance 1 / N."""
  fan_in = inputs.shape[-1]
  return inputs @ _parameter(name, [fan_in, size], init or hk.initializers.TruncatedNormal(stddev=fan_in**-0.5))


def _rms_norm(inputs: jax.Array, name: str) -> jax.Array:
  """inputs [..., N] over the root of their mean square, times a learned scale [N] (Zhang and Sennrich, 2019)."""
  scale = _parameter(name, [inputs.shape[-1]], jnp.ones)
  return inputs * jax.lax.rsqrt(jnp.mean(jnp.square(inputs), axis=-1, keepdims=True) + _NORM_EPSILON) * scale


def _parameter(name: str, shape: list[int], init: Callable) -> jax.Array:
  """A parameter as it acts; `init` says how it begins to."""
  return PARAMETER_SCALE * hk.get_parameter(name, shape, init=lambda *spec: init(*spec) / PARAMETER_SCALE)


def _smooth_features(shape: list[int], dtype: jnp.dtype) -> jax.Array:
  """Cosines and sines of a token's value [places, V, E]: half a period over the range and its multiples."""
  places, vocab_size, width = shape
  half_periods = np.arange(width) // 2 + 1
  angles = np.pi * half_periods * np.arange(vocab_size)[:, None] / vocab_size
  waves = np.where(np.arange(width) % 2 == 0, np.cos(angles), np.sin(angles)) / (1 + half_periods / 8)
  return jnp.asarray(np.tile(waves, (places, 1, 1)), dtype)


def _falling_with_lag(shape: list[int], dtype: jnp.dtype) -> jax.Array:
  """-lag * 2**-head [H, W]: the first heads look at the last tokens, the last ones far back (as in ALiBi, 2021)."""
  num_heads, window = shape
  return jnp.asarray(-np.arange(window) * 2.0 ** -np.arange(num_heads)[:, None], dtype)
