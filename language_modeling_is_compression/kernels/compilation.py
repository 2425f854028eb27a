"""Loops over integers as machine code, compiled for the processor when they are first called and kept on disk."""

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
from typing import Any, NoReturn

import numba
from numba.core import config, serialize
from numba.core.compiler import CompileResult

from language_modeling_is_compression.errors import ConfigError

_logger = logging.getLogger(__name__)

# Without Python's lock; dividing as C does, since divisors are never 0; and without counting references to arrays,
# which takes a fifth of the experts' time. So no compiled function may make an array: its caller does.
_OPTIONS: Any = {'nogil': True, 'error_model': 'numpy', '_nrt': False}

_config: Any = config  # Its settings are made when it is imported, so types know nothing of them.
_FOLDER_VARIABLE = 'NUMBA_CACHE_DIR'
_PACKAGE = Path(__file__).parents[1]
_DIGEST_BYTES = 32
_NO_COMPILER = (
  'NUMBA_DISABLE_JIT is set, and models run as compiled code only: unset it (or set it to 0) for this command'
)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
  """Compiles a function when it is first called; the code is kept on disk where that is possible."""
  if _config.DISABLE_JIT:
    return _refusing(function)
  _sources()  # As they are now: they may change before the function is called.
  dispatcher: Any = numba.njit(**_OPTIONS)(function)
  dispatcher._cache = _KeptCode(function)
  return dispatcher


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
  """Makes a function part of the compiled ones that call it.

  For one that is long and called once: code is optimized anew at every level of calls that stands above it.
  """
  return numba.njit(inline='always', **_OPTIONS)(function)


def require_compiler() -> None:
  """Raises ConfigError if the environment forbids compiling."""
  if _config.DISABLE_JIT:
    raise ConfigError(_NO_COMPILER)


def _refusing(function: Callable[..., Any]) -> Callable[..., Any]:
  @functools.wraps(function)
  def refuse(*_: object) -> NoReturn:
    raise ConfigError(_NO_COMPILER)

  return refuse


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


def user_folder() -> list[Path]:
  """The user's folder for files that can be made again, if there is a user."""
  try:
    home = Path.home()
  except RuntimeError:
    return []
  if platform.system() == 'Windows':
    caches = Path(os.environ.get('LOCALAPPDATA') or home / 'AppData' / 'Local')
  elif platform.system() == 'Darwin':
    caches = home / 'Library' / 'Caches'
  else:
    caches = Path(os.environ.get('XDG_CACHE_HOME') or home / '.cache')
  return [caches / 'language_modeling_is_compression']


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
  return hashlib.blake2b(payload, digest_size=_DIGEST_BYTES, key=_sources()).digest()


@functools.cache
def _sources() -> bytes:
  """A digest of this package's source code, as it was when the first function was made."""
  digests = [
    (str(path.relative_to(_PACKAGE)), hashlib.sha256(path.read_bytes()).digest())
    for path in sorted(_PACKAGE.rglob('*.py'))
  ]
  return hashlib.sha256(repr(digests).encode()).digest()


@functools.cache
def _say_once(level: int, message: str) -> None:
  _logger.log(level, '%s', message)
