"""The fixed frame, of format versions 1 to 4, which are read for ever. docs/FORMAT.md has every byte."""

import struct

from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.frame import KEY_BYTES, Frame, Read, Record, digest
from language_modeling_is_compression.format.header import COMPACT_VERSION, NO_MODEL, Header, check_header
from language_modeling_is_compression.format.layout import LAYOUTS, new_layout
from language_modeling_is_compression.format.surroundings import NO_CONTAINER
from language_modeling_is_compression.version import VERSIONS_READ


class FixedFrame(Frame):
  """The frame of versions 1 to 4."""

  MAGIC = b'\x8bLMIC\r\n\x1a'
  _HEADER = struct.Struct('<8sHBBHBBIIIQQQ32s8s')
  _HEADER_BYTES = _HEADER.size + KEY_BYTES
  _RECORD = struct.Struct('<IBII')
  record_bytes = _RECORD.size + KEY_BYTES
  _MAX_PIECE_BYTES = 1 << 20
  _KINDS = (SampleKind.NONE, SampleKind.SIGNED, SampleKind.FLOAT)

  def header_at(self, read: Read, position: int) -> bytes | None:
    header = read(position, self._HEADER_BYTES)
    fields, check = header[: self._HEADER.size], header[self._HEADER.size :]
    return header if header.startswith(self.MAGIC) and check == digest(b'', fields) else None

  def parse(self, header: bytes) -> Header:
    (
      _,
      version,
      kind,
      sample_bytes,
      num_channels,
      effort,
      flags,
      rate,
      chunk_frames,
      piece_bytes,
      head,
      frames,
      tail,
      model,
      source,
    ) = self._HEADER.unpack(header[: self._HEADER.size])
    if version not in LAYOUTS or version >= COMPACT_VERSION:
      raise FormatError(f'it is of format version {version}, this program reads versions {VERSIONS_READ}: update it')
    reserved = (effort | flags) if version == 1 else flags & ~1
    is_float = kind == self._KINDS.index(SampleKind.FLOAT)
    is_half = is_float and sample_bytes == 2  # Which came in version 5.
    if (
      kind >= len(self._KINDS)
      or reserved
      or piece_bytes > self._MAX_PIECE_BYTES
      or (is_float and version > 1)
      or is_half
    ):
      raise FormatError('its header contradicts itself: no program of this version wrote it')
    sample_kind = SampleKind.UNSIGNED if (kind, sample_bytes) == (1, 1) else self._KINDS[kind]
    parsed = Header(
      pcm=PcmFormat(kind=sample_kind, sample_bytes=sample_bytes, num_channels=num_channels, sample_rate_hz=rate),
      chunk_frames=chunk_frames,
      head_bytes=head,
      num_frames=frames,
      tail_bytes=tail,
      model_id=model if any(model) else NO_MODEL,
      source_id=source,
      layout=new_layout(LAYOUTS[version], effort),
      container=ContainerKind.WAV if num_channels else NO_CONTAINER,
      has_canonical_head=bool(flags),
      piece_bytes=piece_bytes,
      format_version=version,
    )
    check_header(parsed)
    return parsed

  def key(self, header: bytes) -> bytes:
    return header[self._HEADER.size :]

  def parse_record(self, record: bytes) -> Record:
    return Record(*self._RECORD.unpack(record[: self._RECORD.size]))

  def is_sound(self, key: bytes, index: int, record: bytes, body: bytes) -> bool:
    return record[self._RECORD.size :] == digest(key, record[: self._RECORD.size], body)

  def has_table(self, header: Header) -> bool:
    return True
