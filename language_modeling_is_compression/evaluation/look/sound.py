"""Spectrogram of a sound, from a few windows for each of its columns, however long it is."""

import numpy as np

from language_modeling_is_compression.audio.reading import AudioInfo, read_frames

_WINDOW_SECONDS = 0.032
_WINDOWS = 4  # Of a column, at most: their mean stands for all of it.
_MAX_COLUMNS = 800
_MAX_ROWS = 256
DYNAMIC_RANGE = 90.0  # Decibels below the loudest that are told apart.


def spectrogram(info: AudioInfo) -> np.ndarray:
  """Power of all channels together, by frequency up to half the rate, low ones first.

  Returns float64 [rows, columns], decibels below the loudest, from -DYNAMIC_RANGE to 0. Raises AudioFormatError.
  """
  size = 1 << max(4, round(np.log2(_WINDOW_SECONDS * info.sample_rate_hz)))
  columns = min(_MAX_COLUMNS, max(1, 4 * info.num_frames // size))
  taper = np.hanning(size + 2)[1:-1]
  powers = np.zeros((size // 2, columns))
  for column in range(columns):
    begin, end = (info.num_frames * place // columns for place in (column, column + 1))
    count = min(_WINDOWS, max(1, 2 * (end - begin) // size))
    for window in range(count):
      middle = begin + (end - begin) * (2 * window + 1) // (2 * count)
      powers[:, column] += _power(info, middle - size // 2, taper) / count
  # Neighbouring frequencies are summed where a page has no room for all of them.
  powers = powers.reshape(min(_MAX_ROWS, size // 2), -1, columns).sum(axis=1)
  loudest = powers.max()
  if loudest <= 0:
    return np.full(powers.shape, -DYNAMIC_RANGE)
  return np.asarray(10 * np.log10(np.maximum(powers / loudest, 10 ** (-DYNAMIC_RANGE / 10))))


def _power(info: AudioInfo, start: int, taper: np.ndarray) -> np.ndarray:
  """Mean power of the channels in one window, in which there is silence before the beginning and after the end."""
  first, last = max(0, start), min(info.num_frames, start + len(taper))
  frames = np.zeros((len(taper), info.num_channels))
  known = read_frames(info, first, last)
  frames[first - start : last - start] = known - known.mean(axis=0)
  spectrum = np.fft.rfft(frames * taper[:, None], axis=0)
  return np.asarray((np.abs(spectrum[1:]) ** 2).mean(axis=1))
