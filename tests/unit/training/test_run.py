"""Where the model goes when it cannot go where it belongs."""

import tempfile

import jax
import numpy as np
import pytest
from support.tiny_models import DATA, MODEL, random_params

from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.training.run import _save_somewhere
from language_modeling_is_compression.training.run_files import RunFiles


@pytest.fixture(scope='module')
def model() -> Model:
  params = jax.tree.map(np.asarray, random_params(build_transformer(MODEL, DATA)))
  return ByteModel(params=params, spec=ByteSpec(network=MODEL, data=DATA), provenance={'steps': 1})


@pytest.fixture
def temporary(tmp_path, monkeypatch):
  folder = tmp_path / 'temporary'
  folder.mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(folder))
  return folder


def test_a_model_that_can_be_written_needs_no_refuge(tmp_path, temporary, model):
  _save_somewhere(RunFiles(tmp_path, 'a'), model)
  assert load_model(tmp_path / 'a.npz').provenance == {'steps': 1}
  assert list(temporary.iterdir()) == []


def test_the_refuge_is_in_the_temporary_folder_and_the_error_says_where(tmp_path, temporary, model):
  wanted = tmp_path / 'gone' / 'a.npz'
  with pytest.raises(CheckpointError) as caught:
    _save_somewhere(RunFiles(wanted.parent, 'a'), model)
  (refuge,) = temporary.glob('*/*')
  assert refuge.name == 'a.npz'
  message = str(caught.value)
  assert message.startswith(f'{wanted}: cannot be written: ')
  assert message.endswith(f'; the model is in {refuge} instead')
  jax.tree.map(np.testing.assert_array_equal, load_model(refuge).params, model.params)


def test_two_refuges_do_not_meet(tmp_path, temporary, model):
  for _ in range(2):
    with pytest.raises(CheckpointError):
      _save_somewhere(RunFiles(tmp_path / 'gone', 'a'), model)
  assert len(list(temporary.glob('*/a.npz'))) == 2


def test_without_a_refuge_the_error_is_that_of_the_place_asked_for(tmp_path, temporary, model):
  temporary.rmdir()
  with pytest.raises(CheckpointError, match=r'free space or name another folder$') as caught:
    _save_somewhere(RunFiles(tmp_path / 'gone', 'a'), model)
  assert str(caught.value).startswith(f'{tmp_path}/gone/a.npz: ')
