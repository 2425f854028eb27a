"""What follows from a run's figures while it trains: that it ends early, that its learning rate comes down, and which
parameters are the best.
"""

import logging
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from language_modeling_is_compression.config.options import VALIDATION, TrainingSettings
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.training.early_stopping import Track, observed, reason_to_stop
from language_modeling_is_compression.training.optimizer import with_scale
from language_modeling_is_compression.training.state import TrainingState, evaluated_params

_logger = logging.getLogger(__name__)

SCORE = 'score'  # Name of the validations' score among their figures; metrics do not have it.
_SCORE_TITLE = "the validations' bits per sample"


class Best(NamedTuple):
  """Parameters of the best validation, on the host. value: of the figure, the lower the better."""

  params: Any
  step: int
  value: float


def _on_the_host(params: Any) -> Any:
  return jax.tree.map(np.asarray, params)


class Watcher:
  """Tracks of what is watched, which are part of checkpoints. Without settings for it nothing is watched.

  kept: `metadata` of the checkpoint that the run goes on from. best_params: the parameters that are to it.
  collected: brings parameters to the host, whole.

  scale: share of the learning rate that the schedule plateau is at. validated_step: of the last periodic validation.
  """

  def __init__(
    self,
    settings: TrainingSettings,
    kept: Mapping[str, Any] | None = None,
    best_params: Any = None,
    collected: Callable[[Any], Any] = _on_the_host,
  ):
    self._config, self._schedule = settings.early_stopping, settings.schedule
    self._warm_up = self._schedule.warm_up(settings.training.steps)
    self._has_plateau = self._schedule.learning_rate_schedule == 'plateau'
    self._plateau_figure = SCORE if settings.training.validate_every else 'loss_nats'
    self._figure = self._config.early_stopping_figure or SCORE
    self.keeps_best = settings.saves_best
    self._best_figure = self._figure if self._config.watches_validations else SCORE
    self._stopping, self._plateau = Track(), Track()
    self.scale, self.validated_step = 1.0, 0
    self._best: Best | None = None
    self._collected = collected
    if kept:
      self._restore(kept, best_params)

  def _restore(self, kept: Mapping[str, Any], best_params: Any) -> None:
    """Goes on with what was kept of the same figures. Raises KeyError, TypeError or ValueError if it is another's."""
    self.validated_step = int(kept['validated_step'])
    if kept['stopping_figure'] == self._figure:
      self._stopping = Track.from_mapping(kept['stopping'])
    if self._has_plateau:
      self.scale = float(kept['scale'])
      if kept['plateau_figure'] == self._plateau_figure:
        self._plateau = Track.from_mapping(kept['plateau'])
    best = kept['best']
    if self.keeps_best and best and best['figure'] == self._best_figure:
      self._best = Best(best_params, int(best['step']), float(best['value']))

  @property
  def is_on(self) -> bool:
    """Whether anything depends on what is measured."""
    return self._config.is_on or self._has_plateau or self.keeps_best

  @property
  def needs_validations(self) -> bool:
    """Whether something depends on validations."""
    plateau = self._has_plateau and self._plateau_figure == SCORE
    return self._config.watches_validations or plateau or self.keeps_best

  def metadata(self) -> dict[str, Any]:
    """Plain JSON for a checkpoint; empty if nothing is watched."""
    if not self.is_on:
      return {}
    return {
      'stopping_figure': self._figure,
      'stopping': self._stopping._asdict(),
      'plateau_figure': self._plateau_figure,
      'plateau': self._plateau._asdict(),
      'scale': self.scale,
      'validated_step': self.validated_step,
      'best': {'figure': self._best_figure, **self._best._replace(params=None)._asdict()} if self._best else None,
    }

  @property
  def best_params(self) -> Any:
    """Parameters for a checkpoint, None if there are none."""
    return self._best.params if self._best else None

  def provenance(self) -> dict[str, Any]:
    """What the model file says of it; empty if nothing is watched."""
    if not self.is_on:
      return {}
    best = self._best
    said = {
      'saved': 'best' if best else 'last',
      'best': {'step': best.step, 'figure': _title(self._best_figure), 'value': best.value} if best else None,
      'ended_early': self.reason(),
    }
    return said if self.keeps_best else {'ended_early': said['ended_early']}

  def check_figures(self, training: Collection[str], validation: Collection[str]) -> None:
    """Raises ConfigError if the figure that ends training is none of those that there are, by name.

    validation: without `valid/`; empty if nothing is held out.
    """
    names = [*sorted(training), *(f'{VALIDATION}{name}' for name in sorted(validation))]
    if self.needs_validations and not validation:
      raise ConfigError(
        'validate_every: no samples are held out, so there are no validations that early stopping, plateau or '
        '--save_parameters best could go by'
      )
    if self._config.is_on and self._figure not in (SCORE, *names):
      raise ConfigError(f'early_stopping_figure: expected one of {", ".join(names)}, got {self._figure!r}')

  def reason(self) -> str | None:
    """Why training should end now."""
    return reason_to_stop(self._stopping, self._config, _title(self._figure)) if self._config.is_on else None

  def see(self, state: TrainingState, figures: Mapping[str, float]) -> TrainingState:
    """Takes figures into account, by name, of the step that a state is after. Returns it, with another scale if due."""
    step = int(state.step)
    if self._config.is_on and self._figure in figures and step > (self._config.early_stopping_warmup_steps or 0):
      self._stopping = observed(self._stopping, step, figures[self._figure], self._config.improvement)
    if self.keeps_best and self._best_figure in figures:
      value = figures[self._best_figure]
      if math.isfinite(value) and (self._best is None or value < self._best.value):
        self._best = Best(self._collected(evaluated_params(state)), step, value)
    if SCORE in figures:
      self.validated_step = step
    if not self._has_plateau or self._plateau_figure not in figures or step <= self._warm_up:
      return state
    self._plateau = observed(self._plateau, step, figures[self._plateau_figure])
    if self._plateau.without < self._schedule.patience:
      return state
    self._plateau = self._plateau._replace(without=0)
    scale = max(self.scale * self._schedule.factor, self._schedule.final)
    if scale == self.scale:
      return state
    self.scale = scale
    _logger.info('step %d: no improvement, so the learning rate is %g of the full one from now on', step, scale)
    return state._replace(opt_state=with_scale(state.opt_state, scale))

  def saved_state(self, state: TrainingState) -> TrainingState:
    """The state as it is validated at the end and saved: with the best parameters, where these are kept."""
    return state._replace(params=self._best.params, ema=None) if self._best else state


def _title(figure: str) -> str:
  return _SCORE_TITLE if figure == SCORE else figure
