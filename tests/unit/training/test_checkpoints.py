"""A checkpoint is what was written or an error, and the right ones stay."""

import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.training.checkpoints import (
  CheckpointFolder,
  read_checkpoint,
  write_checkpoint,
)

ARRAYS = {
  'params': np.arange(12, dtype=np.float32).reshape(3, 4),
  'none': np.zeros((0, 3), np.float32),
  'step': np.array(7, np.int32),
  'low': np.asarray(jnp.array([1.5, -2.0], jnp.bfloat16)),
  'odd': np.array([math.nan, math.inf, -0.0], np.float64)[::-1],
}


def written(path: Path) -> Path:
  write_checkpoint(path, ARRAYS, {'step': 7, 'settings': {'a': 1.5, 'b': 'ü'}})
  return path


def test_what_is_read_is_what_was_written(tmp_path):
  found = read_checkpoint(written(tmp_path / 'new' / 'a.ckpt'))
  assert found.step == 7 and found.metadata['settings'] == {'a': 1.5, 'b': 'ü'}
  assert list(found.arrays) == list(ARRAYS)
  for name, array in ARRAYS.items():
    assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)
    assert found.arrays[name].tobytes() == array.tobytes()


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path):
  path = written(tmp_path / 'a.ckpt')
  content = path.read_bytes()
  for position in range(0, len(content), 5):
    flipped = bytearray(content)
    flipped[position] ^= 1 << position % 8
    path.write_bytes(flipped)
    with pytest.raises(CheckpointError, match=r'a\.ckpt: not a sound checkpoint'):
      read_checkpoint(path)
    path.write_bytes(content[:position])
    with pytest.raises(CheckpointError, match=r'a\.ckpt: not a sound checkpoint'):
      read_checkpoint(path)
  path.write_bytes(content + b'\0')
  with pytest.raises(CheckpointError, match='it is damaged or cut off'):
    read_checkpoint(path)


def test_what_is_missing_or_something_else_is_said(tmp_path):
  with pytest.raises(CheckpointError, match='cannot be read: No such file'):
    read_checkpoint(tmp_path / 'none.ckpt')
  (tmp_path / 'model.npz').write_bytes(b'PK\3\4' + bytes(100))
  with pytest.raises(CheckpointError, match='it is something else'):
    read_checkpoint(tmp_path / 'model.npz')
  with pytest.raises(CheckpointError, match=r'cannot be written: .* free space or name another'):
    write_checkpoint(tmp_path / 'model.npz' / 'a.ckpt', ARRAYS, {'step': 1})


def steps_of(folder: CheckpointFolder) -> list[int]:
  return sorted(read_checkpoint(path).step for path in folder.folder.iterdir())


def test_the_newest_stay(tmp_path):
  folder = CheckpointFolder(tmp_path / 'c', max_kept=2, by_score=False)
  for step in (5, 90, 1000):
    folder.save(ARRAYS, {'step': step})
  assert steps_of(folder) == [90, 1000] and folder.newest().step == 1000


def test_the_best_stay_and_the_newest(tmp_path):
  folder = CheckpointFolder(tmp_path / 'c', max_kept=2, by_score=True)
  for step, score in [(1, 3.0), (2, 1.0), (3, None), (4, 2.0), (5, 9.0)]:
    folder.save(ARRAYS, {'step': step, 'score': score})
    assert folder.newest().step == step
  assert steps_of(folder) == [2, 4, 5]


def test_a_damaged_one_gives_way_to_the_one_before(tmp_path, caplog):
  folder = CheckpointFolder(tmp_path / 'c', max_kept=3, by_score=False)
  for step in (1, 2, 3):
    folder.save(ARRAYS, {'step': step})
  newest = tmp_path / 'c' / 'step_000000003.ckpt'
  newest.write_bytes(newest.read_bytes()[:-1])
  assert folder.newest().step == 2
  assert [record.getMessage() for record in caplog.records] == [
    f'{newest}: not a sound checkpoint: it is damaged or cut off; the one before it is taken'
  ]
  for path in folder.folder.iterdir():
    path.write_bytes(b'')
  with pytest.raises(CheckpointError, match='step_000000003'):
    folder.newest()


def test_without_any_it_is_said_how_to_begin(tmp_path):
  with pytest.raises(CheckpointError, match=r'c: no checkpoint to resume from; leave out --resume to begin$'):
    CheckpointFolder(tmp_path / 'c', max_kept=2, by_score=False).newest()


def test_a_write_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
  folder = CheckpointFolder(tmp_path / 'c', max_kept=1, by_score=False)
  folder.save(ARRAYS, {'step': 1})
  monkeypatch.setattr('os.fsync', lambda *_: exec('raise OSError(28, "No space left on device")'))
  with pytest.raises(CheckpointError, match='No space left'):
    folder.save(ARRAYS, {'step': 2})
  assert steps_of(folder) == [1]
