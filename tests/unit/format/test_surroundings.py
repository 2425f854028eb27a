"""What stands around samples that a file leaves out: other bytes are another version of the format."""

import dataclasses
import io
import itertools
from pathlib import Path

import pytest

from language_modeling_is_compression.audio.info import Region
from language_modeling_is_compression.audio.parsing import parse_info
from language_modeling_is_compression.audio.pcm import WIDTHS, PcmFormat, SampleKind, wav_integers
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.surroundings import (
  CONTAINERS,
  NO_CONTAINER,
  UNPACKED,
  can_hold,
  canonical,
  plain_wav_header,
  wav_envelope,
)

STEREO = wav_integers(sample_bytes=2, num_channels=2, sample_rate_hz=100)
WAV_KINDS = [(SampleKind.UNSIGNED, 1), *((SampleKind.SIGNED, width) for width in (2, 3, 4))]
WAV_KINDS += [(SampleKind.FLOAT, 2), (SampleKind.FLOAT, 4), (SampleKind.FLOAT, 8)]


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
  info = parse_info(io.BytesIO(whole), len(whole), Path())
  assert (info.container, info.pcm) == ('WAV', pcm)
  assert info.regions == (Region(len(around.head), num_frames),)


def test_sizes_of_a_stream_stay_those_of_one():
  """Beyond 4 GiB there is no size to add a pad byte to."""
  pcm = wav_integers(sample_bytes=1, num_channels=1, sample_rate_hz=8000)
  for num_frames in (2**32 - 37, 2**32 - 1, 2**61 + 1):
    around = canonical('WAV', pcm, num_frames)
    assert around.head[4:8] == b'\xff' * 4 and around.tail == b'\0'


def test_what_a_wav_can_hold():
  one_byte = [(SampleKind.UNSIGNED, 1), (SampleKind.A_LAW, 1), (SampleKind.MU_LAW, 1)]
  for kind, widths in WIDTHS.items():
    for width, is_big_endian in itertools.product(widths, (False, True)):
      pcm = dataclasses.replace(STEREO, kind=kind, sample_bytes=width, is_big_endian=is_big_endian)
      in_order = [*one_byte, *([] if is_big_endian else WAV_KINDS)]
      assert can_hold('WAV', pcm) == ((kind, width) in in_order)
      assert not can_hold(NO_CONTAINER, pcm) and not can_hold(UNPACKED, pcm)


def test_nothing_stands_around_samples_without_a_container():
  assert canonical(NO_CONTAINER, STEREO, 9) == (b'', b'')


def test_parts_of_unpacked_files_are_wavs():
  assert canonical(UNPACKED, STEREO, 9) == wav_envelope(STEREO, 9) == canonical('WAV', STEREO, 9)


@pytest.mark.parametrize('container', CONTAINERS)
def test_every_container_has_headers_of_all_that_a_file_may_say(container):
  """Rates of 32 bits, lengths of 62: nothing but our error leaves."""
  for kind, width, big in itertools.product(SampleKind, (1, 2, 3, 4, 8), (False, True)):
    pcm = PcmFormat(kind=kind, sample_bytes=width, num_channels=1, sample_rate_hz=2**32 - 1, is_big_endian=big)
    for num_frames in (0, 1, (1 << 62) // width - 1):
      if can_hold(container, pcm) and width in WIDTHS[kind]:
        around = canonical(container, pcm, num_frames)
        assert len(around.head) == len(canonical(container, dataclasses.replace(pcm, sample_rate_hz=0), 0).head)
        assert len(around.tail) < 2
      elif container not in (NO_CONTAINER, UNPACKED) and not can_hold(container, pcm):
        with pytest.raises(FormatError, match='cannot hold such samples'):
          canonical(container, pcm, num_frames)


@pytest.mark.parametrize(
  'changes',
  [{'num_channels': 32_768}, {'is_big_endian': True}, {'kind': SampleKind.UNSIGNED}],
)
def test_what_no_wav_can_hold(changes):
  for container in ('WAV', UNPACKED):
    with pytest.raises(FormatError, match='a file of kind WAV with a header of its own cannot hold such samples'):
      canonical(container, dataclasses.replace(STEREO, **changes), 1)
