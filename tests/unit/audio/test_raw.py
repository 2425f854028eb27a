"""Formats of samples without a header, as users name them."""

import pytest

from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.audio.raw import raw_format
from language_modeling_is_compression.errors import ConfigError


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('s16le,44100,2', (SampleKind.SIGNED, 2, False, 44_100, 2)),
    ('S24BE,48000,1', (SampleKind.SIGNED, 3, True, 48_000, 1)),
    ('u8,8000,1', (SampleKind.UNSIGNED, 1, False, 8_000, 1)),
    ('s8,0,65535', (SampleKind.SIGNED, 1, False, 0, 65_535)),
    ('u32be,1,3', (SampleKind.UNSIGNED, 4, True, 1, 3)),
    ('f32le,96000,2', (SampleKind.FLOAT, 4, False, 96_000, 2)),
    ('f16le,96000,2', (SampleKind.FLOAT, 2, False, 96_000, 2)),
    ('f64be,96000,2', (SampleKind.FLOAT, 8, True, 96_000, 2)),
    ('alaw,8000,1', (SampleKind.A_LAW, 1, False, 8_000, 1)),
    ('mulaw,8000,2', (SampleKind.MU_LAW, 1, False, 8_000, 2)),
  ],
)
def test_formats(text, expected):
  pcm = raw_format(text)
  assert (pcm.kind, pcm.sample_bytes, pcm.is_big_endian, pcm.sample_rate_hz, pcm.num_channels) == expected


@pytest.mark.parametrize(
  'text',
  [
    *('', 's16le', 's16le,44100', 's16le,44100,2,1', 's16,44100,2', 's8le,44100,2', 'f24le,8000,1', 'f8,8000,1'),
    *('u64le,8000,1', 's12le,8000,1', 'pcm,8000,1', 's16le,-1,2', 's16le,44100,0', 's16le,44100,65536', 's16le,1e3,1'),
    *('s16le,44100,٢', 's16le,999999999,1', 's16le, 44100,2', 'alawle,8000,1'),
  ],
)
def test_what_is_no_format_is_refused(text):
  with pytest.raises(ConfigError, match=r'^raw: .*'):
    raw_format(text)
