"""Where the encoder finds that sound repeats itself: for each block the lag at which it was most like it is.

Nothing here is part of the format, since lags are written into the segment. All sums are of integers, or in one order,
so that encoders on different machines find the same.

Shapes: N frames, C channels, B blocks.
"""

from collections.abc import Callable

import numpy as np

from language_modeling_is_compression.compilation import compiled
from language_modeling_is_compression.experts import least_squares
from language_modeling_is_compression.experts.repeats import BLOCK_FRAMES, MIN_LAG, NUM_LAGS, num_blocks
from language_modeling_is_compression.experts.values import log2

_ORDER = 32  # Of the linear prediction whose residuals are compared.
_RIDGE = 1e-9  # Of its power.
_LARGEST = 1 << 16  # Residuals are cut off there, so that sums stay exact.
_TRANSFORM = 1 << 15
_HOP = _TRANSFORM - BLOCK_FRAMES
_APART = 8  # Frames between two lags of a block, since least squares see as much around each.
_LEAST_GAIN_BITS = 128.0  # That a lag must promise: more than the best of a million does by chance, and than it costs.


def find_lags(indices: np.ndarray, stopped: Callable[[], bool] = lambda: False) -> np.ndarray:
  """indices: int64 [N, C]. Returns lags, int64 [B, NUM_LAGS], those that help most first; 0 where nothing repeats.

  If it is stopped, what it returns is of no use.
  """
  num_frames, num_channels = indices.shape
  lags = np.zeros((num_blocks(num_frames), NUM_LAGS), np.int64)
  if len(lags) < 2:
    return lags
  # Channels in turn are the real and the imaginary part: the correlation of the whole is the sum of both's.
  residuals = np.zeros((2, num_frames), np.int64)
  for channel in range(num_channels):
    residuals[channel % 2] += _residuals(indices[:, channel])
  energies = np.concatenate([[0], np.cumsum((residuals**2).sum(axis=0))])
  signal = residuals[0] + 1j * residuals[1]
  spectra = np.zeros((0, _TRANSFORM), complex)
  for block in range(len(lags)):
    if stopped():
      break
    start, stop = block * BLOCK_FRAMES, min((block + 1) * BLOCK_FRAMES, num_frames)
    num_starts = start - MIN_LAG + 1
    if num_starts <= 0:
      continue
    while len(spectra) * _HOP < num_starts:
      piece = signal[len(spectra) * _HOP :][:_TRANSFORM]
      spectra = np.concatenate([spectra, np.fft.fft(piece, _TRANSFORM)[None]])
    here, remaining = signal[start:stop], energies[stop] - energies[start]
    before = np.maximum(energies[stop - start :][:num_starts] - energies[:num_starts], 1)
    for k in range(NUM_LAGS):
      own = np.conj(np.fft.fft(here, _TRANSFORM))
      likeness = np.rint(np.fft.ifft(spectra * own, axis=1).real[:, :_HOP].reshape(-1)[:num_starts])
      gains = likeness * likeness / before
      for other in lags[block, :k]:
        gains[max(0, start - other - _APART) : start - other + _APART + 1] = 0
      best = num_starts - 1 - int(np.argmax(gains[::-1]))
      left = max(remaining - gains[best], 2.0**-20 * remaining)
      if 0.5 * log2(max(remaining, 1.0) / max(left, 1.0)) * (stop - start) * num_channels < _LEAST_GAIN_BITS:
        break
      lags[block, k] = start - best
      there = signal[best : best + stop - start]
      here = here - there * (likeness[best] / before[best])
      here = np.rint(here.real) + 1j * np.rint(here.imag)
      remaining = left
  return lags


def _residuals(indices: np.ndarray) -> np.ndarray:
  """What one linear prediction for all of it leaves over, int64 [N]."""
  signal = indices - int(indices.mean())
  signal = (signal >> max(0, int(abs(signal).max()).bit_length() - 16)).astype(np.float64)
  autocorrelation = np.zeros(_ORDER + 1)
  _correlate(signal, autocorrelation)
  covariance = np.zeros((_ORDER, _ORDER))
  for row in range(_ORDER):
    covariance[row] = autocorrelation[abs(np.arange(_ORDER) - row)]
  coefficients = np.zeros(_ORDER)
  least_squares.solve(
    covariance,
    autocorrelation[1:].copy(),
    _RIDGE * autocorrelation[0] + 1.0,
    0.0,
    np.zeros((_ORDER + 1, _ORDER)),
    coefficients,
  )
  residuals = np.zeros(len(signal))
  _filter(signal, coefficients, residuals)
  return np.rint(residuals.clip(-_LARGEST, _LARGEST)).astype(np.int64)


@compiled
def _correlate(signal, autocorrelation):
  for lag in range(len(autocorrelation)):
    total = 0.0
    for t in range(lag, len(signal)):
      total += signal[t] * signal[t - lag]
    autocorrelation[lag] = total


@compiled
def _filter(signal, coefficients, residuals):
  for t in range(len(signal)):
    expected = 0.0
    for i in range(min(t, len(coefficients))):
      expected += coefficients[i] * signal[t - 1 - i]
    residuals[t] = signal[t] - expected
