"""Loops over integers as machine code: decorators that make functions of Python into what runs so.

Code comes with the package, compiled ahead of time for kinds of processors (`native.py`), or is compiled when it is
first called, by numba (`just_in_time.py`): where there is none for this machine, where sources were changed, for
arguments that nobody foresaw, and where LMIC_CODE says so. Both compute the same. numba is imported for the second
alone, since that takes longer than to compress a second of sound.
"""

import functools
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from language_modeling_is_compression.errors import ConfigError

# Without Python's lock; dividing as C does, since divisors are never 0; and without counting references to arrays,
# which takes a fifth of the experts' time. So no compiled function may make an array: its caller does.
_OPTIONS: dict[str, Any] = {'nogil': True, 'error_model': 'numpy', '_nrt': False}
_PACKAGE = Path(__file__).parents[1]
NO_COMPILER = (
  'NUMBA_DISABLE_JIT is set, and models run as compiled code only: unset it (or set it to 0) for this command'
)
_UNKNOWN: Any = object()


class Kernel:
  """A function that runs as machine code only. What it is called `heard` of: calls, where somebody asks for them."""

  heard: list[tuple['Kernel', tuple[Any, ...]]] | None = None

  def __init__(self, function: Callable[..., Any], targetoptions: dict[str, Any]):
    functools.update_wrapper(self, function)
    self.py_func = function  # These two are what numba looks at, where one kernel is inlined in another.
    self.targetoptions = targetoptions
    self.name = f'{function.__module__.removeprefix(f"{_PACKAGE.name}.")}.{function.__qualname__}'
    self._entry_points: dict[str, Callable[[list[int]], Any] | None] = {}

  @functools.cached_property
  def dispatcher(self) -> Any:
    """numba's, which compiles for the types of arguments that come. Raises ConfigError where it may not."""
    from language_modeling_is_compression.kernels.just_in_time import new_dispatcher  # Imports numba.

    return new_dispatcher(self.py_func, self.targetoptions)

  @property
  def _numba_type_(self) -> Any:
    """What numba asks for the type of a global variable: in other kernels this one is as good as its dispatcher."""
    return self.dispatcher._numba_type_

  def __call__(self, *arguments: Any) -> Any:
    from language_modeling_is_compression.kernels import native  # Imports NumPy, which `lmic info` has no use for.

    if Kernel.heard is not None:
      Kernel.heard.append((self, arguments))
    elif native.objects() is not None and (described := native.described(arguments)):
      key, words = described
      entry_point = self._entry_points.get(key, _UNKNOWN)
      if entry_point is _UNKNOWN:
        entry_point = self._entry_points[key] = native.entry_point(self.name, key)
      if entry_point is not None:
        return entry_point(words)
    return self.dispatcher(*arguments)


def compiled(function: Callable[..., Any]) -> Kernel:
  """Makes a function into machine code, that other ones call."""
  sources()  # As they are now: they may change before the function is called.
  return Kernel(function, _OPTIONS)


def inlined(function: Callable[..., Any]) -> Kernel:
  """Makes a function part of the compiled ones that call it.

  For one that is long and called once: code is optimized anew at every level of calls that stands above it.
  """
  return Kernel(function, {'inline': 'always', **_OPTIONS})


def require_compiler() -> None:
  """Raises ConfigError if the environment forbids compiling."""
  if os.environ.get('NUMBA_DISABLE_JIT', '').strip() not in ('', '0'):
    raise ConfigError(NO_COMPILER)


@functools.cache
def sources() -> bytes:
  """A digest of this package's source code, as it was when the first function was made."""
  digests = [
    (str(path.relative_to(_PACKAGE)), hashlib.sha256(path.read_bytes()).digest())
    for path in sorted(_PACKAGE.rglob('*.py'))
  ]
  return hashlib.sha256(repr(digests).encode()).digest()
