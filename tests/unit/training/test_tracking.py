"""What is recorded, and that no place to record it is worth a run."""

import json
import logging
import math
import os

import pytest

from language_modeling_is_compression.training.tracking import Tracker


class FakeRun:
  """A wandb run that raises in one of its methods."""

  def __init__(self, raises_in: str = ''):
    self.calls: list = []
    self._raises_in = raises_in

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


@pytest.fixture(autouse=True)
def warnings_are_captured(caplog):
  caplog.set_level(logging.WARNING)


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'metrics.jsonl'


def test_one_json_object_a_line(path, caplog):
  tracker = Tracker(path)
  tracker.log(1, {'loss_nats': 5.5, 'valid/bits_per_byte': 7})
  tracker.log(2, {})
  tracker.close(0)
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert lines == [{'step': 1, 'loss_nats': 5.5, 'valid/bits_per_byte': 7}, {'step': 2}]
  assert not caplog.messages


def test_lines_are_there_at_once(path):
  tracker = Tracker(path)
  tracker.log(1, {'a': 1.0})
  assert path.read_text() == '{"step": 1, "a": 1.0}\n'
  tracker.close(0)


def test_what_is_not_finite_is_null(path):
  tracker = Tracker(path)
  tracker.log(3, {'a': math.nan, 'b': math.inf, 'c': -math.inf, 'd': 0.0})
  tracker.close(0)
  assert path.read_text() == '{"step": 3, "a": null, "b": null, "c": null, "d": 0.0}\n'


def test_an_earlier_file_is_replaced(path):
  path.write_text('old\n')
  Tracker(path).close(0)
  assert path.read_text() == ''


@pytest.mark.parametrize('name', ['', 'no/such/folder/metrics.jsonl'])
def test_a_file_that_cannot_be_opened_is_said_once(tmp_path, caplog, name):
  run = FakeRun()
  tracker = Tracker(tmp_path / name, run)
  for step in range(3):
    tracker.log(step, {'a': 1.0})
  tracker.close(0)
  (message,) = caplog.messages
  assert message.startswith(f'{tmp_path / name}: cannot be written, metrics are lost: ')
  assert [call[0] for call in run.calls] == ['log'] * 3 + ['finish'], 'wandb has nothing to do with the file'


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='the system has no device that is always full')
def test_a_disk_that_is_full_is_said_once(path, caplog):
  path.symlink_to('/dev/full')
  tracker = Tracker(path)
  for step in range(3):
    tracker.log(step, {'a': 1.0})
  tracker.close(0)
  assert caplog.messages == [f'{path}: cannot be written, metrics are lost: No space left on device']


def test_wandb_gets_the_figures_too(path):
  run = FakeRun()
  tracker = Tracker(path, run)
  tracker.log(4, {'a': 1.0})
  tracker.close(130)
  assert run.calls == [('log', {'a': 1.0}, 4), ('finish', 130)]


def test_wandb_that_fails_is_dropped_and_the_file_goes_on(path, caplog):
  run = FakeRun(raises_in='log')
  tracker = Tracker(path, run)
  tracker.log(1, {'a': 1.0})
  tracker.log(2, {'a': 2.0})
  tracker.close(0)
  assert [call[0] for call in run.calls] == ['log']
  assert caplog.messages == ['wandb: log failed, the run goes on without it: no log today']
  assert len(path.read_text().splitlines()) == 2


def test_wandb_that_fails_at_the_end(path, caplog):
  Tracker(path, FakeRun(raises_in='finish')).close(0)
  assert caplog.messages == ['wandb: finish failed, the run goes on without it: no finish today']


def test_an_artifact_that_is_not_there(path, caplog):
  pytest.importorskip('wandb')
  run = FakeRun()
  tracker = Tracker(path, run)
  tracker.save_artifact(path.with_name('missing.npz'), {})
  tracker.close(0)
  (message,) = caplog.messages
  assert message.startswith('wandb: the artifact failed')
  assert not run.calls


def test_an_artifact_without_wandb_is_nothing(path, caplog):
  tracker = Tracker(path)
  tracker.save_artifact(path.with_name('missing.npz'), {})
  tracker.close(0)
  assert not caplog.messages
