"""Machine code that numba makes for the processor when a kernel is first called, and keeps on disk where it can."""

import functools
import hashlib
import logging
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config, serialize
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.kernels.compilation import NO_COMPILER, sources
from language_modeling_is_compression.kernels.user_folder import user_folder

_logger = logging.getLogger(__name__)

_config: Any = config  # Its settings are made when it is imported, so types know nothing of them.
_FOLDER_VARIABLE = 'NUMBA_CACHE_DIR'
_PACKAGE = Path(__file__).parents[1]
_DIGEST_BYTES = 32

keep_code = True  # Not of code for other processors.


def _begin_generator() -> None:
  """Has numba begin its code generator for any processor with the features of this one, unless it has begun already.

  LLVM knows processors by name, too, and what it makes of these kernels for a Zen 5 by its name takes 1.4 times as long
  on it (docs/LOG.md, 2026-11-29). Other code that a program compiles with numba is tuned so, too, but kept by the name
  that it had.
  """
  if _config.CPU_NAME is not None or platform.machine() not in ('x86_64', 'AMD64'):
    return
  _config.CPU_NAME = 'generic'
  try:
    _ = cpu_target.target_context  # Made when it is first asked for, and the generator with it.
  finally:
    _config.CPU_NAME = None


_begin_generator()


def new_dispatcher(function: Callable[..., Any], options: dict[str, Any]) -> Any:
  """numba's dispatcher, which compiles a function for the types that it is called with. options: of `numba.njit`.

  Raises ConfigError if numba may not compile.
  """
  if _config.DISABLE_JIT:
    raise ConfigError(NO_COMPILER)
  dispatcher: Any = numba.njit(**options)(function)
  if keep_code:
    dispatcher._cache = _KeptCode(function)
  return dispatcher


class _KeptCode:
  """One function's machine code on disk, a file for each signature and processor, as numba's dispatcher asks for it.

  Numba's own believes what it reads, fails where it cannot write, and looks at the function's own source file only.
  Here whatever goes wrong in reading is a miss, and in writing a warning. A file is good for one state of all of the
  package's sources, since callees are part of the code: were it used after only they changed, what it writes could be
  read by no other installation.
  """

  def __init__(self, function: Callable[..., Any]):
    self._name = f'{Path(function.__code__.co_filename).stem}.{function.__qualname__}'

  @property
  def cache_path(self) -> str:
    return str(_folder() or '')

  def load_overload(self, signature: Any, target: Any) -> CompileResult | None:
    """Code for a signature, or None if it has to be compiled, which is logged."""
    target.refresh()
    folder = _folder()
    if folder:
      try:
        data = (folder / self._file_name(signature, target.codegen())).read_bytes()
        if data[:_DIGEST_BYTES] == _digest(data[_DIGEST_BYTES:]):
          return CompileResult._rebuild(target, *pickle.loads(data[_DIGEST_BYTES:]))
      except Exception:  # Unpickling what is damaged, or of another numba, raises errors of every kind.
        pass
    _say_once(logging.INFO, f'compiling for this processor{", once" if folder else ""}: this takes 20 to 60 seconds')
    return None

  def save_overload(self, signature: Any, code: Any) -> None:
    """Keeps code, if there is a place for it; what was kept for other sources is replaced."""
    folder = _folder()
    if folder is None or code.library.has_dynamic_globals:
      return
    path = folder / self._file_name(signature, code.codegen)
    payload = serialize.dumps(code._reduce())
    try:
      _write_whole(path, _digest(payload) + payload)
    except OSError as error:
      _say_once(
        logging.WARNING,
        f'{folder}: compiled code cannot be kept there, so the next command compiles again: {error.strerror or error}; '
        f'name another folder with the environment variable {_FOLDER_VARIABLE}',
      )

  def _file_name(self, signature: Any, codegen: Any) -> str:
    depends_on = (str(signature), codegen.magic_tuple(), numba.__version__, sys.implementation.cache_tag)
    return f'{self._name}-{hashlib.blake2b(repr(depends_on).encode(), digest_size=8).hexdigest()}.lmic_code'


@functools.cache
def _folder() -> Path | None:
  """Folder that code is kept in: the first one that files can be made in; None (with a warning) if there is none.

  It is what the environment names, if it names one, else a folder beside the sources, else one of the user's.
  """
  named = os.environ.get(_FOLDER_VARIABLE)
  folders = [Path(named)] if named else [_PACKAGE / '__pycache__', *user_folder()]
  reason = 'there is no home folder'
  for folder in folders:
    try:
      folder.mkdir(parents=True, exist_ok=True)
      with tempfile.TemporaryFile(dir=folder):
        return folder
    except OSError as error:
      reason = f'{folder}: {error.strerror or error}'
  _say_once(
    logging.WARNING,
    f'compiled code cannot be kept, so every command compiles for 20 seconds or more ({reason}): name a folder that '
    f'can be written with the environment variable {_FOLDER_VARIABLE}',
  )
  return None


def _write_whole(path: Path, data: bytes) -> None:
  """Several processes may write the same file at a time, or be killed while they do."""
  descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
  try:
    with os.fdopen(descriptor, 'wb') as file:
      file.write(data)
    os.replace(name, path)
  except BaseException:
    os.unlink(name)
    raise


def _digest(payload: bytes) -> bytes:
  """Digest of code that is kept, keyed by a digest of the sources that it was made of."""
  return hashlib.blake2b(payload, digest_size=_DIGEST_BYTES, key=sources()).digest()


@functools.cache
def _say_once(level: int, message: str) -> None:
  _logger.log(level, '%s', message)
