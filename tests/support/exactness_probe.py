"""What models make of tokens and files in this process: exactness_probe.py FOLDER BACKEND LANES CORES.

FOLDER has models NAME.npz (an empty one is the packaged byte model), WAV files NAME.wav and what they were compressed
to elsewhere, NAME.lmic. BACKEND: compiled or xla. Prints JSON, {NAME: {what: hash}}: two runs anywhere print the same.
"""

import hashlib
import io
import json
import os
import sys
from pathlib import Path

import numpy as np

from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.format.container import Container
from language_modeling_is_compression.format.model_coder import ModelCoder
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.loading import load_coder
from language_modeling_is_compression.quantized.predictor import Predictor

_LENGTHS = np.array([300, 300, 259, 256, 1])  # In tokens; some pass a block of the XLA programs.
# Decoding with XLA takes milliseconds per token: only short files.
_MAX_XLA_BYTES = 10_000


def probe(folder: Path, backend: str, lanes: int) -> dict[str, dict[str, str]]:
  """Hashes of intervals, found in three ways, and of files, compressed and restored."""
  found = {}
  for path in sorted(folder.glob('*.npz')):
    model = _xla(path) if backend == 'xla' else load_coder(str(path) if path.stat().st_size else 'bytes', 'cpu')
    assert isinstance(model, ByteCoder)
    predictor = model.predictor
    tokens = np.random.default_rng(1).normal(128, 20, (len(_LENGTHS), _LENGTHS[0])).astype(np.uint8)
    by_row = [predictor.intervals(tokens[i : i + 1], _LENGTHS[i : i + 1])[0] for i in range(len(tokens))]
    found[path.stem] = {
      'model': predictor.identity.hex(),
      'rows together': _hash_of_rows(predictor.intervals(tokens, _LENGTHS)),
      'row by row': _hash_of_rows(by_row),
      'token by token': _hash_of_rows(_cached(predictor, tokens)),
      **_files(path, model, lanes),
    }
  return found


def _files(model_path: Path, model: ByteCoder, lanes: int) -> dict[str, str]:
  """Hashes of the model's files: compressed, and restored from what was compressed elsewhere."""
  hashes = {}
  with ChunkCoder(model, lanes) as coder:
    for path in sorted(model_path.parent.glob(f'{model_path.stem}*.wav')):
      target = io.BytesIO()
      with open(path, 'rb') as source:
        file_codec.compress(source, target, coder)
      hashes[f'{path.name} compressed'] = hashlib.sha256(target.getvalue()).hexdigest()
      data = path.with_suffix('.lmic').read_bytes() if path.with_suffix('.lmic').exists() else target.getvalue()
      if model.predictor.rows_together and path.stat().st_size > _MAX_XLA_BYTES:
        continue
      restored = io.BytesIO()
      file_codec.decompress(Container(io.BytesIO(data), len(data)), restored, coder)
      hashes[f'{path.name} restored'] = hashlib.sha256(restored.getvalue()).hexdigest()
  return hashes


def _cached(predictor: Predictor, tokens: np.ndarray) -> np.ndarray:
  """Intervals of tokens as a decoder sees them come, lanes that are shorter dropping out."""
  lanes = predictor.lanes(len(tokens))
  intervals = np.zeros((*tokens.shape, 2), np.uint32)
  for t in range(tokens.shape[1]):
    active = int((t < _LENGTHS).sum())
    now = tokens[:active, t].astype(np.int64)
    cdfs = lanes.cdfs(active)
    low, high = cdfs[np.arange(active), now], cdfs[np.arange(active), now + 1]
    intervals[:active, t] = np.stack([low, high - low], axis=1)
    lanes.push(now)
  return intervals


def _hash_of_rows(intervals: np.ndarray | list[np.ndarray]) -> str:
  digest = hashlib.sha256()
  for row, length in zip(intervals, _LENGTHS, strict=True):
    digest.update(row[:length].astype('<u4').tobytes())
  return digest.hexdigest()


def _xla(path: Path) -> ModelCoder:
  """The model on the CPU, through the programs that are for GPUs."""
  from unittest import mock

  import jax

  from language_modeling_is_compression.quantized import xla

  with mock.patch.object(xla, 'gpu', return_value=jax.devices('cpu')[0]):
    return load_coder(str(path) if path.stat().st_size else 'bytes', 'gpu')


if __name__ == '__main__':
  folder, backend, lanes, cores = sys.argv[1:]
  # Before anything starts its threads.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
  print(json.dumps(probe(Path(folder), backend, int(lanes))))
