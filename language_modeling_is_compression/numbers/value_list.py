"""Floats of few distinct values, as places on a scale that rises with the value and nearly in proportion to it.

Shapes: N frames, C channels, V values in rising order.
"""

import lzma

import numpy as np

from language_modeling_is_compression.numbers.patterns import Precision

MOST_VALUES = 1 << 16
_PLACES_A_VALUE = 4  # Of the scale: finer ones would tell the same values apart at more bits.
_FILTERS = [{'id': lzma.FILTER_LZMA1, 'preset': 9, 'dict_size': 1 << 20, 'lc': 0, 'lp': 2, 'pb': 2}]


def places_of(orders: np.ndarray, values: np.ndarray) -> np.ndarray:
  """Places of V values: int64, rising. orders: int64, of their patterns; values: float64, which may be no numbers."""
  finite = np.isfinite(values)
  highest = np.abs(values[finite]).max(initial=0.0)
  half = _PLACES_A_VALUE * len(orders) // 2
  wanted = np.zeros(len(orders), np.int64)
  if highest:
    wanted[finite] = np.rint(values[finite] / highest * half).astype(np.int64)
  wanted[~finite] = np.where(orders[~finite] < 0, -half, half)
  # The least rise is 1: what is left of places after their number rises where the places themselves do.
  numbers = np.arange(len(orders))
  places: np.ndarray = np.maximum.accumulate(wanted - numbers) + numbers
  return places


def write_list(orders: np.ndarray, places: np.ndarray, precision: Precision) -> bytes:
  """Bytes of values and their places, both rising: int64 [V]."""
  steps = np.diff(orders, prepend=0).astype('<i8').view(np.uint8).reshape(-1, 8)
  rises = np.diff(places, prepend=0).astype('<i4').view(np.uint8).reshape(-1, 4)
  # Bytes of the same weight stand together: those at the top hardly change.
  planes = np.concatenate([steps[:, : precision.patterns().itemsize].T.ravel(), rises.T.ravel()])
  return lzma.compress(planes.tobytes(), lzma.FORMAT_RAW, filters=_FILTERS)


def read_list(data: bytes, num_values: int, precision: Precision) -> tuple[np.ndarray, np.ndarray] | None:
  """Inverse of `write_list`: orders and places; None for what no encoder wrote."""
  width = precision.patterns().itemsize
  size = num_values * (width + 4)
  decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
  try:
    planes = decompressor.decompress(data, size + 1)
  except (lzma.LZMAError, EOFError):
    return None
  if len(planes) != size or decompressor.unused_data:
    return None
  bytes_of = np.frombuffer(planes, np.uint8)
  steps = np.zeros((num_values, 8), np.uint8)
  steps[:, :width] = bytes_of[: num_values * width].reshape(width, num_values).T
  rises = np.ascontiguousarray(bytes_of[num_values * width :].reshape(4, num_values).T)
  # The sum is one modulo the number of patterns.
  orders: np.ndarray = np.cumsum(steps.view('<i8')[:, 0].astype(np.int64)).astype(f'i{width}').astype(np.int64)
  places: np.ndarray = np.cumsum(rises.view('<i4')[:, 0].astype(np.int64))
  if (np.diff(places) <= 0).any() or max(abs(places[0]), abs(places[-1])) > MOST_VALUES * 8:
    return None
  return orders, places
