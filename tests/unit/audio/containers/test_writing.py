"""Headers that are written: libsndfile and ffmpeg read them, and so do the parsers."""

import itertools
import shutil
import subprocess
from hashlib import blake2b

import numpy as np
import pytest
from support.regions import payload_of, span_of

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.audio.containers.writing import can_hold, file_header
from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.info import ENCODINGS, ContainerKind
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import WIDTHS, PcmFormat, SampleKind

_FORMATS = [
  PcmFormat(
    kind=kind, sample_bytes=width, num_channels=channels, sample_rate_hz=44_100, is_big_endian=is_big and width > 1
  )
  for kind in list(SampleKind)[1:]
  for width in WIDTHS[kind]
  for channels in (1, 2, 3)
  for is_big in ((False, True) if width > 1 else (False,))
]
_HALF = (SampleKind.FLOAT, 2)  # Which no other program reads.
_CASES = [(container, pcm) for container in ContainerKind for pcm in _FORMATS if can_hold(container, pcm)]
_USUAL = [(container, pcm) for container, pcm in _CASES if (pcm.kind, pcm.sample_bytes) != _HALF]


def written(folder, container: ContainerKind, pcm: PcmFormat, num_frames: int = 15):
  """A file of so many frames of noise, and their bytes."""
  rng = np.random.default_rng(pcm.frame_bytes)
  if pcm.kind == SampleKind.FLOAT:
    noise = rng.uniform(-1, 1, num_frames * pcm.num_channels)
    payload = noise.astype(f'{">" if pcm.is_big_endian else "<"}f{pcm.sample_bytes}').tobytes()
  else:
    payload = rng.bytes(num_frames * pcm.frame_bytes)
  header, tail = file_header(container, pcm, num_frames)
  path = folder / 'a'
  path.write_bytes(header + payload + tail)
  return path, payload


@pytest.mark.parametrize(('container', 'pcm'), _CASES)
def test_parsers_read_what_is_written(tmp_path, container, pcm):
  for num_frames in (15, 16, 1, 0):
    path, payload = written(tmp_path, container, pcm, num_frames)
    info = read_pcm_info(path)
    assert (info.container, info.pcm, payload_of(info)) == (container, pcm, payload)


@pytest.mark.parametrize(('container', 'pcm'), _USUAL)
def test_libsndfile_reads_what_is_written(tmp_path, container, pcm):
  soundfile = pytest.importorskip('soundfile')
  path, _ = written(tmp_path, container, pcm)
  found = soundfile.info(path)
  assert (found.frames, found.channels, found.samplerate) == (15, pcm.num_channels, 44_100)
  info = read_pcm_info(path)
  frames = read_pcm_frames(info, 0, 15)
  if pcm.kind == SampleKind.FLOAT:
    expected = soundfile.read(path, dtype='float64', always_2d=True)[0] * 2**23
    assert np.abs(frames - expected).max() <= 0.5
  else:
    expected = soundfile.read(path, dtype='int32', always_2d=True)[0] >> (32 - info.resolution_bits)
    np.testing.assert_array_equal(frames, expected)


def _ffmpeg_reads(container: ContainerKind, pcm: PcmFormat) -> bool:
  """Its other readers know fewer widths, or one byte order only."""
  if container == ContainerKind.SPHERE:
    return pcm.sample_bytes == 2
  needs_order = pcm.sample_bytes > 1 and container in (ContainerKind.AIFF, ContainerKind.AU)
  return container != ContainerKind.RIFX and (pcm.is_big_endian or not needs_order)


@pytest.mark.skipif(shutil.which('ffmpeg') is None, reason='ffmpeg is not installed')
@pytest.mark.parametrize('container', [each for each in ContainerKind if each != ContainerKind.RIFX])
def test_ffmpeg_reads_what_is_written(tmp_path, container):
  cases = [pcm for each, pcm in _USUAL if each == container and pcm.num_channels == 2 and _ffmpeg_reads(each, pcm)]
  assert cases
  for pcm in cases:
    path, _ = written(tmp_path, container, pcm)
    command = ['ffmpeg', '-v', 'error', '-i', str(path), '-f', 's32le', '-']
    decoded = np.frombuffer(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, '<i4').reshape(-1, 2)
    info = read_pcm_info(path)
    frames = read_pcm_frames(info, 0, 15)
    if pcm.kind == SampleKind.FLOAT:
      assert np.abs(frames - decoded / 256).max() <= 1
    else:
      np.testing.assert_array_equal(frames, decoded >> (32 - info.resolution_bits), err_msg=str(pcm))


def test_wav_headers_are_those_of_wav_header():
  """They are part of the .lmic format; an odd number of bytes has a pad byte, which the size counts."""
  for pcm, num_frames in itertools.product(_FORMATS, (0, 1, 2, 7, 2**20)):
    if not can_hold(ContainerKind.WAV, pcm):
      continue
    header, tail = file_header(ContainerKind.WAV, pcm, num_frames)
    plain = wav_header(
      encoding=ENCODINGS[pcm.kind],
      sample_bytes=pcm.sample_bytes,
      num_channels=pcm.num_channels,
      sample_rate_hz=44_100,
      num_frames=num_frames,
    )
    is_odd = num_frames * pcm.frame_bytes % 2
    assert tail == bytes(is_odd) and header[:4] + header[8:] == plain[:4] + plain[8:]
    assert int.from_bytes(header[4:8], 'little') == int.from_bytes(plain[4:8], 'little') + is_odd
    assert int.from_bytes(header[4:8], 'little') + 8 == len(header) + num_frames * pcm.frame_bytes + is_odd


@pytest.mark.parametrize(
  ('container', 'digest'),
  [
    (ContainerKind.WAV, '48f55eb309a965eb'),
    (ContainerKind.RIFX, '5ee212d9d78345b9'),
    (ContainerKind.AIFF, '338c02d2943caeaf'),
    (ContainerKind.CAF, '5caa764c4a8e1ee7'),
    (ContainerKind.W64, 'c2bb71b27e852efa'),
    (ContainerKind.AU, '5eccdeb29874ba89'),
    (ContainerKind.SPHERE, 'a32465e53d3ad7e1'),
  ],
)
def test_headers_stay_as_they_are(container, digest):
  """A .lmic file leaves them out, so that they have to be the same for ever."""
  assert _digest([case for case in _USUAL if case[0] == container]) == digest


def test_headers_of_halves_stay_as_they_are():
  halves = [case for case in _CASES if case not in _USUAL]
  assert {container for container, _ in halves} == {
    ContainerKind.WAV,
    ContainerKind.RIFX,
    ContainerKind.CAF,
    ContainerKind.W64,
  }
  assert _digest(halves) == '3f726525c52db570'


def _digest(cases: list[tuple[ContainerKind, PcmFormat]]) -> str:
  written = blake2b(digest_size=8)
  for container, pcm in cases:
    for num_frames in (0, 1, 16, 2**31, 2**40):
      written.update(b'|'.join(file_header(container, pcm, num_frames)))
  return written.hexdigest()


@pytest.mark.parametrize('container', list(ContainerKind))
def test_more_than_4_gib(tmp_path, container):
  """A file of noughts: samples run to its end, or to where 64 bits of size say."""
  is_big = container in (ContainerKind.RIFX, ContainerKind.AIFF)
  pcm = PcmFormat(kind=SampleKind.SIGNED, sample_bytes=2, num_channels=1, sample_rate_hz=8000, is_big_endian=is_big)
  num_frames = 2**32 + 17
  header, tail = file_header(container, pcm, num_frames)
  path = tmp_path / 'a'
  path.write_bytes(header)
  with open(path, 'r+b') as file:
    file.truncate(len(header) + 2 * num_frames + len(tail))
  assert span_of(read_pcm_info(path)) == (len(header), 2 * num_frames)


@pytest.mark.parametrize(
  ('container', 'kind', 'width', 'is_big', 'channels'),
  [
    (ContainerKind.WAV, SampleKind.SIGNED, 1, False, 1),
    (ContainerKind.WAV, SampleKind.UNSIGNED, 2, False, 1),
    (ContainerKind.WAV, SampleKind.SIGNED, 2, True, 1),
    (ContainerKind.RIFX, SampleKind.SIGNED, 2, False, 1),
    (ContainerKind.W64, SampleKind.FLOAT, 4, True, 1),
    (ContainerKind.AIFF, SampleKind.FLOAT, 4, False, 1),
    (ContainerKind.AIFF, SampleKind.FLOAT, 2, True, 1),
    (ContainerKind.AU, SampleKind.FLOAT, 2, True, 1),
    (ContainerKind.AIFF, SampleKind.UNSIGNED, 2, True, 1),
    (ContainerKind.CAF, SampleKind.UNSIGNED, 1, False, 1),
    (ContainerKind.AU, SampleKind.UNSIGNED, 1, False, 1),
    (ContainerKind.SPHERE, SampleKind.FLOAT, 4, False, 1),
    (ContainerKind.WAV, SampleKind.SIGNED, 4, False, 16_384),
    (ContainerKind.CAF, SampleKind.NONE, 0, False, 0),
  ],
)
def test_what_a_container_cannot_hold(container, kind, width, is_big, channels):
  pcm = PcmFormat(kind=kind, sample_bytes=width, num_channels=channels, sample_rate_hz=1, is_big_endian=is_big)
  assert not can_hold(container, pcm)
  with pytest.raises(ValueError, match='does not hold'):
    file_header(container, pcm, 1)
