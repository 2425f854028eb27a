"""Kernels' machine code that was compiled ahead of time: found for this processor, checked, loaded, called.

A package, or a checkout where `make objects` ran, has a file in `compiled/` for each target: a ZIP archive of object
files, one of each entry point (a kernel and the types of its arguments), and index.json, which says what they are, and
of which sources. LLVM, which comes with numba, links an object when its entry point is first called; nothing compiles.

What is damaged, or made of other sources, is as good as absent. An entry point takes the address of a block of words
of 64 bits, its arguments (`arguments.py`), leaves its results there, from the first word on, and returns 0.
"""

import ctypes
import functools
import hashlib
import json
import logging
import os
import platform
import struct
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.kernels import arguments
from language_modeling_is_compression.kernels.compilation import sources

_logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / 'compiled'
INDEX = 'index.json'
SUFFIX = '.zip'
VARIABLE = 'LMIC_CODE'
JUST_IN_TIME = 'jit'

# Held where objects are chosen and linked: what two threads made at once would be thrown away for one of them, and with
# an engine goes the code that it holds, while it runs.
_LOCK = threading.RLock()

# LLVM's names of what a processor must have beyond the level before.
_V2 = ['cx16', 'popcnt', 'sahf', 'sse3', 'sse4.1', 'sse4.2', 'ssse3']
_V3 = [*_V2, *['avx', 'avx2', 'bmi', 'bmi2', 'f16c', 'fma', 'lzcnt', 'movbe', 'xsave']]
_V4 = [*_V3, *['avx512bw', 'avx512cd', 'avx512dq', 'avx512f', 'avx512vl']]


class Target(NamedTuple):
  """A kind of processors. triple, processor: as LLVM names them; features: of LLVM's, that a processor must have."""

  triple: str
  processor: str
  features: list[str]


# The best one first. Objects of other systems would be of other formats and calling conventions: there numba compiles.
TARGETS = {
  'x86-64-v4': Target('x86_64-unknown-linux-gnu', 'x86-64-v4', _V4),
  'x86-64-v3': Target('x86_64-unknown-linux-gnu', 'x86-64-v3', _V3),
  'x86-64-v2': Target('x86_64-unknown-linux-gnu', 'x86-64-v2', _V2),
  'aarch64': Target('aarch64-unknown-linux-gnu', 'generic', []),
}

# Words to what Python has.
RESULTS: dict[str, Callable[[int], Any]] = {
  'signed': int,
  'unsigned': lambda word: word & (2**64 - 1),
  'bool': bool,
  'float': lambda word: struct.unpack('<d', struct.pack('<q', word))[0],
}


def usable_targets() -> list[str]:
  """Names of targets that this machine can run, the best one first."""
  if sys.platform != 'linux':
    return []
  import llvmlite.binding as llvm  # Only here: it takes a third of the time that NumPy takes.

  machine = platform.machine()
  has = llvm.get_host_cpu_features()
  return [
    name
    for name, target in TARGETS.items()
    if target.triple.startswith(machine) and all(has.get(feature) for feature in target.features)
  ]


def objects() -> '_Objects | None':
  """Those for this machine, if there are any. Raises ConfigError for a target in the environment that cannot be."""
  with _LOCK:
    return _chosen()


@functools.cache
def _chosen() -> '_Objects | None':
  wanted = os.environ.get(VARIABLE, '')
  if wanted == JUST_IN_TIME or (not wanted and not FOLDER.is_dir()):
    return None
  usable = usable_targets()
  if not wanted:
    return next(filter(None, map(_opened, usable)), None)
  if wanted not in usable:
    raise ConfigError(f'{VARIABLE} is {wanted!r}: expected one of {", ".join([*usable, JUST_IN_TIME])} on this machine')
  found = _opened(wanted)
  if found is None:
    raise ConfigError(
      f'{VARIABLE} is {wanted!r}, and {FOLDER} has no such code of these sources: run `make objects`, or unset it'
    )
  return found


def described(of: tuple[Any, ...]) -> tuple[str, list[int]] | None:
  """Key and words of arguments (`arguments.describe`), or None for what objects do not take."""
  try:
    return arguments.describe(of)
  except arguments.UnknownArgumentError:
    return None


def entry_point(name: str, key: str) -> Callable[[list[int]], Any] | None:
  """What calls a kernel for arguments of such types with their words; None if there is no sound object of it."""
  found = objects()
  return found.entry_point(name, key) if found else None


def _opened(target: str) -> '_Objects | None':
  path = FOLDER / f'{target}{SUFFIX}'
  try:
    archive = zipfile.ZipFile(path)
    index = json.loads(archive.read(INDEX))
    if index['sources'] == sources().hex() and index['target'] == target:
      return _Objects(archive, index['entry points'])
  except FileNotFoundError:
    pass
  except Exception as error:  # A damaged archive raises errors of every kind.
    _logger.warning('%s: damaged, so code is compiled anew: install the package again: %s', path, error)
  return None


class _Objects:
  """The objects of one target. entry_points: of the index, {'NAME KEY': {object, symbol, digest, results, tuple}}."""

  def __init__(self, archive: zipfile.ZipFile, entry_points: dict[str, Any]):
    self._archive = archive
    self._entry_points = entry_points
    self._linked: dict[str, Callable[[list[int]], Any] | None] = {}

  def entry_point(self, name: str, key: str) -> Callable[[list[int]], Any] | None:
    wanted = f'{name} {key}'
    with _LOCK:
      if wanted not in self._linked:
        self._linked[wanted] = self._link(name, wanted)
      return self._linked[wanted]

  def _link(self, name: str, wanted: str) -> Callable[[list[int]], Any] | None:
    entry = self._entry_points.get(wanted)
    if entry is None:
      _logger.debug('no object for %s', wanted)
      return None
    try:
      data = self._archive.read(entry['object'])
    except Exception as error:
      data, reason = b'', str(error)
    else:
      reason = 'its digest is another one'
    if hashlib.blake2b(data).hexdigest() != entry['digest']:
      _logger.warning(
        '%s: %s of it is damaged, so code is compiled anew: install the package again: %s',
        *(self._archive.filename, entry['object'], reason),
      )
      return None
    address = _link(data, entry['symbol'])
    return functools.partial(_call, ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(address), name, entry)


def _call(function: Any, name: str, entry: dict[str, Any], words: list[int]) -> Any:
  """Runs an entry point; other threads go on meanwhile. Returns what the kernel returns."""
  kinds = entry['results']
  block = (ctypes.c_int64 * max(len(words), len(kinds)))(*words)
  status = function(ctypes.addressof(block))
  if status != 0:
    raise AssertionError(f'{name} ended with status {status}')
  results = tuple(RESULTS[kind](word) for kind, word in zip(kinds, block, strict=False))
  return results if entry['tuple'] else results[0] if results else None


def _link(data: bytes, symbol: str) -> int:
  """Address of a function of an object."""
  import llvmlite.binding as llvm

  engine = _engine()
  engine.add_object_file(llvm.ObjectFileRef.from_data(data))
  engine.finalize_object()
  address: int = engine.get_function_address(symbol)
  return address


@functools.cache
def _engine() -> Any:
  """What holds the objects' code, for as long as the process lives."""
  import llvmlite.binding as llvm

  llvm.initialize_native_target()
  llvm.initialize_native_asmprinter()
  return llvm.create_mcjit_compiler(llvm.parse_assembly(''), llvm.Target.from_default_triple().create_target_machine())
