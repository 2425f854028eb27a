"""The compact frame, of format version 5. docs/FORMAT.md has every byte."""

import struct

from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.entropy.varints import NumberReader, write_number
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.frame import Frame, Read, Record, digest
from language_modeling_is_compression.format.header import (
  COMPACT_VERSION,
  MAX_RATE_HZ,
  MODEL_ID_BYTES,
  SOURCE_ID_BYTES,
  Gap,
  Header,
  check_header,
  with_canonical_sizes,
)
from language_modeling_is_compression.format.layout import LAYOUTS, LinearLayout, new_layout
from language_modeling_is_compression.format.surroundings import CONTAINERS

SHORT_DIGEST_BYTES = 16  # Of the original's SHA-256, in a footer without a table.


class CompactFrame(Frame):
  """The frame of version 5: numbers are as long as they need to be, checks have 4 bytes.

  A small file has neither a table nor a copy of its header: they would cost more than what hangs on them.
  """

  MAGIC = b'\x8bLMIC' + bytes([COMPACT_VERSION])
  CHECK_BYTES = 4
  _LENGTH = struct.Struct('<H')
  _RECORD = struct.Struct('<BII')
  record_bytes = _RECORD.size + CHECK_BYTES
  _TABLE_FROM_BYTES = 1 << 18  # Of the original.
  _CANONICAL, _HAS_MODEL = 0x40, 0x80

  def header_at(self, read: Read, position: int) -> bytes | None:
    start = len(self.MAGIC) + self._LENGTH.size
    beginning = read(position, start)
    if len(beginning) < start or not beginning.startswith(self.MAGIC):
      return None
    [length] = self._LENGTH.unpack(beginning[len(self.MAGIC) :])
    header = read(position, start + length + self.CHECK_BYTES)
    fields, check = header[: -self.CHECK_BYTES], header[-self.CHECK_BYTES :]
    return header if len(header) == start + length + self.CHECK_BYTES and check == self._check(b'', fields) else None

  def serialize(self, header: Header) -> bytes:
    """A header with its check."""
    has_model = any(header.model_id) and not isinstance(header.layout, LinearLayout)
    assert not has_model or len(header.model_id) == MODEL_ID_BYTES, 'an identity is cut to so many bytes'
    flags = (self._CANONICAL if header.has_canonical_head else 0) | (self._HAS_MODEL if has_model else 0)
    pcm = header.pcm
    fields = bytes(
      [
        header.layout.coding | flags,
        header.layout.effort | CONTAINERS.index(header.container) << 4,
        pcm.kind | pcm.is_big_endian << 3 | pcm.sample_bytes << 4,
      ]
    )
    fields += header.source_id + (header.model_id if has_model else b'')
    numbers = [] if header.has_canonical_head else [header.head_bytes]
    if pcm.num_channels:
      one_span = header.num_frames == header.chunk_frames
      numbers += [pcm.num_channels, pcm.sample_rate_hz, header.num_frames, 0 if one_span else header.chunk_frames]
      numbers += [] if header.has_canonical_head else [header.tail_bytes]
      last = 0
      for gap in header.gaps:
        numbers += [gap.frame - last, gap.num_bytes]
        last = gap.frame
    fields += b''.join(map(write_number, numbers))
    begun = self.MAGIC + self._LENGTH.pack(len(fields)) + fields
    return begun + self._check(b'', begun)

  def parse(self, header: bytes) -> Header:
    body = header[len(self.MAGIC) + self._LENGTH.size : -self.CHECK_BYTES]
    try:
      parsed = self._parse(body)
    except (ValueError, LookupError):
      raise FormatError('its header contradicts itself: no program of this version wrote it') from None
    check_header(parsed)
    if self.serialize(parsed) != header:  # One header has one form.
      raise FormatError('its header is not as programs of this version write it')
    return parsed

  def _parse(self, body: bytes) -> Header:
    """Raises ValueError or LookupError for what is none."""
    coding, more, sample = body[0], body[1], body[2]
    layout_type = LAYOUTS[coding & 0x3F]
    is_canonical, has_model = bool(coding & self._CANONICAL), bool(coding & self._HAS_MODEL)
    model_at = 3 + SOURCE_ID_BYTES
    numbers_at = model_at + (MODEL_ID_BYTES if has_model else 0)
    model_id = body[model_at:numbers_at]
    if issubclass(layout_type, LinearLayout):
      model_id = layout_type.model_id[:MODEL_ID_BYTES]
    reader = NumberReader(body[numbers_at:])
    head_bytes = 0 if is_canonical else _read_positive(reader)
    rate = num_channels = num_frames = chunk_frames = tail_bytes = 0
    gaps: list[Gap] = []
    kind = SampleKind(sample & 7)
    if kind != SampleKind.NONE:
      num_channels, rate, num_frames, chunk_frames = (_read_positive(reader) for _ in range(4))
      chunk_frames = chunk_frames or num_frames
      tail_bytes = 0 if is_canonical else _read_positive(reader)
      while reader.position < len(body) - numbers_at:
        frame = _read_positive(reader) + (gaps[-1].frame if gaps else 0)
        gaps.append(Gap(frame, _read_positive(reader)))
    pcm = PcmFormat(
      kind=kind,
      sample_bytes=sample >> 4,
      num_channels=num_channels,
      sample_rate_hz=rate,
      is_big_endian=bool(sample & 8),
    )
    # What is canonical has 32 bits for a rate and, of all samples, a signed number of 64 bits.
    largest = max(head_bytes, num_frames, num_frames * pcm.frame_bytes, tail_bytes)
    if reader.position != len(body) - numbers_at or rate > MAX_RATE_HZ or largest >> 62:
      raise ValueError('numbers')
    header = Header(
      pcm=pcm,
      chunk_frames=chunk_frames,
      head_bytes=head_bytes,
      num_frames=num_frames,
      tail_bytes=tail_bytes,
      model_id=model_id,
      source_id=body[3:model_at],
      layout=new_layout(layout_type, more & 15),
      container=CONTAINERS[more >> 4],
      gaps=tuple(gaps),
      has_canonical_head=is_canonical,
    )
    return with_canonical_sizes(header) if is_canonical else header

  def key(self, header: bytes) -> bytes:
    return digest(b'', header)

  def record(self, key: bytes, index: int, method: int, crc32: int, body: bytes) -> bytes:
    """The record of a chunk."""
    fields = self._RECORD.pack(method, len(body), crc32)
    return fields + self._record_check(key, index, fields, body)

  def parse_record(self, record: bytes) -> Record:
    return Record(None, *self._RECORD.unpack(record[: self._RECORD.size]))

  def is_sound(self, key: bytes, index: int, record: bytes, body: bytes) -> bool:
    fields = record[: self._RECORD.size]
    return record[self._RECORD.size :] == self._record_check(key, index, fields, body)

  def has_table(self, header: Header) -> bool:
    return header.original_bytes >= self._TABLE_FROM_BYTES

  def short_footer(self, key: bytes, sha256: bytes) -> bytes:
    """The footer of a file without a table."""
    digest = sha256[:SHORT_DIGEST_BYTES]
    return digest + self._check(key, digest)

  def parse_short_footer(self, key: bytes, footer: bytes) -> bytes | None:
    """The beginning of the original's SHA-256, if the footer's check is right."""
    digest = footer[:SHORT_DIGEST_BYTES]
    return digest if footer == self.short_footer(key, digest) else None

  @property
  def short_footer_bytes(self) -> int:
    return SHORT_DIGEST_BYTES + self.CHECK_BYTES

  def _record_check(self, key: bytes, index: int, fields: bytes, body: bytes) -> bytes:
    return self._check(key, index.to_bytes(8, 'little'), fields, body)

  def _check(self, key: bytes, *parts: bytes) -> bytes:
    return digest(key, *parts)[: self.CHECK_BYTES]


def _read_positive(reader: NumberReader) -> int:
  """Raises ValueError for a number below 0."""
  value = reader.read()
  if value < 0:
    raise ValueError('below 0')
  return value
