"""Models whose tokens code no files: their code lengths are those of the float model, on tokens as in training."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from support.tiny_models import MODEL, random_params
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.data.tokens import mix_down, mu_law
from language_modeling_is_compression.errors import BaselineError, ConfigError
from language_modeling_is_compression.evaluation import measure as measuring
from language_modeling_is_compression.evaluation.compressors import code_lengths
from language_modeling_is_compression.evaluation.compressors.code_lengths import TokenModel
from language_modeling_is_compression.evaluation.recordings import Recording
from language_modeling_is_compression.evaluation.statistics.measurements import CHUNKED, WHOLE
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.network.transformer import build_transformer

pytestmark = pytest.mark.usefixtures('unoptimized')

MU_LAW = DataConfig(quantization='mu-law', chunk_size=16)
SAMPLES = DataConfig(use_16bit=True, tokenization='sample', chunk_size=16)
NUM_FRAMES = 50


def model_of(data: DataConfig) -> ByteModel:
  drawn = random_params(build_transformer(MODEL, data))
  params = {module: {name: np.asarray(array) for name, array in arrays.items()} for module, arrays in drawn.items()}
  return ByteModel(params=params, spec=ByteSpec(network=MODEL, data=data), provenance={})


def token_model(model: ByteModel, folder: Path, device: str = 'cpu') -> TokenModel:
  save_model(folder / 'tokens.npz', model)
  return TokenModel('tokens', folder / 'tokens.npz', model, device=device)


@pytest.fixture
def recording(tmp_path) -> Recording:
  """Two channels of 16 bits."""
  samples = np.random.default_rng(0).integers(-(2**15), 2**15, (NUM_FRAMES, 2))
  (tmp_path / 'a.wav').write_bytes(build_wav(pcm_bytes(samples, 16), channels=2))
  return Recording(name='a.wav', domain='', info=read_pcm_info(tmp_path / 'a.wav'), bit_depth=8)


def by_hand(model: ByteModel, tokens: np.ndarray) -> np.ndarray:
  """Bits of each token of a row: float64 [N]."""
  log_probs = model.log_probs(tokens[np.newaxis].astype(np.int64))[0]
  return -log_probs[np.arange(len(tokens)), tokens] / np.log(2)


def top_bits(samples: np.ndarray) -> np.ndarray:
  return samples + (1 << 15)


def mu(samples: np.ndarray) -> np.ndarray:
  return mu_law(samples, 16)


CASES = pytest.mark.parametrize(
  ('data', 'tokens', 'bit_depth'), [(MU_LAW, mu, 8), (SAMPLES, top_bits, 16)], ids=['mu-law', '65,536-way']
)


@CASES
def test_whole_files_are_channels_alone_in_pieces_of_the_models_chunk_size(
  tmp_path, recording, data, tokens, bit_depth
):
  model = model_of(data)
  found = token_model(model, tmp_path).whole(dataclasses.replace(recording, bit_depth=bit_depth))
  frames = read_pcm_frames(recording.info, 0, NUM_FRAMES)
  rows = [tokens(frames[start : start + 16, channel]) for channel in (0, 1) for start in range(0, NUM_FRAMES, 16)]
  assert found.bits == pytest.approx(sum(by_hand(model, row).sum() for row in rows), rel=1e-5)
  assert found.by_position == ()


@CASES
def test_chunks_are_cut_as_for_all_others(tmp_path, monkeypatch, recording, data, tokens, bit_depth):
  """And what is done at a time makes no difference."""
  model, recording = model_of(data), dataclasses.replace(recording, bit_depth=bit_depth)
  chunk_bytes = 20 * bit_depth // 8
  mono = mix_down(read_pcm_frames(recording.info, 0, NUM_FRAMES))
  rows = [by_hand(model, tokens(mono[start : start + 20])) for start in (0, 40)]
  for at_once in (1 << 15, 1):
    monkeypatch.setattr(code_lengths, '_TOKENS_AT_ONCE', at_once)
    found = token_model(model, tmp_path).chunked(recording, [0, 2], chunk_bytes)
    assert found.bits == pytest.approx(sum(row.sum() for row in rows), rel=1e-5)
    assert [(span.begin, span.num_samples) for span in found.by_position] == [
      (0, 2), (1, 2), (2, 4), (4, 8), (8, 10), (16, 4),
    ]  # fmt: skip
    assert found.by_position[1].bits == pytest.approx(sum(row[1] for row in rows), rel=1e-5)


def test_logits_of_a_large_vocabulary_are_never_all_there(tmp_path, monkeypatch, recording):
  """In blocks of 3 tokens the result is the same."""
  from language_modeling_is_compression.training import loss

  recording = dataclasses.replace(recording, bit_depth=16)
  expected = token_model(model_of(SAMPLES), tmp_path).whole(recording).bits
  seen = []
  logsumexp = jax.nn.logsumexp

  def watched(logits, axis):
    seen.append(logits.shape)
    return logsumexp(logits, axis=axis)

  monkeypatch.setattr(loss, '_MAX_LOGITS', 3 << 16)
  monkeypatch.setattr(jax.nn, 'logsumexp', watched)
  assert token_model(model_of(SAMPLES), tmp_path).whole(recording).bits == pytest.approx(expected, rel=1e-6)
  assert set(seen) == {(3, 1 << 16)}


def test_samples_of_another_width(tmp_path, recording):
  model = token_model(model_of(MU_LAW), tmp_path)
  native = dataclasses.replace(recording, bit_depth=None)
  reason = '^tokens: it predicts samples of 8 bits, and these have 16: measure it with --bit_depth 8$'
  for measure in (model.whole, lambda recording: model.chunked(recording, [0], 20)):
    with pytest.raises(BaselineError, match=reason):
      measure(native)


def test_a_device_that_is_not_there(tmp_path):
  with pytest.raises(ConfigError, match='--device gpu'):
    token_model(model_of(MU_LAW), tmp_path, 'gpu')


def test_which_models_code_files():
  assert not model_of(MU_LAW).codes_files and not model_of(SAMPLES).codes_files
  assert model_of(DataConfig()).codes_files and model_of(DataConfig(tokenization='sample')).codes_files


@pytest.mark.parametrize('protocol', [CHUNKED, WHOLE])
def test_a_measurement_has_no_bytes_and_no_seconds(tmp_path, recording, protocol):
  model = token_model(model_of(MU_LAW), tmp_path)
  plan = measuring.Plan(protocols=(protocol,), chunk_bytes=20, num_chunks=99)
  work = measuring.tasks([recording], {'a.wav': '0' * 64}, [model], plan)
  with measuring.open_journal(tmp_path / 'out', resume=False) as journal:
    [found] = measuring.measure_all(work, plan, journal, lambda task: None)
  with measuring.open_journal(tmp_path / 'out', resume=True) as journal:
    assert journal.get(work[0].key) == found
  assert (found.error, found.compressed_bytes, found.fallback) == (None, None, None)
  assert (found.encode_seconds, found.decode_seconds) == (0, 0)
  num_channels = 2 if protocol == WHOLE else 1
  assert (found.num_samples, found.raw_bytes) == (num_channels * NUM_FRAMES, num_channels * NUM_FRAMES)
  assert found.num_chunks == (1 if protocol == WHOLE else 3)
  assert found.code_length_bits is not None
  assert 7 * found.num_samples < found.code_length_bits < 9 * found.num_samples
  assert bool(found.by_position) == (protocol == CHUNKED)
