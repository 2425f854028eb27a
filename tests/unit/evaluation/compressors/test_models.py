"""Our models as compressors: whole files, chunks of one channel, the bits of single samples, and the model alone."""

import io

import numpy as np
import pytest
from support import lmic_cases, segment_stand_in
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes

from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.evaluation.compressors import models
from language_modeling_is_compression.evaluation.compressors.compressor import Pcm
from language_modeling_is_compression.evaluation.compressors.models import ModelCompressor
from language_modeling_is_compression.evaluation.statistics.measurements import Fallback
from language_modeling_is_compression.format.container import CHUNK_OVERHEAD_BYTES
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.quantized.loading import load_coder

WAVES = np.round(6000 * np.sin(0.01 * np.arange(600)))[:, None] + np.array([0, 40])


@pytest.fixture
def compressor(monkeypatch, tmp_path) -> ModelCompressor:
  save_model(tmp_path / 'a.npz', lmic_cases.tiny_model(use_16bit=True))
  monkeypatch.setattr(models, 'load_coder', lambda path, device: segment_stand_in.StandIn())
  return ModelCompressor('a', str(tmp_path / 'a.npz'), device='cpu', lanes=2)


def test_whole_files(compressor, tmp_path):
  (tmp_path / 'a.wav').write_bytes(build_wav(pcm_bytes(WAVES.astype(int), 16), channels=2))
  outcome = compressor.whole(tmp_path / 'a.wav')
  assert outcome.code_length_bits < 8 * outcome.compressed_bytes < outcome.code_length_bits + 8 * 600


@pytest.mark.parametrize('bits', [8, 16, 24])
def test_chunks_of_any_width(compressor, bits):
  assert compressor.sample_bits is None
  samples = (WAVES[:, 0] * 2.0 ** (bits - 16)).astype(int)
  data = pcm_bytes(samples, bits)
  half = len(data) // 2
  outcome = compressor.chunked(Pcm(chunks=[data[:half], data[half:]], sample_bytes=bits // 8, sample_rate_hz=8000))
  bodies = 8 * (outcome.compressed_bytes - 2 * CHUNK_OVERHEAD_BYTES)
  assert bodies <= outcome.code_length_bits + 2 * 8 * 30
  assert sum(span.num_samples for span in outcome.by_position) == 600
  alone = compressor.sample_bits_of(data[:half], bits // 8, 8000)
  assert alone.shape == (300,)
  # The first is what warms it up.
  assert {shape.sample_rate_hz for shape in compressor._coder.encoded[1:]} == {8000}
  assert alone[0] == pytest.approx(bits, rel=0.01)


# The model alone.

SINE = np.round(100 * np.sin(0.01 * np.arange(6000))).astype(int)  # LZMA is far better than a model of no worth.
FLOATS = np.linspace(-1, 1, 900, dtype='<f4').tobytes()
NOISE = np.random.default_rng(0).integers(-128, 128, 6000)  # Nothing is better than the bytes as they are.


@pytest.fixture
def weak(tmp_path) -> ModelCompressor:
  """A byte model with random parameters."""
  save_model(tmp_path / 'weak.npz', lmic_cases.tiny_model(use_16bit=False))
  return ModelCompressor('weak', str(tmp_path / 'weak.npz'), device='cpu', lanes=2)


def wav_of(samples: np.ndarray, folder, **form):
  path = folder / 'sound.wav'
  path.write_bytes(build_wav(pcm_bytes(samples[:, None], 8), bits=8, **form))
  return path


def by_command(path, folder) -> int:
  """Bytes of what `lmic compress` makes of a file with the weak model."""
  with ChunkCoder(load_coder(str(folder / 'weak.npz'), 'cpu')) as coder:
    return file_codec.compress(io.BytesIO(path.read_bytes()), io.BytesIO(), coder).num_bytes


@pytest.mark.parametrize('samples', [SINE, NOISE, SINE * 0], ids=['sine', 'noise', 'silence'])
def test_a_weak_model_is_charged_with_its_own_bytes(weak, tmp_path, samples):
  path = wav_of(samples, tmp_path)
  outcome = weak.whole(path)
  assert 8 * outcome.compressed_bytes > outcome.code_length_bits > 8 * 0.9 * 6000
  assert outcome.fallback == Fallback(
    sound_chunks=1, fallback_chunks=1, fallback_bytes=6000, lmic_bytes=by_command(path, tmp_path)
  )
  assert outcome.fallback.lmic_bytes < outcome.compressed_bytes


def test_a_weak_model_is_charged_chunk_by_chunk(weak):
  data = pcm_bytes(np.concatenate([SINE, NOISE])[:, None], 8)
  chunks = [data[start : start + 1000] for start in range(0, len(data), 1000)]
  outcome = weak.chunked(Pcm(chunks=chunks, sample_bytes=1, sample_rate_hz=8000))
  assert 8 * (outcome.compressed_bytes - 12 * CHUNK_OVERHEAD_BYTES) > outcome.code_length_bits > 8 * 0.9 * 12_000
  assert (outcome.fallback.sound_chunks, outcome.fallback.fallback_chunks) == (12, 12)
  assert outcome.fallback.fallback_bytes == 12_000
  # Noise is stored, and a sine takes LZMA fewer bytes.
  assert 6000 < outcome.fallback.lmic_bytes - 12 * CHUNK_OVERHEAD_BYTES < 6000 + 0.9 * 6000


def test_other_weak_models_make_other_bytes(tmp_path):
  path, sizes = wav_of(SINE, tmp_path), set()
  for seed in range(3):
    save_model(tmp_path / f'{seed}.npz', lmic_cases.tiny_model(use_16bit=False, seed=seed))
    model = ModelCompressor('model', str(tmp_path / f'{seed}.npz'), device='cpu', lanes=2)
    sizes.add(model.whole(path).compressed_bytes)
  assert len(sizes) == 3


def test_what_fell_back_of_a_model_that_is_good(compressor, tmp_path):
  path = tmp_path / 'a.wav'
  path.write_bytes(build_wav(pcm_bytes(WAVES.astype(int), 16), channels=2))
  outcome = compressor.whole(path)
  assert outcome.fallback == Fallback(
    sound_chunks=1, fallback_chunks=0, fallback_bytes=0, lmic_bytes=outcome.compressed_bytes
  )


@pytest.mark.parametrize(
  ('form', 'sound_chunks', 'num_bytes'),
  [
    ({'payload': FLOATS, 'bits': 32, 'tag': IEEE_FLOAT, 'channels': 3}, 3, 3600),
    # So many channels for so few frames that the file is taken as bytes.
    ({'payload': bytes(4000), 'bits': 8, 'channels': 4000}, 1, 4000),
  ],
  ids=['floats', 'channels'],
)
def test_what_the_model_cannot_code_fell_back_and_has_no_code_length(weak, tmp_path, form, sound_chunks, num_bytes):
  path = tmp_path / 'a.wav'
  path.write_bytes(build_wav(**form))
  outcome = weak.whole(path)
  assert outcome.code_length_bits is None
  assert outcome.fallback == Fallback(
    sound_chunks=sound_chunks,
    fallback_chunks=sound_chunks,
    fallback_bytes=num_bytes,
    lmic_bytes=outcome.compressed_bytes,
  )
  assert outcome.compressed_bytes == by_command(path, tmp_path)
