"""Generation as a user meets it: a model that was trained on a sine goes on with it, and Ctrl-C keeps what is there."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from support.training_runs import Running, command, environment, finish
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info

_LMIC = [sys.executable, '-W', 'error', '-m', 'language_modeling_is_compression']


def read_samples(path: Path) -> np.ndarray:
  """Samples, int32 [N], of a file of one channel."""
  info = read_pcm_info(path)
  return read_pcm_frames(info, 0, info.num_frames)[:, 0]


@pytest.mark.slow
def test_a_model_overfitted_on_a_sine_goes_on_with_it(tmp_path):
  """At temperature 0: the same frequency within 1%, and as loud within 5%; at the rate that it was trained on."""
  rate, frequency, loudness = 8000, 437.0, 100.0
  for number, name in enumerate(('train/a.wav', 'valid/b.wav')):
    time = (np.arange(40_000) + 777 * number) / rate
    samples = np.round(loudness * np.sin(2 * np.pi * frequency * time)).astype(np.int64)
    path = tmp_path / 'audio' / name
    path.parent.mkdir(parents=True)
    path.write_bytes(build_wav(pcm_bytes(samples[:, None], 8), bits=8, rate_hz=rate))
  env = environment(tmp_path)
  size = ('--embedding_dim', 32, '--num_layers', 2, '--num_heads', 4, '--attention_window', 64, '--chunk_size', 128)
  flags = ('--training_steps', 500, '--learning_rate', 0.005, '--learning_rate_schedule', 'cosine', '--batch_size', 8)
  done = finish(command('--audio_dir', tmp_path / 'audio', '--output_dir', tmp_path, *size, *flags), env)
  assert done.returncode == 0, done.stderr
  seed = ('--seed_audio', tmp_path / 'audio/valid/b.wav', '--seed_duration', '0.5')
  model, out = tmp_path / 'audio_model.npz', tmp_path / 'out.wav'
  done = finish([*_LMIC, 'generate', '-m', str(model), '-o', str(out), '--temperature', '0', *map(str, seed)], env)
  assert done.returncode == 0, done.stderr
  drawn = read_samples(out)
  spectrum = np.abs(np.fft.rfft(drawn * np.hanning(len(drawn))))
  assert len(drawn) == 3 * rate and read_pcm_info(out).sample_rate_hz == rate
  assert abs(np.argmax(spectrum) * rate / len(drawn) / frequency - 1) < 0.01
  assert abs(np.sqrt(2 * (drawn**2.0).mean()) / loudness - 1) < 0.05


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_keep_what_is_generated(tmp_path, number):
  """Sound that is valid, and the beginning of what would have come."""
  env = environment(tmp_path)
  arguments = [*_LMIC, 'generate', '-m', 'bytes', '-o', str(tmp_path / 'out.wav'), '--num_sequences', '2']
  with Running([*arguments, '--duration', '1000'], env, tmp_path / 'stderr') as running:
    running.wait_until('some of it is written', lambda: _partial_bytes(tmp_path) > 40_000)
    running.process.send_signal(number)
    assert running.wait() == 128 + number
    assert 'interrupted; ' in running.stderr and 'of 1000 s were generated, and are kept' in running.stderr
  kept = [read_samples(tmp_path / f'out_{n}.wav') for n in (1, 2)]
  assert len(kept[0]) == len(kept[1]) > 10_000
  assert (tmp_path / 'out_1.wav').stat().st_size == 44 + 2 * len(kept[0])
  assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ['out_1.wav', 'out_2.wav', 'stderr']
  done = finish([*arguments, '--duration', '0.5', '-f'], env)
  assert done.returncode == 0, done.stderr
  np.testing.assert_array_equal(read_samples(tmp_path / 'out_2.wav'), kept[1][:8000])


def _partial_bytes(folder: Path) -> int:
  return sum(path.stat().st_size for path in folder.glob('.*.partial'))
