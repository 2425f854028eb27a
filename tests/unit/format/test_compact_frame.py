"""The compact frame of version 5: headers in one form, how many bytes it takes, and claims that nobody may believe."""

import dataclasses
import io
import itertools
from typing import Any

import pytest
from support import lmic_frames
from support.container_cases import (
  BYTES_ALONE,
  CANONICAL,
  COMPACT,
  EMPTY,
  IDENTITY,
  LINEAR,
  NO_SAMPLES,
  SEGMENTED,
  SHA256,
  STEREO,
  flipped,
  opened,
  written,
)

from language_modeling_is_compression.audio.pcm import WIDTHS, PcmFormat, SampleKind
from language_modeling_is_compression.entropy.varints import write_number
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.compact_frame import CompactFrame
from language_modeling_is_compression.format.container import STORED, Chunk, Container, ContainerWriter
from language_modeling_is_compression.format.frame import digest
from language_modeling_is_compression.format.header import (
  MAX_GAP_BYTES,
  MAX_GAPS,
  PIECE_BYTES,
  Gap,
  Header,
  with_canonical_sizes,
)
from language_modeling_is_compression.format.layout import (
  HybridLayout,
  LinearLayout,
  SegmentLayout,
  StartedHybridLayout,
)
from language_modeling_is_compression.format.surroundings import CONTAINERS

FRAME = CompactFrame()


def changed(header: Header, **changes: Any) -> Header:
  """A header as files have it, with other fields, those of its `pcm` among them."""
  names = {field.name for field in dataclasses.fields(PcmFormat)}
  pcm = {name: value for name, value in changes.items() if name in names}
  others = {name: value for name, value in changes.items() if name not in names}
  others = {'piece_bytes': PIECE_BYTES, **others}
  return dataclasses.replace(header, pcm=dataclasses.replace(header.pcm, **pcm), **others)


def of_fields(fields: bytes) -> bytes:
  """A header of these fields, with a check that is right."""
  begun = CompactFrame.MAGIC + len(fields).to_bytes(2, 'little') + fields
  return begun + digest(b'', begun)[:4]


def fields_of(header: Header) -> bytes:
  return FRAME.serialize(header)[8:-4]


GAPS = (Gap(1, 5), Gap(10, 1), Gap(24, 300))


@pytest.mark.parametrize(
  'header',
  [
    changed(STEREO),
    changed(BYTES_ALONE),
    changed(EMPTY),
    changed(BYTES_ALONE, head_bytes=2**61),
    changed(STEREO, num_frames=2**60 - 1, sample_rate_hz=2**32 - 1),
    changed(STEREO, head_bytes=0, tail_bytes=2**61),
    changed(STEREO, num_channels=1 << 21, chunk_frames=1),
    changed(STEREO, num_frames=10),  # One span.
    changed(STEREO, num_frames=9),  # A span that is longer than the file.
    changed(STEREO, num_frames=0),
    *(changed(STEREO, container=container) for container in CONTAINERS),
    changed(STEREO, gaps=GAPS),
    changed(SEGMENTED, gaps=GAPS),
    changed(STEREO, gaps=tuple(Gap(frame, 256) for frame in range(1, MAX_GAPS + 1)), num_frames=MAX_GAPS + 1),
    *(changed(SEGMENTED, layout=SegmentLayout(effort=effort)) for effort in range(3)),
    *(changed(LINEAR, layout=LinearLayout(effort=effort)) for effort in range(4)),
    *(changed(SEGMENTED, layout=HybridLayout(effort=effort)) for effort in range(3)),
    *(changed(SEGMENTED, layout=StartedHybridLayout(effort=effort)) for effort in range(5)),
    *(changed(CANONICAL, head_bytes=bytes_, num_channels=channels) for bytes_, channels in ((44, 1), (68, 3))),
    changed(CANONICAL, kind=SampleKind.UNSIGNED, sample_bytes=1, num_channels=1, tail_bytes=1),
    *(
      changed(STEREO, kind=kind, sample_bytes=width, is_big_endian=big)
      for kind, widths in WIDTHS.items()
      if kind != SampleKind.NONE
      for width, big in itertools.product(widths, (False, True))
      if width > 1 or not big
    ),
  ],
)
def test_round_trip(header):
  data = FRAME.serialize(header)
  assert data == lmic_frames.sealed(data) and FRAME.header_at(lambda at, count: data[at : at + count], 0) == data
  assert FRAME.parse(data) == header


def test_bytes_of_every_field():
  """Magic and version, length, coding and flags, effort and container, kind and width, source, numbers, check."""
  assert FRAME.serialize(STEREO)[:-4].hex(' ') == (
    '8b 4c 4d 49 43 05 0f 00 01 10 21 66 72 6f 6d 58 04 c8 01 32 14 8c 01'
  )
  gaps = FRAME.serialize(dataclasses.replace(STEREO, gaps=(Gap(1, 5), Gap(25, 100))))
  assert gaps[8:-4] == fields_of(STEREO) + bytes.fromhex('02 0a 30 c8 01')
  segments = FRAME.serialize(dataclasses.replace(SEGMENTED, layout=HybridLayout(effort=2)))
  assert segments[8:11].hex(' ') == '84 12 21' and segments[15:23] == IDENTITY[:8]
  assert fields_of(LINEAR)[:3].hex(' ') == '03 13 21' and len(fields_of(LINEAR)) == len(fields_of(STEREO))
  assert fields_of(CANONICAL).hex(' ') == 'c2 11 21 66 72 6f 6d 00 01 02 03 04 05 06 07 04 c8 01 32 14'
  assert fields_of(BYTES_ALONE).hex(' ') == '01 00 00 66 72 6f 6d 58'
  big = dataclasses.replace(STEREO.pcm, kind=SampleKind.UNSIGNED, is_big_endian=True, sample_bytes=3)
  assert fields_of(dataclasses.replace(STEREO, pcm=big))[2] == 0x3A
  data = FRAME.serialize(STEREO)
  assert data[-4:] == digest(b'', data[:-4])[:4]


@pytest.mark.parametrize(
  'header',
  [
    changed(STEREO, sample_bytes=0),
    changed(STEREO, kind=SampleKind.UNSIGNED, sample_bytes=1, is_big_endian=True),
    changed(STEREO, sample_bytes=5),
    changed(STEREO, kind=SampleKind.FLOAT, sample_bytes=3),
    changed(STEREO, kind=SampleKind.A_LAW),
    changed(STEREO, num_channels=0),
    changed(STEREO, chunk_frames=(1 << 16) + 1),
    changed(STEREO, chunk_frames=1 << 16, num_channels=33),
    changed(SEGMENTED, layout=SegmentLayout(effort=3)),
    changed(SEGMENTED, layout=HybridLayout(effort=3)),
    changed(SEGMENTED, layout=StartedHybridLayout(effort=5)),
    changed(SEGMENTED, layout=SegmentLayout(effort=15)),
    changed(LINEAR, layout=LinearLayout(effort=4)),
    changed(STEREO, model_id=LinearLayout.model_id[:8]),
    changed(SEGMENTED, model_id=LinearLayout.model_id[:8]),
    changed(SEGMENTED, model_id=bytes(8)),
    changed(SEGMENTED, chunk_frames=SegmentLayout.max_span_frames + 1, num_channels=1, sample_bytes=1),
    changed(SEGMENTED, chunk_frames=SegmentLayout.max_span_bytes // 4 + 1),
    dataclasses.replace(SEGMENTED, pcm=NO_SAMPLES, chunk_frames=0, num_frames=0, tail_bytes=0),
    changed(STEREO, gaps=(Gap(0, 1),)),
    changed(STEREO, gaps=(Gap(25, 1),)),
    changed(STEREO, gaps=(Gap(26, 1),)),
    changed(STEREO, gaps=(Gap(5, 0),)),
    changed(STEREO, gaps=(Gap(5, 1), Gap(5, 1))),
    changed(STEREO, gaps=(Gap(5, MAX_GAP_BYTES), Gap(6, 1))),
    changed(STEREO, gaps=tuple(Gap(frame, 1) for frame in range(1, MAX_GAPS + 2)), num_frames=MAX_GAPS + 2),
    changed(STEREO, gaps=(Gap(1, 1),), num_frames=0),
    changed(CANONICAL, gaps=(Gap(5, 1),)),
    changed(CANONICAL, num_channels=32_768, num_frames=1),
    changed(CANONICAL, container='none'),
    changed(STEREO, sample_rate_hz=1 << 32),
    changed(STEREO, num_frames=1 << 60),
    changed(CANONICAL, num_frames=1 << 60),
    changed(CANONICAL, is_big_endian=True),
    changed(CANONICAL, kind=SampleKind.UNSIGNED),
    changed(CANONICAL, sample_bytes=1, kind=SampleKind.SIGNED),
    changed(CANONICAL, container='FLAC'),
  ],
)
def test_header_that_contradicts_itself(header):
  for sound in (STEREO, SEGMENTED, LINEAR, CANONICAL):
    opened(FRAME.serialize(sound))
  with pytest.raises(FormatError, match=r'its header|cannot hold'):
    opened(FRAME.serialize(header))


def test_values_that_nobody_knows_yet():
  """Of codings and flags, efforts and containers, kinds and widths: these are all that there are."""
  sound, kinds = fields_of(STEREO), {0x10 * width + kind for kind, widths in WIDTHS.items() for width in widths if kind}
  # Linear prediction, too, needs no more fields than a file without a model.
  containers = {index << 4 for index in range(len(CONTAINERS))}
  # One byte has no order.
  known = ({0x01, 0x03, 0x05}, containers, kinds | {0x08 + value for value in kinds if value >> 4 > 1})
  for position, values in enumerate(known):
    for value in range(256):
      data = of_fields(sound[:position] + bytes([value]) + sound[position + 1 :])
      if value in values:
        opened(data)
      else:
        with pytest.raises(FormatError):
          opened(data)


@pytest.mark.parametrize('header', [STEREO, SEGMENTED, LINEAR, CANONICAL, BYTES_ALONE])
def test_fields_that_are_cut_or_longer(header):
  sound = fields_of(changed(header))
  for length in range(len(sound)):
    with pytest.raises(FormatError):
      opened(of_fields(sound[:length]))
  for more in (b'\0', b'\x02', b'\x80', b'\xff' * 10, b'\x02\x01'):
    with pytest.raises(FormatError):
      opened(of_fields(sound + more))


def test_one_header_has_one_form():
  """Numbers of more bytes than they need, numbers below 0, a span's length where there is one span alone."""
  sound = fields_of(changed(STEREO, num_frames=10))
  assert sound[7:].hex(' ') == '58 04 c8 01 14 00 8c 01'
  for numbers in ('d8 00 04 c8 01 14 00 8c 01', '57 04 c8 01 14 00 8c 01', '58 04 c8 01 14 14 8c 01'):
    with pytest.raises(FormatError, match=r'its header (is not as|contradicts)'):
      opened(of_fields(sound[:7] + bytes.fromhex(numbers)))


@pytest.mark.parametrize('field', range(6))
def test_numbers_beyond_all_files(field):
  numbers = [44, 2, 100, 25, 10, 70]
  for value in (1 << 62, (1 << 63) - 1, -1):
    numbers[field] = value
    with pytest.raises(FormatError):
      opened(of_fields(fields_of(STEREO)[:7] + b''.join(map(write_number, numbers))))


def test_the_check_of_a_header_is_over_all_of_it():
  data = FRAME.serialize(STEREO)
  for position in range(len(data)):
    with pytest.raises(FormatError):
      opened(flipped(data, position, position % 8))


def test_a_canonical_head_says_how_long_head_and_tail_are():
  unsized = changed(CANONICAL, head_bytes=0, tail_bytes=0)
  assert with_canonical_sizes(unsized) == changed(CANONICAL)
  odd = changed(unsized, kind=SampleKind.UNSIGNED, sample_bytes=1, num_channels=3)
  sized = with_canonical_sizes(odd)
  assert (sized.head_bytes, sized.tail_bytes) == (68, 1)


# How many bytes it takes.


@pytest.mark.parametrize(('beside', 'has_table'), [(-1, False), (0, True)])
def test_a_file_from_256_kib_on_has_a_table(beside, has_table):
  header = changed(BYTES_ALONE, head_bytes=(1 << 18) + beside)
  target = io.BytesIO()
  writer = ContainerWriter(target, header)
  writer.add(Chunk(method=STORED, crc32=0, body=bytes(header.head_bytes)))
  writer.finish(SHA256)
  data = target.getvalue()
  footer = data[lmic_frames.starts(data)[-1] :]
  header_bytes = lmic_frames.header_bytes(data)
  if has_table:
    assert len(footer) == 8 + header_bytes + 4 + 32 + 8 + 8 + 8
    assert footer.startswith(b'LMICtabl' + data[:header_bytes])
    assert int.from_bytes(footer[-24:-16], 'little') == len(footer)
  else:
    assert footer == SHA256[:16] + digest(digest(b'', data[:header_bytes]), SHA256[:16])[:4]
  assert Container(io.BytesIO(data), len(data)).problems == []


def test_bytes_of_a_record():
  """Method, size, sum of the payload, check; the number of the chunk is part of what is checked."""
  with COMPACT.in_force():
    data = written(COMPACT)
    start, end = lmic_frames.starts(data)[1:3]
  record, body = data[start : start + 13], data[start + 13 : end]
  assert record[0] == STORED and int.from_bytes(record[1:5], 'little') == len(body)
  key = digest(b'', data[: lmic_frames.header_bytes(data)])
  assert record[9:] == digest(key, (1).to_bytes(8, 'little'), record[:9], body)[:4]
