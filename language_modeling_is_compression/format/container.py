"""The .lmic file: a header, chunks, and a footer that says where each chunk is. docs/FORMAT.md has every byte.

Nothing here reads audio or decodes: this module turns fields into bytes and back, and finds chunks, also in a file that
is damaged. A file may come from anywhere: nothing is allocated before the file's own size allows it.
"""

import itertools
import struct
import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from language_modeling_is_compression.errors import DamageError, FormatError
from language_modeling_is_compression.format.compact_frame import CompactFrame
from language_modeling_is_compression.format.fixed_frame import FixedFrame
from language_modeling_is_compression.format.frame import KEY_BYTES, Frame, digest
from language_modeling_is_compression.format.header import Header

# Methods of a chunk.
STORED, LZMA, MODEL, PRIMED = range(4)

_COMPACT = CompactFrame()
_FRAMES: tuple[Frame, ...] = (_COMPACT, FixedFrame())
_TABLE_MAGIC = b'LMICtabl'
_END_MAGIC = b'LMICend\n'
_ENTRY_BYTES = 4
_TABLE_END = struct.Struct('<32sQ')
CHUNK_OVERHEAD_BYTES = _COMPACT.record_bytes + _ENTRY_BYTES  # A chunk's bytes beside its body, in a file of several.


@dataclass(frozen=True, kw_only=True)
class Chunk:
  """method: STORED, LZMA, MODEL or PRIMED. crc32: of the bytes that the body decodes to."""

  method: int
  crc32: int
  body: bytes


class ContainerWriter:
  """Writes a file from its beginning to its end; it never seeks."""

  def __init__(self, file: BinaryIO, header: Header):
    self._file = file
    self._has_table = _COMPACT.has_table(header)
    self._header = _COMPACT.serialize(header)
    self._key = _COMPACT.key(self._header)
    self._sizes = array('I')
    self.bytes_written = 0
    self._write(self._header)

  def add(self, chunk: Chunk) -> None:
    """Writes the next chunk."""
    record = _COMPACT.record(self._key, len(self._sizes), chunk.method, chunk.crc32, chunk.body)
    self._write(record + chunk.body)
    self._sizes.append(len(chunk.body))

  def finish(self, sha256: bytes) -> None:
    """Writes the footer; sha256: of the whole original file."""
    if not self._has_table:
      self._write(_COMPACT.short_footer(self._key, sha256))
      return
    sizes = _little_endian(self._sizes).tobytes()
    footer = (
      _TABLE_MAGIC + self._header + sizes + _TABLE_END.pack(sha256, _footer_bytes(self._header, len(self._sizes)))
    )
    self._write(footer + digest(self._key, footer) + _END_MAGIC)

  def _write(self, data: bytes) -> None:
    self._file.write(data)
    self.bytes_written += len(data)


class _Footer(NamedTuple):
  """A sound footer with a table. header: the copy of the file's. sizes: of the chunks' bodies."""

  frame: Frame
  header: bytes
  sizes: 'array[int]'
  sha256: bytes


class Container:
  """An open .lmic file.

  header: as the file says, from its beginning or from the copy in its footer.
  sha256: of the original file, all of it or, where the file has no table, its first 16 bytes; None if the footer is
  lost.
  problems: what is wrong with the file but for its chunks' contents; empty for a sound one.
  bodies_may_expand: whether bodies may be longer than what they decode to, as no encoder of files writes them
  (`ChunkCoder.model_only` does).

  Raises FormatError if it is not a .lmic file, of another version, or neither header nor its copy is sound.
  """

  def __init__(self, file: BinaryIO, file_bytes: int, *, bodies_may_expand: bool = False):
    self._file = file
    self.file_bytes = file_bytes
    self._bodies_may_expand = bodies_may_expand
    self.problems: list[str] = []
    self.sha256: bytes | None = None
    self._shift = 0  # Bytes that were inserted into the file or, below 0, removed from it.
    footer = self._footer_at_end()
    if found := self._header_at(0):
      self._frame, header = found
    elif footer:
      self._frame, header = footer.frame, footer.header
      self.problems.append('its header is damaged (a copy of it at the end is not)')
    else:
      raise FormatError(_why_no_header(self._read(0, 64)))
    self.header = self._frame.parse(header)
    self._header_bytes = len(header)
    self._key = self._frame.key(header)
    self._check_counts()
    self._starts = array('q')
    self._locate(footer if footer and footer.header == header else None)

  @property
  def num_found(self) -> int:
    """Chunks up to the last one whose place is known: all of them, unless the file is cut off."""
    return len(self._starts)

  def chunk(self, index: int) -> Chunk:
    """Reads and checks one chunk. Raises DamageError, which names it."""
    reason = 'it is not where the file says'
    for position in self._candidates(index):
      data = self._read(position, self._frame.record_bytes)
      if len(data) < self._frame.record_bytes:
        reason = 'the file is cut off before it'
        continue
      record = self._frame.parse_record(data)
      if record.number not in (None, index) or not self._may_have(index, record.body_bytes):
        continue
      body = self._read(position + len(data), record.body_bytes)
      if len(body) < record.body_bytes:
        reason = f'the file is cut off in it, {record.body_bytes - len(body)} bytes are missing'
      elif not self._frame.is_sound(self._key, index, data, body):
        reason = 'its checksum is wrong'
      elif record.method > self._last_method:
        reason = f'it is coded with method {record.method}, which this version does not know'
      else:
        return Chunk(method=record.method, crc32=record.crc32, body=body)
    raise DamageError(f'{self.header.chunk_label(index)} is damaged: {reason}')

  def method(self, index: int) -> int | None:
    """Method of a chunk, as its record says, unchecked; None if there is no such record."""
    for position in self._candidates(index):
      data = self._read(position, self._frame.record_bytes)
      if len(data) == self._frame.record_bytes:
        record = self._frame.parse_record(data)
        is_this = record.number in (None, index) and record.method <= self._last_method
        if is_this and self._may_have(index, record.body_bytes):
          return record.method
    return None

  @property
  def _last_method(self) -> int:
    return PRIMED if self._frame is _COMPACT else MODEL

  def _may_have(self, index: int, body_bytes: int) -> bool:
    return self._bodies_may_expand or body_bytes <= self.header.payload_bytes(index)

  def _candidates(self, index: int) -> list[int]:
    """Positions where a chunk may begin: as far from the beginning, or from the end, as the chunks around it say."""
    if index >= len(self._starts):
      return []
    start = self._starts[index]
    return [start, start + self._shift] if self._shift else [start]

  def _locate(self, footer: _Footer | None) -> None:
    """Finds the chunks, by the footer's table or, without it, one after the other."""
    num_chunks = self.header.num_chunks
    if footer is None:
      end = self._walk()
      if len(self._starts) < num_chunks:
        where = f'{self.header.chunk_label(len(self._starts))} is the first that is not there'
        self.problems.append(f'{self._end_is_damaged()}; {where}')
        return
      surplus = self._read_sha256(end)
      if surplus is None:
        self.problems.append(self._end_is_damaged())
      elif surplus:
        self.problems.append(f'{surplus} bytes follow its end')
      return
    self.sha256 = footer.sha256
    sizes_with_records = (size + self._frame.record_bytes for size in footer.sizes)
    self._starts = array('q', itertools.accumulate(sizes_with_records, initial=self._header_bytes))
    end = self._starts.pop()
    self._shift = self.file_bytes - _footer_bytes(footer.header, num_chunks) - end
    if self._shift:
      more = 'more' if self._shift > 0 else 'fewer'
      self.problems.append(
        f'it has {abs(self._shift)} bytes {more} than its table of chunks says, {self._first_misplaced()}'
      )

  def _end_is_damaged(self) -> str:
    what = 'table of chunks' if self._frame.has_table(self.header) else 'hash of the original'
    return f'its end, with the {what}, is damaged or cut off'

  def _read_sha256(self, end: int) -> int | None:
    """Reads the hash from the footer that follows the chunks; the number of bytes behind it, None if it is damaged."""
    if self._frame is _COMPACT and not _COMPACT.has_table(self.header):
      footer = self._read(end, _COMPACT.short_footer_bytes)
      self.sha256 = _COMPACT.parse_short_footer(self._key, footer)
      return self.file_bytes - end - len(footer) if self.sha256 else None
    found = self._footer_at(end, self.file_bytes)
    if found is None:
      return None
    self.sha256 = found.sha256
    return self.file_bytes - end - _footer_bytes(found.header, len(found.sizes))

  def _first_misplaced(self) -> str:
    for index, start in enumerate(self._starts):
      data = self._read(start, self._frame.record_bytes)
      record = self._frame.parse_record(data) if len(data) == self._frame.record_bytes else None
      if record and record.number is None and self._may_have(index, record.body_bytes):
        body = self._read(start + len(data), record.body_bytes)
        in_place = self._frame.is_sound(self._key, index, data, body)
      else:
        in_place = record is not None and record.number == index
      if not in_place:
        return f'{self.header.chunk_label(index)} is the first that is not in its place'
    return 'after its last chunk'

  def _walk(self) -> int:
    """Follows the chunks' own sizes as far as they lead; returns the position after the last one found."""
    self._starts = array('q')
    position = self._header_bytes
    for index in range(self.header.num_chunks):
      data = self._read(position, self._frame.record_bytes)
      if len(data) < self._frame.record_bytes:
        break
      record = self._frame.parse_record(data)
      if record.number not in (None, index) or not self._may_have(index, record.body_bytes):
        break
      self._starts.append(position)
      position += len(data) + record.body_bytes
    return position

  def _check_counts(self) -> None:
    """Raises FormatError if the header claims more chunks than their numbers can count."""
    num_chunks = self.header.num_chunks
    if num_chunks >= 1 << 32:
      raise FormatError(f'its header claims {num_chunks} chunks, more than a file can have')

  def _header_at(self, position: int) -> tuple[Frame, bytes] | None:
    """A sound header at a position, and its frame."""
    for frame in _FRAMES:
      if (header := frame.header_at(self._read, position)) is not None:
        return frame, header
    return None

  def _footer_at_end(self) -> _Footer | None:
    """The footer, if the file ends with a sound one that has a table."""
    tail_bytes = _TABLE_END.size + KEY_BYTES + len(_END_MAGIC)
    tail = self._read(max(0, self.file_bytes - tail_bytes), tail_bytes)
    if len(tail) < tail_bytes or not tail.endswith(_END_MAGIC):
      return None
    footer_bytes = _TABLE_END.unpack(tail[: _TABLE_END.size])[1]
    if not 0 < footer_bytes <= self.file_bytes:
      return None
    return self._footer_at(self.file_bytes - footer_bytes, self.file_bytes)

  def _footer_at(self, position: int, end: int) -> _Footer | None:
    """A sound footer with a table at a position, in the bytes before end."""
    if self._read(position, len(_TABLE_MAGIC)) != _TABLE_MAGIC:
      return None
    found = self._header_at(position + len(_TABLE_MAGIC))
    if found is None:
      return None
    frame, header = found
    parsed = frame.parse(header)
    footer_bytes = _footer_bytes(header, parsed.num_chunks)
    if not frame.has_table(parsed) or position + footer_bytes > end:
      return None
    footer = self._read(position, footer_bytes)
    checked = footer[: -KEY_BYTES - len(_END_MAGIC)]
    if footer != checked + digest(frame.key(header), checked) + _END_MAGIC:
      return None
    sizes = array('I', checked[len(_TABLE_MAGIC) + len(header) : -_TABLE_END.size])
    return _Footer(frame, header, _little_endian(sizes), _TABLE_END.unpack(checked[-_TABLE_END.size :])[0])

  def _read(self, position: int, count: int) -> bytes:
    """Bytes position : position + count, fewer at the end of the file."""
    count = min(count, self.file_bytes - position)
    if position < 0 or count <= 0:
      return b''
    self._file.seek(position)
    return self._file.read(count)


def _footer_bytes(header: bytes, num_chunks: int) -> int:
  """Bytes of a footer with a table."""
  end_bytes = _TABLE_END.size + KEY_BYTES + len(_END_MAGIC)
  return len(_TABLE_MAGIC) + len(header) + _ENTRY_BYTES * num_chunks + end_bytes


def is_packed(beginning: bytes) -> bool:
  """Whether a file that begins so is a .lmic file, of whatever version."""
  return beginning.startswith(CompactFrame.MAGIC[:5])


def _why_no_header(beginning: bytes) -> str:
  if not beginning:
    return 'not a .lmic file: it is empty'
  if is_packed(beginning):
    if beginning[5:6] and beginning[5] not in (CompactFrame.MAGIC[5], FixedFrame.MAGIC[5]):
      return f'it is of format version {beginning[5]}, or its header is damaged: update this program'
    return 'its header is damaged or cut off, and so is the copy at the end: nothing can be decoded without it'
  return f'not a .lmic file: it begins with {beginning[:8]!r}'


def _little_endian(numbers: 'array[int]') -> 'array[int]':
  """Numbers as a file has them, from numbers as the machine has them, or the other way round."""
  if sys.byteorder == 'big':
    numbers = numbers[:]
    numbers.byteswap()
  return numbers


def count_fallbacks(header: Header, methods: Iterable[int | None]) -> int:
  """Chunks of sound that a file's model did not code, since something else was smaller; 0 in a file without a model.

  methods: of its chunks from the first on, None for one that is not known and does not count.
  """
  if not any(header.model_id):
    return 0
  return sum(
    method is not None and method != MODEL and header.span_of(index) is not None for index, method in enumerate(methods)
  )
