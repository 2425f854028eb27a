"""How a network is computed while it is trained: precision, memory, noise. A model file knows nothing of it."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp


class Computation(NamedTuple):
  """Ways to compute the same network; without dropout they differ in rounding alone.

  remat: the backward pass keeps one [B, T, E] array per layer and computes the rest again, which costs a third more
  time.
  dtype: of activations, and of matrices as they act; parameters and their gradients, norms, softmax and losses are
  float32.
  fused_attention: attention by `jax.nn.dot_product_attention`, over all tokens at once.
  dropout: share of what each layer adds to the residual stream that is set to zero, where keys are given.
  shard_axis: name of the axis of devices that parameters are sharded over, inside `jax.shard_map`; None if each device
  has all of them.
  """

  remat: bool = False
  dtype: Any = jnp.float32
  fused_attention: bool = False
  dropout: float = 0.0
  shard_axis: str | None = None

  @contextlib.contextmanager
  def of_parameters(self) -> Iterator[None]:
    """Has every parameter whole where a transformed function asks for it.

    A layer's are collected when the layer needs them, with remat again in the backward pass, so that no device ever
    holds all of them.
    """
    if self.shard_axis is None:
      yield
      return
    with hk.custom_getter(self._collected):
      yield

  def _collected(self, getter: Any, value: jax.Array, context: Any) -> jax.Array:
    value = getter(value)
    for axis, (here, whole) in enumerate(zip(value.shape, context.original_shape, strict=True)):
      if here != whole:
        value = jax.lax.all_gather(value, self.shard_axis, axis=axis, tiled=True)
    return value

  def dropped(self, update: jax.Array, keys: jax.Array | None, number: int) -> jax.Array:
    """What is left of an update to the residual stream [B, T, E], scaled so that its mean stays.

    keys: of the rows, [B], so that a row loses the same on whatever device it is; None for no dropout. number: of the
    update, which no other has.
    """
    if not self.dropout or keys is None:
      return update

    def kept(key: jax.Array) -> jax.Array:
      return jax.random.bernoulli(jax.random.fold_in(key, number), 1 - self.dropout, update.shape[1:])

    return jnp.where(jax.vmap(kept)(keys), update / (1 - self.dropout), jnp.zeros_like(update))


PLAIN = Computation()
