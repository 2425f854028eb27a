"""Writes the fixed frame of format versions 1 to 4, which the package reads for ever and no longer writes."""

import dataclasses
import hashlib
import io
import struct
from typing import BinaryIO

from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.codec import plan
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.codec.reading import read_payloads
from language_modeling_is_compression.format.container import Chunk
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.header import NO_MODEL, Header
from language_modeling_is_compression.format.layout import ChannelLayout
from language_modeling_is_compression.format.surroundings import can_hold, plain_wav_header

MAGIC = b'\x8bLMIC\r\n\x1a'
HEADER_BYTES, RECORD_BYTES, ENTRY_BYTES = 100, 21, 4
FOOTER_BYTES = 164  # But for the entries of its table.
PIECE_BYTES = 1 << 20
SOURCE_BYTES = 1 << 20  # What distinguishes a file from others is made of these.
_FIELDS = struct.Struct('<8sHBBHBBIIIQQQ32s8s')
_RECORD = struct.Struct('<IBII')
_KINDS = {SampleKind.NONE: 0, SampleKind.UNSIGNED: 1, SampleKind.SIGNED: 1, SampleKind.FLOAT: 2}


def check(key: bytes, *parts: bytes) -> bytes:
  """The eight bytes that check headers, chunks and footers."""
  return hashlib.blake2b(b''.join(parts), digest_size=8, key=key).digest()


def serialize(header: Header, kind: int | None = None) -> bytes:
  """HEADER_BYTES bytes, also of fields that contradict each other. kind: another number for the kind of samples."""
  pcm = header.pcm
  fields = _FIELDS.pack(
    MAGIC,
    header.format_version,
    _KINDS[pcm.kind] if kind is None else kind,
    pcm.sample_bytes,
    pcm.num_channels,
    header.layout.effort,
    header.has_canonical_head,
    pcm.sample_rate_hz,
    header.chunk_frames,
    header.piece_bytes,
    header.head_bytes,
    header.num_frames,
    header.tail_bytes,
    header.model_id,
    header.source_id,
  )
  return fields + check(b'', fields)


class FixedWriter:
  """`ContainerWriter` of the fixed frame."""

  def __init__(self, file: BinaryIO, header: Header):
    self._file = file
    self._header = serialize(header)
    self._sizes: list[int] = []
    self.bytes_written = 0
    self._write(self._header)

  def add(self, chunk: Chunk) -> None:
    """Writes the next chunk."""
    record = _RECORD.pack(len(self._sizes), chunk.method, len(chunk.body), chunk.crc32)
    self._write(record + check(self._header[-8:], record, chunk.body) + chunk.body)
    self._sizes.append(len(chunk.body))

  def finish(self, sha256: bytes) -> None:
    """Writes the footer; sha256: of the whole original file."""
    sizes = struct.pack(f'<{len(self._sizes)}I', *self._sizes)
    footer = b'LMICtabl' + self._header + sizes + sha256 + struct.pack('<Q', FOOTER_BYTES + len(sizes))
    self._write(footer + check(self._header[-8:], footer) + b'LMICend\n')

  def _write(self, data: bytes) -> None:
    self._file.write(data)
    self.bytes_written += len(data)


def fixed_header(header: Header, model_id: bytes, *, has_canonical_head: bool) -> Header:
  """The same of the version that had the header's coding. model_id: the whole identity, or NO_MODEL."""
  return dataclasses.replace(
    header,
    format_version=header.layout.coding,
    model_id=model_id,
    source_id=header.source_id.ljust(8, b'.'),
    piece_bytes=min(header.piece_bytes, PIECE_BYTES),
    has_canonical_head=has_canonical_head,
  )


def compressed(original: bytes, by: ChunkCoder, level: SegmentSettings = LEVELS[DEFAULT_LEVEL].segments) -> bytes:
  """A file of version 1 to 4, whichever the coder's model was written in."""
  source, target, digest = io.BytesIO(original), io.BytesIO(), hashlib.sha256()
  planned = plan.plan_file(source, 'a file', by.model, level)
  is_plain = not isinstance(planned.layout, ChannelLayout) and can_hold(planned.container, planned.pcm)
  head = original[: planned.head_bytes]
  is_plain = is_plain and head == plain_wav_header(planned.pcm, planned.num_frames)
  model_id = by.model.identity if by.model and planned.model_id else NO_MODEL
  header = fixed_header(planned, model_id, has_canonical_head=is_plain)
  source_id = hashlib.blake2b(original[:SOURCE_BYTES], digest_size=8).digest()
  header = dataclasses.replace(header, source_id=source_id)
  writer = FixedWriter(target, header)
  for chunk in by.encode(read_payloads(source, 'a file', header, digest.update)):
    writer.add(chunk)
  writer.finish(digest.digest())
  return target.getvalue()
