"""What a file is by its first bytes."""

import pytest
from support.wav_builder import build_wav

from language_modeling_is_compression.audio.containers.writing import file_header
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.kinds import HEAD_BYTES, AudioKind, audio_kind, audio_kind_of
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind


@pytest.mark.parametrize(
  ('name', 'head', 'kind', 'is_compressed'),
  [
    ('song', b'RIFF\x24\0\0\0WAVEfmt ', 'WAV', False),
    ('song', b'RF64\xff\xff\xff\xffWAVEds64', 'WAV', False),
    ('song', b'BW64\xff\xff\xff\xffWAVEds64', 'WAV', False),
    ('song', b'RIFX\0\0\0\x24WAVEfmt ', 'RIFX', False),
    ('song', b'FORM\n\n\n\nAIFFCOMM', 'AIFF', False),
    ('song', b'FORM\0\0\0\0AIFCFVER', 'AIFF', False),
    ('song.mp3', b'fLaC\0', 'FLAC', True),
    ('song.mp3', b'\xff\xfb\x90\x64', 'MP3', True),
    ('song.mp3', b'ID3\4\0', 'MP3', True),
    ('song', b'\0\0\0\x20ftypM4A ', 'MP4', True),
  ],
)
def test_kinds(name, head, kind, is_compressed):
  assert audio_kind(name, head) == AudioKind(name=kind, is_compressed=is_compressed)


@pytest.mark.parametrize('container', list(ContainerKind))
def test_containers_of_samples_have_one_name(container):
  pcm = PcmFormat(kind=SampleKind.A_LAW, sample_bytes=1, num_channels=1, sample_rate_hz=8000)
  head = file_header(container, pcm, 100)[0][:HEAD_BYTES]
  assert audio_kind('a', head) == AudioKind(name=container, is_compressed=False)


@pytest.mark.parametrize(
  'head', [b'', b'RIFF', b'RIFF\x24\0\0\0AVI LIST', b'Dear reader', b'\xff\xfb\x90\x64', b' fLaC']
)
def test_what_is_none(head):
  assert audio_kind('file.bin', head) is None


def test_of_a_file(tmp_path):
  (tmp_path / 'song').write_bytes(build_wav(bytes(100)))
  kind = audio_kind_of(tmp_path / 'song')
  assert kind and kind.name == 'WAV'


@pytest.mark.parametrize(
  ('behind', 'name'),
  [(b'RIFF\0\0\0\0WAVE', 'WAV'), (b'fLaC', 'FLAC'), (b'\xff\xfb\x90\0', 'MP3'), (b'', 'MP3')],
)
def test_a_tag_says_nothing_of_what_stands_behind_it(tmp_path, behind, name):
  path = tmp_path / 'a.bin'
  path.write_bytes(b'ID3\x04\0\0\0\0\x01\x02' + bytes(130) + behind)
  kind = audio_kind_of(path)
  assert kind is not None and kind.name == name
