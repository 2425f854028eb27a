"""Models by path, by name, and by the identity that a file asks for."""

import pytest
from support import lmic_cases, segment_stand_in

from language_modeling_is_compression.errors import CheckpointError, ConfigError, ModelMismatchError
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.quantized import loading
from language_modeling_is_compression.quantized.cpu import CompiledPredictor


@pytest.fixture
def built(monkeypatch, tmp_path) -> list[str]:
  """A package with stand-ins for default and tiny; names of the files whose predictors were built."""
  names: list[str] = []

  def build(model, path, device):
    names.append(path.name)
    return segment_stand_in.StandIn(seed=len(path.name))

  (tmp_path / 'package').mkdir()
  for name in ('default.npz', 'tiny.npz'):
    save_model(tmp_path / 'package' / name, lmic_cases.tiny_model(use_16bit=True))
  monkeypatch.setattr(loading, 'PACKAGED', {'default': 'default.npz', 'tiny': 'tiny.npz', 'small': 'tiny.npz'})
  monkeypatch.setattr(loading.resources, 'files', lambda package: tmp_path / 'package')
  monkeypatch.setattr(loading, '_predictor', build)
  return names


def identity(name: str) -> bytes:
  return segment_stand_in.StandIn(seed=len(name)).identity


def test_every_packaged_name_is_a_model():
  for name in loading.PACKAGED:
    with loading.model_path(name) as path:
      assert path.is_file() and path.parent.name == 'models'
  assert isinstance(loading.load_predictor('bytes', 'cpu'), CompiledPredictor)


def test_a_packaged_name_is_never_taken_for_a_file(tmp_path, monkeypatch):
  """Whoever works in a folder with something called `default` in it still gets the packaged model."""
  monkeypatch.chdir(tmp_path)
  save_model(tmp_path / 'tiny', lmic_cases.tiny_model(use_16bit=True))
  (tmp_path / 'default').mkdir()
  with loading.model_path('tiny') as packaged, loading.model_path('default') as also:
    assert packaged.parent.name == also.parent.name == 'models'
  assert loading.load_predictor('./tiny', 'cpu').identity != loading.load_predictor('tiny', 'cpu').identity


def test_a_name_that_is_neither(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(CheckpointError, match='tiniest: cannot be read: No such file'):
    loading.load_predictor('tiniest', 'cpu')


def test_no_more_models_are_built_than_needed(built):
  names = ['default', 'tiny', 'small', 'default']
  assert loading.find_predictor(identity('default.npz'), names, 'cpu').identity == identity('default.npz')
  assert built == ['default.npz']
  assert loading.find_predictor(identity('tiny.npz'), names, 'cpu').identity == identity('tiny.npz')
  assert built == ['default.npz', 'default.npz', 'tiny.npz']


def test_a_model_that_is_not_packaged_is_named(built):
  missing = bytes(range(100, 132))
  with pytest.raises(ModelMismatchError, match=f'written with model {missing.hex()[:16]}, which does not come with'):
    loading.find_predictor(missing, ['tiny', 'default', 'small'], 'cpu')
  assert built == ['tiny.npz', 'default.npz']


def test_a_hybrid_model_has_no_gpu():
  with pytest.raises(ConfigError, match='--device gpu: hybrid models run on CPUs only'):
    loading._hybrid(lmic_cases.tiny_model(use_16bit=True), 'gpu')
