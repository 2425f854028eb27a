"""Model files: `NAME.npz`, flat float32 arrays by parameter path and one JSON string that says what they are.

A parameter path is module/name, e.g. `layer_0/queries`. The JSON string, under the key `metadata`, holds
`format_version`, `model` and `data` (the two configurations) and `provenance` (steps, seed, held-out bits, …). In
version 1 there were byte models only, and `model` did not say so.

A model file may come from anywhere, so nothing in it is executed, and nothing is allocated before it is known to be
what the configuration asks for and no larger.
"""

import errno
import functools
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.config.settings import from_mapping, to_mapping
from language_modeling_is_compression.errors import CheckpointError, ConfigError
from language_modeling_is_compression.network.parameters import parameter_shapes
from language_modeling_is_compression.prediction.evidence import NUM_FEATURES, NUM_OUTPUTS
from language_modeling_is_compression.system.extras import require_extra
from language_modeling_is_compression.system.files import replacing

FORMAT_VERSION = 2
_BYTES_ONLY_VERSION = 1

# What format version 2 stores of the configurations: its names, which never change, and the fields that they are of. A
# field that is new is stored by a new version of the format, unless it is as it is by default.
_MODEL_NAMES = {
  'model': 'model',
  'embedding_dim': 'embedding_dim',
  'num_layers': 'num_layers',
  'num_heads': 'num_heads',
  'widening_factor': 'widening_factor',
  'attention_window': 'attention_window',
}
_DATA_NAMES = {
  'use_16bit': 'use_16bit',
  'tokenization': 'tokenization',
  'quantization': 'quantization',
  'channels': 'channels',
  'stereo_blocking_n': 'stereo_blocking_n',
  'chunk_size': 'chunk_size',
}

_METADATA_KEY = 'metadata'
_MAX_METADATA_BYTES = 1 << 20
_NPY_VERSION = b'\x93NUMPY\x01\x00'
_MAX_HEADER_BYTES = 10 + 0xFFFF  # Of a .npy file of that version: magic, length of the text, text.
# NumPy's own reader evaluates this text as Python, which can fail in a dozen ways and take much memory.
_NPY_HEADER = re.compile(rb"\{'descr': '(<f4|<U\d{1,6})', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n")


@dataclass(frozen=True, kw_only=True, repr=False)
class Model:
  """A trained model.

  params: {module: {name: float32 array}}. data_config: of hybrid models it says nothing. provenance: plain JSON values,
  for people to read.
  """

  params: Mapping[str, Mapping[str, np.ndarray]]
  model_config: ModelConfig
  data_config: DataConfig
  provenance: Mapping[str, Any]

  def __repr__(self) -> str:
    config = self.model_config
    steps = self.provenance.get('steps', '?')
    return (
      f'<Model: {config.model}, {config.embedding_dim} x {config.num_layers} layers, '
      f'{self.num_parameters:,} parameters, {steps} steps>'
    )

  @property
  def num_parameters(self) -> int:
    return sum(array.size for arrays in self.params.values() for array in arrays.values())

  def log_probs(self, tokens: np.ndarray) -> np.ndarray:
    """log p of every token at every position given the tokens before it, in nats.

    tokens: integers [B, T] in [0, vocab_size), else ValueError; each row begins at the beginning of a chunk.
    Returns float32 [B, T, vocab_size]. Raises ValueError if this is no byte model.
    """
    self._expect('bytes')
    tokens = np.asarray(tokens)
    vocab_size = self.data_config.vocab_size
    if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
      raise ValueError(f'tokens: expected integers of shape [B, T], got {tokens.dtype} of shape {list(tokens.shape)}')
    if tokens.size == 0:
      return np.zeros((*tokens.shape, vocab_size), np.float32)
    if tokens.min() < 0 or tokens.max() >= vocab_size:
      raise ValueError(f'tokens: expected 0 to {vocab_size - 1}, got {tokens.min()} to {tokens.max()}')
    return np.asarray(self._log_probs(self.params, tokens.astype(np.int32)))

  def outputs(self, features: np.ndarray) -> np.ndarray:
    """What a hybrid model's network says of every sample, given its features and those before it (experts/evidence.py).

    features: int8 [B, T, NUM_FEATURES], else ValueError; each row begins at the beginning of a segment.
    Returns float32 [B, T, NUM_OUTPUTS]. Raises ValueError if this is no hybrid model.
    """
    self._expect('hybrid')
    features = np.asarray(features)
    if features.dtype != np.int8 or features.ndim != 3 or features.shape[2] != NUM_FEATURES:
      raise ValueError(
        f'features: expected int8 of shape [B, T, {NUM_FEATURES}], got {features.dtype} of {list(features.shape)}'
      )
    if features.size == 0:
      return np.zeros((*features.shape[:2], NUM_OUTPUTS), np.float32)
    return np.asarray(self._outputs(self.params, features))

  def _expect(self, family: str) -> None:
    if self.model_config.model != family:
      raise ValueError(f'expected a model of the family {family}, got {self.model_config.model}')

  @functools.cached_property
  def _outputs(self) -> Any:
    require_extra('train')
    import jax

    from language_modeling_is_compression.network.hybrid import build_hybrid

    return jax.jit(build_hybrid(self.model_config).apply)

  @functools.cached_property
  def _log_probs(self) -> Any:
    # Only here: who decodes with the integers of inference/exact.py need not wait for JAX.
    require_extra('train')
    import jax

    from language_modeling_is_compression.network.transformer import build_transformer, log_probabilities

    transformer = build_transformer(self.model_config, self.data_config)
    return jax.jit(lambda params, tokens: log_probabilities(transformer.apply(params, tokens)))


def save_model(path: Path, model: Model) -> None:
  """Writes a model file whole or not at all: to a temporary file beside it, which is renamed when it is on the disk.

  Raises CheckpointError if it cannot be written; a file that was there before is then still there.
  """
  metadata = {
    'format_version': FORMAT_VERSION,
    'model': to_mapping(model.model_config, _MODEL_NAMES),
    'data': to_mapping(model.data_config, _DATA_NAMES),
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


def load_model(path: str | os.PathLike) -> Model:
  """Reads a model file.

  Raises CheckpointError if it is missing, truncated, damaged, of another version or not a model file of this package.
  """
  path = Path(path)
  try:
    with zipfile.ZipFile(path) as archive:
      _check_stored(archive)
      metadata = _read_metadata(archive)
      model_config = from_mapping(ModelConfig, _with_family(metadata), _MODEL_NAMES)
      data_config = from_mapping(DataConfig, metadata['data'], _DATA_NAMES)
      params = _read_params(archive, model_config, data_config, path.stat().st_size)
  except OSError as error:
    reason = error.strerror or str(error)
    if error.errno == errno.EINVAL:  # A damaged directory sent zipfile to a place before the file's beginning.
      reason = f'{reason}: it is damaged, cut off or something else'
    raise CheckpointError(f'{path}: cannot be read: {reason}') from error
  except (ConfigError, _UnsoundError) as error:
    raise CheckpointError(f'{path}: {error}') from error
  except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
    # What zipfile raises for an archive that is damaged, encrypted or of a kind that Python does not know.
    raise CheckpointError(
      f'{path}: not a sound .npz file: {error}: it is damaged, cut off or something else'
    ) from error
  return Model(params=params, model_config=model_config, data_config=data_config, provenance=metadata['provenance'])


class _UnsoundError(Exception):
  """What is wrong with a model file, without its name."""


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


def _with_family(metadata: Mapping[str, Any]) -> Any:
  """The network's configuration as this version stores it."""
  stored = metadata['model']
  if metadata['format_version'] == FORMAT_VERSION or not isinstance(stored, dict):
    return stored
  if 'model' in stored:
    raise _UnsoundError(f'its metadata names a family of models, which format version {_BYTES_ONLY_VERSION} does not')
  return {**stored, 'model': 'bytes'}


def _read_params(
  archive: zipfile.ZipFile, model_config: ModelConfig, data_config: DataConfig, file_bytes: int
) -> dict[str, dict[str, np.ndarray]]:
  entries = {entry.filename.removesuffix('.npy'): entry for entry in archive.infolist()}
  claimed = sum(entry.file_size for entry in archive.infolist())
  if claimed > file_bytes:
    raise _UnsoundError(f'its arrays claim {claimed} bytes in a file of {file_bytes}: it is damaged')
  # Listing the shapes of a network takes time and memory, so one that cannot be in the file is not listed.
  needed = _least_bytes(model_config, data_config)
  if needed > file_bytes or model_config.num_layers > len(entries):
    raise _UnsoundError(
      f'its configuration needs at least {needed} bytes for {model_config.num_layers} layers, '
      f'but it holds {len(entries)} arrays in {file_bytes} bytes'
    )
  shapes = parameter_shapes(model_config, data_config)
  if len(archive.infolist()) != len(entries) or set(entries) != {*shapes, _METADATA_KEY}:
    wrong = sorted(set(entries) ^ {*shapes, _METADATA_KEY})
    raise _UnsoundError(f'its arrays are not those of its configuration: missing, unexpected or twice: {wrong[:5]}')
  params: dict[str, dict[str, np.ndarray]] = {}
  for key, shape in shapes.items():
    module, _, name = key.rpartition('/')
    params.setdefault(module, {})[name] = _read_array(archive, entries[key], key, shape)
  return params


def _least_bytes(model: ModelConfig, data: DataConfig) -> int:
  """Bytes of some of a network's parameters: what its input goes through, each layer's queries and biases per lag."""
  layer = model.embedding_dim**2 + model.num_heads * model.attention_window
  num_inputs = NUM_FEATURES if model.model == 'hybrid' else data.vocab_size
  return 4 * (num_inputs * model.embedding_dim + model.num_layers * layer)


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
