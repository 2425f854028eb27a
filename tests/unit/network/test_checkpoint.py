"""Model files come back bit for bit, are written whole or not at all, and nothing in a hostile one is believed."""

import dataclasses
import errno
import io
import json
import os
import pickle
import resource
import stat
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from support import lmic_cases
from support.tiny_models import DATA, HYBRID, MODEL, hybrid_params, random_features, random_params, random_tokens

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.config.settings import from_mapping, setting
from language_modeling_is_compression.errors import CheckpointError, ConfigError
from language_modeling_is_compression.network import checkpoint
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import FORMAT_VERSION, load_model, save_model
from language_modeling_is_compression.network.hybrid import build_hybrid
from language_modeling_is_compression.network.hybrid_model import HybridModel, HybridSpec
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.transformer import build_transformer, log_probabilities
from language_modeling_is_compression.prediction.evidence import (
  ENSEMBLE_EXPERTS,
  LINEAR_EXPERTS,
  NUM_FEATURES,
  NUM_OUTPUTS,
  STARTED_EXPERTS,
)
from language_modeling_is_compression.quantized.quantize import quantize_byte_model
from language_modeling_is_compression.quantized.quantize_hybrid import quantize_hybrid_model

MODELS = Path(checkpoint.__file__).parents[1] / 'models'

PROVENANCE = {
  'steps': 7,
  'held_out': {'bits_per_byte': 5.25},
  'note': 'naïve \U0001f3b5',
  'none': None,
  'list': [1, 2.5],
}
# Far above what reading the small models here takes, far below what the hostile ones claim.
_MAX_PEAK_BYTES = 8 << 20
_HUGE = 2**31 - 1


def make_model(model: ModelConfig = MODEL, data: DataConfig = DATA, seed: int = 0, **provenance) -> Model:
  params = jax.tree.map(np.asarray, random_params(build_transformer(model, data), seed))
  return ByteModel(params=params, spec=ByteSpec(network=model, data=data), provenance=provenance or PROVENANCE)


def make_hybrid(model: ModelConfig = HYBRID) -> HybridModel:
  params = jax.tree.map(np.asarray, hybrid_params(build_hybrid(model)))
  return HybridModel(params=params, spec=HybridSpec(network=model), provenance=PROVENANCE)


def assert_same_model(got: Model, expected: Model) -> None:
  assert (type(got), got.spec) == (type(expected), expected.spec)
  assert got.provenance == expected.provenance
  structure: Any = jax.tree.structure(got.params)
  assert structure == jax.tree.structure(expected.params)
  for array, wanted in zip(jax.tree.leaves(got.params), jax.tree.leaves(expected.params), strict=True):
    assert array.dtype == np.float32 and array.shape == wanted.shape and array.tobytes() == wanted.tobytes()


@pytest.fixture(scope='module')
def tiny() -> Model:
  return make_model()


@pytest.fixture(scope='module')
def sound(tiny, tmp_path_factory) -> bytes:
  path = tmp_path_factory.mktemp('model') / 'sound.npz'
  save_model(path, tiny)
  return path.read_bytes()


@pytest.fixture
def members(sound) -> dict[str, bytes]:
  """The sound file's members by name, for a test to spoil."""
  with zipfile.ZipFile(io.BytesIO(sound)) as archive:
    return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def path(tmp_path) -> Path:
  return tmp_path / 'a.npz'


def npy(array: Any, **options) -> bytes:
  file = io.BytesIO()
  np.lib.format.write_array(file, array, **options)
  return file.getvalue()


def npy_of(header: str, payload: bytes = b'') -> bytes:
  text = header.encode() + b'\n'
  return b'\x93NUMPY\x01\x00' + len(text).to_bytes(2, 'little') + text + payload


def write_members(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
  with zipfile.ZipFile(path, 'w', compression) as archive:
    for name, contents in members.items():
      archive.writestr(name, contents)


def metadata_of(members: dict[str, bytes]) -> dict:
  return json.loads(str(np.load(io.BytesIO(members['metadata.npy']))))


def write_metadata(path: Path, members: dict[str, bytes], metadata: object) -> None:
  """The members with other metadata: a JSON value, or a string as it is."""
  text = metadata if isinstance(metadata, str) else json.dumps(metadata)
  write_members(path, {**members, 'metadata.npy': npy(np.array(text))})


def assert_rejected(path: Path, *words: str) -> None:
  """Loading says in one line which file and what is wrong with it, and takes little memory."""
  tracemalloc.start()
  try:
    with pytest.raises(CheckpointError) as caught:
      load_model(path)
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  message = str(caught.value)
  assert message.startswith(f'{path}: ') and message.isprintable()
  for word in words:
    assert word in message
  assert peak < _MAX_PEAK_BYTES


@pytest.mark.parametrize(
  ('model', 'data'),
  [
    (MODEL, DATA),
    (dataclasses.replace(MODEL, num_layers=1, num_heads=1, attention_window=1), DataConfig(quantization='mu-law')),
    (dataclasses.replace(MODEL, num_layers=12), DataConfig(use_16bit=True, channels='stereo', stereo_blocking_n=3)),
    (dataclasses.replace(MODEL, embedding_dim=2), DataConfig(use_16bit=True, tokenization='sample')),
    (MODEL, DataConfig(bit_depth=24, chunk_size=7)),
  ],
  ids=['8bit', 'mu-law', '12 layers', 'samples of 16 bits', '24 bits'],
)
def test_round_trip_is_bit_for_bit(path, model, data):
  written = make_model(model, data)
  save_model(path, written)
  assert_same_model(load_model(path), written)
  assert_same_model(load_model(str(path)), written)


def test_saving_what_was_loaded_gives_the_same_model(path, tiny):
  save_model(path, tiny)
  again = path.with_name('b.npz')
  save_model(again, load_model(path))
  assert_same_model(load_model(again), tiny)


def test_extreme_numbers_survive(path, tiny):
  numbers = [-0.0, 1e-45, -1e-40, np.finfo(np.float32).max, np.finfo(np.float32).min, np.finfo(np.float32).tiny]
  params = jax.tree.map(lambda array: np.resize(np.array(numbers, np.float32), array.shape), tiny.params)
  written = dataclasses.replace(tiny, params=params)
  save_model(path, written)
  assert_same_model(load_model(path), written)


def test_a_model_file_is_a_plain_npz(path, tiny):
  save_model(path, tiny)
  with np.load(path, allow_pickle=False) as arrays:
    assert {arrays[name].dtype for name in arrays if name != 'metadata'} == {np.dtype('<f4')}
    metadata = json.loads(str(arrays['metadata']))
  assert metadata['format_version'] == FORMAT_VERSION == 2
  assert metadata['model'] == {'model': 'bytes', **dataclasses.asdict(MODEL)} and metadata['data'] == {
    name: value for name, value in dataclasses.asdict(DATA).items() if name != 'bit_depth'
  }
  assert metadata['provenance'] == PROVENANCE


@pytest.mark.parametrize('model', [HYBRID, dataclasses.replace(HYBRID, num_layers=1, attention_window=9)])
def test_hybrid_models_round_trip(path, model):
  written = make_hybrid(model)
  save_model(path, written)
  assert_same_model(load_model(path), written)


@pytest.mark.parametrize('experts', [ENSEMBLE_EXPERTS, LINEAR_EXPERTS, STARTED_EXPERTS])
def test_experts_of_a_hybrid_model_round_trip(path, experts):
  written = make_hybrid()
  written = dataclasses.replace(written, spec=HybridSpec(network=HYBRID, experts=experts))
  save_model(path, written)
  assert_same_model(load_model(path), written)
  stored = hybrid_metadata(path)[0]['data']
  assert stored.get('experts') == (None if experts == ENSEMBLE_EXPERTS else experts)


def test_a_hybrid_model_that_says_no_experts_has_the_first_ones(path):
  """As all had before there were others; so it goes on being the same model."""
  save_model(path, make_hybrid())
  metadata, members = hybrid_metadata(path)
  del metadata['data']['experts']
  write_metadata(path, members, metadata)
  read = load_model(path)
  assert read.spec == HybridSpec(network=HYBRID, experts=ENSEMBLE_EXPERTS)
  network = quantize_hybrid_model(dataclasses.replace(make_hybrid(), spec=read.spec))
  assert isinstance(read, HybridModel)
  assert quantize_hybrid_model(read).identity() == network.identity()
  assert network.identity() != quantize_hybrid_model(make_hybrid()).identity()


@pytest.mark.parametrize('experts', [8, 5, 0, -6, '6', None, [], {}, 6.5, 6.0, True])
def test_other_experts_than_there_are(path, experts):
  """Such as those of a program that is newer; the first ones are never named."""
  save_model(path, make_hybrid())
  metadata, members = hybrid_metadata(path)
  metadata['data']['experts'] = experts
  write_metadata(path, members, metadata)
  assert_rejected(path, f'experts: expected 6 or 7, got {experts!r}: update this program')


def hybrid_metadata(path) -> tuple[dict[str, Any], dict[str, bytes]]:
  """The metadata of a model file, and all its members."""
  with zipfile.ZipFile(path) as archive:
    members = {name: archive.read(name) for name in archive.namelist()}
  return metadata_of(members), members


def test_files_of_version_1_are_byte_models(path, members, tiny):
  metadata = metadata_of(members)
  del metadata['model']['model']
  write_metadata(path, members, {**metadata, 'format_version': 1})
  assert_same_model(load_model(path), tiny)
  # What no version of the package has written.
  write_metadata(path, members, metadata)
  assert_rejected(path, 'model: expected a family of models, bytes or hybrid, got none')
  write_metadata(path, members, {**metadata_of(members), 'format_version': 1})
  assert_rejected(path, 'names a family of models')


def test_a_family_that_is_not_the_networks(path, members):
  metadata = metadata_of(members)
  metadata['model']['model'] = 'hybrid'
  write_metadata(path, members, metadata)
  assert_rejected(path, 'its arrays are not those of its configuration')


def test_a_hybrid_model_that_is_too_large_for_its_file(path):
  hybrid = make_hybrid()
  save_model(path, hybrid)
  with zipfile.ZipFile(path) as archive:
    members = {name: archive.read(name) for name in archive.namelist()}
  metadata = metadata_of(members)
  metadata['model']['attention_window'] = _HUGE
  write_metadata(path, members, metadata)
  assert_rejected(path, 'its configuration needs at least')


def test_outputs_are_the_networks():
  hybrid = make_hybrid()
  features = random_features((2, 9))
  values = hybrid.outputs(features)
  assert values.shape == (2, 9, NUM_OUTPUTS) and values.dtype == np.float32
  np.testing.assert_allclose(values, jax.jit(build_hybrid(HYBRID).apply)(hybrid.params, features), rtol=1e-4, atol=1e-5)
  assert hybrid.outputs(features[:, :0]).shape == (2, 0, NUM_OUTPUTS)


@pytest.mark.parametrize(
  'features', [np.zeros((1, 2, NUM_FEATURES)), np.zeros((2, NUM_FEATURES), np.int8), np.zeros((1, 2, 3), np.int8)]
)
def test_outputs_reject_what_is_no_features(features):
  with pytest.raises(ValueError, match=rf'features: expected int8 of shape \[B, T, {NUM_FEATURES}\], got '):
    make_hybrid().outputs(features)


def test_devices_arrays_are_saved_too(path, tiny):
  save_model(path, dataclasses.replace(tiny, params=jax.tree.map(jax.numpy.asarray, tiny.params)))
  assert_same_model(load_model(path), tiny)


@pytest.mark.parametrize(('umask', 'mode'), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0, 0o666)])
def test_permissions_are_those_of_any_new_file(path, tiny, umask, mode):
  before = os.umask(umask)
  try:
    save_model(path, tiny)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.umask(umask) == umask, 'saving left another umask behind'
  finally:
    os.umask(before)


def test_overwriting_replaces_the_file_at_once(monkeypatch, path, tiny):
  save_model(path, tiny)
  old = path.read_bytes()
  seen = []
  monkeypatch.setattr(os, 'fsync', lambda _: seen.append(path.read_bytes()))
  with open(path, 'rb') as reader:
    other = make_model(seed=1)
    save_model(path, other)
    assert reader.read() == old, 'a reader of the old file sees the new one'
  assert seen == [old], 'the old file was touched before the new one was on the disk'
  assert_same_model(load_model(path), other)
  assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize('exists', [True, False], ids=['over a file', 'new'])
@pytest.mark.parametrize('what', ['fsync', 'chmod', 'replace'])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(monkeypatch, path, tiny, sound, what, exists):
  def fail(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  if exists:
    path.write_bytes(sound)
  monkeypatch.setattr(os, what, fail)
  with pytest.raises(CheckpointError, match='cannot be written: No space left on device: free space') as caught:
    save_model(path, tiny)
  assert str(caught.value).startswith(f'{path}: ')
  assert [file.read_bytes() for file in path.parent.iterdir()] == [sound] * exists


@pytest.mark.parametrize('limit', [0, 100, 20_000, 28_000])
def test_a_disk_that_fills_up_while_writing(path, tiny, sound, limit):
  path.write_bytes(sound)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
  try:
    with pytest.raises(CheckpointError, match='cannot be written: File too large'):
      save_model(path, tiny)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert path.read_bytes() == sound and os.listdir(path.parent) == [path.name]


def test_an_interruption_leaves_no_partial_file(monkeypatch, path, tiny):
  def interrupt(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(os, 'fsync', interrupt)
  with pytest.raises(KeyboardInterrupt):
    save_model(path, tiny)
  assert os.listdir(path.parent) == []


@pytest.mark.parametrize('name', ['no/such/folder/a.npz', 'a_file/a.npz', 'a_folder'])
def test_places_that_cannot_be_written(tmp_path, tiny, name):
  (tmp_path / 'a_file').write_bytes(b'')
  (tmp_path / 'a_folder').mkdir()
  with pytest.raises(CheckpointError, match=r'cannot be written: .*: free space or name another folder'):
    save_model(tmp_path / name, tiny)
  assert sorted(os.listdir(tmp_path)) == ['a_file', 'a_folder']


def test_a_name_of_any_length_and_alphabet(tmp_path, tiny):
  for name in ('n' * 251 + '.npz', '\U0001f3b5' * 60 + '.npz', '-a b\tc'):
    save_model(tmp_path / name, tiny)
    assert_same_model(load_model(tmp_path / name), tiny)


def test_log_probs_are_the_networks(tiny):
  tokens = random_tokens((3, 10))
  values = tiny.log_probs(tokens)
  assert isinstance(values, np.ndarray) and values.shape == (3, 10, 256) and values.dtype == np.float32
  transformer = build_transformer(MODEL, DATA)
  expected = jax.jit(lambda params: log_probabilities(transformer.apply(params, tokens)))(tiny.params)
  np.testing.assert_allclose(values, expected, rtol=1e-5)
  assert values.std() > 0.01, 'the test needs distributions that are not uniform'


@pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.uint32, np.int64])
def test_log_probs_take_any_integers(tiny, dtype):
  tokens = random_tokens((2, 5))
  np.testing.assert_array_equal(tiny.log_probs(tokens.astype(dtype)), tiny.log_probs(tokens))
  np.testing.assert_array_equal(tiny.log_probs(tokens.tolist()), tiny.log_probs(tokens))


@pytest.mark.parametrize('shape', [(0, 5), (2, 0), (0, 0)])
def test_log_probs_of_nothing(tiny, shape):
  values = tiny.log_probs(np.zeros(shape, np.uint8))
  assert values.shape == (*shape, 256) and values.dtype == np.float32


@pytest.mark.parametrize(
  ('tokens', 'message'),
  [
    (np.zeros(4, np.int32), r'expected integers of shape \[B, T\], got int32 of shape \[4\]'),
    (np.zeros((1, 2, 3), np.int32), r'int32 of shape \[1, 2, 3\]'),
    (np.zeros((1, 4)), r'float64 of shape \[1, 4\]'),
    (np.zeros((1, 4), bool), r'bool of shape \[1, 4\]'),
    (np.zeros((0, 4)), 'float64'),
    (np.array([[0, 256]]), 'expected 0 to 255, got 0 to 256'),
    (np.array([[-1, 3]]), 'expected 0 to 255, got -1 to 3'),
    (np.array([[2**32 + 5]]), 'got 4294967301'),
  ],
)
def test_log_probs_reject_what_is_no_tokens(tiny, tokens, message):
  with pytest.raises(ValueError, match=message):
    tiny.log_probs(tokens)


def test_number_of_parameters(tiny):
  assert tiny.num_parameters == sum(array.size for array in jax.tree.leaves(tiny.params)) == 5432


def test_the_sound_members_load(path, members, tiny):
  """What the tests below spoil is sound before."""
  write_members(path, members)
  assert_same_model(load_model(path), tiny)
  write_metadata(path, members, metadata_of(members))
  assert_same_model(load_model(path), tiny)


def test_a_missing_file(path):
  assert_rejected(path, 'cannot be read: No such file or directory')


def test_a_folder(tmp_path):
  assert_rejected(tmp_path, 'cannot be read: Is a directory')


@pytest.mark.parametrize(
  'contents',
  [
    b'',
    b'PK',
    b'PK\5\6' + bytes(18),  # An empty archive.
    b'\x93NUMPY\1\0',
    npy(np.zeros(3)),
    pickle.dumps({'a': 1}),
    np.random.default_rng(0).bytes(50_000),
    b'PK\3\4' + np.random.default_rng(1).bytes(50_000),
    np.random.default_rng(2).bytes(500) + b'PK\5\6' + np.random.default_rng(3).bytes(16) + bytes(2),
  ],
  ids=['nothing', 'two bytes', 'empty zip', 'npy magic', 'npy', 'pickle', 'random', 'random zip', 'random directory'],
)
def test_other_files(path, contents):
  path.write_bytes(contents)
  assert_rejected(path, 'not a')


def test_truncated_files(path, sound):
  for length in {*range(0, len(sound), 487), *range(len(sound) - 120, len(sound), 7), len(sound) - 1}:
    path.write_bytes(sound[:length])
    with pytest.raises(CheckpointError, match='damaged, cut off or something else'):
      load_model(path)


@pytest.mark.parametrize('mask', [0xFF, 0x01])
def test_one_changed_byte_is_seen_or_changes_nothing(path, sound, tiny, mask):
  directory = sound.index(b'PK\1\2')
  unseen = 0
  for position in {*range(0, directory, 173), *range(directory, len(sound), 11), *range(len(sound) - 22, len(sound))}:
    spoilt = bytearray(sound)
    spoilt[position] ^= mask
    path.write_bytes(spoilt)
    try:
      model = load_model(path)
    except CheckpointError as error:
      assert str(error).startswith(f'{path}: ') and str(error).isprintable()
    else:
      unseen += 1  # Dates and permissions of members mean nothing.
      assert_same_model(model, tiny)
  assert unseen < 100


class Planted:
  """Makes a folder when it is unpickled."""

  def __init__(self, folder: Path):
    self._folder = str(folder)

  def __reduce__(self):
    return os.mkdir, (self._folder,)


@pytest.mark.parametrize('name', ['metadata.npy', 'layer_0/keys.npy'])
def test_no_pickle_is_loaded(tmp_path, path, members, name):
  planted = npy(np.array([Planted(tmp_path / 'executed')], object), allow_pickle=True)
  with pytest.raises(ValueError, match='allow_pickle'):
    np.load(io.BytesIO(planted))
  write_members(path, {**members, name: planted})
  assert_rejected(path, name, "'|O'")
  assert not (tmp_path / 'executed').exists()
  np.load(io.BytesIO(planted), allow_pickle=True)
  assert (tmp_path / 'executed').exists(), 'the pickle is harmless, so the test proves nothing'


def with_shape(shape: tuple[int, ...]) -> bytes:
  return npy(np.zeros(shape, np.float32))


KEYS = np.random.default_rng(0).normal(size=(8, 8)).astype('<f4')
SPOILT_ARRAYS = {
  'other shape': (with_shape((8, 9)), 'expected float32 of shape [8, 8]'),
  'transposed axes': (with_shape((64,)), 'shape [64], expected float32 of shape [8, 8]'),
  'one axis more': (with_shape((1, 8, 8)), 'shape [1, 8, 8]'),
  'no axes': (npy(np.float32(1)), 'expected float32 of shape [8, 8]'),
  'half precision': (npy(KEYS.astype('<f2')), 'expected float32'),
  'double precision': (npy(KEYS.astype('<f8')), 'expected float32'),
  'integers': (npy(KEYS.astype('<i4')), "'<i4'"),
  'complex': (npy(KEYS[:4].astype('<c8')), "'<c8'"),
  'big-endian': (npy(KEYS.astype('>f4')), "'>f4'"),
  'Fortran order': (npy(np.asfortranarray(KEYS)), "'fortran_order': True"),
  'records': (npy(np.zeros((8, 8), [('a', '<f4')])), "[('a', '<f4')]"),
  'text': (npy(np.full((8, 8), 'a')), '<U1 of shape [8, 8]'),
  'version 2': (npy(KEYS, version=(2, 0)), 'expected float32'),
  'version 3': (npy(KEYS, version=(3, 0)), 'expected float32'),
  'no header': (KEYS.tobytes() + bytes(60), 'expected float32'),
  'header only': (npy(KEYS)[:128], 'expected float32'),
  'one number short': (npy(KEYS)[:-4] + b'', 'expected 256 bytes of numbers'),
  'one byte more': (npy(KEYS) + b'\0', 'expected 256 bytes of numbers'),
  'empty': (b'', 'expected float32'),
  'too large': (with_shape((400, 400)), 'expected float32 of shape [8, 8]'),
  'claims a huge shape': (
    npy_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000, 8), }", KEYS.tobytes()),
    'shape [2000000000, 8]',
  ),
  'claims endless digits': (
    npy_of(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'9' * 9000}, 8), }}", KEYS.tobytes()),
    'not a sound .npz file',
  ),
  'claims negative axes': (
    npy_of("{'descr': '<f4', 'fortran_order': False, 'shape': (-8, -8), }", KEYS.tobytes()),
    'expected float32',
  ),
  'code in the header': (npy_of("__import__('os')", KEYS.tobytes()), 'expected float32'),
  'deep header': (npy_of('(' * 60_000, KEYS.tobytes()), 'expected float32'),
}


@pytest.mark.parametrize('case', SPOILT_ARRAYS)
def test_an_array_that_is_not_what_it_should_be(path, members, case):
  contents, words = SPOILT_ARRAYS[case]
  write_members(path, {**members, 'layer_0/keys.npy': contents})
  assert_rejected(path, 'layer_0/keys' if 'not a sound' not in words else '', words)


@pytest.mark.parametrize('number', [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite(path, tiny, number):
  params = jax.tree.map(np.copy, tiny.params)
  params['layer_1']['values'][3, 4] = number
  save_model(path, dataclasses.replace(tiny, params=params))
  assert_rejected(path, 'layer_1/values: holds numbers that are not finite')


@pytest.mark.parametrize(
  'spoil',
  [
    lambda members: members.pop('layer_1/keys.npy'),
    lambda members: members.update({'layer_1/more.npy': members['layer_1/keys.npy']}),
    lambda members: members.update({'layer_2/keys.npy': members['layer_1/keys.npy']}),
    lambda members: members.update({'../keys.npy': members['layer_1/keys.npy']}),
    lambda members: members.update({'layer_1/KEYS.npy': members.pop('layer_1/keys.npy')}),
    lambda members: members.update({'layer_1/keys': members['layer_1/keys.npy']}),
  ],
  ids=['missing', 'one more', 'a layer more', 'outside', 'other name', 'twice but for the suffix'],
)
def test_arrays_that_are_missing_or_too_many(path, members, spoil):
  spoil(members)
  write_members(path, members)
  assert_rejected(path, 'its arrays are not those of its configuration')


def test_a_suffix_is_no_part_of_what_an_array_is(path, members, tiny):
  """As for NumPy, which also finds a member by either name."""
  write_members(path, {name.removesuffix('.npy') if 'keys' in name else name: raw for name, raw in members.items()})
  assert_same_model(load_model(path), tiny)


@pytest.mark.filterwarnings('ignore:Duplicate name:UserWarning')
@pytest.mark.parametrize('name', ['layer_1/keys.npy', 'metadata.npy'])
def test_arrays_twice(path, members, name):
  write_members(path, members)
  with zipfile.ZipFile(path, 'a') as archive:
    archive.writestr(name, members[name])
  assert_rejected(path, 'twice')


@pytest.mark.parametrize('compression', [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_arrays(path, members, compression):
  write_members(path, members, compression)
  assert_rejected(path, 'is compressed: save it without compression')


@pytest.mark.parametrize('name', ['metadata.npy', 'layer_0/keys.npy', 'other.npy'])
def test_a_bomb(path, members, name):
  write_members(path, {**members, name: npy(np.zeros(1 << 24, np.float32))}, zipfile.ZIP_DEFLATED)
  assert path.stat().st_size < 1 << 20
  assert_rejected(path, 'is compressed')


@pytest.mark.parametrize('name', ['metadata.npy', 'layer_0/keys.npy'])
@pytest.mark.parametrize('claimed', [1 << 20, 1 << 31, 0xFFFFFFFE])
def test_sizes_that_the_directory_only_claims(path, sound, name, claimed):
  spoilt = bytearray(sound)
  entry = spoilt.rindex(name.encode()) - 46
  assert spoilt[entry : entry + 4] == b'PK\1\2'
  spoilt[entry + 20 : entry + 28] = 2 * claimed.to_bytes(4, 'little')
  path.write_bytes(spoilt)
  assert_rejected(path)


@pytest.mark.parametrize('offset', [0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_places_that_the_directory_only_claims(path, sound, offset):
  """A member's place in the file as 64 bits, in a field that a writer adds for files beyond 4 GiB."""
  spoilt = bytearray(sound)
  entry = spoilt.rindex(b'metadata.npy') - 46
  extra = (1).to_bytes(2, 'little') + (8).to_bytes(2, 'little') + offset.to_bytes(8, 'little')
  spoilt[entry + 30 : entry + 32] = len(extra).to_bytes(2, 'little')
  spoilt[entry + 42 : entry + 46] = b'\xff' * 4
  spoilt[entry + 58 : entry + 58] = extra
  end = spoilt.rindex(b'PK\5\6')
  size = int.from_bytes(spoilt[end + 12 : end + 16], 'little') + len(extra)
  spoilt[end + 12 : end + 16] = size.to_bytes(4, 'little')
  path.write_bytes(spoilt)
  assert_rejected(path)


@pytest.mark.parametrize('size', [2**31, 2**62, 2**63, 2**64 - 1])
@pytest.mark.parametrize('field', ['size', 'offset', 'both'])
def test_directories_of_any_size_anywhere(path, sound, size, field):
  end = sound.rindex(b'PK\5\6')
  values = {'size': int.from_bytes(sound[end + 12 : end + 16], 'little')}
  values['offset'] = int.from_bytes(sound[end + 16 : end + 20], 'little')
  values |= dict.fromkeys(values, size) if field == 'both' else {field: size}
  count = int.from_bytes(sound[end + 8 : end + 10], 'little')
  wide = b'PK\6\6' + (44).to_bytes(8, 'little') + bytes([45, 0, 45, 0]) + bytes(8) + 2 * count.to_bytes(8, 'little')
  wide += values['size'].to_bytes(8, 'little') + values['offset'].to_bytes(8, 'little')
  locator = b'PK\6\7' + bytes(4) + end.to_bytes(8, 'little') + (1).to_bytes(4, 'little')
  path.write_bytes(sound[:end] + wide + locator + sound[end : end + 8] + b'\xff' * 12 + bytes(2))
  assert_rejected(path, 'it is damaged')


@pytest.mark.parametrize(
  ('settings', 'words'),
  [
    ({'num_layers': _HUGE}, 'its configuration needs at least'),
    ({'num_layers': 100}, 'its configuration needs at least'),
    ({'num_layers': 24}, '24 layers'),
    ({'num_layers': 3}, "'layer_2/"),
    ({'num_layers': 1}, "'layer_1/"),
    ({'embedding_dim': _HUGE - 1}, 'its configuration needs at least'),
    ({'embedding_dim': 1 << 30, 'num_heads': 1 << 30}, 'its configuration needs at least'),
    ({'embedding_dim': 10}, 'expected float32 of shape'),
    ({'attention_window': _HUGE}, 'its configuration needs at least'),
    ({'attention_window': 5}, 'layer_0/lag_bias: float32 of shape [2, 4], expected float32 of shape [2, 5]'),
    ({'widening_factor': _HUGE}, ''),
    ({'widening_factor': 1}, 'feed_forward_in'),
    ({'num_heads': 4}, 'layer_0/lag_bias'),
    ({'num_heads': 3}, 'expected a multiple of num_heads'),
    ({'num_layers': 2**31}, 'num_layers: expected a positive integer'),
    ({'num_layers': 10**400}, 'num_layers: expected a positive integer'),
    ({'num_layers': 0}, 'num_layers: expected a positive integer'),
    ({'num_layers': 2.0}, 'num_layers: expected int, got 2.0'),
    ({'num_layers': True}, 'num_layers: expected int, got True'),
    ({'num_layers': None}, 'num_layers: expected int, got None'),
    ({'num_layers': '2'}, "num_layers: expected int, got '2'"),
    ({'num_layers': [2]}, 'num_layers: expected int, got [2]'),
    ({'num_layers': {}}, 'num_layers: expected int, got {}'),
    ({'embedding_dim': float('nan')}, 'embedding_dim: expected int, got nan'),
    ({'other': 1}, 'ModelConfig: expected the keys'),
    ({'\n\x1b': 1}, 'ModelConfig: expected the keys'),
  ],
  ids=str,
)
def test_configurations_that_are_not_the_networks(path, members, settings, words):
  metadata = metadata_of(members)
  metadata['model'] |= settings
  write_metadata(path, members, metadata)
  assert_rejected(path, words)


@pytest.mark.parametrize(
  ('settings', 'words'),
  [
    ({'tokenization': 'sample', 'use_16bit': True}, 'its configuration needs at least'),
    ({'use_16bit': True}, 'embedding'),
    ({'tokenization': 'nibble'}, 'tokenization: expected one of byte, sample'),
    ({'channels': '\x1b[31m'}, 'channels: expected one of'),
    ({'channels': {'a': []}}, 'channels: expected str'),
    ({'use_16bit': 1}, 'use_16bit: expected bool, got 1'),
    ({'chunk_size': -1}, 'chunk_size: expected a positive integer'),
    ({'use_16bit': True, 'chunk_size': 3}, 'chunk_size: expected an even number'),
    ({'bit_depth': 24}, 'embedding'),
    ({'bit_depth': 24, 'use_16bit': True}, 'bit_depth: expected 16 with use_16bit, got 24'),
    ({'bit_depth': 8}, 'bit_depth: expected 24, which alone is stored, got 8'),
    ({'bit_depth': None}, 'bit_depth: expected 24, which alone is stored, got None'),
    ({'bit_depth': '24'}, "bit_depth: expected int, got '24'"),
  ],
  ids=str,
)
def test_data_configurations_that_are_not_the_networks(path, members, settings, words):
  metadata = metadata_of(members)
  metadata['data'] |= settings
  write_metadata(path, members, metadata)
  assert_rejected(path, words)


def without(key: str):
  return lambda metadata: {name: value for name, value in metadata.items() if name != key}


def with_(**values):
  return lambda metadata: {**metadata, **values}


@pytest.mark.parametrize(
  ('change', 'words'),
  [
    (without('format_version'), 'its metadata lacks'),
    (without('model'), 'its metadata lacks'),
    (without('data'), 'its metadata lacks'),
    (without('provenance'), 'its metadata lacks'),
    (with_(provenance=[]), 'its metadata lacks'),
    (with_(provenance=None), 'its metadata lacks'),
    (with_(model=None), 'model: expected a family of models, bytes or hybrid, got none'),
    (with_(model=[]), 'model: expected a family of models'),
    (with_(model={}), 'model: expected a family of models'),
    (with_(model='model'), 'model: expected a family of models'),
    (with_(model={'model': 'hybrid'}), 'ModelConfig: expected the keys'),
    (with_(model={'model': 7}), 'model: expected a family of models, bytes or hybrid, got 7'),
    (with_(model={'model': []}), 'model: expected a family of models'),
    (with_(data=7), 'DataConfig: expected the keys'),
    (with_(format_version=3), 'format version 3, expected 1 or 2: use the version of the package that wrote it'),
    (with_(format_version=0), 'format version 0'),
    (with_(format_version='1'), "format version '1'"),
    (with_(format_version=None), 'format version None'),
    (with_(format_version={}), 'format version {}'),
    (lambda _: [], 'its metadata lacks'),
    (lambda _: None, 'its metadata lacks'),
    (lambda _: 'text', 'its metadata is not JSON'),
    (lambda _: '', 'its metadata is not JSON'),
    (lambda metadata: json.dumps(metadata)[:-1], 'its metadata is not JSON'),
    (lambda metadata: json.dumps(metadata) + '}', 'its metadata is not JSON'),
    (lambda _: '9' * 5000, 'its metadata is not JSON'),
    (lambda _: '[' * 100_000, 'its metadata is not JSON'),
    (lambda _: '{"a":' * 50_000, 'its metadata is not JSON'),
    (lambda _: ' ' * (1 << 18), 'its metadata claims'),
  ],
)
def test_metadata_that_is_not_ours(path, members, change, words):
  write_metadata(path, members, change(metadata_of(members)))
  assert_rejected(path, words)


def test_values_nested_almost_too_deep(path, members):
  """Where JSON can just be read, its value may still be too deep to be named in a message."""
  for depth in (100, 900, 990, 1000, 5000, 9990, 20_000):
    nested = '[' * depth + ']' * depth
    write_metadata(path, members, json.dumps(with_(format_version='X')(metadata_of(members))).replace('"X"', nested))
    with pytest.raises(CheckpointError):
      load_model(path)


@pytest.mark.parametrize(
  'contents',
  [
    npy(np.array('{}').astype('>U2')),
    npy(np.array(['{}'])),
    npy(np.array(b'{}')),
    npy(np.float32(1)),
    npy_of("{'descr': '<U9', 'fortran_order': False, 'shape': (), }", b'{\0\0\0'),
    npy_of("{'descr': '<U1', 'fortran_order': False, 'shape': (), }", b'{\0\0\0}\0\0\0'),
    npy_of("{'descr': '<U999999', 'fortran_order': False, 'shape': (), }"),
    npy_of("{'descr': '<U99999999999', 'fortran_order': False, 'shape': (), }"),
    npy_of("{'descr': '<U0', 'fortran_order': False, 'shape': (), }"),
    npy_of("{'descr': '<U1', 'fortran_order': False, 'shape': (), }", b'\xff\xff\xff\xff'),
    npy_of("{'descr': '<U1', 'fortran_order': False, 'shape': (), }", b'\0\xd8\0\0'),
    b'{}',
    b'',
  ],
  ids=[
    *('big-endian', 'an array', 'bytes', 'a number', 'cut off', 'too long', 'claims 4 MB', 'claims 400 GB'),
    *('no characters', 'no character', 'half a character', 'bare', 'empty'),
  ],
)
def test_metadata_that_is_no_string(path, members, contents):
  write_members(path, {**members, 'metadata.npy': contents})
  assert_rejected(path, 'metadata')


def test_an_npz_of_another_program(path):
  np.savez(path, weights=np.zeros((3, 4)), bias=np.zeros(4))
  assert_rejected(path, 'not a model of this package: it holds no metadata; train one with train_audio.py')


def test_an_encrypted_file(path, sound):
  spoilt = bytearray(sound)
  entry = spoilt.rindex(b'metadata.npy') - 46
  spoilt[entry + 8] |= 1
  path.write_bytes(spoilt)
  assert_rejected(path, 'encrypted')


def test_a_model_is_shown_in_one_line(tmp_path):
  model = lmic_cases.tiny_model(use_16bit=True)
  shown = repr(dataclasses.replace(model, provenance={'steps': 12}))
  assert shown == f'<Model: bytes, 8 x 2 layers, {model.num_parameters:,} parameters, 12 steps>'
  assert repr(dataclasses.replace(model, provenance={})).endswith(' parameters, ? steps>')


@pytest.mark.parametrize('name', ['bytes', 'default', 'default_v4', 'default_v2', 'tiny'])
def test_a_field_that_is_added_orphans_no_model(name, monkeypatch):
  """Packaged models go on being read, and stand for the same integers, which files name them by."""

  @dataclasses.dataclass(frozen=True, kw_only=True)
  class More(ModelConfig):
    dropout: float = setting(0.0, help='new')

  path = MODELS / f'{name}.npz'
  before = load_model(path)
  monkeypatch.setattr(checkpoint, 'ModelConfig', More)
  after = load_model(path)
  assert isinstance(after.spec.network, More)
  quantized: Any = quantize_hybrid_model if before.spec.family == 'hybrid' else quantize_byte_model
  assert quantized(after).identity() == quantized(before).identity()


def test_the_names_of_format_version_2(tmp_path):
  """Those that are on the disk, whatever fields are called."""
  save_model(tmp_path / 'a.npz', lmic_cases.tiny_model(use_16bit=True))
  with np.load(tmp_path / 'a.npz') as arrays:
    metadata = json.loads(str(arrays['metadata']))
  assert set(metadata) == {'format_version', 'model', 'data', 'provenance'} and metadata['format_version'] == 2
  assert set(metadata['model']) == {
    *('model', 'embedding_dim', 'num_layers', 'num_heads', 'widening_factor', 'attention_window')
  }
  assert set(metadata['data']) == {
    *('use_16bit', 'tokenization', 'quantization', 'channels', 'stereo_blocking_n', 'chunk_size')
  }


def test_24_bits_are_a_name_of_their_own_which_older_readers_refuse(tmp_path):
  spec = ByteSpec(network=MODEL, data=DataConfig(bit_depth=24))
  stored, narrow = spec.stored_data(), ByteSpec(network=MODEL, data=DataConfig()).stored_data()
  assert stored == {**narrow, 'bit_depth': 24}
  # What format version 2 has for all others, and what its readers ask for.
  with pytest.raises(ConfigError, match=r"^DataConfig: expected the keys \['channels', .*, got \['bit_depth', "):
    from_mapping(DataConfig, stored, {name: name for name in narrow})
