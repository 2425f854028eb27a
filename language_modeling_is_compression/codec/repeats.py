"""Whether data repeats itself, at whatever distance: by hashes of its windows, faster than by compressing it."""

import functools

import numpy as np

from language_modeling_is_compression.system.cancellation import Cancellation

_WINDOW_BYTES = 32
_BLOCK_BYTES = 1 << 16
_FACTOR = 0x9E3779B97F4A7C15  # Odd, so that it has an inverse modulo 2**64.
_ANCHOR_BITS = 5  # One window in 2**5 is an anchor, by its hash, so that equal windows are anchors together.
_MIN_SHARE = 1 / 32  # Of anchors that were there before.


def has_repeats(data: bytes, cancellation: Cancellation) -> bool:
  """Whether a thirty-second of the data or more, about, stands in it before, in pieces of some 64 bytes or more.

  Bytes of 0 do not count. True also where too few windows are anchors to tell, as of a short period. Raises
  CancelledError.
  """
  found = [np.zeros(0, np.uint64)]
  for start in range(0, len(data) - _WINDOW_BYTES + 1, _BLOCK_BYTES):
    cancellation.check()
    hashes = _hashes(data[start : start + _BLOCK_BYTES + _WINDOW_BYTES - 1])
    found.append(hashes[(hashes >> np.uint64(64 - _ANCHOR_BITS) == 0) & (hashes != 0)])
  anchors = np.concatenate(found)
  if len(anchors) < len(data) >> (_ANCHOR_BITS + 1):
    return True
  return len(anchors) - len(np.unique(anchors)) >= _MIN_SHARE * len(anchors)


def _hashes(data: bytes) -> np.ndarray:
  """uint64 of each window, the same wherever it stands: its bytes times powers of a factor, modulo 2**64."""
  powers, inverse_powers = _powers()
  sums = np.zeros(len(data) + 1, np.uint64)
  np.cumsum(np.frombuffer(data, np.uint8) * powers[: len(data)], out=sums[1:])
  windows = sums[_WINDOW_BYTES:] - sums[:-_WINDOW_BYTES]
  windows *= inverse_powers[: len(windows)]
  return windows


@functools.cache
def _powers() -> tuple[np.ndarray, np.ndarray]:
  """uint64 powers of the factor and of its inverse, for a block and a window."""
  count = _BLOCK_BYTES + _WINDOW_BYTES
  inverse = pow(_FACTOR, -1, 1 << 64)
  return np.cumprod(np.full(count, _FACTOR, np.uint64)), np.cumprod(np.full(count, inverse, np.uint64))
