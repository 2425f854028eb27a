"""The greatest common divisor of numbers that were rounded, all but a few of which are multiples of one.

It is found from the numbers and differences that are known best, and refined by larger and larger ones: what is known
of it tells how often it is in one, and that tells more of it.

Shapes: N numbers.
"""

import numpy as np

_MOST_VALUES = 1 << 15  # That it is refined by at once.
_MOST_DIFFERENCES = 1 << 12
_STARTS = (0, 64, 512)  # Where the search begins: the least differences may be those beside a few odd values.
_AT_ONCE = 64
_TRIES = 8
_SURE = 16.0  # What is told apart is so many times as large as its error, or else much is a multiple by chance.
_STRAY = 0.02  # Share of values that need not be multiples.


def common_divisor(magnitudes: np.ndarray, errors: np.ndarray) -> float | None:
  """What rising magnitudes are multiples of, each within its error; or None."""
  sizes, errors = _evidence(magnitudes, errors)
  # In Euclid's algorithm an error grows with the size that it belongs to, in units of what is looked for.
  by_trust = np.argsort(sizes * errors, kind='stable')
  for start in _STARTS:
    if start >= len(sizes):
      break
    first = by_trust[start : start + _AT_ONCE]
    size, error = _common(sizes[first], errors[first])
    later = np.sort(by_trust[start:])
    for _ in range(_TRIES):
      refined = _refined(sizes[later], errors[later], size, error)
      if refined is None:
        break
      size, error, outside = refined
      if not len(outside):
        return size
      # It was a multiple of the one that is looked for.
      others = later[outside]
      size, error = _common(np.concatenate([[size], sizes[others]]), np.concatenate([[error], errors[others]]))
  return None


def _evidence(magnitudes: np.ndarray, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Magnitudes, and differences of neighbours among the least, which are smaller: both rising, with their errors."""
  least, least_errors = magnitudes[:_MOST_DIFFERENCES], errors[:_MOST_DIFFERENCES]
  sizes = np.concatenate([np.diff(least), magnitudes])
  off = np.concatenate([least_errors[:-1] + least_errors[1:], errors])
  telling = off < sizes / _SURE
  order = np.argsort(sizes[telling], kind='stable')
  return sizes[telling][order], off[telling][order]


def _common(values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
  """Euclid's algorithm on numbers with errors: their greatest common divisor, and its error; (0, 0) for none."""
  size, error = 0.0, 0.0
  for value, off in zip(values.tolist(), errors.tolist(), strict=True):
    larger, larger_error, smaller, smaller_error = value, off, size, error
    while smaller:
      times = float(round(larger / smaller))
      rest, rest_error = abs(larger - times * smaller), larger_error + times * smaller_error
      if rest_error > smaller / _SURE:  # This value says nothing.
        larger, larger_error = size, error
        break
      if rest <= rest_error:
        if times and larger_error / times < smaller_error:
          smaller, smaller_error = larger / times, larger_error / times
        larger, larger_error = smaller, smaller_error
        break
      larger, larger_error, smaller, smaller_error = smaller, smaller_error, rest, rest_error
    size, error = larger, larger_error
  return size, error


def _refined(
  sizes: np.ndarray, errors: np.ndarray, size: float, error: float
) -> tuple[float, float, np.ndarray] | None:
  """A divisor from more and more sizes, its error, and places of a few that are no multiples; None for no divisor."""
  if size <= 0.0:
    return None
  reached = 0
  while reached < len(sizes):
    # How far multiples can be told by what is known.
    end = int(np.searchsorted(sizes, size * min(size / (_SURE * error), 2.0**32), 'right'))
    if end <= reached:
      break
    reached = end
    stride = max(1, end // _MOST_VALUES)
    some, allowed = sizes[:end:stride], errors[:end:stride]
    times = np.maximum(np.rint(some / size), 1.0)
    off = np.abs(some - times * size)
    telling = allowed < size / _SURE
    outside = telling & (off > allowed + times * error)
    if np.count_nonzero(outside) > _STRAY * np.count_nonzero(telling):
      return size, error, np.flatnonzero(outside)[:_AT_ONCE] * stride
    kept = telling & ~outside
    if not kept.any():
      return None
    low, high = ((some - allowed) / times)[kept].max(), ((some + allowed) / times)[kept].min()
    size, error = float((low + high) / 2), max(abs(float(high - low)) / 2, size * 2.0**-52)
  return (size, error, np.zeros(0, np.int64)) if reached else None
