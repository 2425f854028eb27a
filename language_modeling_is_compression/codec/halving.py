"""Halving: whether a file of one segment may become two, for two cores, at next to no cost in bytes.

A segment is coded without what came before it. What the experts lose by learning anew is less than 0.2% from a few
seconds on (`python bench/segment_lengths.py`); what is lost where the second half repeats the first, up to 7%, is
estimated here from a part of its blocks.

Shapes: N frames, C channels, P parts (1 or 2) that channels are summed into.
"""

import math
from collections.abc import Callable

import numpy as np

from language_modeling_is_compression.format.division import Division, SegmentSettings
from language_modeling_is_compression.format.layout import SegmentLayout
from language_modeling_is_compression.prediction.lag_search import linear_residuals
from language_modeling_is_compression.prediction.long_term import BLOCK_FRAMES

_TRANSFORM = 1 << 15
_HOP = _TRANSFORM - BLOCK_FRAMES
_BLOCKS_APART = 2  # Every second block is looked at.
_MAX_LOSS = 0.0015  # Share of all bits, as estimated; what comes true is up to twice as much.
_MIN_GAIN_BITS = 128.0  # The best of so many places has as much by chance.
_LEAST_BITS = 0.25  # Of a sample in the estimate of all bits.


def halved(
  division: Division, num_frames: int, segments: SegmentSettings, samples: Callable[[], np.ndarray]
) -> Division:
  """Division into two segments instead of one where settings allow it and it takes next to no more bytes.

  samples: reads all of them, int32 [N, C], which are asked for only where they decide.
  """
  if segments.halve_from is None or num_frames < segments.halve_from:
    return division
  if not isinstance(division.layout, SegmentLayout) or division.span_frames < num_frames:
    return division
  return division._replace(span_frames=-(-num_frames // 2)) if may_be_halved(samples()) else division


def may_be_halved(samples: np.ndarray) -> bool:
  """Whether the second half of a file, int32 [N, C], takes hardly more bits where the first half is not known."""
  num_frames, num_channels = samples.shape
  residuals = np.zeros((min(num_channels, 2), num_frames), np.int64)
  bits = 0.0
  for channel in range(num_channels):
    own = linear_residuals(samples[:, channel].astype(np.int64))
    # The code length of a Laplace distribution.
    bits += num_frames * max(_LEAST_BITS, math.log2(2 * math.e * (float(np.abs(own).mean()) + 1e-9)))
    residuals[channel % 2] += own
  signal = residuals.astype(np.float32)
  middle = -(-num_frames // 2)
  spectra = _spectra(signal)
  energies = np.cumsum(np.pad((signal.astype(np.float64) ** 2).sum(axis=0), (1, 0)))
  lost = 0.0
  for start in range(middle, num_frames - BLOCK_FRAMES + 1, _BLOCKS_APART * BLOCK_FRAMES):
    shares = _explained(signal[:, start : start + BLOCK_FRAMES], spectra, energies, start)
    before, since = shares[: middle - BLOCK_FRAMES + 1], shares[middle:]
    gains = [_gain_bits(float(part.max(initial=0.0)), num_channels) for part in (before, since)]
    lost += max(0.0, gains[0] - gains[1]) * _BLOCKS_APART
    if lost > _MAX_LOSS * bits:
      return False
  return True


def _gain_bits(share: float, num_channels: int) -> float:
  """Bits that a block saves of whose power a share is explained."""
  gain = -0.5 * math.log2(max(1.0 - share, 2.0**-20)) * BLOCK_FRAMES * num_channels
  return gain if gain > _MIN_GAIN_BITS else 0.0


def _spectra(signal: np.ndarray) -> np.ndarray:
  """Transforms of pieces of a signal, float32 [P, N]: complex64 [P, pieces, frequencies]."""
  pieces = range(0, signal.shape[1], _HOP)
  return np.stack([np.fft.rfft(signal[:, at : at + _TRANSFORM], _TRANSFORM) for at in pieces], axis=1)


def _explained(here: np.ndarray, spectra: np.ndarray, energies: np.ndarray, start: int) -> np.ndarray:
  """Share of a block's power that each earlier stretch of the signal explains, those that end before it: 0 to 1."""
  num_starts = start - BLOCK_FRAMES + 1
  own = np.conj(np.fft.rfft(here, _TRANSFORM))
  products = (spectra[:, : -(-num_starts // _HOP)] * own[:, None]).sum(axis=0)
  likeness = np.fft.irfft(products, _TRANSFORM)[:, :_HOP].reshape(-1)[:num_starts].astype(np.float64)
  powers = energies[BLOCK_FRAMES : BLOCK_FRAMES + num_starts] - energies[:num_starts]
  present = float((here.astype(np.float64) ** 2).sum())
  return likeness * likeness / (np.maximum(powers, 1.0) * max(present, 1.0))
