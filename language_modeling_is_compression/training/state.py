"""Training state, and the pure functions that make and update it.

Shapes: M micro-batches, R rows of one micro-batch over all devices, D devices; layout.py says which device has what.
"""

import collections
import functools
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
from jax.sharding import NamedSharding

from language_modeling_is_compression.training.layout import BY_DEVICE, DEVICE_AXIS, EVERYWHERE, ROWS, Layout
from language_modeling_is_compression.training.objectives import CodeLengths, Objective, Rows

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
  """seed: any integer >= 0. averaged: whether a moving average of the parameters is kept."""
  # Compiled, since a forward pass would be run for nothing otherwise.
  params = jax.jit(objective.init)(jax.random.key(_digest(seed)))
  ema = params if averaged else None
  return TrainingState(params, optimizer.init(params), jnp.zeros((), jnp.int32), ema, jnp.zeros((), jnp.int32))


def _digest(seed: int) -> int:
  """32 bits of a seed of any size, for JAX, whose own keys would drop its high bits."""
  return int(np.random.SeedSequence(seed).generate_state(1, np.uint32)[0])


@dataclass(frozen=True)
class Update:
  """A pure `update(state, batch, stopped)`; batch: arrays [M, R, ...], as `MicroBatches.arrange` makes them,
  or of several processes each one's own rows of them.

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
  layout: Layout,
  *,
  ema_decay: float | None = None,
  max_bad_steps: int = 0,
  dropout_seed: int | None = None,
) -> Update:
  """The update of an optimizer.

  ema_decay: of the moving average, for states that have one. max_bad_steps: steps that are skipped, in all, where they
  are not finite. dropout_seed: of the keys that the objective gets; None if it has no dropout.
  """
  sums = _Sums(objective, layout)
  add = _make_add(objective, sums, None if dropout_seed is None else _digest(dropout_seed))
  finish = _make_finish(optimizer, sums, ema_decay, max_bad_steps)
  # A CPU gains nothing from queued work; an accelerator without it would idle until the next call is dispatched.
  num_ahead = 0 if layout.is_cpu else 1

  def update(
    state: TrainingState, batch: Rows, stopped: Callable[[], bool]
  ) -> tuple[TrainingState, StepMetrics] | None:
    # Where an array is belongs to its type: without the move, which is none from the second step on, that step's state
    # would be of another type than the first's, and all compiled twice.
    state = layout.placed(state)
    total = sums.nothing()
    in_work: collections.deque[jax.Array] = collections.deque()
    count = len(batch.lengths)
    for first in range(0, count, together(count)):
      while len(in_work) > num_ahead:
        in_work.popleft().block_until_ready()
      if stopped():
        return None
      here = slice(first, first + together(count))
      micro_batches = layout.rows(jax.tree.map(operator.itemgetter(here), batch))
      total, done = add(state.params, total, micro_batches, state.step, first)
      in_work.append(done)
    return finish(state, total, layout.counts(int(batch.num_counted)))

  def memory(state: TrainingState, batch: Rows) -> int | None:
    few = layout.rows(jax.tree.map(operator.itemgetter(slice(together(len(batch.lengths)))), batch))
    state = layout.placed(state)
    planned = add.lower(state.params, sums.nothing(), few, state.step, 0).compile().memory_analysis()
    if planned is None:
      return None
    arrays = planned.argument_size_in_bytes + planned.output_size_in_bytes - planned.alias_size_in_bytes
    others = layout.device_bytes((state.opt_state, state.ema))
    return arrays + planned.temp_size_in_bytes + others

  return Update(update, memory)


class _Sums:
  """Sums over micro-batches: nats, and gradients of the parameters.

  They are those of each device, [D, ...], and what devices have is added up once, at the end of a step; but a gradient
  of a parameter that is sharded is added up at once, and each device keeps its share.
  """

  def __init__(self, objective: Objective, layout: Layout):
    self.layout = layout
    self.params = jax.eval_shape(objective.init, jax.random.key(0))
    self._is_cut = jax.tree.map(lambda leaf: layout.cut_axis(leaf.shape) is not None, self.params)
    self.specs = (BY_DEVICE, jax.tree.map(self._spec, self.params, self._is_cut))
    shardings = jax.tree.map(lambda spec: NamedSharding(layout.mesh, spec), self.specs)
    self.nothing = jax.jit(
      lambda: (self._zeros(np.float32(0), False), self._zeros_of_params()), out_shardings=shardings
    )

  def _spec(self, leaf: Any, is_cut: bool) -> Any:
    return self.layout.specs(leaf) if is_cut else BY_DEVICE

  def _zeros(self, leaf: Any, is_cut: bool) -> jax.Array:
    return jnp.zeros(leaf.shape if is_cut else (self.layout.num_devices, *leaf.shape), leaf.dtype)

  def _zeros_of_params(self) -> Any:
    return jax.tree.map(self._zeros, self.params, self._is_cut)

  def own(self, sums: Any) -> Any:
    """Within a device: its own sums, without the axis of devices."""
    return sums[0][0], jax.tree.map(lambda x, is_cut: x if is_cut else x[0], sums[1], self._is_cut)

  def as_kept(self, own: Any) -> Any:
    """The reverse of `own`."""
    return own[0][jnp.newaxis], jax.tree.map(lambda x, is_cut: x if is_cut else x[jnp.newaxis], own[1], self._is_cut)

  def total(self, sums: Any, counts: jax.Array) -> tuple[jax.Array, Any, jax.Array]:
    """Nats, gradients and the number of tokens (or samples), over all devices."""

    def device_total(sums: Any, counts: jax.Array) -> Any:
      nats, gradients = self.own(sums)
      summed = jax.tree.map(lambda x, is_cut: x if is_cut else jax.lax.psum(x, DEVICE_AXIS), gradients, self._is_cut)
      return jax.lax.psum(nats, DEVICE_AXIS), summed, jax.lax.psum(counts[0], DEVICE_AXIS)

    out_specs = (EVERYWHERE, self.layout.specs(self.params), EVERYWHERE)
    over_devices = jax.shard_map(
      device_total, mesh=self.layout.mesh, in_specs=(self.specs, BY_DEVICE), out_specs=out_specs, check_vma=False
    )
    return over_devices(sums, counts)


def _make_add(objective: Objective, sums: _Sums, dropout_seed: int | None) -> jax.stages.Wrapped:
  """A function of params, sums, some micro-batches [K, R, ...], the step and the number of the first of them.

  Returns the sums with their nats and gradients, and something that is there when they are.
  """
  gradient = jax.value_and_grad(objective.code_length)

  def row_keys(step: jax.Array, number: jax.Array, num_rows: int) -> jax.Array:
    """Keys of this device's rows of a micro-batch: functions of the seed, the step and the row's place in the batch."""
    assert dropout_seed is not None
    place = jax.lax.axis_index(DEVICE_AXIS) + number * sums.layout.num_devices
    key = jax.random.fold_in(jax.random.key(dropout_seed), step)
    return jax.vmap(functools.partial(jax.random.fold_in, key))(place * num_rows + jnp.arange(num_rows))

  def device_add(params: hk.Params, so_far: Any, micro_batches: Rows, step: jax.Array, first: jax.Array) -> Any:
    def add(carried: Any, numbered: tuple[jax.Array, Rows]) -> tuple[Any, None]:
      number, micro_batch = numbered
      keys = () if dropout_seed is None else (row_keys(step, first + number, micro_batch.lengths.shape[0]),)
      return jax.tree.map(jnp.add, carried, gradient(params, micro_batch, *keys)), None

    numbers = jnp.arange(micro_batches.lengths.shape[0])
    added = jax.lax.scan(add, sums.own(so_far), (numbers, micro_batches))[0]
    return sums.as_kept(added), added[0][jnp.newaxis]

  over_devices = jax.shard_map(
    device_add,
    mesh=sums.layout.mesh,
    in_specs=(sums.layout.specs(sums.params), sums.specs, ROWS, EVERYWHERE, EVERYWHERE),
    out_specs=(sums.specs, BY_DEVICE),
    check_vma=False,
  )
  return jax.jit(over_devices, donate_argnums=1)


def _make_finish(
  optimizer: optax.GradientTransformation, sums: _Sums, ema_decay: float | None, max_bad_steps: int
) -> Callable[..., Any]:
  """A function of state, sums and what each device counted, [D]: the next state and the step's metrics."""

  def finish(state: TrainingState, total: Any, counts: jax.Array) -> tuple[TrainingState, StepMetrics]:
    nats, summed, num_tokens = sums.total(total, counts)
    loss, gradients = jax.tree.map(lambda x: x / jnp.maximum(num_tokens, 1), (nats, summed))
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
    kept = jax.lax.with_sharding_constraint(kept, sums.layout.shardings(kept))
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


def make_code_length(objective: Objective, layout: Layout) -> Callable[[hk.Params, Rows], CodeLengths]:
  """A pure function of params and a batch as `make_update` describes it: nats of micro-batches, [M], and by
  row, [M, R, P].
  """

  def device_lengths(params: hk.Params, batch: Rows) -> CodeLengths:
    own = jax.lax.map(lambda micro_batch: objective.code_lengths(params, micro_batch), batch)
    rows = jax.lax.all_gather(own.by_row, DEVICE_AXIS, axis=1, tiled=True)
    return CodeLengths(jax.lax.psum(own.total, DEVICE_AXIS), rows)

  params = jax.eval_shape(objective.init, jax.random.key(0))
  over_devices = jax.jit(
    jax.shard_map(
      device_lengths, mesh=layout.mesh, in_specs=(layout.specs(params), ROWS), out_specs=EVERYWHERE, check_vma=False
    )
  )
  return lambda params, batch: over_devices(layout.placed(params), layout.rows(batch))
