"""Code length of tokens under a model, in nats, without ever holding the logits of a large vocabulary.

Shapes: B rows, T tokens, E embedding_dim, V vocabulary.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from language_modeling_is_compression.config.options import LOSSES
from language_modeling_is_compression.network.transformer import Hidden

_Z_WEIGHT = 1e-4
_MAX_LOGITS = 1 << 23  # Numbers, 32 MiB in float32; the backward pass holds a few times that.


def code_length(outputs: Hidden, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
  """Sum of -log p over the first lengths[b] tokens of each row b, in nats: a scalar.

  tokens: integers [B, T]. lengths: integers [B].
  """

  @jax.checkpoint
  def block_length(hidden: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(_block_lengths(outputs, hidden, targets) * weights)

  def add_block(so_far: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
    return so_far + block_length(*inputs), None

  return jax.lax.scan(add_block, jnp.zeros((), jnp.float32), _in_blocks(outputs, tokens, lengths))[0]


def code_lengths_by_row(
  outputs: Hidden, tokens: jax.Array, lengths: jax.Array, *, places: int
) -> tuple[jax.Array, jax.Array]:
  """What `code_length` gives, to the bit, and the same by row and byte of a sample: [B, places].

  places: bytes of a sample, of which T and each length is a multiple.
  """

  def add_block(so_far: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    hidden, targets, weights = inputs
    nats = _block_lengths(outputs, hidden, targets) * weights
    return so_far + jnp.sum(nats), nats

  total, nats = jax.lax.scan(add_block, jnp.zeros((), jnp.float32), _in_blocks(outputs, tokens, lengths))
  return total, jnp.sum(nats.reshape(-1)[: tokens.size].reshape(len(tokens), -1, places), axis=1)


def z_loss(outputs: Hidden, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
  """What `code_length` gives, and 1e-4 log(Z)^2 for each token that counts, Z the softmax's denominator: a scalar.

  As in "PaLM" (Chowdhery et al., arXiv 2204.02311, section 5): it keeps logits near zero, where float16 and bfloat16
  are fine enough.
  """

  @jax.checkpoint
  def block_loss(hidden: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
    log_z = jax.nn.logsumexp(_logits(hidden, outputs), axis=-1)
    return jnp.sum((_block_lengths(outputs, hidden, targets) + _Z_WEIGHT * jnp.square(log_z)) * weights)

  def add_block(so_far: jax.Array, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
    return so_far + block_loss(*inputs), None

  return jax.lax.scan(add_block, jnp.zeros((), jnp.float32), _in_blocks(outputs, tokens, lengths))[0]


Loss = Callable[[Hidden, jax.Array, jax.Array], jax.Array]
LOSSES_BY_NAME: dict[str, Loss] = {'code_length': code_length, 'z_loss': z_loss}


def register_loss(name: str, loss: Loss) -> None:
  """Adds a loss of byte models: a function of outputs, tokens and lengths, as `code_length` is.

  It is a sum over what counts, which training divides by the number of tokens. Raises ConfigError.
  """
  LOSSES.add(name, None)
  LOSSES_BY_NAME[name] = loss


def _block_lengths(outputs: Hidden, hidden: jax.Array, targets: jax.Array) -> jax.Array:
  """-log p of each token of a block, in nats: [N]. hidden: [N, E]. targets: integers [N]."""
  logits = _logits(hidden, outputs)
  target_logits = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
  return jax.nn.logsumexp(logits, axis=-1) - target_logits


def _logits(hidden: jax.Array, outputs: Hidden) -> jax.Array:
  """float32 [N, V], whatever precision the factors have; hidden: [N, E]."""
  return jnp.matmul(hidden, outputs.weights, preferred_element_type=jnp.float32) + outputs.bias


def _in_blocks(outputs: Hidden, tokens: jax.Array, lengths: jax.Array) -> tuple[jax.Array, ...]:
  """Hidden [blocks, N, E], tokens [blocks, N] and their weights, 1 for what counts; blocks' logits fit into memory."""
  num_rows, num_tokens, width = outputs.hidden.shape
  counted = jnp.arange(num_tokens) < lengths[:, None]
  total = num_rows * num_tokens
  block = min(total, max(1, _MAX_LOGITS // outputs.bias.shape[0]))
  padding = -total % block
  return (
    jnp.pad(outputs.hidden.reshape(total, width), ((0, padding), (0, 0))).reshape(-1, block, width),
    jnp.pad(tokens.reshape(total).astype(jnp.int32), (0, padding)).reshape(-1, block),
    jnp.pad(counted.reshape(total).astype(jnp.float32), (0, padding)).reshape(-1, block),
  )


def token_code_lengths(outputs: Hidden, tokens: jax.Array) -> jax.Array:
  """-log p of every token, in nats: float32 [B, T]. tokens: integers [B, T]."""
  num_rows, num_tokens, width = outputs.hidden.shape
  total = num_rows * num_tokens
  block = min(total, max(1, _MAX_LOGITS // outputs.bias.shape[0]))
  padding = -total % block

  def block_lengths(inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
    hidden, targets = inputs
    logits = _logits(hidden, outputs)
    return jax.nn.logsumexp(logits, axis=-1) - jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]

  blocks = (
    jnp.pad(outputs.hidden.reshape(total, width), ((0, padding), (0, 0))).reshape(-1, block, width),
    jnp.pad(tokens.reshape(total).astype(jnp.int32), (0, padding)).reshape(-1, block),
  )
  return jax.lax.map(block_lengths, blocks).reshape(-1)[:total].reshape(num_rows, num_tokens)
