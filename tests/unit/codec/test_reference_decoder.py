"""docs/FORMAT.md suffices: a decoder written from it alone gives back what the package compressed."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from reference_decoder import bytes_by_model as independent_bytes
from reference_decoder import container as independent_decoder
from reference_decoder.models import ModelFile, read_model
from support import fixed_files, tiny_models
from support.wav_builder import IEEE_FLOAT, build_wav

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import load_model, save_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.quantized.loading import load_coder

NARROW = ModelConfig(embedding_dim=8, num_layers=2, num_heads=2, widening_factor=2, attention_window=5)
# Heads of a width whose root is irrational, and a window longer than the shortest files.
WIDE = ModelConfig(embedding_dim=24, num_layers=1, num_heads=4, widening_factor=3, attention_window=200)
# The last is the standard deviation of the parameters: 20 drives the integers to their limits.
MODELS = {
  '8-bit': (NARROW, DataConfig(), 0.1),
  '8-bit wide': (WIDE, DataConfig(), 0.2),
  '16-bit': (NARROW, DataConfig(use_16bit=True), 0.1),
  '24-bit': (NARROW, DataConfig(bit_depth=24), 0.1),
  '16-bit at its limits': (WIDE, DataConfig(use_16bit=True), 20.0),
}
NORMAL = np.random.default_rng(0).normal(size=600)


class Codec(NamedTuple):
  """One model, as the package knows it and as the independent decoder does."""

  coder: ChunkCoder
  model: ModelFile
  network: independent_decoder.Network
  identity: bytes


def tiny_model(folder: Path, model_config: ModelConfig, data_config: DataConfig, scale: float) -> tuple[Path, Model]:
  params: Any = tiny_models.random_params(build_transformer(model_config, data_config), scale=scale)
  return saved(folder, ByteModel(params=params, spec=ByteSpec(network=model_config, data=data_config), provenance={}))


def saved(folder: Path, model: Model) -> tuple[Path, Model]:
  path = folder / 'tiny.npz'
  save_model(path, model)
  return path, load_model(path)


@pytest.fixture(scope='module', params=MODELS)
def either_side(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Codec:
  path, _ = tiny_model(tmp_path_factory.mktemp('model'), *MODELS[request.param])
  model = read_model(path)
  return Codec(ChunkCoder(load_coder(str(path), 'cpu'), 4), model, *independent_decoder.integers(model))


def drawn_samples(network: independent_decoder.Network, num_samples: int, num_bytes: int, seed: int) -> np.ndarray:
  """Bytes [num_samples, num_bytes] of a WAV file, drawn from the network, so that no other method codes them as well.

  That holds only if the network that compresses them is the same: otherwise no chunk is coded with it.
  """
  rng = np.random.default_rng(seed)
  context = independent_bytes.Context(network)
  places = len(network.embedding)
  planes = rng.geometric(0.5, (num_samples, max(places, num_bytes))).clip(max=255).astype(np.uint8)
  planes[:, num_bytes:] = 0
  for sample in planes:
    for place in range(places):
      if place < num_bytes:
        slot = rng.integers(independent_bytes.INTERVAL_TOTAL)
        sample[place] = np.searchsorted(np.cumsum(context.sizes()), slot, 'right')
      context.feed(int(sample[place]))
  if num_bytes > 1:
    planes[:, 0] ^= 0x80
  return planes[:, :num_bytes][:, ::-1]


def drawn_wav(network: independent_decoder.Network, num_frames: int, num_channels: int, num_bytes: int) -> bytes:
  channels = [drawn_samples(network, num_frames, num_bytes, seed) for seed in range(num_channels)]
  payload = np.stack(channels, axis=1).tobytes()
  return build_wav(payload, channels=num_channels, bits=8 * num_bytes, before=[(b'LIST', b'before')], trailer=b'after')


def methods(data: bytes) -> set[int]:
  return {chunk.method for chunk in independent_decoder.parse(data).chunks}


@pytest.mark.parametrize(('num_frames', 'num_channels', 'num_bytes'), [(300, 1, 1), (300, 1, 3), (150, 2, 2)])
def test_decodes_what_the_model_codes(either_side, num_frames, num_channels, num_bytes):
  original = drawn_wav(either_side.network, num_frames, num_channels, num_bytes)
  data = fixed_files.compressed(original, either_side.coder)
  assert independent_decoder.MODEL in methods(data)
  assert independent_decoder.parse(data).header.model_id == either_side.identity
  assert independent_decoder.decode(data, either_side.model) == original


@pytest.mark.parametrize(
  'original',
  [
    pytest.param(build_wav(b'\1\2'), id='one sample, whose body would be longer than its payload'),
    pytest.param(build_wav(NORMAL.astype('<f4').tobytes(), tag=IEEE_FLOAT, channels=2, bits=32), id='floats'),
    pytest.param(build_wav(NORMAL.astype('<f8').tobytes(), tag=IEEE_FLOAT, bits=64), id='long floats'),
    pytest.param(b'no WAV file', id='no WAV file'),
    pytest.param(b'', id='empty'),
  ],
)
def test_decodes_what_a_model_does_not_code(either_side, original):
  data = fixed_files.compressed(original, either_side.coder)
  assert independent_decoder.MODEL not in methods(data)
  assert independent_decoder.decode(data, either_side.model) == original


@pytest.mark.parametrize(
  'original',
  [
    pytest.param(build_wav(bytes(2 * 2 * 70_000), channels=2, before=[(b'junk', bytes(3 << 20))]), id='integers'),
    pytest.param(build_wav(bytes(3 * 4 * 70_000), channels=3, tag=IEEE_FLOAT, bits=32), id='floats'),
    pytest.param(build_wav(bytes(70_000), bits=8, trailer=bytes(3 << 20)), id='long tail'),
    pytest.param(bytes(3 << 20), id='no WAV file'),
  ],
)
def test_decodes_several_spans_and_pieces_without_a_model(original):
  data = fixed_files.compressed(original, ChunkCoder(None))
  assert len(independent_decoder.parse(data).chunks) > 2
  assert independent_decoder.decode(data, None) == original


def test_refuses_every_damaged_byte():
  data = fixed_files.compressed(build_wav(bytes(range(200)), channels=2, trailer=bytes(100)), ChunkCoder(None))
  assert methods(data) == {independent_decoder.STORED, independent_decoder.LZMA}
  damaged = [data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :] for at in range(len(data))]
  for each in [*damaged, data[:-1], data + b'x', b'']:
    with pytest.raises(ValueError, match=r'\w'):
      independent_decoder.decode(each, None)


def test_refuses_another_model(either_side):
  data = fixed_files.compressed(drawn_wav(either_side.network, 300, 1, 1), either_side.coder)
  params = {**either_side.model.params, 'layer_0': dict(either_side.model.params['layer_0'])}
  params['layer_0']['lag_bias'] = params['layer_0']['lag_bias'] + np.float32(1)
  with pytest.raises(ValueError, match='needs model'):
    independent_decoder.decode(data, either_side.model._replace(params=params))


@pytest.mark.slow
def test_decodes_a_span_long_enough_to_halve_the_adaptive_counts(tmp_path):
  """They are halved after 32,641 samples. The first byte is always the one that the model is sure of."""
  smallest = ModelConfig(embedding_dim=1, num_layers=1, num_heads=1, widening_factor=1, attention_window=1)
  _, model = tiny_model(tmp_path, smallest, DataConfig(), 0.0)
  likely = np.zeros(256, np.float32)
  likely[128] = 10.0
  top = {**model.params['~'], 'output_bias': likely}
  path, _ = saved(tmp_path, dataclasses.replace(model, params={**model.params, '~': top}))
  low = np.random.default_rng(0).normal(128, 20, 32_768).astype(np.uint8)
  original = build_wav(np.stack([low, np.zeros_like(low)], axis=1).tobytes())
  data = fixed_files.compressed(original, ChunkCoder(load_coder(str(path), 'cpu'), 1))
  assert independent_decoder.MODEL in methods(data)
  assert independent_decoder.decode(data, read_model(path)) == original
