"""The fixed frame of versions 1 to 4: headers that hold together, and ones that no program of these versions wrote."""

import dataclasses
import hashlib
from typing import Any

import pytest
from support import fixed_files, lmic_frames
from support.container_cases import (
  BYTES_ALONE,
  CANONICAL,
  EMPTY,
  FIXED,
  IDENTITY,
  LINEAR,
  NO_SAMPLES,
  SEGMENTED,
  STEREO,
  flipped,
  opened,
  written,
)

from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.fixed_frame import FixedFrame
from language_modeling_is_compression.format.header import NO_MODEL, Header
from language_modeling_is_compression.format.layout import HybridLayout, LinearLayout, SegmentLayout

STEREO_1, BYTES_1, EMPTY_1 = (FIXED.header(header) for header in (STEREO, BYTES_ALONE, EMPTY))
SEGMENTED_2, CANONICAL_2, LINEAR_3 = (FIXED.header(header) for header in (SEGMENTED, CANONICAL, LINEAR))


def changed(header: Header, **changes: Any) -> Header:
  """A header with other fields, those of its `pcm` among them."""
  names = {field.name for field in dataclasses.fields(PcmFormat)}
  pcm = {name: value for name, value in changes.items() if name in names}
  others = {name: value for name, value in changes.items() if name not in names}
  return dataclasses.replace(header, pcm=dataclasses.replace(header.pcm, **pcm), **others)


def of_kind(kind: SampleKind, sample_bytes: int, header: Header = STEREO_1) -> Header:
  return changed(header, kind=kind, sample_bytes=sample_bytes)


@pytest.mark.parametrize(
  'header',
  [
    STEREO_1,
    BYTES_1,
    EMPTY_1,
    changed(STEREO_1, kind=SampleKind.FLOAT, sample_bytes=8, model_id=IDENTITY),
    of_kind(SampleKind.FLOAT, 4),
    changed(
      STEREO_1,
      kind=SampleKind.UNSIGNED,
      sample_bytes=1,
      num_channels=65_535,
      chunk_frames=64,
      sample_rate_hz=2**32 - 1,
    ),
    changed(STEREO_1, head_bytes=2**40, piece_bytes=1 << 20, num_frames=2**33, chunk_frames=1 << 16),
    changed(STEREO_1, num_frames=0, sample_rate_hz=0),
    *(changed(SEGMENTED_2, layout=SegmentLayout(effort=effort)) for effort in range(3)),
    *(changed(LINEAR_3, layout=LinearLayout(effort=effort)) for effort in range(4)),
    *(changed(SEGMENTED_2, layout=HybridLayout(effort=effort), format_version=4) for effort in range(3)),
    changed(LINEAR_3, layout=LinearLayout(effort=0), has_canonical_head=True),
    changed(SEGMENTED_2, chunk_frames=SegmentLayout.max_span_frames, num_frames=2**33),
    changed(SEGMENTED_2, num_channels=65_535, sample_bytes=4, chunk_frames=128),
    CANONICAL_2,
    changed(CANONICAL_2, tail_bytes=70),
    changed(CANONICAL_2, sample_bytes=3, head_bytes=68, num_frames=2**64 - 1, sample_rate_hz=2**32 - 1),
    changed(
      CANONICAL_2,
      kind=SampleKind.UNSIGNED,
      sample_bytes=1,
      num_channels=65_535,
      head_bytes=68,
      num_frames=0,
    ),
  ],
)
def test_round_trip(header):
  data = fixed_files.serialize(header)
  assert len(data) == fixed_files.HEADER_BYTES and data == lmic_frames.sealed(data)
  assert FixedFrame().parse(data) == header


def test_bytes_are_as_documented():
  data = fixed_files.serialize(STEREO_1)
  assert data[:52].hex() == (
    '8b4c4d49430d0a1a 0100 01 02 0200 0000 64000000 0a000000 32000000 '
    '2c00000000000000 1900000000000000 4600000000000000'
  ).replace(' ', '')
  assert data[52:92] == bytes(32) + b'from....'


def test_header_of_segments_is_as_documented():
  """Version 2, and effort and flags in the fields that are reserved in version 1."""
  for flags, header in enumerate((SEGMENTED_2, changed(CANONICAL_2, tail_bytes=70))):
    data = fixed_files.serialize(changed(header, layout=SegmentLayout(effort=2)))
    assert data[:16].hex() == f'8b4c4d49430d0a1a 0200 01 02 0200 02 0{flags}'.replace(' ', '')
    assert data[16:92] == fixed_files.serialize(changed(STEREO_1, model_id=IDENTITY))[16:92]


def test_header_of_linear_prediction_is_as_documented():
  data = fixed_files.serialize(LINEAR_3)
  assert data[:16].hex() == '8b4c4d49430d0a1a 0300 01 02 0200 03 00'.replace(' ', '')
  assert data[52:84] == hashlib.sha256(b'lmic linear prediction 1').digest()


@pytest.mark.parametrize('kind', [3, 4, 5, 255])
def test_kinds_of_samples_that_came_later_are_none(kind):
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(fixed_files.serialize(STEREO_1, kind))


@pytest.mark.parametrize(
  'header',
  [
    changed(STEREO_1, sample_bytes=0),
    changed(STEREO_1, sample_bytes=5),
    of_kind(SampleKind.FLOAT, 2),
    of_kind(SampleKind.FLOAT, 3),
    changed(STEREO_1, num_channels=0),
    changed(STEREO_1, chunk_frames=0),
    changed(STEREO_1, chunk_frames=(1 << 16) + 1),
    changed(STEREO_1, chunk_frames=1 << 16, num_channels=33),
    changed(STEREO_1, chunk_frames=2**32 - 1),
    changed(STEREO_1, piece_bytes=0),
    changed(STEREO_1, piece_bytes=(1 << 20) + 1),
    changed(STEREO_1, kind=SampleKind.NONE),
    changed(STEREO_1, kind=SampleKind.NONE, sample_bytes=0, num_channels=0, chunk_frames=0),
  ],
)
def test_header_that_contradicts_itself(header):
  opened(fixed_files.serialize(STEREO_1))
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(fixed_files.serialize(header))


@pytest.mark.parametrize(
  'header',
  [
    changed(SEGMENTED_2, layout=SegmentLayout(effort=3)),
    changed(SEGMENTED_2, layout=SegmentLayout(effort=255)),
    changed(SEGMENTED_2, layout=LinearLayout(effort=1), format_version=3),
    changed(LINEAR_3, layout=LinearLayout(effort=4)),
    changed(LINEAR_3, model_id=IDENTITY),
    changed(LINEAR_3, layout=SegmentLayout(effort=1), format_version=2),
    changed(STEREO_1, model_id=LinearLayout.model_id),
    changed(SEGMENTED_2, model_id=NO_MODEL),
    of_kind(SampleKind.FLOAT, 4, SEGMENTED_2),
    changed(SEGMENTED_2, sample_bytes=5),
    changed(SEGMENTED_2, num_channels=0),
    changed(SEGMENTED_2, chunk_frames=0),
    changed(SEGMENTED_2, chunk_frames=SegmentLayout.max_span_frames + 1, num_channels=1, sample_bytes=1),
    changed(SEGMENTED_2, chunk_frames=SegmentLayout.max_span_frames, num_channels=3, sample_bytes=3),
    changed(SEGMENTED_2, chunk_frames=SegmentLayout.max_span_bytes // 4 + 1),
    dataclasses.replace(SEGMENTED_2, pcm=NO_SAMPLES, chunk_frames=0, num_frames=0, tail_bytes=0),
  ],
)
def test_header_of_segments_that_contradicts_itself(header):
  """Linear prediction has a version and presets of its own; a network has fewer efforts than it has presets."""
  opened(fixed_files.serialize(SEGMENTED_2))
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(fixed_files.serialize(header))


@pytest.mark.parametrize(
  'header',
  [
    *(changed(CANONICAL_2, head_bytes=count) for count in (0, 43, 45, 68, 2**32 + 44, 2**64 - 1)),
    changed(CANONICAL_2, sample_bytes=3),
    changed(CANONICAL_2, sample_bytes=3, head_bytes=67),
    changed(CANONICAL_2, num_channels=3),
    changed(CANONICAL_2, num_channels=32_768, head_bytes=68),
    changed(CANONICAL_2, num_channels=65_535, head_bytes=68),
    of_kind(SampleKind.FLOAT, 4, CANONICAL_2),
  ],
)
def test_canonical_head_that_contradicts_the_header(header):
  opened(fixed_files.serialize(CANONICAL_2))
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(fixed_files.serialize(header))


def test_flags_that_nobody_knows():
  data = fixed_files.serialize(CANONICAL_2)
  for flags in range(2, 256):
    with pytest.raises(FormatError, match='contradicts itself'):
      opened(lmic_frames.sealed(data[:15] + bytes([flags]) + data[16:]))


@pytest.mark.parametrize('field', ['sample_bytes', 'num_channels', 'chunk_frames', 'num_frames', 'tail_bytes'])
def test_header_of_bytes_alone_says_nothing_of_samples(field):
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(fixed_files.serialize(changed(BYTES_1, **{field: 1})))


@pytest.mark.parametrize('position', [14, 15])
def test_reserved_bytes_are_zero(position):
  with pytest.raises(FormatError, match='contradicts itself'):
    opened(lmic_frames.sealed(flipped(written(FIXED), position)))


@pytest.mark.parametrize('version', [0, 5, 6, 17, 257])
def test_another_version_is_named(version):
  """Version 5 has a frame of its own: in this one it is unknown."""
  data = written(FIXED)
  message = f'of format version {version}, this program reads versions 1, 2, 3, 4 and 5: update it'
  with pytest.raises(FormatError, match=message):
    opened(lmic_frames.sealed(data[:8] + version.to_bytes(2, 'little') + data[10:]))


def test_claims_beyond_what_positions_can_count_are_refused():
  for claim in ({'num_frames': 2**64 - 1, 'chunk_frames': 1}, {'head_bytes': 2**64 - 1}, {'tail_bytes': 2**64 - 1}):
    with pytest.raises(FormatError, match='more than a file can have'):
      opened(fixed_files.serialize(changed(STEREO_1, **claim)))
