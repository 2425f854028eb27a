"""The index says what the headers say, also of files that change, go or come, and of indices that are damaged."""

import logging
import os
import time

import numpy as np
import pytest
from support.flac_files import write_flac
from support.wav_builder import IEEE_FLOAT, build_rifx, build_wav, pcm_bytes

from language_modeling_is_compression.audio.containers.writing import file_header
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.audio.reading import read_info
from language_modeling_is_compression.data import header_index
from language_modeling_is_compression.data.header_index import read_headers
from language_modeling_is_compression.errors import AudioFormatError

MU_LAW = 7
SIGNED_BYTES = PcmFormat(kind=SampleKind.SIGNED, sample_bytes=1, num_channels=2, sample_rate_hz=8000)
NUM_WAVS = 300  # More than a thread reads at once.


@pytest.fixture
def index(tmp_path, monkeypatch):
  """Where the index of every folder is; few files are enough for one."""
  monkeypatch.setattr(header_index, '_FEW_FILES', 2)
  monkeypatch.setattr(header_index, '_place', lambda folder: tmp_path / 'cache/headers/some.index')
  return tmp_path / 'cache/headers/some.index'


@pytest.fixture
def files(tmp_path):
  """Files of all kinds, and one that is none."""
  folder = tmp_path / 'sound'
  (folder / 'wav').mkdir(parents=True)
  for number in range(NUM_WAVS):
    (folder / f'wav/{number:03d}.wav').write_bytes(build_wav(bytes(2 * number), rate_hz=8000 + number))
  samples = np.arange(60).reshape(20, 3) * 1000
  after_a_chunk = build_wav(pcm_bytes(samples, 24), channels=3, bits=24, before=[(b'LIST', b'INFOabcd')])
  (folder / 'wav/300.wav').write_bytes(after_a_chunk)
  (folder / 'wav/301.wav').write_bytes(build_wav(bytes(160), tag=IEEE_FLOAT, bits=64, channels=2))
  (folder / 'wav/302.wav').write_bytes(b'no sound')
  (folder / 'wav/303.wav').write_bytes(build_rifx(bytes(160), tag=IEEE_FLOAT, bits=32))
  (folder / 'wav/304.wav').write_bytes(build_wav(bytes(160), tag=MU_LAW, bits=8))
  (folder / 'wav/305.au').write_bytes(file_header(ContainerKind.AU, SIGNED_BYTES, 20)[0] + bytes(20))
  write_flac(folder / 'a.flac', samples, 24, rate_hz=96_000)
  return [folder / 'a.flac', *sorted((folder / 'wav').iterdir())]


@pytest.fixture
def opened(monkeypatch):
  """Names of files whose headers were read, in any order."""
  names: list[str] = []

  def read(path):
    names.append(path.name)
    return read_info(path)

  monkeypatch.setattr(header_index, 'read_info', read)
  return names


def expected(files):
  """What the readers say, errors as texts."""

  def said(path):
    try:
      return read_info(path)
    except AudioFormatError as error:
      return str(error)

  return [said(path) for path in files]


def headers(files):
  found = read_headers(files[0].parent, files)
  return [str(header) if isinstance(header, AudioFormatError) else header for header in found]


def test_the_index_says_what_the_headers_say(index, files, opened):
  assert headers(files) == expected(files)
  assert sorted(opened) == sorted(path.name for path in files)
  opened.clear()
  assert headers(files) == expected(files)
  assert opened == ['302.wav']  # What cannot be read is tried again.


def test_files_of_several_regions_are_read_at_every_start(index, files, opened):
  (files[1].parent / '000.wav').write_bytes(build_wav(bytes(80), channels=2, after=[(b'data', bytes(40))]))
  headers(files)
  opened.clear()
  assert headers(files) == expected(files)
  assert sorted(opened) == ['000.wav', '302.wav']


def test_the_index_is_of_no_way_to_spell_the_folder(index, files, opened, monkeypatch):
  headers(files)
  opened.clear()
  monkeypatch.chdir(files[0].parent)
  other = [path.relative_to(files[0].parent) for path in files]
  assert len(read_headers(other[0].parent, other)) == len(files)
  assert opened == ['302.wav']


def test_files_that_change_come_and_go(index, files, opened):
  headers(files)
  opened.clear()
  wav = files[1].parent
  (wav / '001.wav').write_bytes(build_wav(bytes(500)))
  # Of the same size, at another time.
  other_rate = build_wav(bytes(4), rate_hz=44_100)
  (wav / '002.wav').write_bytes(other_rate)
  os.utime(wav / '002.wav', ns=(0, time.time_ns() + 1))
  (wav / '003.wav').unlink()
  (wav / 'new.wav').write_bytes(build_wav(bytes(6)))
  files = [path for path in [*files, wav / 'new.wav'] if path.name != '003.wav']
  assert headers(files) == expected(files)
  assert sorted(opened) == ['001.wav', '002.wav', '302.wav', 'new.wav']
  opened.clear()
  assert headers(files) == expected(files)
  assert opened == ['302.wav']
  assert b'003.wav' not in index.read_bytes()


def test_other_files_of_the_folder_stay_known(index, files, opened):
  headers(files)
  (files[0].parent / 'b.wav').write_bytes(build_wav(bytes(10)))
  headers([files[0], files[1], files[0].parent / 'b.wav'])
  opened.clear()
  headers(files)
  assert opened == ['302.wav']


def test_nothing_is_written_where_nothing_is_new(index, files):
  headers(files)
  before = os.stat(index)
  headers(files[:9])
  assert os.stat(index).st_ino == before.st_ino


@pytest.mark.parametrize('damage', ['cut off', 'a bit', 'first line', 'empty'])
def test_a_damaged_index_is_made_anew(index, files, opened, caplog, damage):
  headers(files)
  sound = index.read_bytes()
  damaged = bytearray(sound)
  damaged[len(sound) // 2] ^= 1
  index.write_bytes({'cut off': sound[:-5], 'a bit': bytes(damaged), 'first line': b'x' + sound, 'empty': b''}[damage])
  opened.clear()
  with caplog.at_level(logging.WARNING):
    assert headers(files) == expected(files)
  assert caplog.messages == [f'{index}: is damaged: the headers of all files are read again']
  assert len(opened) == len(files)
  assert index.read_bytes() == sound


def test_an_index_of_another_version_is_made_anew_in_silence(index, files, opened, caplog, monkeypatch):
  with monkeypatch.context() as patch:
    patch.setattr(header_index, '__version__', '0.0.9')
    headers(files)
  opened.clear()
  headers(files)
  assert len(opened) == len(files) and not caplog.messages


def test_what_cannot_be_kept_is_no_reason_to_stop(index, files, caplog):
  index.parent.parent.write_bytes(b'a file where the folder should be')
  assert headers(files) == expected(files)
  assert [message.split(': ', 1)[1].split(':')[0] for message in caplog.messages] == [
    'cannot be read',
    'cannot be written',
  ]


def test_few_files_have_no_index(index, files, monkeypatch):
  monkeypatch.setattr(header_index, '_FEW_FILES', len(files) + 1)
  assert headers(files) == expected(files)
  assert not index.parent.exists()


def test_every_folder_has_a_place_of_its_own_among_the_users_files(tmp_path, monkeypatch):
  for name in ('XDG_CACHE_HOME', 'LOCALAPPDATA', 'HOME'):
    monkeypatch.setenv(name, str(tmp_path / 'caches'))
  places = [header_index._place(tmp_path / name) for name in ('a', 'b', 'b/../a')]
  assert places[0] == places[2] != places[1]
  assert all(place and place.is_relative_to(tmp_path / 'caches') for place in places)
  assert not (tmp_path / 'caches').exists()
