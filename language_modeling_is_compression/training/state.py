"""Training state, and the pure functions that make and update it.

Shapes: M micro-batches, R rows of one micro-batch over all devices, D devices.
"""

import collections
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from language_modeling_is_compression.training.objectives import CodeLengths, Objective, Rows
from language_modeling_is_compression.training.plan import DEVICE_AXIS

_ROWS = PartitionSpec(None, DEVICE_AXIS)  # Batches [M, R, ...]: each device has its share of R.
_SUMS = PartitionSpec(DEVICE_AXIS)  # Sums [D, ...].
# Micro-batches between two looks whether to stop. XLA compiles a loop for CPUs so that devices do not share threads;
# without one (a loop of one is none) training takes 8% longer.
_TOGETHER = 2


class TrainingState(NamedTuple):
  """What a run goes on from.

  step: int32, steps done. ema: moving average of the parameters, of their shape; None if there is none.
  skipped: int32, steps done that were not finite, and changed nothing but these two counts.

  A batch depends on the step alone, so a skipped step has to count: the same batch would fail in the same way. The
  optimizer's own counts, of which the learning rate is a function, are of the steps that were not skipped.
  """

  params: hk.Params
  opt_state: Any
  step: jax.Array
  ema: Any = None
  skipped: Any = np.int32(0)


def evaluated_params(state: TrainingState) -> hk.Params:
  """The parameters that are validated and saved: their moving average, if there is one."""
  return state.params if state.ema is None else state.ema


class StepMetrics(NamedTuple):
  """Scalars of one step. num_tokens: what counted, tokens or samples; loss_nats is the mean over them.

  finite: false if the step's figures were not all finite. Then it was skipped, if so many steps may be, or the state
  was left as it was. skipped_steps: in all, with this one. module_grad_norms: of each module's gradient, by path.
  """

  loss_nats: jax.Array
  num_tokens: jax.Array
  grad_norm: jax.Array
  finite: jax.Array
  skipped: Any = False
  skipped_steps: Any = 0
  module_grad_norms: Mapping[str, jax.Array] = MappingProxyType({})


def initial_state(
  objective: Objective, optimizer: optax.GradientTransformation, *, seed: int, averaged: bool = False
) -> TrainingState:
  """seed: any integer >= 0; its 32-bit digest seeds JAX, whose own keys would drop its high bits.

  averaged: whether a moving average of the parameters is kept.
  """
  digest = int(np.random.SeedSequence(seed).generate_state(1, np.uint32)[0])
  # Compiled, since a forward pass would be run for nothing otherwise.
  params = jax.jit(objective.init)(jax.random.key(digest))
  ema = params if averaged else None
  return TrainingState(params, optimizer.init(params), jnp.zeros((), jnp.int32), ema, jnp.zeros((), jnp.int32))


@dataclass(frozen=True)
class Update:
  """A pure `update(state, batch, stopped)`; batch: arrays [M, R, ...], as `MicroBatches.arrange` makes them.

  Returns the next state and the step's metrics; or None if `stopped()` (by default never) is true between two
  micro-batches: a step takes seconds, and whoever wants it to end shall not wait for all of it.

  memory: given the same state and batch, the bytes that a device needs for a step, as XLA plans it; None where it does
  not say. It compiles what the first step would compile, and computes nothing.
  """

  step: Callable[..., tuple[TrainingState, StepMetrics] | None]
  memory: Callable[[TrainingState, Rows], int | None]

  def __call__(
    self, state: TrainingState, batch: Rows, stopped: Callable[[], bool] = lambda: False
  ) -> tuple[TrainingState, StepMetrics] | None:
    return self.step(state, batch, stopped)


def together(count: int) -> int:
  """Micro-batches, of so many in a step, that are one compiled call."""
  return 1 if count % _TOGETHER else _TOGETHER


def make_update(
  objective: Objective,
  optimizer: optax.GradientTransformation,
  mesh: Mesh,
  *,
  ema_decay: float | None = None,
  max_bad_steps: int = 0,
) -> Update:
  """The update of an optimizer.

  ema_decay: of the moving average, for states that have one. max_bad_steps: steps that are skipped, in all, where they
  are not finite.
  """
  add, finish = _make_add(objective, mesh), _make_finish(optimizer, mesh, ema_decay, max_bad_steps)
  everywhere, by_device = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, _SUMS)
  nothing = jax.jit(
    lambda params: jax.tree.map(lambda x: jnp.zeros((mesh.devices.size, *x.shape), x.dtype), (jnp.zeros(()), params)),
    out_shardings=by_device,
  )
  # A CPU gains nothing from queued work; an accelerator without it would idle until the next call is dispatched.
  num_ahead = 0 if mesh.devices.flat[0].platform == 'cpu' else 1

  def update(
    state: TrainingState, batch: Rows, stopped: Callable[[], bool]
  ) -> tuple[TrainingState, StepMetrics] | None:
    # Where an array is belongs to its type: without the move, which is none from the second step on, that step's state
    # would be of another type than the first's, and all compiled twice.
    state = jax.device_put(state, everywhere)
    sums = nothing(state.params)
    in_work: collections.deque[jax.Array] = collections.deque()
    count = len(batch.lengths)
    for first in range(0, count, together(count)):
      while len(in_work) > num_ahead:
        in_work.popleft().block_until_ready()
      if stopped():
        return None
      here = slice(first, first + together(count))
      sums = add(state.params, sums, jax.tree.map(operator.itemgetter(here), batch))
      in_work.append(sums[0])
    return finish(state, sums, np.asarray(batch.num_counted))

  def memory(state: TrainingState, batch: Rows) -> int | None:
    params = jax.device_put(state.params, everywhere)
    few = jax.tree.map(operator.itemgetter(slice(together(len(batch.lengths)))), batch)
    planned = add.lower(params, nothing(params), few).compile().memory_analysis()
    if planned is None:
      return None
    arrays = planned.argument_size_in_bytes + planned.output_size_in_bytes - planned.alias_size_in_bytes
    others = sum(leaf.nbytes for leaf in jax.tree.leaves((state.opt_state, state.ema)))
    return arrays + planned.temp_size_in_bytes + others

  return Update(update, memory)


def _make_add(objective: Objective, mesh: Mesh) -> jax.stages.Wrapped:
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


def _make_finish(
  optimizer: optax.GradientTransformation, mesh: Mesh, ema_decay: float | None, max_bad_steps: int
) -> Callable[..., Any]:
  """A function of state, sums and the number of tokens (or samples) counted: the next state and the step's metrics."""

  def device_total(sums: Any) -> Any:
    return jax.lax.psum(jax.tree.map(operator.itemgetter(0), sums), DEVICE_AXIS)

  total = jax.shard_map(device_total, mesh=mesh, in_specs=(_SUMS,), out_specs=PartitionSpec(), check_vma=False)

  def finish(state: TrainingState, sums: Any, num_tokens: jax.Array) -> tuple[TrainingState, StepMetrics]:
    loss, gradients = jax.tree.map(lambda x: x / jnp.maximum(num_tokens, 1), total(sums))
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params: Any = optax.apply_updates(state.params, updates)
    ema = None if ema_decay is None else _averaged(state, params, ema_decay)
    advanced = TrainingState(params, opt_state, state.step + 1, ema, state.skipped)
    grad_norm = optax.tree.norm(gradients)
    finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm) & jnp.isfinite(optax.tree.norm(advanced.params))
    skipped = ~finite & (state.skipped < max_bad_steps)
    passed_over = state._replace(step=state.step + skipped, skipped=state.skipped + skipped)
    module_grad_norms = {path: optax.tree.norm(gradient) for path, gradient in gradients.items()}
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), advanced, passed_over)
    return kept, StepMetrics(loss, num_tokens, grad_norm, finite, skipped, kept.skipped, module_grad_norms)

  return jax.jit(finish)


def _averaged(state: TrainingState, params: hk.Params, decay: float) -> Any:
  """The moving average with the parameters that a step made, weighted so that the first ones count for nothing.

  After n steps it is the mean of what these made, with weights decay^(n - k) for step k: what Adam's correction of its
  bias makes of a sum that begins at zero, but kept in the state as it is evaluated.
  """
  count = state.step + 1 - state.skipped
  log_decay = math.log(decay) if decay else -math.inf
  weight = (1 - decay) / -jnp.expm1(count * log_decay)
  return jax.tree.map(lambda mean, new: mean + weight * (new - mean), state.ema, params)


def make_code_length(objective: Objective, mesh: Mesh) -> Callable[[hk.Params, Rows], CodeLengths]:
  """A pure function of params and a batch of arrays [M, R, ...]: nats of micro-batches, [M], and by row, [M, R, P]."""

  def device_lengths(params: hk.Params, batch: Rows) -> CodeLengths:
    own = jax.lax.map(lambda micro_batch: objective.code_lengths(params, micro_batch), batch)
    rows = jax.lax.all_gather(own.by_row, DEVICE_AXIS, axis=1, tiled=True)
    return CodeLengths(jax.lax.psum(own.total, DEVICE_AXIS), rows)

  over_devices = jax.shard_map(
    device_lengths, mesh=mesh, in_specs=(PartitionSpec(), _ROWS), out_specs=PartitionSpec(), check_vma=False
  )
  return jax.jit(over_devices)
