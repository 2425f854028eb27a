"""A family of models is a row of the registry and a module in each layer: one that is added so is read and coded."""

import dataclasses
import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
from support import lmic_cases
from support.wav_builder import build_wav

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.config import families
from language_modeling_is_compression.config.families import FAMILIES, Family
from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import load_model, save_model
from language_modeling_is_compression.quantized import byte_coder
from language_modeling_is_compression.quantized.loading import load_coder


@dataclasses.dataclass(frozen=True, kw_only=True)
class OtherSpec(ByteSpec):
  family: ClassVar[str] = 'other'

  @classmethod
  def from_stored(cls, network, data) -> 'OtherSpec':
    return cls(**vars(ByteSpec.from_stored(network, data)))


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class OtherModel(ByteModel):
  spec: OtherSpec


def module(name: str, **names: object) -> ModuleType:
  made = ModuleType(name)
  vars(made).update(names)
  return made


@pytest.fixture
def other(monkeypatch) -> list[str]:
  """Registers a family; returns the devices that its coder was asked for."""
  asked: list[str] = []

  def load(model, device):
    asked.append(device)
    return byte_coder.load_coder(model, device)

  package = families.__name__.partition('.')[0]
  monkeypatch.setitem(
    sys.modules, f'{package}.network.other_model', module('other_model', SPEC=OtherSpec, MODEL=OtherModel)
  )
  monkeypatch.setitem(sys.modules, f'{package}.quantized.other_coder', module('other_coder', load_coder=load))
  row = Family(network='other_model', coder='other_coder', task='byte_task')
  for holder in (families, sys.modules[load_model.__module__], sys.modules[load_coder.__module__]):
    monkeypatch.setattr(holder, 'FAMILIES', {**FAMILIES, 'other': row})
  return asked


def test_every_row_names_modules_with_what_they_must_have():
  for name, family in FAMILIES.items():
    network = family.network_module()
    assert network.SPEC.family == name and network.MODEL.__annotations__['spec']
    assert callable(family.coder_module().load_coder)
    assert all(callable(getattr(family.task_module(), each)) for each in ('check', 'make_task', 'make_dry_task'))


def test_a_family_that_is_added(other, tmp_path):
  byte_model = lmic_cases.tiny_model(use_16bit=False)
  model = OtherModel(params=byte_model.params, spec=OtherSpec(**vars(byte_model.spec)), provenance={})
  save_model(tmp_path / 'a.npz', model)
  found = load_model(tmp_path / 'a.npz')
  assert isinstance(found, OtherModel) and found.spec == model.spec
  coder = ChunkCoder(load_coder(str(tmp_path / 'a.npz'), 'cpu'))
  original = build_wav(np.arange(200, dtype=np.uint8).tobytes(), bits=8)
  assert lmic_cases.decompressed(lmic_cases.compressed(original, coder), coder) == original
  assert other == ['cpu']


def test_a_family_that_is_not_registered(tmp_path):
  byte_model = lmic_cases.tiny_model(use_16bit=False)
  model = OtherModel(params=byte_model.params, spec=OtherSpec(**vars(byte_model.spec)), provenance={})
  save_model(tmp_path / 'a.npz', model)
  with pytest.raises(CheckpointError, match=r'expected a family of models, bytes or hybrid, got .other.$'):
    load_model(tmp_path / 'a.npz')
