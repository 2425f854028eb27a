"""Files of levels 1 to 5: whole and in part, with all that a segment's headers tell apart, damaged and stopped."""

import io

import numpy as np
import pytest
from support import lmic_cases
from support.wav_builder import build_wav, pcm_bytes

import language_modeling_is_compression as lmic
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.levels import LEVELS
from language_modeling_is_compression.format.container import MODEL, Container
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.header import MODEL_ID_BYTES
from language_modeling_is_compression.format.layout import StartedLinearLayout
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.quantized.loading import LINEAR

LINEAR_LEVELS = [number for number, level in LEVELS.items() if level.model == LINEAR]


def container_of(data: bytes) -> Container:
  return Container(io.BytesIO(data), len(data))


@pytest.fixture
def coder():
  return ChunkCoder(LinearCoder(), lanes=4)


@pytest.mark.parametrize('level', LINEAR_LEVELS)
@pytest.mark.parametrize(('dtype', 'depth'), [('uint8', 8), ('int16', 16), ('int32', 24), ('int32', 32)])
def test_arrays_come_back(level, dtype, depth):
  limit = 1 << (depth - 1)
  sound = 0.7 * limit * np.sin(0.05 * np.arange(700)[:, None] + [0, 1, 2])
  samples = (np.round(sound).astype(np.int64) + (limit if dtype == 'uint8' else 0)).astype(dtype)
  data = lmic.compress(samples, 8000, level=level, bit_depth=depth)
  header = container_of(data).header
  assert type(header.layout) is StartedLinearLayout and header.format_version == 5
  assert header.layout.effort == LEVELS[level].segments.preset
  assert header.model_id == StartedLinearLayout.model_id[:MODEL_ID_BYTES]
  found, rate_hz = lmic.decompress(data)
  assert rate_hz == 8000 and found.dtype == samples.dtype
  np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize('level', LINEAR_LEVELS)
@pytest.mark.parametrize('name', [*lmic_cases.segment_originals(), 'no WAV', 'empty', 'float 32'])
def test_files_come_back(coder, level, name):
  original = (lmic_cases.small_originals() | lmic_cases.segment_originals())[name]
  data = lmic_cases.compressed(original, coder, LEVELS[level].segments)
  assert lmic_cases.decompressed(data, coder) == original
  lmic_cases.check_reading(data, original, may_differ=False, by=coder)


def test_a_part_of_a_file(coder):
  samples = np.round(9000 * np.sin(0.03 * np.arange(3000)))[:, None].astype(np.int64)
  original = build_wav(pcm_bytes(samples, 16), rate_hz=1000)
  data = lmic_cases.compressed(original, coder, SegmentSettings(frames=500, effort=0, preset=2))
  container, target = container_of(data), io.BytesIO()
  methods = [container.chunk(index).method for index in range(container.header.num_chunks)]
  assert container.header.num_spans == 6 and methods.count(MODEL) == 6
  file_codec.decompress_span(container, target, coder, 0.7, 1.3)
  np.testing.assert_array_equal(np.frombuffer(target.getvalue()[44:], '<i2'), samples[700:1300, 0])


def test_code_lengths_add_up_to_the_file():
  rng = np.random.default_rng(0)
  samples = np.round(9000 * np.sin(0.03 * np.arange(20_000)) + rng.normal(0, 9, 20_000)).astype(np.int16)
  for level in LINEAR_LEVELS:
    bits = lmic.code_length(samples, 8000, level=level).sum()
    num_bytes = len(lmic.compress(samples, 8000, level=level))
    assert bits / 8 < num_bytes < bits / 8 + 400
