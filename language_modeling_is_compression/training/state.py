"""What training carries from step to step, and the pure functions that make and advance it.

Shapes: M micro-batches, R rows of one micro-batch over all devices, T tokens.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from language_modeling_is_compression.data.batches import Batch
from language_modeling_is_compression.training.loss import code_length
from language_modeling_is_compression.training.plan import DEVICE_AXIS

_ROWS = PartitionSpec(None, DEVICE_AXIS)  # Of a batch [M, R, ...]: each device has its share of R.

LossFunction = Callable[[hk.Params, jax.Array, jax.Array], jax.Array]


class TrainingState(NamedTuple):
  params: hk.Params
  opt_state: Any
  step: jax.Array  # int32, steps done


class StepMetrics(NamedTuple):
  """Scalars of one step. finite: false if the step's figures were not all finite, and the state was left as it was."""

  loss_nats: jax.Array
  num_tokens: jax.Array
  grad_norm: jax.Array
  finite: jax.Array


def initial_state(
  transformer: hk.Transformed, optimizer: optax.GradientTransformation, *, seed: int, num_tokens: int
) -> TrainingState:
  """seed: any integer >= 0; its 32-bit digest seeds JAX, whose own keys would drop its high bits."""
  digest = int(np.random.SeedSequence(seed).generate_state(1, np.uint32)[0])
  # Compiled, since a forward pass would be run for nothing otherwise.
  params = jax.jit(transformer.init)(jax.random.key(digest), jnp.zeros((1, num_tokens), jnp.int32))
  return TrainingState(params, optimizer.init(params), jnp.zeros((), jnp.int32))


def make_update(
  transformer: hk.Transformed, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Callable[[TrainingState, Batch], tuple[TrainingState, StepMetrics]]:
  """A pure `update(state, batch)`; batch: tokens [M, R, T] and lengths [M, R], as `MicroBatches.arrange` makes them."""
  gradient = jax.value_and_grad(_loss_function(transformer))

  def device_gradient(params: hk.Params, batch: Batch) -> tuple[jax.Array, hk.Params]:
    """Sums of loss and gradient over the micro-batches and devices."""

    def add(so_far: Any, micro_batch: Batch) -> tuple[Any, None]:
      return jax.tree.map(jnp.add, so_far, gradient(params, micro_batch.tokens, micro_batch.lengths)), None

    nothing = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), params))
    return jax.lax.psum(jax.lax.scan(add, nothing, batch)[0], DEVICE_AXIS)

  def update(state: TrainingState, batch: Batch) -> tuple[TrainingState, StepMetrics]:
    loss, gradients = _over_devices(device_gradient, mesh)(state.params, batch)
    num_tokens = jnp.sum(batch.lengths)
    loss, gradients = jax.tree.map(lambda x: x / jnp.maximum(num_tokens, 1), (loss, gradients))
    updates, opt_state = optimizer.update(gradients, state.opt_state)
    params: Any = optax.apply_updates(state.params, updates)
    advanced = TrainingState(params, opt_state, state.step + 1)
    grad_norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm) & jnp.isfinite(optax.tree.norm(advanced.params))
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), advanced, state)
    return kept, StepMetrics(loss, num_tokens, grad_norm, finite)

  compiled, everywhere = jax.jit(update), NamedSharding(mesh, PartitionSpec())
  # Where an array is belongs to its type: without the move, which is none from the second step on, that step's state
  # would be of another type than the first's, and the update compiled twice.
  return lambda state, batch: compiled(jax.device_put(state, everywhere), batch)


def make_code_length(transformer: hk.Transformed, mesh: Mesh) -> Callable[[hk.Params, Batch], jax.Array]:
  """A pure function of params and a batch ([M, R, T], [M, R]): nats of each micro-batch, [M]."""
  loss = _loss_function(transformer)

  def device_lengths(params: hk.Params, batch: Batch) -> jax.Array:
    nats = jax.lax.map(lambda micro_batch: loss(params, micro_batch.tokens, micro_batch.lengths), batch)
    return jax.lax.psum(nats, DEVICE_AXIS)

  return jax.jit(_over_devices(device_lengths, mesh))


def _loss_function(transformer: hk.Transformed) -> LossFunction:
  return lambda params, tokens, lengths: code_length(transformer.apply(params, tokens), tokens, lengths)


def _over_devices(function: Callable, mesh: Mesh) -> Callable:
  """Runs a function of (params, batch) on every device with its share of each micro-batch's rows."""
  return jax.shard_map(
    function, mesh=mesh, in_specs=(PartitionSpec(), _ROWS), out_specs=PartitionSpec(), check_vma=False
  )
