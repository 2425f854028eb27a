"""What compressors are given: bits, channels and chunks of recordings."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flac_files import write_flac
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.audio.containers.writing import file_header
from language_modeling_is_compression.audio.frames import read_pcm_frames, read_raw_frames
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.evaluation.recordings import (
  Recording,
  check_depth,
  chunk_bytes_of,
  samples_of,
  spread_chunks,
  whole_file,
)


def _recording(folder: Path, samples: np.ndarray, bits: int, bit_depth: int | None) -> Recording:
  path = folder / 'a.wav'
  path.write_bytes(build_wav(pcm_bytes(samples, bits), channels=samples.shape[1], bits=bits))
  return Recording(name='a.wav', domain='', info=read_pcm_info(path), bit_depth=bit_depth)


def _random(bits: int, channels: int, count: int = 101) -> np.ndarray:
  return np.random.default_rng(bits).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (count, channels))


@pytest.mark.parametrize('channels', [1, 2, 3])
@pytest.mark.parametrize(('bits', 'depth'), [(16, 8), (24, 8), (24, 16), (32, 24), (32, 8)])
def test_a_whole_file_has_the_top_bits_of_every_channel(tmp_path, bits, depth, channels):
  samples = _random(bits, channels)
  with whole_file(_recording(tmp_path, samples, bits, depth)) as path:
    info = read_pcm_info(path)
    assert (info.sample_bytes, info.num_channels, info.num_frames) == (depth // 8, channels, len(samples))
    np.testing.assert_array_equal(read_pcm_frames(info, 0, len(samples)), samples >> (bits - depth))
    assert info.file_bytes % 2 == 0
  assert not path.exists()


@pytest.mark.parametrize(('channels', 'mask'), [(1, 4), (2, 3), (3, 0)])
def test_a_wide_file_says_where_its_speakers_are(tmp_path, channels, mask):
  with whole_file(_recording(tmp_path, _random(32, channels), 32, 24)) as path:
    assert struct.unpack_from('<I', path.read_bytes(), 40) == (mask,)


@pytest.mark.parametrize(('depth', 'bits'), [(None, 16), (16, 16), (8, 8)])
def test_flac_is_a_wav_file_to_compressors(tmp_path, depth, bits):
  samples = _random(16, 2)
  write_flac(tmp_path / 'a.flac', samples, rate_hz=22_050)
  recording = Recording(name='a.flac', domain='', info=read_info(tmp_path / 'a.flac'), bit_depth=depth)
  with whole_file(recording) as path:
    info = read_pcm_info(path)
    assert (info.resolution_bits, info.num_channels, info.sample_rate_hz) == (bits, 2, 22_050)
    np.testing.assert_array_equal(read_pcm_frames(info, 0, len(samples)), samples >> (16 - bits))
  assert not path.exists() and recording.sample_bytes == bits // 8
  expected = _recording(tmp_path, samples, 16, depth)
  assert chunk_bytes_of(recording, 1, 50) == chunk_bytes_of(expected, 1, 50)


@pytest.mark.parametrize(
  ('container', 'kind', 'width', 'is_big'),
  [
    (ContainerKind.AIFF, SampleKind.SIGNED, 2, True),
    (ContainerKind.CAF, SampleKind.SIGNED, 3, False),
    (ContainerKind.RIFX, SampleKind.FLOAT, 8, True),
    (ContainerKind.W64, SampleKind.FLOAT, 4, False),
    (ContainerKind.CAF, SampleKind.FLOAT, 2, True),
    (ContainerKind.WAV, SampleKind.FLOAT, 2, False),
    (ContainerKind.WAV, SampleKind.MU_LAW, 1, False),
    (ContainerKind.AU, SampleKind.A_LAW, 1, False),
  ],
)
def test_samples_of_any_container_are_a_wav_file_to_compressors(tmp_path, container, kind, width, is_big):
  """Integers stay such, floats too, and companded samples are expanded."""
  pcm = PcmFormat(kind=kind, sample_bytes=width, num_channels=2, sample_rate_hz=8000, is_big_endian=is_big)
  rng = np.random.default_rng(1)
  if kind == SampleKind.FLOAT:
    payload = rng.uniform(-1, 1, 100).astype(f'{">" if is_big else "<"}f{width}').tobytes()
  else:
    payload = rng.bytes(100 * width)
  (tmp_path / 'a').write_bytes(file_header(container, pcm, 50)[0] + payload)
  recording = Recording(name='a', domain='', info=read_pcm_info(tmp_path / 'a'), bit_depth=None)
  expected = read_frames(recording.info, 0, 50)
  with whole_file(recording) as path:
    assert path != tmp_path / 'a'
    info = read_pcm_info(path)
    assert info.is_plain_wav and info.sample_bytes == recording.sample_bytes
    assert info.encoding == ('float' if kind == SampleKind.FLOAT else 'int')
    np.testing.assert_array_equal(read_pcm_frames(info, 0, 50), expected)
    if kind == SampleKind.FLOAT:
      floats = np.frombuffer(payload, f'{">" if is_big else "<"}f{width}')
      assert read_raw_frames(info, 0, 50).tobytes() == floats.astype(f'<f{max(4, width)}').tobytes()


def test_regions_are_one_to_compressors(tmp_path):
  samples = _random(16, 2)
  sound = pcm_bytes(samples, 16)
  (tmp_path / 'a').write_bytes(build_wav(sound[:80], channels=2, after=[(b'data', sound[80:])]))
  with whole_file(Recording(name='a', domain='', info=read_pcm_info(tmp_path / 'a'), bit_depth=None)) as path:
    info = read_pcm_info(path)
    assert info.is_plain_wav
    np.testing.assert_array_equal(read_pcm_frames(info, 0, len(samples)), samples)


@pytest.mark.parametrize('depth', [16, None])
def test_a_file_of_that_depth_is_taken_as_it_is(tmp_path, depth):
  recording = _recording(tmp_path, _random(16, 2), 16, depth)
  with whole_file(recording) as path:
    assert path == recording.info.path
  assert path.exists()


@pytest.mark.parametrize(
  ('bits', 'depth', 'width'), [(8, None, 1), (16, 8, 1), (16, None, 2), (24, None, 3), (24, 16, 2)]
)
def test_chunks_are_one_channels_bytes_in_order_without_a_gap(tmp_path, bits, depth, width):
  samples = _random(bits, 1)
  recording = _recording(tmp_path, samples, bits, depth)
  chunks = [chunk_bytes_of(recording, index, 32) for index in range(recording.num_chunks(32))]
  assert {len(chunk) for chunk in chunks[:-1]} == {32 // width * width}
  assert 0 < len(chunks[-1]) <= 32
  top = samples[:, 0] >> (bits - 8 * width)
  assert b''.join(chunks) == pcm_bytes(top[:, None], 8 * width)
  np.testing.assert_array_equal(
    np.concatenate([samples_of(chunk, width) for chunk in chunks]), top / 2.0 ** (8 * width - 1)
  )


def test_chunks_are_mixed_down_before_bits_are_dropped(tmp_path):
  recording = _recording(tmp_path, np.array([[255, 256], [255, 257]]), 16, 8)
  # Means are 256 (ties upwards) and 256; either channel's top byte alone would give 0 for the first.
  assert chunk_bytes_of(recording, 0, 8) == bytes([129, 129])


def test_too_few_bits(tmp_path):
  with pytest.raises(AudioFormatError, match=r'a\.wav: expected samples of 16 bits or more, got 8'):
    check_depth(_recording(tmp_path, _random(8, 1), 8, 16))
  check_depth(_recording(tmp_path, _random(16, 1), 16, 16))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(1, 200))
def test_chunks_are_spread_evenly(counts, limit):
  chosen = spread_chunks(counts, limit)
  assert sum(map(len, chosen)) == min(limit, sum(counts))
  assert all(list(each) == sorted(set(each)) for each in chosen)
  assert all(not len(each) or 0 <= min(each) <= max(each) < count for each, count in zip(chosen, counts, strict=True))
  if sum(counts) > limit:
    starts = np.cumsum([0, *counts])[:-1]
    places = np.concatenate([np.array(each, int) + start for each, start in zip(chosen, starts, strict=True)])
    gaps = np.diff(places)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
