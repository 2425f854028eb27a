"""What is measured is what `lmic compress` writes: the same chunks, the same bytes, and bits that add up to them."""

import io
from typing import Any

import numpy as np
import pytest
from support import look_cases, tiny_models
from support.look_cases import sound_of, write_wav
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder, Modelled
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.errors import CancelledError, ModelMismatchError
from language_modeling_is_compression.evaluation.look import measure as measuring
from language_modeling_is_compression.evaluation.look.findings import Findings
from language_modeling_is_compression.evaluation.look.sources import Sound
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.quantized.loading import load_coder
from language_modeling_is_compression.system.cancellation import Cancellation

# Of version 4, and of version 2, which does not change any more: its trace takes a quarter of a minute to compile.
HYBRID_MODELS = pytest.mark.parametrize('model', ['default', pytest.param('tiny', marks=pytest.mark.slow)])


def measured(sound: Sound, model: str, **fields) -> Findings:
  known: dict[str, Any] = {'threads': 2, 'progress': lambda done: None, 'cancellation': Cancellation()}
  return measuring.measure(sound, model, 'm', rank=0, **(known | fields))


def compressed(sound: Sound, model: str) -> tuple[int, list[Modelled]]:
  """Bytes of the file that is written, and what the codec says of each chunk that the model has coded."""
  seen: list[Modelled] = []
  target = io.BytesIO()
  with (
    open(sound.info.path, 'rb') as source,
    ChunkCoder(load_coder(model, 'cpu'), threads=1, observe=seen.append) as coder,
  ):
    file_codec.compress(source, target, coder, segments=sound.segments)
  return len(target.getvalue()), seen


def check(sound: Sound, model: str, found: Findings, slack_bytes: int) -> None:
  """slack_bytes: of a chunk, for the coder's rounding and what stands before the code."""
  file_bytes, chunks = compressed(sound, model)
  assert found.file_bytes == file_bytes
  assert found.model_bytes == sum(chunk.model_bytes for chunk in chunks) and found.chunks == len(chunks)
  bits = sum(float(chunk.sample_bits.sum()) for chunk in chunks)
  assert found.total_bits == pytest.approx(bits, rel=1e-12)
  assert 0 <= found.model_bytes - found.total_bits / 8 <= slack_bytes * len(chunks)
  assert found.num_samples == sound.info.num_frames * sound.info.num_channels
  assert found.fallback_chunks == sum(chunk.kept_bytes < chunk.model_bytes for chunk in chunks)
  assert found.quantiles.sum() == pytest.approx(found.num_samples)


@HYBRID_MODELS
@pytest.mark.parametrize(('channels', 'bits'), [(1, 16), (2, 24), (1, 8)])
def test_bits_of_hybrid_models_add_up(tmp_path, model, channels, bits):
  sound = sound_of(write_wav(tmp_path / 'a.wav', 3000, channels, bits), segment_frames=800)
  found = measured(sound, model)
  check(sound, model, found, slack_bytes=40)
  assert found.chunks == 4 and found.hybrid and found.by_byte is None
  assert found.bits.shape == (750, channels)
  np.testing.assert_allclose(found.hybrid.rates.sum(axis=1), 1)
  assert np.all((found.hybrid.network > 0) & (found.hybrid.network < 1))


@pytest.mark.parametrize(('use_16bit', 'channels', 'bits'), [(True, 2, 16), (True, 1, 24), (False, 1, 8), (True, 1, 8)])
def test_bits_of_byte_models_add_up(tmp_path, use_16bit, channels, bits):
  """Also those of bytes that the model does not know, which are counted, and where it knows more than there are."""
  model = look_cases.byte_model(tmp_path, use_16bit=use_16bit)
  sound = sound_of(write_wav(tmp_path / 'a.wav', 400, channels, bits))
  found = measured(sound, model)
  check(sound, model, found, slack_bytes=12)
  assert found.by_byte and found.hybrid is None
  by_byte = found.by_byte
  assert len(by_byte.byte_bits) == bits // 8 and by_byte.model_bytes == (2 if use_16bit else 1)
  assert by_byte.byte_bits.sum() == pytest.approx(found.bits_per_sample)
  counts = np.diff([*by_byte.positions, 400])
  assert (counts * by_byte.position_bits).sum() * channels == pytest.approx(found.total_bits)
  assert [each.label for each in found.residuals] == [f'byte {place + 1}' for place in range(min(2, bits // 8))]
  for residuals in found.residuals:
    assert residuals.observed.sum() == 7 * channels and residuals.expected.sum() == pytest.approx(7 * channels)


def test_a_byte_models_file_has_several_spans(tmp_path, monkeypatch):
  """Chunks of a later span belong to later points of time; a quiet end takes fewer bits."""
  monkeypatch.setattr('language_modeling_is_compression.format.division._SPAN_FRAMES', 150)
  model = look_cases.byte_model(tmp_path)
  sound = sound_of(write_wav(tmp_path / 'a.wav', 400, 2))
  found = measured(sound, model)
  _, chunks = compressed(sound, model)
  assert len(chunks) == found.chunks == 6 and found.bits.shape == (400, 2)
  by_size = sorted((chunk.sample_bits.shape[0], float(chunk.sample_bits.sum())) for chunk in chunks)
  sums = [float(found.bits[start : start + 150, channel].sum()) for start in (0, 150, 300) for channel in (0, 1)]
  np.testing.assert_allclose(sorted(sums), sorted(total for _, total in by_size))


def test_threads_make_no_difference(tmp_path):
  sound = sound_of(write_wav(tmp_path / 'a.wav', 3000, 2), segment_frames=500)
  one, three = measured(sound, 'default', threads=1), measured(sound, 'default', threads=3)
  assert one.file_bytes == three.file_bytes
  np.testing.assert_array_equal(one.bits, three.bits)
  np.testing.assert_array_equal(one.quantiles, three.quantiles)


def test_progress_counts_all_bytes(tmp_path):
  sound = sound_of(write_wav(tmp_path / 'a.wav', 3000), segment_frames=1000)
  seen: list[int] = []
  measured(sound, 'default', progress=seen.append)
  # Beside the samples the file has a header, and a byte behind them.
  assert sum(seen) == 44 + 2 * 3000 + 1 and len(seen) > 2


def test_it_stops_when_it_is_asked_to(tmp_path):
  cancellation = Cancellation()
  cancellation.cancel()
  with pytest.raises(CancelledError):
    measured(sound_of(write_wav(tmp_path / 'a.wav')), 'default', cancellation=cancellation)


@HYBRID_MODELS
def test_a_file_written_with_lags_says_when(tmp_path, model):
  block = np.random.default_rng(0).integers(-3000, 3000, 5000)
  path = tmp_path / 'a.wav'
  path.write_bytes(build_wav(pcm_bytes(np.concatenate([block, block, block]), 16), rate_hz=8000))
  found = measured(sound_of(path), model).hybrid
  assert found
  assert 5000 / 8000 in {lag for each in found.lags for lag in each.lag_seconds}
  assert all(each.seconds >= 4096 / 8000 for each in found.lags)
  if model == 'tiny':  # Only these have copies.
    assert found.copies[-100:].mean() > 0.8 and found.copies[:100].max() < 0.01


def test_a_model_that_codes_no_files(tmp_path):
  data = DataConfig(quantization='mu-law', chunk_size=16)
  drawn = tiny_models.random_params(build_transformer(tiny_models.MODEL, data))
  params = {module: {name: np.asarray(array) for name, array in arrays.items()} for module, arrays in drawn.items()}
  model = ByteModel(params=params, spec=ByteSpec(network=tiny_models.MODEL, data=data), provenance={})
  save_model(tmp_path / 'mu.npz', model)
  with pytest.raises(ModelMismatchError, match='mu-law'):
    measured(sound_of(write_wav(tmp_path / 'a.wav')), str(tmp_path / 'mu.npz'))
