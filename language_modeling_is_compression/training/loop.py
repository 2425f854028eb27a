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

from language_modeling_is_compression.config import DataConfig, TrainingConfig
from language_modeling_is_compression.data.batches import Batch, training_batch, validation_batches
from language_modeling_is_compression.data.chunks import Chunks
from language_modeling_is_compression.errors import CheckpointError, TrainingError
from language_modeling_is_compression.tracking import Tracker
from language_modeling_is_compression.training.plan import MicroBatches
from language_modeling_is_compression.training.state import StepMetrics, TrainingState
from language_modeling_is_compression.training.stopper import Stopper

_logger = logging.getLogger(__name__)

_PERIODIC_CHUNKS = 1024  # Held-out chunks of a validation while training; the last one takes all.


class Rates(NamedTuple):
  """Code length of tokens in units that people compare. compression_rate: compressed / raw bits, lower is better."""

  loss_nats: float  # per token
  bits_per_byte: float
  bits_per_sample: float
  compression_rate: float


def rates(loss_nats: float, data: DataConfig) -> Rates:
  """loss_nats: nats per token."""
  bits_per_sample = loss_nats / math.log(2) * data.tokens_per_sample
  return Rates(
    loss_nats=loss_nats,
    bits_per_byte=bits_per_sample * 8 / data.sample_bits,
    bits_per_sample=bits_per_sample,
    compression_rate=bits_per_sample / data.sample_bits,
  )


class Outcome(NamedTuple):
  """stopped_by: number of the signal that ended training early, or None. held_out: None if there was no time for it."""

  state: TrainingState
  held_out: Rates | None
  stopped_by: int | None


class Trainer:
  """One run. Everything that it needs is given; it decides when what is called.

  num_tokens: length of the rows of a batch, in tokens.
  learning_rate: of a step, counted from 0.
  update, code_length: as `state.make_update` and `state.make_code_length` make them, with micro_batches.
  save: writes the model file, given the state and the held-out rates if known.
  """

  def __init__(
    self,
    *,
    config: TrainingConfig,
    train_chunks: Chunks,
    valid_chunks: Chunks,
    num_tokens: int,
    micro_batches: MicroBatches,
    learning_rate: Callable[[int], float],
    update: Callable[[TrainingState, Batch], tuple[TrainingState, StepMetrics]],
    code_length: Callable[[hk.Params, Batch], jax.Array],
    save: Callable[[TrainingState, Rates | None], None],
    tracker: Tracker,
    stopper: Stopper,
    show_progress: bool,
  ):
    self._config = config
    self._data = train_chunks.config
    self._train_chunks = train_chunks
    self._valid_chunks = valid_chunks
    self._num_tokens = num_tokens
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
        held_out = self._validate(state, self._valid_chunks, 'held-out')
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
        batch = training_batch(
          self._train_chunks,
          num_tokens=self._num_tokens,
          batch_size=self._config.batch_size,
          seed=self._config.seed,
          step=done - 1,
        )
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
            self._validate(state, self._valid_chunks.limited(_PERIODIC_CHUNKS), 'validation')
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
      f'{rates(meter.last_loss, self._data).bits_per_byte:.3f} bits/byte, {meter.tokens_per_second:,.0f} tokens/s',
      refresh=False,
    )

  def _report(self, step: int, meter: '_Meter') -> None:
    """Logs and records means over the steps since the last report."""
    measured = rates(meter.mean_loss, self._data)
    figures = {
      'loss_nats': measured.loss_nats,
      'bits_per_byte': measured.bits_per_byte,
      'bits_per_sample': measured.bits_per_sample,
      'learning_rate': self._learning_rate(step - 1),
      'grad_norm': meter.last_grad_norm,
      'tokens_per_second': meter.tokens_per_second,
    }
    self._tracker.log(step, figures)
    _logger.info(
      'step %d of %d: %.4f bits per byte, %.4f nats per token, gradient norm %.3g, %.0f tokens/s',
      step,
      self._config.training_steps,
      measured.bits_per_byte,
      measured.loss_nats,
      meter.last_grad_norm,
      meter.tokens_per_second,
    )
    meter.restart()

  def _validate(self, state: TrainingState, chunks: Chunks, what: str) -> Rates | None:
    """Code length of held-out chunks; None if there are none or the user stops it."""
    nats, num_tokens = 0.0, 0
    micro_batches = self._micro_batches
    batch_size = micro_batches.count * micro_batches.rows
    with tqdm(
      total=len(chunks), unit='chunk', desc=what, leave=False, disable=not self._show_progress, dynamic_ncols=True
    ) as bar:
      for batch in validation_batches(chunks, num_tokens=self._num_tokens, batch_size=batch_size):
        if self._stopper.signal is not None:
          return None
        nats += float(np.sum(np.asarray(self._code_length(state.params, micro_batches.arrange(batch)), np.float64)))
        num_tokens += int(batch.lengths.sum())
        bar.update(min(batch_size, len(chunks) - bar.n))
    if not num_tokens:
      return None
    measured = rates(nats / num_tokens, self._data)
    self._tracker.log(
      int(state.step),
      {
        'valid/bits_per_byte': measured.bits_per_byte,
        'valid/bits_per_sample': measured.bits_per_sample,
        'valid/compression_rate': measured.compression_rate,
      },
    )
    _logger.info(
      '%s at step %d: %.4f bits per byte, %.4f bits per sample, compression rate %.4f (%d chunks, %d tokens)',
      what,
      int(state.step),
      measured.bits_per_byte,
      measured.bits_per_sample,
      measured.compression_rate,
      len(chunks),
      num_tokens,
    )
    return measured


def explained(error: jax.errors.JaxRuntimeError) -> TrainingError:
  """What a user can make of a failure of the devices, most often that memory ran out."""
  reason = (str(error).strip() or type(error).__name__).splitlines()[0]
  advice = '; try a lower --micro_batch_size or a smaller model' if 'RESOURCE_EXHAUSTED' in reason else ''
  return TrainingError(f'the device failed: {reason}{advice}')


class _Meter:
  """Figures since the last report. steps: done in all."""

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
