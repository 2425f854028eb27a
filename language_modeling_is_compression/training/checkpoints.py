"""Checkpoints: all that a run needs to go on as if it had not been interrupted.

A checkpoint is one file, `step_NNNNNNNNN.ckpt` in the folder NAME_checkpoints:

    magic, 16 bytes | length of the header, uint64 | header, JSON | arrays, in C order and native byte order | SHA-256

The header has `metadata`, which is the run's, and `arrays`, a list of [path in the state, dtype, shape]. The hash is of
all that stands before it. A file is written whole or not at all, and the one before it is removed only then, so a run
that is killed at any instant leaves a sound one. docs/adr/0007 says why this is no library's format.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.system.files import replacing

_logger = logging.getLogger(__name__)

_MAGIC = b'lmic checkpoint1'
_LENGTH_BYTES = 8
_HASH_BYTES = 32
_MAX_HEADER_BYTES = 1 << 26
_BLOCK_BYTES = 1 << 20
_PATTERN = 'step_*.ckpt'


@dataclass(frozen=True)
class Checkpoint:
  """Content of a checkpoint. arrays: leaves of the state, by their paths in it. metadata: plain JSON."""

  path: Path
  arrays: Mapping[str, np.ndarray]
  metadata: Mapping[str, Any]

  @property
  def step(self) -> int:
    """Steps that were done."""
    return int(self.metadata['step'])


def write_checkpoint(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
  """Writes a checkpoint whole or not at all. Raises CheckpointError if it cannot be written."""
  listed = [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()]
  header = json.dumps({'metadata': metadata, 'arrays': listed}, allow_nan=True).encode()
  digest = hashlib.sha256()
  try:
    path.parent.mkdir(exist_ok=True)  # Not what is above it, which may be a disk that was pulled out.
    with replacing(path) as file:
      parts = [_MAGIC, len(header).to_bytes(_LENGTH_BYTES, 'little'), header]
      for part in (*parts, *(array.tobytes() for array in arrays.values())):
        digest.update(part)
        file.write(part)
      file.write(digest.digest())
  except OSError as error:
    with contextlib.suppress(OSError):
      path.parent.rmdir()  # If it is empty.
    raise CheckpointError(
      f'{path}: cannot be written: {error.strerror or error}: free space or name another --output_dir'
    ) from error


def read_checkpoint(path: Path) -> Checkpoint:
  """Reads a checkpoint. Raises CheckpointError if it is missing, damaged or something else."""
  try:
    with open(path, 'rb') as file:
      _check_hash(file)
      header = _read_header(file)
      arrays = {name: _read_array(file, dtype, shape) for name, dtype, shape in header['arrays']}
      return Checkpoint(path, arrays, header['metadata'])
  except OSError as error:
    raise CheckpointError(f'{path}: cannot be read: {error.strerror}') from error
  except (KeyError, TypeError, ValueError, RecursionError) as error:
    raise CheckpointError(f'{path}: not a sound checkpoint: {error}') from error


def _check_hash(file: BinaryIO) -> None:
  """Compares the hash, before anything is made of what is read; then the file stands behind the magic."""
  size = file.seek(0, 2)
  file.seek(0)
  if file.read(len(_MAGIC)) != _MAGIC:
    raise ValueError('it is something else')
  digest, left = hashlib.sha256(_MAGIC), size - len(_MAGIC) - _HASH_BYTES
  while left > 0:
    block = file.read(min(left, _BLOCK_BYTES))
    if not block:
      break
    digest.update(block)
    left -= len(block)
  if left or file.read() != digest.digest():
    raise ValueError('it is damaged or cut off')
  file.seek(len(_MAGIC))


def _read_header(file: BinaryIO) -> dict[str, Any]:
  length = int.from_bytes(file.read(_LENGTH_BYTES), 'little')
  if length > _MAX_HEADER_BYTES:
    raise ValueError(f'its header claims {length} bytes')
  header = json.loads(file.read(length))
  if not isinstance(header, dict) or not isinstance(header['metadata'].get('step'), int):
    raise ValueError('its header has no step')
  return header


def _read_array(file: BinaryIO, dtype_name: str, shape: Sequence[int]) -> np.ndarray:
  dtype = np.dtype(dtype_name)
  count = math.prod(shape)
  if dtype.hasobject or count < 0:
    raise ValueError(f'it holds an array of {dtype_name}')
  raw = file.read(count * dtype.itemsize)
  if len(raw) != count * dtype.itemsize:
    raise ValueError('it ends within its arrays')
  return np.frombuffer(raw, dtype).reshape(shape)


class CheckpointFolder:
  """Checkpoints of one run, and which of them stay.

  max_kept: the newest so many stay; with by_score those of the lowest scores, and the newest one, to resume from.
  """

  def __init__(self, folder: Path, *, max_kept: int, by_score: bool):
    self.folder = folder
    self._max_kept = max_kept
    self._by_score = by_score

  def rename(self, folder: Path) -> None:
    """Gives the folder another name. Raises OSError."""
    if self.folder.exists():
      os.replace(self.folder, folder)
    self.folder = folder

  def save(self, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Writes a checkpoint of metadata['step'], then removes those that do not stay. Raises CheckpointError."""
    path = self.folder / f'step_{metadata["step"]:09}.ckpt'
    write_checkpoint(path, arrays, metadata)
    for other in self._superfluous(path):
      with contextlib.suppress(OSError):
        other.unlink()

  def newest(self) -> Checkpoint:
    """The newest sound checkpoint; warns of damaged ones that are newer. Raises CheckpointError if there is none."""
    failures: list[CheckpointError] = []
    for path in self._paths():
      try:
        found = read_checkpoint(path)
      except CheckpointError as error:
        failures.append(error)
        continue
      for failure in failures:
        _logger.warning('%s; the one before it is taken', failure)
      return found
    if failures:
      raise failures[0]
    raise CheckpointError(f'{self.folder}: no checkpoint to resume from; leave out --resume to begin')

  def _paths(self) -> list[Path]:
    """Newest first."""
    return sorted(self.folder.glob(_PATTERN), reverse=True)

  def _superfluous(self, newest: Path) -> Iterator[Path]:
    others = [path for path in self._paths() if path != newest]
    if not self._by_score:
      yield from others[self._max_kept - 1 :]
      return
    ranked = sorted([newest, *others], key=_score)
    yield from (path for path in ranked[self._max_kept :] if path != newest)


def _score(path: Path) -> float:
  """Score of a checkpoint: the lower the better; infinite where it was not measured or cannot be read."""
  try:
    with open(path, 'rb') as file:
      file.seek(len(_MAGIC))
      score = _read_header(file)['metadata'].get('score')
      return float(score) if score is not None else math.inf
  except (OSError, KeyError, TypeError, ValueError, RecursionError):
    return math.inf
