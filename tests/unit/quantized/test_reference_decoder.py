"""docs/FORMAT.md suffices for hybrid models: a decoder written in its order gives back what the package coded."""

import dataclasses

import numpy as np
import pytest
from reference_decoder import container as independent_decoder
from reference_decoder import hybrid as independent_version_4
from reference_decoder import models as independent_models
from reference_decoder import segments as independent_hybrid
from support import fixed_files, generation_cases, hybrid_cases, lmic_frames
from support.reference_networks import as_lists
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.layout import HybridLayout
from language_modeling_is_compression.format.payloads import Segment
from language_modeling_is_compression.linear import groups
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.quantize_hybrid import QuantizedHybridNetwork, quantize_hybrid_model
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from language_modeling_is_compression.system.cancellation import Cancellation

MODERATE = hybrid_cases.random_network()
# So loud that outputs are at their limits, and a window longer than some segments, of heads whose root is irrational.
EXTREME = hybrid_cases.random_network(1, width=12, num_heads=4, num_layers=1, window=100, gain=700)
SOUNDS = hybrid_cases.sounds(30)

# The same of version 4, and one that takes little time.
MODERATE_4 = hybrid_cases.random_network(experts=LINEAR_EXPERTS)
EXTREME_4 = hybrid_cases.random_network(
  1, width=12, num_heads=4, num_layers=1, window=100, gain=700, experts=LINEAR_EXPERTS
)
NARROW_4 = hybrid_cases.random_network(2, width=4, num_heads=1, num_layers=1, window=2, experts=LINEAR_EXPERTS)


def coder_of(network: QuantizedHybridNetwork) -> EnsembleCoder | HybridCoder:
  return HybridCoder(network, HybridLayout) if network.experts == LINEAR_EXPERTS else EnsembleCoder(network)


def encoded(network: QuantizedHybridNetwork, samples: np.ndarray, **shape: int) -> bytes:
  segment = Segment(samples=samples, shape=hybrid_cases.shape_of(samples, **shape))
  [found] = coder_of(network).encode([segment], Cancellation())
  assert found is not None
  return found.body


def decoded(network: QuantizedHybridNetwork, body: bytes, segment: independent_hybrid.Segment) -> list[list[int]]:
  """By the reference decoder."""
  by = independent_version_4 if network.experts == LINEAR_EXPERTS else independent_hybrid
  return by.decode(body, as_lists(network), segment)


def check(network: QuantizedHybridNetwork, samples: np.ndarray, **shape: int) -> None:
  body = encoded(network, samples, **shape)
  segment = independent_hybrid.Segment(**dataclasses.asdict(hybrid_cases.shape_of(samples, **shape)))
  assert decoded(network, body, segment) == samples.tolist()


@pytest.mark.parametrize(
  ('network', 'effort', 'num_frames', 'channels'),
  [
    pytest.param(MODERATE, 0, 300, 1, id='mono'),
    pytest.param(MODERATE, 0, 150, 2, id='stereo'),
    pytest.param(MODERATE, 1, 60, 2, id='effort 1'),
    pytest.param(MODERATE, 2, 30, 2, id='effort 2'),
    pytest.param(EXTREME, 0, 120, 1, id='extreme outputs'),
    pytest.param(MODERATE_4, 0, 300, 1, id='version 4, mono'),
    pytest.param(MODERATE_4, 0, 150, 2, id='version 4, stereo'),
    pytest.param(MODERATE_4, 1, 150, 2, id='version 4, effort 1'),
    pytest.param(MODERATE_4, 2, 100, 2, id='version 4, effort 2'),
    pytest.param(EXTREME_4, 0, 200, 1, id='version 4, extreme outputs'),
  ],
)
def test_decodes_a_tone(network, effort, num_frames, channels):
  check(network, hybrid_cases.tone(num_frames, channels=channels), effort=effort, sample_rate_hz=96_000)


@pytest.mark.parametrize('name', SOUNDS)
def test_decodes_every_sound(name):
  samples, sample_bytes = SOUNDS[name]
  check(MODERATE, samples, sample_bytes=sample_bytes, sample_rate_hz=44_100)


@pytest.mark.parametrize('network', [MODERATE, NARROW_4], ids=['version 2', 'version 4'])
def test_decodes_a_map(network):
  """Longer than the other sounds, since a map pays from some hundred samples on."""
  rng = np.random.default_rng(0)
  samples = np.round(1.9968 * rng.laplace(0, 30, (600, 1)).round()).astype(np.int32)
  samples[300] = 9000
  values, zone, _ = independent_hybrid._read_values(independent_hybrid.read_number(encoded(network, samples))[1], 2)
  assert 2 < zone < values.num_indices
  check(network, samples)


@pytest.mark.parametrize('network', [MODERATE, MODERATE_4], ids=['version 2', 'version 4'])
def test_refuses_damage(network):
  samples = hybrid_cases.tone(20)
  body = encoded(network, samples)
  segment = independent_hybrid.Segment(num_frames=20, num_channels=1, sample_bytes=2, sample_rate_hz=16_000, effort=0)
  assert decoded(network, body, segment) == samples.tolist()
  for damaged in (b'', body[:3], body[:-1], body[:-4], body + b'x', b'\x80' * 20, body[:1] + b'\0' + body[2:]):
    with pytest.raises(ValueError, match=r'\w'):
      decoded(network, damaged, segment)


# Whole files.


def compressed(original: bytes) -> bytes:
  level = SegmentSettings(frames=100, effort=1)
  with ChunkCoder(EnsembleCoder(MODERATE)) as coder:
    return fixed_files.compressed(original, coder, level)


def plain_wav(channels: int, bits: int) -> bytes:
  head = wav_header(encoding='int', sample_bytes=bits // 8, num_channels=channels, sample_rate_hz=8000, num_frames=120)
  return head + tone_bytes(channels, bits)


def tone_bytes(channels: int, bits: int) -> bytes:
  return pcm_bytes(hybrid_cases.tone(120, channels=channels).astype(np.int64) << bits >> 16, bits)


@pytest.mark.parametrize(('channels', 'bits'), [(1, 8), (2, 16), (1, 24), (3, 24)])
def test_decodes_files_with_plain_heads(channels, bits):
  original = plain_wav(channels, bits) + b'end'
  data = compressed(original)
  file = independent_decoder.parse(data)
  assert file.header.is_canonical
  assert [chunk.method for chunk in file.chunks[:-1]] == [independent_decoder.MODEL] * 2
  assert independent_decoder.decode(data, None, as_lists(MODERATE)) == original


@pytest.mark.parametrize('bits', [8, 16])
def test_decodes_files_with_other_heads(bits):
  original = build_wav(tone_bytes(2, bits), channels=2, bits=bits, before=[(b'LIST', b'abc')])
  data = compressed(original)
  assert not independent_decoder.parse(data).header.is_canonical
  assert independent_decoder.decode(data, None, as_lists(MODERATE)) == original


def test_decodes_segments_without_the_network():
  noise = np.random.default_rng(0).bytes(40) + bytes(200)
  original = build_wav(noise, bits=8)
  data = compressed(original)
  methods = {chunk.method for chunk in independent_decoder.parse(data).chunks}
  assert methods <= {independent_decoder.STORED, independent_decoder.LZMA}
  assert independent_decoder.decode(data, None) == original


def test_refuses_every_damaged_byte_of_a_file():
  data = compressed(plain_wav(1, 16))
  assert independent_decoder.parse(data)
  damaged = [data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :] for at in range(len(data))]
  flags = [lmic_frames.sealed(data[:15] + bytes([value]) + data[16:]) for value in (0, 2, 3)]
  lengths = [lmic_frames.sealed(data[:28] + bytes([value]) + data[29:]) for value in (43, 68)]
  for each in [*damaged, *flags, *lengths, data[:-1], data + b'x', b'']:
    with pytest.raises(ValueError, match=r'\w'):
      independent_decoder.decode(each, None, as_lists(MODERATE))


# Version 4.


@pytest.mark.parametrize('name', SOUNDS)
def test_decodes_every_sound_of_version_4(name):
  samples, sample_bytes = SOUNDS[name]
  check(MODERATE_4, samples, sample_bytes=sample_bytes, sample_rate_hz=44_100, effort=len(name) % 3)


@pytest.mark.parametrize('channels', [1, 2])
def test_decodes_clipped_sound_of_version_4(channels):
  """Whose least and largest index are buckets of their own, among buckets that are wide."""
  samples = hybrid_cases.tone(200, amplitude=20_000, noise=2000, channels=channels).clip(-15_000, 15_003)
  assert all((samples == most).mean() > 0.1 for most in (-15_000, 15_003))
  check(MODERATE_4, samples)


@pytest.mark.parametrize(
  ('effort', 'channels', 'lags'),
  [
    # That of linear prediction, whose lags are read by the same code, always runs.
    pytest.param(0, 2, [32, 4096], id='the least and the largest', marks=pytest.mark.slow),
    pytest.param(1, 1, [777, 0], id='a single one'),
  ],
)
def test_decodes_whatever_lags_of_version_4(effort, channels, lags, monkeypatch):
  monkeypatch.setattr(groups, 'find_lags', lambda indices, cancellation: np.array([[0, 0], lags]))
  samples = hybrid_cases.tone(4200, channels=channels)
  check(NARROW_4, samples, effort=effort)


@pytest.mark.parametrize(('channels', 'bits'), [(1, 8), (2, 16), (1, 24)])
def test_decodes_files_of_version_4(channels, bits):
  original = plain_wav(channels, bits) + b'end'
  with ChunkCoder(HybridCoder(MODERATE_4, HybridLayout)) as coder:
    data = fixed_files.compressed(original, coder, SegmentSettings(frames=100, effort=1))
  file = independent_decoder.parse(data)
  assert file.header.version == 4
  assert [chunk.method for chunk in file.chunks[:-1]] == [independent_decoder.MODEL] * 2
  assert independent_decoder.decode(data, None, as_lists(MODERATE_4)) == original


def test_decodes_a_file_of_version_4_by_its_model_file(tmp_path):
  model = generation_cases.hybrid_model()
  save_model(tmp_path / 'model.npz', model)
  network = quantize_hybrid_model(model)
  read = independent_models.read_model(tmp_path / 'model.npz')
  assert independent_models.hybrid_integers(read) == (as_lists(network), network.identity())
  original = plain_wav(1, 16)
  with ChunkCoder(HybridCoder(network, HybridLayout)) as coder:
    data = fixed_files.compressed(original, coder, SegmentSettings(frames=100, effort=0))
  assert independent_decoder.decode(data, read) == original
