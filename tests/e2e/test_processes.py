"""Runs on several devices and in several processes: the same curves, one end for all, and resumption on others."""

import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.training_runs import Running, finish, read_metrics, training

from language_modeling_is_compression import load_model

_STEPS = ('--training_steps', 6, '--log_every', 1, '--micro_batch_size', 1)
_LONG = ('--training_steps', 10**6, '--log_every', 1, '--micro_batch_size', 1, '--checkpoint_every', 5)
_SHARDED = ('--shard_parameters', '--remat', 'always', '--dropout', 0.2)
# What docs/TRAINING.md promises of a process whose peer was killed.
_SECONDS_TO_END = 60


def _env(cached_env: dict[str, str], devices: int) -> dict[str, str]:
  return {**cached_env, 'JAX_NUM_CPU_DEVICES': str(devices)}


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return int(probe.getsockname()[1])


def _flags_of(process: int, port: int) -> Sequence[object]:
  return ('--coordinator_address', f'127.0.0.1:{port}', '--num_processes', 2, '--process_id', process)


def _two(audio: Path, folder: Path, cached_env, *flags: object, logs: Path) -> list[Running]:
  port, env = _free_port(), _env(cached_env, 1)
  return [
    Running(training(audio, folder, *flags, *_flags_of(process, port)), env, logs / f'stderr{process}')
    for process in range(2)
  ]


def _curve(folder: Path) -> list[float]:
  records = read_metrics(folder / 'audio_model_metrics.jsonl')
  return [record['loss_nats'] for record in records if 'loss_nats' in record] + [
    record['held_out/bits_per_byte'] for record in records if 'held_out/bits_per_byte' in record
  ]


@pytest.fixture(scope='module')
def alone(audio, tmp_path_factory, cached_env) -> list[float]:
  """The curve on one device."""
  folder = tmp_path_factory.mktemp('alone')
  assert finish(training(audio, folder, *_STEPS), _env(cached_env, 1)).returncode == 0
  assert len(_curve(folder)) == 7
  return _curve(folder)


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one(audio, alone, tmp_path, cached_env):
  """Only the first of them writes, and the other one says nothing."""
  first, second = _two(audio, tmp_path / 'out', cached_env, *_STEPS, logs=tmp_path)
  with first, second:
    assert (first.wait(), second.wait()) == (0, 0), first.stderr + second.stderr
  assert _curve(tmp_path / 'out') == pytest.approx(alone, rel=1e-5)
  assert 'step 6 of 6' in first.stderr and 'step' not in second.stderr
  ends = ('.npz', '.toml', '_checkpoints', '_held_out.csv', '_held_out.svg', '_metrics.jsonl', '_training.log')
  assert {path.name for path in (tmp_path / 'out').iterdir()} == {f'audio_model{end}' for end in ends}
  settings = load_model(tmp_path / 'out/audio_model.npz').provenance['settings']
  assert not {'process_id', 'num_processes', 'coordinator_address'} & settings.keys()


@pytest.mark.slow
@pytest.mark.parametrize('flags', [(), _SHARDED], ids=['', 'sharded'])
def test_the_curve_does_not_depend_on_the_number_of_devices(audio, tmp_path, cached_env, flags):
  curves = []
  for devices in (1, 2, 4, 8):
    done = finish(training(audio, tmp_path / str(devices), *_STEPS, *flags), _env(cached_env, devices))
    assert done.returncode == 0 and f'{devices} device(s)' in done.stderr
    curves.append(_curve(tmp_path / str(devices)))
  first, second = _two(audio, tmp_path / 'two', cached_env, *_STEPS, *flags, logs=tmp_path)
  with first, second:
    assert (first.wait(), second.wait()) == (0, 0), first.stderr + second.stderr
  curves.append(_curve(tmp_path / 'two'))
  for curve in curves[1:]:
    assert curve == pytest.approx(curves[0], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('victim', [0, 1])
@pytest.mark.parametrize('flags', [(), ('--shard_parameters',)], ids=['', 'sharded'])
def test_one_is_killed_and_the_run_goes_on_elsewhere(audio, tmp_path, cached_env, victim, flags):
  """The other one ends soon, in one line that says why; on another number of devices the run is resumed."""
  out = tmp_path / 'out'
  both = _two(audio, out, cached_env, *_LONG, *flags, logs=tmp_path)
  with both[0], both[1]:
    both[0].wait_until('step 12', lambda: 'step 12 of' in both[0].stderr)
    both[victim].process.kill()
    survivor = both[1 - victim]
    assert survivor.process.wait(timeout=_SECONDS_TO_END) == 1
  # The runtime's own threads may write of a closed socket before or after it.
  [said] = [line for line in survivor.stderr.splitlines() if line.startswith('train_audio.py: error: ')]
  assert said.startswith('train_audio.py: error: another process of the run has ended') and '--resume' in said
  assert victim == 0 or not list(out.glob('.*')), 'the survivor had claimed the files'
  steps = [int(path.stem[5:]) for path in (out / 'audio_model_checkpoints').iterdir()]
  assert max(steps) >= 10
  resumed = finish(
    training(audio, out, *_LONG, *flags, '--training_steps', max(steps) + 3, '--resume'), _env(cached_env, 4)
  )
  assert resumed.returncode == 0, resumed.stderr
  assert f'after {max(steps)} steps' in resumed.stderr
  model = load_model(out / 'audio_model.npz')
  assert model.provenance['steps'] == max(steps) + 3 and model.provenance['num_devices'] == 4


@pytest.mark.slow
def test_two_processes_with_shares_of_the_parameters_go_on_from_a_checkpoint(audio, tmp_path, cached_env):
  flags = ('--shard_parameters', '--validate_every', 2, '--early_stopping_patience', 9, '--ema_decay', 0.9)
  for steps, resume in ((4, ()), (6, ('--resume',))):
    first, second = _two(audio, tmp_path / 'out', cached_env, *flags, '--training_steps', steps, *resume, logs=tmp_path)
    with first, second:
      assert (first.wait(), second.wait()) == (0, 0), first.stderr + second.stderr
  assert load_model(tmp_path / 'out' / 'audio_model.npz').provenance['steps'] == 6


@pytest.mark.slow
@pytest.mark.parametrize('addressed', [0, 1])
def test_a_signal_to_one_ends_both(audio, tmp_path, cached_env, addressed):
  """At the same step, with the model saved."""
  both = _two(audio, tmp_path / 'out', cached_env, *_LONG, logs=tmp_path)
  with both[0], both[1]:
    both[0].wait_until('step 5', lambda: 'step 5 of' in both[0].stderr)
    both[addressed].process.send_signal(signal.SIGTERM)
    assert [run.wait() for run in both] == [128 + signal.SIGTERM] * 2, both[0].stderr + both[1].stderr
  steps = [int(step) for step in re.findall(r'step (\d+) of', both[0].stderr)]
  assert load_model(tmp_path / 'out/audio_model.npz').provenance['steps'] == max(steps)


@pytest.mark.slow
def test_processes_that_slurm_starts_find_one_another(audio, alone, tmp_path, cached_env):
  """By the environment that srun gives them, on a port that JAX makes of the job's number."""
  job = next(job for job in range(1, 4096) if _is_free(job + 65535 - 4096 + 1))
  common = {'SLURM_JOB_ID': str(job), 'SLURM_STEP_NODELIST': '127.0.0.1', 'SLURM_NTASKS': '2'}
  runs = [
    Running(
      training(audio, tmp_path / 'out', *_STEPS),
      {**_env(cached_env, 1), **common, 'SLURM_PROCID': str(process), 'SLURM_LOCALID': str(process)},
      tmp_path / f'stderr{process}',
    )
    for process in range(2)
  ]
  with runs[0], runs[1]:
    assert [run.wait() for run in runs] == [0, 0], runs[0].stderr + runs[1].stderr
  assert _curve(tmp_path / 'out') == pytest.approx(alone, rel=1e-5)


def _is_free(port: int) -> bool:
  with socket.socket() as probe:
    return probe.connect_ex(('127.0.0.1', port)) != 0


@pytest.mark.slow
def test_processes_that_do_not_begin_with_the_same_are_refused(audio, tmp_path, cached_env):
  port, env = _free_port(), _env(cached_env, 1)
  runs = [
    Running(
      training(audio, tmp_path / 'out', *_STEPS, *_flags_of(process, port), '--seed', process),
      env,
      tmp_path / f'stderr{process}',
    )
    for process in range(2)
  ]
  with runs[0], runs[1]:
    assert [run.wait() for run in runs] == [2, 2], runs[0].stderr + runs[1].stderr
  for run in runs:
    assert run.stderr.splitlines()[-1] == (
      'train_audio.py: error: the processes of the run do not have the same settings, files and checkpoint: '
      'start all of them with the same'
    )
  assert not list((tmp_path / 'out').glob('*.npz'))


@pytest.mark.slow
def test_a_run_of_two_that_cannot_begin_ends_in_both(audio, tmp_path, cached_env):
  """The first one may not write where another run does; the other one is told."""
  with Running(training(audio, tmp_path / 'out', *_LONG), cached_env, tmp_path / 'stderr') as other:
    other.wait_until('its first step', lambda: 'step 1 of' in other.stderr)
    first, second = _two(audio, tmp_path / 'out', cached_env, *_STEPS, logs=tmp_path)
    with first, second:
      assert (first.wait(), second.wait()) == (2, 1)
  assert 'another run is writing' in first.stderr.splitlines()[-1]
  assert second.stderr.splitlines()[-1] == (
    'train_audio.py: error: another process of the run could not begin, its own messages say why'
  )


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (('--num_processes', 2), 'num_processes: expected coordinator_address, num_processes and process_id, or none'),
    (('--coordinator_address', 'a'), "coordinator_address: expected HOST:PORT, got 'a'"),
    ((*_flags_of(0, 1)[:4], '--process_id', 2), 'process_id: expected 0 to 1, got 2'),
  ],
)
def test_wrong_flags(audio, tmp_path, cached_env, flags, message):
  done = finish(training(audio, tmp_path / 'out', *flags), cached_env)
  assert done.returncode == 2 and done.stderr.startswith(f'train_audio.py: error: {message}')
  assert not (tmp_path / 'out').exists()
