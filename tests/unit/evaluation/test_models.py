"""Models of segments as compressors: whole files, chunks of one channel, and the bits of single samples."""

import lmic_cases
import numpy as np
import pytest
import segment_stand_in
from wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.checkpoint import save_model
from language_modeling_is_compression.container import CHUNK_OVERHEAD_BYTES
from language_modeling_is_compression.evaluation import models
from language_modeling_is_compression.evaluation.compressors import Pcm
from language_modeling_is_compression.evaluation.models import ModelCompressor

WAVES = np.round(6000 * np.sin(0.01 * np.arange(600)))[:, None] + np.array([0, 40])


@pytest.fixture
def compressor(monkeypatch, tmp_path) -> ModelCompressor:
  save_model(tmp_path / 'a.npz', lmic_cases.tiny_model(use_16bit=True))
  monkeypatch.setattr(models, 'load_predictor', lambda path, device: segment_stand_in.StandIn())
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
  assert {shape.sample_rate_hz for shape in compressor._predictor.encoded[1:]} == {8000}
  assert alone[0] == pytest.approx(bits, rel=0.01)
