"""RIFF headers and frames against scipy, libsndfile and truth built with NumPy."""

import functools
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile  # type: ignore[import-untyped]
from support.pcm_files import assert_rejected, read_all
from support.regions import payload_of, span_of, spans_of
from support.wav_builder import (
  EXTENSIBLE,
  IEEE_FLOAT,
  SUB_FORMAT_TAIL,
  UNKNOWN_SIZE,
  build_rifx,
  build_wav,
  chunk,
  pcm_bytes,
  random_samples,
)

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.info import MAX_REGIONS, PcmInfo
from language_modeling_is_compression.audio.parsing import read_pcm_info

soundfile = pytest.importorskip('soundfile')

STEREO = random_samples(50, 2, 16)
STEREO_BYTES = pcm_bytes(STEREO, 16)


def assert_stereo(path: Path) -> PcmInfo:
  """The file holds STEREO, whatever surrounds it."""
  info = read_pcm_info(path)
  assert (info.num_frames, info.num_channels, info.sample_bytes) == (50, 2, 2)
  np.testing.assert_array_equal(read_pcm_frames(info, 0, 50), STEREO)
  return info


# Kinds of samples.


@pytest.mark.parametrize('extensible', [False, True])
@pytest.mark.parametrize('channels', [1, 2, 3, 4, 5, 6, 7, 8, 255])
@pytest.mark.parametrize('bits', [8, 16, 24, 32])
def test_integers(write, bits, channels, extensible):
  samples = random_samples(37, channels, bits)
  path = write(build_wav(pcm_bytes(samples, bits), bits=bits, channels=channels, rate_hz=44100, extensible=extensible))
  info = read_pcm_info(path)
  assert (info.path, info.encoding, info.sample_bytes, info.resolution_bits) == (path, 'int', bits // 8, bits)
  assert (info.num_channels, info.sample_rate_hz, info.num_frames) == (channels, 44100, 37)
  assert info.file_bytes == os.path.getsize(path)
  assert info.frame_bytes == channels * bits // 8
  frames = read_pcm_frames(info, 0, 37)
  assert frames.dtype == np.int32 and frames.shape == (37, channels)
  np.testing.assert_array_equal(frames, samples)

  rate_hz, scipy_frames = wavfile.read(path)
  assert rate_hz == info.sample_rate_hz
  scipy_frames = scipy_frames.reshape(37, channels).astype(np.int64)
  scipy_signed = {8: scipy_frames - 128, 24: scipy_frames >> 8}.get(bits, scipy_frames)
  np.testing.assert_array_equal(frames, scipy_signed)

  sndfile_frames, _ = soundfile.read(path, dtype='int32', always_2d=True)
  np.testing.assert_array_equal(frames, sndfile_frames >> (32 - bits))


@pytest.mark.parametrize('extensible', [False, True])
@pytest.mark.parametrize('bits', [32, 64])
def test_floats(write, bits, extensible):
  rng = np.random.default_rng(1)
  values = rng.uniform(-1.1, 1.1, size=(500, 3)).astype(f'<f{bits // 8}')
  path = write(build_wav(values.tobytes(), tag=IEEE_FLOAT, bits=bits, channels=3, extensible=extensible))
  info = read_pcm_info(path)
  assert (info.encoding, info.sample_bytes, info.resolution_bits) == ('float', bits // 8, 24)
  frames = read_pcm_frames(info, 0, 500)
  assert frames.dtype == np.int32
  for independent in (wavfile.read(path)[1], soundfile.read(path, dtype='float64')[0]):
    scaled = np.clip(independent.astype(np.float64) * 2**23, -(2**23), 2**23 - 1)
    assert np.abs(frames - scaled).max() <= 0.5


@pytest.mark.parametrize('extensible', [False, True])
def test_floats_of_16_bits(write, extensible):
  values = np.random.default_rng(1).uniform(-1.1, 1.1, size=(500, 3)).astype('<f2')
  info = read_pcm_info(write(build_wav(values.tobytes(), tag=IEEE_FLOAT, bits=16, channels=3, extensible=extensible)))
  assert (info.encoding, info.sample_bytes, info.resolution_bits) == ('float', 2, 24)
  assert not info.is_plain_wav
  np.testing.assert_array_equal(
    read_pcm_frames(info, 0, 500), np.clip(values.astype(np.float64) * 2**23, -(2**23), 2**23 - 1)
  )


@pytest.mark.parametrize(
  ('bits', 'container'), [(12, 16), (20, 24), (20, 32), (24, 32), (4, 8), (16, 32), (8, 24), (4, 16)]
)
def test_container_wider_than_the_valid_bits(write, bits, container):
  samples = random_samples(20, 2, bits) << (container - bits)
  path = write(build_wav(pcm_bytes(samples, container), bits=bits, channels=2, block_align=2 * container // 8))
  info = read_pcm_info(path)
  assert (info.sample_bytes, info.num_frames) == (container // 8, 20)
  np.testing.assert_array_equal(read_pcm_frames(info, 0, 20), samples)


def test_written_by_libsndfile(tmp_path):
  subtypes = {'PCM_U8': 8, 'PCM_16': 16, 'PCM_24': 24, 'PCM_32': 32}
  for container in ('WAV', 'WAVEX', 'RF64'):
    for subtype, bits in subtypes.items():
      samples = random_samples(33, 2, bits)
      path = tmp_path / f'{container}_{subtype}.wav'
      soundfile.write(path, (samples << (32 - bits)).astype(np.int32), 48000, subtype=subtype, format=container)
      np.testing.assert_array_equal(read_all(path), samples)


# Containers.


@pytest.mark.parametrize('form', [b'RF64', b'BW64'])
def test_64_bit_forms(write, form):
  info = assert_stereo(write(build_wav(STEREO_BYTES, channels=2, form=form, after=[(b'axml', b'<a/>')])))
  assert span_of(info)[1] == 200


def test_64_bit_form_with_a_32_bit_data_size(write):
  contents = build_wav(STEREO_BYTES, channels=2, form=b'BW64', data_size=200, ds64=(0, 7), after=[(b'axml', b'1234')])
  assert_stereo(write(contents))


def test_table_of_64_bit_sizes(write):
  before = chunk(b'big ', b'12345678', size=UNKNOWN_SIZE)
  contents = build_wav(STEREO_BYTES, channels=2, form=b'RF64', ds64_table=[(b'othr', 1), (b'big ', 8)])
  at = contents.index(b'fmt ')
  assert_stereo(write(contents[:at] + before + contents[at:]))


@pytest.mark.parametrize('ds64', [(0, 0), (2**64 - 1, 2**64 - 1), (0, 10**6)])
def test_64_bit_sizes_that_lie(write, ds64):
  assert_stereo(write(build_wav(STEREO_BYTES, channels=2, form=b'RF64', ds64=ds64)))


def test_64_bit_form_without_ds64(write):
  contents = build_wav(STEREO_BYTES, channels=2, form=b'RF64')
  at = contents.index(b'ds64')
  assert_stereo(write(contents[:at] + contents[at + 36 :]))


def test_ds64_counts_in_64_bit_forms_only(write):
  sizes = struct.pack('<QQQI', 0, 4, 0, 0)
  assert_stereo(write(build_wav(STEREO_BYTES, channels=2, data_size=UNKNOWN_SIZE, before=[(b'ds64', sizes)])))


def test_data_size_of_the_unknown_size_exactly(tmp_path):
  path = tmp_path / 'big.wav'
  path.write_bytes(build_wav(b'', bits=8, form=b'RF64', ds64=(2**33, UNKNOWN_SIZE)))
  os.truncate(path, 2**33)
  assert span_of(read_pcm_info(path))[1] == UNKNOWN_SIZE


def test_ds64_that_is_cut_short(write):
  contents = build_wav(STEREO_BYTES, channels=2, form=b'RF64')
  at = contents.index(b'ds64')
  assert_stereo(write(contents[:at] + chunk(b'ds64', b'12345678') + contents[at + 36 :]))


@pytest.mark.parametrize('form', [b'RF64', b'BW64'])
def test_sparse_file_of_20_gigabytes(tmp_path, form):
  num_frames = 20 * 10**9 // 6
  path = tmp_path / 'big.wav'
  last = random_samples(10, 2, 24)
  contents = build_wav(b'', channels=2, bits=24, form=form, ds64=(num_frames * 6 + 72, num_frames * 6))
  path.write_bytes(contents)
  os.truncate(path, len(contents) + num_frames * 6)
  with open(path, 'r+b') as file:
    file.seek(-60, os.SEEK_END)
    file.write(pcm_bytes(last, 24))
    file.seek(0, os.SEEK_END)
    file.write(chunk(b'LIST', b'INFO'))
  info = read_pcm_info(path)
  assert (span_of(info)[1], info.num_frames) == (num_frames * 6, num_frames)
  tail = read_pcm_frames(info, num_frames - 12, num_frames)
  np.testing.assert_array_equal(tail, np.concatenate([np.zeros((2, 2)), last]))


@pytest.mark.parametrize('pad', [b'\0', b'X', b'\xff', b''])
@pytest.mark.parametrize('chunk_id', [b'LIST', b'JUNK', b'bext', b'fact', b'abcd'])
def test_odd_chunks_around_the_data(write, chunk_id, pad):
  oddities = [(chunk_id, b'123'), (b'wxyz', b'12345'), (b'PAD ', b''), (chunk_id, bytes(5001))]
  contents = build_wav(STEREO_BYTES, channels=2, before=oddities, after=oddities, pad=pad)
  assert_stereo(write(contents))


@pytest.mark.parametrize('pad', [b'\0', b'X'])
def test_independent_readers_agree_on_odd_chunks(write, pad):
  # They insist on well-formed bodies of the chunks they know, and libsndfile on padding: hence JUNK and nothing else.
  oddities = [(b'JUNK', b'123'), (b'JUNK', bytes(5001))]
  path = write(build_wav(STEREO_BYTES, channels=2, before=oddities, after=oddities, pad=pad))
  np.testing.assert_array_equal(soundfile.read(path, dtype='int16')[0], read_all(path))
  np.testing.assert_array_equal(wavfile.read(path)[1], read_all(path))


def test_chunk_without_its_pad_whose_shifted_id_is_printable_too(write):
  # Read one byte late, 'wxyz' with a size of 0x23 is 'xyz#' with a size of 0, and leads nowhere.
  contents = build_wav(STEREO_BYTES, channels=2, before=[(b'abcd', b'123'), (b'wxyz', bytes(0x23))], pad=b'')
  assert_stereo(write(contents))


def test_data_without_a_pad_before_it_and_with_junk_behind_it(write):
  # 'data' with a size of 0x40 is 'ata@' with a size of 0 one byte late; neither leads on, but 'data' is well known.
  contents = build_wav(bytes(0x40), before=[(b'abcd', b'123')], pad=b'', trailer=b'\xff' * 9)
  info = read_pcm_info(write(contents))
  assert span_of(info) == (55, 0x40)


def test_pad_is_assumed_where_both_places_look_alike(write):
  assert_stereo(write(build_wav(STEREO_BYTES, channels=2, before=[(b'abcd', b'123'), (b'\0\0\0\0', b'1234')])))


def test_chunks_beyond_the_first_read(write):
  assert_stereo(
    write(build_wav(STEREO_BYTES, channels=2, before=[(b'JUNK', bytes(size)) for size in (4040, 70_000, 3)]))
  )


@pytest.mark.parametrize('fmt_extra', [b'\0\0', b'\x03\0abc', bytes(5000)])
def test_longer_fmt(write, fmt_extra):
  assert_stereo(write(build_wav(STEREO_BYTES, channels=2, fmt_extra=fmt_extra)))


@pytest.mark.parametrize('pad', [b'\0', b'Q', b''])
def test_data_before_fmt(write, pad):
  samples = random_samples(33, 1, 8)
  path = write(build_wav(pcm_bytes(samples, 8), bits=8, data_first=True, pad=pad, after=[(b'LIST', b'INFO')]))
  info = read_pcm_info(path)
  assert span_of(info) == (20, 33)
  np.testing.assert_array_equal(read_pcm_frames(info, 0, 33), samples)


def test_first_format_counts(write):
  assert_stereo(write(build_wav(STEREO_BYTES, channels=2, before=[(b'fmt ', bytes(16))])))


@pytest.mark.parametrize('data_first', [False, True])
def test_every_data_chunk_counts(write, data_first):
  pieces = [STEREO_BYTES[:80], STEREO_BYTES[80:120], STEREO_BYTES[120:]]
  between = [chunk(b'LIST', b'INFO') + chunk(b'data', piece + b'12') + chunk(b'data', b'') for piece in pieces[1:]]
  contents = build_wav(pieces[0] + b'1', channels=2, data_first=data_first)
  at = contents.index(pieces[0]) + 82
  info = assert_stereo(write(contents[:at] + b''.join(between) + contents[at:]))
  first = contents.index(pieces[0])
  assert spans_of(info) == [(first, 80), (first + 82 + 20, 40), (first + 82 + 20 + 42 + 8 + 20, 80)]
  assert payload_of(info) == STEREO_BYTES


def test_wave_list(write):
  """Data chunks and silence inside LIST wavl, which has no samples of its own; lists in lists too."""
  inner = chunk(b'data', STEREO_BYTES[:100]) + chunk(b'slnt', bytes(4)) + chunk(b'data', STEREO_BYTES[100:])
  for nested in (inner, chunk(b'LIST', b'wavl' + inner), chunk(b'data', b'') + inner):
    body = build_wav(b'', channels=2)[8:36] + chunk(b'LIST', b'wavl' + nested) + chunk(b'LIST', b'INFO')
    info = assert_stereo(write(chunk(b'RIFF', body)))
    assert [num_bytes for _, num_bytes in spans_of(info)] == [100, 100]


def test_lists_in_lists_without_end(write):
  contents = build_wav(STEREO_BYTES, channels=2)
  nested = struct.pack('<4sI4s', b'LIST', UNKNOWN_SIZE, b'wavl')
  assert_stereo(write(contents[:36] + nested * 65_000 + contents[36:]))
  assert_rejected(write(contents[:36] + nested * 65_536 + contents[36:]), "'data'")


def test_more_regions_than_there_may_be(write):
  data = chunk(b'data', b'1234')
  info = read_pcm_info(write(build_wav(b'', channels=2)[:36] + data * (MAX_REGIONS + 5)))
  assert (len(info.regions), info.num_frames, span_of_last(info)) == (MAX_REGIONS, MAX_REGIONS, 36 + 12 * MAX_REGIONS)


def span_of_last(info: PcmInfo) -> int:
  return sum(spans_of(info)[-1])


def test_what_follows_the_samples_may_be_anything(write):
  # A chunk's id is text, so the walk ends here, and what could be read as chunks further on is none.
  contents = build_wav(STEREO_BYTES, channels=2) + bytes(64) + chunk(b'data', b'1234')
  assert_stereo(write(contents))


@pytest.mark.parametrize('form', [b'RIFF', b'RF64', b'RIFX'])
@pytest.mark.parametrize(
  ('tag', 'bits', 'kind'), [(6, 8, 'a-law'), (7, 8, 'mu-law'), (6, 0, 'a-law'), (7, 16, 'mu-law'), (3, 32, 'float')]
)
@pytest.mark.parametrize('extensible', [False, True])
def test_other_codings(write, form, tag, bits, kind, extensible):
  width = 4 if tag == 3 else 1
  build = build_rifx if form == b'RIFX' else functools.partial(build_wav, form=form)
  info = read_pcm_info(
    write(build(bytes(24), tag=tag, bits=bits, channels=3, block_align=3 * width, extensible=extensible))
  )
  assert (info.encoding, info.sample_bytes, info.num_frames) == (kind, width, 8 // width)
  assert info.container == ('RIFX' if form == b'RIFX' else 'WAV')
  assert info.pcm.is_big_endian == (form == b'RIFX' and width == 4)


@pytest.mark.parametrize('extensible', [False, True])
@pytest.mark.parametrize('bits', [8, 16, 24, 32])
def test_big_endian(write, bits, extensible):
  samples = random_samples(21, 3, bits)
  pcm = np.frombuffer(pcm_bytes(samples, bits), np.uint8).reshape(-1, bits // 8)[:, ::-1].tobytes()
  path = write(build_rifx(pcm, bits=bits, channels=3, extensible=extensible, before=[(b'LIST', b'123')]))
  np.testing.assert_array_equal(read_all(path), samples)
  np.testing.assert_array_equal(soundfile.read(path, dtype='int32')[0] >> (32 - bits), samples)


def test_guid_of_a_big_endian_file_in_the_usual_order(write):
  fmt = struct.pack('>HHIIHHHHI', EXTENSIBLE, 1, 8000, 16_000, 2, 16, 22, 16, 0) + b'\1\0' + SUB_FORMAT_TAIL
  assert read_pcm_info(write(build_rifx(b'\1\2', fmt=fmt))).num_frames == 1


@pytest.mark.parametrize(('tag', 'encoding'), [(1, 'int'), (3, 'float')])
def test_ambisonic_sub_formats(write, tag, encoding):
  guid = struct.pack('<I', tag) + bytes.fromhex('2107d3118644c8c1ca000000')
  info = read_pcm_info(write(build_wav(bytes(64), bits=32, channels=4, tag=tag, extensible=True, guid=guid)))
  assert (info.encoding, info.num_frames) == (encoding, 4)


@pytest.mark.parametrize(
  ('bits', 'block_align', 'num_bytes', 'sample_bytes'),
  [(16, 3, 8, 2), (16, 5, 8, 2), (16, 2, 8, 2), (16, 0, 8, 2), (24, 10, 12, 3), (24, 4, 12, 3), (16, 16, 16, 2)],
)
def test_block_align_that_contradicts_itself(write, bits, block_align, num_bytes, sample_bytes):
  path = write(build_wav(bytes(num_bytes), channels=2, bits=bits, block_align=block_align))
  assert (read_pcm_info(path).sample_bytes, span_of(read_pcm_info(path))[1]) == (sample_bytes, num_bytes)
  assert_rejected(write(build_wav(bytes(num_bytes + 1), channels=2, bits=bits, block_align=block_align)), 'block_align')


@pytest.mark.parametrize(('tag', 'bits', 'width'), [(3, 32, 4), (3, 64, 8), (6, 8, 1), (7, 8, 1)])
def test_block_align_of_other_codings_that_contradicts_itself(write, tag, bits, width):
  info = read_pcm_info(write(build_wav(bytes(48), tag=tag, channels=3, bits=bits, block_align=5)))
  assert (info.sample_bytes, info.num_frames) == (width, 16 // width)
  assert_rejected(write(build_wav(bytes(49), tag=tag, channels=3, bits=bits, block_align=5)), 'block_align of 5')


@pytest.mark.parametrize('riff_size', [0, 1, 36, 10**6, UNKNOWN_SIZE])
def test_riff_size_does_not_matter(write, riff_size):
  info = assert_stereo(write(build_wav(STEREO_BYTES, channels=2, riff_size=riff_size, after=[(b'LIST', b'INFO')])))
  assert span_of(info)[0] == 44


@pytest.mark.parametrize('data_size', [UNKNOWN_SIZE, UNKNOWN_SIZE - 1, 0x7FFFFFFF, 202])
@pytest.mark.parametrize('riff_size', [0, 36, UNKNOWN_SIZE])
def test_data_size_beyond_the_end(write, data_size, riff_size):
  assert_stereo(write(build_wav(STEREO_BYTES, channels=2, data_size=data_size, riff_size=riff_size)))


@pytest.mark.parametrize('riff_size', [0, 8, 36])
def test_header_that_was_never_finished(write, riff_size):
  assert_stereo(write(build_wav(STEREO_BYTES, channels=2, data_size=0, riff_size=riff_size)))


@pytest.mark.parametrize('payload', [b'abcdefgh', b' abc\4\0\0\0'])
def test_payload_of_an_unfinished_file_that_resembles_a_chunk(write, payload):
  # The size does not fit in the file; no chunk id begins with a space.
  info = read_pcm_info(write(build_wav(payload * 9, data_size=0, riff_size=0)))
  assert span_of(info)[1] == 72


def test_unknown_size_means_the_end_also_beyond_4_gib(tmp_path):
  path = tmp_path / 'big.wav'
  path.write_bytes(build_wav(b'', data_size=UNKNOWN_SIZE))
  os.truncate(path, 44 + 2**33)
  assert span_of(read_pcm_info(path))[1] == 2**33


def test_empty_data(write):
  for contents in (
    build_wav(b'', channels=2),
    build_wav(b'', channels=2, riff_size=0),
    build_wav(b'', channels=2, after=[(b'LIST', b'INFOabcd')]),
    build_wav(b'', channels=2, riff_size=0, after=[(b'wxyz', b'123'), (b'LIST', b'INFOabcd')]),
    build_wav(b'', channels=2, after=[(b'LIST', b'INFO')], trailer=b'junk behind everything'),
    build_wav(b'', channels=2, riff_size=36 + 40, trailer=b'\xff' * 40),
    build_wav(b'', channels=2, data_size=UNKNOWN_SIZE),
  ):
    info = read_pcm_info(write(contents))
    assert (span_of(info), info.num_frames) == ((44, 0), 0)
    assert read_pcm_frames(info, 0, 0).shape == (0, 2)


def test_partial_last_frame_is_left_out(write):
  info = assert_stereo(write(build_wav(STEREO_BYTES + b'123', channels=2)))
  assert span_of(info)[1] == 200


def test_trailing_junk_is_no_payload(write):
  assert_stereo(write(build_wav(STEREO_BYTES, channels=2, trailer=b'\xff' * 999)))


# What is rejected.


@pytest.mark.parametrize(
  ('contents', 'words'),
  [
    (b'RIFF\x04\0\0\0WAVE', ["'fmt '"]),
    (b'RIFF\x04\0\0\0WAVE' + chunk(b'data', b'1234'), ["'fmt '"]),
    (build_wav(b'')[:36], ["'data'"]),
    (build_wav(b'')[:43], ["'data'"]),
    (build_wav(b'12', fmt=bytes(14)), ['at least 16', 'got 14']),
    (build_wav(b'12')[:30], ["'data'"]),
    (build_wav(b'12', data_first=True)[:-6], ['at least 16', 'got 10']),
    (build_wav(b'12', channels=0, block_align=2), ['channel', 'got 0']),
    (build_wav(b'12', tag=0x0002), ['0x0002', 'Microsoft ADPCM']),
    (build_wav(b'12', tag=0x0011), ['0x0011', 'IMA ADPCM']),
    (build_wav(b'12', tag=0x0055, bits=0), ['0x0055', 'MP3']),
    (build_wav(b'12', tag=0x1234), ['0x1234', 'unknown']),
    (build_wav(b'12', tag=0x0002, bits=8, extensible=True), ['0x0002', 'Microsoft ADPCM']),
    (build_wav(b'12', tag=EXTENSIBLE, fmt_extra=bytes(22)), ['at least 40', 'got 38']),
    (build_wav(b'12', extensible=True, guid=b'\1' * 16), ['GUID', '0101']),
    (build_wav(bytes(8), bits=64), ['64']),
    (build_wav(bytes(8), bits=0, block_align=2), ['got 0']),
    (build_wav(bytes(8), bits=40), ['40']),
    (build_wav(bytes(8), tag=IEEE_FLOAT, bits=24), ['16, 32 or 64', 'got 24']),
    (build_wav(bytes(20), tag=IEEE_FLOAT, bits=64, block_align=4), ['block_align of 4']),
    (build_wav(bytes(8), channels=30_000, bits=32, block_align=1), ['30000 channels', 'block_align of 1']),
    (build_wav(b'', channels=30_000, bits=32, block_align=1), ['frames of at most 65535 bytes', 'got 120000']),
  ],
)
def test_rejected(write, contents, words):
  assert_rejected(write(contents), *words)


def test_64_bit_size_beyond_every_offset(write):
  contents = build_wav(b'12', form=b'RF64', ds64_table=[(b'big ', 2**64 - 1)])
  at = contents.index(b'data')
  assert_rejected(write(contents[:at] + chunk(b'big ', b'', size=UNKNOWN_SIZE) + contents[at:]), "'data'")


def test_chunk_walk_is_bounded(tmp_path):
  # 65,534 empty chunks after `fmt ` leave room for `data`; with one more it is out of reach.
  header, data = build_wav(b'')[:36], chunk(b'data', b'1234')
  within, beyond = tmp_path / 'within.wav', tmp_path / 'beyond.wav'
  within.write_bytes(header + bytes(8) * (65_536 - 2) + data)
  beyond.write_bytes(header + bytes(8) * (65_536 - 1) + data)
  assert read_pcm_info(within).num_frames == 2
  assert_rejected(beyond, "'data'")
