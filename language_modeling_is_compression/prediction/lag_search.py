"""Lag search, which the encoder does for long-term prediction: lags at which a block is most similar to the past.

Nothing here is part of the format, since lags are written into the segment. Candidates come from transforms in single
precision; what a lag is worth is then a sum of integers.

Shapes: N frames, B blocks.
"""

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.kernels.vectors import DOUBLES, doubles, load, store
from language_modeling_is_compression.prediction import least_squares
from language_modeling_is_compression.prediction.long_term import BLOCK_FRAMES, MIN_LAG, NUM_LAGS, num_blocks
from language_modeling_is_compression.prediction.value_map import log2
from language_modeling_is_compression.system.cancellation import Cancellation

_ORDER = 32  # Order of the linear prediction whose residuals are correlated.
_LANES_OF_ORDER = _ORDER + DOUBLES  # Whole vectors of lags from 0 on.
_RIDGE = 1e-9  # Relative to its power.
_MAX_RESIDUAL = 1 << 16  # Residuals are clipped there, so that sums stay exact.
_TRANSFORM = 1 << 15
_HOP = _TRANSFORM - BLOCK_FRAMES
_ROUNDING = 2.0**-12
_APART = 8  # Two lags of a block differ by more frames than these, since least squares see some around each.
_MIN_GAIN_BITS = 128.0  # Gain that a lag must promise: more than the best of a million has by chance.


def find_lags(indices: np.ndarray, cancellation: Cancellation | None = None) -> np.ndarray:
  """indices: int32 or int64 [N, C].

  Returns lags, int64 [B, NUM_LAGS], those that help most first; 0 where there are no more. Raises CancelledError.
  """
  num_frames, num_channels = indices.shape
  lags = np.zeros((num_blocks(num_frames), NUM_LAGS), np.int64)
  if len(lags) < 2:
    return lags
  # Many channels are summed into two parts, which suffice to find lags.
  residuals = np.zeros((min(num_channels, 2), num_frames), np.int64)
  for channel in range(num_channels):
    residuals[channel % 2] += linear_residuals(indices[:, channel])
  if not residuals.any():
    return lags
  history = _History(residuals)
  for block in range(1, len(lags)):
    if cancellation:
      cancellation.check()
    start, stop = block * BLOCK_FRAMES, min((block + 1) * BLOCK_FRAMES, num_frames)
    here = residuals[:, start:stop]
    if not here.any():
      continue  # Silence correlates with nothing, and costs nothing.
    num_starts = start - MIN_LAG + 1
    for k in range(NUM_LAGS):
      before = history.most_like(here, num_starts, [start - lag for lag in lags[block, :k].tolist()])
      there = residuals[:, before : before + stop - start]
      likeness, power = int((here * there).sum()), max(int((there * there).sum()), 1)
      present = max(int((here * here).sum()), 1)
      left = max(present - likeness * likeness / power, 1.0)
      if 0.5 * log2(present / left) * here.shape[1] * num_channels < _MIN_GAIN_BITS:
        break
      lags[block, k] = start - before
      here = here - np.rint(there * (likeness / power)).astype(np.int64)
  return lags


class _History:
  """Past of a signal, to search for a block. residuals: int64 [P, N], P parts of the signal."""

  def __init__(self, residuals: np.ndarray):
    self._signal = residuals.astype(np.float32)
    energies = np.cumsum(np.pad((residuals**2).sum(axis=0), (1, BLOCK_FRAMES)))
    powers = np.maximum(energies[BLOCK_FRAMES:] - energies[:-BLOCK_FRAMES], 1)
    self._inverse_powers = (1.0 / powers).astype(np.float32)
    num_pieces = -(-residuals.shape[1] // _HOP)
    self._spectra = np.zeros((len(residuals), num_pieces, _TRANSFORM // 2 + 1), np.complex64)
    self._num_spectra = 0

  def most_like(self, here: np.ndarray, num_starts: int, others: list[int]) -> int:
    """The start below num_starts, not near others, of what explains most of here, int64 [P, BLOCK_FRAMES or fewer]."""
    while self._num_spectra * _HOP < num_starts:
      piece = self._signal[:, self._num_spectra * _HOP :][:, :_TRANSFORM]
      self._spectra[:, self._num_spectra] = np.fft.rfft(piece, _TRANSFORM)
      self._num_spectra += 1
    own = np.conj(np.fft.rfft(here.astype(np.float32), _TRANSFORM))
    # The likeness of the whole is the sum of that of its parts.
    products = self._spectra[0, : self._num_spectra] * own[0]
    for part in range(1, len(own)):
      products += self._spectra[part, : self._num_spectra] * own[part]
    likeness = np.fft.irfft(products, _TRANSFORM)[:, :_HOP].reshape(-1)[:num_starts]
    gains = likeness * likeness * self._inverse_powers[:num_starts]
    for other in others:
      gains[max(0, other - _APART) : other + _APART + 1] = 0
    # Of those that are as good but for rounding, the latest.
    return int(np.flatnonzero(gains >= gains.max() * (1.0 - _ROUNDING))[-1])


def linear_residuals(indices: np.ndarray) -> np.ndarray:
  """What one linear prediction for all of it leaves over, int64 [N]."""
  if (indices == indices[0]).all():
    return np.zeros(len(indices), np.int64)
  signal = indices.astype(np.int64) - int(indices.mean())
  signal = (signal >> max(0, int(abs(signal).max()).bit_length() - 16)).astype(np.float64)
  padded = np.zeros(len(signal) + 2 * _LANES_OF_ORDER)
  padded[_LANES_OF_ORDER : _LANES_OF_ORDER + len(signal)] = signal
  autocorrelation = np.zeros(_LANES_OF_ORDER)
  _correlate(padded[::-1].copy(), len(signal), autocorrelation)
  covariance = np.zeros((_ORDER, _ORDER))
  for row in range(_ORDER):
    covariance[row] = autocorrelation[abs(np.arange(_ORDER) - row)]
  coefficients = np.zeros(_ORDER)
  least_squares.solve(
    covariance,
    autocorrelation[1 : _ORDER + 1].copy(),
    _RIDGE * autocorrelation[0] + 1.0,
    0.0,
    least_squares.new_scratch(_ORDER),
    coefficients,
  )
  residuals = np.zeros(len(signal) + DOUBLES)
  _filter(padded, coefficients, len(signal), residuals)
  return np.rint(residuals[: len(signal)].clip(-_MAX_RESIDUAL, _MAX_RESIDUAL)).astype(np.int64)


@compiled
def _correlate(backwards, num_samples, autocorrelation):
  """Sums of products of samples with those before them, by their distance: a lane has one, and adds it up in time.

  backwards: float64, the last sample first, between zeros as in `linear_residuals`.
  """
  for first in range(0, len(autocorrelation), DOUBLES):
    sums = doubles(0.0)
    for at in range(len(backwards) - _LANES_OF_ORDER - 1, len(backwards) - _LANES_OF_ORDER - 1 - num_samples, -1):
      sums = sums + doubles(backwards[at]) * load(backwards, at + first)
    store(autocorrelation, first, sums)


@compiled
def _filter(padded, coefficients, num_samples, residuals):
  """What linear prediction leaves over of some samples in a row, a lane each; padded: as in `linear_residuals`."""
  for t in range(0, num_samples, DOUBLES):
    at = t + _LANES_OF_ORDER
    expected = doubles(0.0)
    for i in range(len(coefficients)):
      expected = expected + doubles(coefficients[i]) * load(padded, at - 1 - i)
    store(residuals, t, load(padded, at) - expected)
