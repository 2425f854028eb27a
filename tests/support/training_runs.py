"""Whole runs of train_audio.py on synthetic audio with networks so small that most of the time is compilation."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from language_modeling_is_compression import load_model
from support.wav_builder import build_wav, pcm_bytes

REPOSITORY = Path(__file__).parents[2]
SCRIPT = str(REPOSITORY / 'train_audio.py')

TINY = (
  '--no_progress',
  *('--chunk_size', '64', '--batch_size', '8', '--log_every', '5'),
  *('--embedding_dim', '8', '--num_layers', '1', '--num_heads', '2', '--attention_window', '16'),
)

_PATIENCE_SECONDS = 900  # Far more than anything takes; only a hang reaches it.


def tone(num_frames: int, seed: int, channels: int = 1) -> np.ndarray:
  """16-bit samples [num_frames, channels] of a sine in noise: something to learn, the same for all files."""
  noise = np.random.default_rng(seed).normal(0, 300, (num_frames, channels))
  waves = 8000 * np.sin(0.1 * np.arange(num_frames)[:, None] + np.arange(channels))
  return np.round(waves + noise).astype(np.int64)


def write_tone(path: Path, num_frames: int, seed: int, channels: int = 1) -> np.ndarray:
  samples = tone(num_frames, seed, channels)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(build_wav(pcm_bytes(samples, 16), channels=channels))
  return samples


def write_folder(folder: Path, channels: int = 1) -> np.ndarray:
  """Two files to train on and a held-out one of 1,000 frames, 15 chunks of 64 and a shorter one. Returns the latter."""
  write_tone(folder / 'train/a.wav', 3000, 1, channels)
  write_tone(folder / 'train/b.wav', 1500, 2, channels)
  return write_tone(folder / 'valid/c.wav', 1000, 3, channels)


def command(*arguments: object) -> list[str]:
  return [sys.executable, '-W', 'error', SCRIPT, *map(str, arguments)]


def training(audio: Path, folder: Path, *flags: object) -> list[str]:
  """A command that trains a tiny network."""
  return command('--audio_dir', audio, '--output_dir', folder, *TINY, *flags)


def environment(home: Path, **variables: str) -> dict[str, str]:
  """The caller's, without what would steer JAX or wandb, and with a home of its own."""
  kept = {name: value for name, value in os.environ.items() if not name.startswith(('JAX_', 'XLA_', 'WANDB_'))}
  return {**kept, 'HOME': str(home), 'JAX_PLATFORMS': 'cpu', **variables}


def finish(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    arguments, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_SECONDS
  )


class Running:
  """A command that is still at work; its stderr goes to a file, so that it never waits for a reader."""

  def __init__(self, arguments: list[str], env: dict[str, str], stderr_path: Path):
    self._stderr_path = stderr_path
    with open(stderr_path, 'w') as stderr:
      self.process = subprocess.Popen(
        arguments, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
      )

  def __enter__(self) -> 'Running':
    return self

  def __exit__(self, *_: object) -> None:
    if self.process.poll() is None:
      self.process.kill()
    self.process.wait()

  @property
  def stderr(self) -> str:
    return self._stderr_path.read_text()

  def wait_until(self, what: str, is_so) -> None:
    """Raises AssertionError if the command ends, or much time passes, before is_so()."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
      assert self.process.poll() is None, f'ended before {what}: {self.stderr}'
      assert time.monotonic() < deadline, f'hangs before {what}: {self.stderr}'
      time.sleep(0.02)

  def wait(self) -> int:
    return self.process.wait(timeout=_PATIENCE_SECONDS)


def read_metrics(path: Path) -> list[dict]:
  return [json.loads(line) for line in path.read_text().splitlines()]


def saved_parameters(folder: Path) -> list[bytes]:
  """Every bit of the parameters of audio_model.npz."""
  model = load_model(folder / 'audio_model.npz')
  return [array.tobytes() for module in model.params.values() for array in module.values()]


def timeless_records(folder: Path) -> list[dict]:
  """Metrics of audio_model but for what depends on the clock."""
  records = read_metrics(folder / 'audio_model_metrics.jsonl')
  return [{name: value for name, value in record.items() if 'second' not in name} for record in records]


def held_out_bits(model, tokens: np.ndarray, chunk_tokens: int) -> float:
  """Bits of all tokens under a model that meets each chunk afresh: what a run says of its held-out files."""
  nats = 0.0
  for start in range(0, len(tokens), chunk_tokens):
    chunk = tokens[start : start + chunk_tokens].astype(np.int64)
    log_probs = model.log_probs(chunk[None])[0]
    nats -= float(log_probs[np.arange(len(chunk)), chunk].astype(np.float64).sum())
  return nats / np.log(2)
