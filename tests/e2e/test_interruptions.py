"""Runs that are stopped, killed, doubled or that fail: what they leave behind and what they say."""

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from support.training_runs import Running, finish, read_metrics, training

from language_modeling_is_compression import load_model

# More steps than could be done before the signal comes, and a line in the log soon.
_ENDLESS = ('--training_steps', 10**9, '--log_every', 20)


@contextlib.contextmanager
def _endless(audio: Path, folder: Path, env: dict[str, str], *flags: object) -> Iterator[Running]:
  """A run that has done some steps and would go on for days."""
  folder.mkdir(exist_ok=True)
  with Running(training(audio, folder, *_ENDLESS, *flags), env, folder / 'stderr') as run:
    run.wait_until('its first report', lambda: 'step 20 of' in run.stderr)
    yield run


def _left(folder: Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir() if path.name != 'stderr')


def _check_stopped(folder: Path, stderr: str, name: str) -> None:
  """The steps that the log says were done are in the model, once, and nothing else was left."""
  assert _left(folder) == [
    'audio_model.npz',
    'audio_model.toml',
    'audio_model_checkpoints',
    'audio_model_metrics.jsonl',
    'audio_model_training.log',
  ]
  model = load_model(folder / 'audio_model.npz')
  steps = read_metrics(folder / 'audio_model_metrics.jsonl')[-1]['step']
  assert model.provenance['steps'] == steps >= 20
  assert model.provenance['held_out'] is None
  # A fresh network's are zero.
  assert np.any(model.params['~']['output_weights'])
  assert stderr.count(f'{name}: stopping, then saving the model') == 1
  assert 'Traceback' not in stderr


@pytest.mark.parametrize(('number', 'exit_code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_training_with_a_model(audio, tmp_path, cached_env, number, exit_code):
  with _endless(audio, tmp_path, cached_env) as run:
    run.process.send_signal(number)
    assert run.wait() == exit_code
  _check_stopped(tmp_path, run.stderr, number.name)


def test_more_signals_change_nothing(audio, tmp_path, cached_env):
  # Steps long enough that the later signals find the first one not yet heeded.
  with _endless(audio, tmp_path, cached_env, '--batch_size', '256') as run:
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
      run.process.send_signal(number)
    run.wait_until('it heeds the signal', lambda: 'stopping, then saving' in run.stderr)
    with contextlib.suppress(ProcessLookupError):
      run.process.send_signal(signal.SIGINT)
    assert run.wait() in (130, 143)  # Of signals that wait at the same time the system delivers any one first.
  stopped_by = 'SIGINT' if run.process.returncode == 130 else 'SIGTERM'
  _check_stopped(tmp_path, run.stderr, stopped_by)


def test_a_signal_before_training_begins_leaves_no_traceback(audio, tmp_path, cached_env):
  with Running(training(audio, tmp_path, *_ENDLESS), cached_env, tmp_path / 'stderr') as run:
    # JAX is imported by then and the devices are being started.
    run.wait_until('it opens its log', (tmp_path / 'audio_model_training.log').exists)
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 130
  assert 'Traceback' not in run.stderr
  assert run.stderr.splitlines()[-1].startswith(('train_audio.py: interrupted', 'train_audio.py: ended at once'))
  assert _left(tmp_path)[0] != '.audio_model.lock'


def test_a_second_run_of_the_same_name_is_refused_and_the_first_goes_on(audio, tmp_path, cached_env):
  with _endless(audio, tmp_path, cached_env) as first:
    second = finish(training(audio, tmp_path, '--training_steps', '1'), cached_env)
    first.process.send_signal(signal.SIGINT)
    assert first.wait() == 130
  assert (second.returncode, second.stdout) == (2, '')
  assert second.stderr == (
    f'train_audio.py: error: model_name: another run is writing {tmp_path}/audio_model.npz; '
    'wait for it or choose another name\n'
  )
  _check_stopped(tmp_path, first.stderr, 'SIGINT')


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_what_was_finite(audio, tmp_path, cached_env):
  done = finish(training(audio, tmp_path, '--training_steps', '50', '--learning_rate', '1e12'), cached_env)
  assert (done.returncode, done.stdout) == (1, '')
  last = done.stderr.splitlines()[-1]
  assert last.startswith('train_audio.py: error: step ') and 'non-finite' in last and '--learning_rate' in last
  assert done.stderr.count('error: ') == 1 and 'Traceback' not in done.stderr
  model = load_model(tmp_path / 'audio_model.npz')
  assert all(np.isfinite(array).all() for array in jax.tree.leaves(model.params))
  # The message counts the steps from 1, and the model holds those before the one that failed.
  assert last.split()[3] == f'{model.provenance["steps"] + 1}:'
  assert model.provenance['held_out'] is None
  for line in (tmp_path / 'audio_model_metrics.jsonl').read_text().splitlines():
    json.loads(line, parse_constant=pytest.fail)  # NaN is no JSON.


@pytest.mark.slow
def test_a_killed_run_leaves_a_model_and_does_not_hinder_the_next(audio, tmp_path, cached_env):
  for attempt in range(5):
    with _endless(audio, tmp_path, cached_env, '--save_minutes', '1e-4') as run:
      run.wait_until('it has saved', (tmp_path / 'audio_model.npz').exists)
      run.process.kill()
      assert run.wait() == -signal.SIGKILL
    assert '.audio_model.lock' in _left(tmp_path)
    assert load_model(tmp_path / 'audio_model.npz').provenance['steps'] > 0
    for earlier in range(1, attempt + 1):
      assert load_model(tmp_path / f'audio_model.{earlier}.npz').provenance['steps'] > 0
  done = finish(training(audio, tmp_path, '--training_steps', '1'), cached_env)
  assert done.returncode == 0, done.stderr
  assert load_model(tmp_path / 'audio_model.npz').provenance['steps'] == 1
  assert '.audio_model.lock' not in _left(tmp_path)


@pytest.mark.slow
def test_a_finished_model_outlives_runs_that_are_stopped(audio, tmp_path, cached_env):
  """The same command three times, the later ones stopped, and once with data that cannot be read."""
  flags = ('--learning_rate', '3e-3')
  done = finish(training(audio, tmp_path, '--training_steps', '30', *flags), cached_env)
  assert done.returncode == 0, done.stderr
  finished = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
  (tmp_path / 'junk').mkdir()
  for name in ('a.wav', 'b.wav'):
    (tmp_path / 'junk' / name).write_bytes(b'RIFF, or so it says')
  assert finish(training(tmp_path / 'junk', tmp_path, *flags), cached_env).returncode == 1
  for number in (signal.SIGINT, signal.SIGKILL):
    with Running(training(audio, tmp_path, *_ENDLESS, *flags), cached_env, tmp_path / 'stderr') as run:
      run.wait_until('it compiles', lambda: 'compiling the training step' in run.stderr)
      run.process.send_signal(number)
      assert run.wait() in (130, -signal.SIGKILL)
  # The first of them was stopped before its first step, or just behind it: then the finished files have a number.
  assert set(finished.values()) <= _contents(tmp_path)
  with _endless(audio, tmp_path, cached_env, *flags) as run:
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 130
  assert set(finished.values()) <= _contents(tmp_path)
  # Their names are the new run's now, of which one that is stopped has no held-out files.
  for name, contents in finished.items():
    assert 'held_out' in name or (tmp_path / name).read_bytes() != contents
    assert 'held_out' not in name or not (tmp_path / name).exists()
  assert not [name for name in _left(tmp_path) if 'unsaved' in name]


def _contents(folder: Path) -> set[bytes]:
  return {path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_run_that_does_not_heed_a_signal_ends_by_a_second_one(audio, tmp_path, cached_env):
  # One micro-batch of so many rows takes far longer than anybody waits.
  slow = ('--batch_size', 10**5, '--micro_batch_size', 10**5, '--chunk_size', 500, '--num_chunks', 10**5)
  with Running(training(audio, tmp_path, *_ENDLESS, *slow), cached_env, tmp_path / 'stderr') as run:
    run.wait_until('it compiles', lambda: 'compiling the training step' in run.stderr)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 143, 'before the first step there is nothing to wait for'
  assert 'then saving' not in run.stderr
  assert 'ended at once' in run.stderr or 'interrupted' in run.stderr
  assert '.audio_model.lock' not in _left(tmp_path)
