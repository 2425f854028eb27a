"""Which steps are traced, where the trace goes, and that losing it loses nothing else."""

import logging
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from language_modeling_is_compression.config.options import LoggingConfig
from language_modeling_is_compression.training.profiling import profiled
from language_modeling_is_compression.training.run_files import RunFiles


class FakeProfiler:
  """jax.profiler. events: what was called, steps among it. fails_in: the function that raises."""

  def __init__(self, fails_in: str = ''):
    self.events: list[object] = []
    self._fails_in = fails_in

  def start_trace(self, folder):
    self._called('start')
    self._folder = Path(folder)

  def stop_trace(self):
    self._called('stop')
    self._folder.mkdir()
    (self._folder / 'trace').write_text('trace')

  def step(self, state):
    self.events.append(state)
    return state + 1

  def _called(self, name):
    self.events.append(name)
    if name == self._fails_in:
      raise RuntimeError(f'no {name} today')


@pytest.fixture
def profiler(monkeypatch, request):
  fake = FakeProfiler(getattr(request, 'param', ''))
  monkeypatch.setattr(jax, 'profiler', SimpleNamespace(start_trace=fake.start_trace, stop_trace=fake.stop_trace))
  return fake


def train(profiler: FakeProfiler, files: RunFiles, *, profile: int, steps: int, save_at: int = 0) -> None:
  state = 1
  with profiled(profiler.step, LoggingConfig(profile=profile), files) as update:
    for step in range(1, steps + 1):
      state = update(state)
      if step == save_at:
        files.save(lambda path: path.write_text('model'))


@pytest.mark.parametrize(
  ('profile', 'steps', 'events'),
  [
    (0, 3, [1, 2, 3]),
    (1, 5, [1, 2, 'start', 3, 'stop', 4, 5]),
    (2, 5, [1, 2, 'start', 3, 4, 'stop', 5]),
    (9, 4, [1, 2, 'start', 3, 4, 'stop']),
    (9, 2, [1, 2]),
  ],
)
def test_steps_after_the_first_two_are_traced(tmp_path, profiler, profile, steps, events):
  train(profiler, RunFiles(tmp_path, 'a'), profile=profile, steps=steps)
  assert profiler.events == events
  assert [path.name for path in tmp_path.iterdir()] == ['a_profile'] * ('stop' in events)


@pytest.mark.parametrize('save_at', [1, 3, 5])
def test_a_trace_takes_its_name_when_there_is_a_model(tmp_path, profiler, save_at):
  """Also when the model is saved while the profiler holds its folder."""
  (tmp_path / 'a.npz').write_text('earlier')
  train(profiler, RunFiles(tmp_path, 'a'), profile=2, steps=6, save_at=save_at)
  assert (tmp_path / 'a_profile' / 'trace').read_text() == 'trace'
  assert sorted(path.name for path in tmp_path.iterdir()) == ['a.1.npz', 'a.npz', 'a_profile']


def test_without_a_model_the_trace_is_marked(tmp_path, profiler):
  (tmp_path / 'a.npz').write_text('earlier')
  train(profiler, RunFiles(tmp_path, 'a'), profile=1, steps=3)
  assert (tmp_path / 'a_profile.unsaved' / 'trace').exists()


@pytest.mark.parametrize('profiler', ['start', 'stop'], indirect=True)
def test_a_trace_that_cannot_be_written_is_a_warning(tmp_path, profiler, caplog, request):
  caplog.set_level(logging.WARNING)
  train(profiler, RunFiles(tmp_path, 'a'), profile=1, steps=4)
  assert [event for event in profiler.events if isinstance(event, int)] == [1, 2, 3, 4]
  (message,) = caplog.messages
  assert message.startswith(f'{tmp_path}/a_profile: cannot be written, there is no trace of the profiler: no ')


def test_the_log_names_the_folder_that_the_trace_is_in(profiler, tmp_path, caplog):
  (tmp_path / 'a.npz').write_text('an earlier model')
  with caplog.at_level(logging.INFO):
    train(profiler, RunFiles(tmp_path, 'a'), profile=9, steps=5, save_at=4)
  assert caplog.messages[-1] == f'trace of the profiler: {tmp_path / "a_profile"}'
  assert (tmp_path / 'a_profile' / 'trace').exists()
