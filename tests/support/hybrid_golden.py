"""What golden files of format version 2 are made of: small sounds, a small hybrid model, and ways to break a file."""

import numpy as np

from language_modeling_is_compression.config.options import ModelConfig
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.network.hybrid import build_hybrid
from language_modeling_is_compression.network.hybrid_model import HybridModel, HybridSpec
from language_modeling_is_compression.network.model import Model
from support import lmic_frames
from support.tiny_models import hybrid_params
from support.wav_builder import build_wav, pcm_bytes

NUM_FRAMES = 600
LEVELS = {'effort_0': SegmentSettings(frames=250, effort=0)} | {
  f'effort_{effort}': SegmentSettings(frames=1 << 19, effort=effort) for effort in (1, 2)
}


def model(experts: int) -> Model:
  """Random parameters whose mixtures are wide and sharp, left and right."""
  config = ModelConfig(embedding_dim=8, num_layers=2, num_heads=2, widening_factor=2, attention_window=8)
  params = hybrid_params(build_hybrid(config), scale=0.1)
  plain = {module: {name: np.asarray(array) for name, array in arrays.items()} for module, arrays in params.items()}
  return HybridModel(params=plain, spec=HybridSpec(network=config, experts=experts), provenance={})


def originals() -> dict[str, bytes]:
  """WAVs of every width, plain heads and others, with what the map of values and the constant channel are for."""
  rng = np.random.default_rng(7)
  t = np.arange(NUM_FRAMES)[:, None]
  sines = 6000 * np.sin(0.07 * t + [0, 0.4]) * np.exp(-t / 400) + rng.normal(0, 30, (NUM_FRAMES, 2))
  waves = np.round(sines).astype(np.int64)
  # Long enough for a map of its values to pay.
  long = 3000 * np.sin(0.03 * np.arange(4000)[:, None]) + rng.normal(0, 30, (4000, 1))
  louder = np.round(1.9968 * np.round(long)).astype(np.int64)
  low_bytes = rng.integers(0, 256, waves.shape)
  silent = waves * np.array([1, 0])
  # Into a second block, in which it repeats what it was at two lags, and then one of them to the bit.
  repeated = sum(np.resize(rng.normal(0, 12, period), 5300) for period in (1000, 1300)) + rng.normal(0, 2, 5300)
  repeated = np.round(repeated)[:, None].clip(-128, 127).astype(np.int64)
  repeated[2000:2100] = 5
  repeated[5000:] = repeated[4000:4300]
  repeated[5200] += 3
  many = np.concatenate([waves // (index + 1) for index in range(5)], axis=1)
  return {
    'mono_8': build_wav(pcm_bytes(waves[:, :1] >> 8, 8), channels=1, bits=8),
    'stereo_16': build_wav(pcm_bytes(waves, 16), channels=2, before=[(b'LIST', b'golden')], trailer=b'end'),
    'louder_16': build_wav(pcm_bytes(louder, 16), channels=1),
    'one_channel_silent_16': build_wav(pcm_bytes(silent, 16), channels=2),
    'stereo_24': build_wav(pcm_bytes(waves * 256 + low_bytes, 24), channels=2, bits=24),
    'mono_16_in_24': build_wav(pcm_bytes(waves[:, :1] * 256, 24), channels=1, bits=24),
    'mono_32': build_wav(pcm_bytes(waves[:, :1] * 65536 + 251 * low_bytes[:, :1], 32), bits=32, channels=1),
    'repeats_8': build_wav(pcm_bytes(repeated, 8), channels=1, bits=8),
    'ten_channels_16': build_wav(pcm_bytes(many[:200], 16), channels=10, extensible=True),
  }


def broken(sound: bytes) -> dict[str, bytes]:
  def flipped(position: int) -> bytes:
    return sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :]

  record = 100 + 21 + int.from_bytes(sound[105:109], 'little')  # Of the chunk after the header's.
  return {
    'flipped_bit_in_a_body': flipped(record + 400),
    'flipped_bit_in_a_body_its_check_put_right': lmic_frames.sealed(flipped(record + 400)),
    'flipped_bit_in_the_values_its_check_put_right': lmic_frames.sealed(flipped(record + 25)),
    'unknown_effort': lmic_frames.sealed(sound[:14] + b'\x09' + sound[15:]),
    'unknown_flag': lmic_frames.sealed(sound[:15] + b'\x02' + sound[16:]),
    'plain_head_of_another_length': lmic_frames.sealed(sound[:15] + b'\x01' + sound[16:]),
    'cut_in_the_segment': sound[: record + 100],
  }
