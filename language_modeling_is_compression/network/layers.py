"""The body that both families of networks share: decoder layers over a residual stream, and a norm behind the last one.

It began as the network of "Language Modeling Is Compression" (Delétang et al., arXiv 2309.10668) and differs where that
gave fewer bits in the same steps and time (docs/LOG.md), or where exact integer inference needs it:

- the norm (root mean square, no offset) stands before each layer, so the residual stream is a plain sum;
- attention has a window, and a learned bias per lag instead of position encodings;
- feed-forward layers use the square of the rectified linear unit; no linear layer of the body has a bias.

Shapes: B rows, T tokens or samples, E embedding_dim, H heads.
"""

from collections.abc import Callable
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from language_modeling_is_compression.config.options import ModelConfig
from language_modeling_is_compression.network.attention import fused_attention, window_attention
from language_modeling_is_compression.network.computation import Computation
from language_modeling_is_compression.network.parameters import PARAMETER_SCALE, layer_name

_NORM_EPSILON = 1e-6


def decoded(stream: jax.Array, config: ModelConfig, computation: Computation, keys: jax.Array | None) -> jax.Array:
  """The residual stream [B, T, E] through all layers, then normed. keys: of the rows, as `Computation.dropped` says."""
  for index in range(config.num_layers):
    layer = _Layer(config, computation, index)
    stream = hk.remat(layer)(stream, keys) if computation.remat else layer(stream, keys)
  return _rms_norm(stream, 'output_norm')


class _Layer(hk.Module):
  """Attention, then feed-forward, each added to the residual stream [B, T, E]."""

  def __init__(self, config: ModelConfig, computation: Computation, index: int):
    super().__init__(name=layer_name(index))
    self._config = config
    self._computation = computation
    self._index = index

  def __call__(self, stream: jax.Array, keys: jax.Array | None) -> jax.Array:
    dropped, number = self._computation.dropped, 2 * self._index
    stream += dropped(self._attention(_rms_norm(stream, 'attention_norm')), keys, number)
    return stream + dropped(self._feed_forward(_rms_norm(stream, 'feed_forward_norm')), keys, number + 1)

  def _attention(self, inputs: jax.Array) -> jax.Array:
    config = self._config
    heads = (*inputs.shape[:2], config.num_heads, config.embedding_dim // config.num_heads)
    queries, keys, values = (
      linear(inputs, config.embedding_dim, name).reshape(heads) for name in ('queries', 'keys', 'values')
    )
    lag_bias = parameter('lag_bias', [config.num_heads, config.attention_window], _falling_with_lag)
    attention = fused_attention if self._computation.fused_attention else window_attention
    mixed = attention(queries, keys, values, lag_bias)
    return linear(mixed.reshape(inputs.shape), config.embedding_dim, 'attention_output', init=jnp.zeros)

  def _feed_forward(self, inputs: jax.Array) -> jax.Array:
    config = self._config
    wide = linear(inputs, config.embedding_dim * config.widening_factor, 'feed_forward_in')
    return linear(jnp.square(jax.nn.relu(wide)), config.embedding_dim, 'feed_forward_out', init=jnp.zeros)


def linear(inputs: jax.Array, size: int, name: str, init: Callable[..., Any] | None = None) -> jax.Array:
  """inputs [..., N] times a matrix [N, size], which begins with variance 1 / N."""
  fan_in = inputs.shape[-1]
  matrix = parameter(name, [fan_in, size], init or hk.initializers.TruncatedNormal(stddev=fan_in**-0.5))
  return inputs @ matrix.astype(inputs.dtype)


def _rms_norm(inputs: jax.Array, name: str) -> jax.Array:
  """inputs [..., N] over the root of their mean square, times a learned scale [N] (Zhang and Sennrich, 2019)."""
  scale = parameter(name, [inputs.shape[-1]], jnp.ones)
  wide = inputs.astype(jnp.float32)
  normed = wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + _NORM_EPSILON) * scale
  return normed.astype(inputs.dtype)


def parameter(name: str, shape: list[int], init: Callable[..., Any]) -> jax.Array:
  """A parameter as it acts; `init` says how it begins to."""
  return PARAMETER_SCALE * hk.get_parameter(name, shape, init=lambda *spec: init(*spec) / PARAMETER_SCALE)


def _falling_with_lag(shape: list[int], dtype: jnp.dtype) -> jax.Array:
  """-lag * 2**-head [H, W]: the first heads look at the last tokens, the last ones far back (as in ALiBi, 2021)."""
  num_heads, window = shape
  return jnp.asarray(-np.arange(window) * 2.0 ** -np.arange(num_heads)[:, None], dtype)
