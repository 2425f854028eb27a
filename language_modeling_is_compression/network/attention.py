"""Causal attention over a sliding window, with a learned bias per head and lag.

Shapes: B rows, T tokens, H heads, D dimensions per head, W the window, Q queries in a block.

Queries are taken a block at a time. A block sees its own keys and the W before them, which are carried along from the
blocks before, so scores take Q * (W + Q) numbers per head instead of T * T; the backward pass computes them again.
"""

import functools

import jax
import jax.numpy as jnp

_BLOCK = 64
_MASKED = -1e9  # Finite, so that a difference of two masked scores is not NaN.


def window_attention(queries: jax.Array, keys: jax.Array, values: jax.Array, lag_bias: jax.Array) -> jax.Array:
  """Attention of each token to itself and the W - 1 tokens before it.

  queries, keys, values: [B, T, H, D]. lag_bias: [H, W], added to the scaled score of a key `lag` tokens back.
  Returns [B, T, H, D].
  """
  over_rows = functools.partial(_attend_row, lag_bias=lag_bias)
  # On a CPU one row's blocks stay in its caches; an accelerator wants all rows at once.
  return jax.lax.platform_dependent(
    queries,
    keys,
    values,
    cpu=lambda *arrays: jax.lax.map(lambda row: over_rows(*row), arrays),
    default=jax.vmap(over_rows),
  )


def fused_attention(queries: jax.Array, keys: jax.Array, values: jax.Array, lag_bias: jax.Array) -> jax.Array:
  """What `window_attention` returns, but for rounding, from all scores of a row at once: by JAX's own function.

  On GPUs, in a precision that it has kernels for, that is cuDNN's fused attention. It computes T * T scores for T * W
  that count, so it pays where the window is not much shorter than the row.
  """
  num_tokens = queries.shape[1]
  bias = _row_bias(lag_bias[:, :num_tokens], num_tokens)[None].astype(queries.dtype)
  # cuDNN has no kernel for float32.
  has_kernel = jax.default_backend() == 'gpu' and queries.dtype == jnp.bfloat16
  return jax.nn.dot_product_attention(
    queries, keys, values, bias=bias, is_causal=True, implementation='cudnn' if has_kernel else 'xla'
  )


def _attend_row(queries: jax.Array, keys: jax.Array, values: jax.Array, *, lag_bias: jax.Array) -> jax.Array:
  """Attention within one row: [T, H, D] each, returns [T, H, D]."""
  num_tokens, num_heads, head_dim = queries.shape
  window = min(lag_bias.shape[1], num_tokens)
  block = min(_BLOCK, num_tokens)
  num_blocks = -(-num_tokens // block)
  bias = _block_bias(lag_bias[:, :window], block)

  def in_blocks(array: jax.Array) -> jax.Array:  # [T, H, D] -> [blocks, H, Q, D]
    array = jnp.pad(array, ((0, num_blocks * block - num_tokens), (0, 0), (0, 0)))
    return array.reshape(num_blocks, block, num_heads, head_dim).swapaxes(1, 2)

  @jax.checkpoint
  def attend_block(
    carried: tuple[jax.Array, jax.Array], inputs: tuple[jax.Array, ...]
  ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    start, block_queries, block_keys, block_values = inputs
    block_keys = jnp.concatenate([carried[0], block_keys], axis=1)  # [H, W + Q, D]
    block_values = jnp.concatenate([carried[1], block_values], axis=1)
    scores = jnp.einsum('hqd,hkd->hqk', block_queries, block_keys).astype(jnp.float32) + bias
    before_row = jnp.arange(window + block) + start < window
    scores = jnp.where(before_row, _MASKED, scores)
    # Softmax does not change with a shift, so the largest score, there to avoid overflow, needs no gradient.
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    mixed = jnp.einsum('hqk,hkd->hqd', weights.astype(values.dtype), block_values)
    mixed /= weights.sum(axis=-1, keepdims=True).astype(values.dtype)
    return (block_keys[:, block:], block_values[:, block:]), mixed

  nothing = jnp.zeros((num_heads, window, head_dim), keys.dtype)
  starts = jnp.arange(num_blocks) * block
  inputs = (starts, in_blocks(queries * head_dim**-0.5), in_blocks(keys), in_blocks(values))
  _, mixed = jax.lax.scan(attend_block, (nothing, nothing), inputs)
  return mixed.swapaxes(1, 2).reshape(num_blocks * block, num_heads, head_dim)[:num_tokens]


def _row_bias(lag_bias: jax.Array, num_tokens: int) -> jax.Array:
  """Bias of each token of a row towards each: [H, T, T], masked outside the window."""
  lags = jnp.arange(num_tokens)[:, None] - jnp.arange(num_tokens)
  window = lag_bias.shape[1]
  inside = (lags >= 0) & (lags < window)
  return jnp.where(inside, lag_bias[:, jnp.clip(lags, 0, window - 1)], _MASKED)


def _block_bias(lag_bias: jax.Array, block: int) -> jax.Array:
  """Bias of each query of a block towards the W keys carried and the block's own: [H, Q, W + Q], masked outside."""
  window = lag_bias.shape[1]
  lags = jnp.arange(block)[:, None] + window - jnp.arange(window + block)
  inside = (lags >= 0) & (lags < window)
  return jnp.where(inside, lag_bias[:, jnp.clip(lags, 0, window - 1)], _MASKED)
