"""Model files: `NAME.npz`, flat float32 arrays by parameter path and one JSON string that says what they are.

A parameter path is module/name, e.g. `layer_0/queries`. The JSON string, under the key `metadata`, holds
`format_version`, `model` and `data` (the two configurations) and `provenance` (steps, seed, held-out bits, …). In
version 1 there were byte models only, and `model` did not say so.

A model file may come from anywhere, so nothing in it is executed, and nothing is allocated before it is known to be
what the configuration asks for and no larger.
"""

import errno
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from language_modeling_is_compression.config.families import FAMILIES
from language_modeling_is_compression.config.options import ModelConfig
from language_modeling_is_compression.config.settings import from_mapping, to_mapping
from language_modeling_is_compression.errors import CheckpointError, ConfigError
from language_modeling_is_compression.network.model import Model, ModelSpec, min_parameter_bytes
from language_modeling_is_compression.system.files import replacing

FORMAT_VERSION = 2
_BYTES_ONLY_VERSION = 1

# Names under which format version 2 stores a network's size, which never change, and the fields that they stand for. A
# new field needs a new version of the format, unless it has its default.
_MODEL_NAMES = {
  'embedding_dim': 'embedding_dim',
  'num_layers': 'num_layers',
  'num_heads': 'num_heads',
  'widening_factor': 'widening_factor',
  'attention_window': 'attention_window',
}
_FAMILY_KEY = 'model'  # Stored beside the network's size.
_METADATA_KEY = 'metadata'
_MAX_METADATA_BYTES = 1 << 20
_NPY_VERSION = b'\x93NUMPY\x01\x00'
_MAX_HEADER_BYTES = 10 + 0xFFFF  # A .npy file of that version: magic, length of the text, text.
# NumPy's own reader evaluates this text as Python, which can fail in a dozen ways and take much memory.
_NPY_HEADER = re.compile(rb"\{'descr': '(<f4|<U\d{1,6})', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n")


def save_model(path: Path, model: Model) -> None:
  """Writes a model file whole or not at all: to a temporary file beside it, which is renamed when it is on the disk.

  Raises CheckpointError if it cannot be written; a file that was there before is then still there.
  """
  metadata = {
    'format_version': FORMAT_VERSION,
    'model': {_FAMILY_KEY: model.spec.family, **to_mapping(model.spec.network, _MODEL_NAMES)},
    'data': model.spec.stored_data(),
    'provenance': dict(model.provenance),
  }
  arrays = {
    f'{module}/{name}': np.asarray(array) for module, named in model.params.items() for name, array in named.items()
  }
  arrays[_METADATA_KEY] = np.array(json.dumps(metadata, sort_keys=True))
  try:
    with replacing(path) as file:
      np.savez(file, allow_pickle=False, **arrays)
  except OSError as error:
    raise CheckpointError(
      f'{path}: cannot be written: {error.strerror or error}: free space or name another folder'
    ) from error


def load_model(path: str | os.PathLike[str]) -> Model:
  """Reads a model file.

  Raises CheckpointError if it is missing, truncated, damaged, of another version or not a model file of this package.
  """
  path = Path(path)
  try:
    with zipfile.ZipFile(path) as archive:
      _check_stored(archive)
      metadata = _read_metadata(archive)
      family, network = _family(metadata)
      spec = family.SPEC.from_stored(network, metadata['data'])
      params = _read_params(archive, spec, path.stat().st_size)
  except OSError as error:
    reason = error.strerror or str(error)
    if error.errno == errno.EINVAL:  # A damaged directory sent zipfile to a place before the file's beginning.
      reason = f'{reason}: it is damaged, cut off or something else'
    raise CheckpointError(f'{path}: cannot be read: {reason}') from error
  except (ConfigError, _UnsoundError) as error:
    raise CheckpointError(f'{path}: {error}') from error
  except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
    # Errors of zipfile for an archive that is damaged, encrypted or of a kind that Python does not know.
    raise CheckpointError(
      f'{path}: not a sound .npz file: {error}: it is damaged, cut off or something else'
    ) from error
  return family.MODEL(params=params, spec=spec, provenance=metadata['provenance'])


class _UnsoundError(Exception):
  """Fault of a model file, whose name is added later."""


def _check_stored(archive: zipfile.ZipFile) -> None:
  """No decompressor sees a byte of the file: some take memory as the file claims, or make gigabytes of nothing."""
  for entry in archive.infolist():
    if entry.compress_type != zipfile.ZIP_STORED:
      raise _UnsoundError(f'its array {entry.filename!r} is compressed: save it without compression')


def _read_metadata(archive: zipfile.ZipFile) -> dict[str, Any]:
  if f'{_METADATA_KEY}.npy' not in archive.namelist():
    raise _UnsoundError('not a model of this package: it holds no metadata; train one with train_audio.py')
  entry = archive.getinfo(f'{_METADATA_KEY}.npy')
  if entry.file_size > _MAX_METADATA_BYTES:
    raise _UnsoundError(f'its metadata claims {entry.file_size} bytes, expected at most {_MAX_METADATA_BYTES}')
  with archive.open(entry) as file:
    shape, dtype = _read_array_header(file)
    if shape != () or dtype.kind != 'U':
      raise _UnsoundError(f'its metadata is {dtype} of shape {list(shape)}, expected one string')
    text = file.read(_MAX_METADATA_BYTES)
  if len(text) != dtype.itemsize:
    raise _UnsoundError(f'its metadata has {len(text)} bytes, expected {dtype.itemsize}')
  try:
    metadata = json.loads(text.decode('utf-32-le'))  # NumPy would make a string of numbers that are no characters.
  except (ValueError, RecursionError) as error:
    raise _UnsoundError(f'its metadata is not JSON: {error}') from error
  expected = {'format_version', 'model', 'data', 'provenance'}
  if not isinstance(metadata, dict) or not expected <= set(metadata) or not isinstance(metadata['provenance'], dict):
    raise _UnsoundError(f'its metadata lacks some of {sorted(expected)}')
  if metadata['format_version'] not in (_BYTES_ONLY_VERSION, FORMAT_VERSION):
    raise _UnsoundError(
      f'format version {metadata["format_version"]!r}, expected {_BYTES_ONLY_VERSION} or {FORMAT_VERSION}: '
      'use the version of the package that wrote it'
    )
  return metadata


def _family(metadata: Mapping[str, Any]) -> tuple[ModuleType, ModelConfig]:
  """The family's module and the size of a network. Raises ConfigError, _UnsoundError."""
  stored = metadata['model']
  has_name = isinstance(stored, Mapping) and _FAMILY_KEY in stored
  if metadata['format_version'] == _BYTES_ONLY_VERSION:
    if has_name:
      raise _UnsoundError(f'its metadata names a family of models, which format version {_BYTES_ONLY_VERSION} does not')
    return FAMILIES['bytes'].network_module(), from_mapping(ModelConfig, stored, _MODEL_NAMES)
  name = stored[_FAMILY_KEY] if has_name else None
  if not isinstance(name, str) or name not in FAMILIES:
    got = repr(name) if has_name else 'none'
    raise ConfigError(f'model: expected a family of models, {" or ".join(FAMILIES)}, got {got}')
  sizes = {key: value for key, value in stored.items() if key != _FAMILY_KEY}
  return FAMILIES[name].network_module(), from_mapping(ModelConfig, sizes, _MODEL_NAMES)


def _read_params(archive: zipfile.ZipFile, spec: ModelSpec, file_bytes: int) -> dict[str, dict[str, np.ndarray]]:
  entries = {entry.filename.removesuffix('.npy'): entry for entry in archive.infolist()}
  claimed = sum(entry.file_size for entry in archive.infolist())
  if claimed > file_bytes:
    raise _UnsoundError(f'its arrays claim {claimed} bytes in a file of {file_bytes}: it is damaged')
  # Listing the shapes of a network takes time and memory, so one that cannot be in the file is not listed.
  needed, num_layers = min_parameter_bytes(spec), spec.network.num_layers
  if needed > file_bytes or num_layers > len(entries):
    raise _UnsoundError(
      f'its configuration needs at least {needed} bytes for {num_layers} layers, '
      f'but it holds {len(entries)} arrays in {file_bytes} bytes'
    )
  shapes = spec.parameter_shapes()
  if len(archive.infolist()) != len(entries) or set(entries) != {*shapes, _METADATA_KEY}:
    wrong = sorted(set(entries) ^ {*shapes, _METADATA_KEY})
    raise _UnsoundError(f'its arrays are not those of its configuration: missing, unexpected or twice: {wrong[:5]}')
  params: dict[str, dict[str, np.ndarray]] = {}
  for key, shape in shapes.items():
    module, _, name = key.rpartition('/')
    params.setdefault(module, {})[name] = _read_array(archive, entries[key], key, shape)
  return params


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, key: str, shape: tuple[int, ...]) -> np.ndarray:
  num_bytes = 4 * math.prod(shape)
  # The zip directory's size, the .npy header's shape and the bytes that are there must all agree.
  if not num_bytes <= entry.file_size <= num_bytes + _MAX_HEADER_BYTES:
    raise _UnsoundError(f'{key}: {entry.file_size} bytes, expected float32 of shape {list(shape)}')
  with archive.open(entry) as file:
    got, dtype = _read_array_header(file)
    if got != shape or dtype.kind != 'f':
      raise _UnsoundError(f'{key}: {dtype} of shape {list(got)}, expected float32 of shape {list(shape)}')
    raw = file.read(num_bytes)
    if len(raw) != num_bytes or file.read(1):
      raise _UnsoundError(f'{key}: expected {num_bytes} bytes of numbers, got another amount')
  array = np.frombuffer(raw, dtype).reshape(shape)
  if not np.isfinite(array).all():
    raise _UnsoundError(f'{key}: holds numbers that are not finite')
  return array


def _read_array_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
  """Shape and dtype of a .npy file of float32 numbers or one string, little-endian and in C order."""
  start = file.read(10)
  text = file.read(int.from_bytes(start[8:], 'little'))
  header = _NPY_HEADER.fullmatch(text)
  if not start.startswith(_NPY_VERSION) or not header:
    raise _UnsoundError(f'{file.name}: expected float32 or text in C order, got the header {(start + text)[:128]!r}')
  shape = tuple(int(size) for size in header[2].split(b',') if size.strip())
  return shape, np.dtype(header[1].decode())
