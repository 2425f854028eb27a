"""Runs that extract evidence while they train: nothing of it is kept, and killed runs go on with what comes next."""

import random
import subprocess
from pathlib import Path

import pytest
from support.training_runs import Running, command, finish, saved_parameters, timeless_records, write_tone

_KILLS = 6
_STEPS = 3000


@pytest.fixture(scope='module')
def audio(tmp_path_factory) -> Path:
  """Two domains, of mono and stereo, with files of several lengths."""
  folder = tmp_path_factory.mktemp('audio')
  for channels, domain in enumerate(('speech', 'drums'), start=1):
    for number, side in enumerate(('train', 'train', 'train', 'valid')):
      write_tone(folder / domain / side / f'{number}.wav', 700 + 900 * number, number, channels)
  return folder


def _arguments(audio: Path, folder: Path, *flags: object) -> list[str]:
  return command(
    *('--audio_dir', audio, '--output_dir', folder, '--no_progress', '--model', 'hybrid', '--evidence', 'stream'),
    *('--embedding_dim', 8, '--num_layers', 1, '--num_heads', 2, '--attention_window', 8, '--sequence_length', 32),
    *('--batch_size', 8, '--segment_frames', 1000, '--stream_megabytes', 1, '--bit_depths', 'native', *flags),
  )


@pytest.mark.slow
def test_what_is_trained_on_is_not_kept(audio, tmp_path, cached_env):
  done = finish(_arguments(audio, tmp_path, '--training_steps', 30, '--log_every', 10), cached_env)
  assert done.returncode == 0, done.stderr
  assert 'evidence is streamed: 12 segments of 14400 samples' in done.stderr
  # Of what is held out, 3400 frames of each domain.
  assert len(list((tmp_path / 'evidence_cache').iterdir())) == 8
  resumed = finish(_arguments(audio, tmp_path, '--training_steps', 31, '--resume', '--stream_megabytes', 2), cached_env)
  assert resumed.returncode == 2 and 'stream_megabytes 1 (now 2)' in resumed.stderr


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_equals_one_that_is_not(audio, tmp_path, cached_env):
  flags = ('--training_steps', _STEPS, '--checkpoint_every', 7, '--log_every', 50)
  undisturbed = finish(_arguments(audio, tmp_path / 'whole', *flags), cached_env)
  assert undisturbed.returncode == 0, undisturbed.stderr
  seed = random.randrange(2**32)
  drawn, folder = random.Random(seed), tmp_path / 'killed'
  folder.mkdir()
  for kills in range(100):
    resume = ('--resume',) if list(folder.glob('audio_model_checkpoints/step_*.ckpt')) else ()
    with Running(_arguments(audio, folder, *flags, *resume), cached_env, folder / 'stderr') as run:
      try:
        if kills < _KILLS:
          run.process.wait(timeout=drawn.uniform(2, 10))
        assert run.wait() == 0, (seed, run.stderr)
        break
      except subprocess.TimeoutExpired:
        run.process.kill()
  assert kills, f'it was done before it was killed: {seed}'
  assert saved_parameters(folder) == saved_parameters(tmp_path / 'whole'), seed
  assert timeless_records(folder) == timeless_records(tmp_path / 'whole'), seed
