"""Loops over integers as machine code."""

from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
  """Compiles a function when it is first called; the code is kept on disk where that is possible.

  It runs without Python's lock, and divides as C does: divisors are never 0.
  """
  try:
    return numba.njit(nogil=True, error_model='numpy', cache=True)(function)
  except RuntimeError:  # Neither beside the module nor in the user's cache folder can files be made.
    return numba.njit(nogil=True, error_model='numpy')(function)
