"""Files whose samples stand in several regions: bytes between frames come back in their places, whatever is lost."""

import dataclasses
import io
import random
from collections.abc import Callable

import numpy as np
import pytest
from support import lmic_cases, lmic_frames, segment_stand_in

from language_modeling_is_compression.audio.info import Region
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.codec import file_codec, plan
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.errors import AudioFormatError, DamageError, FormatError
from language_modeling_is_compression.format import division
from language_modeling_is_compression.format.container import Container
from language_modeling_is_compression.format.header import MAX_GAP_BYTES, MAX_GAPS, Gap, Header

PCM = PcmFormat(kind=SampleKind.SIGNED, sample_bytes=2, num_channels=2, sample_rate_hz=1000, is_big_endian=True)
NUM_FRAMES, SPAN = 330, 83
HEAD, TAIL = b'a head of an odd number of bytes!', b'a tail'
# Frames that gaps stand before; a segment has 83 frames, a span of channels 42.
PLACES = {
  'one': [100],
  'behind the first frame, and before the last': [1, 329],
  'between spans': [83, 166, 249],
  'beside the ends of spans': [82, 84, 165, 167],
  'several in a span': [85, 86, 90, 140, 165],
  'spans with none, and one with all': [250, 251, 252],
  'everywhere': list(range(1, NUM_FRAMES)),
}
# What the chunks of sound are: segments, or channels one by one; and the frames of a span.
CODERS: dict[str, tuple[Callable[[], ChunkCoder], int]] = {
  'segments': (segment_stand_in.coder, SPAN),
  'channels': (lambda: ChunkCoder(None), 42),
}
EITHER_CODER = pytest.mark.parametrize('coding', CODERS)


def samples() -> np.ndarray:
  """int64 [N, 2]"""
  return np.round(9000 * np.sin(0.02 * np.arange(NUM_FRAMES)[:, None] + [0, 1])).astype(np.int64)


def frames_of(sound: np.ndarray) -> bytes:
  return sound.astype('>i2').tobytes()


def gap_bytes(index: int) -> bytes:
  return random.Random(index).randbytes(1 + index % 7)


class Located:
  """A file, and where its samples stand, of which `plan` is told. gaps: their bytes, all in one."""

  def __init__(self, places: list[int], head: bytes = HEAD, tail: bytes = TAIL):
    sound, regions, data, first = frames_of(samples()), [], head, 0
    self.gaps = b''
    for index, place in enumerate([*places, NUM_FRAMES]):
      regions.append(Region(len(data), place - first))
      data += sound[first * 4 : place * 4]
      if place < NUM_FRAMES:
        data += gap_bytes(index)
        self.gaps += gap_bytes(index)
      first = place
    self.data = data + tail
    self.located = plan.Located('WAV', PCM, regions)


@pytest.fixture
def locate(monkeypatch) -> Callable[[Located], bytes]:
  """Makes plans of files find samples where they stand; gives back a file's bytes."""
  monkeypatch.setattr(division, '_SPAN_FRAMES', 42)

  def tell(file: Located) -> bytes:
    monkeypatch.setattr(plan, '_locate', lambda source, file_bytes: file.located)
    return file.data

  return tell


def compressed(original: bytes, coding: str, *, verify: bool = False) -> bytes:
  target = io.BytesIO()
  with CODERS[coding][0]() as by:
    file_codec.compress(io.BytesIO(original), target, by, segments=segment_stand_in.level(100), verify=verify)
  return target.getvalue()


def opened(data: bytes) -> Container:
  return Container(io.BytesIO(data), len(data))


@pytest.mark.parametrize('verify', [False, True])
@pytest.mark.parametrize('name', PLACES)
@EITHER_CODER
def test_files_come_back(locate, coding, name, verify):
  original = locate(Located(PLACES[name]))
  data = compressed(original, coding, verify=verify)
  header = opened(data).header
  assert header.pcm == PCM and header.chunk_frames == CODERS[coding][1]
  assert header.gaps == tuple(Gap(place, len(gap_bytes(index))) for index, place in enumerate(PLACES[name]))
  assert header.original_bytes == len(original)
  assert lmic_cases.decompressed(data, CODERS[coding][0]()) == original
  lmic_cases.check_reading(data, original, may_differ=False, by=CODERS[coding][0]())


@pytest.mark.parametrize('head', [b'', b'x', HEAD])
@pytest.mark.parametrize('tail', [b'', TAIL])
@pytest.mark.parametrize('piece_bytes', [1, 2, 5, 16, 33, 34, 1000])
def test_pieces_of_whatever_length_come_back(locate, monkeypatch, head, tail, piece_bytes):
  """Gaps follow the head in its pieces: one may hold the end of the one and the beginning of the others."""
  assert Header.__init__.__kwdefaults__ is not None
  monkeypatch.setitem(Header.__init__.__kwdefaults__, 'piece_bytes', piece_bytes)
  file = Located(PLACES['several in a span'], head, tail)
  original = locate(file)
  data = compressed(original, 'segments', verify=True)
  header = opened(data).header
  assert header.num_head_chunks == -(-(len(head) + len(file.gaps)) // piece_bytes)
  assert lmic_cases.decompressed(data, segment_stand_in.coder()) == original
  with CODERS['segments'][0]() as by:
    pieces = [opened(data).chunk(index) for index in range(header.num_head_chunks)]
    payloads = by.decode(pieces, [header.payload_shape(index) for index in range(header.num_head_chunks)])
  assert b''.join(payload.to_bytes() for payload in payloads if payload) == head + file.gaps


def test_gaps_take_no_more_bytes_of_sound_than_there_are(locate):
  """Chunks of sound are those of a file without gaps."""
  with_gaps, without = (compressed(locate(Located(places)), 'segments') for places in (PLACES['everywhere'], []))
  chunks = []
  for data in (with_gaps, without):
    container = opened(data)
    first = container.header.num_head_chunks
    chunks.append([container.chunk(first + span) for span in range(container.header.num_spans)])
  assert chunks[0] == chunks[1]


def test_regions_side_by_side_have_no_gap(locate):
  file = Located([100])
  first, second = file.located.regions
  third = Region(second.offset + 4 * 50, second.num_frames - 50)
  file.located = plan.Located('WAV', PCM, [first, dataclasses.replace(second, num_frames=50), third])
  original = locate(file)
  data = compressed(original, 'segments')
  assert opened(data).header.gaps == (Gap(100, 1),)
  assert lmic_cases.decompressed(data, segment_stand_in.coder()) == original


def test_no_more_gaps_than_a_header_may_have():
  regions = [Region(10 * index, 1) for index in range(MAX_GAPS + 2)]
  assert plan._within_limits(regions[:-1], PCM) == regions[:-1]
  assert plan._within_limits(regions, PCM) == regions[:-1]
  far = [Region(0, 1), Region(4 + MAX_GAP_BYTES, 1), Region(9 + MAX_GAP_BYTES, 1)]
  assert plan._within_limits(far[:2], PCM) == far[:2]
  assert plan._within_limits(far, PCM) == far[:2]
  assert plan._within_limits([far[0], far[2]], PCM) == far[:1]


def test_progress_adds_up(locate):
  original, done = locate(Located(PLACES['everywhere'])), list[int]()
  target = io.BytesIO()
  by = segment_stand_in.coder()
  file_codec.compress(io.BytesIO(original), target, by, done.append, segments=segment_stand_in.level(100))
  assert sum(done) == len(original)
  done.clear()
  file_codec.decompress(opened(target.getvalue()), io.BytesIO(), by, done.append)
  assert sum(done) == len(original)


# Parts.


@pytest.mark.parametrize('name', PLACES)
@EITHER_CODER
def test_frames_are_decoded_without_gaps(locate, coding, name):
  container = opened(compressed(locate(Located(PLACES[name])), coding))
  with CODERS[coding][0]() as by:
    for first, last in ((0, NUM_FRAMES), (0, 1), (82, 84), (83, 166), (90, 90), (329, 330)):
      found = b''.join(piece.tobytes() for piece in file_codec.decode_frames(container, by, first, last))
      assert found == frames_of(samples()[first:last])


# Damage.


@pytest.mark.parametrize('name', PLACES)
@EITHER_CODER
def test_silence_stands_for_a_lost_span_and_gaps_stay(locate, coding, name):
  original, span = locate(Located(PLACES[name])), CODERS[coding][1]
  data = compressed(original, coding)
  header = opened(data).header
  lost = [header.num_head_chunks + header.chunks_per_span + each for each in range(header.chunks_per_span)]
  target = io.BytesIO()
  with CODERS[coding][0]() as by:
    assert len(file_codec.salvage(opened(lmic_frames.damaged_in(data, *lost)), target, by)) == len(lost)
  silent = samples()
  silent[span : 2 * span] = 0
  expected, sound = bytearray(original), frames_of(silent)
  frame = 0
  for region in opened_regions(PLACES[name]):
    expected[region.offset : region.offset + 4 * region.num_frames] = sound[4 * frame : 4 * (frame + region.num_frames)]
    frame += region.num_frames
  assert target.getvalue() == bytes(expected)


def opened_regions(places: list[int]) -> list[Region]:
  return list(Located(places).located.regions)


@EITHER_CODER
def test_zeros_stand_for_lost_gaps_and_head(locate, coding):
  """No canonical header does: it would not be one of what follows."""
  file = Located(PLACES['everywhere'])
  data = compressed(locate(file), coding)
  target = io.BytesIO()
  with CODERS[coding][0]() as by:
    [wrong] = file_codec.salvage(opened(lmic_frames.damaged_in(data, 0)), target, by)
  assert wrong.startswith('chunk 0 (bytes before the samples) is damaged')
  expected, end = bytearray(len(file.data)), 0
  for region in file.located.regions:
    end = region.offset + 4 * region.num_frames
    expected[region.offset : end] = file.data[region.offset : end]
  expected[end:] = TAIL
  assert target.getvalue() == bytes(expected)


@EITHER_CODER
def test_salvage_of_a_cut_file_ends_where_the_file_does(locate, coding):
  original = locate(Located(PLACES['several in a span']))
  data = compressed(original, coding)
  header, ends = opened(data).header, lmic_frames.starts(data)
  for spans in range(header.num_spans):
    target = io.BytesIO()
    with CODERS[coding][0]() as by:
      cut = data[: ends[header.num_head_chunks + spans * header.chunks_per_span]]
      assert len(file_codec.salvage(opened(cut), target, by)) == 1
    frames = spans * header.chunk_frames
    gaps = sum(gap.num_bytes for gap in header.gaps if gap.frame < frames)
    assert target.getvalue() == original[: (len(HEAD) + 4 * frames + gaps) if spans else len(HEAD)]


def test_damaged_gaps_are_not_decompressed(locate):
  data = compressed(locate(Located(PLACES['one'])), 'segments')
  with pytest.raises(DamageError, match=r'chunk 0 \(bytes before the samples\)'):
    lmic_cases.decompressed(lmic_frames.damaged_in(data, 0), segment_stand_in.coder())


def test_gaps_that_a_header_puts_elsewhere_are_not_the_file(locate):
  """Every chunk is sound, and the whole is another: its hash tells."""
  sound = opened(compressed(locate(Located([100])), 'segments'))
  assert sound.sha256 is not None
  for gaps in ((Gap(101, 1),), (Gap(1, 1),)):
    target = io.BytesIO()
    fields = {**vars(sound.header), 'gaps': gaps}
    header = Header(**{name: fields[name] for name in Header.__dataclass_fields__})
    writer = lmic_frames.COMPACT.writer(target, header)
    for index in range(header.num_chunks):
      writer.add(sound.chunk(index))
    writer.finish(sound.sha256)
    with pytest.raises(FormatError, match='together they are not the file that was compressed'):
      lmic_cases.decompressed(target.getvalue(), segment_stand_in.coder())


# Files that change while they are read.


class Changing(io.BytesIO):
  """A file in which somebody writes as soon as a position was read so many times."""

  def __init__(self, data: bytes, position: int, times: int):
    super().__init__(data)
    self._position, self._times = position, times

  def read(self, count: int | None = -1) -> bytes:
    start = self.tell()
    data = super().read(count)
    if start <= self._position < start + len(data):
      self._times -= 1
      if self._times == 0:
        self.getbuffer()[self._position] ^= 1
    return data


@pytest.mark.parametrize('where', ['head', 'first gap', 'last gap'])
@pytest.mark.parametrize('verify', [False, True])
def test_a_change_between_readings_is_noticed(locate, where, verify):
  """What stands before the samples is read ahead, and once more in its turn."""
  file = Located(PLACES['several in a span'])
  original, regions = locate(file), file.located.regions
  position = {'head': 20, 'first gap': regions[1].offset - 1, 'last gap': regions[-1].offset - 1}[where]
  # Both are read once when a source gets its number.
  source, target = Changing(original, position, 2), io.BytesIO()
  with segment_stand_in.coder() as by, pytest.raises(AudioFormatError, match='changed while it was read'):
    file_codec.compress(source, target, by, segments=segment_stand_in.level(100), verify=verify)


@pytest.mark.parametrize('length', [10, 1000, 1330])
def test_a_file_that_is_cut_while_it_is_read(locate, monkeypatch, length):
  original = locate(Located(PLACES['several in a span']))
  plan_file, source = plan.plan_file, io.BytesIO(original)

  def plan_and_cut(*arguments):
    header = plan_file(*arguments)
    source.truncate(length)
    return header

  monkeypatch.setattr(file_codec, 'plan_file', plan_and_cut)
  with segment_stand_in.coder() as by, pytest.raises(AudioFormatError, match='changed while it was read'):
    file_codec.compress(source, io.BytesIO(), by, segments=segment_stand_in.level(100))
