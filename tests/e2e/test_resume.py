"""Runs that are killed, stopped or short of disk space, and resumed: they end as if nothing had happened."""

import random
import signal
import subprocess
import sys

import pytest
from support.training_runs import Running, finish, read_metrics, saved_parameters, timeless_records, training

from language_modeling_is_compression import load_model

_KILLS = 20
_STEPS = 2000
_WITHOUT_ROOM = (
  'import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); '
  'resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); os.execv(sys.argv[2], sys.argv[2:])'
)


def test_without_a_checkpoint_resuming_is_refused_and_leaves_nothing(audio, tmp_path, cached_env):
  done = finish(training(audio, tmp_path, '--resume'), cached_env)
  assert (done.returncode, done.stdout) == (1, '')
  assert done.stderr == (
    f'train_audio.py: error: {tmp_path}/audio_model_checkpoints: no checkpoint to resume from; '
    'leave out --resume to begin\n'
  )
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, 'SIGUSR1'), reason='the system has no SIGUSR1')
def test_pre_emption_and_resumption(audio, tmp_path, cached_env):
  """As SLURM does it: SIGUSR1 announces the end, and the same command goes on with --resume."""
  length = ('--training_steps', 10**9, '--log_every', 20)
  for flags in ((), ('--resume',), ('--resume',)):
    with Running(training(audio, tmp_path, *length, *flags), cached_env, tmp_path / 'stderr') as run:
      run.wait_until('its first report', lambda run=run: 'of 1000000000:' in run.stderr)
      run.process.send_signal(signal.SIGUSR1)
      assert run.wait() == 128 + signal.SIGUSR1
  steps = [record['step'] for record in read_metrics(tmp_path / 'audio_model_metrics.jsonl')]
  assert steps == sorted(set(steps)) and load_model(tmp_path / 'audio_model.npz').provenance['steps'] == steps[-1]
  assert (tmp_path / 'audio_model_training.log').read_text().count('resuming from') == 2


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_equals_one_that_is_not(audio, tmp_path, cached_env):
  """SIGKILL at twenty random moments, wherever they fall: in compiling, between steps, in writing a file."""
  flags = (
    '--training_steps',
    _STEPS,
    '--checkpoint_every',
    7,
    '--log_every',
    100,
    '--learning_rate_schedule',
    'cosine',
  )
  undisturbed = finish(training(audio, tmp_path / 'whole', *flags), cached_env)
  assert undisturbed.returncode == 0, undisturbed.stderr
  seed = random.randrange(2**32)
  drawn, folder, kills, rounds = random.Random(seed), tmp_path / 'killed0', 0, 0
  while True:
    folder.mkdir(exist_ok=True)
    resume = ('--resume',) if list(folder.glob('audio_model_checkpoints/step_*.ckpt')) else ()
    with Running(training(audio, folder, *flags, *resume), cached_env, folder / 'stderr') as run:
      try:
        if kills < _KILLS:
          run.process.wait(timeout=drawn.uniform(1, 8))
        assert run.wait() == 0, (seed, run.stderr)
      except subprocess.TimeoutExpired:
        run.process.kill()
        kills += 1
        continue
    assert saved_parameters(folder) == saved_parameters(tmp_path / 'whole'), seed
    assert timeless_records(folder) == timeless_records(tmp_path / 'whole'), seed
    if kills >= _KILLS:
      break
    rounds += 1
    folder = tmp_path / f'killed{rounds}'


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == 'win32', reason='the system has no limits of file sizes')
def test_a_checkpoint_without_room_is_a_warning_and_the_one_before_stays(audio, tmp_path, cached_env):
  whole = finish(training(audio, tmp_path / 'whole', '--training_steps', 9), cached_env)
  assert whole.returncode == 0, whole.stderr
  first = finish(training(audio, tmp_path, '--training_steps', 4), cached_env)
  assert first.returncode == 0, first.stderr
  (checkpoint,) = (tmp_path / 'audio_model_checkpoints').iterdir()
  content = checkpoint.read_bytes()
  limit = (len(content) + (tmp_path / 'audio_model.npz').stat().st_size) // 2
  arguments = training(audio, tmp_path, '--training_steps', 7, '--resume')
  short = finish([sys.executable, '-c', _WITHOUT_ROOM, str(limit), *arguments], cached_env)
  assert short.returncode == 0 and 'cannot be written: File too large: free space' in short.stderr
  assert load_model(tmp_path / 'audio_model.npz').provenance['steps'] == 7
  assert [path.name for path in (tmp_path / 'audio_model_checkpoints').iterdir()] == [checkpoint.name]
  assert checkpoint.read_bytes() == content
  last = finish(training(audio, tmp_path, '--training_steps', 9, '--resume'), cached_env)
  assert last.returncode == 0, last.stderr
  assert saved_parameters(tmp_path) == saved_parameters(tmp_path / 'whole')
