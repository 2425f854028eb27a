"""Guesses of the format of samples without a header, which are coded as sound only where that is seen to pay.

A guess is a hint to the encoder: files say what format they were coded in, and whatever it is, they come back byte for
byte.
"""

import lzma
import math
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind, integers_from_raw, patterns_from_raw
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.layout import SegmentLayout
from language_modeling_is_compression.format.model_coder import ModelCoder
from language_modeling_is_compression.numbers.companding import linear_values
from language_modeling_is_compression.system.cancellation import Cancellation

_MIN_BYTES = 1 << 15  # What is shorter is seldom sound, and says too little of itself.
_WINDOWS, _WINDOW_BYTES = 4, 24_576  # A multiple of every frame's bytes.
_MAX_PHASE = 3  # Bytes before the first frame, so that high and low bytes are told apart.
_MIN_SHARE = 0.05  # Of all bytes: what a general-purpose compressor makes so small is its business.
_MAX_SHARE = 0.9  # Of what a general-purpose compressor makes of the same bytes.
_LAGS = (1, 2, 3, 4, 6, 8)  # Bytes of a frame of which some byte, or how it changes, is less than even in any sound.
_EVEN_BITS = 7.8  # Entropy of bytes that are nearly even: a file of these is coded or encrypted, and no sound.
_QUICK = [{'id': lzma.FILTER_LZMA2, 'preset': 6}]
_TRIED = 3  # Guesses that are coded,
_HOPE = 1.2  # if they are estimated to come so near the limit: a model does better than differences.
_SPREAD = 2 * math.e  # Of a Laplace distribution: its entropy is the logarithm of this times its mean size.
_FORMATS = (
  *((SampleKind.SIGNED, width, order) for width in (2, 3, 4) for order in (False, True)),
  *((SampleKind.FLOAT, width, order) for width in (4, 8) for order in (False, True)),
  (SampleKind.UNSIGNED, 1, False),
  (SampleKind.SIGNED, 1, False),
  (SampleKind.A_LAW, 1, False),
  (SampleKind.MU_LAW, 1, False),
)


def guess_format(source: BinaryIO, file_bytes: int, model: ModelCoder) -> tuple[PcmFormat, int] | None:
  """The likeliest format of a file's samples, and the bytes before the first one; None where it is not sound.

  model: which is to code it, and is tried on a few windows. The file is left anywhere.
  """
  if file_bytes < _MIN_BYTES:
    return None
  windows = [_read(source, file_bytes, index) for index in range(_WINDOWS)]
  if _are_even(windows):
    return None
  general = sum(len(lzma.compress(window, lzma.FORMAT_RAW, filters=_QUICK)) for window in windows)
  if general < _MIN_SHARE * _WINDOWS * _WINDOW_BYTES:
    return None
  limit = _MAX_SHARE * general
  guesses = [
    (_estimated_bytes(windows, pcm, phase), pcm, phase)
    for kind, sample_bytes, is_big_endian in _FORMATS
    for num_channels in (1, 2)
    for pcm in [
      PcmFormat(
        kind=kind,
        sample_bytes=sample_bytes,
        num_channels=num_channels,
        sample_rate_hz=0,
        is_big_endian=is_big_endian,
      )
    ]
    for phase in range(min(sample_bytes, _MAX_PHASE + 1))
  ]
  likely = [guess for guess in sorted(guesses, key=lambda guess: guess[0])[:_TRIED] if guess[0] <= _HOPE * limit]
  coded = [(_coded_bytes(windows, pcm, phase, model), pcm, phase) for _, pcm, phase in likely]
  best = min(coded, key=lambda guess: guess[0], default=None)
  return best[1:] if best and best[0] <= limit else None


def _read(source: BinaryIO, file_bytes: int, index: int) -> bytes:
  """One of the windows, evenly spread; each begins at a multiple of the window's length."""
  places = (file_bytes - _WINDOW_BYTES) // _WINDOW_BYTES
  source.seek(places * index // (_WINDOWS - 1) * _WINDOW_BYTES)
  return source.read(_WINDOW_BYTES)


def _are_even(windows: Sequence[bytes]) -> bool:
  """Whether bytes at every place of a frame, and their changes from frame to frame, take all values alike."""
  for lag in _LAGS:
    rows = [np.frombuffer(window, np.uint8).reshape(-1, lag) for window in windows]
    for each in (rows, [np.diff(row, axis=0) for row in rows]):
      if any(_entropy(column) < _EVEN_BITS for column in np.concatenate(each).T):
        return False
  return True


def _entropy(values: np.ndarray) -> float:
  """Bits of a byte, of uint8 [N], as they are distributed."""
  counts = np.bincount(values)
  shares = counts[counts > 0] / len(values)
  return -float(np.sum(shares * np.log2(shares)))


def _estimated_bytes(windows: Sequence[bytes], pcm: PcmFormat, phase: int) -> float:
  """Bytes of windows, by the mean size of differences of the best order, as of a Laplace distribution."""
  total = 0.0
  for window in windows:
    samples = _as_numbers(_frames(window, pcm, phase), pcm)
    if samples is None:
      return float('inf')
    steps = _steps(samples) if pcm.kind in (SampleKind.A_LAW, SampleKind.MU_LAW) else np.ones_like(samples)
    sizes, differences = [], samples
    for _ in range(4):
      means = (np.abs(differences) / steps[: len(differences)]).mean(axis=0)
      sizes.append(float(np.log2(means.clip(min=0.4) * _SPREAD).sum()))
      differences = np.diff(differences, axis=0)
    total += min(sizes) * len(samples) / 8
  return total


def _as_numbers(raw: np.ndarray, pcm: PcmFormat) -> np.ndarray | None:
  """Samples as float64 [N, C], in steps of the format; None where floats are none that sound has."""
  if pcm.is_integer:
    return integers_from_raw(raw, pcm).astype(np.float64)
  if pcm.kind != SampleKind.FLOAT:
    values: np.ndarray = linear_values(pcm.kind)[raw[:, :, 0]].astype(np.float64)
    return values
  patterns = patterns_from_raw(raw, pcm)
  with np.errstate(invalid='ignore', over='ignore'):
    values = patterns.view(f'f{pcm.sample_bytes}').astype(np.float64)
    is_usual = np.isfinite(values) & (np.abs(values) < 65_536) & ((np.abs(values) > 1e-20) | (values == 0))
  return values * 2.0**24 if is_usual.all() else None


def _steps(samples: np.ndarray) -> np.ndarray:
  """How far apart the values of G.711 are around samples, at least: a sixteenth of a segment's beginning."""
  return np.maximum(np.exp2(np.floor(np.log2(np.maximum(np.abs(samples), 1))) - 4), 2)


def _frames(window: bytes, pcm: PcmFormat, phase: int) -> np.ndarray:
  num_frames = (len(window) - phase) // pcm.frame_bytes
  frames = np.frombuffer(window, np.uint8, num_frames * pcm.frame_bytes, phase)
  return frames.reshape(num_frames, pcm.num_channels, pcm.sample_bytes)


def _coded_bytes(windows: Sequence[bytes], pcm: PcmFormat, phase: int, model: ModelCoder) -> float:
  """Bytes that the model makes of the windows; infinite where it does not code such samples."""
  total = 0
  for window in windows:
    frames = _frames(window, pcm, phase)
    division = model.division(pcm, len(frames), SegmentSettings(frames=len(frames), effort=0))
    if division is None or not isinstance(division.layout, SegmentLayout):
      return float('inf')
    for encoded in model.encode(division.layout.split(frames, pcm), Cancellation()):
      total += len(encoded.body) if encoded else 1 << 30
  return float(total)
