"""What stands around samples that a file leaves out: other bytes are another version of the format."""

import dataclasses
import io
import itertools
from pathlib import Path

import pytest

from language_modeling_is_compression.audio.pcm import WIDTHS, PcmFormat, SampleKind, wav_integers
from language_modeling_is_compression.audio.wav import parse_wav_info
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.surroundings import CONTAINERS, can_hold, canonical, plain_wav_header

STEREO = wav_integers(sample_bytes=2, num_channels=2, sample_rate_hz=100)
WAV_KINDS = [(SampleKind.UNSIGNED, 1), *((SampleKind.SIGNED, width) for width in (2, 3, 4))]
WAV_KINDS += [(SampleKind.FLOAT, 4), (SampleKind.FLOAT, 8)]


def test_canonical_headers_are_as_documented():
  assert canonical('WAV', STEREO, 25).head.hex(' ') == (
    '52 49 46 46 88 00 00 00 57 41 56 45 66 6d 74 20 10 00 00 00 01 00 02 00 '
    '64 00 00 00 90 01 00 00 04 00 10 00 64 61 74 61 64 00 00 00'
  )
  head = (
    '52 49 46 46 {} 57 41 56 45 66 6d 74 20 28 00 00 00 fe ff {} 00 ff ff ff ff ff ff ff ff {} 00 18 00 '
    '16 00 18 00 {} 00 00 00 01 00 00 00 00 00 10 00 80 00 00 aa 00 38 9b 71 64 61 74 61 {}'
  )
  sizes = {2**31: ('ff ff ff ff', 'ff ff ff ff'), 7: ('{:02x} 00 00 00', '{:02x} 00 00 00')}
  for num_frames, (riff, data) in sizes.items():
    for channels, speakers in ((1, 4), (2, 3), (5, 0)):
      frame_bytes = 3 * channels
      expected = head.format(
        riff.format(60 + 7 * frame_bytes),
        f'{channels:02x}',
        f'{frame_bytes:02x}',
        f'{speakers:02x}',
        data.format(7 * frame_bytes),
      )
      pcm = wav_integers(sample_bytes=3, num_channels=channels, sample_rate_hz=2**32 - 1)
      assert plain_wav_header(pcm, num_frames).hex(' ') == expected


@pytest.mark.parametrize(('kind', 'sample_bytes'), WAV_KINDS)
@pytest.mark.parametrize('num_channels', [1, 2, 3])
@pytest.mark.parametrize('num_frames', [1, 2, 7])
def test_an_odd_number_of_bytes_is_padded(kind, sample_bytes, num_channels, num_frames):
  """The size of the file takes in the pad byte, the size of the samples does not (Multimedia Programming Interface)."""
  pcm = PcmFormat(kind=kind, sample_bytes=sample_bytes, num_channels=num_channels, sample_rate_hz=8000)
  around = canonical('WAV', pcm, num_frames)
  data_bytes = num_frames * pcm.frame_bytes
  assert around.tail == (b'\0' if data_bytes % 2 else b'')
  whole = around.head + bytes(data_bytes) + around.tail
  assert int.from_bytes(whole[4:8], 'little') == len(whole) - 8 and len(whole) % 2 == 0
  assert int.from_bytes(around.head[-4:], 'little') == data_bytes
  info = parse_wav_info(io.BytesIO(whole), len(whole), Path())
  assert (info.num_frames, info.sample_bytes, info.num_channels) == (num_frames, sample_bytes, num_channels)
  assert (info.data_offset, info.encoding) == (len(around.head), 'float' if kind == SampleKind.FLOAT else 'int')


def test_sizes_of_a_stream_stay_those_of_one():
  """Beyond 4 GiB there is no size to add a pad byte to."""
  pcm = wav_integers(sample_bytes=1, num_channels=1, sample_rate_hz=8000)
  for num_frames in (2**32 - 37, 2**32 - 1, 2**61 + 1):
    around = canonical('WAV', pcm, num_frames)
    assert around.head[4:8] == b'\xff' * 4 and around.tail == b'\0'


def test_what_a_wav_can_hold():
  for kind, widths in WIDTHS.items():
    for width, is_big_endian in itertools.product(widths, (False, True)):
      pcm = dataclasses.replace(STEREO, kind=kind, sample_bytes=width, is_big_endian=is_big_endian)
      assert can_hold('WAV', pcm) == ((kind, width) in WAV_KINDS and not is_big_endian)
      assert not can_hold('none', pcm)


@pytest.mark.parametrize(
  ('container', 'changes', 'said'),
  [
    ('WAV', {'num_channels': 32_768}, 'its frames have 65536 bytes, those of a WAV 65535 at most'),
    ('WAV', {'sample_rate_hz': 2**32}, 'of a kind that no WAV is made of here'),
    ('WAV', {'is_big_endian': True}, 'of a kind that no WAV is made of here'),
    ('WAV', {'kind': SampleKind.UNSIGNED}, 'of a kind that no WAV is made of here'),
    ('none', {}, 'of a kind that no WAV is made of here'),
  ],
)
def test_what_no_container_can_hold(container, changes, said):
  assert container in CONTAINERS
  with pytest.raises(FormatError, match=said):
    canonical(container, dataclasses.replace(STEREO, **changes), 1)
