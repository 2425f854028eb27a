"""Model files after any damage: they load as they were written or are rejected, and nothing else happens."""

import io
import json
import zipfile
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.tiny_models import DATA, MODEL, random_params

from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import load_model, save_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.transformer import build_transformer

PROVENANCE = {'steps': 7}
# The path is one per test, and every example writes the whole file anew.
on_disk = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

POSITIONS = st.integers(0, 1) | st.integers(0, 40_000) | st.integers(-2500, -1)  # The directory is at the end.
VALUES = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, ord('P'), ord('K')]) | st.integers(0, 255)
JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
  lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
  max_leaves=8,
)


@pytest.fixture(scope='module')
def sound(tmp_path_factory) -> tuple[Model, bytes]:
  params = jax.tree.map(np.asarray, random_params(build_transformer(MODEL, DATA)))
  model = ByteModel(params=params, spec=ByteSpec(network=MODEL, data=DATA), provenance=PROVENANCE)
  path = tmp_path_factory.mktemp('model') / 'sound.npz'
  save_model(path, model)
  return model, path.read_bytes()


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'a.npz'


def load_or_reject(path, contents: bytes) -> Model | None:
  path.write_bytes(contents)
  try:
    return load_model(path)
  except CheckpointError as error:
    assert str(error).startswith(f'{path}: ') and str(error).isprintable()
    return None


def assert_unchanged_or_rejected(path, contents: bytes, original: Model) -> None:
  model = load_or_reject(path, contents)
  if model is None:
    return
  assert isinstance(model, ByteModel)
  assert (model.spec.network, model.spec.data, model.provenance) == (MODEL, DATA, PROVENANCE)
  structure: Any = jax.tree.structure(model.params)
  assert structure == jax.tree.structure(original.params)
  jax.tree.map(np.testing.assert_array_equal, model.params, original.params)


def rewritten(contents: bytes, name: str, member: bytes) -> bytes:
  """The archive with one member replaced, its sums right."""
  file = io.BytesIO()
  with zipfile.ZipFile(io.BytesIO(contents)) as old, zipfile.ZipFile(file, 'w') as new:
    for entry in old.namelist():
      new.writestr(entry, member if entry == name else old.read(entry))
  return file.getvalue()


@on_disk
@given(st.binary(max_size=300))
def test_any_bytes(path, contents):
  assert load_or_reject(path, contents) is None
  assert load_or_reject(path, b'PK\3\4' + contents) is None


@on_disk
@given(edits=st.lists(st.tuples(POSITIONS, VALUES), min_size=1, max_size=6))
def test_changed_bytes(path, sound, edits):
  original, contents = sound
  spoilt = bytearray(contents)
  for position, value in edits:
    spoilt[position % len(spoilt)] = value
  assert_unchanged_or_rejected(path, bytes(spoilt), original)


@on_disk
@given(first=POSITIONS, second=POSITIONS, between=st.binary(max_size=30))
def test_a_span_that_is_lost_or_twice(path, sound, first, second, between):
  original, contents = sound
  spoilt = contents[: first % len(contents)] + between + contents[second % len(contents) :]
  assert_unchanged_or_rejected(path, spoilt, original)


@on_disk
@given(
  name=st.sampled_from(['metadata.npy', 'layer_0/keys.npy']),
  edits=st.lists(st.tuples(st.integers(0, 140), VALUES), min_size=1, max_size=4),
)
def test_changed_bytes_of_an_array_whose_sum_is_right(path, sound, name, edits):
  original, contents = sound
  with zipfile.ZipFile(io.BytesIO(contents)) as archive:
    member = bytearray(archive.read(name))
  for position, value in edits:
    member[position] = value
  model = load_or_reject(path, rewritten(contents, name, bytes(member)))
  if model is not None:
    assert jax.tree.map(np.shape, model.params) == jax.tree.map(np.shape, original.params)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in jax.tree.leaves(model.params))


@on_disk
@given(key=st.sampled_from(['format_version', 'model', 'data', None]), value=JSON)
def test_any_json_for_metadata(path, sound, key, value):
  contents = sound[1]
  with zipfile.ZipFile(io.BytesIO(contents)) as archive:
    metadata = json.loads(str(np.load(io.BytesIO(archive.read('metadata.npy')))))
  assume(key != 'format_version' or value != metadata[key])
  changed = value if key is None else {**metadata, key: value}
  member = io.BytesIO()
  np.save(member, np.array(json.dumps(changed)))
  assert load_or_reject(path, rewritten(contents, 'metadata.npy', member.getvalue())) is None


@on_disk
@given(
  kind=st.sampled_from(['model', 'data']),
  field=st.integers(0, 5),
  value=JSON | st.integers(1, 20) | st.sampled_from(['byte', 'sample', 'linear', 'mu-law', 'mono', 'stereo']),
)
def test_any_setting(path, sound, kind, field, value):
  original, contents = sound
  with zipfile.ZipFile(io.BytesIO(contents)) as archive:
    metadata = json.loads(str(np.load(io.BytesIO(archive.read('metadata.npy')))))
  settings = metadata[kind]
  settings[sorted(settings)[field % len(settings)]] = value
  member = io.BytesIO()
  np.save(member, np.array(json.dumps(metadata)))
  model = load_or_reject(path, rewritten(contents, 'metadata.npy', member.getvalue()))
  if model is not None:  # A setting of the tokens that the network's shape does not depend on, or the one it had.
    assert model.spec.network == MODEL
    assert jax.tree.map(np.shape, model.params) == jax.tree.map(np.shape, original.params)
