"""Loops over integers as machine code."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# Without Python's lock; dividing as C does, since divisors are never 0; and without counting references to arrays,
# which takes a fifth of the experts' time. So no compiled function may make an array: its caller does.
_OPTIONS: Any = {'nogil': True, 'error_model': 'numpy', '_nrt': False}


def compiled(function: Callable) -> Callable:
  """Compiles a function when it is first called; the code is kept on disk where that is possible."""
  try:
    dispatcher: Any = numba.njit(cache=True, **_OPTIONS)(function)
    # What numba keeps is good for as long as the function's own file is the same; but code of other files has become
    # part of it. Were such code used after only they changed, what it writes could be read by no other installation.
    kept = dispatcher._cache._cache_file
    kept._source_stamp = kept._source_stamp, _sources()
    return dispatcher
  except (RuntimeError, AttributeError):  # No folder where files can be made, or a numba that keeps them otherwise.
    return numba.njit(**_OPTIONS)(function)


def inlined(function: Callable) -> Callable:
  """Makes a function part of the compiled ones that call it.

  For one that is long and called once: code is optimized anew at every level of calls that stands above it.
  """
  return numba.njit(inline='always', **_OPTIONS)(function)


@functools.cache
def _sources() -> bytes:
  """A digest of this package's source code, as it was when the first function was made."""
  package = Path(__file__).parent
  digests = [
    (str(path.relative_to(package)), hashlib.sha256(path.read_bytes()).digest())
    for path in sorted(package.rglob('*.py'))
  ]
  return hashlib.sha256(repr(digests).encode()).digest()
