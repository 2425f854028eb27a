"""What is recorded, and that no place to record it is worth a run."""

import json
import logging
import math
import os
import sys
import types
from pathlib import Path

import pytest

from language_modeling_is_compression.config.options import LOGGER_NAMES, LoggingConfig
from language_modeling_is_compression.training import tracking
from language_modeling_is_compression.training.loggers import CsvLogger, JsonLinesLogger, TensorBoardLogger
from language_modeling_is_compression.training.run_files import RunFiles
from language_modeling_is_compression.training.tracking import (
  LOGGERS,
  TrackedRun,
  Tracker,
  WandbLogger,
  start_tracker,
  start_wandb,
)


class FakeRun:
  """A wandb run that raises in one of its methods."""

  def __init__(self, raises_in: str = ''):
    self.calls: list = []
    self._raises_in = raises_in

  def define_metric(self, name, **_):
    pass

  def log(self, figures, step):
    self._called('log', figures, step)

  def log_artifact(self, artifact):
    self._called('log_artifact', artifact)

  def finish(self, exit_code):
    self._called('finish', exit_code)

  def _called(self, name, *arguments):
    self.calls.append((name, *arguments))
    if name == self._raises_in:
      raise RuntimeError(f'no {name} today')


class FakeWriter:
  """A tensorboardX.SummaryWriter whose event file is text, one figure a line."""

  def __init__(self, logdir):
    Path(logdir).mkdir(parents=True, exist_ok=True)
    self._file = open(Path(logdir) / f'events.{len(os.listdir(logdir))}', 'w')  # noqa: SIM115

  def add_scalar(self, name, value, step):
    self._file.write(f'{step} {name} {value}\n')

  def flush(self):
    self._file.flush()

  def close(self):
    self._file.close()


@pytest.fixture
def tensorboard(monkeypatch):
  module = types.SimpleNamespace(SummaryWriter=FakeWriter)
  monkeypatch.setitem(sys.modules, 'tensorboardX', module)
  return module


@pytest.fixture
def wandb_calls(monkeypatch) -> list[dict]:
  """Arguments of each call of wandb.init, which gives a fake run."""
  calls: list[dict] = []

  def init(**given):
    calls.append(given)
    return FakeRun()

  monkeypatch.setitem(sys.modules, 'wandb', types.SimpleNamespace(init=init, Settings=dict))
  return calls


def tracker_of(path: Path, run: FakeRun | None = None) -> Tracker:
  return Tracker({'jsonl': JsonLinesLogger(path), **({'wandb': WandbLogger(run)} if run else {})})


def started(folder: Path, **settings) -> Tracker:
  return start_tracker(TrackedRun(LoggingConfig(**settings), RunFiles(folder, 'a'), 'a_64x4', {'seed': 7}))


@pytest.fixture(autouse=True)
def warnings_are_captured(caplog):
  caplog.set_level(logging.WARNING)


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'metrics.jsonl'


def test_one_json_object_a_line(path, caplog):
  tracker = tracker_of(path)
  tracker.log(1, {'loss_nats': 5.5, 'valid/bits_per_byte': 7})
  tracker.log(2, {})
  tracker.close(0)
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert lines == [{'step': 1, 'loss_nats': 5.5, 'valid/bits_per_byte': 7}, {'step': 2}]
  assert not caplog.messages


def test_lines_are_there_at_once(path):
  tracker = tracker_of(path)
  tracker.log(1, {'a': 1.0})
  assert path.read_text() == '{"step": 1, "a": 1.0}\n'
  tracker.close(0)


def test_what_is_not_finite_is_null(path):
  tracker = tracker_of(path)
  tracker.log(3, {'a': math.nan, 'b': math.inf, 'c': -math.inf, 'd': 0.0})
  tracker.close(0)
  assert path.read_text() == '{"step": 3, "a": null, "b": null, "c": null, "d": 0.0}\n'


def test_an_earlier_file_is_replaced(path):
  path.write_text('old\n')
  tracker_of(path).close(0)
  assert path.read_text() == ''


def test_a_file_that_cannot_be_opened_is_said_once(tmp_path, caplog, monkeypatch):
  run = FakeRun()
  monkeypatch.setattr(tracking, 'start_wandb', lambda *_, **__: run)
  tracker = started(tmp_path / 'gone', loggers='jsonl,csv,wandb')
  for step in range(3):
    tracker.log(step, {'a': 1.0})
  tracker.close(0)
  assert caplog.messages == [
    f'{tmp_path}/gone/a_metrics.{suffix}: cannot be written, metrics are lost: No such file or directory'
    for suffix in ('jsonl', 'csv')
  ]
  assert [call[0] for call in run.calls] == ['log'] * 3 + ['finish'], 'wandb has nothing to do with the files'


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='the system has no device that is always full')
def test_a_disk_that_is_full_is_said_once(path, caplog):
  path.symlink_to('/dev/full')
  tracker = tracker_of(path)
  for step in range(3):
    tracker.log(step, {'a': 1.0})
  tracker.close(0)
  assert caplog.messages == [f'{path}: cannot be written, metrics are lost: No space left on device']


def test_wandb_gets_the_figures_too(path):
  run = FakeRun()
  tracker = tracker_of(path, run)
  tracker.log(4, {'a': 1.0})
  tracker.close(130)
  assert run.calls == [('log', {'a': 1.0}, 4), ('finish', 130)]


def test_wandb_that_fails_is_dropped_and_the_file_goes_on(path, caplog):
  run = FakeRun(raises_in='log')
  tracker = tracker_of(path, run)
  tracker.log(1, {'a': 1.0})
  tracker.log(2, {'a': 2.0})
  tracker.close(0)
  assert [call[0] for call in run.calls] == ['log']
  assert caplog.messages == ['wandb: log failed, the run goes on without it: no log today']
  assert len(path.read_text().splitlines()) == 2


def test_wandb_that_fails_at_the_end(path, caplog):
  tracker_of(path, FakeRun(raises_in='finish')).close(0)
  assert caplog.messages == ['wandb: finish failed, the run goes on without it: no finish today']


def test_an_artifact_that_is_not_there(path, caplog):
  pytest.importorskip('wandb')
  run = FakeRun()
  tracker = tracker_of(path, run)
  tracker.save_artifact(path.with_name('missing.npz'), {})
  tracker.close(0)
  (message,) = caplog.messages
  assert message.startswith('wandb: the artifact failed')
  assert not run.calls


def test_an_artifact_without_wandb_is_nothing(path, caplog):
  tracker = tracker_of(path)
  tracker.save_artifact(path.with_name('missing.npz'), {})
  tracker.close(0)
  assert not caplog.messages


def test_every_logger_that_can_be_named_is_there():
  assert tuple(LOGGERS) == LOGGER_NAMES


def test_a_table_has_a_line_for_each_figure_whenever_it_appears(path):
  logger = CsvLogger(path)
  logger.log(1, {'loss_nats': 5.5, 'b': math.nan})
  logger.log(1, {})
  logger.log(2, {'valid/brass, strings/bits': 7, 'loss_nats': -math.inf})
  assert path.read_text() == (
    'step,name,value\n1,loss_nats,5.5\n1,b,nan\n2,"valid/brass, strings/bits",7\n2,loss_nats,-inf\n'
  )
  logger.close(0)


def test_event_files_are_those_of_one_run_and_go_on_under_another_name(tmp_path, tensorboard):
  folder = tmp_path / 'a_tensorboard.unsaved'
  folder.mkdir()
  (folder / 'events.of.an.earlier.run').write_text('old')
  logger = TensorBoardLogger(folder)
  logger.log(1, {'a': 1.0, 'valid/b': 2.0})
  assert [file.read_text() for file in folder.iterdir()] == ['1 a 1.0\n1 valid/b 2.0\n']
  logger.rename(tmp_path / 'a_tensorboard')
  logger.log(2, {'a': 3.0})
  logger.close(0)
  assert not folder.exists()
  assert sorted(file.read_text() for file in (tmp_path / 'a_tensorboard').iterdir()) == [
    '1 a 1.0\n1 valid/b 2.0\n',
    '2 a 3.0\n',
  ]


def test_event_files_that_cannot_be_written_end_no_run(tmp_path, tensorboard, caplog):
  tracker = started(tmp_path, loggers='tensorboard,csv')
  tensorboard_logger = tracker._loggers['tensorboard']
  tensorboard_logger.log = lambda step, figures: exec('raise ValueError("no events today")')  # type: ignore[method-assign]
  tracker.log(1, {'a': 1.0})
  tracker.log(2, {'a': 2.0})
  tracker.close(0)
  assert caplog.messages == ['tensorboard: log failed, the run goes on without it: no events today']
  assert len((tmp_path / 'a_metrics.csv').read_text().splitlines()) == 3


def test_what_loggers_write_takes_its_name_when_there_is_a_model(tmp_path, tensorboard):
  (tmp_path / 'a_metrics.csv').write_text('earlier')
  (tmp_path / 'a_tensorboard').mkdir()
  files = RunFiles(tmp_path, 'a')
  config = LoggingConfig(loggers='jsonl,csv,tensorboard')
  tracker = start_tracker(TrackedRun(config, files, 'a', {}))
  tracker.log(1, {'a': 1.0})
  files.save(lambda path: path.write_text('model'))
  tracker.log(2, {'a': 2.0})
  tracker.close(0)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    'a.npz',
    'a_metrics.1.csv',
    'a_metrics.csv',
    'a_metrics.jsonl',
    'a_tensorboard',
    'a_tensorboard.1',
  ]
  assert (tmp_path / 'a_metrics.1.csv').read_text() == 'earlier'
  assert (tmp_path / 'a_metrics.csv').read_text() == 'step,name,value\n1,a,1.0\n2,a,2.0\n'
  assert len((tmp_path / 'a_metrics.jsonl').read_text().splitlines()) == 2


def test_wandb_is_given_what_was_asked_for(tmp_path, wandb_calls):
  started(
    tmp_path,
    wandb_project='speech',
    wandb_entity='team',
    wandb_group='sweep',
    wandb_tags='a,b c',
    wandb_notes='why',
    wandb_job_type='train',
    wandb_mode='offline',
  ).close(0)
  (given,) = wandb_calls
  assert given.items() >= {'project': 'speech', 'name': 'a_64x4', 'config': {'seed': 7}, 'dir': str(tmp_path)}.items()
  expected = {'entity': 'team', 'group': 'sweep', 'tags': ('a', 'b c'), 'notes': 'why', 'job_type': 'train'}
  assert given.items() >= {**expected, 'mode': 'offline'}.items()


def test_wandb_is_left_to_the_environment_where_nothing_was_asked_for(tmp_path, wandb_calls):
  started(tmp_path, loggers='wandb').close(0)
  (given,) = wandb_calls
  assert set(given) == {'project', 'name', 'dir', 'config', 'settings'} and given['project'] is None


def test_a_run_at_wandb_goes_on_by_its_id(tmp_path, wandb_calls):
  config, files = LoggingConfig(wandb_project='speech'), RunFiles(tmp_path, 'a')
  start_tracker(TrackedRun(config, files, 'a', {}, wandb_id='k3v')).close(0)
  start_wandb('speech', None, tmp_path, {}, run_id='k3v')
  assert [(given['id'], given['resume']) for given in wandb_calls] == 2 * [('k3v', 'allow')]


@pytest.mark.parametrize(('disabled', 'identity'), [(True, {}), (False, {'id': 'k3v'})])
def test_a_model_knows_no_run_that_is_nowhere(path, disabled, identity):
  run = FakeRun()
  vars(run).update(id='k3v', disabled=disabled)
  tracker = tracker_of(path, run)
  assert tracker.wandb_identity == identity
  tracker.close(0)
