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
from typing import BinaryIO

from language_modeling_is_compression.errors import DamageError, FormatError
from language_modeling_is_compression.format.header import (
  CHECK_BYTES,
  HEADER_BYTES,
  MAGIC,
  Header,
  checksum,
  file_key,
  is_sound_header,
  parse_header,
  serialize_header,
)

# Methods of a chunk.
STORED, LZMA, MODEL = range(3)

_FOOTER_MAGIC = b'LMICtabl'
_END_MAGIC = b'LMICend\n'
_RECORD = struct.Struct('<IBII')
_RECORD_BYTES = _RECORD.size + CHECK_BYTES
_ENTRY_BYTES = 4
CHUNK_OVERHEAD_BYTES = _RECORD_BYTES + _ENTRY_BYTES  # A chunk's bytes beside its body.
_FOOTER_END = struct.Struct('<32sQ')
_FOOTER_REST = len(_FOOTER_MAGIC) + HEADER_BYTES + _FOOTER_END.size + CHECK_BYTES + len(_END_MAGIC)


@dataclass(frozen=True, kw_only=True)
class Chunk:
  """method: STORED, LZMA or MODEL. crc32: of the bytes that the body decodes to."""

  method: int
  crc32: int
  body: bytes


class ContainerWriter:
  """Writes a file from its beginning to its end; it never seeks."""

  def __init__(self, file: BinaryIO, header: Header):
    self._file = file
    self._header = serialize_header(header)
    self._sizes = array('I')
    self.bytes_written = 0
    self._write(self._header)

  def add(self, chunk: Chunk) -> None:
    """Writes the next chunk."""
    record = _RECORD.pack(len(self._sizes), chunk.method, len(chunk.body), chunk.crc32)
    self._write(record + checksum(file_key(self._header), record, chunk.body) + chunk.body)
    self._sizes.append(len(chunk.body))

  def finish(self, sha256: bytes) -> None:
    """Writes the footer; sha256: of the whole original file."""
    sizes = _little_endian(self._sizes).tobytes()
    footer_bytes = _FOOTER_REST + len(sizes)
    footer = _FOOTER_MAGIC + self._header + sizes + _FOOTER_END.pack(sha256, footer_bytes)
    self._write(footer + checksum(file_key(self._header), footer) + _END_MAGIC)

  def _write(self, data: bytes) -> None:
    self._file.write(data)
    self.bytes_written += len(data)


class Container:
  """An open .lmic file.

  header: as the file says, from its beginning or from the copy in its footer.
  sha256: of the original file, or None if the footer is lost.
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
    beginning = self._read(0, HEADER_BYTES)
    footer = self._footer_at_end()
    if is_sound_header(beginning):
      header = beginning
    elif footer:
      header = footer[:HEADER_BYTES]
      self.problems.append('its header is damaged (a copy of it at the end is not)')
    else:
      raise FormatError(_why_no_header(beginning))
    self.header = parse_header(header)
    self._key = file_key(header)
    self._check_counts()
    self._starts = array('q')
    self._locate(footer if footer and footer[:HEADER_BYTES] == header else None)

  @property
  def num_found(self) -> int:
    """Chunks up to the last one whose place is known: all of them, unless the file is cut off."""
    return len(self._starts)

  def chunk(self, index: int) -> Chunk:
    """Reads and checks one chunk. Raises DamageError, which names it."""
    reason = 'it is not where the file says'
    for position in self._candidates(index):
      record = self._read(position, _RECORD_BYTES)
      if len(record) < _RECORD_BYTES:
        reason = 'the file is cut off before it'
        continue
      number, method, body_bytes, crc32 = _RECORD.unpack(record[: _RECORD.size])
      if number != index or not self._may_have(index, body_bytes):
        continue
      body = self._read(position + _RECORD_BYTES, body_bytes)
      if len(body) < body_bytes:
        reason = f'the file is cut off in it, {body_bytes - len(body)} bytes are missing'
      elif checksum(self._key, record[: _RECORD.size], body) != record[_RECORD.size :]:
        reason = 'its checksum is wrong'
      elif method > MODEL:
        reason = f'it is coded with method {method}, which this version does not know'
      else:
        return Chunk(method=method, crc32=crc32, body=body)
    raise DamageError(f'{self.header.chunk_label(index)} is damaged: {reason}')

  def method(self, index: int) -> int | None:
    """Method of a chunk, as its record says, unchecked; None if there is no such record."""
    for position in self._candidates(index):
      record = self._read(position, _RECORD.size)
      if len(record) == _RECORD.size:
        number, method, body_bytes, _ = _RECORD.unpack(record)
        if number == index and method <= MODEL and self._may_have(index, body_bytes):
          return method
    return None

  def _may_have(self, index: int, body_bytes: int) -> bool:
    return self._bodies_may_expand or body_bytes <= self.header.payload_bytes(index)

  def _candidates(self, index: int) -> list[int]:
    """Positions where a chunk may begin: as far from the beginning, or from the end, as the chunks around it say."""
    if index >= len(self._starts):
      return []
    start = self._starts[index]
    return [start, start + self._shift] if self._shift else [start]

  def _locate(self, footer: bytes | None) -> None:
    """Finds the chunks, by the footer's table or, without it, one after the other."""
    num_chunks = self.header.num_chunks
    if footer is None:
      end = self._walk()
      if len(self._starts) < num_chunks:
        where = f'{self.header.chunk_label(len(self._starts))} is the first that is not there'
        self.problems.append(f'its end, with the table of chunks, is damaged or cut off; {where}')
      elif found := self._footer_at(end, self.file_bytes):
        self.sha256 = _sha256(found)
        surplus = self.file_bytes - end - _FOOTER_REST - _ENTRY_BYTES * num_chunks
        self.problems.append(f'{surplus} bytes follow its end')
      else:
        self.problems.append('its end, with the table of chunks, is damaged or cut off')
      return
    self.sha256 = _sha256(footer)
    sizes = _little_endian(array('I', footer[HEADER_BYTES : -_FOOTER_END.size]))
    sizes_with_records = (size + _RECORD_BYTES for size in sizes)
    self._starts = array('q', itertools.accumulate(sizes_with_records, initial=HEADER_BYTES))
    end = self._starts.pop()
    self._shift = self.file_bytes - _FOOTER_REST - _ENTRY_BYTES * num_chunks - end
    if self._shift:
      more = 'more' if self._shift > 0 else 'fewer'
      self.problems.append(
        f'it has {abs(self._shift)} bytes {more} than its table of chunks says, {self._first_misplaced()}'
      )

  def _first_misplaced(self) -> str:
    for index, start in enumerate(self._starts):
      if self._read(start, 4) != index.to_bytes(4, 'little'):
        return f'{self.header.chunk_label(index)} is the first that is not in its place'
    return 'after its last chunk'

  def _walk(self) -> int:
    """Follows the chunks' own sizes as far as they lead; returns the position after the last one found."""
    self._starts = array('q')
    position = HEADER_BYTES
    for index in range(self.header.num_chunks):
      record = self._read(position, _RECORD_BYTES)
      if len(record) < _RECORD_BYTES:
        break
      number, _, body_bytes, _ = _RECORD.unpack(record[: _RECORD.size])
      if number != index or not self._may_have(index, body_bytes):
        break
      self._starts.append(position)
      position += _RECORD_BYTES + body_bytes
    return position

  def _check_counts(self) -> None:
    """Raises FormatError if the header claims more chunks than their numbers can count."""
    num_chunks = self.header.num_chunks
    if num_chunks >= 1 << 32:
      raise FormatError(f'its header claims {num_chunks} chunks, more than a file can have')

  def _footer_at_end(self) -> bytes | None:
    """Header, table and hash from the footer, if the file ends with a sound one."""
    tail_bytes = _FOOTER_END.size + CHECK_BYTES + len(_END_MAGIC)
    tail = self._read(max(0, self.file_bytes - tail_bytes), tail_bytes)
    if len(tail) < tail_bytes or not tail.endswith(_END_MAGIC):
      return None
    footer_bytes = _FOOTER_END.unpack(tail[: _FOOTER_END.size])[1]
    if not _FOOTER_REST <= footer_bytes <= self.file_bytes:
      return None
    return self._footer_at(self.file_bytes - footer_bytes, self.file_bytes)

  def _footer_at(self, position: int, end: int) -> bytes | None:
    """Header, table and hash of a sound footer at a position, in the bytes before end."""
    beginning = self._read(position, len(_FOOTER_MAGIC) + HEADER_BYTES)
    header = beginning[len(_FOOTER_MAGIC) :]
    if not beginning.startswith(_FOOTER_MAGIC) or not is_sound_header(header):
      return None
    footer_bytes = _FOOTER_REST + _ENTRY_BYTES * parse_header(header).num_chunks
    if position + footer_bytes > end:
      return None
    footer = self._read(position, footer_bytes)
    checked = footer[: -CHECK_BYTES - len(_END_MAGIC)]
    if footer != checked + checksum(file_key(header), checked) + _END_MAGIC:
      return None
    return checked[len(_FOOTER_MAGIC) :]

  def _read(self, position: int, count: int) -> bytes:
    """Bytes position : position + count, fewer at the end of the file."""
    count = min(count, self.file_bytes - position)
    if position < 0 or count <= 0:
      return b''
    self._file.seek(position)
    return self._file.read(count)


def _why_no_header(beginning: bytes) -> str:
  if not beginning:
    return 'not a .lmic file: it is empty'
  if beginning.startswith(MAGIC[:5]):
    return 'its header is damaged or cut off, and so is the copy at the end: nothing can be decoded without it'
  return f'not a .lmic file: it begins with {beginning[:8]!r}'


def _sha256(footer: bytes) -> bytes:
  return _FOOTER_END.unpack(footer[-_FOOTER_END.size :])[0]


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
