"""Sounds and models for pictures: small files, and findings that nothing had to be measured for."""

from pathlib import Path
from typing import Any

import numpy as np

from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.evaluation.look.findings import (
  ByteFindings,
  Findings,
  HybridFindings,
  Lags,
  Residuals,
)
from language_modeling_is_compression.evaluation.look.sources import Sound
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.network.checkpoint import save_model
from support import lmic_cases
from support.wav_builder import build_wav, pcm_bytes

RATE_HZ = 8000


def write_wav(path: Path, num_frames: int = 3000, channels: int = 1, bits: int = 16, seed: int = 0) -> Path:
  """Sines in noise."""
  rng = np.random.default_rng(seed)
  times = np.arange(num_frames)[:, None] + 9 * np.arange(channels)
  waves = np.round(2.0 ** (bits - 3) * np.sin(0.1 * times) + rng.normal(0, 2.0 ** (bits - 10), times.shape))
  path.write_bytes(
    build_wav(pcm_bytes(waves.astype(np.int64), bits), channels=channels, bits=bits, rate_hz=RATE_HZ, trailer=b'x')
  )
  return path


def byte_model(folder: Path, *, use_16bit: bool = True, seed: int = 0) -> str:
  """File of a tiny byte model."""
  path = folder / f'bytes{16 if use_16bit else 8}_{seed}.npz'
  save_model(path, lmic_cases.tiny_model(use_16bit=use_16bit, seed=seed))
  return str(path)


def sound_of(path: Path, *, segment_frames: int = 1 << 20, start_seconds: float = 0.0) -> Sound:
  return Sound(
    name=str(path),
    info=read_pcm_info(path),
    start_seconds=start_seconds,
    segments=SegmentSettings(frames=segment_frames, effort=0),
    model=None,
  )


def residuals(label: str = 'sample') -> Residuals:
  places = np.arange(-4, 4.5)
  return Residuals(label=label, places=places, expected=np.exp2(-np.abs(places)), observed=np.arange(9.0))


def findings(model: str = 'm', rank: int = 0, *, points: int = 6, channels: int = 1, **fields) -> Findings:
  """Findings of bits that rise from 1 on over time, channel by channel."""
  bits = 1.0 + np.arange(points * channels).reshape(points, channels)
  known: dict[str, Any] = {
    'model': model,
    'rank': rank,
    'bits': bits,
    'total_bits': 1000.0,
    'num_samples': 200,
    'model_bytes': 130,
    'file_bytes': 150,
    'original_bytes': 450,
    'chunks': 4,
    'fallback_chunks': 1,
    'quantiles': np.full(20, 10.0),
    'residuals': (residuals(),),
  }
  return Findings(**(known | fields))


def hybrid_findings(points: int = 6, *, lags: bool = True, copies: float = 0.5) -> HybridFindings:
  return HybridFindings(
    network=np.linspace(0, 1, points),
    copies=np.full(points, copies),
    rates=np.full((points, 4), 0.25),
    lags=(Lags(seconds=0.1, lag_seconds=(0.01,)), Lags(seconds=0.2, lag_seconds=(0.02, 0.5))) if lags else (),
  )


def byte_findings(places: int = 2, window: int = 12, layers: int = 2) -> ByteFindings:
  rng = np.random.default_rng(0)
  attention = np.full((layers, 3, window), 1 / window)
  return ByteFindings(
    byte_bits=np.array([2.0, 7.0]),
    model_bytes=places,
    positions=np.array([0, 1, 2, 4]),
    position_bits=np.array([16.0, 12.0, 9.0, 8.0]),
    trained_samples=3,
    embedding=rng.normal(size=(places, 256, 2)),
    variances=np.tile([0.5, 0.25], (places, 1)),
    attention=attention,
  )
