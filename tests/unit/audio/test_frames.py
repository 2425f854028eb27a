"""Frames of PCM files: which bytes they are, and which integers they become."""

import os
import struct

import numpy as np
import pytest
from support.pcm_files import read_all
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes, random_samples

from language_modeling_is_compression.audio.frames import linear_samples, read_pcm_frames, read_raw_frames
from language_modeling_is_compression.audio.g711 import expand_a_law, expand_mu_law
from language_modeling_is_compression.audio.info import ContainerKind, PcmInfo, Region
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.data.tokens import mu_law, mu_law_decode
from language_modeling_is_compression.errors import AudioFormatError

STEREO = random_samples(50, 2, 16)
STEREO_BYTES = pcm_bytes(STEREO, 16)


@pytest.mark.parametrize('width', [4, 8])
def test_float_rule_is_exact(write, width):
  unit = 2.0**-23
  values = [0.0, -0.0, 1.0, -1.0, 1.0 - unit, 0.5 * unit, -0.5 * unit, 1.5 * unit, -1.5 * unit, 0.25 * unit, 3e38]
  values += [-3e38, np.inf, -np.inf, np.nan, 1e-45]
  expected = [0, 0, 2**23 - 1, -(2**23), 2**23 - 1, 1, 0, 2, -1, 0, 2**23 - 1, -(2**23), 2**23 - 1, -(2**23), 0, 0]
  payload = np.array(values, f'<f{width}').tobytes()
  # A signalling NaN, and in 64 bits a value that overflows when it is scaled.
  payload += bytes.fromhex('010080ff') if width == 4 else bytes.fromhex('010000000000f07f')
  expected.append(0)
  if width == 8:
    payload += struct.pack('<d', -1e308)
    expected.append(-(2**23))
  path = write(build_wav(payload, tag=IEEE_FLOAT, bits=8 * width))
  np.testing.assert_array_equal(read_all(path)[:, 0], expected)


def test_frames_are_read_by_span(write):
  info = read_pcm_info(write(build_wav(STEREO_BYTES, channels=2)))
  np.testing.assert_array_equal(read_pcm_frames(info, 7, 19), STEREO[7:19])
  assert read_pcm_frames(info, 50, 50).shape == (0, 2)
  for start, stop in ((-1, 3), (4, 3), (0, 51)):
    with pytest.raises(ValueError, match='frames'):
      read_pcm_frames(info, start, stop)


def test_file_that_changes_while_it_is_used(write):
  path = write(build_wav(STEREO_BYTES, channels=2))
  info = read_pcm_info(path)
  os.truncate(path, 100)
  np.testing.assert_array_equal(read_pcm_frames(info, 0, 14), STEREO[:14])
  with pytest.raises(AudioFormatError, match=r'a\.wav: expected 200 bytes at offset 44, got 56'):
    read_pcm_frames(info, 0, 50)
  with pytest.raises(AudioFormatError, match='got 0'):
    read_pcm_frames(info, 40, 50)
  path.unlink()
  with pytest.raises(AudioFormatError, match=r'a\.wav: cannot be read: No such file'):
    read_pcm_frames(info, 0, 50)


def test_spans_over_several_regions(write):
  """Frames are numbered through all regions, and a span is read from each that it meets."""
  path = write(bytes(3) + STEREO_BYTES[:40] + b'gap' + STEREO_BYTES[40:44] + b'gap' + STEREO_BYTES[44:])
  pcm = PcmFormat(kind=SampleKind.SIGNED, sample_bytes=2, num_channels=2, sample_rate_hz=1)
  regions = (Region(3, 10), Region(46, 1), Region(53, 39))
  info = PcmInfo(path=path, container=ContainerKind.WAV, pcm=pcm, regions=regions, file_bytes=os.path.getsize(path))
  assert info.num_frames == 50
  for start in range(0, 51, 3):
    for stop in range(start, 51, 4):
      np.testing.assert_array_equal(read_pcm_frames(info, start, stop), STEREO[start:stop])
      assert read_raw_frames(info, start, stop).tobytes() == STEREO_BYTES[4 * start : 4 * stop]


@pytest.mark.parametrize('width', [2, 4, 8])
def test_floats_of_both_orders_are_the_same(width):
  values = np.random.default_rng(1).uniform(-1.2, 1.2, (40, 3))
  little, big = (
    linear_samples(
      values.astype(f'{order}f{width}')[:, :, None].view(np.uint8),
      PcmFormat(
        kind=SampleKind.FLOAT, sample_bytes=width, num_channels=3, sample_rate_hz=1, is_big_endian=order == '>'
      ),
    )
    for order in '<>'
  )
  np.testing.assert_array_equal(little, big)
  assert np.ptp(little) == 2**24 - 1


def test_companded_samples_against_libsndfile(tmp_path):
  soundfile = pytest.importorskip('soundfile')
  codes = np.arange(256, dtype=np.uint8)
  for tag, subtype, expand in ((6, 'ALAW', expand_a_law), (7, 'ULAW', expand_mu_law)):
    path = tmp_path / 'a.wav'
    path.write_bytes(build_wav(codes.tobytes(), tag=tag, bits=8))
    assert soundfile.info(path).subtype == subtype
    expected = soundfile.read(path, dtype='int16')[0]
    np.testing.assert_array_equal(expand(codes), expected)
    np.testing.assert_array_equal(read_all(path)[:, 0], expected)
    assert read_pcm_info(path).resolution_bits == 16 and expand(codes).dtype == np.int32


def test_mu_law_bytes_are_their_tokens():
  """What a mu-law file stores is what training with --quantization mu-law makes of it; but -0 becomes 0."""
  codes = np.arange(256, dtype=np.uint8)
  tokens = mu_law(expand_mu_law(codes), 16)
  own = np.where(codes < 128, codes, 383 - codes.astype(np.int32))
  np.testing.assert_array_equal(np.where(codes == 127, 128, own), tokens)
  np.testing.assert_array_equal(mu_law_decode(tokens), expand_mu_law(codes))
