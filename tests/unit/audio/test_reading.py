"""FLAC against the samples that were written and the WAV files of the same, and what a reader says of damage."""

import importlib.util
import os
import sys

import numpy as np
import pytest
from support.flac_files import streaminfo, write_flac
from support.wav_builder import build_wav, pcm_bytes, random_samples

from language_modeling_is_compression.audio.flac import FlacInfo
from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.errors import AudioFormatError, DependencyError

FRAMES = 10_000  # More than two of FLAC's own blocks.


@pytest.mark.parametrize('channels', [1, 2, 5])
@pytest.mark.parametrize('bits', [8, 16, 24])
def test_a_flac_file_is_the_wav_file_of_the_same_samples(tmp_path, bits, channels):
  samples = random_samples(FRAMES, channels, bits, seed=bits)
  write_flac(tmp_path / 'a.FLAC', samples, bits, rate_hz=44_100)
  (tmp_path / 'a.wav').write_bytes(build_wav(pcm_bytes(samples, bits), channels=channels, bits=bits, rate_hz=44_100))
  flac, wav = read_info(tmp_path / 'a.FLAC'), read_info(tmp_path / 'a.wav')
  assert isinstance(flac, FlacInfo) and isinstance(wav, PcmInfo)
  for name in ('encoding', 'sample_bytes', 'resolution_bits', 'num_channels', 'sample_rate_hz', 'num_frames'):
    assert getattr(flac, name) == getattr(wav, name), name
  assert flac.file_bytes == os.path.getsize(tmp_path / 'a.FLAC')
  for start, stop in ((0, FRAMES), (0, 1), (4095, 4097), (FRAMES - 1, FRAMES), (7777, 7777), (3, 9000)):
    frames = read_frames(flac, start, stop)
    np.testing.assert_array_equal(frames, samples.reshape(-1, channels)[start:stop])
    np.testing.assert_array_equal(frames, read_frames(wav, start, stop))
    assert frames.dtype == np.int32
  for start, stop in ((-1, 3), (5, 4), (0, FRAMES + 1)):
    with pytest.raises(ValueError, match=f'^frames {start}:{stop} of {FRAMES}$'):
      read_frames(flac, start, stop)


@pytest.fixture
def flac(tmp_path):
  path = tmp_path / 'a.flac'
  write_flac(path, random_samples(FRAMES, 1, 16, seed=1))
  return path


def test_a_tag_in_front_is_skipped(flac):
  sound = flac.read_bytes()
  before = read_frames(read_info(flac), 500, 600)
  flac.write_bytes(b'ID3\4\0\0' + bytes([0, 0, 1, 2]) + bytes(130) + sound)
  np.testing.assert_array_equal(read_frames(read_info(flac), 500, 600), before)


@pytest.mark.skipif(sys.platform != 'linux', reason='names of bytes that are no text are of Linux')
def test_a_name_that_is_no_text(flac):
  other = flac.parent / os.fsdecode(b'caf\xe9.flac')
  flac.rename(other)
  assert len(read_frames(read_info(other), 10, 20)) == 10


@pytest.mark.parametrize(
  ('contents', 'message'),
  [
    (b'', 'not a FLAC file: .* got an empty file'),
    (b'RIFF....WAVE', "not a FLAC file: expected 'fLaC', got b'RIFF'"),
    (b'fLaC', 'expected STREAMINFO'),
    (streaminfo(num_frames=5)[:-1], 'expected STREAMINFO after fLaC, found none: the file is damaged or cut off'),
    (b'fLaC\x81' + streaminfo(num_frames=5)[5:], 'expected STREAMINFO'),
    (streaminfo(num_frames=0), 'its header does not say how long it is'),
    (streaminfo(num_frames=5, bits=12), 'expected samples of 8, 16 or 24 bits, got 12, .*flac -d'),
    (streaminfo(num_frames=5, bits=32), 'got 32'),
    (streaminfo(num_frames=5), 'frames 4 to 5 cannot be decoded: .*: the file is damaged or cut off'),
  ],
)
def test_what_is_no_such_file(tmp_path, contents, message):
  path = tmp_path / 'a\nb.flac'
  path.write_bytes(contents)
  with pytest.raises(AudioFormatError, match=message) as caught:
    read_info(path)
  assert '\n' not in str(caught.value) and 'b.flac: ' in str(caught.value)


def test_a_file_that_is_cut_off_is_known_from_its_header(flac):
  flac.write_bytes(flac.read_bytes()[:-2000])
  with pytest.raises(AudioFormatError, match=r'a\.flac: frames 9999 to 10000 cannot be decoded'):
    read_info(flac)


def test_damage_is_found_where_it_is(flac):
  damaged = bytearray(flac.read_bytes())
  damaged[len(damaged) // 2 : len(damaged) // 2 + 500] = bytes(500)
  flac.write_bytes(damaged)
  info = read_info(flac)
  assert len(read_frames(info, 0, 2000)) == 2000
  with pytest.raises(AudioFormatError, match='cannot be decoded'):
    read_frames(info, 0, FRAMES)


def test_files_that_go_or_change_while_they_are_in_use(flac):
  info = read_info(flac)
  write_flac(flac, random_samples(FRAMES + 1, 1, 16, seed=1))
  with pytest.raises(AudioFormatError, match='changed while it was in use'):
    read_frames(info, 0, 1)
  flac.unlink()
  with pytest.raises(AudioFormatError, match='cannot be read: No such file or directory'):
    read_frames(info, 0, 1)
  with pytest.raises(AudioFormatError, match='cannot be read: No such file or directory'):
    read_info(flac)
  flac.mkdir()
  with pytest.raises(AudioFormatError, match='expected a regular FLAC file, got a directory'):
    read_info(flac)


def test_without_the_library_it_is_said_what_to_install(flac, monkeypatch):
  find = importlib.util.find_spec
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == 'soundfile' else find(name))
  expected = r'^soundfile is not installed, and FLAC \(.*a\.flac\) needs it: pip install "language-modeling-is-'
  with pytest.raises(DependencyError, match=expected):
    read_info(flac)
  monkeypatch.undo()

  class NoLibrary:
    def find_spec(self, name, path=None, target=None):
      if name == 'soundfile':
        raise OSError('sndfile library not found')

  monkeypatch.delitem(sys.modules, 'soundfile')
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: True)
  monkeypatch.setattr(sys, 'meta_path', [NoLibrary(), *sys.meta_path])
  with pytest.raises(DependencyError, match=r'^libsndfile cannot be loaded, and FLAC .*: sndfile library not found: '):
    read_info(flac)
