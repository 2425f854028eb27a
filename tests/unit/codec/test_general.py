"""Methods of chunks without a model: what comes back, and what hostile bodies cannot do."""

import io
import lzma
import random
import tracemalloc
import zlib

import numpy as np
import pytest
from support import lmic_cases
from support.wav_builder import build_wav, pcm_bytes, random_samples

from language_modeling_is_compression.audio.pcm import wav_integers
from language_modeling_is_compression.codec import general
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.format.container import LZMA, PRIMED, STORED, Chunk, Container
from language_modeling_is_compression.format.header import COMPACT_VERSION, PIECE_BYTES
from language_modeling_is_compression.format.payloads import Raw, RawShape
from language_modeling_is_compression.format.surroundings import USUAL_TEXT, canonical

DICTIONARY = USUAL_TEXT + b'and what a head of such samples would be'
WORDS = ' '.join(random.Random(0).choices(['lossless', 'audio', 'coding', 'of', 'the', 'a', 'bit'], k=9000)).encode()
NOISE = random.Random(1).randbytes(3000)


def packed(data: bytes, **changes: int) -> bytes:
  return lzma.compress(data, lzma.FORMAT_RAW, filters=[{'id': lzma.FILTER_LZMA2, 'preset': 6, **changes}])


def coded(data: bytes, dictionary: bytes = b'') -> Chunk:
  with ChunkCoder(None) as by:
    [chunk] = by.encode([Raw(data=data, dictionary=dictionary)])
    [decoded] = by.decode([chunk], [RawShape(num_bytes=len(data), dictionary=dictionary)])
  assert decoded is not None and decoded.to_bytes() == data
  return chunk


# PRIMED.


@pytest.mark.parametrize(
  'data',
  [
    b'',
    b'x',
    DICTIONARY,
    DICTIONARY[100:300],
    DICTIONARY[::-1],
    b'LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf58.76.100\0',
    NOISE,
    WORDS[:60_000],
    bytes(general.MAX_PRIMED_BYTES),
  ],
)
@pytest.mark.parametrize('dictionary', [b'x', DICTIONARY, WORDS])
def test_primed_bytes_come_back(data, dictionary):
  """Dictionaries of more than DEFLATE's window of 32 KiB, too (RFC 1951)."""
  body = general.compress_primed(data, dictionary)
  assert general.decompress(PRIMED, body, len(data), dictionary) == data
  assert zlib.decompressobj(-15, dictionary).decompress(body) == data
  assert coded(data, dictionary).method in (STORED, LZMA, PRIMED)


def test_what_resembles_the_dictionary_is_primed():
  chunk = coded(DICTIONARY[40:400], DICTIONARY)
  assert chunk.method == PRIMED and len(chunk.body) < 10
  assert coded(NOISE, DICTIONARY).method == STORED
  assert coded(WORDS, DICTIONARY).method == LZMA


def test_long_bytes_and_bytes_without_a_dictionary_are_not_primed():
  long = (DICTIONARY * 200)[: general.MAX_PRIMED_BYTES + 1]
  assert coded(long, DICTIONARY).method == LZMA
  assert coded(DICTIONARY[40:400]).method != PRIMED


def test_hostile_primed_bodies():
  data = DICTIONARY[10:500] + b'something else, and more'
  body = general.compress_primed(data, DICTIONARY)
  assert general.decompress(PRIMED, body, len(data), DICTIONARY) == data
  for num_bytes in (0, 1, len(data) - 1, len(data) + 1, 1 << 20):
    assert general.decompress(PRIMED, body, num_bytes, DICTIONARY) is None
  for length in range(len(body)):
    assert general.decompress(PRIMED, body[:length], len(data), DICTIONARY) is None
  for more in (b'\0', b'x', body):
    assert general.decompress(PRIMED, body + more, len(data), DICTIONARY) is None
  for other in (b'', b'x', DICTIONARY[:-1]):
    assert general.decompress(PRIMED, body, len(data), other) != data
  assert general.decompress(PRIMED, zlib.compress(data), len(data), DICTIONARY) is None


def test_every_damaged_bit_of_a_primed_body_is_refused_or_as_long_as_it_should_be():
  data = DICTIONARY[10:500] + NOISE[:20]
  body = general.compress_primed(data, DICTIONARY)
  for bit in range(8 * len(body)):
    changed = bytearray(body)
    changed[bit // 8] ^= 1 << bit % 8
    found = general.decompress(PRIMED, bytes(changed), len(data), DICTIONARY)
    assert found is None or len(found) == len(data)


@pytest.mark.parametrize('method', [PRIMED, LZMA])
def test_bombs_take_no_more_memory_than_the_shape_says(method):
  """A body of a few KiB that stands for 64 MiB, where 1,000 bytes are due."""
  zeros = bytes(1 << 26)
  body = general.compress_primed(zeros, DICTIONARY) if method == PRIMED else packed(zeros)
  assert len(body) < 1 << 17
  tracemalloc.start()
  try:
    assert general.decompress(method, body, 1000, DICTIONARY) is None
    peak = tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()
  assert peak < (1 << 20) + (method == LZMA) * (17 << 20)  # LZMA's dictionary is there whatever the body is.


def test_a_chunk_of_the_wrong_sum_or_dictionary_is_damaged():
  data = DICTIONARY[40:400]
  chunk, shape = coded(data, DICTIONARY), RawShape(num_bytes=len(data), dictionary=DICTIONARY)
  wrong = Chunk(method=PRIMED, crc32=chunk.crc32 ^ 1, body=chunk.body)
  with ChunkCoder(None) as by:
    found = by.decode([wrong, chunk, chunk], [shape, RawShape(num_bytes=len(data), dictionary=WORDS), shape])
  assert [payload and payload.to_bytes() for payload in found] == [None, None, data]


def test_a_segment_is_never_primed():
  """It has no dictionary: a body that says so decodes to what it is without one, and its sum to nothing."""
  pcm = wav_integers(sample_bytes=2, num_channels=1, sample_rate_hz=8000)
  original = canonical('WAV', pcm, 100).head + pcm_bytes(random_samples(100, 1, 16), 16)
  data = lmic_cases.compressed(original, ChunkCoder(None))
  body = general.compress_primed(bytes(200), DICTIONARY)
  changed = lmic_cases.with_changed_body(data, 0, lambda _: body, method=PRIMED)
  lmic_cases.check_reading(changed, original, may_differ=True, by=ChunkCoder(None))


# Around samples.


def test_chunks_around_samples_are_primed_by_the_head_that_would_be():
  """A head that differs from the canonical one in a few bytes costs a few bytes."""
  sound = pcm_bytes(random_samples(200, 2, 16), 16)
  original = build_wav(sound, channels=2, before=[(b'LIST', b'INFOISFT\x0e\0\0\0Lavf58.76.100\0')])
  data = lmic_cases.compressed(original, ChunkCoder(None))
  container = Container(io.BytesIO(data), len(data))
  header, chunk = container.header, container.chunk(0)
  head = original[: header.head_bytes]
  assert chunk.method == PRIMED and len(chunk.body) < len(head) // 2
  assert canonical('WAV', header.pcm, header.num_frames).head in header.dictionary
  assert header.dictionary.startswith(USUAL_TEXT) and header.format_version == COMPACT_VERSION
  assert general.decompress(PRIMED, chunk.body, len(head), header.dictionary) == head
  assert lmic_cases.decompressed(data, ChunkCoder(None)) == original


def test_files_without_samples_have_no_dictionary():
  data = lmic_cases.compressed(USUAL_TEXT, ChunkCoder(None))
  container = Container(io.BytesIO(data), len(data))
  assert container.header.dictionary == b'' and container.chunk(0).method in (STORED, LZMA)


# LZMA.


def test_lzma_reaches_back_16_mib():
  """What comes again 12 MiB later is found."""
  rng = np.random.default_rng(0)
  block, between = rng.bytes(1 << 20), bytes(11 << 20)
  body = general.compress(block + between + block)
  assert len(body) < 1.1 * len(block)
  assert general.decompress(LZMA, body, 13 << 20) == block + between + block
  assert PIECE_BYTES >= 13 << 20


@pytest.mark.parametrize(('lc', 'lp', 'pb'), [(3, 0, 2), (4, 0, 0), (0, 0, 0), (0, 4, 4), (2, 2, 1)])
@pytest.mark.parametrize('dict_size', [1 << 12, 1 << 20, 1 << 24])
def test_bodies_of_any_settings_are_read(lc, lp, pb, dict_size):
  """They stand in the body. Encoders of versions 1 to 4 used others than today's, and so may other programs."""
  body = packed(WORDS, lc=lc, lp=lp, pb=pb, dict_size=dict_size)
  assert general.decompress(LZMA, body, len(WORDS)) == WORDS


def test_text_is_coded_as_text():
  """Without an alignment, and with more of the byte before: where that is smaller, and only there."""
  plain, as_text = packed(WORDS, preset=9 | lzma.PRESET_EXTREME), general.compress(WORDS)
  assert len(as_text) < len(plain)
  counted = np.arange(20_000, dtype='<u4').tobytes()
  assert len(general.compress(counted)) == len(packed(counted, preset=9 | lzma.PRESET_EXTREME))
  for data in (WORDS, counted, NOISE, b'', b'x'):
    assert general.decompress(LZMA, general.compress(data), len(data)) == data


def test_text_is_not_tried_where_another_method_is_far_ahead():
  plain, as_text = packed(WORDS, preset=9 | lzma.PRESET_EXTREME), general.compress(WORDS)
  assert general.compress(WORDS, len(plain)) == as_text
  assert general.compress(WORDS, len(plain) // 2) == plain


def test_hostile_lzma_bodies():
  body = general.compress(WORDS)
  for num_bytes in (0, len(WORDS) - 1, len(WORDS) + 1):
    assert general.decompress(LZMA, body, num_bytes) is None
  for length in (0, 1, len(body) // 2, len(body) - 1):
    assert general.decompress(LZMA, body[:length], len(WORDS)) is None
  for more in (b'\0', b'x'):
    assert general.decompress(LZMA, body + more, len(WORDS)) is None
  xz = lzma.compress(WORDS)
  assert general.decompress(LZMA, xz, len(WORDS)) is None


def test_stored_bytes_are_as_long_as_they_are():
  assert general.decompress(STORED, b'abc', 3) == b'abc'
  for num_bytes in (2, 4):
    assert general.decompress(STORED, b'abc', num_bytes) is None
