"""Byte models: what they draw is what their distributions say, whatever is drawn beside it and however it is cut."""

import math

import numpy as np
import pytest
from support.generation_cases import byte_model, generated, pcm_of, request
from support.hybrid_cases import tone
from support.tiny_models import MODEL

from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.data import tokens
from language_modeling_is_compression.data.chunks import tokens_of
from language_modeling_is_compression.entropy.rans import PRECISION_BITS, code_lengths
from language_modeling_is_compression.entropy.sampling import random_bits
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.generation import byte_generator
from language_modeling_is_compression.generation.byte_generator import receptive_field
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.quantize import quantize_byte_model

SIXTEEN = DataConfig(use_16bit=True, chunk_size=16)
EIGHT = DataConfig(use_16bit=False, chunk_size=16)
KINDS = {
  'eight': (EIGHT, 1, 1),
  'sixteen': (SIXTEEN, 2, 1),
  'twenty-four': (DataConfig(bit_depth=24, chunk_size=16), 3, 1),
  'mu-law': (DataConfig(quantization='mu-law', chunk_size=16), 2, 1),
  'sample-level': (DataConfig(use_16bit=True, tokenization='sample', chunk_size=16), 2, 1),
  'stereo': (DataConfig(use_16bit=True, channels='stereo', stereo_blocking_n=32, chunk_size=64), 2, 2),
}


def tokens_by_hand(model, known: np.ndarray, count: int, *, number: int, sequence: int) -> list[int]:
  """Tokens drawn after known ones at temperature 1, one at a time, each from all of the cdf."""
  lanes = CpuPredictor(quantize_byte_model(model)).lanes(1)
  for token in known:
    lanes.cdfs(1)
    lanes.push(np.array([token], np.int64))
  found = []
  for position in range(count):
    slot = int(random_bits(*map(np.uint64, (number, position, sequence)))) % (1 << PRECISION_BITS)
    token = int(np.searchsorted(lanes.cdfs(1)[0], slot, side='right')) - 1
    lanes.push(np.array([token], np.int64))
    found.append(token)
  return found


@pytest.mark.parametrize('kind', ['eight', 'sixteen', 'twenty-four', 'sample-level'])
def test_tokens_are_those_of_the_cdfs(kind):
  data, sample_bytes, _ = KINDS[kind]
  model = byte_model(data)
  seed = tone(40) >> (16 - 8 * sample_bytes) if sample_bytes == 1 else tone(40) << (8 * sample_bytes - 16)
  wanted = request(pcm_of(sample_bytes), num_frames=30, num_sequences=2, seed=seed, number=9)
  known = tokens_of(tokens.mix_down(seed), 8 * sample_bytes, data)
  for sequence, samples in enumerate(generated(model, wanted)):
    drawn = tokens_of(samples[:, 0], 8 * sample_bytes, data)
    assert drawn.tolist() == tokens_by_hand(model, known, len(drawn), number=9, sequence=sequence)


@pytest.mark.parametrize('kind', KINDS)
def test_sequences_do_not_depend_on_others_nor_on_threads_and_blocks(kind):
  data, sample_bytes, channels = KINDS[kind]
  model, pcm = byte_model(data), pcm_of(sample_bytes, channels)
  alone = generated(model, request(pcm, num_frames=100))
  assert alone.shape == (1, 100, channels)
  assert abs(alone).max() < 1 << (8 * sample_bytes - 1) or alone.min() == -(1 << (8 * sample_bytes - 1))
  together = generated(model, request(pcm, num_frames=100, num_sequences=5, num_threads=3), block=7)
  np.testing.assert_array_equal(together[0], alone[0])
  several = generated(model, request(pcm, num_frames=100, num_sequences=5), block=50)
  np.testing.assert_array_equal(together, several)
  assert len(np.unique(several.reshape(5, -1), axis=0)) == 5
  assert not np.array_equal(generated(model, request(pcm, num_frames=100, number=2))[0], alone[0])


def test_of_a_seed_only_what_the_next_token_depends_on_is_read(monkeypatch):
  model = byte_model(SIXTEEN)
  seed = tone(200)
  cut = generated(model, request(pcm_of(), num_frames=50, seed=seed))
  short = generated(model, request(pcm_of(), num_frames=50, seed=seed[-receptive_field(MODEL) :]))
  monkeypatch.setattr(byte_generator, 'receptive_field', lambda network: 1 << 20)
  whole = generated(model, request(pcm_of(), num_frames=50, seed=seed))
  np.testing.assert_array_equal(cut, whole)
  np.testing.assert_array_equal(short, whole)
  monkeypatch.setattr(byte_generator, 'receptive_field', lambda network: 2)
  assert not np.array_equal(generated(model, request(pcm_of(), num_frames=50, seed=seed)), whole)


def test_channels_are_read_and_drawn_in_blocks():
  data = KINDS['stereo'][0]
  model, pcm = byte_model(data), pcm_of(2, 2)
  seed = tone(80, channels=2)
  drawn = generated(model, request(pcm, num_frames=64, seed=seed))[0]
  # Whole blocks of 32 frames: the seed's first 16 frames are left out, and what is drawn is a block of each channel.
  known = tokens_of(tokens.interleave_blocks(seed[16:], 32), 16, data)
  by_hand = tokens_by_hand(model, known, 2 * 2 * 64, number=1, sequence=0)
  assert tokens_of(tokens.interleave_blocks(drawn, 32), 16, data).tolist() == by_hand
  with pytest.raises(ConfigError, match='blocks of 32 frames, got 31'):
    generated(model, request(pcm, num_frames=4, seed=seed[:31]))


def test_mu_law_is_expanded():
  drawn = generated(byte_model(KINDS['mu-law'][0]), request(pcm_of(), num_frames=3000))
  assert np.isin(drawn, tokens.mu_law_decode(np.arange(256, dtype=np.uint8))).all()
  assert len(np.unique(drawn)) > 100


def test_shares_of_the_first_token_are_those_of_the_cdf():
  """Chi-square of 5,120 draws in 20 groups of about equal share: 99.99% of such statistics are below 54."""
  model = byte_model(EIGHT)
  seed = tone(30) >> 8
  drawn = np.concatenate(
    [
      generated(model, request(pcm_of(1), num_frames=1, num_sequences=256, seed=seed, number=number))[:, 0, 0]
      for number in range(20)
    ]
  )
  lanes = CpuPredictor(quantize_byte_model(model)).lanes(1)
  for token in tokens_of(seed[:, 0], 8, EIGHT):
    lanes.cdfs(1)
    lanes.push(np.array([token], np.int64))
  cdf = lanes.cdfs(1)[0] / (1 << PRECISION_BITS)
  edges = np.unique(np.searchsorted(cdf, np.linspace(0, 1, 21)))
  expected = np.diff(cdf[edges]) * len(drawn)
  counts = np.histogram(drawn + 128, edges - 0.5)[0]
  assert counts.sum() == len(drawn) and expected.min() > 5
  assert ((counts - expected) ** 2 / expected).sum() < 54


def test_code_length_of_what_is_drawn_is_the_entropy():
  """At temperature 1; at a lower one it is less. Means of 8,000 tokens, within four standard errors."""
  model = byte_model(EIGHT)
  predictor = CpuPredictor(quantize_byte_model(model))

  def differences(temperature: float) -> np.ndarray:
    """Code length less entropy, in bits, of each token."""
    drawn = generated(model, request(pcm_of(1), num_frames=500, num_sequences=16, temperature=temperature))
    known = (drawn[:, :, 0] + 128).astype(np.uint8)
    lengths = code_lengths(predictor.intervals(known, np.full(16, 500)))
    lanes, entropies = predictor.lanes(16), np.zeros((16, 500))
    for position in range(500):
      sizes = np.diff(lanes.cdfs(16).astype(np.float64), axis=1) / (1 << PRECISION_BITS)
      entropies[:, position] = -(sizes * np.log2(sizes)).sum(axis=1)
      lanes.push(known[:, position].astype(np.int64))
    return (lengths - entropies).reshape(-1)

  found = differences(1.0)
  assert abs(found.mean()) < 4 * found.std() / math.sqrt(len(found))
  assert differences(0.5).mean() < -0.1


def test_likeliest_at_temperature_zero():
  model = byte_model(EIGHT)
  drawn = generated(model, request(pcm_of(1), num_frames=20, num_sequences=2, temperature=0.0))[:, :, 0] + 128
  lanes = CpuPredictor(quantize_byte_model(model)).lanes(1)
  for position in range(20):
    token = np.argmax(np.diff(lanes.cdfs(1)[0].astype(np.int64)))
    assert (drawn[:, position] == token).all()
    lanes.push(np.array([token], np.int64))
