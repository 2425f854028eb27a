"""Which parser a file has, what may stand before RIFF, and what is said of files that hold no samples."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from support.pcm_files import assert_rejected
from support.regions import span_of
from support.wav_builder import build_wav, pcm_bytes, random_samples

from language_modeling_is_compression.audio import opening
from language_modeling_is_compression.audio.containers.writing import file_header
from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.parsing import parse_info, read_pcm_info
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import AudioFormatError

STEREO = random_samples(50, 2, 16)
STEREO_BYTES = pcm_bytes(STEREO, 16)
PCM = PcmFormat(kind=SampleKind.SIGNED, sample_bytes=2, num_channels=1, sample_rate_hz=8000, is_big_endian=True)


def id3(num_bytes: int, *, flags: int = 0) -> bytes:
  """A tag with a body of so many bytes, and a footer if the flags say so."""
  size = bytes(num_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
  tag = b'ID3\4\0' + bytes([flags]) + size
  return tag + b'\xff' * num_bytes + (b'3DI' + tag[3:] if flags & 0x10 else b'')


@pytest.mark.parametrize('container', [ContainerKind.WAV, ContainerKind.AIFF, ContainerKind.CAF, ContainerKind.AU])
@pytest.mark.parametrize('tags', [id3(300), id3(70_000), id3(5, flags=0x10), id3(1) + id3(0) + id3(200)])
def test_tags_before_a_file(write, tags, container):
  pcm = PcmFormat(kind=SampleKind.SIGNED, sample_bytes=2, num_channels=2, sample_rate_hz=8000)
  header, tail = file_header(container, pcm, 50)
  info = read_pcm_info(write(tags + header + STEREO_BYTES + tail))
  assert (info.container, span_of(info)) == (container, (len(tags) + len(header), 200))
  np.testing.assert_array_equal(read_pcm_frames(info, 0, 50), STEREO)


@pytest.mark.parametrize('junk', [b'x', bytes(999), b'xRIFF....WAVE', b'xRIFF....WAVEfmt ', bytes(65_524), id3(9)[:-1]])
def test_junk_before_riff(write, junk):
  sound = build_wav(STEREO_BYTES, channels=2)
  info = read_pcm_info(write(junk + sound, name='a.bin'))
  assert span_of(info) == (len(junk) + 44, 200)


@pytest.mark.parametrize('form', [b'RF64', b'BW64'])
def test_junk_before_64_bit_forms(write, form):
  sound = build_wav(STEREO_BYTES, channels=2, form=form)
  assert span_of(read_pcm_info(write(b'junk!' + sound))) == (5 + len(sound) - 200, 200)


@pytest.mark.parametrize(
  'contents',
  [
    bytes(65_525) + build_wav(STEREO_BYTES),
    b'junk' + build_wav(STEREO_BYTES, tag=2),
    b'junk' + build_wav(STEREO_BYTES)[:-1],  # As the headers that compressed formats keep.
    b'junk' + build_wav(STEREO_BYTES, before=[(b'\0\0\0\0', b'')]).replace(b'fmt ', b'fmx ', 1),
    b'wvpk' + build_wav(STEREO_BYTES),
    id3(3000) + b'\xff\xfb\x90\x64' * 100,
  ],
)
def test_what_is_no_riff_after_junk(write, contents):
  assert_rejected(write(contents), 'not a file of samples')


def test_a_search_among_many_forms_ends():
  data = b'RIFF....WAVEfmt ' + bytes(4)
  with pytest.raises(AudioFormatError, match='not a file of samples'):
    parse_info(io.BytesIO(b'x' + data * 3000 + bytes(1 << 20)), 1 << 20, Path('a'))


@pytest.mark.parametrize(
  ('contents', 'words'),
  [
    (b'', ['not a file of samples', 'empty']),
    (b'RIF', ['not a file of samples', "b'RIF'"]),
    (b'fLaC' + bytes(100), ['fLaC']),
    (b'RIFF\x04\0\0\0AVI ' + bytes(100), ['AVI ']),
    (b'FORM\0\0\0\x048SVX' + bytes(100), ['8SVX']),
    (id3(20), ['tags alone']),
    (id3(20)[:8], ["b'ID3"]),
  ],
)
def test_other_files(write, contents, words):
  assert_rejected(write(contents), *words)


class CountingFile(io.BytesIO):
  """What is read of it, and how often."""

  def __init__(self, contents: bytes):
    super().__init__(contents)
    self.sizes: list[int] = []
    self.end = 0

  def read(self, size: int | None = -1, /) -> bytes:
    assert size is not None and size >= 0
    self.sizes.append(size)
    self.end = max(self.end, self.tell() + size)
    return super().read(size)


@pytest.mark.parametrize('container', list(ContainerKind))
def test_normal_files_take_a_few_small_reads(container):
  pcm = PcmFormat(
    kind=SampleKind.SIGNED,
    sample_bytes=2,
    num_channels=1,
    sample_rate_hz=8000,
    is_big_endian=container == ContainerKind.RIFX,
  )
  header, tail = file_header(container, pcm, 500_000)
  file = CountingFile(header + bytes(1_000_000) + tail)
  assert parse_info(file, len(file.getvalue()), Path()).num_frames == 500_000
  assert len(file.sizes) <= 3 and max(file.sizes) <= 4096


@pytest.mark.parametrize('container', list(ContainerKind))
def test_nothing_is_read_beyond_the_end(container):
  """The end that a caller names counts: behind it a file may be growing."""
  pcm = PcmFormat(
    kind=SampleKind.SIGNED,
    sample_bytes=2,
    num_channels=1,
    sample_rate_hz=8000,
    is_big_endian=container == ContainerKind.RIFX,
  )
  header, tail = file_header(container, pcm, 20)
  for file_bytes in range(len(header) + 40):
    file = CountingFile(header + bytes(40) + tail)
    try:
      info = parse_info(file, file_bytes, Path('a'))
    except AudioFormatError as error:
      assert str(error).startswith('a: ')
    else:
      assert sum(span_of(info)) <= file_bytes == info.file_bytes
    assert file.end <= file_bytes


def test_missing_file_directory_and_pipe(tmp_path):
  assert_rejected(tmp_path / 'nothing.wav', 'No such file')
  assert_rejected(tmp_path, 'directory')
  (tmp_path / 'file').touch()
  assert_rejected(tmp_path / 'file' / 'a.wav', 'Not a directory')
  os.mkfifo(tmp_path / 'pipe.wav')
  assert_rejected(tmp_path / 'pipe.wav', 'pipe')


def test_permission_denied_keeps_the_reason(write, monkeypatch):
  def denied(path, *_, **__):
    raise PermissionError(13, 'Permission denied', str(path))

  path = write(build_wav(STEREO_BYTES, channels=2))
  monkeypatch.setattr(opening, 'open', denied, raising=False)
  assert_rejected(path, 'Permission denied')


def test_odd_file_names_stay_on_one_line(write):
  path = write(b'no audio', name='new\nline and \udcff.wav')
  with pytest.raises(AudioFormatError) as caught:
    read_pcm_info(path)
  assert str(caught.value).isprintable()
  assert r'new\nline and \udcff.wav: ' in str(caught.value)
