"""What is recorded, and that no place to record it is worth a run."""

import json
import logging
import math
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from language_modeling_is_compression.audio.reading import read_frames, read_info
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


class FakeRecords:
  """A tensorboardX.RecordWriter whose records are lines of text."""

  def __init__(self, path):
    self._file = open(path, 'wb')  # noqa: SIM115

  def write(self, data):
    self._file.write(data + b'\n')

  def flush(self):
    self._file.flush()

  def close(self):
    self._file.close()


class FakeEvent(dict):
  def SerializeToString(self):  # noqa: N802 (protobuf's name)
    kept = {name: value for name, value in self.items() if name != 'wall_time'}
    return json.dumps(kept, default=bytes.hex).encode()


class FakeSummary(dict):
  Value = Audio = dict


FILE_VERSION = {'file_version': 'brain.Event:2'}


def event(step: int, **figures: float) -> dict:
  return {'step': step, 'summary': {'value': [{'tag': tag, 'simple_value': value} for tag, value in figures.items()]}}


def events(folder: Path) -> list[list[dict]]:
  """Events of each file, in the order of names."""
  files = sorted(folder.iterdir())
  assert all('.tfevents.' in file.name for file in files), 'TensorBoard looks for this'
  return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


@pytest.fixture
def tensorboard(monkeypatch):
  modules: dict[str, dict] = {
    'tensorboardX': {'RecordWriter': FakeRecords},
    'tensorboardX.proto': {},
    'tensorboardX.proto.event_pb2': {'Event': FakeEvent},
    'tensorboardX.proto.summary_pb2': {'Summary': FakeSummary},
  }
  for name, contents in modules.items():
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**contents))


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


def test_a_table_goes_to_wandb_alone(tmp_path, tensorboard, monkeypatch):
  monkeypatch.setitem(sys.modules, 'wandb', types.SimpleNamespace(Table=dict))
  run = FakeRun()
  lines = tmp_path / 'a.jsonl', tmp_path / 'a.csv'
  tracker = Tracker(
    {
      'jsonl': JsonLinesLogger(lines[0]),
      'csv': CsvLogger(lines[1]),
      'tensorboard': TensorBoardLogger(tmp_path / 'events'),
      'wandb': WandbLogger(run),
    }
  )
  tracker.log_table(3, 'held_out/files', ('name', 'bits'), [('a', 1.5), ('b', 2.5)])
  assert run.calls == [('log', {'held_out/files': {'columns': ['name', 'bits'], 'data': [['a', 1.5], ['b', 2.5]]}}, 3)]
  assert [path.read_text() for path in lines] == ['', 'step,name,value\n']
  assert events(tmp_path / 'events') == [[FILE_VERSION]]
  tracker.close(0)


def test_sound_goes_to_those_that_keep_such(tmp_path, monkeypatch, tensorboard, caplog):
  kept: list[tuple[bytes, int]] = []

  def audio(path, sample_rate):
    kept.append((Path(path).read_bytes(), sample_rate))
    return 'sound'

  monkeypatch.setitem(sys.modules, 'wandb', types.SimpleNamespace(Audio=audio))
  run = FakeRun()
  older: Any = types.SimpleNamespace(path=None, identity=None, close=lambda exit_code: None)  # As a plugin has it.
  tracker = Tracker(
    {
      'jsonl': JsonLinesLogger(tmp_path / 'a.jsonl'),
      'csv': CsvLogger(tmp_path / 'a.csv'),
      'older': older,
      'tensorboard': TensorBoardLogger(tmp_path / 'events'),
      'wandb': WandbLogger(run),
    }
  )
  samples = np.array([[-1, 0], [0.5, -0.5], [1 - 2**-15, 1]], np.float32)
  tracker.log_audio(3, 'generated/1_silence', samples, 8000)
  tracker.close(0)
  assert run.calls == [('log', {'generated/1_silence': 'sound'}, 3), ('finish', 0)]
  ((wav, rate),) = kept
  (tmp_path / 'a.wav').write_bytes(wav)
  info = read_info(tmp_path / 'a.wav')
  assert (info.sample_bytes, info.sample_rate_hz, rate) == (2, 8000, 8000)
  facts = {'sample_rate': 8000, 'num_channels': 2, 'length_frames': 3, 'content_type': 'audio/wav'}
  value = {'tag': 'generated/1_silence', 'audio': {**facts, 'encoded_audio_string': wav.hex()}}
  assert events(tmp_path / 'events') == [[FILE_VERSION, {'step': 3, 'summary': {'value': [value]}}]]
  assert read_frames(info, 0, 3).tolist() == [[-32768, 0], [16384, -16384], [32767, 32767]]
  assert [path.read_text() for path in (tmp_path / 'a.jsonl', tmp_path / 'a.csv')] == ['', 'step,name,value\n']
  assert not caplog.messages


def test_event_files_hold_sound_that_is_read_back(tmp_path):
  event_pb2 = pytest.importorskip('tensorboardX.proto.event_pb2')
  logger = TensorBoardLogger(tmp_path / 'events')
  samples = np.linspace(-1, 0.5, 30, dtype=np.float32).reshape(15, 2)
  logger.log_audio(7, 'generated/2_c', samples, 44100)
  logger.close(0)
  (path,) = (tmp_path / 'events').iterdir()
  data, found = path.read_bytes(), []
  while data:  # A record is its length, a checksum of that, the event, and its checksum.
    size = int.from_bytes(data[:8], 'little')
    found.append(event_pb2.Event.FromString(data[12 : 12 + size]))
    data = data[16 + size :]
  version, logged = found
  assert version.file_version == 'brain.Event:2' and logged.step == 7
  (value,) = logged.summary.value
  assert value.tag == 'generated/2_c'
  audio = value.audio
  assert (audio.sample_rate, audio.num_channels, audio.length_frames) == (44100, 2, 15)
  assert audio.content_type == 'audio/wav'
  (tmp_path / 'a.wav').write_bytes(audio.encoded_audio_string)
  info = read_info(tmp_path / 'a.wav')
  assert (info.num_channels, info.sample_rate_hz) == (2, 44100)
  np.testing.assert_array_equal(read_frames(info, 0, 15), np.floor(samples * 32768))


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
  assert list(LOGGERS) == list(LOGGER_NAMES)


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
  logger.log(1, {'a': 1.0, 'b': 2.0})
  assert events(folder) == [[FILE_VERSION, event(1, a=1.0, b=2.0)]]
  logger.rename(tmp_path / 'a_tensorboard')
  logger.log(2, {'a': 3.0})
  logger.close(0)
  assert not folder.exists()
  assert events(tmp_path / 'a_tensorboard') == [
    [FILE_VERSION, event(1, a=1.0, b=2.0)],
    [FILE_VERSION, event(2, a=3.0)],
  ]


@pytest.mark.parametrize(
  ('error', 'message'),
  [
    (OSError(28, 'No space left'), '{folder}: cannot be written, metrics are lost: No space left'),
    (ValueError('no'), 'tensorboard: log failed, the run goes on without it: no'),
  ],
)
def test_event_files_that_cannot_be_written_end_no_run(tmp_path, tensorboard, caplog, monkeypatch, error, message):
  tracker = started(tmp_path, loggers='tensorboard,csv')

  def fail(records, data):
    raise error

  monkeypatch.setattr(FakeRecords, 'write', fail)
  tracker.log(1, {'a': 1.0})
  tracker.log(2, {'a': 2.0})
  tracker.close(0)
  assert caplog.messages == [message.format(folder=tmp_path / 'a_tensorboard')]
  assert len((tmp_path / 'a_metrics.csv').read_text().splitlines()) == 3


def test_event_files_that_fail_while_they_are_renamed_cost_no_model(tmp_path, tensorboard, caplog, monkeypatch):
  (tmp_path / 'a.npz').write_text('earlier')
  files = RunFiles(tmp_path, 'a')
  tracker = start_tracker(TrackedRun(LoggingConfig(loggers='tensorboard'), files, 'a', {}))
  monkeypatch.delattr(sys.modules['tensorboardX'], 'RecordWriter')
  files.save(lambda path: path.write_text('model'))
  tracker.close(0)
  (message,) = caplog.messages
  assert message.startswith('tensorboard: rename failed, the run goes on without it: ')


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


@pytest.mark.parametrize('disabled', [True, False])
def test_nothing_is_said_of_a_run_that_is_nowhere(path, caplog, disabled):
  caplog.set_level(logging.INFO)
  run = FakeRun()
  vars(run).update(id='k3v', url='https://wandb.ai/k3v', dir='/wandb/run/files', disabled=disabled)
  tracker = tracker_of(path, run)
  assert tracker.identities == ({} if disabled else {'wandb': {'id': 'k3v', 'url': 'https://wandb.ai/k3v'}})
  tracker.close(0)
  assert caplog.messages == ([] if disabled else 2 * ['wandb: https://wandb.ai/k3v'])


def test_files_of_a_run_that_goes_on_keep_what_no_step_will_write_again(tmp_path):
  """Records up to the checkpoint's step stay; later ones, a line that was cut off, and figures of the end do not."""
  lines, table = tmp_path / 'a.jsonl', tmp_path / 'a.csv'
  for logger in (JsonLinesLogger(lines), CsvLogger(table)):
    for step, figures in [(1, {'a': 1.0}), (2, {'valid/a': 2.0}), (3, {'a': 3.0}), (2, {'held_out/a': 4.0})]:
      logger.log(step, figures)
    logger.close(0)
  for path, cut in ((lines, '{"step": 2, "a'), (table, '2,valid')):
    path.write_text(path.read_text() + cut)
  for logger in (JsonLinesLogger(lines, 2), CsvLogger(table, 2)):
    logger.log(3, {'a': 5.0})
    logger.close(0)
  assert [json.loads(line) for line in lines.read_text().splitlines()] == [
    {'step': 1, 'a': 1.0},
    {'step': 2, 'valid/a': 2.0},
    {'step': 3, 'a': 5.0},
  ]
  assert table.read_text().splitlines() == ['step,name,value', '1,a,1.0', '2,valid/a,2.0', '3,a,5.0']


def test_files_that_are_not_there_are_begun_by_a_run_that_goes_on(tmp_path):
  for logger in (JsonLinesLogger(tmp_path / 'a.jsonl', 2), CsvLogger(tmp_path / 'a.csv', 2)):
    logger.log(3, {'a': 5.0})
    logger.close(0)
  assert (tmp_path / 'a.csv').read_text() == 'step,name,value\n3,a,5.0\n'
  assert json.loads((tmp_path / 'a.jsonl').read_text()) == {'step': 3, 'a': 5.0}
