"""The training loop: steps, figures, validations, saves, and an orderly end whatever happens."""

import logging
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import haiku as hk
import jax
import numpy as np
from tqdm import tqdm

from language_modeling_is_compression.config import TrainingConfig
from language_modeling_is_compression.errors import CheckpointError, TrainingError
from language_modeling_is_compression.tracking import Tracker
from language_modeling_is_compression.training.material import Material, Measured
from language_modeling_is_compression.training.objectives import Rows
from language_modeling_is_compression.training.plan import MicroBatches
from language_modeling_is_compression.training.state import StepMetrics, TrainingState
from language_modeling_is_compression.training.stopper import Stopper

_logger = logging.getLogger(__name__)


class Outcome(NamedTuple):
  """stopped_by: number of the signal that ended training early, or None. held_out: None if there was no time for it."""

  state: TrainingState
  held_out: Measured | None
  stopped_by: int | None


class Trainer:
  """One run. Everything that it needs is given; it decides when what is called.

  learning_rate: of a step, counted from 0.
  update, code_length: as `state.make_update` and `state.make_code_length` make them, with micro_batches.
  save: writes the model file, given the state and the held-out figures if known.
  """

  def __init__(
    self,
    *,
    config: TrainingConfig,
    material: Material,
    micro_batches: MicroBatches,
    learning_rate: Callable[[int], float],
    update: Callable[[TrainingState, Rows], tuple[TrainingState, StepMetrics]],
    code_length: Callable[[hk.Params, Rows], jax.Array],
    save: Callable[[TrainingState, Measured | None], None],
    tracker: Tracker,
    stopper: Stopper,
    show_progress: bool,
  ):
    self._config = config
    self._material = material
    self._micro_batches = micro_batches
    self._learning_rate = learning_rate
    self._update = update
    self._code_length = code_length
    self._save = save
    self._tracker = tracker
    self._stopper = stopper
    self._show_progress = show_progress

  def run(self, state: TrainingState) -> Outcome:
    """Trains from a state to the last step, validates and saves.

    Raises TrainingError if a step's figures are not finite or memory runs out; what was good before that is saved
    first. Raises CheckpointError if the model cannot be saved.
    """
    state, failure = self._train(state)
    held_out = None
    if failure is None and self._stopper.signal is None:
      try:
        held_out = self._validate(state, 'held-out', periodic=False)
      except jax.errors.JaxRuntimeError as error:
        failure = explained(error)
    try:
      self._save(state, held_out)
    except CheckpointError as error:
      raise (CheckpointError(f'{failure}; {error}') if failure else error) from failure
    if failure:
      raise failure
    return Outcome(state, held_out, self._stopper.signal)

  def _train(self, state: TrainingState) -> tuple[TrainingState, TrainingError | None]:
    """Steps until the last one, the stopper or a failure; the state is good in each case."""
    first, last = int(state.step), self._config.training_steps
    meter = _Meter(first)
    saved_at = time.monotonic()
    good = state  # As of the last step whose figures have arrived.
    pending: StepMetrics | None = None
    with tqdm(total=last, initial=first, unit='step', disable=not self._show_progress, dynamic_ncols=True) as bar:
      for done in range(first + 1, last + 1):
        batch = self._material.training_batch(done - 1)
        log = done % self._config.log_every == 0 or done == last
        validate = self._config.validate_every > 0 and done % self._config.validate_every == 0 and done < last
        save = time.monotonic() - saved_at > 60 * self._config.save_minutes
        entered = state
        try:
          # The devices work on this step while the figures of the one before are read.
          state, metrics = self._update(state, self._micro_batches.arrange(batch))
          if pending is not None:
            self._account(pending, meter, bar)
            good = entered
          pending = metrics
          if log or validate or save or self._stopper.signal is not None:
            self._account(pending, meter, bar)
            good, pending = state, None
          # A signal may come between any two lines; one that came too late for this step's figures waits for the next.
          stop = pending is None and self._stopper.signal is not None
          if log or stop:
            self._report(done, meter)
          if stop:
            break
          if validate:
            self._validate(state, 'validation', periodic=True)
        except TrainingError as error:
          return good, error
        except jax.errors.JaxRuntimeError as error:
          return good, explained(error)
        if save:
          self._save_for_safety(state)
          saved_at = time.monotonic()
        if validate or save:
          meter.restart_clock()
    return state, None

  def _save_for_safety(self, state: TrainingState) -> None:
    """Saves while training goes on; that this cannot be done now is no reason to stop."""
    try:
      self._save(state, None)
    except CheckpointError as error:
      _logger.warning('%s', error)

  def _account(self, metrics: StepMetrics, meter: '_Meter', bar: tqdm) -> None:
    """Reads a step's figures from the devices and shows them. Raises TrainingError if they are not finite."""
    if not bool(metrics.finite):
      raise TrainingError(
        f'step {meter.steps + 1}: the loss or its gradient is not finite (loss {float(metrics.loss_nats)}, '
        f'gradient norm {float(metrics.grad_norm)}); the parameters before it are kept; '
        'try a lower --learning_rate'
      )
    meter.add(metrics)
    bar.update()
    bar.set_postfix_str(
      f'{self._material.shown(meter.last_loss)}, {meter.tokens_per_second:,.0f} {self._material.unit}s/s', refresh=False
    )

  def _report(self, step: int, meter: '_Meter') -> None:
    """Logs and records means over the steps since the last report."""
    unit = self._material.unit
    figures = {
      **self._material.rates(meter.mean_loss),
      'learning_rate': self._learning_rate(step - 1),
      'grad_norm': meter.last_grad_norm,
      f'{unit}s_per_second': meter.tokens_per_second,
    }
    self._tracker.log(step, figures)
    _logger.info(
      'step %d of %d: %s, %.4f nats per %s, gradient norm %.3g, %.0f %ss/s',
      *(step, self._config.training_steps, self._material.shown(meter.mean_loss), meter.mean_loss, unit),
      *(meter.last_grad_norm, meter.tokens_per_second, unit),
    )
    meter.restart()

  def _validate(self, state: TrainingState, what: str, *, periodic: bool) -> Measured | None:
    """Code length of held-out rows; None if there are none or the user stops it."""
    micro_batches = self._micro_batches
    batch_size = micro_batches.count * micro_batches.rows
    validation = self._material.validation(periodic=periodic)
    with tqdm(
      total=validation.num_rows, unit='row', desc=what, leave=False, disable=not self._show_progress, dynamic_ncols=True
    ) as bar:
      for batch in validation.batches(batch_size):
        if self._stopper.signal is not None:
          return None
        nats = np.asarray(self._code_length(state.params, micro_batches.arrange(batch)), np.float64)
        validation.add(batch, float(np.sum(nats)))
        bar.update(min(batch_size, validation.num_rows - bar.n))
    measured = validation.measured()
    if measured is None:
      return None
    self._tracker.log(int(state.step), measured.figures)
    _logger.info('%s at step %d: %s', what, int(state.step), measured.text)
    return measured


def explained(error: jax.errors.JaxRuntimeError) -> TrainingError:
  """What a user can make of a failure of the devices, most often that memory ran out."""
  reason = (str(error).strip() or type(error).__name__).splitlines()[0]
  advice = '; try a lower --micro_batch_size or a smaller model' if 'RESOURCE_EXHAUSTED' in reason else ''
  return TrainingError(f'the device failed: {reason}{advice}')


class _Meter:
  """Figures since the last report. steps: done in all. A token is a sample where the model's unit is."""

  def __init__(self, first: int) -> None:
    self.steps = first
    self.last_loss = math.nan
    self.last_grad_norm = math.nan
    self._first = first
    self.restart()

  def restart(self) -> None:
    self._nats, self._tokens = 0.0, 0
    self.restart_clock()

  def restart_clock(self) -> None:
    self._timed_tokens, self._started = 0, time.monotonic()

  def add(self, metrics: StepMetrics) -> None:
    self.steps += 1
    self.last_loss, self.last_grad_norm = float(metrics.loss_nats), float(metrics.grad_norm)
    num_tokens = int(metrics.num_tokens)
    self._nats += self.last_loss * num_tokens
    self._tokens += num_tokens
    self._timed_tokens += num_tokens
    if self.steps == self._first + 1:
      self.restart_clock()  # The first step was mostly compilation.

  @property
  def mean_loss(self) -> float:
    return self._nats / self._tokens if self._tokens else math.nan

  @property
  def tokens_per_second(self) -> float:
    """0 until a second step is done."""
    return self._timed_tokens / max(time.monotonic() - self._started, 1e-9)
