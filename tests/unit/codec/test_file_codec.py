"""Whole files to .lmic and back, parts of them, and what is saved of damaged ones."""

import dataclasses
import functools
import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import fixed_files, lmic_cases, lmic_frames
from support.regions import span_of
from support.wav_builder import IEEE_FLOAT, UNKNOWN_SIZE, build_wav, pcm_bytes, random_samples

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.codec import file_codec, plan
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.errors import AudioFormatError, ConfigError, FormatError, ModelMismatchError
from language_modeling_is_compression.format import division
from language_modeling_is_compression.format.container import MODEL, Container
from language_modeling_is_compression.format.header import PIECE_BYTES, Header
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.quantize import quantize_byte_model

SAMPLES = random_samples(60, 2, 16)
PAYLOAD = pcm_bytes(SAMPLES, 16)
WITHOUT_MODEL = ChunkCoder(None)
# Files are written in the compact frame; those in the fixed one are read for ever.
EITHER_FRAME = pytest.mark.parametrize(
  'compressed', [lmic_cases.compressed, fixed_files.compressed], ids=['version 5', 'version 1']
)

WAVS = {
  **{
    f'{bits} bits, {channels} channels': build_wav(
      pcm_bytes(random_samples(23, channels, bits), bits), channels=channels, bits=bits, extensible=extensible
    )
    for bits, channels, extensible in [(8, 1, False), (8, 3, True), (16, 5, True), (24, 1, False), (32, 2, True)]
  },
  '255 channels': build_wav(pcm_bytes(random_samples(2, 255, 16), 16), channels=255),
  'float 32': build_wav(np.array([0, 1, np.nan, -np.inf], '<f4').tobytes(), bits=32, tag=IEEE_FLOAT),
  'float 64': build_wav(np.array([0, 1, np.nan, -np.inf], '<f8').tobytes(), bits=64, tag=IEEE_FLOAT, channels=2),
  'float 64, 20 frames': build_wav(np.linspace(-1, 1, 40).tobytes(), bits=64, tag=IEEE_FLOAT, channels=2),
  '20 bits in 24': build_wav(pcm_bytes(random_samples(9, 1, 24), 24), bits=20),
  'chunks around': build_wav(PAYLOAD, channels=2, before=[(b'LIST', b'abc')], after=[(b'id3 ', b'xyz')]),
  'no pad byte': build_wav(PAYLOAD[:41], bits=8, after=[(b'LIST', b'abc')], pad=b''),
  'a pad byte that is not 0': build_wav(PAYLOAD[:41], bits=8, before=[(b'LIST', b'abc')], pad=b'X'),
  'a partial frame': build_wav(PAYLOAD[:-1], channels=2),
  'no samples': build_wav(b''),
  'less than a frame': build_wav(b'x', channels=2),
  'one sample': build_wav(b'\x01\x80'),
  'data size too large': build_wav(PAYLOAD, channels=2, data_size=10_000_000),
  'data size unknown': build_wav(PAYLOAD, channels=2, data_size=UNKNOWN_SIZE, riff_size=UNKNOWN_SIZE),
  'data size 0, never finished': build_wav(PAYLOAD, channels=2, data_size=0, riff_size=0),
  'data size too small': build_wav(PAYLOAD, channels=2, data_size=100),
  'data before fmt': build_wav(PAYLOAD, channels=2, data_first=True),
  'RF64': build_wav(PAYLOAD, channels=2, form=b'RF64'),
  'RF64 with wrong sizes': build_wav(PAYLOAD, channels=2, form=b'RF64', ds64=(1, 2**63)),
  'rate 0': build_wav(PAYLOAD, channels=2, rate_hz=0),
  'rate of 2**32 - 1': build_wav(PAYLOAD, channels=2, rate_hz=2**32 - 1, fmt_extra=b'odd'),
  'bytes after the end': build_wav(PAYLOAD, channels=2, trailer=b'trailer'),
  'big-endian': build_wav(PAYLOAD, channels=2, form=b'RIFX'),
  'MP3 in WAV': build_wav(PAYLOAD, tag=85),
  'no fmt': b'RIFF\x14\0\0\0WAVEdata\x08\0\0\0abcdefgh',
  'RIFF alone': b'RIFF',
  'no WAV': b'text ' * 30,
  'one byte': b'\0',
  'empty': b'',
}


@functools.cache
def coder(use_16bit: bool, lanes: int = 4) -> ChunkCoder:
  return lmic_cases.tiny_coder(use_16bit=use_16bit, lanes=lanes)


def opened(data: bytes) -> Container:
  return Container(io.BytesIO(data), len(data))


@pytest.fixture
def short_spans(monkeypatch):
  """Spans and pieces so short that small files have many."""
  monkeypatch.setattr(division, '_SPAN_FRAMES', 25)
  assert Header.__init__.__kwdefaults__ is not None
  monkeypatch.setitem(Header.__init__.__kwdefaults__, 'piece_bytes', 32)


@EITHER_FRAME
@pytest.mark.parametrize('use_16bit', [False, True])
@pytest.mark.parametrize('name', WAVS)
def test_every_file_comes_back(name, use_16bit, compressed):
  by = coder(use_16bit)
  assert lmic_cases.decompressed(compressed(WAVS[name], by), by) == WAVS[name]


@pytest.mark.parametrize(
  'name', ['24 bits, 1 channels', 'chunks around', '8 bits, 3 channels', 'no WAV', 'float 64, 20 frames']
)
def test_files_of_many_chunks_come_back(short_spans, monkeypatch, name):
  monkeypatch.setattr(division, '_SPAN_FRAMES', 8)
  data = lmic_cases.compressed(WAVS[name], coder(True))
  header = opened(data).header
  assert header.num_chunks > max(2, header.pcm.num_channels)
  # How many chunks are in work at a time is of no account, neither in coding nor in decoding.
  assert lmic_cases.compressed(WAVS[name], coder(True, lanes=1)) == data
  for lanes in (1, 3, 40):
    assert lmic_cases.decompressed(data, coder(True, lanes=lanes)) == WAVS[name]


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('chunks around', (SampleKind.SIGNED, 2, 2, 60)),
    ('8 bits, 3 channels', (SampleKind.UNSIGNED, 1, 3, 23)),
    ('data size too large', (SampleKind.SIGNED, 2, 2, 60)),
    ('float 64', (SampleKind.FLOAT, 8, 2, 2)),
    ('no samples', (SampleKind.NONE, 0, 0, 0)),
    ('MP3 in WAV', (SampleKind.NONE, 0, 0, 0)),
  ],
)
def test_header_says_what_the_file_is(name, expected):
  header = opened(lmic_cases.compressed(WAVS[name], coder(False))).header
  pcm = header.pcm
  assert (pcm.kind, pcm.sample_bytes, pcm.num_channels, header.num_frames) == expected
  assert header.original_bytes == len(WAVS[name])
  assert any(header.model_id) == pcm.is_integer


def test_the_model_codes_what_it_likes():
  """A WAV drawn at random is stored; silence, which the model thinks likely, is not the model's alone to code."""
  model = lmic_cases.tiny_model(use_16bit=False)
  bias = np.where(np.abs(np.arange(256) - 128) < 8, 1.0, 0.0).astype(np.float32)
  model = dataclasses.replace(model, params={**model.params, '~': {**model.params['~'], 'output_bias': bias}})
  by = ChunkCoder(ByteCoder(CpuPredictor(quantize_byte_model(model))))
  quiet = build_wav(np.random.default_rng(0).integers(121, 136, 2000).astype(np.uint8).tobytes(), bits=8)
  data = lmic_cases.compressed(quiet, by)
  assert opened(data).chunk(0).method == MODEL
  assert len(data) < 1500
  assert lmic_cases.decompressed(data, by) == quiet


# Parts.


@EITHER_FRAME
@pytest.mark.parametrize(
  ('start', 'end', 'frames'),
  [
    (0, 60, slice(0, 60)),
    (0, 1e9, slice(0, 60)),
    (10, 11, slice(10, 11)),
    (24, 26, slice(24, 26)),
    (50, 60, slice(50, 60)),
    (24.5, 25.5, slice(24, 26)),
    (30, float('inf'), slice(30, 60)),
  ],
)
@pytest.mark.parametrize('bits', [8, 16, 24])
def test_span(short_spans, tmp_path, bits, start, end, frames, compressed):
  samples = random_samples(60, 3, bits)
  original = build_wav(pcm_bytes(samples, bits), channels=3, bits=bits, rate_hz=1, before=[(b'LIST', bytes(99))])
  container = opened(compressed(original, coder(True)))
  with open(tmp_path / 'part.wav', 'wb') as target:
    file_codec.decompress_span(container, target, coder(True), start, end)
  info = read_pcm_info(tmp_path / 'part.wav')
  assert (info.num_channels, info.sample_rate_hz, info.sample_bytes) == (3, 1, bits // 8)
  end = sum(span_of(info))
  assert end + end % 2 == info.file_bytes
  np.testing.assert_array_equal(read_pcm_frames(info, 0, info.num_frames), samples[frames])


@EITHER_FRAME
def test_span_needs_its_own_chunks_only(short_spans, compressed):
  data = compressed(build_wav(PAYLOAD, channels=2, rate_hz=1), coder(True))
  late = opened(data).header.num_head_chunks + 3
  container, target = opened(lmic_frames.damaged_in(data, late)), io.BytesIO()
  assert file_codec.find_damage(container, coder(True))
  file_codec.decompress_span(container, target, coder(True), 0, 20)
  assert target.getvalue().endswith(PAYLOAD[:80])


@EITHER_FRAME
@pytest.mark.parametrize(('start', 'end'), [(-1, 5), (5, 5), (6, 5), (60, 61), (1e300, 1e301)])
def test_no_such_span(start, end, compressed):
  container = opened(compressed(build_wav(PAYLOAD, channels=2, rate_hz=1), WITHOUT_MODEL))
  with pytest.raises(ConfigError, match='expected a span within 60 seconds, got'):
    file_codec.decompress_span(container, io.BytesIO(), WITHOUT_MODEL, start, end)


@pytest.mark.parametrize('start', [float('nan'), float('inf'), float('-inf')])
def test_no_such_number_of_seconds(start):
  container = opened(lmic_cases.compressed(build_wav(PAYLOAD, channels=2, rate_hz=1), WITHOUT_MODEL))
  with pytest.raises(ConfigError, match='expected a span'):
    file_codec.decompress_span(container, io.BytesIO(), WITHOUT_MODEL, start, 5)
  with pytest.raises(ConfigError, match='expected a span'):
    file_codec.decompress_span(container, io.BytesIO(), WITHOUT_MODEL, 0, float('nan'))


@EITHER_FRAME
@pytest.mark.parametrize('name', ['no WAV', 'rate 0'])
def test_no_spans_without_samples_or_rate(name, compressed):
  container = opened(compressed(WAVS[name], WITHOUT_MODEL))
  with pytest.raises(ConfigError, match='has no samples, or no sample rate'):
    file_codec.decompress_span(container, io.BytesIO(), WITHOUT_MODEL, 0, 1)


# Damage.


def salvaged(data: bytes, by: ChunkCoder = WITHOUT_MODEL) -> tuple[bytes, list[str]]:
  target = io.BytesIO()
  wrong = file_codec.salvage(opened(data), target, by)
  assert file_codec.find_damage(opened(data), by) == wrong
  return target.getvalue(), wrong


def test_salvage_of_a_sound_file():
  for case in lmic_cases.all_cases():
    assert salvaged(case.data, case.by) == (case.original, [])


@EITHER_FRAME
@pytest.mark.parametrize('bits', [8, 16, 24])
def test_silence_stands_for_what_is_lost(short_spans, tmp_path, bits, compressed):
  samples = random_samples(60, 2, bits)
  original = build_wav(pcm_bytes(samples, bits), channels=2, bits=bits, rate_hz=1, trailer=b'trailer')
  data = compressed(original, coder(True))
  index = opened(data).header.num_head_chunks + 2 + 1
  found, wrong = salvaged(lmic_frames.damaged_in(data, index), coder(True))
  assert len(wrong) == 1 and f'chunk {index} (channel 1, 25.00 to 50.00 s) is damaged' in wrong[0]
  samples[25:50, 1] = 0
  assert len(found) == len(original) and found.endswith(b'trailer')
  (tmp_path / 'a.wav').write_bytes(found)
  np.testing.assert_array_equal(read_pcm_frames(read_pcm_info(tmp_path / 'a.wav'), 0, 60), samples)


@EITHER_FRAME
def test_a_canonical_header_stands_for_a_lost_one(short_spans, tmp_path, compressed):
  original = build_wav(PAYLOAD, channels=2, rate_hz=44_100, before=[(b'LIST', bytes(100))], trailer=b'trailer')
  data = compressed(original, WITHOUT_MODEL)
  found, wrong = salvaged(lmic_frames.damaged_in(data, 0))
  assert len(wrong) == 1 and 'chunk 0 (bytes before the samples) is damaged' in wrong[0]
  (tmp_path / 'a.wav').write_bytes(found)
  info = read_pcm_info(tmp_path / 'a.wav')
  assert (info.num_channels, info.sample_rate_hz, info.num_frames) == (2, 44_100, 60)
  np.testing.assert_array_equal(read_pcm_frames(info, 0, 60), SAMPLES)


@EITHER_FRAME
def test_salvage_of_a_cut_file_ends_where_the_file_does(short_spans, compressed):
  original = build_wav(PAYLOAD, channels=2, trailer=b'trailer')
  data = compressed(original, WITHOUT_MODEL)
  head = original.index(PAYLOAD)
  for length in range(100, len(data), 7):
    try:
      container = opened(data[:length])
    except FormatError:
      continue
    found, wrong = salvaged(data[:length])
    assert wrong and len(found) <= len(original)
    # At most a span of which only one channel is there is made up, or the piece in which the cut is.
    assert len(found) <= len(original[: (container.num_found + 1) * 100])
    sound = max(0, (container.num_found - container.header.num_head_chunks - 2) // 2) * 25 * 4
    assert found[head : head + sound] == original[head : head + sound]


@EITHER_FRAME
def test_damaged_files_are_not_decompressed(compressed):
  data = compressed(WAVS['chunks around'], WITHOUT_MODEL)
  for damaged in (lmic_frames.damaged_in(data, 1), data + b'x', data[:-1], data[:40] + b'x' + data[41:]):
    with pytest.raises(FormatError):
      lmic_cases.decompressed(damaged, WITHOUT_MODEL)


@EITHER_FRAME
def test_wrong_whole_of_sound_chunks_is_found(compressed):
  data = bytearray(compressed(WAVS['chunks around'], WITHOUT_MODEL))
  # In the SHA-256.
  data[lmic_frames.starts(bytes(data))[-1] if compressed is lmic_cases.compressed else -30] ^= 1
  changed = lmic_frames.sealed(bytes(data))
  with pytest.raises(FormatError, match='together they are not the file that was compressed'):
    lmic_cases.decompressed(changed, WITHOUT_MODEL)
  assert salvaged(changed) == (WAVS['chunks around'], [file_codec._NOT_THE_WHOLE])


@EITHER_FRAME
def test_another_model_is_named(compressed):
  data = compressed(WAVS['chunks around'], coder(True))
  models: list[Any] = [coder(use_16bit).model for use_16bit in (True, False)]
  written, got = (model.identity.hex()[:16] for model in models)
  with pytest.raises(ModelMismatchError, match=f'written with model {written}, this is model {got}: name the model'):
    lmic_cases.decompressed(data, coder(False))
  for read in (
    file_codec.salvage,
    file_codec.decompress,
    functools.partial(file_codec.decompress_span, start_seconds=0, end_seconds=1),
  ):
    with pytest.raises(ModelMismatchError, match=f'written with model {written}, no model was given'):
      read(opened(data), io.BytesIO(), WITHOUT_MODEL)


def test_what_needs_no_model_is_read_with_any():
  data = lmic_cases.compressed(WAVS['no WAV'], WITHOUT_MODEL)
  assert lmic_cases.decompressed(data, coder(True)) == WAVS['no WAV']


# Files that change, and large ones.


def append_to(path: Path) -> None:
  with open(path, 'ab') as file:
    file.write(b'more')


@pytest.mark.parametrize('change', [lambda path: os.truncate(path, 150), append_to])
def test_a_file_that_changes_while_it_is_read(short_spans, monkeypatch, tmp_path, change):
  path = tmp_path / 'a.wav'
  path.write_bytes(build_wav(PAYLOAD * 400, channels=2))
  plan_file = plan.plan_file

  def plan_and_change(*arguments):
    header = plan_file(*arguments)
    change(path)
    return header

  monkeypatch.setattr(file_codec, 'plan_file', plan_and_change)
  monkeypatch.setattr(division, '_SPAN_FRAMES', 1 << 15)
  with open(path, 'rb') as source, pytest.raises(AudioFormatError, match=r'a\.wav: changed while it was read'):
    file_codec.compress(source, io.BytesIO(), WITHOUT_MODEL, name=str(path))


def peak_bytes(folder: Path, num_bytes: int) -> int:
  """Memory that zeros take in both directions, in pieces of 16 MiB."""
  path, packed, by = folder / 'zeros', folder / 'zeros.lmic', ChunkCoder(None, 1)
  with open(path, 'wb') as file:
    file.truncate(num_bytes)
  tracemalloc.start()
  try:
    with open(path, 'rb') as source, open(packed, 'wb') as target:
      header, size, *_ = file_codec.compress(source, target, by)
    with open(packed, 'rb') as file, open(os.devnull, 'wb') as nowhere:
      file_codec.decompress(Container(file, size), nowhere, by)
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert header.original_bytes == num_bytes and size == packed.stat().st_size
  return peak


@pytest.mark.slow
def test_large_files_take_no_more_memory_than_small_ones(tmp_path):
  """LZMA's encoder takes most of it."""
  assert peak_bytes(tmp_path, 5 * PIECE_BYTES) < peak_bytes(tmp_path, 3 * PIECE_BYTES) + (2 << 20)


def test_progress_adds_up():
  done: list[int] = []
  for case in lmic_cases.all_cases():
    file_codec.decompress(opened(case.data), io.BytesIO(), case.by, done.append)
    assert sum(done) == len(case.original)
    done.clear()


@pytest.mark.parametrize(
  ('channels', 'frames', 'coded'),
  [(16, 1, True), (17, 1, False), (1000, 64, False), (40, 100, False), (40, 6000, True)],
)
def test_channels_that_hold_next_to_nothing_are_bytes(channels, frames, coded):
  """A chunk of each channel would take more than there is to save; no file costs more than a little."""
  samples = np.random.default_rng(0).normal(0, 0.1, (frames, channels)).astype('<f4')
  original = build_wav(samples.tobytes(), bits=32, tag=IEEE_FLOAT, channels=channels)
  data = lmic_cases.compressed(original, ChunkCoder(None))
  assert (Container(io.BytesIO(data), len(data)).header.pcm.num_channels > 0) == coded
  assert len(data) < 1.001 * len(original) + 400 + 16 * 25
  assert lmic_cases.decompressed(data, ChunkCoder(None)) == original
