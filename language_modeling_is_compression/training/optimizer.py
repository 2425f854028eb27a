"""The optimizers by name, and their step size over time."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from language_modeling_is_compression.config.options import OPTIMIZERS, SCHEDULES, ScheduleConfig, TrainingSettings

# With it an orthogonalized update is as large as AdamW's usually are, so that one learning rate suits both (Liu et al.,
# "Muon is Scalable for LLM Training", arXiv 2502.16982).
_MUON_RMS = 0.2


def learning_rate_schedule(settings: TrainingSettings) -> optax.Schedule:
  """Step size by step, counted from 0: a linear warm-up, and then what the schedule's name says.

  All that come down reach the last value one step after the last one of the run.
  """
  schedule, peak, num_steps = settings.schedule, settings.optimizer.learning_rate, settings.training.steps
  name, warm_up = schedule.learning_rate_schedule, schedule.warm_up(num_steps)
  if name == 'constant' and not warm_up:
    return optax.constant_schedule(peak)
  rising = optax.linear_schedule(peak / (warm_up + 1), peak, warm_up)
  return optax.join_schedules([rising, _SCHEDULES[name](peak, num_steps - warm_up, schedule, num_steps)], [warm_up])


def _constant(peak: float, num_steps: int, config: ScheduleConfig, total: int) -> optax.Schedule:
  del num_steps, config, total
  return optax.constant_schedule(peak)


def _linear(peak: float, num_steps: int, config: ScheduleConfig, total: int) -> optax.Schedule:
  del total
  return optax.linear_schedule(peak, peak * config.final, num_steps)


def _exponential(peak: float, num_steps: int, config: ScheduleConfig, total: int) -> optax.Schedule:
  del total
  return optax.exponential_decay(peak, num_steps, config.final)


def _warmup_stable_decay(peak: float, num_steps: int, config: ScheduleConfig, total: int) -> optax.Schedule:
  decay = config.decay(total)
  parts = [optax.constant_schedule(peak), optax.linear_schedule(peak, peak * config.final, decay)]
  return optax.join_schedules(parts, [num_steps - decay])


def _cosine(peak: float, num_steps: int, config: ScheduleConfig, total: int) -> optax.Schedule:
  del total
  cycles = config.cycles or 1
  edges = [num_steps * index // cycles for index in range(cycles + 1)]
  parts = [
    optax.cosine_decay_schedule(peak, after - before, alpha=peak * config.final / peak)
    for before, after in itertools.pairwise(edges)
  ]
  return optax.join_schedules(parts, edges[1:-1])


ScheduleMaker = Callable[[float, int, ScheduleConfig, int], optax.Schedule]
_SCHEDULES: dict[str, ScheduleMaker] = {
  'constant': _constant,
  'linear': _linear,
  'cosine': _cosine,
  'exponential': _exponential,
  'warmup_stable_decay': _warmup_stable_decay,
  'plateau': _constant,  # What makes it lower is a factor in the optimizer's state.
}


def register_schedule(name: str, make: ScheduleMaker, *, heeds: Sequence[str] = ()) -> None:
  """Adds a schedule. heeds: settings of ScheduleConfig that it heeds beside `warmup_steps`. Raises ConfigError.

  make: of the full learning rate, the steps behind the warm-up, the settings, and the steps of the whole run, a
  function from steps, counted from the end of the warm-up, to learning rates.
  """
  SCHEDULES.add(name, tuple(heeds))
  _SCHEDULES[name] = make


class _Kind(NamedTuple):
  """make: of a learning rate and keywords. renamed: its keywords for settings, where others call them differently.

  fixed: keywords that nobody chooses.
  """

  make: Callable[..., Any]
  renamed: Mapping[str, str] = {}
  fixed: Mapping[str, Any] = {}


def matrices(params: Any) -> Any:
  """Whether each parameter is a matrix that something is multiplied by: two axes, and no bias (lag_bias has two).

  What else has two axes or more is a table of embeddings, one row of which acts at a time.
  """

  def is_matrix(path: Any, leaf: Any) -> bool:
    return leaf.ndim == 2 and not (path and str(getattr(path[-1], 'key', '')).endswith('bias'))

  return jax.tree_util.tree_map_with_path(is_matrix, params)


def _muon_axes(params: Any) -> Any:
  axes = optax.contrib.MuonDimensionNumbers()
  return jax.tree.map(lambda is_matrix: axes if is_matrix else None, matrices(params))


_KEYWORDS = {'beta1': 'b1', 'beta2': 'b2', 'epsilon': 'eps', 'momentum': 'momentum', 'weight_decay': 'weight_decay'}
_KINDS: dict[str, _Kind] = {
  'adam': _Kind(optax.adam),  # Kingma and Ba, 2015
  'adamw': _Kind(optax.adamw, fixed={'mask': matrices}),  # Loshchilov and Hutter, 2019
  'sgd': _Kind(optax.sgd),
  'rmsprop': _Kind(optax.rmsprop, renamed={'beta2': 'decay'}),
  'lion': _Kind(optax.lion, fixed={'mask': matrices}),  # Chen et al., 2023
  'muon': _Kind(  # Jordan, 2024
    optax.contrib.muon,
    renamed={'beta1': 'adam_b1', 'beta2': 'adam_b2', 'momentum': 'beta'},
    fixed={'muon_weight_dimension_numbers': _muon_axes, 'consistent_rms': _MUON_RMS},
  ),
}


def register_optimizer(
  name: str, make: Callable[..., optax.GradientTransformation], *, heeds: Sequence[str] = ()
) -> None:
  """Adds an optimizer. heeds: settings of OptimizerConfig that are keywords of `make`. Raises ConfigError.

  make: of a learning rate (a schedule) and keywords, of which those that were not given are left out.
  """
  OPTIMIZERS.add(name, tuple(heeds))
  _KINDS[name] = _Kind(make, renamed={each: each for each in heeds})


def make_optimizer(settings: TrainingSettings, schedule: optax.Schedule | None = None) -> optax.GradientTransformation:
  """The optimizer that the settings name, of gradients that are scaled down first where that is asked for.

  What is not given is as optax has it. `update` needs the parameters. schedule: of the learning rate, in place of what
  the settings say.
  """
  config = settings.optimizer
  kind = _KINDS[config.optimizer]
  keywords = {**_KEYWORDS, **kind.renamed}
  given = {
    keywords[name]: value for name in OPTIMIZERS[config.optimizer] if (value := getattr(config, name)) is not None
  }
  optimizer = kind.make(learning_rate_schedule(settings) if schedule is None else schedule, **given, **kind.fixed)
  norm = config.gradient_clip_norm
  parts = [optimizer] if norm is None else [optax.clip_by_global_norm(norm), optimizer]
  if schedule is None and settings.schedule.learning_rate_schedule == 'plateau':
    parts.append(_scale_by_state())
  return parts[0] if len(parts) == 1 else optax.chain(*parts)


class ScaleState(NamedTuple):
  """scale: float32, what updates are multiplied by. Who trains sets it, between two steps."""

  scale: jax.Array


def _scale_by_state() -> optax.GradientTransformation:
  """Multiplies what an optimizer makes, in which the learning rate is a factor whatever its name."""

  def init(params: Any) -> ScaleState:
    del params
    return ScaleState(jnp.ones((), jnp.float32))

  def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
    del params
    return jax.tree.map(lambda update: (update * state.scale).astype(update.dtype), updates), state

  return optax.GradientTransformation(init, update)


def with_scale(opt_state: Any, scale: float) -> Any:
  """The state of an optimizer of the schedule plateau with another share of the learning rate."""
  *others, last = opt_state
  assert isinstance(last, ScaleState), last
  return (*others, ScaleState(jnp.asarray(scale, jnp.float32)))
