"""The two frames of .lmic files, by what tests need of each: how it is written, where its parts are, and how its checks
are put right.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.compact_frame import CompactFrame
from language_modeling_is_compression.format.container import Chunk, Container, ContainerWriter
from language_modeling_is_compression.format.frame import digest
from language_modeling_is_compression.format.header import Header
from support import fixed_files

TABLE_MAGIC = b'LMICtabl'
_COMPACT = CompactFrame()
_LENGTH_END = 8  # Of the field of a compact header that says how long it is.
_SHORT_FOOTER_BYTES = 20


class Writer(Protocol):
  """`ContainerWriter`, or its like."""

  bytes_written: int

  def add(self, chunk: Chunk) -> None: ...

  def finish(self, sha256: bytes) -> None: ...


@dataclass(frozen=True)
class WrittenFrame:
  """A frame. check_bytes: of a record's check. method_at, size_at: places of fields in a record."""

  serialize: Callable[[Header], bytes]
  writer: Callable[[BinaryIO, Header], Writer]
  record_bytes: int
  check_bytes: int
  method_at: int
  size_at: int


FIXED = WrittenFrame(fixed_files.serialize, fixed_files.FixedWriter, fixed_files.RECORD_BYTES, 8, 4, 5)
COMPACT = WrittenFrame(_COMPACT.serialize, ContainerWriter, 13, 4, 0, 1)


def frame_of(data: bytes) -> WrittenFrame:
  """The frame of a file."""
  return COMPACT if data.startswith(CompactFrame.MAGIC) else FIXED


def header_bytes(data: bytes) -> int:
  """Length of the header that bytes begin with, as it says."""
  if frame_of(data) is FIXED:
    return fixed_files.HEADER_BYTES
  return _LENGTH_END + int.from_bytes(data[_LENGTH_END - 2 : _LENGTH_END], 'little') + COMPACT.check_bytes


def starts(data: bytes) -> list[int]:
  """Where each chunk of a sound file begins, and in the end where the footer does."""
  found = [header_bytes(data)]
  for _ in range(Container(io.BytesIO(data), len(data)).header.num_chunks):
    found.append(_end_of_chunk(data, found[-1]))
  return found


def damaged_in(data: bytes, *chunks: int) -> bytes:
  """A sound file with the last byte of these chunks' bodies changed."""
  changed, ends = bytearray(data), starts(data)[1:]
  for index in chunks:
    changed[ends[index] - 1] ^= 1
  return bytes(changed)


def sealed(data: bytes) -> bytes:
  """The same file with the checks of header, chunks and footer put right, as far as they can be found."""
  frame, changed, length = frame_of(data), bytearray(data), header_bytes(data)
  if len(data) < length:
    return bytes(data)
  changed[length - frame.check_bytes : length] = digest(b'', data[: length - frame.check_bytes])[: frame.check_bytes]
  header = bytes(changed[:length])
  if frame is FIXED:
    key, num_chunks = header[-8:], len(data)
  else:
    key = digest(b'', header)
    try:
      num_chunks = _COMPACT.parse(header).num_chunks
    except FormatError:
      return bytes(changed)
  position, index = length, 0
  while index < num_chunks and (end := _end_of_chunk(data, position)) <= len(data):
    if data.startswith(TABLE_MAGIC, position):
      break
    body = position + frame.record_bytes
    number = b'' if frame is FIXED else index.to_bytes(8, 'little')
    check = digest(key, number, bytes(changed[position : body - frame.check_bytes]), bytes(changed[body:end]))
    changed[body - frame.check_bytes : body] = check[: frame.check_bytes]
    position, index = end, index + 1
  if data.startswith(TABLE_MAGIC, position) and len(data) >= position + len(TABLE_MAGIC) + length + 56:
    changed[position + len(TABLE_MAGIC) : position + len(TABLE_MAGIC) + length] = header
    changed[-16:-8] = digest(key, bytes(changed[position:-16]))
  elif frame is COMPACT and len(data) >= position + _SHORT_FOOTER_BYTES:
    check_at = position + _SHORT_FOOTER_BYTES - frame.check_bytes
    changed[check_at : check_at + frame.check_bytes] = digest(key, bytes(changed[position:check_at]))[:4]
  return bytes(changed)


def _end_of_chunk(data: bytes, position: int) -> int:
  """Where a chunk ends as its record says; behind the end of the data if there is no record."""
  frame = frame_of(data)
  if position + frame.record_bytes > len(data):
    return len(data) + 1
  size: int = struct.unpack_from('<I', data, position + frame.size_at)[0]
  return position + frame.record_bytes + size
