"""Loops over integers as machine code."""

from collections.abc import Callable
from typing import Any

import numba

# Without Python's lock; dividing as C does, since divisors are never 0; and without counting references to arrays,
# which takes a fifth of the experts' time. So no compiled function may make an array: its caller does.
_OPTIONS: Any = {'nogil': True, 'error_model': 'numpy', '_nrt': False}


def compiled(function: Callable) -> Callable:
  """Compiles a function when it is first called; the code is kept on disk where that is possible."""
  try:
    return numba.njit(cache=True, **_OPTIONS)(function)
  except RuntimeError:  # Neither beside the module nor in the user's cache folder can files be made.
    return numba.njit(**_OPTIONS)(function)


def inlined(function: Callable) -> Callable:
  """Makes a function part of the compiled ones that call it.

  For one that is long and called once: code is optimized anew at every level of calls that stands above it.
  """
  return numba.njit(inline='always', **_OPTIONS)(function)
