"""AIFF, CAF, W64, AU and SPHERE files with every oddity that programs leave in them."""

import struct
from pathlib import Path

import numpy as np
import pytest
from support.regions import span_of
from support.wav_builder import pcm_bytes, random_samples

from language_modeling_is_compression.audio.containers.extended import extended_to_int, float_to_rate, int_to_extended
from language_modeling_is_compression.audio.containers.writing import file_header
from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.info import ContainerKind, PcmInfo
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import AudioFormatError

STEREO = random_samples(50, 2, 16)
LITTLE = pcm_bytes(STEREO, 16)
BIG = STEREO.astype('>i2').tobytes()
UNKNOWN = 0xFFFFFFFF
W64_TAIL = bytes.fromhex('f3acd3118cd100c04f8edb8a')


@pytest.fixture
def write(tmp_path):
  def write_bytes(contents: bytes) -> Path:
    path = tmp_path / 'a.wav'  # What a file is called does not matter.
    path.write_bytes(contents)
    return path

  return write_bytes


def assert_stereo(path: Path, offset: int | None = None) -> PcmInfo:
  """The file holds STEREO and no more."""
  info = read_pcm_info(path)
  assert (info.num_frames, info.num_channels, info.sample_bytes, info.sample_rate_hz) == (50, 2, 2, 8000)
  np.testing.assert_array_equal(read_pcm_frames(info, 0, 50), STEREO)
  assert offset is None or span_of(info)[0] == offset
  return info


def assert_rejected(path: Path, *words: str) -> None:
  with pytest.raises(AudioFormatError) as caught:
    read_pcm_info(path)
  message = str(caught.value)
  assert message.startswith(f'{path}: ') and message.isprintable()
  for word in words:
    assert word in message


# AIFF.


def big_chunk(chunk_id: bytes, body: bytes, size: int | None = None) -> bytes:
  return chunk_id + struct.pack('>I', len(body) if size is None else size) + body + bytes(len(body) % 2)


def common(channels: int = 2, frames: int = 50, bits: int = 16, rate: int = 8000, kind: bytes = b'') -> bytes:
  name = b'\x05hello' if kind else b''
  return big_chunk(b'COMM', struct.pack('>HIH', channels, frames, bits) + int_to_extended(rate) + kind + name)


def sound(payload: bytes = BIG, offset: int = 0, size: int | None = None) -> bytes:
  return big_chunk(b'SSND', struct.pack('>II', offset, 0) + bytes(offset) + payload, size)


def aiff(*chunks: bytes, form: bytes = b'AIFF', size: int | None = None) -> bytes:
  body = form + b''.join(chunks)
  return b'FORM' + struct.pack('>I', len(body) if size is None else size) + body


@pytest.mark.parametrize(
  'contents',
  [
    aiff(common(), sound()),
    aiff(sound(), common()),
    aiff(
      big_chunk(b'NAME', b'abc'), common(), big_chunk(b'MARK', bytes(9)), sound(offset=30), big_chunk(b'ANNO', b'x')
    ),
    aiff(common(frames=0), sound(size=0), size=0),
    aiff(common(frames=0), sound(size=8), size=46),
    aiff(common(frames=UNKNOWN), sound(size=UNKNOWN), size=UNKNOWN),
    aiff(common(frames=3), sound(size=0x7FFFFFFF), size=0x7FFFFFFF),
    aiff(big_chunk(b'FVER', bytes(4)), common(kind=b'NONE'), sound(), form=b'AIFC'),
    aiff(common(kind=b'twos'), sound(), form=b'AIFC'),
    aiff(common(kind=b'sowt'), sound(LITTLE), form=b'AIFC'),
    aiff(common(), sound(), sound(b'1234')),
    aiff(common(bits=12), sound()),
  ],
)
def test_aiff(write, contents):
  path = write(contents)
  payload = LITTLE if b'sowt' in contents else BIG
  assert assert_stereo(path, contents.index(payload)).container == ContainerKind.AIFF


@pytest.mark.parametrize(
  ('kind', 'bits', 'sample_kind', 'width', 'is_big'),
  [
    (b'in24', 16, SampleKind.SIGNED, 3, True),
    (b'42ni', 24, SampleKind.SIGNED, 3, False),
    (b'in32', 0, SampleKind.SIGNED, 4, True),
    (b'23ni', 32, SampleKind.SIGNED, 4, False),
    (b'raw ', 8, SampleKind.UNSIGNED, 1, False),
    (b'sowt', 8, SampleKind.SIGNED, 1, False),
    (b'FL32', 16, SampleKind.FLOAT, 4, True),
    (b'fl64', 64, SampleKind.FLOAT, 8, True),
    (b'ALAW', 16, SampleKind.A_LAW, 1, False),
    (b'ulaw', 8, SampleKind.MU_LAW, 1, False),
  ],
)
def test_aiff_compression_types(write, kind, bits, sample_kind, width, is_big):
  info = read_pcm_info(write(aiff(common(3, bits=bits, kind=kind), sound(bytes(48)), form=b'AIFC')))
  assert (info.pcm.kind, info.sample_bytes, info.pcm.is_big_endian) == (sample_kind, width, is_big)
  assert info.num_frames == 16 // width


@pytest.mark.parametrize(
  ('contents', 'word'),
  [
    (aiff(common()), "'SSND'"),
    (aiff(sound()), "'COMM'"),
    (aiff(common(kind=b'ima4'), sound(), form=b'AIFC'), 'ima4'),
    (aiff(common(), sound(), form=b'AIFC'), 'at least 22'),
    (aiff(common(channels=0), sound()), 'channels'),
    (aiff(common(bits=33), sound()), 'got 33'),
    (aiff(common(bits=0), sound()), 'got 0'),
    (aiff(common(channels=20_000, bits=32), sound()), '65535 bytes'),
    (aiff(common())[:-4] + b'SSND', "'SSND'"),
    (aiff(common(), b'SSND\0\0\0\4abc'), 'at least 8'),
  ],
)
def test_aiff_that_is_refused(write, contents, word):
  assert_rejected(write(contents), word)


def test_sample_rates():
  for rate in (0, 1, 2, 3, 7999, 8000, 11_025, 44_100, 2**31, 2**32 - 1):
    assert extended_to_int(int_to_extended(rate)) == rate
    assert float_to_rate(float(rate)) == rate
  # As libraries of the time wrote 44,100 Hz; a half is rounded up, and what is no rate is 0.
  assert extended_to_int(bytes.fromhex('400eac44000000000000')) == 44_100
  assert extended_to_int(bytes.fromhex('3ffe8000000000000000')) == 1
  assert extended_to_int(bytes.fromhex('3ffdffffffffffffffff')) == 0
  for other in ('7fffffffffffffffffff', 'c00eac44000000000000', '401fffffffffffffffff', '401e8000000000000000'[::-1]):
    assert extended_to_int(bytes.fromhex(other)) == 0
  assert [float_to_rate(value) for value in (-1.0, 2.0**32, float('nan'), float('inf'))] == [0] * 4


# CAF.


def caf_chunk(chunk_id: bytes, body: bytes, size: int | None = None) -> bytes:
  return chunk_id + struct.pack('>q', len(body) if size is None else size) + body


def description(
  flags: int = 2, frame: int = 4, channels: int = 2, bits: int = 16, kind: bytes = b'lpcm', rate: float = 8000.0
) -> bytes:
  return caf_chunk(b'desc', struct.pack('>d4sIIIII', rate, kind, flags, frame, 1, channels, bits))


def caf(*chunks: bytes) -> bytes:
  return b'caff\0\1\0\0' + b''.join(chunks)


@pytest.mark.parametrize(
  'contents',
  [
    caf(description(), caf_chunk(b'data', bytes(4) + LITTLE)),
    caf(description(flags=0), caf_chunk(b'data', b'1234' + BIG)),
    caf(description(), caf_chunk(b'data', bytes(4) + LITTLE, size=-1)),
    caf(description(), caf_chunk(b'data', bytes(4) + LITTLE, size=2**62)),
    caf(
      description(),
      caf_chunk(b'chan', bytes(12)),
      caf_chunk(b'free', bytes(5001)),
      caf_chunk(b'data', bytes(4) + LITTLE),
    ),
    caf(caf_chunk(b'data', bytes(4) + LITTLE), description(), caf_chunk(b'data', bytes(4) + LITTLE)),
    caf(description(frame=3), caf_chunk(b'data', bytes(4) + LITTLE)),
    caf(description(), caf_chunk(b'data', bytes(4) + LITTLE), caf_chunk(b'info', b'junk')),
    caf(description(rate=7999.7), caf_chunk(b'data', bytes(4) + LITTLE)),
  ],
)
def test_caf(write, contents):
  assert assert_stereo(write(contents)).container == ContainerKind.CAF


@pytest.mark.parametrize(
  ('flags', 'frame', 'bits', 'kind', 'expected'),
  [
    (3, 6, 16, b'lpcm', (SampleKind.FLOAT, 2, False)),
    (1, 12, 32, b'lpcm', (SampleKind.FLOAT, 4, True)),
    (3, 24, 64, b'lpcm', (SampleKind.FLOAT, 8, False)),
    (3, 7, 32, b'lpcm', (SampleKind.FLOAT, 4, False)),
    (2, 12, 24, b'lpcm', (SampleKind.SIGNED, 4, False)),
    (0, 9, 20, b'lpcm', (SampleKind.SIGNED, 3, True)),
    (2, 3, 8, b'lpcm', (SampleKind.SIGNED, 1, False)),
    (0, 3, 0, b'alaw', (SampleKind.A_LAW, 1, False)),
    (0, 0, 8, b'ulaw', (SampleKind.MU_LAW, 1, False)),
  ],
)
def test_caf_formats(write, flags, frame, bits, kind, expected):
  data = caf_chunk(b'data', bytes(4 + 48))
  info = read_pcm_info(write(caf(description(flags, frame, 3, bits, kind), data)))
  assert (info.pcm.kind, info.sample_bytes, info.pcm.is_big_endian) == expected


@pytest.mark.parametrize(
  ('contents', 'word'),
  [
    (caf(), "'desc'"),
    (caf(description()), "'data'"),
    (caf(description())[:-1] + caf_chunk(b'data', bytes(8)), "'data'"),
    (caf(caf_chunk(b'desc', bytes(31)), caf_chunk(b'data', bytes(8))), 'at least 32'),
    (caf(description(kind=b'aac '), caf_chunk(b'data', bytes(8))), 'aac '),
    (caf(description(channels=0), caf_chunk(b'data', bytes(8))), 'channels'),
    (caf(description(channels=2**31), caf_chunk(b'data', bytes(8))), 'channels'),
    (caf(description(bits=2**32 - 1), caf_chunk(b'data', bytes(8))), 'bits'),
    (caf(description(frame=3), caf_chunk(b'data', bytes(4) + LITTLE + b'1')), 'contradicts itself'),
  ],
)
def test_caf_that_is_refused(write, contents, word):
  assert_rejected(write(contents), word)


# W64.


def guid_chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
  claimed = 24 + len(body) if size is None else size
  return name + W64_TAIL + struct.pack('<Q', claimed) + body + bytes(-len(body) % 8)


FMT = guid_chunk(b'fmt ', struct.pack('<HHIIHH', 1, 2, 8000, 32_000, 4, 16))


def w64(*chunks: bytes) -> bytes:
  body = b'wave' + W64_TAIL + b''.join(chunks)
  return bytes.fromhex('726966662e91cf11a5d628db04c10000') + struct.pack('<Q', 24 + len(body)) + body


@pytest.mark.parametrize(
  'contents',
  [
    w64(FMT, guid_chunk(b'data', LITTLE)),
    w64(guid_chunk(b'fact', bytes(4)), FMT, guid_chunk(b'junk', bytes(5001)), guid_chunk(b'data', LITTLE)),
    w64(guid_chunk(b'data', LITTLE), FMT),
    w64(FMT, guid_chunk(b'data', LITTLE), guid_chunk(b'list', bytes(9))),
    *(w64(FMT, guid_chunk(b'data', LITTLE, size)) for size in (0, 1, 24, 2**63, 2**64 - 1)),
  ],
)
def test_w64(write, contents):
  assert assert_stereo(write(contents), contents.index(LITTLE)).container == ContainerKind.W64


@pytest.mark.parametrize('after', [b'', guid_chunk(b'list', bytes(9))])
def test_w64_without_samples(write, after):
  info = read_pcm_info(write(w64(FMT, guid_chunk(b'data', b''), after)))
  assert (info.num_frames, span_of(info)[1]) == (0, 0)


@pytest.mark.parametrize(
  ('contents', 'word'),
  [
    (w64(), "'fmt '"),
    (w64(FMT), "'data'"),
    (w64(guid_chunk(b'fmt ', bytes(15)), guid_chunk(b'data', b'')), 'at least 16'),
    (w64(guid_chunk(b'fmt ', bytes(16), 0), guid_chunk(b'data', b'')), "'data'"),
    (w64(*[guid_chunk(b'junk', b'', 0)] * 70_000), "'fmt '"),
  ],
)
def test_w64_that_is_refused(write, contents, word):
  assert_rejected(write(contents), word)


# AU.


def au(
  payload: bytes, encoding: int = 3, offset: int = 24, size: int | None = None, channels: int = 2, order='>'
) -> bytes:
  fields = (offset, len(payload) if size is None else size, encoding, 8000, channels)
  return (
    (b'.snd' if order == '>' else b'dns.') + struct.pack(f'{order}5I', *fields) + bytes(max(offset - 24, 0)) + payload
  )


@pytest.mark.parametrize(
  'contents',
  [
    au(BIG),
    au(LITTLE, order='<'),
    au(BIG, offset=28),
    au(BIG, offset=5001),
    au(BIG, size=0),
    au(BIG, size=UNKNOWN),
    au(BIG, size=UNKNOWN - 1),
    au(BIG + b'trailer', size=200),
    au(BIG + b'123', size=203),
  ],
)
def test_au(write, contents):
  payload = LITTLE if contents.startswith(b'dns') else BIG
  assert assert_stereo(write(contents), contents.index(payload)).container == ContainerKind.AU


@pytest.mark.parametrize(
  ('contents', 'word'),
  [
    (au(BIG)[:23], 'got 23'),
    (au(BIG, offset=23), 'offset 23'),
    (au(BIG)[:24].replace(b'\0\0\0\x18', b'\0\0\0\x19', 1), 'offset 25'),
    (au(BIG, encoding=0), 'encoding 0'),
    (au(BIG, encoding=23), 'encoding 23'),
    (au(BIG, channels=0), 'channels'),
    (au(BIG, channels=65_536), 'channels'),
    (au(BIG, channels=65_535), '65535 bytes'),
  ],
)
def test_au_that_is_refused(write, contents, word):
  assert_rejected(write(contents), word)


# SPHERE.


def sphere(payload: bytes, length: int = 1024, **fields: object) -> bytes:
  """A file with fields of TIMIT's; None leaves one out."""
  known = {
    'database_id': 'TIMIT',
    'channel_count': 2,
    'sample_count': 50,
    'sample_rate': 8000,
    'sample_n_bytes': 2,
    'sample_byte_format': '01',
    'sample_sig_bits': 16,
    **fields,
  }
  lines = [
    f'{name} -i {value}' if isinstance(value, int) else f'{name} -s{len(str(value))} {value}'
    for name, value in known.items()
    if value is not None
  ]
  text = '\n'.join([f'NIST_1A\n{length:>7}', *lines, 'end_head', ''])
  return text.encode().ljust(length) + payload


@pytest.mark.parametrize(
  'contents',
  [
    sphere(LITTLE),
    sphere(BIG, sample_byte_format='10'),
    sphere(LITTLE, length=4096, sample_coding='pcm'),
    sphere(LITTLE, length=8192),
    sphere(LITTLE, sample_count=None),
    sphere(LITTLE, sample_count=10**17),
    sphere(LITTLE + b'trailer'),
    sphere(LITTLE + b'123', sample_count=10**9),
    sphere(LITTLE, sample_rate='8000.000').replace(b'-s8 8000.000', b'-r 8000.0000'),
  ],
)
def test_sphere(write, contents):
  payload = BIG if b'-s2 10' in contents else LITTLE
  assert assert_stereo(write(contents), contents.index(payload)).container == ContainerKind.SPHERE


@pytest.mark.parametrize(
  ('fields', 'expected'),
  [
    ({'sample_n_bytes': 1, 'sample_byte_format': '1'}, (SampleKind.SIGNED, 1, False)),
    ({'sample_n_bytes': 3, 'sample_byte_format': '012'}, (SampleKind.SIGNED, 3, False)),
    ({'sample_n_bytes': 4, 'sample_byte_format': '3210'}, (SampleKind.SIGNED, 4, True)),
    ({'sample_n_bytes': 4, 'sample_byte_format': '10'}, (SampleKind.SIGNED, 4, True)),
    ({'sample_n_bytes': None, 'sample_coding': 'ulaw'}, (SampleKind.MU_LAW, 1, False)),
    ({'sample_n_bytes': 1, 'sample_coding': 'alaw'}, (SampleKind.A_LAW, 1, False)),
  ],
)
def test_sphere_formats(write, fields, expected):
  info = read_pcm_info(write(sphere(bytes(480), **fields)))
  assert (info.pcm.kind, info.sample_bytes, info.pcm.is_big_endian) == expected


@pytest.mark.parametrize(
  ('contents', 'word'),
  [
    (b'NIST_1A\n   abcd\n', 'second line'),
    (b'NIST_1A\n' + b'9' * 4000, 'second line'),
    (sphere(LITTLE, sample_coding='pcm,embedded-shorten-v2.00'), 'shorten'),
    (sphere(LITTLE, sample_coding='pcm\x07\xa0'), 'got '),
    (sphere(LITTLE, sample_n_bytes=None), 'sample_n_bytes'),
    (sphere(LITTLE, sample_n_bytes=5), 'got 5'),
    (sphere(LITTLE, sample_byte_format='02'), "'02'"),
    (sphere(LITTLE, sample_byte_format=None), "''"),
    (sphere(LITTLE, channel_count=0), 'channels'),
    (sphere(LITTLE, channel_count='many'), 'channel_count'),
    (sphere(LITTLE, channel_count='9' * 3000), 'channel_count'),
    (sphere(LITTLE, length=16, channel_count=None), 'sample_n_bytes'),
  ],
)
def test_sphere_that_is_refused(write, contents, word):
  assert_rejected(write(contents), word)


# All of them.


@pytest.mark.parametrize('container', list(ContainerKind))
def test_a_file_that_is_cut_off_in_its_samples(write, container):
  """Whatever the header says, samples end where the file does, with the last whole frame."""
  is_big = container == ContainerKind.RIFX
  pcm = PcmFormat(kind=SampleKind.SIGNED, sample_bytes=3, num_channels=2, sample_rate_hz=8000, is_big_endian=is_big)
  header, _ = file_header(container, pcm, 10**9)
  for num_bytes in range(13):
    info = read_pcm_info(write(header + bytes(num_bytes)))
    assert span_of(info) == (len(header), num_bytes // 6 * 6)
