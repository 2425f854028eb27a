"""Runs that generate sound while they train: what they write, and that they train as if they did not."""

import contextlib
import signal
import socket
from pathlib import Path

import numpy as np
import pytest
from support.training_runs import Running, finish, saved_parameters, tone, training, write_tone
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression import load_model
from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.data.tokens import mix_down

_GENERATING = ('--generate_every', 4, '--generate_duration', 0.05)


@pytest.fixture(scope='module')
def sounding(tmp_path_factory) -> Path:
  """Two held-out files, one of them of two channels and 24 bits and longer than a second."""
  folder = tmp_path_factory.mktemp('sounding')
  write_tone(folder / 'train/a.wav', 3000, 1)
  write_tone(folder / 'valid/c.wav', 1000, 3)
  wide = tone(9000, 4, channels=2) << 8
  (folder / 'valid/two words.wav').write_bytes(build_wav(pcm_bytes(wide, 24), channels=2, bits=24))
  return folder


@pytest.fixture(scope='module')
def whole(sounding, tmp_path_factory, cached_env) -> Path:
  """The folder of a run of 8 steps."""
  folder = tmp_path_factory.mktemp('whole')
  done = finish(training(sounding, folder, '--training_steps', 8, *_GENERATING), cached_env)
  assert done.returncode == 0, done.stderr
  assert done.stderr.count('generated at step ') == 2 and 'generated at step 8: 3 of 3 sound(s) in ' in done.stderr
  assert 'disk: sounds that are generated 2' in done.stderr
  return folder


def sounds_of(folder: Path) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in (folder / 'audio_model_generated').iterdir()}


def test_sounds_begin_with_what_was_held_out(sounding, whole):
  assert sorted(sounds_of(whole)) == [
    f'step_{step:06d}_{name}.wav' for step in (4, 8) for name in ('1_silence', '2_c', '3_two_words')
  ]
  for path in (whole / 'audio_model_generated').iterdir():
    info = read_info(path)
    assert (info.sample_bytes, info.num_channels, info.sample_rate_hz) == (1, 1, 8000)
    source = {'c': 'c', 'two_words': 'two words'}.get(path.stem[14:])
    seed = np.zeros((0, 1), np.int64)
    if source:
      held_out = read_info(sounding / f'valid/{source}.wav')
      frames = read_frames(held_out, 0, min(8000, held_out.num_frames))
      seed = mix_down(frames)[:, None] >> (held_out.resolution_bits - 8)
    assert info.num_frames == len(seed) + 400
    np.testing.assert_array_equal(read_frames(info, 0, len(seed)), seed)
    assert len(np.unique(read_frames(info, len(seed), info.num_frames))) > 4


def test_parameters_are_those_of_a_run_without_sounds(sounding, whole, tmp_path, cached_env):
  done = finish(training(sounding, tmp_path, '--training_steps', 8), cached_env)
  assert done.returncode == 0, done.stderr
  assert saved_parameters(tmp_path) == saved_parameters(whole)
  assert not (tmp_path / 'audio_model_generated').exists()
  recorded = load_model(tmp_path / 'audio_model.npz').provenance
  assert recorded['sample_rate_hz'] == 8000
  assert not [name for name in recorded['settings'] if 'generate' in name]


@pytest.mark.slow
def test_a_run_that_goes_on_generates_the_same(sounding, whole, tmp_path, cached_env):
  for flags in (('--training_steps', 4), ('--training_steps', 8, '--resume')):
    done = finish(training(sounding, tmp_path, *flags, *_GENERATING), cached_env)
    assert done.returncode == 0, done.stderr
  assert sounds_of(tmp_path) == sounds_of(whole)


def test_a_signal_while_sounds_are_generated_saves_the_model_soon(sounding, tmp_path, cached_env):
  endless = ('--training_steps', 10, '--generate_every', 5, '--generate_duration', 3600)
  with Running(training(sounding, tmp_path, *endless), cached_env, tmp_path / 'stderr') as run:
    run.wait_until('the first report of a step', lambda: 'step 5 of 10' in run.stderr)
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 128 + signal.SIGTERM
  assert load_model(tmp_path / 'audio_model.npz').provenance['steps'] == 5
  assert 'generated at step 5: 0 of 3 sound(s)' in run.stderr
  assert not (tmp_path / 'audio_model_generated').exists()


@pytest.mark.slow
def test_two_processes_generate_once(sounding, whole, tmp_path, cached_env):
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{listener.getsockname()[1]}'
  flags = ('--training_steps', 4, '--coordinator_address', address, '--num_processes', 2)
  with contextlib.ExitStack() as stack:
    runs = [
      stack.enter_context(
        Running(
          training(sounding, tmp_path, *flags, '--shard_parameters', '--process_id', process, *_GENERATING),
          {**cached_env, 'JAX_NUM_CPU_DEVICES': '1'},
          tmp_path / f'stderr{process}',
        )
      )
      for process in range(2)
    ]
    assert [run.wait() for run in runs] == [0, 0], [run.stderr for run in runs]
  assert sorted(sounds_of(tmp_path)) == [name for name in sorted(sounds_of(whole)) if 'step_000004' in name]
  assert [run.stderr.count('generated at step 4: 3 of 3 sound(s)') for run in runs] == [1, 0]


@pytest.mark.slow
def test_hybrid_models_keep_the_depth_of_the_seed(sounding, tmp_path, cached_env):
  flags = ('--model', 'hybrid', '--sequence_length', 64, '--training_steps', 2, '--batch_size', 2, '--effort', 0)
  small = ('--embedding_dim', 8, '--num_layers', 1, '--num_heads', 2, '--attention_window', 16, '--no_progress')
  script = training(sounding, tmp_path)[:4]
  arguments = [*script, *map(str, ('--audio_dir', sounding, '--output_dir', tmp_path, *flags, *small))]
  done = finish([*arguments, '--generate_every', '2', '--generate_duration', '0.05'], cached_env)
  assert done.returncode == 0, done.stderr
  shapes = {}
  for path in (tmp_path / 'audio_model_generated').iterdir():
    info = read_info(path)
    shapes[path.stem[12:]] = (info.sample_bytes, info.num_channels, info.num_frames)
  assert shapes == {'1_silence': (2, 1, 400), '2_c': (2, 1, 1400), '3_two_words': (3, 2, 8400)}
  held_out = read_frames(read_info(sounding / 'valid/two words.wav'), 0, 8000)
  made = read_info(tmp_path / 'audio_model_generated/step_000002_3_two_words.wav')
  np.testing.assert_array_equal(read_frames(made, 0, 8000), held_out)
