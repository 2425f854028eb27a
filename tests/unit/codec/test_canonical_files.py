"""Files whose head, or head and tail, are what stands around such samples anyway: they take no chunk, and no byte."""

import dataclasses
import io
import os

import numpy as np
import pytest
from support import fixed_files, lmic_cases, lmic_frames, segment_stand_in
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes, random_samples

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.pcm import PcmFormat, wav_integers
from language_modeling_is_compression.codec import file_codec, plan
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.errors import AudioFormatError, FormatError
from language_modeling_is_compression.format.compact_frame import CompactFrame
from language_modeling_is_compression.format.container import Container
from language_modeling_is_compression.format.layout import SegmentLayout
from language_modeling_is_compression.format.surroundings import canonical, plain_wav_header

LEVEL = segment_stand_in.level(100)
NUM_FRAMES = 331
EITHER_FRAME = pytest.mark.parametrize(
  'compressed', [lmic_cases.compressed, fixed_files.compressed], ids=['version 5', 'version 2']
)
WIDTHS = pytest.mark.parametrize(('channels', 'bits'), [(1, 8), (2, 16), (3, 16), (1, 24), (3, 8), (16, 32)])


def samples(channels: int, bits: int, num_frames: int = NUM_FRAMES) -> np.ndarray:
  """int64 [N, C]"""
  sound = 0.9 * np.sin(0.01 * np.arange(num_frames)[:, None] * (1 + np.arange(channels)))
  return np.round(sound * (1 << (bits - 1))).astype(np.int64)


def sound_bytes(channels: int, bits: int, num_frames: int = NUM_FRAMES) -> bytes:
  return pcm_bytes(samples(channels, bits, num_frames), bits)


def pcm_of(channels: int, bits: int) -> PcmFormat:
  return wav_integers(sample_bytes=bits // 8, num_channels=channels, sample_rate_hz=8000)


def plain_wav(channels: int, bits: int, num_frames: int = NUM_FRAMES) -> bytes:
  """A WAV whose sizes leave out a pad byte, which it has not."""
  return plain_wav_header(pcm_of(channels, bits), num_frames) + sound_bytes(channels, bits, num_frames)


def canonical_wav(channels: int, bits: int, num_frames: int = NUM_FRAMES) -> bytes:
  around = canonical('WAV', pcm_of(channels, bits), num_frames)
  return around.head + sound_bytes(channels, bits, num_frames) + around.tail


def opened(data: bytes) -> Container:
  return Container(io.BytesIO(data), len(data))


@WIDTHS
@pytest.mark.parametrize('num_frames', [1, 50, 51])
def test_head_and_tail_take_no_chunk(monkeypatch, bits, channels, num_frames):
  original = canonical_wav(channels, bits, num_frames)
  by = segment_stand_in.coder()
  data = lmic_cases.compressed(original, by, LEVEL)
  header = opened(data).header
  assert header.has_canonical_head and header.has_canonical_tail and header.num_chunks == header.num_spans == 1
  assert header.head_bytes + header.tail_bytes == len(original) - num_frames * channels * bits // 8
  assert lmic_cases.decompressed(data, by) == original
  lmic_cases.check_reading(data, original, may_differ=False, by=by)
  monkeypatch.setattr(plan, '_is_canonical', lambda *_: False)
  longer = lmic_cases.compressed(original, by, LEVEL)
  chunks = [opened(longer).chunk(index) for index in range(opened(longer).header.num_chunks)]
  around = [chunk for index, chunk in enumerate(chunks) if index != 1]
  assert len(around) == 1 + (header.tail_bytes > 0)
  # What is left out: records, bodies, and the numbers of their lengths.
  assert len(data) == len(longer) - sum(13 + len(chunk.body) for chunk in around) - (3 if header.head_bytes > 63 else 2)
  assert lmic_cases.decompressed(longer, by) == original


@WIDTHS
@pytest.mark.parametrize('trailer', [b'', b'odd'])
def test_the_head_alone_takes_no_chunk_in_versions_2_to_4(bits, channels, trailer):
  original, by = plain_wav(channels, bits, 50) + trailer, segment_stand_in.coder()
  data = fixed_files.compressed(original, by, LEVEL)
  header = opened(data).header
  assert header.has_canonical_head and not header.has_canonical_tail and header.format_version == 2
  assert (header.num_head_chunks, header.num_chunks) == (0, 1 + bool(trailer))
  assert lmic_cases.decompressed(data, by) == original
  lmic_cases.check_reading(data, original, may_differ=False, by=by)


def test_floats_and_files_without_a_model_leave_it_out_too():
  waves = np.linspace(-1, 1, 300, dtype='<f4')
  for original in (build_wav(waves.tobytes(), bits=32, tag=IEEE_FLOAT, channels=2), canonical_wav(1, 8)):
    data = lmic_cases.compressed(original, ChunkCoder(None))
    header = opened(data).header
    assert header.has_canonical_head and header.num_chunks == header.pcm.num_channels
    assert lmic_cases.decompressed(data, ChunkCoder(None)) == original


def odd(**oddities) -> bytes:
  return build_wav(sound_bytes(2, 16), channels=2, **oddities)


NOT_CANONICAL = {
  'extensible': odd(extensible=True),
  '3 channels': build_wav(sound_bytes(3, 16), channels=3),
  '24 bits': build_wav(sound_bytes(2, 24), channels=2, bits=24),
  'other speakers': build_wav(sound_bytes(2, 24), channels=2, bits=24, extensible=True),
  'a chunk before': odd(before=[(b'LIST', b'abcd')]),
  'a chunk behind': odd(after=[(b'LIST', b'abcd')]),
  'a longer fmt': odd(fmt_extra=b'\0\0'),
  'data first': odd(data_first=True),
  'RF64': odd(form=b'RF64'),
  'RIFF size of 0': odd(riff_size=0),
  'unfinished': odd(data_size=0, riff_size=0),
  'cut': odd(data_size=10_000_000),
  'part of a frame': odd()[:-1],
  '20 bits': build_wav(pcm_bytes(random_samples(33, 1, 24), 24), bits=20),
  'another byte rate': odd()[:28] + bytes(4) + odd()[32:],
  'bytes behind': odd(trailer=b'end'),
  'a zero behind': odd(trailer=b'\0'),
  'no pad byte': plain_wav(1, 8),
  'a pad byte that is not counted': plain_wav(1, 8) + b'\0',
  'a pad byte that is not 0': canonical_wav(1, 8)[:-1] + b'x',
  'a pad byte, and more': canonical_wav(1, 8) + b'\0',
}


@pytest.mark.parametrize('name', NOT_CANONICAL)
def test_others_are_kept(name):
  original, by = NOT_CANONICAL[name], segment_stand_in.coder()
  data = lmic_cases.compressed(original, by, LEVEL)
  header = opened(data).header
  assert (header.layout, header.has_canonical_head, header.num_head_chunks) == (SegmentLayout(effort=1), False, 1)
  assert lmic_cases.decompressed(data, by) == original


def test_version_1_keeps_its_head():
  data = fixed_files.compressed(canonical_wav(2, 16), lmic_cases.tiny_coder(), LEVEL)
  header = opened(data).header
  assert (header.format_version, header.has_canonical_head, header.num_head_chunks) == (1, False, 1)


@pytest.mark.parametrize('position', [4, 24, 40, -1])
def test_surroundings_that_change_while_the_file_is_read(monkeypatch, tmp_path, position):
  """position: of the changed byte; the last one is a pad byte."""
  path, plan_file = tmp_path / 'a.wav', plan.plan_file
  path.write_bytes(canonical_wav(1, 8))

  def plan_and_change(source, *others):
    header = plan_file(source, *others)
    assert header.has_canonical_head and header.tail_bytes == 1
    with open(path, 'r+b') as file:
      file.seek(position, os.SEEK_SET if position >= 0 else os.SEEK_END)
      file.write(b'x')
    # Not from the buffer.
    source.seek(0, os.SEEK_END)
    source.seek(0)
    return header

  monkeypatch.setattr(file_codec, 'plan_file', plan_and_change)
  with open(path, 'rb') as source, pytest.raises(AudioFormatError, match=r'a\.wav: changed while it was read'):
    file_codec.compress(source, io.BytesIO(), segment_stand_in.coder(), segments=LEVEL, name=str(path))


# Damage.


@EITHER_FRAME
@WIDTHS
def test_it_is_never_lost(monkeypatch, channels, bits, compressed):
  """Whatever becomes of the segments, and of the header if its copy is there."""
  monkeypatch.setattr(CompactFrame, '_TABLE_FROM_BYTES', 0)
  num_frames, by = 332, segment_stand_in.coder()
  original = canonical_wav(channels, bits, num_frames)
  data = compressed(original, by, LEVEL)
  for lost in ([], [0], [3], [0, 1, 2, 3]):
    changed = bytearray(lmic_frames.damaged_in(data, *lost))
    changed[12] ^= 1
    target = io.BytesIO()
    assert len(file_codec.salvage(opened(bytes(changed)), target, by)) == 1 + len(lost)
    expected = samples(channels, bits, num_frames)
    for segment in lost:
      expected[83 * segment : 83 * (segment + 1)] = 0
    assert target.getvalue() == original[: -expected.size * bits // 8] + pcm_bytes(expected, bits)


def test_a_pad_byte_stands_behind_silence():
  original, by, target = canonical_wav(3, 8), segment_stand_in.coder(), io.BytesIO()
  data = lmic_frames.damaged_in(lmic_cases.compressed(original, by, LEVEL), 3)
  assert len(file_codec.salvage(opened(data), target, by)) == 1
  assert target.getvalue() == original[: -3 * 82 - 1] + b'\x80' * (3 * 82) + b'\0'


@EITHER_FRAME
def test_a_file_that_has_nothing_else_any_more(compressed):
  original, target = canonical_wav(2, 16), io.BytesIO()
  data = compressed(original, segment_stand_in.coder(), LEVEL)
  [wrong] = file_codec.salvage(opened(data[: lmic_frames.starts(data)[0]]), target, segment_stand_in.coder())
  assert 'chunk 0 (all channels, 0.00 to 0.01 s) is the first that is not there' in wrong
  assert target.getvalue() == original[:44]


def test_no_pad_byte_stands_behind_a_cut():
  original, target = canonical_wav(1, 8), io.BytesIO()
  data = lmic_cases.compressed(original, segment_stand_in.coder(), LEVEL)
  assert file_codec.salvage(opened(data[: lmic_frames.starts(data)[2]]), target, segment_stand_in.coder())
  assert target.getvalue() == original[: 44 + 2 * 83]


@EITHER_FRAME
def test_a_flag_that_is_not_true(compressed):
  """Set where a head of the right length is not plain: its chunk is one too many, or the whole is another."""
  by, original = segment_stand_in.coder(), odd(riff_size=0)
  sound = opened(compressed(original, by, LEVEL))
  assert not sound.header.has_canonical_head
  frame, target = lmic_frames.frame_of(compressed(original, by, LEVEL)), io.BytesIO()
  claimed = dataclasses.replace(sound.header, has_canonical_head=True)
  data = compressed(original, by, LEVEL)
  changed = lmic_frames.sealed(frame.serialize(claimed) + data[lmic_frames.header_bytes(data) :])
  assert opened(changed).header.has_canonical_head and opened(changed).problems
  lmic_cases.check_reading(changed, original, may_differ=True, by=by)
  writer = frame.writer(target, claimed)
  for index in range(1, sound.header.num_chunks):
    writer.add(sound.chunk(index))
  assert sound.sha256 is not None
  writer.finish(sound.sha256)
  with pytest.raises(FormatError, match='every chunk is sound, but together they are not the file'):
    lmic_cases.decompressed(target.getvalue(), by)


@WIDTHS
def test_a_part_of_a_file_is_padded(tmp_path, channels, bits):
  by = segment_stand_in.coder()
  data = lmic_cases.compressed(canonical_wav(channels, bits), by, LEVEL)
  with open(tmp_path / 'part.wav', 'wb') as target:
    file_codec.decompress_span(opened(data), target, by, 10 / 8000, 101 / 8000)
  expected = samples(channels, bits)[10:101]
  around = canonical('WAV', pcm_of(channels, bits), 91)
  assert (tmp_path / 'part.wav').read_bytes() == around.head + pcm_bytes(expected, bits) + around.tail
  np.testing.assert_array_equal(read_pcm_frames(read_pcm_info(tmp_path / 'part.wav'), 0, 91), expected)
