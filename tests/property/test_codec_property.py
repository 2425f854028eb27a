"""Any bytes and any WAV through the codec, and what it says of files that were damaged at random."""

import functools
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import lmic_cases, lmic_frames, segment_bodies, segment_stand_in
from support.wav_builder import EXTENSIBLE, IEEE_FLOAT, PCM, UNKNOWN_SIZE, build_wav

from language_modeling_is_compression.format.container import MODEL, Container
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.format.payloads import SegmentShape

SIZES = st.none() | st.sampled_from([0, 1, 7, 2**31, UNKNOWN_SIZE]) | st.integers(0, 2**32 - 1)
CHUNKS = st.lists(
  st.tuples(st.sampled_from([b'LIST', b'fact', b'data', b'fmt ', b'abcd']), st.binary(max_size=20)), max_size=2
)
POSITIONS = st.integers(0, 2000)
EDITS = st.lists(st.tuples(POSITIONS, st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=3)
SEGMENTS = segment_stand_in.coder()
NUMBERS = (
  st.integers(-3, 600)
  | st.integers(-(1 << 33), 1 << 33)
  | st.sampled_from([(1 << bits) + more for bits in (7, 8, 15, 16, 17, 23, 24, 31, 32, 62) for more in (-1, 0, 1)])
)
FILES = {
  **{f'version {version}': functools.partial(lmic_cases.fixed_cases, version) for version in lmic_cases.FIXED},
  **{f'version 5, coding {coding}': functools.partial(lmic_cases.cases, coding) for coding in lmic_cases.CODINGS},
}
SEGMENT_FILES = {name: cases for name, cases in FILES.items() if not name.endswith('1')}
VERSIONS = pytest.mark.parametrize('cases', FILES.values(), ids=FILES)
SEGMENT_VERSIONS = pytest.mark.parametrize('cases', SEGMENT_FILES.values(), ids=SEGMENT_FILES)
examples = settings(max_examples=60, deadline=None)


def edited(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
  """Bytes with other ones in place of some, at positions that wrap around."""
  changed = bytearray(data)
  for position, removed, inserted in edits:
    begin = position % (len(changed) + 1)
    changed[begin : begin + removed] = inserted
  return bytes(changed)


def compact_groups(header: Header, body: bytes) -> list[segment_bodies.CompactGroup]:
  """Groups of the first segment of a sound file of coding 5 or 6."""
  shape = header.payload_shape(header.num_head_chunks)
  assert isinstance(shape, SegmentShape)
  return segment_bodies.compact_groups_of(body, header.pcm.num_channels, shape)


def assert_comes_back(original: bytes) -> None:
  data = lmic_cases.compressed(original, lmic_cases.coder())
  assert lmic_cases.decompressed(data, lmic_cases.coder()) == original
  lmic_cases.check_reading(data, original, may_differ=False, by=lmic_cases.coder())


@examples
@given(st.binary(max_size=300), st.sampled_from([b'', b'RIFF\0\0\0\0WAVE', b'RF64\xff\xff\xff\xffWAVEds64']))
def test_any_bytes_come_back(contents, magic):
  assert_comes_back(magic + contents)


@examples
@given(
  tag=st.sampled_from([PCM, PCM, IEEE_FLOAT, EXTENSIBLE, 85]),
  channels=st.sampled_from([0, 1, 2, 3, 255]),
  bits=st.sampled_from([8, 16, 20, 24, 32, 64]) | st.integers(0, 65),
  extensible=st.booleans(),
  form=st.sampled_from([b'RIFF', b'RF64', b'RIFX']),
  riff_size=SIZES,
  data_size=SIZES,
  before=CHUNKS,
  after=CHUNKS,
  data_first=st.booleans(),
  pad=st.sampled_from([b'\0', b'X', b'']),
  rate_hz=st.sampled_from([0, 8000, 2**32 - 1]),
  trailer=st.binary(max_size=9),
  payload=st.binary(max_size=120),
)
def test_any_wav_comes_back(payload, **oddities):
  assert_comes_back(build_wav(payload, **oddities))


@VERSIONS
@examples
@given(st.integers(0, 5), EDITS, st.booleans())
def test_damage_is_found_or_harmless(cases, case, edits, sealed):
  """Also where the checks were put right, so that the change gets as far as it can."""
  original, sound, by = cases()[case]
  data = edited(sound, edits)
  data = lmic_frames.sealed(data) if sealed else data
  lmic_cases.check_reading(data, original, may_differ=sealed, by=by)


@VERSIONS
@examples
@given(st.integers(0, 5), POSITIONS, st.integers(1, 255))
def test_a_changed_byte_with_its_check_put_right(cases, case, position, change):
  original, sound, by = cases()[case]
  changed = bytearray(sound)
  changed[position % len(changed)] ^= change
  lmic_cases.check_reading(bytes(changed), original, may_differ=False, by=by)
  lmic_cases.check_reading(lmic_frames.sealed(bytes(changed)), original, may_differ=True, by=by)


@VERSIONS
@settings(max_examples=100, deadline=None)
@given(st.integers(0, 5), st.integers(0, 99), EDITS, st.none() | st.integers(0, 12))
def test_a_body_that_grew_or_shrank(cases, case, index, edits, kept):
  """Sizes and checks are right, so that it comes to the decoder as it is."""
  original, sound, by = cases()[case]
  num_chunks = Container(io.BytesIO(sound), len(sound)).header.num_chunks
  data = lmic_cases.with_changed_body(sound, index % max(1, num_chunks), lambda body: edited(body, edits)[:kept])
  lmic_cases.check_reading(data, original, may_differ=True, by=by)


@SEGMENT_VERSIONS
@settings(max_examples=200, deadline=None)
@given(
  st.integers(0, 5), st.tuples(st.integers(0, 1), st.integers(0, 7), st.integers(0, 5)), NUMBERS, EDITS | st.none()
)
def test_a_segment_whose_header_says_another_number(cases, case, place, number, edits):
  """And perhaps its code is another one too."""
  original, sound, by = cases()[case]
  header = Container(io.BytesIO(sound), len(sound)).header

  def change(body: bytes) -> bytes:
    at, channel, field = place
    if header.layout.coding >= 5:
      compact = compact_groups(header, body)
      changed = compact[at % len(compact)].with_number(6 * channel + field, number)
      compact[at % len(compact)] = changed._replace(code=edited(changed.code, edits or []))
      return segment_bodies.compact_body_of(compact)
    groups = segment_bodies.groups_of(body, header.pcm.num_channels)
    group = groups[at % len(groups)]
    rows = [*group.channels, group.lags]
    numbers = rows[channel % len(rows)]
    numbers[field % len(numbers)] = number
    groups[at % len(groups)] = group._replace(code=edited(group.code, edits or []))
    return segment_bodies.body_of(groups)

  data = lmic_cases.with_changed_body(sound, header.num_head_chunks, change)
  lmic_cases.check_reading(data, original, may_differ=True, by=by)


@SEGMENT_VERSIONS
def test_segments_that_are_damaged_are_coded_with_the_model(cases):
  """With everything that a header can say."""
  fields = set()
  for _, sound, _ in cases():
    container = Container(io.BytesIO(sound), len(sound))
    header = container.header
    chunk = container.chunk(header.num_head_chunks)
    assert header.layout.coding > 1 and chunk.method == MODEL
    groups: list[segment_bodies.Group] | list[segment_bodies.CompactGroup]
    if header.layout.coding >= 5:
      groups = compact = compact_groups(header, chunk.body)
      assert segment_bodies.compact_body_of(compact) == chunk.body
      values = [channel for group in compact for channel in group.channels]
      channels = [[each.step, each.offset, 0, each.largest - each.least, len(each.used)] for each in values]
    else:
      groups = segment_bodies.groups_of(chunk.body, header.pcm.num_channels)
      assert segment_bodies.body_of(groups) == chunk.body
      channels = [numbers for group in groups for numbers in group.channels]
    for step, offset, _, span, zone, *_ in channels:
      found = {'map': zone > 2, 'no map': not zone, 'step': step > 1, 'constant': not span, 'offset': offset > 0}
      found |= {
        f'{(span.bit_length() + 7) // 8} bytes': True,
        'groups': len(groups) > 1,
        'segments': header.num_spans > 1,
      }
      fields |= {name for name, there in found.items() if there}
  expected = {'map', 'no map', 'step', 'constant', 'groups', 'segments', '0 bytes', '1 bytes', '2 bytes', '4 bytes'}
  assert expected <= fields


@examples
@given(
  num_frames=st.integers(1, 70),
  channels=st.integers(1, 6),
  sample_bytes=st.integers(1, 4),
  segment_frames=st.integers(1, 80),
  effort=st.integers(0, 2),
  rate_hz=st.sampled_from([0, 1, 8000, 2**32 - 1]),
  pattern=st.binary(min_size=1, max_size=50),
  trailer=st.binary(max_size=9),
)
def test_any_samples_come_back_in_segments(
  num_frames, channels, sample_bytes, segment_frames, effort, rate_hz, pattern, trailer
):
  size = num_frames * channels * sample_bytes
  payload = (pattern * size)[:size]
  original = build_wav(payload, channels=channels, bits=8 * sample_bytes, rate_hz=rate_hz, trailer=trailer)
  data = lmic_cases.compressed(original, SEGMENTS, segment_stand_in.level(segment_frames, effort))
  assert lmic_cases.decompressed(data, SEGMENTS) == original
