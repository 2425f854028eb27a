"""The container: what it says of sound files, and of ones that somebody damaged, in every frame."""

import dataclasses
import io
import tracemalloc
from collections.abc import Iterator

import pytest
from support import lmic_frames
from support.container_cases import (
  BYTES_ALONE,
  CANONICAL,
  COMPACT,
  EMPTY,
  FIXED,
  KINDS,
  LINEAR,
  SEGMENTED,
  SHA256,
  SMALL,
  STEREO,
  Kind,
  flipped,
  opened,
  payloads,
  written,
)

from language_modeling_is_compression.errors import DamageError, FormatError
from language_modeling_is_compression.format.container import LZMA, MODEL, PRIMED, Chunk, Container
from language_modeling_is_compression.format.header import Header


def in_force(request: pytest.FixtureRequest) -> Iterator[Kind]:
  kind: Kind = request.param
  with kind.in_force():
    yield kind


kind = pytest.fixture(params=KINDS, ids=lambda each: each.name, name='kind')(in_force)
tabled = pytest.fixture(params=[FIXED, COMPACT], ids=lambda each: each.name, name='tabled')(in_force)
small = pytest.fixture(params=[SMALL], ids=lambda each: each.name, name='small')(in_force)


def end_of(kind: Kind) -> str:
  """What is said of a file whose end is not sound."""
  return f'its end, with the {"table of chunks" if kind.has_table else "hash of the original"}, is damaged or cut off'


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


# Sound files.


@pytest.mark.parametrize('header', [STEREO, SEGMENTED, LINEAR, CANONICAL, BYTES_ALONE, EMPTY])
def test_sound_file(kind, header):
  container = opened(written(kind, header))
  assert (container.header, container.problems) == (kind.header(header), [])
  assert container.sha256 == (SHA256 if kind.has_table else SHA256[:16])
  assert container.num_found == container.header.num_chunks
  assert damaged_chunks(container) == {}
  with pytest.raises(DamageError):
    container.chunk(container.header.num_chunks)


def test_methods_and_sums_come_back(kind):
  for method in (LZMA, MODEL, PRIMED):
    target, header = io.BytesIO(), kind.header(dataclasses.replace(BYTES_ALONE, head_bytes=3))
    writer = kind.frame.writer(target, header)
    chunk = Chunk(method=method, crc32=0xFEDCBA98, body=b'ab')
    writer.add(chunk)
    writer.finish(SHA256)
    if kind is FIXED and method == PRIMED:  # Which came with version 5.
      assert opened(target.getvalue()).method(0) is None
      with pytest.raises(DamageError, match='coded with method 3, which this version does not know'):
        opened(target.getvalue()).chunk(0)
    else:
      assert opened(target.getvalue()).chunk(0) == chunk
      assert opened(target.getvalue()).method(0) == method


@pytest.mark.parametrize(
  ('data', 'message'),
  [
    (b'', 'it is empty'),
    (b'RIFF1234WAVE', "it begins with b'RIFF1234'"),
    (b'\x8bLMIC', 'damaged or cut off'),
    (b'\x8bLMIC\r', 'damaged or cut off'),
    (b'\x8bLMIC\x05', 'damaged or cut off'),
    (b'\x8bLMIC\x06', 'it is of format version 6, or its header is damaged: update this program'),
  ],
)
def test_no_lmic_file(data, message):
  with pytest.raises(FormatError, match=message):
    opened(data)


@pytest.mark.parametrize(
  'claim',
  [
    {'num_frames': 2**59},
    {'head_bytes': 2**61},
    {'tail_bytes': 2**61},
    {'num_frames': 2**59, 'chunk_frames': 1},
    {'head_bytes': 50 * (2**32 - 100)},  # Nearly as many chunks as there may be.
  ],
)
def test_claims_of_a_hostile_header_take_no_memory(kind, claim):
  claimed = kind.frame.serialize(kind.header(dataclasses.replace(STEREO, **claim)))
  sound = written(kind)
  data = lmic_frames.sealed(claimed + sound[lmic_frames.header_bytes(sound) :])
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


# Damage.


def chunk_at(ends: list[int], position: int) -> int | None:
  """The chunk that a byte belongs to; None for header and footer."""
  return next((index for index in range(len(ends) - 1) if ends[index] <= position < ends[index + 1]), None)


def test_every_flipped_bit_is_found(tabled):
  data = written(tabled)
  ends = lmic_frames.starts(data)
  for position in range(len(data)):
    container, chunk = opened(flipped(data, position, position % 8)), chunk_at(ends, position)
    if chunk is None:
      assert container.problems and damaged_chunks(container) == {}
    else:
      assert container.problems == [] and list(damaged_chunks(container)) == [chunk]


def test_every_flipped_bit_is_found_in_a_file_without_a_table(small):
  """Where it is in the size of a chunk what follows is lost, and where it is in the header all is."""
  data = written(small)
  ends = lmic_frames.starts(data)
  for position in range(len(data)):
    changed, chunk = flipped(data, position, position % 8), chunk_at(ends, position)
    if position < ends[0]:
      with pytest.raises(FormatError, match=r'damaged|begins with'):
        opened(changed)
    elif chunk is None:
      assert opened(changed).problems == [end_of(small)] and damaged_chunks(opened(changed)) == {}
    else:
      is_size = 1 <= position - ends[chunk] < 5
      lost = list(damaged_chunks(opened(changed)))
      assert lost[0] == chunk and (is_size or (lost == [chunk] and opened(changed).problems == []))


@pytest.mark.parametrize('place', ['header', 'magic', 'copy', -50, -20, -10, -1])
def test_damage_outside_of_the_chunks(tabled, place):
  data = written(tabled)
  footer, copied = lmic_frames.starts(data)[-1], 'its header is damaged (a copy of it at the end is not)'
  places = {'header': (12, copied), 'magic': (footer + 3, end_of(tabled)), 'copy': (footer + 8 + 12, end_of(tabled))}
  position, problem = places.get(place, (place, end_of(tabled)))
  assert opened(flipped(data, position % len(data))).problems == [problem]


def test_header_and_its_copy_both_damaged(tabled):
  data = written(tabled)
  with pytest.raises(FormatError, match='header is damaged or cut off, and so is the copy at the end'):
    opened(flipped(flipped(data, 12), lmic_frames.starts(data)[-1] + 8 + 12))


def test_what_is_wrong_with_a_chunk(kind):
  data, frame = written(kind), kind.frame
  second = lmic_frames.starts(data)[1]
  assert damaged_chunks(opened(flipped(data, second + frame.record_bytes + 2)))[1].endswith('its checksum is wrong')
  unknown = lmic_frames.sealed(flipped(data, second + frame.method_at, 6))
  assert damaged_chunks(opened(unknown))[1].endswith('method 64, which this version does not know')
  assert opened(unknown).method(1) is None
  if kind is FIXED:
    assert damaged_chunks(opened(flipped(data, second)))[1].endswith('it is not where the file says')


def test_cut_at_every_byte(kind):
  data = written(kind)
  ends = lmic_frames.starts(data)
  for length in range(1, len(data)):
    if length < ends[0]:
      with pytest.raises(FormatError, match=r'damaged or cut off|begins with'):
        opened(data[:length])
      continue
    container = opened(data[:length])
    assert container.sha256 is None
    whole = sum(end <= length for end in ends[1:])
    lost = damaged_chunks(container)
    assert list(lost) == list(range(whole, 9))
    [problem] = container.problems
    assert problem.startswith(end_of(kind))
    if 0 <= length - ends[whole] < kind.frame.record_bytes and whole < 9:
      assert f'{STEREO.chunk_label(whole)} is the first that is not there' in problem
    elif whole < 9:
      missing = ends[whole + 1] - length
      assert lost[whole].endswith(f'the file is cut off in it, {missing} bytes are missing')


@pytest.mark.parametrize('change', [1, 7, 1000, -1, -5])
def test_insertion_and_removal_are_found_where_they_are(tabled, change):
  """change: bytes that are inserted or, below 0, removed. Where records have no numbers the chunk itself is named."""
  data = written(tabled)
  for chunk, start in enumerate(lmic_frames.starts(data)[:-1]):
    inside = start + tabled.frame.record_bytes + 4
    rest = data[inside - change :] if change < 0 else bytes(change) + data[inside:]
    container = opened(data[:inside] + rest)
    first = chunk if tabled is COMPACT else chunk + 1
    where = f'{STEREO.chunk_label(first)} is the first that is not in its place' if first < 9 else 'after its last'
    [problem] = container.problems
    more = f'{change} bytes more' if change > 0 else f'{-change} bytes fewer'
    assert problem.startswith(f'it has {more} than its table of chunks says, ') and where in problem
    assert list(damaged_chunks(container)) == [chunk]


@pytest.mark.parametrize('change', [1, 7, 1000, -1, -5])
def test_insertion_and_removal_are_found_without_a_table(small, change):
  """What is before them is read."""
  data = written(small)
  for chunk, start in enumerate(lmic_frames.starts(data)[:-1]):
    inside = start + small.frame.record_bytes + 4
    rest = data[inside - change :] if change < 0 else bytes(change) + data[inside:]
    container = opened(data[:inside] + rest)
    assert container.problems and next(iter(damaged_chunks(container))) == chunk


def test_swapped_chunks(kind):
  data = written(kind)
  ends = lmic_frames.starts(data)
  one, two = data[ends[1] : ends[2]], data[ends[2] : ends[3]]
  assert len(one) == len(two)
  container = opened(data[: ends[1]] + two + one + data[ends[3] :])
  assert damaged_chunks(container).keys() == {1, 2}


@pytest.mark.parametrize('foreign', [1, 3])
def test_a_chunk_of_another_file_is_not_taken_for_its_own(kind, foreign):
  """The other file is of the same shape, so that only its header's check tells them apart."""
  data, bodies = written(kind), [bytes(len(each)) for each in payloads(STEREO)]
  other = written(kind, dataclasses.replace(STEREO, source_id=b'else'), bodies)
  ends = lmic_frames.starts(data)
  record = bytearray(other[ends[foreign] : ends[foreign + 1]])
  if kind is FIXED:
    record[:4] = (1).to_bytes(4, 'little')
  container = opened(data[: ends[1]] + bytes(record) + data[ends[2] :])
  assert list(damaged_chunks(container)) == [1]


def test_appended_bytes(kind):
  container = opened(written(kind) + b'junk')
  assert container.problems == ['4 bytes follow its end']
  assert container.sha256 == (SHA256 if kind.has_table else SHA256[:16])
  assert damaged_chunks(container) == {}


def test_a_file_after_a_file(kind):
  for other in KINDS:
    container = opened(written(kind) + written(other, dataclasses.replace(STEREO, source_id=b'else')))
    assert container.header == kind.header(STEREO)
    following = len(written(other))
    assert container.problems == [f'{following} bytes follow its end']
    assert damaged_chunks(container) == {}


def test_prepended_bytes(tabled):
  container = opened(b'junk' + written(tabled))
  assert container.problems[0] == 'its header is damaged (a copy of it at the end is not)'
  assert container.problems[1].startswith(f'it has 4 bytes more than its table of chunks says, {STEREO.chunk_label(0)}')
  assert damaged_chunks(container) == {}


def test_lost_beginning(tabled):
  """As a download that lost its first block: what follows is found from the end."""
  data = written(tabled)
  container = opened(data[lmic_frames.starts(data)[1] - 10 :])
  assert damaged_chunks(container).keys() == {0}


def test_a_lost_beginning_is_the_end_of_a_file_without_a_table(small):
  for data in (b'junk' + written(small), written(small)[1:]):
    with pytest.raises(FormatError, match=r'not a \.lmic file: it begins with'):
      opened(data)


def test_a_table_where_none_belongs_is_no_end(small):
  """Every file has one form: a small one whose end is that of a large one was written by no program."""
  with COMPACT.in_force():
    data = written(COMPACT)
  container = opened(data)
  assert container.problems == [end_of(small)] and damaged_chunks(container) == {}


def test_body_of_more_bytes_than_its_payload_is_not_read(kind):
  data = written(kind, bodies=[bytes(1000), *payloads(STEREO)[1:]])
  lost = damaged_chunks(opened(data))
  where = 'it is not where the file says'
  assert lost[0] == f'{STEREO.chunk_label(0)} is damaged: {where}' and (kind is SMALL or len(lost) == 1)


# What headers say of chunks.


def counts(header: Header) -> tuple[int, int, int, int]:
  return header.num_head_chunks, header.num_spans, header.num_tail_chunks, header.num_chunks


def test_counts_and_places():
  assert counts(STEREO) == (1, 3, 2, 9)
  assert [STEREO.payload_bytes(index) for index in range(9)] == [44, 20, 20, 20, 20, 10, 10, 50, 20]
  assert STEREO.original_bytes == sum(len(payload) for payload in payloads(STEREO)) == 44 + 25 * 4 + 70
  assert STEREO.chunk_label(0) == 'chunk 0 (bytes before the samples)'
  assert STEREO.chunk_label(6) == 'chunk 6 (channel 1, 0.20 to 0.25 s)'
  assert STEREO.chunk_label(8) == 'chunk 8 (bytes after the samples)'
  no_rate = dataclasses.replace(STEREO, pcm=dataclasses.replace(STEREO.pcm, sample_rate_hz=0))
  assert no_rate.chunk_label(6) == 'chunk 6 (channel 1, frames 20 to 25)'


def test_counts_and_places_of_segments():
  assert counts(SEGMENTED) == (1, 3, 2, 6)
  assert [SEGMENTED.payload_bytes(index) for index in range(6)] == [44, 40, 40, 20, 50, 20]
  assert SEGMENTED.original_bytes == sum(len(payload) for payload in payloads(SEGMENTED)) == 44 + 25 * 4 + 70
  assert SEGMENTED.chunk_label(0) == 'chunk 0 (bytes before the samples)'
  assert SEGMENTED.chunk_label(3) == 'chunk 3 (all channels, 0.20 to 0.25 s)'
  assert SEGMENTED.chunk_label(4) == 'chunk 4 (bytes after the samples)'
  no_rate = dataclasses.replace(SEGMENTED, pcm=dataclasses.replace(SEGMENTED.pcm, sample_rate_hz=0))
  assert no_rate.chunk_label(3) == 'chunk 3 (all channels, frames 20 to 25)'


def test_counts_and_places_behind_a_canonical_head():
  """Versions 2 to 4 leave out the head, version 5 what is behind the samples, too."""
  fixed = FIXED.header(dataclasses.replace(CANONICAL, tail_bytes=70))
  assert counts(fixed) == (0, 3, 2, 5)
  assert [fixed.payload_bytes(index) for index in range(5)] == [40, 40, 20, 50, 20]
  assert fixed.original_bytes == SEGMENTED.original_bytes
  assert fixed.chunk_label(0) == 'chunk 0 (all channels, 0.00 to 0.10 s)'
  assert fixed.chunk_label(3) == 'chunk 3 (bytes after the samples)'
  compact = dataclasses.replace(CANONICAL, tail_bytes=1)
  assert counts(compact) == (0, 3, 0, 3)
  assert compact.original_bytes == 44 + 25 * 4 + 1
