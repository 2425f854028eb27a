"""Training state, and the pure functions that make and update it.

Shapes: M micro-batches, R rows of one micro-batch over all devices, D devices.
"""

import collections
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from language_modeling_is_compression.training.objectives import Objective, Rows
from language_modeling_is_compression.training.plan import DEVICE_AXIS

_ROWS = PartitionSpec(None, DEVICE_AXIS)  # Batches [M, R, ...]: each device has its share of R.
_SUMS = PartitionSpec(DEVICE_AXIS)  # Sums [D, ...].
# Micro-batches between two looks whether to stop. XLA compiles a loop for CPUs so that devices do not share threads;
# without one (a loop of one is none) training takes 8% longer.
_TOGETHER = 2


class TrainingState(NamedTuple):
  params: hk.Params
  opt_state: Any
  step: jax.Array  # int32, steps done


class StepMetrics(NamedTuple):
  """Scalars of one step. num_tokens: what counted, tokens or samples; loss_nats is the mean over them.

  finite: false if the step's figures were not all finite, and the state was left as it was. module_grad_norms: of each
  module's gradient, by path.
  """

  loss_nats: jax.Array
  num_tokens: jax.Array
  grad_norm: jax.Array
  finite: jax.Array
  module_grad_norms: Mapping[str, jax.Array] = MappingProxyType({})


def initial_state(objective: Objective, optimizer: optax.GradientTransformation, *, seed: int) -> TrainingState:
  """seed: any integer >= 0; its 32-bit digest seeds JAX, whose own keys would drop its high bits."""
  digest = int(np.random.SeedSequence(seed).generate_state(1, np.uint32)[0])
  # Compiled, since a forward pass would be run for nothing otherwise.
  params = jax.jit(objective.init)(jax.random.key(digest))
  return TrainingState(params, optimizer.init(params), jnp.zeros((), jnp.int32))


def make_update(
  objective: Objective, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Callable[..., tuple[TrainingState, StepMetrics] | None]:
  """A pure `update(state, batch, stopped)`; batch: arrays [M, R, ...], as `MicroBatches.arrange` makes them.

  Returns None if `stopped()` (by default never) is true between two micro-batches: a step takes seconds, and
  whoever wants it to end shall not wait for all of it.
  """
  add, finish = _make_add(objective, mesh), _make_finish(optimizer, mesh)
  everywhere, by_device = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, _SUMS)
  nothing = jax.jit(
    lambda params: jax.tree.map(lambda x: jnp.zeros((mesh.devices.size, *x.shape), x.dtype), (jnp.zeros(()), params)),
    out_shardings=by_device,
  )
  # A CPU gains nothing from queued work; an accelerator without it would idle until the next call is dispatched.
  num_ahead = 0 if mesh.devices.flat[0].platform == 'cpu' else 1

  def update(
    state: TrainingState, batch: Rows, stopped: Callable[[], bool] = lambda: False
  ) -> tuple[TrainingState, StepMetrics] | None:
    # Where an array is belongs to its type: without the move, which is none from the second step on, that step's state
    # would be of another type than the first's, and all compiled twice.
    state = jax.device_put(state, everywhere)
    sums = nothing(state.params)
    in_work: collections.deque[jax.Array] = collections.deque()
    count = len(batch.lengths)
    together = 1 if count % _TOGETHER else _TOGETHER
    for first in range(0, count, together):
      while len(in_work) > num_ahead:
        in_work.popleft().block_until_ready()
      if stopped():
        return None
      here = slice(first, first + together)
      sums = add(state.params, sums, jax.tree.map(operator.itemgetter(here), batch))
      in_work.append(sums[0])
    return finish(state, sums, np.asarray(batch.num_counted))

  return update


def _make_add(objective: Objective, mesh: Mesh) -> Callable[..., Any]:
  """A function of params, sums and some micro-batches, [K, R, ...]: the sums with their losses and gradients.

  Sums are those of each device, [D, ...]: what devices have is added up once, at the end of a step.
  """
  gradient = jax.value_and_grad(objective.code_length)

  def device_add(params: hk.Params, sums: Any, micro_batches: Rows) -> Any:
    def add(so_far: Any, micro_batch: Rows) -> tuple[Any, None]:
      return jax.tree.map(jnp.add, so_far, gradient(params, micro_batch)), None

    own = jax.tree.map(operator.itemgetter(0), sums)
    return jax.tree.map(operator.itemgetter(jnp.newaxis), jax.lax.scan(add, own, micro_batches)[0])

  return jax.jit(
    jax.shard_map(device_add, mesh=mesh, in_specs=(PartitionSpec(), _SUMS, _ROWS), out_specs=_SUMS, check_vma=False)
  )


def _make_finish(optimizer: optax.GradientTransformation, mesh: Mesh) -> Callable[..., Any]:
  """A function of state, sums and the number of tokens (or samples) counted: the next state and the step's metrics."""

  def device_total(sums: Any) -> Any:
    return jax.lax.psum(jax.tree.map(operator.itemgetter(0), sums), DEVICE_AXIS)

  total = jax.shard_map(device_total, mesh=mesh, in_specs=(_SUMS,), out_specs=PartitionSpec(), check_vma=False)

  def finish(state: TrainingState, sums: Any, num_tokens: jax.Array) -> tuple[TrainingState, StepMetrics]:
    loss, gradients = jax.tree.map(lambda x: x / jnp.maximum(num_tokens, 1), total(sums))
    updates, opt_state = optimizer.update(gradients, state.opt_state)
    params: Any = optax.apply_updates(state.params, updates)
    advanced = TrainingState(params, opt_state, state.step + 1)
    grad_norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm) & jnp.isfinite(optax.tree.norm(advanced.params))
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), advanced, state)
    module_grad_norms = {path: optax.tree.norm(gradient) for path, gradient in gradients.items()}
    return kept, StepMetrics(loss, num_tokens, grad_norm, finite, module_grad_norms)

  return jax.jit(finish)


def make_code_length(objective: Objective, mesh: Mesh) -> Callable[[hk.Params, Rows], jax.Array]:
  """A pure function of params and a batch of arrays [M, R, ...]: nats of each micro-batch, [M]."""

  def device_lengths(params: hk.Params, batch: Rows) -> jax.Array:
    nats = jax.lax.map(lambda micro_batch: objective.code_length(params, micro_batch), batch)
    return jax.lax.psum(nats, DEVICE_AXIS)

  over_devices = jax.shard_map(
    device_lengths, mesh=mesh, in_specs=(PartitionSpec(), _ROWS), out_specs=PartitionSpec(), check_vma=False
  )
  return jax.jit(over_devices)
