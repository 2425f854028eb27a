"""Models by path, by name, and by the identity that a file asks for."""

from collections.abc import Iterator
from importlib import resources

import pytest
from support import lmic_cases, segment_stand_in

from language_modeling_is_compression.audio.pcm import wav_integers
from language_modeling_is_compression.errors import CheckpointError, ConfigError, ModelMismatchError
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.header import MODEL_ID_BYTES, Header
from language_modeling_is_compression.format.layout import (
  ChannelLayout,
  HybridLayout,
  Layout,
  LinearLayout,
  SegmentLayout,
  StartedHybridLayout,
  StartedLinearLayout,
)
from language_modeling_is_compression.network.checkpoint import load_model, save_model
from language_modeling_is_compression.network.hybrid_model import HybridSpec
from language_modeling_is_compression.prediction.evidence import ENSEMBLE_EXPERTS, LINEAR_EXPERTS, STARTED_EXPERTS
from language_modeling_is_compression.quantized import loading
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.cpu import CpuPredictor


@pytest.fixture
def built(monkeypatch, tmp_path) -> Iterator[list[str]]:
  """A package with stand-ins for default and tiny; names of the files whose predictors were built."""
  names: list[str] = []

  def build(model, path, device):
    names.append(path.name)
    return segment_stand_in.StandIn(seed=len(path.name))

  (tmp_path / 'package').mkdir()
  for name in ('default.npz', 'tiny.npz'):
    save_model(tmp_path / 'package' / name, lmic_cases.tiny_model(use_16bit=True))
  monkeypatch.setattr(
    loading,
    'PACKAGED',
    {
      'default': loading.Packaged('default.npz', (SegmentLayout,)),
      'tiny': loading.Packaged('tiny.npz', (SegmentLayout,)),
      'bytes': loading.Packaged('bytes.npz', (ChannelLayout,)),
    },
  )
  monkeypatch.setattr(resources, 'files', lambda package: tmp_path / 'package')
  monkeypatch.setattr(loading, '_coder', build)
  loading._packaged_coder.cache_clear()
  yield names
  loading._packaged_coder.cache_clear()


def identity(name: str) -> bytes:
  return segment_stand_in.StandIn(seed=len(name)).identity


def header(model_id: bytes, layout: Layout | None = None) -> Header:
  """Of a file in segments, of coding 2 unless it is another layout's. model_id: all of it, or its beginning."""
  return Header(
    pcm=wav_integers(sample_bytes=2, num_channels=1, sample_rate_hz=8000),
    chunk_frames=10,
    head_bytes=44,
    num_frames=10,
    tail_bytes=0,
    model_id=model_id,
    source_id=bytes(4),
    layout=layout or SegmentLayout(effort=1),
  )


def test_every_packaged_name_is_a_model():
  for name in loading.PACKAGED:
    with loading.model_path(name) as path:
      assert path.is_file() and path.parent.name == 'models'
  found = loading.load_coder('bytes', 'cpu')
  assert isinstance(found, ByteCoder) and isinstance(found.predictor, CpuPredictor)


def test_a_packaged_name_is_never_taken_for_a_file(tmp_path, monkeypatch):
  """Whoever works in a folder with something called `default` in it still gets the packaged model."""
  monkeypatch.chdir(tmp_path)
  save_model(tmp_path / 'tiny', lmic_cases.tiny_model(use_16bit=True))
  (tmp_path / 'default').mkdir()
  with loading.model_path('tiny') as packaged, loading.model_path('default') as also:
    assert packaged.parent.name == also.parent.name == 'models'
  assert loading.load_coder('./tiny', 'cpu').identity != loading.load_coder('tiny', 'cpu').identity


def test_linear_prediction_is_a_coder_without_a_model_file(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  save_model(tmp_path / 'linear', lmic_cases.tiny_model(use_16bit=True))
  assert loading.load_coder('linear', 'cpu').identity == StartedLinearLayout.model_id
  assert loading.load_coder('linear', 'cpu', LinearLayout).identity == LinearLayout.model_id
  assert loading.load_coder('./linear', 'cpu').identity not in (StartedLinearLayout.model_id, LinearLayout.model_id)
  with pytest.raises(ConfigError, match='linear: linear prediction has no model file: name a model, or'):
    loading.model_path('linear')


def test_a_name_that_is_neither(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(CheckpointError, match='tiniest: cannot be read: No such file'):
    loading.load_coder('tiniest', 'cpu')


def test_no_more_models_are_built_than_needed(built):
  """Once each, the likely ones first, and none of another format version."""
  assert loading.find_coder(header(identity('default.npz')), ['default'], 'cpu').identity == identity('default.npz')
  assert built == ['default.npz']
  for likely in (['default', 'tiny'], ['tiny', 'default'], []):
    assert loading.find_coder(header(identity('tiny.npz')), likely, 'cpu').identity == identity('tiny.npz')
  assert built == ['default.npz', 'tiny.npz']


def test_a_model_that_is_not_packaged_is_named(built):
  missing = bytes(range(100, 132))
  for model_id in (missing, missing[:MODEL_ID_BYTES]):
    with pytest.raises(ModelMismatchError, match=f'written with model {missing.hex()[:16]}, which does not come with'):
      loading.find_coder(header(model_id), ['tiny'], 'cpu')
  assert built == ['tiny.npz', 'default.npz']


def test_a_hybrid_model_has_no_gpu():
  with pytest.raises(ConfigError, match='--device gpu: hybrid models run on CPUs only'):
    loading.load_coder('tiny', 'gpu')


@pytest.mark.parametrize(
  ('name', 'experts'),
  [
    ('default', STARTED_EXPERTS),
    ('default-v4', LINEAR_EXPERTS),
    ('default-v2', ENSEMBLE_EXPERTS),
    ('tiny', ENSEMBLE_EXPERTS),
  ],
)
def test_packaged_hybrid_models_were_trained_on_the_experts_that_they_are_read_with(name, experts):
  with loading.model_path(name) as path:
    model = load_model(path)
  assert isinstance(model.spec, HybridSpec) and model.spec.experts == experts
  assert model.provenance['experts_version'] == experts, f'{name}: files of other experts have to go on decoding'


@pytest.mark.parametrize('name', loading.PACKAGED)
def test_packaged_models_write_files_of_the_layout_that_is_said(name):
  """By which a file's model is looked for."""
  pcm = wav_integers(sample_bytes=2, num_channels=1, sample_rate_hz=8000)
  found = loading.load_coder(name, 'cpu').division(pcm, 500, SegmentSettings(frames=100, effort=1))
  assert found is not None and type(found.layout) is loading.PACKAGED[name].layouts[-1]


# What headers of files say that were written before, of version 2 and of version 1.
IDENTITIES = {
  'default-v2': '2cb4ae33bb497d7368525b78f6091be5a52c3a22306ecfae8dc96d28fb3fe1da',
  'tiny': 'd3d135f8f88b1e37bb9d8407dff6a0f2a541ae6cf4d3647c5f7132a93be1c4ba',
  'bytes': 'c5775e441917321ea50f12a182381481b11180b8e36d158d2b4af1fe9d0e05e8',
}


@pytest.mark.parametrize('name', IDENTITIES)
def test_files_of_before_find_their_models(name):
  """By whatever name they had."""
  identity = bytes.fromhex(IDENTITIES[name])
  assert loading.load_coder(name, 'cpu').identity == identity
  layout = ChannelLayout() if name == 'bytes' else SegmentLayout(effort=1)
  _check_found(name, identity, layout)


@pytest.mark.parametrize(
  ('layout', 'hexadecimal'),
  [
    (HybridLayout(effort=1), '536f5be044f570d09a5e77f452f22ef0ebed14052277be3893734366c64ee5cd'),
    (StartedHybridLayout(effort=1), '80043d2389e630d5e726b3beb184991b6d8491257c5be4f529c53777ea159c9d'),
  ],
)
def test_files_of_codings_4_and_6_find_the_model_that_was_the_default_then(layout, hexadecimal):
  _check_found('default-v4', bytes.fromhex(hexadecimal), layout)


def _check_found(name, identity, layout):
  for model_id in (identity, identity[:MODEL_ID_BYTES]):  # From version 5 on files have its beginning alone.
    assert loading.find_coder(header(model_id, layout), [name], 'cpu').identity == identity
    assert loading.find_model(header(model_id, layout), list(loading.PACKAGED), 'cpu') == name


def test_a_model_of_other_experts_is_not_asked(built, monkeypatch):
  """Not even loaded: a file of version 4 is none of version 2's models."""
  packaged = {'default': loading.Packaged('default.npz', (HybridLayout,)), 'tiny': loading.PACKAGED['tiny']}
  monkeypatch.setattr(loading, 'PACKAGED', packaged)
  of_version_4 = header(identity('default.npz'), HybridLayout(effort=1))
  assert loading.find_coder(of_version_4, ['tiny', 'default'], 'cpu').identity == identity('default.npz')
  assert built == ['default.npz']
  with pytest.raises(ModelMismatchError):
    loading.find_coder(header(identity('default.npz')), ['default'], 'cpu')
  assert built == ['default.npz', 'tiny.npz']
