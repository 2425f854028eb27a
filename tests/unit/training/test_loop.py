"""When the loop does what, on fakes: steps that only count, chunks that are made up, saves that are remembered."""

import contextlib
import logging
import math
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import pytest
from support.settings import training_settings

from language_modeling_is_compression.config.options import DataConfig, ModelConfig, TrainingConfig
from language_modeling_is_compression.errors import CancelledError, CheckpointError, LmicError, TrainingError
from language_modeling_is_compression.network.byte_model import ByteSpec
from language_modeling_is_compression.training import loop
from language_modeling_is_compression.training.byte_task import ByteTask, rates
from language_modeling_is_compression.training.flops import Arithmetic
from language_modeling_is_compression.training.loop import Progress, Trainer
from language_modeling_is_compression.training.objectives import CodeLengths
from language_modeling_is_compression.training.plan import MicroBatches
from language_modeling_is_compression.training.state import StepMetrics, TrainingState
from language_modeling_is_compression.training.stopper import Stopper
from language_modeling_is_compression.training.task import ValidationResult

DATA = DataConfig(chunk_size=2)
NEVER = 1000
OUT_OF_MEMORY = 'RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.'
TOKEN_NATS = 3 * math.log(2)  # Of each held-out token.

# Made of plain numbers here, which arrays have the place of elsewhere.
PlainState: Any = TrainingState
PlainMetrics: Any = StepMetrics


class FakeChunks:
  """Chunks of 2 tokens, all of them the chunk's number modulo 256."""

  config = DATA

  def __init__(self, count: int):
    self._count = count

  def __len__(self) -> int:
    return self._count

  def limited(self, limit: int) -> 'FakeChunks':
    return FakeChunks(min(limit, self._count))

  def by_domain(self) -> dict[str, np.ndarray]:
    return {'': np.arange(self._count)}

  def path(self, index: int) -> Path:
    return Path(f'{index % 2}.wav')

  def changed(self, index: int, change: None) -> np.ndarray:
    return np.full(2, index % 256, np.uint8)


@contextlib.contextmanager
def made_when_asked_for(make, first, last, give_up):
  """Batches as `prefetched` has them, but none of them ahead."""
  steps = iter(range(first, last))
  yield lambda: make(next(steps))


class FakeTask(ByteTask):
  """Bytes of chunks that need no files."""

  def __init__(self, config: TrainingConfig, valid_chunks: int):
    self.spec, self.row_length = ByteSpec(network=ModelConfig(), data=DATA), 2
    self._training, self._domains, self._augmentation = config, None, None
    self._train, self._valid = cast(Any, FakeChunks(10)), cast(Any, FakeChunks(valid_chunks))


class FakeTracker:
  def __init__(self) -> None:
    self.records: list[tuple[int, dict]] = []

  def log(self, step, figures):
    self.records.append((step, figures))


class Fakes:
  """A trainer's surroundings: the parameters are the number of steps that made them.

  at_step: what else happens while a step (counted from 1) is computed. in_step: the same, between its micro-batches.
  unsound: steps that are not finite. skips: how many of them are skipped.
  saves: (parameters, held-out figures) of every call; failing_saves: how many of them fail.
  checkpoints: (parameters, progress, score) of every call.
  validated: chunks of each call of code_length.
  """

  def __init__(
    self,
    *,
    unsound=(),
    skips: int = 0,
    in_step=None,
    at_step=None,
    at_validation=None,
    at_sounds=None,
    failing_saves: int = 0,
    valid_chunks: int = 0,
  ):
    self.stopper = Stopper()
    self.tracker: Any = FakeTracker()
    self.steps: list[int] = []
    self.saves: list[tuple[int, ValidationResult | None]] = []
    self.checkpoints: list[tuple[int, Progress, float | None]] = []
    self.validated: list[int] = []
    self.validated_params: list[Any] = []
    self._unsound, self._at_step, self._at_validation = unsound, at_step, at_validation
    self._in_step = in_step
    self._skips = skips
    self.generated: list[tuple[int, Any]] = []
    self._at_sounds = at_sounds
    self._failing_saves, self._valid_chunks = failing_saves, valid_chunks

  def run(self, first: int = 0, ema=None, **settings):
    if self._skips:
      settings['max_bad_steps'] = self._skips
    given = {'training_steps': 6, 'log_every': NEVER, 'batch_size': 4, 'no_progress': True, **settings}
    chosen = training_settings(**given)
    task: Any = FakeTask(chosen.training, self._valid_chunks)
    trainer = Trainer(
      settings=chosen,
      task=task,
      micro_batches=MicroBatches(count=2, rows=2, remat=False),
      learning_rate=lambda step: step / 10,
      arithmetic=Arithmetic(flops=7.0, peak_seconds=0.25),
      update=self._update,
      code_length=self._code_length,
      save=self._save,
      checkpoint=self._checkpoint,
      tracker=self.tracker,
      stopper=self.stopper,
      sounds_due=lambda step: chosen.generation.every > 0 and step % chosen.generation.every == 0,
      generate=self._generate,
    )
    return trainer.run(PlainState(first, None, np.int32(first), ema=ema))

  def _update(self, state, batch, stopped):
    if self._in_step:
      self._in_step(self, int(state.step) + 1)
      if stopped():
        return None
    assert batch.tokens.shape == (2, 2, 2) and (batch.lengths == 2).all()
    step = int(state.step) + 1
    self.steps.append(step)
    if self._at_step:
      self._at_step(self, step)
    finite = step not in self._unsound
    skipped = not finite and int(state.skipped) < self._skips
    count = np.int32(state.skipped + skipped)
    metrics = PlainMetrics(step if finite else math.nan, 10 * step, 0.5, finite, skipped, count)
    if skipped:
      return state._replace(step=np.int32(step), skipped=count), metrics
    return state._replace(params=state.params + 1, step=np.int32(step)), metrics

  def _code_length(self, params, batch):
    self.validated_params.append(params)
    self.validated.append(int(np.count_nonzero(batch.lengths)))
    if self._at_validation:
      self._at_validation(self, len(self.validated))
    nats = TOKEN_NATS * batch.lengths
    return CodeLengths(nats.sum(axis=1), nats[..., None])

  def _generate(self, state, is_over):
    self.generated.append((int(state.step), state.params))
    if self._at_sounds:
      self._at_sounds(self, int(state.step))
    assert is_over(True)
    assert is_over(False) == self.stopper.is_requested()

  def _checkpoint(self, state, progress, score):
    self.checkpoints.append((state.params, progress, score))

  def _save(self, state, held_out):
    self.saves.append((state.params, held_out))
    if len(self.saves) <= self._failing_saves:
      raise CheckpointError('a.npz: cannot be written: no room')


def at(number: int, action):
  """An action for the step or validation batch of that number."""
  return lambda fakes, current: action(fakes) if current == number else None


def terminate(fakes: Fakes) -> None:
  fakes.stopper.signal = signal.SIGTERM


def run_out_of_memory(_: Fakes) -> None:
  raise jax.errors.JaxRuntimeError(OUT_OF_MEMORY)


@pytest.fixture
def handlers():
  """Those of this process, put back whatever a test does."""
  before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
  yield before
  for number, handler in before.items():
    signal.signal(number, handler)


def installed_handlers() -> dict:
  return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


@pytest.mark.parametrize('first', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('later', [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_the_request_and_later_ones_change_nothing(handlers, caplog, first, later):
  stopper = Stopper()
  with stopper.installed() as entered:
    assert entered is stopper and stopper.signal is None
    stopper.begin()
    stopper.has_unsaved_work = True
    signal.raise_signal(first)
    assert stopper.signal == first
    signal.raise_signal(later)
    assert stopper.signal == first
  again = '; Ctrl-C again ends at once, without saving' if first == signal.SIGINT else ''
  assert caplog.messages == [f'{first.name}: stopping, then saving the model{again}']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_swallowed_before_training_ends_it_when_it_begins(handlers, number):
  stopper = Stopper()
  with stopper.installed():
    with pytest.raises(KeyboardInterrupt):
      signal.raise_signal(number)
    with pytest.raises(KeyboardInterrupt):
      stopper.begin()
  assert stopper.signal == number


def test_handlers_come_back(handlers):
  with Stopper().installed():
    assert not set(installed_handlers().values()) & set(handlers.values())
  assert installed_handlers() == handlers
  with pytest.raises(ZeroDivisionError), Stopper().installed():
    raise ZeroDivisionError
  assert installed_handlers() == handlers


@pytest.mark.parametrize(
  ('settings', 'per_byte', 'per_sample', 'compression_rate'),
  [
    ({}, 6, 6, 0.75),
    ({'tokenization': 'sample'}, 6, 6, 0.75),
    ({'use_16bit': True}, 6, 12, 0.75),
    ({'use_16bit': True, 'tokenization': 'sample'}, 3, 6, 0.375),
  ],
)
def test_six_bits_per_token_in_other_units(settings, per_byte, per_sample, compression_rate):
  nats = 6 * math.log(2)
  assert rates(nats, DataConfig(**settings)) == pytest.approx((nats, per_byte, per_sample, compression_rate))


def test_a_run_takes_every_step_validates_on_all_chunks_and_saves_once():
  fakes = Fakes(valid_chunks=9)
  outcome = fakes.run(training_steps=6)
  assert fakes.steps == [1, 2, 3, 4, 5, 6]
  assert fakes.validated == [4, 4, 1]
  expected = {'loss_nats': TOKEN_NATS, 'bits_per_byte': 3, 'bits_per_sample': 3, 'compression_rate': 0.375}
  assert outcome.held_out.provenance == pytest.approx(expected)
  assert outcome.held_out.parts == [('0.wav', 10, pytest.approx(3)), ('1.wav', 8, pytest.approx(3))]
  assert fakes.saves == [(6, outcome.held_out)]
  assert (outcome.state.params, outcome.stopped_by) == (6, None)


def test_a_run_goes_on_from_the_step_it_is_given():
  fakes = Fakes()
  assert fakes.run(first=4, training_steps=6).state.params == 6
  assert fakes.steps == [5, 6]


def test_speed_is_told_in_operations_and_as_a_share_of_the_peak_too():
  fakes = Fakes()
  fakes.run(training_steps=5, log_every=5)
  ((_, figures),) = fakes.tracker.records
  assert figures['flops_per_second'] == pytest.approx(7 * figures['tokens_per_second']) and figures['mfu'] > 0
  assert figures['mfu'] == pytest.approx(0.25 * figures['tokens_per_second'])


def test_nothing_is_said_of_chunks_that_are_not_there():
  fakes = Fakes(valid_chunks=0)
  assert fakes.run().held_out is None
  assert fakes.saves == [(6, None)] and not fakes.validated


def test_reports_are_means_over_tokens_since_the_last_one():
  fakes = Fakes()
  fakes.run(training_steps=5, log_every=2)
  assert [step for step, _ in fakes.tracker.records] == [2, 4, 5]
  losses = [figures['loss_nats'] for _, figures in fakes.tracker.records]
  assert losses == pytest.approx([(1 + 4) / 3, (9 + 16) / 7, 5])
  assert [figures['learning_rate'] for _, figures in fakes.tracker.records] == pytest.approx([0.1, 0.3, 0.4])


@pytest.mark.parametrize('log_every', [1, 2, NEVER])
@pytest.mark.parametrize('unsound', [1, 2, 3, 6])
def test_a_step_that_is_not_finite_ends_the_run_with_the_state_before_it(log_every, unsound):
  """Figures are read one step late, so a step more may have been begun, and what it made is not kept."""
  fakes = Fakes(unsound=[unsound], valid_chunks=9)
  with pytest.raises(TrainingError, match=rf'^step {unsound}: non-finite loss .*lower --learning_rate$'):
    fakes.run(log_every=log_every)
  # Parameters that have learnt nothing are not saved.
  assert fakes.saves == ([(unsound - 1, None)] if unsound > 1 else [])
  assert not fakes.validated and max(fakes.steps) <= unsound + 1


@pytest.mark.parametrize('log_every', [1, 2, NEVER])
@pytest.mark.parametrize('unsound', [[1], [3], [2, 3], [6], [5, 6]])
def test_steps_that_are_skipped_do_not_end_the_run(caplog, log_every, unsound):
  fakes = Fakes(unsound=unsound, skips=2, valid_chunks=9)
  outcome = fakes.run(log_every=log_every)
  assert fakes.steps == [1, 2, 3, 4, 5, 6], 'a step is met again'
  assert (int(outcome.state.step), outcome.state.params) == (6, 6 - len(unsound))
  assert fakes.saves == [(6 - len(unsound), outcome.held_out)] and outcome.held_out
  said = [message for message in caplog.messages if 'skipped' in message]
  assert said == [
    f'step {step}: non-finite loss (loss nan, gradient norm 0.5): skipped, {number} of 2 (--max_bad_steps)'
    for number, step in enumerate(unsound, 1)
  ]


def test_reports_count_skipped_steps_and_leave_their_figures_out():
  fakes = Fakes(unsound=[2, 4], skips=3)
  fakes.run(training_steps=6, log_every=3)
  assert [step for step, _ in fakes.tracker.records] == [3, 6]
  figures = [record for _, record in fakes.tracker.records]
  assert [each['loss_nats'] for each in figures] == pytest.approx([(1 + 9) / 4, (25 + 36) / 11])
  assert [each['skipped_steps'] for each in figures] == [1, 2]
  # That of the last update, whose number is without the steps that were skipped.
  assert [each['learning_rate'] for each in figures] == pytest.approx([0.1, 0.3])
  without = Fakes()
  without.run(log_every=6)
  assert 'skipped_steps' not in without.tracker.records[0][1]


@pytest.mark.parametrize('log_every', [1, NEVER])
def test_one_step_too_many_to_skip_ends_the_run_with_the_state_before_it(log_every):
  fakes = Fakes(unsound=[2, 4, 5], skips=2, valid_chunks=9)
  with pytest.raises(TrainingError, match=r'^step 5: non-finite loss .*lower --learning_rate$'):
    fakes.run(log_every=log_every)
  assert fakes.saves == [(2, None)] and not fakes.validated


@pytest.mark.parametrize(('skips', 'message'), [(2, 'step 3: non-finite loss'), (9, 'all 6 steps were skipped, none ')])
def test_parameters_that_have_only_seen_skipped_steps_are_not_saved(skips, message):
  fakes = Fakes(unsound=range(1, 7), skips=skips, valid_chunks=9)
  with pytest.raises(TrainingError, match=f'^{message}'):
    fakes.run()
  assert not fakes.saves and not fakes.validated


def test_nothing_is_saved_for_safety_before_a_step_that_is_not_skipped():
  fakes = Fakes(unsound=[1, 2], skips=2)
  fakes.run(training_steps=3, save_minutes=1e-12)
  assert fakes.saves == [(1, None), (1, None)]  # After the third step, and in the end.


@pytest.mark.parametrize(('ema', 'validated'), [(None, 6), (77, 77)])
def test_a_moving_average_is_validated_in_place_of_the_last_parameters(ema, validated):
  fakes = Fakes(valid_chunks=4)
  fakes.run(ema=ema)
  assert fakes.validated_params == [validated]


def test_a_failure_that_cannot_be_saved_either_says_both():
  with pytest.raises(CheckpointError, match=r'^step 2: non-finite loss .*; a\.npz: cannot be written: no room$'):
    Fakes(unsound=[2], failing_saves=1).run()


def test_a_last_save_that_fails_is_an_error():
  with pytest.raises(CheckpointError, match=r'^a\.npz: cannot be written: no room$'):
    Fakes(failing_saves=1).run()


@pytest.mark.parametrize('failing_saves', [0, 1, 3])
def test_a_periodic_save_that_fails_is_a_warning(caplog, failing_saves):
  fakes = Fakes(failing_saves=failing_saves, valid_chunks=4)
  outcome = fakes.run(training_steps=3, save_minutes=1e-12)
  assert fakes.saves == [(1, None), (2, None), (3, None), (3, outcome.held_out)] and outcome.held_out
  warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
  assert warnings == ['a.npz: cannot be written: no room'] * failing_saves


def test_no_unsound_state_is_saved_for_safety():
  fakes = Fakes(unsound=[2])
  with pytest.raises(TrainingError):
    fakes.run(save_minutes=1e-12)
  assert fakes.saves == [(1, None), (1, None)]


@pytest.mark.parametrize('log_every', [1, NEVER])
@pytest.mark.parametrize('step', [1, 3, 6])
def test_a_signal_stops_after_its_step_and_saves_once(log_every, step):
  fakes = Fakes(at_step=at(step, terminate), valid_chunks=9)
  outcome = fakes.run(log_every=log_every, validate_every=step)
  assert fakes.steps == list(range(1, step + 1))
  assert fakes.saves == [(step, None)] and not fakes.validated
  assert outcome.stopped_by == signal.SIGTERM and outcome.state.params == step and outcome.held_out is None
  assert fakes.tracker.records[-1][0] == step, 'the last steps are not reported'


def test_a_signal_while_validating_at_the_end_ends_that():
  fakes = Fakes(at_validation=at(2, terminate), valid_chunks=100)
  outcome = fakes.run()
  assert fakes.validated == [4, 4] and fakes.saves == [(6, None)]
  assert outcome.stopped_by == signal.SIGTERM and outcome.held_out is None


@pytest.mark.parametrize(('available', 'periodic'), [(1500, 1024), (1023, 1023)])
def test_periodic_validations_take_at_most_1024_chunks_and_the_last_one_all(available, periodic):
  fakes = Fakes(valid_chunks=available)
  fakes.run(training_steps=6, validate_every=2)
  assert sum(fakes.validated) == 2 * periodic + available
  steps = [step for step, figures in fakes.tracker.records if 'valid/bits_per_byte' in figures]
  assert steps == [2, 4], 'the last step is validated once'
  assert [step for step, figures in fakes.tracker.records if 'held_out/bits_per_byte' in figures] == [6]


def test_a_device_that_fails_ends_the_run_with_a_state_that_is_known_to_be_good():
  fakes = Fakes(at_step=at(4, run_out_of_memory), valid_chunks=9)
  with pytest.raises(TrainingError, match=r'^the device failed: RESOURCE_EXHAUSTED'):
    fakes.run(log_every=1)
  assert fakes.saves == [(3, None)]


@pytest.mark.parametrize('settings', [{}, {'validate_every': 2}], ids=['at the end', 'periodic'])
def test_a_device_that_fails_while_validating_costs_no_step(settings):
  fakes = Fakes(at_validation=at(1, run_out_of_memory), valid_chunks=9)
  with pytest.raises(TrainingError, match=r'^the device failed: RESOURCE_EXHAUSTED'):
    fakes.run(**settings)
  assert fakes.saves == [(settings.get('validate_every', 6), None)]


@pytest.mark.parametrize('log_every', [1, 2, NEVER])
@pytest.mark.parametrize('step', [2, 3, 6])
def test_a_signal_within_a_step_drops_that_step(log_every, step):
  fakes = Fakes(in_step=at(step, terminate), valid_chunks=9)
  outcome = fakes.run(log_every=log_every)
  assert outcome.stopped_by == signal.SIGTERM and outcome.is_saved
  assert fakes.saves == [(step - 1, None)] and fakes.steps == list(range(1, step))
  assert fakes.tracker.records[-1][0] == step - 1, 'the last steps are not reported'
  assert all(math.isfinite(figures['loss_nats']) for _, figures in fakes.tracker.records)


class WaitingTask(FakeTask):
  """The batch of step 4 never comes: the run is stopped, or what makes it fails."""

  error: LmicError = CancelledError('stopped')

  def heed(self, stopped):
    self.stopped = stopped

  def training_batch(self, step, rows):
    if step == 3:
      if isinstance(self.error, CancelledError):
        signal.raise_signal(signal.SIGTERM)
        assert self.stopped()
      raise self.error
    return super().training_batch(step, rows)


@pytest.mark.usefixtures('handlers')
@pytest.mark.parametrize('log_every', [1, 2, NEVER])
def test_a_signal_while_a_batch_is_waited_for_drops_that_step(monkeypatch, log_every):
  monkeypatch.setattr(loop, 'prefetched', made_when_asked_for)
  monkeypatch.setattr(sys.modules[__name__], 'FakeTask', WaitingTask)
  fakes = Fakes(valid_chunks=9)
  with fakes.stopper.installed():
    fakes.stopper.begin()
    outcome = fakes.run(log_every=log_every)
  assert outcome.stopped_by == signal.SIGTERM and outcome.is_saved
  assert fakes.saves == [(3, None)] and fakes.tracker.records[-1][0] == 3


def test_a_batch_that_cannot_be_made_ends_the_run_with_a_state_that_is_known_to_be_good(monkeypatch):
  monkeypatch.setattr(sys.modules[__name__], 'FakeTask', WaitingTask)
  monkeypatch.setattr(WaitingTask, 'error', TrainingError('a process has ended'))
  fakes = Fakes(valid_chunks=9)
  with pytest.raises(TrainingError, match=r'^a process has ended$'):
    fakes.run(log_every=1)
  assert fakes.saves == [(3, None)] and len(fakes.checkpoints) == 1


def test_a_run_that_ends_early_waits_for_no_batch_that_comes_late(monkeypatch):
  told, begun = [], threading.Event()

  class LateTask(FakeTask):
    def heed(self, stopped):
      self.stopped = stopped

    def training_batch(self, step, rows):
      if step == 4:
        begun.set()
        deadline = time.monotonic() + 30
        while not self.stopped() and time.monotonic() < deadline:
          time.sleep(0.005)
        told.append(self.stopped())
        raise CancelledError('stopped')
      return super().training_batch(step, rows)

  monkeypatch.setattr(sys.modules[__name__], 'FakeTask', LateTask)
  fakes = Fakes(at_step=at(4, lambda _: begun.wait(30)))
  fakes.run(early_stopping_figure='loss_nats', early_stopping_divergence=3.5, log_every=2)
  assert fakes.steps == [1, 2, 3, 4] and told == [True]


def test_a_run_that_is_stopped_before_its_first_step_saves_nothing(caplog):
  fakes = Fakes(in_step=at(1, terminate), valid_chunks=9)
  outcome = fakes.run()
  assert (outcome.stopped_by, outcome.is_saved, fakes.saves) == (signal.SIGTERM, False, [])
  assert 'stopped before the first step was done: there is nothing to save' in caplog.messages


def test_there_is_unsaved_work_from_the_first_step_to_the_last_save():
  seen: dict[int, bool] = {}
  fakes = Fakes(in_step=lambda fakes, step: seen.setdefault(step, fakes.stopper.has_unsaved_work))
  fakes.run(log_every=1)
  assert seen == {1: False, 2: True, 3: True, 4: True, 5: True, 6: True}
  assert not fakes.stopper.has_unsaved_work


def test_what_may_end_a_run_at_once():
  stopper = Stopper()
  assert stopper._may_end(signal.SIGINT, 1) and stopper._may_end(signal.SIGTERM, 1)
  stopper.has_unsaved_work = True
  assert not stopper._may_end(signal.SIGINT, 1)
  assert stopper._may_end(signal.SIGINT, 2)
  assert not stopper._may_end(signal.SIGTERM, 2)


@pytest.mark.parametrize(
  ('loss', 'grad_norm', 'what'),
  [
    (math.nan, math.nan, 'loss'),
    (5.5, math.inf, 'gradient'),
    (5.5, 5.1, 'updated parameters'),
  ],
)
def test_what_is_not_finite_is_named(loss, grad_norm, what):
  fakes: Any = Fakes()
  fakes._update = lambda state, batch, stopped: (state, PlainMetrics(loss, 10, grad_norm, False))
  with pytest.raises(TrainingError) as caught:
    fakes.run()
  assert str(caught.value).startswith(f'step 1: non-finite {what} (loss {loss:g}, gradient norm {grad_norm:g}); ')


@pytest.mark.parametrize(('seconds', 'warnings'), [(29.0, 0), (31.0, 1)])
def test_steps_that_outlast_a_schedulers_grace_are_said_once(monkeypatch, caplog, seconds, warnings):
  clock = [0.0]
  monkeypatch.setattr(time, 'monotonic', lambda: clock[0])
  fakes = Fakes(at_step=lambda fakes, step: clock.append(clock.pop() + seconds))
  fakes.run(log_every=1, save_minutes=1e9)
  assert sum('longer than the 30 s' in message for message in caplog.messages) == warnings


def test_an_interrupt_that_is_swallowed_makes_no_noise(handlers, capsys):
  class Interrupted:
    def __del__(self):
      raise KeyboardInterrupt

  before = sys.unraisablehook
  with Stopper().installed():
    Interrupted()  # Python ignores what is raised where nobody can catch it, and says so.
  assert sys.unraisablehook is before and capsys.readouterr().err == ''


def test_what_costs_nothing_has_no_sign_in_the_log(caplog):
  caplog.set_level(logging.INFO)
  fakes: Any = Fakes()
  sound = fakes._update
  fakes._update = lambda *given: (lambda state, metrics: (state, metrics._replace(loss_nats=-1e-9)))(*sound(*given))
  fakes.run(log_every=6)
  (line,) = [message for message in caplog.messages if message.startswith('step 6 of 6')]
  assert ' 0.0000 nats per token' in line and '-0.0000' not in line


def test_a_batchs_time_and_the_time_since_the_beginning_are_reported(monkeypatch):
  clock = [0.0]
  monkeypatch.setattr(time, 'monotonic', lambda: clock[0])

  def advance(seconds: float) -> None:
    clock[0] += seconds

  class SlowTask(FakeTask):
    def training_batch(self, step, rows):
      advance(step + 1)
      return super().training_batch(step, rows)

  monkeypatch.setattr(loop, 'prefetched', made_when_asked_for)

  monkeypatch.setattr(sys.modules[__name__], 'FakeTask', SlowTask)
  fakes = Fakes(at_step=lambda fakes, step: advance(10.0))
  fakes.run(training_steps=5, log_every=2, save_minutes=1e9)
  figures = [(step, record['data_seconds'], record['elapsed_seconds']) for step, record in fakes.tracker.records]
  assert figures == [(2, 1.5, 23), (4, 3.5, 50), (5, 5, 65)]


def test_norms_of_modules_are_those_of_the_last_step():
  fakes: Any = Fakes()
  sound = fakes._update

  def update(*given):
    state, metrics = sound(*given)
    return state, metrics._replace(module_grad_norms={'a/~/b': float(state.step), 'c': 0.5})

  fakes._update = update
  fakes.run(training_steps=4, log_every=2)
  norms = [(record['grad_norm/a/~/b'], record['grad_norm/c']) for _, record in fakes.tracker.records]
  assert norms == [(2, 0.5), (4, 0.5)]


def test_early_stopping_ends_a_run_and_saves_the_best():
  fakes = Fakes(valid_chunks=4)  # All validations have the same score.
  outcome = fakes.run(validate_every=2, early_stopping_patience=1)
  assert fakes.steps == [1, 2, 3, 4] and int(outcome.state.step) == 4 and outcome.stopped_by is None
  assert fakes.validated_params == [2, 4, 2]
  ((params, held_out),) = fakes.saves
  assert params == 2 and held_out is not None


def test_the_last_parameters_may_be_the_best():
  fakes = Fakes(valid_chunks=4)
  fakes.run(validate_every=4, training_steps=3, save_parameters='best')
  assert fakes.validated_params == [3, 3]


def test_a_safety_save_has_the_best():
  fakes = Fakes(valid_chunks=4)
  fakes.run(validate_every=1, save_parameters='best', save_minutes=1e-9)
  assert [params for params, _ in fakes.saves] == [1] * 7


def test_a_figure_of_training_may_end_it():
  fakes = Fakes()
  fakes.run(early_stopping_figure='loss_nats', early_stopping_divergence=3.5, log_every=2)
  assert fakes.steps == [1, 2, 3, 4] and fakes.saves[0][0] == 4


def test_sounds_are_generated_of_the_steps_that_are_done():
  fakes = Fakes()
  fakes.run(generate_every=2)
  assert fakes.generated == [(2, 2), (4, 4), (6, 6)]
  assert Fakes().run(generate_every=4).state.params == 6
  resumed = Fakes()
  resumed.run(first=4, generate_every=2)
  assert resumed.generated == [(6, 6)], "the sounds of the checkpoint's own step are there"


def test_a_signal_while_sounds_are_generated_ends_the_run_with_its_model():
  fakes = Fakes(at_sounds=at(4, terminate))
  outcome = fakes.run(generate_every=2)
  assert outcome.stopped_by == signal.SIGTERM and fakes.steps in ([1, 2, 3, 4], [1, 2, 3, 4, 5])
  assert fakes.generated == [(2, 2), (4, 4)]
  assert len(fakes.saves) == 1 and fakes.saves[0][0] >= 4


def test_a_device_that_fails_while_sounds_are_generated_costs_no_step():
  fakes = Fakes(at_sounds=at(4, run_out_of_memory))
  with pytest.raises(TrainingError, match='the device failed'):
    fakes.run(generate_every=2)
  assert fakes.saves[-1][0] == 4
