"""The container: headers that hold together, and what it says of files that somebody damaged."""

import dataclasses
import hashlib
import io
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from support import lmic_cases

from language_modeling_is_compression.errors import DamageError, FormatError
from language_modeling_is_compression.format.container import LZMA, STORED, Chunk, Container, ContainerWriter
from language_modeling_is_compression.format.header import Header, canonical_header, parse_header, serialize_header
from language_modeling_is_compression.format.layout import FLOAT, INTEGER, NO_SAMPLES, LinearLayout, SegmentLayout

HEADER_BYTES, RECORD_BYTES = 100, 21
SHA256 = bytes(range(32))
# A piece before the samples, three spans of two channels, and two pieces after them.
STEREO = Header(
  sample_kind=INTEGER,
  sample_bytes=2,
  num_channels=2,
  sample_rate_hz=100,
  chunk_frames=10,
  piece_bytes=50,
  head_bytes=44,
  num_frames=25,
  tail_bytes=70,
  model_id=bytes(32),
  source_id=b'sourceid',
)
BYTES_ALONE = dataclasses.replace(
  STEREO, sample_kind=NO_SAMPLES, sample_bytes=0, num_channels=0, sample_rate_hz=0, chunk_frames=0, num_frames=0,
  tail_bytes=0,
)  # fmt: skip
# The same in three segments.
SEGMENTED = dataclasses.replace(STEREO, model_id=bytes(range(32)), layout=SegmentLayout(effort=1))
CANONICAL = dataclasses.replace(SEGMENTED, layout=SegmentLayout(effort=1, has_canonical_head=True))
LINEAR = dataclasses.replace(SEGMENTED, model_id=LinearLayout.model_id, layout=LinearLayout(effort=3))


def payloads(header: Header) -> list[bytes]:
  rng = np.random.default_rng(0)
  return [rng.bytes(header.payload_bytes(index)) for index in range(header.num_chunks)]


def written(header: Header = STEREO, bodies: list[bytes] | None = None) -> bytes:
  target = io.BytesIO()
  writer = ContainerWriter(target, header)
  for body in payloads(header) if bodies is None else bodies:
    writer.add(Chunk(method=STORED, crc32=zlib.crc32(body), body=body))
  writer.finish(SHA256)
  assert writer.bytes_written == len(target.getvalue())
  return target.getvalue()


def opened(data: bytes) -> Container:
  return Container(io.BytesIO(data), len(data))


def starts(header: Header = STEREO) -> list[int]:
  """Where each chunk begins, and the footer."""
  sizes = [RECORD_BYTES + header.payload_bytes(index) for index in range(header.num_chunks)]
  return [HEADER_BYTES, *(HEADER_BYTES + np.cumsum(sizes)).tolist()]


def damaged_chunks(container: Container) -> dict[int, str]:
  """What is said of each chunk that cannot be read; the others are as they were written."""
  found = {}
  for index, payload in enumerate(payloads(container.header)):
    try:
      assert container.chunk(index).body == payload
    except DamageError as error:
      found[index] = str(error)
      assert str(error).startswith(container.header.chunk_label(index))
  return found


def flipped(data: bytes, position: int, bit: int = 0) -> bytes:
  return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


# Headers.


@pytest.mark.parametrize(
  'header',
  [
    STEREO,
    BYTES_ALONE,
    dataclasses.replace(BYTES_ALONE, head_bytes=0),
    dataclasses.replace(STEREO, sample_kind=FLOAT, sample_bytes=8, model_id=bytes(range(32))),
    dataclasses.replace(STEREO, sample_bytes=1, num_channels=65_535, chunk_frames=64, sample_rate_hz=2**32 - 1),
    dataclasses.replace(STEREO, head_bytes=2**40, piece_bytes=1 << 20, num_frames=2**33, chunk_frames=1 << 16),
    dataclasses.replace(STEREO, num_frames=0, sample_rate_hz=0),
    *(dataclasses.replace(SEGMENTED, layout=SegmentLayout(effort=effort)) for effort in range(3)),
    *(dataclasses.replace(LINEAR, layout=LinearLayout(effort=effort)) for effort in range(4)),
    dataclasses.replace(LINEAR, layout=LinearLayout(effort=0, has_canonical_head=True)),
    dataclasses.replace(SEGMENTED, chunk_frames=SegmentLayout.max_span_frames, num_frames=2**33),
    dataclasses.replace(SEGMENTED, num_channels=65_535, sample_bytes=4, chunk_frames=128),
    CANONICAL,
    dataclasses.replace(CANONICAL, sample_bytes=3, head_bytes=68, num_frames=2**64 - 1, sample_rate_hz=2**32 - 1),
    dataclasses.replace(CANONICAL, sample_bytes=1, num_channels=65_535, head_bytes=68, num_frames=0, tail_bytes=0),
  ],
)
def test_header_round_trip(header):
  data = serialize_header(header)
  assert len(data) == HEADER_BYTES and data == lmic_cases.sealed(data)
  assert parse_header(data) == header


def test_header_bytes_are_as_documented():
  data = serialize_header(STEREO)
  assert data[:52].hex() == (
    '8b4c4d49430d0a1a 0100 01 02 0200 0000 64000000 0a000000 32000000 '
    '2c00000000000000 1900000000000000 4600000000000000'
  ).replace(' ', '')
  assert data[52:92] == bytes(32) + b'sourceid'


def test_header_of_segments_is_as_documented():
  """Version 2, and effort and flags in the fields that are reserved in version 1."""
  for flags, header in enumerate((SEGMENTED, CANONICAL)):
    assert isinstance(header.layout, SegmentLayout)
    data = serialize_header(dataclasses.replace(header, layout=dataclasses.replace(header.layout, effort=2)))
    assert data[:16].hex() == f'8b4c4d49430d0a1a 0200 01 02 0200 02 0{flags}'.replace(' ', '')
  assert data[16:92] == serialize_header(dataclasses.replace(STEREO, model_id=bytes(range(32))))[16:92]


def test_header_of_linear_prediction_is_as_documented():
  data = serialize_header(LINEAR)
  assert data[:16].hex() == '8b4c4d49430d0a1a 0300 01 02 0200 03 00'.replace(' ', '')
  assert data[52:84] == hashlib.sha256(b'lmic linear prediction 1').digest()


@pytest.mark.parametrize(
  'contradiction',
  [
    {'sample_kind': 3},
    {'sample_kind': 255},
    {'sample_bytes': 0},
    {'sample_bytes': 5},
    {'sample_kind': FLOAT, 'sample_bytes': 2},
    {'sample_kind': FLOAT, 'sample_bytes': 3},
    {'num_channels': 0},
    {'chunk_frames': 0},
    {'chunk_frames': (1 << 16) + 1},
    {'chunk_frames': 1 << 16, 'num_channels': 33},
    {'chunk_frames': 2**32 - 1},
    {'piece_bytes': 0},
    {'piece_bytes': (1 << 20) + 1},
    {'sample_kind': NO_SAMPLES},
    {'sample_kind': NO_SAMPLES, 'sample_bytes': 0, 'num_channels': 0, 'chunk_frames': 0},
  ],
)
def test_header_that_contradicts_itself(contradiction):
  data = serialize_header(dataclasses.replace(STEREO, **contradiction))
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(data)


@pytest.mark.parametrize(
  'contradiction',
  [
    {'layout': SegmentLayout(effort=3)},
    {'layout': SegmentLayout(effort=255)},
    {'layout': LinearLayout(effort=1)},
    {'layout': LinearLayout(effort=4), 'model_id': LinearLayout.model_id},
    {'model_id': LinearLayout.model_id},
    {'model_id': bytes(32)},
    {'sample_kind': FLOAT, 'sample_bytes': 4},
    {'sample_bytes': 5},
    {'num_channels': 0},
    {'chunk_frames': 0},
    {'chunk_frames': SegmentLayout.max_span_frames + 1, 'num_channels': 1, 'sample_bytes': 1},
    {'chunk_frames': SegmentLayout.max_span_frames, 'num_channels': 3, 'sample_bytes': 3},
    {'chunk_frames': SegmentLayout.max_span_bytes // 4 + 1},
    {
      'sample_kind': NO_SAMPLES,
      **dict.fromkeys(
        ('sample_bytes', 'num_channels', 'sample_rate_hz', 'chunk_frames', 'num_frames', 'tail_bytes'), 0
      ),
    },
  ],
)
def test_header_of_segments_that_contradicts_itself(contradiction):
  opened(serialize_header(SEGMENTED))
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(serialize_header(dataclasses.replace(SEGMENTED, **contradiction)))


@pytest.mark.parametrize(
  'contradiction',
  [
    *({'head_bytes': count} for count in (0, 43, 45, 68, 2**32 + 44, 2**64 - 1)),
    {'sample_bytes': 3},
    {'sample_bytes': 3, 'head_bytes': 67},
    {'num_channels': 3},
    {'num_channels': 32_768, 'head_bytes': 68},
    {'num_channels': 65_535, 'head_bytes': 68},
    {'sample_kind': FLOAT, 'sample_bytes': 4},
  ],
)
def test_canonical_head_that_contradicts_the_header(contradiction):
  opened(serialize_header(CANONICAL))
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(serialize_header(dataclasses.replace(CANONICAL, **contradiction)))


@pytest.mark.parametrize(
  'header',
  [
    dataclasses.replace(LINEAR, layout=LinearLayout(effort=4)),
    dataclasses.replace(LINEAR, model_id=bytes(range(32))),
    dataclasses.replace(LINEAR, layout=SegmentLayout(effort=1)),
    dataclasses.replace(STEREO, model_id=LinearLayout.model_id),
  ],
)
def test_linear_prediction_has_a_version_and_presets_of_its_own(header):
  """A network has fewer efforts than it has presets."""
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(serialize_header(header))


def test_flags_that_nobody_knows_yet():
  data = serialize_header(CANONICAL)
  for flags in range(2, 256):
    with pytest.raises(FormatError, match='contradicts itself'):
      opened(lmic_cases.sealed(data[:15] + bytes([flags]) + data[16:]))


@pytest.mark.parametrize('field', ['sample_bytes', 'num_channels', 'chunk_frames', 'num_frames', 'tail_bytes'])
def test_header_of_bytes_alone_says_nothing_of_samples(field):
  change: dict[str, Any] = {field: 1}
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(serialize_header(dataclasses.replace(BYTES_ALONE, **change)))


@pytest.mark.parametrize('position', [14, 15])
def test_reserved_bytes_are_zero(position):
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(lmic_cases.sealed(flipped(written(), position)))


def test_another_version_is_named():
  with pytest.raises(FormatError, match='of format version 17, this program reads versions 1, 2, 3 and 4: update it'):
    opened(lmic_cases.sealed(flipped(written(), 8, 4)))


@pytest.mark.parametrize(
  'claim',
  [
    {'num_frames': 2**64 - 1},
    {'head_bytes': 2**64 - 1, 'piece_bytes': 1},
    {'tail_bytes': 2**64 - 1},
    {'num_frames': 2**64 - 1, 'chunk_frames': 1, 'num_channels': 65_535},
    {'head_bytes': 2**32 - 100, 'piece_bytes': 1},  # As many chunks as there may be.
  ],
)
def test_claims_of_a_hostile_header_take_no_memory(claim):
  data = lmic_cases.sealed(serialize_header(dataclasses.replace(STEREO, **claim)) + written()[HEADER_BYTES:])
  tracemalloc.start()
  try:
    container = opened(data)
    assert container.problems and container.num_found <= 10
  except FormatError as error:
    assert 'more than a file can have' in str(error)
  finally:
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
  assert peak_bytes < 1 << 20


@pytest.mark.parametrize(
  ('data', 'message'),
  [(b'', 'it is empty'), (b'RIFF1234WAVE', "it begins with b'RIFF1234'"), (b'\x8bLMIC', 'damaged or cut off')],
)
def test_no_lmic_file(data, message):
  with pytest.raises(FormatError, match=message):
    opened(data)


# Sound files.


@pytest.mark.parametrize(
  'header', [STEREO, SEGMENTED, CANONICAL, BYTES_ALONE, dataclasses.replace(BYTES_ALONE, head_bytes=0)]
)
def test_sound_file(header):
  container = opened(written(header))
  assert (container.header, container.sha256, container.problems) == (header, SHA256, [])
  assert container.num_found == header.num_chunks
  assert damaged_chunks(container) == {}
  with pytest.raises(DamageError):
    container.chunk(header.num_chunks)


def test_counts_and_places():
  assert (STEREO.num_head_chunks, STEREO.num_spans, STEREO.num_tail_chunks, STEREO.num_chunks) == (1, 3, 2, 9)
  assert [STEREO.payload_bytes(index) for index in range(9)] == [44, 20, 20, 20, 20, 10, 10, 50, 20]
  assert STEREO.original_bytes == sum(len(payload) for payload in payloads(STEREO)) == 44 + 25 * 4 + 70
  assert STEREO.chunk_label(0) == 'chunk 0 (bytes before the samples)'
  assert STEREO.chunk_label(6) == 'chunk 6 (channel 1, 0.20 to 0.25 s)'
  assert STEREO.chunk_label(8) == 'chunk 8 (bytes after the samples)'
  assert dataclasses.replace(STEREO, sample_rate_hz=0).chunk_label(6) == 'chunk 6 (channel 1, frames 20 to 25)'


def test_counts_and_places_of_segments():
  counts = SEGMENTED.num_head_chunks, SEGMENTED.num_spans, SEGMENTED.num_tail_chunks, SEGMENTED.num_chunks
  assert counts == (1, 3, 2, 6)
  assert [SEGMENTED.payload_bytes(index) for index in range(6)] == [44, 40, 40, 20, 50, 20]
  assert SEGMENTED.original_bytes == sum(len(payload) for payload in payloads(SEGMENTED)) == 44 + 25 * 4 + 70
  assert SEGMENTED.chunk_label(0) == 'chunk 0 (bytes before the samples)'
  assert SEGMENTED.chunk_label(3) == 'chunk 3 (all channels, 0.20 to 0.25 s)'
  assert SEGMENTED.chunk_label(4) == 'chunk 4 (bytes after the samples)'
  assert dataclasses.replace(SEGMENTED, sample_rate_hz=0).chunk_label(3) == 'chunk 3 (all channels, frames 20 to 25)'


def test_counts_and_places_behind_a_canonical_head():
  counts = CANONICAL.num_head_chunks, CANONICAL.num_spans, CANONICAL.num_tail_chunks, CANONICAL.num_chunks
  assert counts == (0, 3, 2, 5)
  assert [CANONICAL.payload_bytes(index) for index in range(5)] == [40, 40, 20, 50, 20]
  assert CANONICAL.original_bytes == SEGMENTED.original_bytes
  assert CANONICAL.chunk_label(0) == 'chunk 0 (all channels, 0.00 to 0.10 s)'
  assert CANONICAL.chunk_label(3) == 'chunk 3 (bytes after the samples)'


def test_canonical_headers_are_as_documented():
  """Bytes that stand for files' own: other ones are another version of the format."""
  assert canonical_header(CANONICAL, CANONICAL.num_frames).hex(' ') == (
    '52 49 46 46 88 00 00 00 57 41 56 45 66 6d 74 20 10 00 00 00 01 00 02 00 '
    '64 00 00 00 90 01 00 00 04 00 10 00 64 61 74 61 64 00 00 00'
  )
  large = dataclasses.replace(CANONICAL, sample_bytes=3, sample_rate_hz=2**32 - 1)
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
      header = dataclasses.replace(large, num_channels=channels)
      assert canonical_header(header, num_frames).hex(' ') == expected


# Damage.


def test_every_flipped_bit_is_found():
  data = written()
  ends = starts()
  for position in range(len(data)):
    container = opened(flipped(data, position, position % 8))
    chunk = next((index for index in range(9) if ends[index] <= position < ends[index + 1]), None)
    if chunk is None:
      assert container.problems and damaged_chunks(container) == {}
    else:
      assert container.problems == [] and list(damaged_chunks(container)) == [chunk]


@pytest.mark.parametrize(
  ('where', 'problem'),
  [
    (20, 'its header is damaged (a copy of it at the end is not)'),
    (starts()[-1] + 3, 'its end, with the table of chunks, is damaged or cut off'),
    (starts()[-1] + 110, 'its end, with the table of chunks, is damaged or cut off'),
    (-50, 'its end, with the table of chunks, is damaged or cut off'),
    (-20, 'its end, with the table of chunks, is damaged or cut off'),
    (-10, 'its end, with the table of chunks, is damaged or cut off'),
    (-1, 'its end, with the table of chunks, is damaged or cut off'),
  ],
)
def test_damage_outside_of_the_chunks(where, problem):
  data = written()
  assert opened(flipped(data, where % len(data))).problems == [problem]


def test_header_and_its_copy_both_damaged():
  with pytest.raises(FormatError, match='header is damaged or cut off, and so is the copy at the end'):
    opened(flipped(flipped(written(), 20), starts()[-1] + 8 + 20))


def test_what_is_wrong_with_a_chunk():
  data, second = written(), starts()[1]
  assert damaged_chunks(opened(flipped(data, second + 30)))[1].endswith('its checksum is wrong')
  assert damaged_chunks(opened(flipped(data, second)))[1].endswith('it is not where the file says')
  unknown = lmic_cases.sealed(flipped(data, second + 4, 6))
  assert damaged_chunks(opened(unknown))[1].endswith('method 64, which this version does not know')


def test_cut_at_every_byte():
  data, ends = written(), starts()
  for length in range(1, len(data)):
    if length < HEADER_BYTES:
      with pytest.raises(FormatError, match=r'damaged or cut off|begins with'):
        opened(data[:length])
      continue
    container = opened(data[:length])
    assert container.sha256 is None
    whole = sum(end <= length for end in ends[1:])
    lost = damaged_chunks(container)
    assert list(lost) == list(range(whole, 9))
    [problem] = container.problems
    assert 'damaged or cut off' in problem
    if 0 <= length - ends[whole] < RECORD_BYTES and whole < 9:
      assert f'{STEREO.chunk_label(whole)} is the first that is not there' in problem
    elif whole < 9:
      missing = ends[whole + 1] - length
      assert lost[whole].endswith(f'the file is cut off in it, {missing} bytes are missing')


@pytest.mark.parametrize('count', [1, 7, 1000])
def test_insertion_is_found_where_it_is(count):
  data, ends = written(), starts()
  for chunk in range(9):
    inside = ends[chunk] + 25
    container = opened(data[:inside] + bytes(count) + data[inside:])
    where = f'{STEREO.chunk_label(chunk + 1)} is the first that is not in its place' if chunk < 8 else 'after its last'
    [problem] = container.problems
    assert problem.startswith(f'it has {count} bytes more than its table of chunks says, ') and where in problem
    assert list(damaged_chunks(container)) == [chunk]


@pytest.mark.parametrize('count', [1, 5])
def test_removal_is_found_where_it_is(count):
  data, ends = written(), starts()
  for chunk in range(9):
    inside = ends[chunk] + 25
    container = opened(data[:inside] + data[inside + count :])
    where = f'{STEREO.chunk_label(chunk + 1)} is the first that is not in its place' if chunk < 8 else 'after its last'
    [problem] = container.problems
    assert problem.startswith(f'it has {count} bytes fewer than its table of chunks says, ') and where in problem
    assert list(damaged_chunks(container)) == [chunk]


def test_swapped_chunks():
  data, ends = written(), starts()
  one, two = data[ends[1] : ends[2]], data[ends[2] : ends[3]]
  assert len(one) == len(two)
  container = opened(data[: ends[1]] + two + one + data[ends[3] :])
  assert damaged_chunks(container).keys() == {1, 2}


@pytest.mark.parametrize('renumbered', [False, True])
def test_a_chunk_of_another_file_is_not_taken_for_its_own(renumbered):
  """The other file is of the same shape, so that only its header's check tells them apart."""
  data, ends = written(), starts()
  other = written(dataclasses.replace(STEREO, source_id=b'another.'), [bytes(len(each)) for each in payloads(STEREO)])
  foreign = 1 if not renumbered else 3
  record = bytearray(other[ends[foreign] : ends[foreign + 1]])
  record[:4] = (1).to_bytes(4, 'little')
  container = opened(data[: ends[1]] + bytes(record) + data[ends[2] :])
  assert list(damaged_chunks(container)) == [1]


def test_appended_bytes():
  container = opened(written() + b'junk')
  assert container.problems == ['4 bytes follow its end']
  assert (container.sha256, damaged_chunks(container)) == (SHA256, {})


def test_a_file_after_a_file():
  container = opened(written() + written(dataclasses.replace(STEREO, source_id=b'another.')))
  assert container.header == STEREO
  assert container.problems == [f'{len(written())} bytes follow its end']
  assert damaged_chunks(container) == {}


def test_prepended_bytes():
  container = opened(b'junk' + written())
  assert container.problems[0] == 'its header is damaged (a copy of it at the end is not)'
  assert container.problems[1].startswith(f'it has 4 bytes more than its table of chunks says, {STEREO.chunk_label(0)}')
  assert damaged_chunks(container) == {}


def test_lost_beginning():
  """As a download that lost its first block: what follows is found from the end."""
  container = opened(written()[150:])
  assert damaged_chunks(container).keys() == {0}


def test_body_of_more_bytes_than_its_payload_is_not_read():
  data = written(bodies=[bytes(1000), *payloads(STEREO)[1:]])
  assert damaged_chunks(opened(data)) == {0: f'{STEREO.chunk_label(0)} is damaged: it is not where the file says'}


def test_methods_and_sums_come_back():
  target = io.BytesIO()
  header = dataclasses.replace(BYTES_ALONE, head_bytes=3)
  writer = ContainerWriter(target, header)
  chunk = Chunk(method=LZMA, crc32=0xFEDCBA98, body=b'ab')
  writer.add(chunk)
  writer.finish(SHA256)
  assert opened(target.getvalue()).chunk(0) == chunk
