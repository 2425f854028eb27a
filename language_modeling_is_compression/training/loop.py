"""The training loop: steps, metrics, validations, saves, and an orderly end in every case."""

import contextlib
import dataclasses
import logging
import math
import operator
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import haiku as hk
import jax
import numpy as np

from language_modeling_is_compression.config.options import VALIDATION, TrainingSettings
from language_modeling_is_compression.errors import CancelledError, CheckpointError, TrainingError
from language_modeling_is_compression.system.progress import progress_bar
from language_modeling_is_compression.training.flops import Arithmetic
from language_modeling_is_compression.training.memory import memory_figures
from language_modeling_is_compression.training.objectives import CodeLengths, Rows
from language_modeling_is_compression.training.plan import MicroBatches
from language_modeling_is_compression.training.prefetch import prefetched
from language_modeling_is_compression.training.processes import Processes
from language_modeling_is_compression.training.state import StepMetrics, TrainingState, evaluated_params
from language_modeling_is_compression.training.stopper import Stopper
from language_modeling_is_compression.training.task import Task, ValidationResult
from language_modeling_is_compression.training.tracking import Tracker
from language_modeling_is_compression.training.watcher import SCORE, Watcher

_logger = logging.getLogger(__name__)

_GRACE_SECONDS = 30.0  # Between a scheduler's SIGTERM and its SIGKILL.


class RunOutcome(NamedTuple):
  """Outcome of a run.

  held_out: None if there was no time for it. stopped_by: number of the signal that ended training early, or None.
  is_saved: whether there is a model; there is none of a run that was stopped before its first step was done.
  """

  state: TrainingState
  held_out: ValidationResult | None
  stopped_by: int | None
  is_saved: bool = True


class Progress(NamedTuple):
  """Sums since the last report: nats, and the tokens that they are of."""

  nats: float
  tokens: int


NO_PROGRESS = Progress(0.0, 0)


class Trainer:
  """One run. Everything that it needs is given; it decides when what is called.

  learning_rate: of a step, counted from 0, without those that were skipped. arithmetic: what a token or sample costs.
  update, code_length: as `state.make_update` and `state.make_code_length` make them, with micro_batches.
  save: writes the model file, given the state and the held-out figures if known.
  checkpoint: writes a checkpoint, given the state, the metrics since the last report, and the score of a validation of
  this state, if there was one.
  processes: that train together. All of them have the same figures, and call save and checkpoint at the same steps.
  watcher: is told what is measured; by default a new one of these settings.
  sounds_due: whether sounds are generated once so many steps are done. generate: generates them, given the state and
  what is asked in all processes in step whether to stop, as `Sounds.generate` has it.
  """

  def __init__(
    self,
    *,
    settings: TrainingSettings,
    task: Task,
    micro_batches: MicroBatches,
    learning_rate: Callable[[int], float],
    arithmetic: Arithmetic,
    update: Callable[..., tuple[TrainingState, StepMetrics] | None],
    code_length: Callable[[hk.Params, Rows], CodeLengths],
    save: Callable[[TrainingState, ValidationResult | None], None],
    checkpoint: Callable[[TrainingState, Progress, float | None], None],
    tracker: Tracker,
    stopper: Stopper,
    processes: Processes | None = None,
    watcher: Watcher | None = None,
    sounds_due: Callable[[int], bool] = lambda step: False,
    generate: Callable[[TrainingState, Callable[[bool], bool]], None] = lambda state, is_over: None,
  ):
    self._settings = settings
    self._task = task
    self._micro_batches = micro_batches
    self._learning_rate = learning_rate
    self._arithmetic = arithmetic
    self._update = update
    self._code_length = code_length
    self._save = save
    self._checkpoint = checkpoint
    self._tracker = tracker
    self._stopper = stopper
    self._processes = processes or Processes()
    self._agreed_signal: int | None = None
    self._watcher = watcher or Watcher(settings)
    self._sounds_due, self._generate = sounds_due, generate
    self._show_progress = not settings.logging.no_progress and self._processes.is_first
    self._warned = False
    self._has_trained = False

  def run(self, state: TrainingState, progress: Progress = NO_PROGRESS) -> RunOutcome:
    """Trains from a state to the last step, validates and saves. progress: of the checkpoint that the state is from.

    A state that has all steps, of a run that was killed after the last one, is validated and saved.
    Raises TrainingError if more steps are not finite than may be skipped or memory runs out; what was good before that
    is saved first. Raises CheckpointError if the model cannot be saved, ConfigError if there is no figure of the name
    that early stopping is told to watch.
    """
    self._task.heed(lambda: self._has_trained or self._is_stopped())
    first, learnt = int(state.step), _steps_learnt_from(state)
    meter = _Meter(first, int(state.skipped), progress)
    if self._watcher.is_on:
      self._check_figures(state, meter)
    state, failure = self._train(state, meter)
    had_ended = first > 0 and self._watcher.reason() is not None
    if _steps_learnt_from(state) == learnt and first < self._settings.training.steps and not had_ended:
      # An earlier model is better than parameters that have not been trained.
      if failure:
        raise failure
      if self._signal is None and int(state.step) > first:
        raise TrainingError(
          f'all {int(state.step) - first} steps were skipped, none was finite; try a lower --learning_rate'
        )
      _logger.warning('stopped before the first step was done: there is nothing to save')
      return RunOutcome(state, None, self._signal, is_saved=False)
    if failure and not _is_here(state):
      raise failure
    if int(state.step) > first:
      self._checkpoint_for_safety(state, meter)
    saved = self._watcher.saved_state(state)
    held_out = None
    if failure is None and self._signal is None:
      try:
        with self._processes.explaining():
          held_out = self._validate(saved, 'held-out', periodic=False)
      except TrainingError as error:
        failure = error
    try:
      self._save(saved, held_out)
    except CheckpointError as error:
      raise (CheckpointError(f'{failure}; {error}') if failure else error) from failure
    self._stopper.has_unsaved_work = False
    if failure:
      raise failure
    return RunOutcome(state, held_out, self._signal)

  @property
  def _signal(self) -> int | None:
    """The signal that ends the run; of several processes the one that all of them know of."""
    return self._stopper.signal if self._processes.count == 1 else self._agreed_signal

  def _agree(self, save: bool = False) -> bool:
    """Has all processes know of a signal that one of them got. Returns whether one of them wants to save."""
    signal, wanted = self._processes.largest(self._stopper.signal or 0, int(save))
    self._agreed_signal = signal or None
    return bool(wanted)

  def _is_over(self, done: bool) -> bool:
    """Whether one of the processes is done, or a signal came to one; all of them have to ask."""
    return self._agree(done) or self._signal is not None

  def _is_stopped(self) -> bool:
    """Whether a step is to be given up; with several processes it is not, since all would have to do so."""
    return self._processes.count == 1 and self._stopper.is_requested()

  def _batch(self, step: int) -> Rows:
    """This process's rows of the batch of a step, counted from 0."""
    own = self._micro_batches.own(self._settings.training.batch_size)
    return self._micro_batches.arrange(self._task.training_batch(step, own))

  def _check_figures(self, state: TrainingState, meter: '_Meter') -> None:
    names = [*self._figures(0, meter), *(f'grad_norm/{path}' for path in state.params or ())]
    validation = self._task.validation(periodic=True)
    measured = None
    if self._settings.training.validate_every:
      for batch in validation.batches(self._settings.training.batch_size):  # The figures have names without a network.
        validation.add(batch, 0.0, np.zeros((len(batch.lengths), 1)))
      measured = validation.result()
    self._watcher.check_figures(names, measured.metrics if measured else ())

  def _train(self, state: TrainingState, meter: '_Meter') -> tuple[TrainingState, TrainingError | None]:
    """Steps until the last one, the stopper, a reason to end early or a failure; the state is good in each case."""
    first, last = int(state.step), self._settings.training.steps
    every, checkpoint_every = self._settings.training.validate_every, self._settings.checkpoint.checkpoint_every
    keeps_best = self._settings.checkpoint.checkpoint_policy == 'best'
    saved_at = time.monotonic()
    good = state  # As of the last step whose figures have arrived.
    pending: StepMetrics | None = None
    due = self._watcher.needs_validations and 0 < first < last and first % every == 0
    if due and self._watcher.validated_step < first:  # A signal came before it.
      try:
        with self._processes.explaining():
          state = good = self._see_validation(state)[0]
      except TrainingError as error:
        return good, error
    if self._ends_early():
      return state, None
    with (
      progress_bar(total=last, initial=first, unit='step', shown=self._show_progress) as bar,
      prefetched(self._batch, first, last, self._give_up_batches) as next_batch,
    ):
      for done in range(first + 1, last + 1):
        log = done % self._settings.logging.log_every == 0 or done == last
        validate = every > 0 and done % every == 0 and done < last
        validate |= done == last and self._watcher.keeps_best
        save = time.monotonic() - saved_at > 60 * self._settings.checkpoint.save_minutes
        save |= checkpoint_every > 0 and done % checkpoint_every == 0 and done < last
        generate = self._sounds_due(done)
        entered = state
        try:
          save = self._agree(save)
          batch = self._awaited(next_batch, meter)
          # The devices work on this step while the figures of the one before are read.
          updated = self._update(state, batch, self._is_stopped) if batch is not None else None
          if updated is None:
            if pending is not None:
              self._account(pending, meter, bar)
            self._report(done - 1, meter, partly=True)
            return entered, None
          state, metrics = updated
          if pending is not None:
            self._account(pending, meter, bar)
            good = entered
          pending = metrics
          if log or validate or save or generate or self._signal is not None:
            self._account(pending, meter, bar)
            good, pending = state, None
          # A signal may come between any two lines; one that came too late for this step's figures waits for the next.
          stop = pending is None and self._signal is not None
          if log or stop:
            figures = self._report(done, meter, partly=not log)
            if log:
              state = good = self._watcher.see(state, figures)
          if stop:
            break
          measured = None
          if validate:
            state, measured = self._see_validation(state)
            good = state
          ended = (log or validate) and self._ends_early()
          if ended and not log:
            self._report(done, meter, partly=True)
        except TrainingError as error:
          return good, error
        except jax.errors.JaxRuntimeError as error:
          return good, self._processes.explained(error)
        if save:
          self._save_for_safety(state)
          saved_at = time.monotonic()
        if save or (measured and keeps_best):
          self._checkpoint_for_safety(state, meter, measured.score if measured else None)
        if generate:
          try:
            with self._processes.explaining():
              self._generate(state, self._is_over)
          except TrainingError as error:
            return good, error
        if ended:
          break
        if validate or save or generate:
          meter.resume()
    return state, None

  def _give_up_batches(self) -> None:
    """Has batches that nobody will ask for be waited for no longer."""
    self._has_trained = True

  def _awaited(self, next_batch: Callable[[], Rows], meter: '_Meter') -> Rows | None:
    """The next step's batch; None if the run was to stop before it was there."""
    try:
      with meter.waiting_for_data():
        return next_batch()
    except CancelledError:
      return None

  def _see_validation(self, state: TrainingState) -> tuple[TrainingState, ValidationResult | None]:
    """A periodic validation of a state, and the state with what follows from it."""
    measured = self._validate(state, 'validation', periodic=True)
    if measured is None:
      return state, None
    figures = {f'{VALIDATION}{name}': value for name, value in measured.metrics.items()}
    return self._watcher.see(state, {**figures, SCORE: measured.score}), measured

  def _ends_early(self) -> bool:
    if not self._watcher.is_on:
      return False
    reason = self._watcher.reason()
    # Times differ between processes, and one that ended alone would leave the others waiting.
    (ends,) = self._processes.largest(int(reason is not None))
    if ends:
      _logger.info('training ends early: %s', reason or 'another process of the run says so')
    return bool(ends)

  def _save_for_safety(self, state: TrainingState) -> None:
    """Saves while training goes on; that this cannot be done now is no reason to stop."""
    if not _steps_learnt_from(state):  # All that have been done were skipped.
      return
    try:
      self._save(self._watcher.saved_state(state), None)
    except CheckpointError as error:
      _logger.warning('%s', error)

  def _checkpoint_for_safety(self, state: TrainingState, meter: '_Meter', score: float | None = None) -> None:
    try:
      self._checkpoint(state, meter.progress, score)
    except CheckpointError as error:
      _logger.warning('%s', error)

  def _account(self, metrics: StepMetrics, meter: '_Meter', bar: Any) -> None:
    """Reads a step's figures from the devices and shows them.

    Raises TrainingError if they are not finite and the step was not skipped.
    """
    if not bool(metrics.finite):
      loss, grad_norm = float(metrics.loss_nats), float(metrics.grad_norm)
      not_finite = (
        'loss' if not math.isfinite(loss) else 'gradient' if not math.isfinite(grad_norm) else 'updated parameters'
      )
      what = f'step {meter.steps + 1}: non-finite {not_finite} (loss {loss:g}, gradient norm {grad_norm:g})'
      if not bool(metrics.skipped):
        raise TrainingError(f'{what}; the parameters before it are kept; try a lower --learning_rate')
      meter.skip(metrics)
      _logger.warning(
        '%s: skipped, %d of %d (--max_bad_steps)', what, meter.skipped, self._settings.optimizer.max_bad_steps
      )
      bar.update()
      return
    meter.add(metrics)
    self._stopper.has_unsaved_work = True
    self._warn_of_long_steps(meter.last_seconds)
    bar.update()
    bar.set_postfix_str(
      f'{self._task.format_loss(meter.last_loss)}, {meter.tokens_per_second:,.0f} {self._task.unit}s/s', refresh=False
    )

  def _warn_of_long_steps(self, seconds: float) -> None:
    if seconds > _GRACE_SECONDS and not self._warned:
      self._warned = True
      _logger.warning(
        'a step takes %.0f s, longer than the %.0f s that schedulers usually grant before they kill a run: a signal is '
        'heeded between micro-batches, of which a step has %d, and drops the step that is being done',
        *(seconds, _GRACE_SECONDS, self._micro_batches.count),
      )

  def _figures(self, step: int, meter: '_Meter') -> dict[str, float]:
    """What is logged of the steps since the last report, the last of which is given."""
    speed = meter.tokens_per_second
    figures = {
      **self._task.rates(meter.mean_loss),
      'learning_rate': self._learning_rate(max(0, step - 1 - meter.skipped)) * self._watcher.scale,
      'grad_norm': meter.last_grad_norm,
      f'{self._task.unit}s_per_second': speed,
      **self._arithmetic.figures(speed),
      'data_seconds': meter.data_seconds,
      'elapsed_seconds': meter.elapsed_seconds,
      **memory_figures(jax.local_devices()),
      **{f'grad_norm/{path}': norm for path, norm in meter.module_grad_norms.items()},
    }
    if self._settings.optimizer.max_bad_steps:
      figures['skipped_steps'] = meter.skipped
    return figures

  def _report(self, step: int, meter: '_Meter', *, partly: bool = False) -> dict[str, float]:
    """Logs and records means over the steps since the last report, if there was one. Returns them.

    partly: the report is not due yet, but training ends; the sums stay for the one that a resumed run makes.
    """
    if math.isnan(meter.mean_loss):
      return {}
    unit = self._task.unit
    figures = self._figures(step, meter)
    self._tracker.log(step, figures)
    _logger.info(
      'step %d of %d: %s, %s nats per %s, gradient norm %.3g, %.0f %ss/s',
      *(
        step,
        self._settings.training.steps,
        self._task.format_loss(meter.mean_loss),
        f'{meter.mean_loss:z.4f}',
        unit,
      ),
      *(meter.last_grad_norm, meter.tokens_per_second, unit),
    )
    if not partly:
      meter.restart()
    return figures

  def _validate(self, state: TrainingState, what: str, *, periodic: bool) -> ValidationResult | None:
    """Code length of held-out rows; None if there are none or the user stops it."""
    # Few at a time, since nobody can stop in the middle of them.
    micro_batches = dataclasses.replace(self._micro_batches, count=min(2, self._micro_batches.count))
    batch_size = micro_batches.count * micro_batches.rows
    validation = self._task.validation(periodic=periodic)
    done = 0
    with progress_bar(
      total=validation.num_rows, unit='row', description=what, leave=False, shown=self._show_progress
    ) as bar:
      for batch in validation.batches(batch_size):
        self._agree()
        if self._signal is not None:
          return None
        own = jax.tree.map(operator.itemgetter(micro_batches.own(batch_size)), batch)
        lengths = self._code_length(evaluated_params(state), micro_batches.arrange(own))
        total, by_row = (np.asarray(nats, np.float64) for nats in lengths)
        validation.add(batch, float(np.sum(total)), by_row.reshape(batch_size, -1))
        bar.update(min(batch_size, validation.num_rows - done))
        done += batch_size
    measured = validation.result()
    if measured is None:
      return None
    side = 'valid' if periodic else 'held_out'
    self._tracker.log(int(state.step), {f'{side}/{name}': value for name, value in measured.metrics.items()})
    _logger.info('%s at step %d: %s', what, int(state.step), measured.text)
    return measured


def _steps_learnt_from(state: TrainingState) -> int:
  return int(state.step) - int(state.skipped)


def _is_here(state: TrainingState) -> bool:
  """Whether this process can read a state without the others, of which one may be gone."""
  arrays = [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array)]
  return all(array.is_fully_addressable or array.is_fully_replicated for array in arrays)


class _Meter:
  """Figures since the last report. steps: done in all, skipped: those among them that were skipped. A token is a sample
  where the model's unit is.

  last_seconds: from the step before to the last one; 0 if something else came between. data_seconds: waiting for a
  step's batch that was not ready, in the mean. elapsed_seconds: since training began.
  """

  def __init__(self, first: int, skipped: int, progress: Progress) -> None:
    self.steps, self.skipped = first, skipped
    self.last_loss = math.nan
    self.last_grad_norm = math.nan
    self._first = first
    self._began = time.monotonic()
    self._last: StepMetrics | None = None
    self.restart()
    self._nats, self._tokens = progress
    self.resume()

  def restart(self) -> None:
    self._nats, self._tokens = 0.0, 0
    self._data_seconds, self._batches = 0.0, 0
    self.restart_clock()

  def resume(self) -> None:
    """Goes on after something else than a step; what it took is no step's time."""
    self.restart_clock()
    self._added: float | None = None
    self.last_seconds = 0.0

  def restart_clock(self) -> None:
    self._timed_tokens, self._started = 0, time.monotonic()

  @contextlib.contextmanager
  def waiting_for_data(self) -> Iterator[None]:
    """Counts the time of the block as that of a batch."""
    started = time.monotonic()
    yield
    self._data_seconds += time.monotonic() - started
    self._batches += 1

  def skip(self, metrics: StepMetrics) -> None:
    """Counts a step that has no figures."""
    self.steps += 1
    self.skipped = int(metrics.skipped_steps)
    self.resume()

  def add(self, metrics: StepMetrics) -> None:
    now = time.monotonic()
    self.last_seconds = now - self._added if self._added is not None else 0.0
    self._added = now
    self.steps += 1
    self._last = metrics
    self.last_loss, self.last_grad_norm = float(metrics.loss_nats), float(metrics.grad_norm)
    num_tokens = int(metrics.num_tokens)
    self._nats += self.last_loss * num_tokens
    self._tokens += num_tokens
    self._timed_tokens += num_tokens
    if self.steps == self._first + 1:
      self.resume()  # The first step was mostly compilation.

  @property
  def progress(self) -> Progress:
    return Progress(self._nats, self._tokens)

  @property
  def mean_loss(self) -> float:
    return self._nats / self._tokens if self._tokens else math.nan

  @property
  def data_seconds(self) -> float:
    return self._data_seconds / max(self._batches, 1)

  @property
  def elapsed_seconds(self) -> float:
    return time.monotonic() - self._began

  @property
  def module_grad_norms(self) -> dict[str, float]:
    """Of the last step, by module. They are read from the devices only here."""
    norms = self._last.module_grad_norms if self._last else {}
    return {path: float(norm) for path, norm in jax.device_get(dict(norms)).items()}

  @property
  def tokens_per_second(self) -> float:
    """0 until a second step is done."""
    return self._timed_tokens / max(time.monotonic() - self._started, 1e-9)
