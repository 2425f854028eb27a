"""Evidence that experts made of nothing: quick, a function of the samples, and with something to learn in it."""

import os
import time
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.data import evidence_cache
from language_modeling_is_compression.prediction.evidence import NUM_CENTRES, NUM_FEATURES, Evidence
from support.wav_builder import build_wav, pcm_bytes

VERSION = 7
BEGUN_VARIABLE = 'EVIDENCE_BEGUN'


def extract_evidence(samples: np.ndarray, *, sample_bytes: int, sample_rate_hz: int, effort: int) -> Evidence:
  """The sample before is the prediction, of the same width everywhere; the experts' own mixture takes 12 bits.

  The first feature tells half of the truth, so a network can do better.
  """
  errors = np.diff(samples.astype(np.float64), axis=0, prepend=0).reshape(-1) / 64
  features = np.zeros((samples.size, NUM_FEATURES), np.int8)
  features[:, 0] = np.where(errors < 0, -64, 64)
  features[:, 1] = 8 * effort + sample_bytes
  return Evidence(
    features=features,
    below=np.repeat((errors - 1 / 128)[:, None], NUM_CENTRES, axis=1).astype(np.float32),
    width=np.full(samples.size, 1 / 64, np.float32),
    experts_log2=np.full(samples.size, -12.0, np.float32),
  )


def failing(samples: np.ndarray, **_: int) -> Evidence:
  raise MemoryError(f'no room for {samples.size} samples')


def sleeping(samples: np.ndarray, **_: int) -> Evidence:
  """Says the number of its process in the file that BEGUN_VARIABLE names, and goes on for longer than any test."""
  begun = Path(os.environ[BEGUN_VARIABLE])
  begun.with_suffix('.partial').write_text(str(os.getpid()))
  begun.with_suffix('.partial').rename(begun)
  time.sleep(600)
  return failing(samples)


class Counting:
  """The same, and how many samples each call was about, but for tries of how long it takes."""

  def __init__(self) -> None:
    self.calls: list[int] = []

  def __call__(self, samples: np.ndarray, **settings: int) -> Evidence:
    if samples.size != evidence_cache._TRIED_FRAMES:
      self.calls.append(samples.size)
    return extract_evidence(samples, **settings)


def write_sound(path: Path, num_frames: int, *, channels: int = 1, bits: int = 16, seed: int = 0) -> PcmInfo:
  """Steps of about one unit of the evidence."""
  rng = np.random.default_rng(seed)
  steps = rng.normal(0, 64, (num_frames, channels)).cumsum(axis=0)
  largest = (1 << (bits - 1)) - 1
  samples = np.clip(np.round(steps), -largest, largest).astype(np.int64)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(build_wav(pcm_bytes(samples, bits), channels=channels, bits=bits))
  return read_pcm_info(path)
