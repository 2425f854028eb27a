"""What integers would cost to predict, about, so that ways to make them can be compared.

Shapes: N samples of a channel, C channels.
"""

import numpy as np

ORDER = 16
_BLOCK_FRAMES = 1024
_MOST_FRAMES = 1 << 16
_REGULARIZATION = 1e-9


def spread_blocks(num_frames: int, most_frames: int = _MOST_FRAMES) -> np.ndarray:
  """Frames of blocks that are spread over all of them: int64, at most about so many."""
  blocks = np.arange(0, num_frames, _BLOCK_FRAMES)
  blocks = blocks[:: max(1, -(-num_frames // most_frames))]
  frames: np.ndarray = (blocks[:, np.newaxis] + np.arange(_BLOCK_FRAMES)).ravel()
  return frames[frames < num_frames]


def deviations(values: np.ndarray) -> np.ndarray:
  """Mean absolute error of a linear prediction in each block: float64 of values, float64 [N, C], all finite.

  The prediction is of order 16, of all channels, by least squares over the whole; where blocks change, it is worse than
  one that adapts.
  """
  places = spread_blocks(len(values), max(4 * ORDER, _MOST_FRAMES // values.shape[1]))
  frames = values[places]
  largest = np.abs(frames).max(initial=0.0)
  if largest == 0.0 or len(frames) <= 2 * ORDER:
    return np.abs(frames).mean(axis=0)
  scaled = frames / largest
  lags = [np.vdot(scaled[: len(scaled) - lag], scaled[lag:]) for lag in range(ORDER + 1)]
  taps = np.arange(ORDER)
  matrix = np.array(lags)[np.abs(taps[:, np.newaxis] - taps)] + _REGULARIZATION * lags[0] * np.eye(ORDER)
  weights = np.linalg.solve(matrix, lags[1:])
  errors = scaled[ORDER:].copy()
  for tap, weight in enumerate(weights):
    errors -= weight * scaled[ORDER - 1 - tap : len(scaled) - 1 - tap]
  errors = errors[places[ORDER:] - places[:-ORDER] == ORDER]  # Not those of a block's first frames.
  blocks = np.array_split(np.abs(errors), max(1, len(errors) // _BLOCK_FRAMES))
  return largest * np.concatenate([block.mean(axis=0) for block in blocks])


def bits_of(errors: np.ndarray, unit: float = 1.0) -> float:
  """Bits of a sample, coded in multiples of a unit: the entropy of Laplace distributions of these mean deviations."""
  with np.errstate(over='ignore'):
    return float(np.mean(np.log2(1.0 + 2.0 * np.e * (errors / unit))))
