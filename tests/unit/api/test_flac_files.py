"""FLAC files that are coded as their sound: the very bytes come back, or nothing is begun."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.wav_builder import build_wav, pcm_bytes

import language_modeling_is_compression as lmic
from language_modeling_is_compression import compress_file, decompress_file
from language_modeling_is_compression.api import flac_files
from language_modeling_is_compression.api.engine import Compressor, Decompressor
from language_modeling_is_compression.errors import AudioFormatError, DependencyError, FormatError
from language_modeling_is_compression.format.container import Container

needs_flac = pytest.mark.skipif(shutil.which('flac') is None, reason='the program flac is not installed')


def samples(num_frames: int = 20_000, num_channels: int = 2, scale: float = 6000.0) -> np.ndarray:
  rng = np.random.default_rng(0)
  t = np.arange(num_frames)[:, None] + 5 * np.arange(num_channels)
  return np.asarray((scale * np.sin(0.03 * t) + rng.normal(0, scale / 100, t.shape)).round().astype(np.int64))


def flac_file(folder: Path, *flags: str, bits: int = 16, num_frames: int = 20_000, num_channels: int = 2) -> Path:
  wav, flac = folder / 'a.wav', folder / 'a.flac'
  frames = samples(num_frames, num_channels, 6000.0 * 2 ** (bits - 16))
  wav.write_bytes(
    build_wav(pcm_bytes(frames, bits), channels=num_channels, bits=bits, rate_hz=44_100, extensible=num_channels > 2)
  )
  raw = folder / 'a.raw'
  raw.write_bytes(pcm_bytes(frames, bits))
  sign = 'unsigned' if bits == 8 else 'signed'
  form = ['--force-raw-format', '--endian=little', f'--sign={sign}', f'--channels={num_channels}', f'--bps={bits}']
  command = ['flac', '--totally-silent', '--sample-rate=44100', *form, *flags, '-o', str(flac), str(raw)]
  subprocess.run(command, check=True)
  return flac


def packed(flac: Path, *, verify: bool = True) -> bytes:
  target = io.BytesIO()
  compress_file(flac, target, level=1, decode=True, verify=verify)
  return target.getvalue()


@needs_flac
@pytest.mark.parametrize(
  'flags',
  [('-5',), ('-8', '-e'), ('-0',), ('-3', '-p', '--blocksize=1152'), ('-T', 'TITLE=x', '--padding=900', '-S', '10x')],
)
@pytest.mark.parametrize('bits', [8, 16, 24])
def test_the_same_bytes_come_back(tmp_path, flags, bits):
  flac = flac_file(tmp_path, *flags, bits=bits)
  data = packed(flac)
  back = io.BytesIO()
  decompress_file(io.BytesIO(data), back)
  assert back.getvalue() == flac.read_bytes()


@needs_flac
@pytest.mark.parametrize(('num_frames', 'num_channels'), [(1, 1), (17, 3), (4096, 8), (4097, 1)])
def test_lengths_and_channels(tmp_path, num_frames, num_channels):
  flac = flac_file(tmp_path, num_frames=num_frames, num_channels=num_channels)
  back = io.BytesIO()
  decompress_file(io.BytesIO(packed(flac)), back)
  assert back.getvalue() == flac.read_bytes()


@needs_flac
def test_a_tag_behind_the_frames_comes_back(tmp_path):
  flac = flac_file(tmp_path)
  flac.write_bytes(flac.read_bytes() + b'TAG' + bytes(range(125)))
  back = io.BytesIO()
  decompress_file(io.BytesIO(packed(flac)), back)
  assert back.getvalue() == flac.read_bytes()


@needs_flac
def test_the_sound_is_read_without_the_program(tmp_path, monkeypatch):
  flac = flac_file(tmp_path)
  data = packed(flac)
  monkeypatch.setenv('PATH', str(tmp_path))
  with lmic.open(io.BytesIO(data)) as sound:
    assert np.array_equal(sound.read(), samples())
  target = io.BytesIO()
  with Decompressor() as decompressor:
    decompressor.decompress_span(io.BytesIO(data), target)
    assert target.getvalue() == (tmp_path / 'a.wav').read_bytes()
    salvaged = io.BytesIO()
    assert decompressor.salvage(io.BytesIO(data), salvaged) == []
    assert salvaged.getvalue() == target.getvalue()
    assert decompressor.find_damage(io.BytesIO(data)) == []


@needs_flac
def test_nothing_is_begun_without_the_same_version(tmp_path, monkeypatch):
  data, target = packed(flac_file(tmp_path)), io.BytesIO()
  monkeypatch.setattr(flac_files, '_program', lambda: 'flac 0.0.1')
  with pytest.raises(DependencyError, match=r'whose very bytes flac .* makes, and here is flac 0\.0\.1: install'):
    decompress_file(io.BytesIO(data), target)
  monkeypatch.undo()
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(DependencyError, match='flac is not installed'):
    decompress_file(io.BytesIO(data), target)
  assert target.getvalue() == b''


@needs_flac
def test_another_file_than_the_one_that_was_taken_apart_is_an_error(tmp_path, monkeypatch):
  data = packed(flac_file(tmp_path))
  monkeypatch.setattr(flac_files, '_as_raw', lambda: ['--totally-silent', '--force', '--force-raw-format',
                                                      '--endian=big', '--sign=signed'])  # fmt: skip
  with pytest.raises(FormatError, match='made another FLAC file'):
    decompress_file(io.BytesIO(data), io.BytesIO())


@needs_flac
def test_damaged_files_are_refused(tmp_path):
  changed = bytearray(flac_file(tmp_path).read_bytes())
  changed[len(changed) // 2] ^= 1
  damaged = tmp_path / 'damaged.flac'
  damaged.write_bytes(bytes(changed))
  with pytest.raises(AudioFormatError, match='flac cannot decode it'):
    packed(damaged)
  cut = tmp_path / 'cut.flac'
  cut.write_bytes(bytes(changed[:30]))
  with pytest.raises(AudioFormatError, match=r'damaged or cut off|begin with STREAMINFO'):
    packed(cut)


@needs_flac
def test_an_encoder_of_another_kind_is_refused(tmp_path):
  flac = flac_file(tmp_path, '-8', '-A', 'rectangle')
  with pytest.raises(AudioFormatError, match='does not make the same bytes again'):
    packed(flac)


def test_other_files_are_not_concerned(tmp_path):
  wav = tmp_path / 'a.wav'
  wav.write_bytes(build_wav(pcm_bytes(samples(500, 1), 16)))
  with Compressor(level=1) as compressor, open(wav, 'rb') as source:
    target = io.BytesIO()
    compressor.compress(source, target, decode=True)
  assert Container(target, len(target.getvalue())).header.container == 'WAV'


@pytest.mark.parametrize(
  'head',
  [
    *(b'', b'fLaC', b'lmic unpacked FLAC 1 ', b'lmic unpacked FLAC 1 {}\n', b'lmic unpacked FLAC 1 []\n'),
    b'lmic unpacked FLAC 1 {"program":1,"settings":[],"sha256":"","flac_bytes":1,"frames_at":1,"format":[2,1,1],'
    b'"tail_bytes":0}\n',
    b'lmic unpacked FLAC 1 {"program":"flac 1","settings":["-5","--output-name=/x","--blocksize=4096"],"sha256":"",'
    b'"flac_bytes":1,"frames_at":1,"format":[2,1,1],"tail_bytes":0}\n',
    b'lmic unpacked FLAC 1 {"program":"flac 1","settings":["-5","--blocksize=4096 -f"],"sha256":"",'
    b'"flac_bytes":1,"frames_at":1,"format":[2,1,1],"tail_bytes":0}\n',
  ],
)
def test_hostile_beginnings_are_refused(head):
  """No flag reaches the program but those that we write."""
  with pytest.raises(FormatError, match='contradicts itself'):
    flac_files.require_program(head)
