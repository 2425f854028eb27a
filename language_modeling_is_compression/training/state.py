"""What training carries from step to step, and the pure functions that make and advance it.

Shapes: M micro-batches, R rows of one micro-batch over all devices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from language_modeling_is_compression.training.objectives import Objective, Rows
from language_modeling_is_compression.training.plan import DEVICE_AXIS

_ROWS = PartitionSpec(None, DEVICE_AXIS)  # Of a batch [M, R, ...]: each device has its share of R.


class TrainingState(NamedTuple):
  params: hk.Params
  opt_state: Any
  step: jax.Array  # int32, steps done


class StepMetrics(NamedTuple):
  """Scalars of one step. num_tokens: what counted, tokens or samples; loss_nats is the mean over them.

  finite: false if the step's figures were not all finite, and the state was left as it was.
  """

  loss_nats: jax.Array
  num_tokens: jax.Array
  grad_norm: jax.Array
  finite: jax.Array


def initial_state(objective: Objective, optimizer: optax.GradientTransformation, *, seed: int) -> TrainingState:
  """seed: any integer >= 0; its 32-bit digest seeds JAX, whose own keys would drop its high bits."""
  digest = int(np.random.SeedSequence(seed).generate_state(1, np.uint32)[0])
  # Compiled, since a forward pass would be run for nothing otherwise.
  params = jax.jit(objective.init)(jax.random.key(digest))
  return TrainingState(params, optimizer.init(params), jnp.zeros((), jnp.int32))


def make_update(
  objective: Objective, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Callable[[TrainingState, Rows], tuple[TrainingState, StepMetrics]]:
  """A pure `update(state, batch)`; batch: arrays [M, R, ...], as `MicroBatches.arrange` makes them."""
  gradient = jax.value_and_grad(objective.code_length)

  def device_gradient(params: hk.Params, batch: Rows) -> tuple[jax.Array, hk.Params]:
    """Sums of loss and gradient over the micro-batches and devices."""

    def add(so_far: Any, micro_batch: Rows) -> tuple[Any, None]:
      return jax.tree.map(jnp.add, so_far, gradient(params, micro_batch)), None

    nothing = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), params))
    return jax.lax.psum(jax.lax.scan(add, nothing, batch)[0], DEVICE_AXIS)

  def update(state: TrainingState, batch: Rows) -> tuple[TrainingState, StepMetrics]:
    loss, gradients = _over_devices(device_gradient, mesh)(state.params, batch)
    num_tokens = batch.num_counted
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


def make_code_length(objective: Objective, mesh: Mesh) -> Callable[[hk.Params, Rows], jax.Array]:
  """A pure function of params and a batch of arrays [M, R, ...]: nats of each micro-batch, [M]."""

  def device_lengths(params: hk.Params, batch: Rows) -> jax.Array:
    nats = jax.lax.map(lambda micro_batch: objective.code_length(params, micro_batch), batch)
    return jax.lax.psum(nats, DEVICE_AXIS)

  return jax.jit(_over_devices(device_lengths, mesh))


def _over_devices(function: Callable, mesh: Mesh) -> Callable:
  """Runs a function of (params, batch) on every device with its share of each micro-batch's rows."""
  return jax.shard_map(
    function, mesh=mesh, in_specs=(PartitionSpec(), _ROWS), out_specs=PartitionSpec(), check_vma=False
  )
