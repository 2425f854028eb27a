"""The .lmic file: a header, chunks, and a footer that says where each chunk is. docs/FORMAT.md has every byte.

Nothing here reads audio or decodes: this module turns fields into bytes and back, and finds chunks, also in a file that
is damaged. A file may come from anywhere: nothing is allocated before the file's own size allows it.
"""

import hashlib
import struct
from array import array
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from language_modeling_is_compression.errors import DamageError, FormatError

FORMAT_VERSION = 1

# Sample kinds.
NO_SAMPLES, INTEGER, FLOAT = range(3)
# Methods of a chunk.
STORED, LZMA, MODEL = range(3)

# Limits of what a small file can make a decoder do.
MAX_CHUNK_FRAMES = 1 << 16
MAX_SPAN_BYTES = 1 << 22  # Of the frames of one span, all channels.
MAX_PIECE_BYTES = 1 << 20

_MAGIC = b'\x8bLMIC\r\n\x1a'
_FOOTER_MAGIC = b'LMICtabl'
_END_MAGIC = b'LMICend\n'
_CHECK_BYTES = 8
_HEADER = struct.Struct('<8sHBBHHIIIQQQ32s8s')
_HEADER_BYTES = _HEADER.size + _CHECK_BYTES
_RECORD = struct.Struct('<IBII')
_RECORD_BYTES = _RECORD.size + _CHECK_BYTES
_ENTRY_BYTES = 4
CHUNK_OVERHEAD_BYTES = _RECORD_BYTES + _ENTRY_BYTES  # What a chunk takes beside its body.
_FOOTER_END = struct.Struct('<32sQ')
_FOOTER_REST = len(_FOOTER_MAGIC) + _HEADER_BYTES + _FOOTER_END.size + _CHECK_BYTES + len(_END_MAGIC)


@dataclass(frozen=True, kw_only=True)
class Header:
  """What the original file is made of: head_bytes, then frames of samples, then tail_bytes.

  sample_kind: NO_SAMPLES (then the fields about samples are 0 and all of the file is its head), INTEGER (8-bit
  unsigned, wider signed) or FLOAT, little-endian.
  chunk_frames: frames of a span; a chunk holds one channel of it. piece_bytes: of head or tail in a chunk.
  model_id: identity of the network that chunks may be coded with, or zeros.
  source_id: says which file this is, so that a chunk of another one is not taken for its own.
  """

  sample_kind: int
  sample_bytes: int
  num_channels: int
  sample_rate_hz: int
  chunk_frames: int
  piece_bytes: int
  head_bytes: int
  num_frames: int
  tail_bytes: int
  model_id: bytes
  source_id: bytes

  @property
  def frame_bytes(self) -> int:
    return self.sample_bytes * self.num_channels

  @property
  def original_bytes(self) -> int:
    return self.head_bytes + self.num_frames * self.frame_bytes + self.tail_bytes

  @property
  def num_head_chunks(self) -> int:
    return -(-self.head_bytes // self.piece_bytes)

  @property
  def num_spans(self) -> int:
    return -(-self.num_frames // self.chunk_frames) if self.num_frames else 0

  @property
  def num_tail_chunks(self) -> int:
    return -(-self.tail_bytes // self.piece_bytes)

  @property
  def num_chunks(self) -> int:
    return self.num_head_chunks + self.num_spans * self.num_channels + self.num_tail_chunks

  def span_frames(self, span: int) -> int:
    """Frames of a span: chunk_frames, fewer for the last one."""
    return min(self.chunk_frames, self.num_frames - span * self.chunk_frames)

  def payload_bytes(self, index: int) -> int:
    """Bytes that a chunk decodes to."""
    audio = index - self.num_head_chunks
    if audio < 0:
      return min(self.piece_bytes, self.head_bytes - index * self.piece_bytes)
    if audio < self.num_spans * self.num_channels:
      return self.span_frames(audio // self.num_channels) * self.sample_bytes
    piece = audio - self.num_spans * self.num_channels
    return min(self.piece_bytes, self.tail_bytes - piece * self.piece_bytes)

  def describe(self, index: int) -> str:
    """Where a chunk is, for people: 'chunk 7 (samples of channel 1, 3.1 to 4.2 seconds)'."""
    audio = index - self.num_head_chunks
    if not 0 <= audio < self.num_spans * self.num_channels:
      return f'chunk {index} (bytes {"before" if audio < 0 else "after"} the samples)'
    span, channel = divmod(audio, self.num_channels)
    first = span * self.chunk_frames
    last = first + self.span_frames(span)
    if not self.sample_rate_hz:
      return f'chunk {index} (channel {channel}, frames {first} to {last})'
    seconds = f'{first / self.sample_rate_hz:.2f} to {last / self.sample_rate_hz:.2f} s'
    return f'chunk {index} (channel {channel}, {seconds})'


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
    self._write(record + _check(_key(self._header), record, chunk.body) + chunk.body)
    self._sizes.append(len(chunk.body))

  def finish(self, sha256: bytes) -> None:
    """Writes the footer; sha256: of the whole original file."""
    sizes = np.frombuffer(self._sizes, np.uint32).astype('<u4').tobytes() if self._sizes else b''
    footer_bytes = _FOOTER_REST + len(sizes)
    footer = _FOOTER_MAGIC + self._header + sizes + _FOOTER_END.pack(sha256, footer_bytes)
    self._write(footer + _check(_key(self._header), footer) + _END_MAGIC)

  def _write(self, data: bytes) -> None:
    self._file.write(data)
    self.bytes_written += len(data)


class Container:
  """An open .lmic file.

  header: as the file says, from its beginning or from the copy in its footer.
  sha256: of the original file, or None if the footer is lost.
  problems: what is wrong with the file but for its chunks' contents; empty for a sound one.

  Raises FormatError if it is not a .lmic file, of another version, or neither header nor its copy is sound.
  """

  def __init__(self, file: BinaryIO, file_bytes: int):
    self._file = file
    self.file_bytes = file_bytes
    self.problems: list[str] = []
    self.sha256: bytes | None = None
    self._moved = 0  # Bytes that somebody put into the file, or (below 0) took out.
    beginning = self._read(0, _HEADER_BYTES)
    footer = self._footer_at_end()
    if _is_sound_header(beginning):
      header = beginning
    elif footer:
      header = footer[:_HEADER_BYTES]
      self.problems.append('its header is damaged (a copy of it at the end is not)')
    else:
      raise FormatError(_why_no_header(beginning))
    self.header = parse_header(header)
    self._key = _key(header)
    self._check_counts()
    self._starts = np.zeros(0, np.int64)
    self._locate(footer if footer and footer[:_HEADER_BYTES] == header else None)

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
      if number != index or body_bytes > self.header.payload_bytes(index):
        continue
      body = self._read(position + _RECORD_BYTES, body_bytes)
      if len(body) < body_bytes:
        reason = f'the file is cut off in it, {body_bytes - len(body)} bytes are missing'
      elif _check(self._key, record[: _RECORD.size], body) != record[_RECORD.size :]:
        reason = 'its checksum is wrong'
      elif method > MODEL:
        reason = f'it is coded with method {method}, which this version does not know'
      else:
        return Chunk(method=method, crc32=crc32, body=body)
    raise DamageError(f'{self.header.describe(index)} is damaged: {reason}')

  def _candidates(self, index: int) -> list[int]:
    """Where a chunk may begin: as far from the beginning, or from the end, as the chunks around it say."""
    if index >= len(self._starts):
      return []
    start = int(self._starts[index])
    return [start, start + self._moved] if self._moved else [start]

  def _locate(self, footer: bytes | None) -> None:
    """Finds the chunks, by the footer's table or, without it, one after the other."""
    num_chunks = self.header.num_chunks
    if footer is None:
      end = self._walk()
      if len(self._starts) < num_chunks:
        where = f'{self.header.describe(len(self._starts))} is the first that is not there'
        self.problems.append(f'its end, with the table of chunks, is damaged or cut off; {where}')
      elif found := self._footer_at(end, self.file_bytes):
        self.sha256 = _sha256(found)
        surplus = self.file_bytes - end - _FOOTER_REST - _ENTRY_BYTES * num_chunks
        self.problems.append(f'{surplus} bytes follow its end')
      else:
        self.problems.append('its end, with the table of chunks, is damaged or cut off')
      return
    self.sha256 = _sha256(footer)
    table = np.frombuffer(footer[_HEADER_BYTES : -_FOOTER_END.size], '<u4')
    ends = _HEADER_BYTES + np.cumsum(table.astype(np.int64) + _RECORD_BYTES)
    self._starts = np.concatenate([[_HEADER_BYTES], ends])[:-1]
    end = int(ends[-1]) if num_chunks else _HEADER_BYTES
    self._moved = self.file_bytes - _FOOTER_REST - _ENTRY_BYTES * num_chunks - end
    if self._moved:
      more = 'more' if self._moved > 0 else 'fewer'
      self.problems.append(
        f'it has {abs(self._moved)} bytes {more} than its table of chunks says, {self._first_misplaced()}'
      )

  def _first_misplaced(self) -> str:
    for index, start in enumerate(self._starts):
      if self._read(int(start), 4) != index.to_bytes(4, 'little'):
        return f'{self.header.describe(index)} is the first that is not in its place'
    return 'after its last chunk'

  def _walk(self) -> int:
    """Follows the chunks' own sizes as far as they lead; returns the position after the last one found."""
    starts = array('q')
    position = _HEADER_BYTES
    for index in range(self.header.num_chunks):
      record = self._read(position, _RECORD_BYTES)
      if len(record) < _RECORD_BYTES:
        break
      number, _, body_bytes, _ = _RECORD.unpack(record[: _RECORD.size])
      if number != index or body_bytes > self.header.payload_bytes(index):
        break
      starts.append(position)
      position += _RECORD_BYTES + body_bytes
    self._starts = np.frombuffer(starts, np.int64) if starts else np.zeros(0, np.int64)
    return position

  def _check_counts(self) -> None:
    """Raises FormatError if the header claims more chunks than their numbers can count."""
    num_chunks = self.header.num_chunks
    if num_chunks >= 1 << 32:
      raise FormatError(f'its header claims {num_chunks} chunks, more than a file can have')

  def _footer_at_end(self) -> bytes | None:
    """Header, table and hash from the footer, if the file ends with a sound one."""
    tail_bytes = _FOOTER_END.size + _CHECK_BYTES + len(_END_MAGIC)
    tail = self._read(max(0, self.file_bytes - tail_bytes), tail_bytes)
    if len(tail) < tail_bytes or not tail.endswith(_END_MAGIC):
      return None
    footer_bytes = _FOOTER_END.unpack(tail[: _FOOTER_END.size])[1]
    if not _FOOTER_REST <= footer_bytes <= self.file_bytes:
      return None
    return self._footer_at(self.file_bytes - footer_bytes, self.file_bytes)

  def _footer_at(self, position: int, end: int) -> bytes | None:
    """Header, table and hash of a sound footer at a position, in the bytes before end."""
    beginning = self._read(position, len(_FOOTER_MAGIC) + _HEADER_BYTES)
    header = beginning[len(_FOOTER_MAGIC) :]
    if not beginning.startswith(_FOOTER_MAGIC) or not _is_sound_header(header):
      return None
    footer_bytes = _FOOTER_REST + _ENTRY_BYTES * parse_header(header).num_chunks
    if position + footer_bytes > end:
      return None
    footer = self._read(position, footer_bytes)
    checked = footer[: -_CHECK_BYTES - len(_END_MAGIC)]
    if footer != checked + _check(_key(header), checked) + _END_MAGIC:
      return None
    return checked[len(_FOOTER_MAGIC) :]

  def _read(self, position: int, count: int) -> bytes:
    """Bytes position : position + count, fewer at the end of the file."""
    count = min(count, self.file_bytes - position)
    if position < 0 or count <= 0:
      return b''
    self._file.seek(position)
    return self._file.read(count)


def serialize_header(header: Header) -> bytes:
  fields = _HEADER.pack(
    _MAGIC,
    FORMAT_VERSION,
    header.sample_kind,
    header.sample_bytes,
    header.num_channels,
    0,
    header.sample_rate_hz,
    header.chunk_frames,
    header.piece_bytes,
    header.head_bytes,
    header.num_frames,
    header.tail_bytes,
    header.model_id,
    header.source_id,
  )
  return fields + _check(b'', fields)


def parse_header(data: bytes) -> Header:
  """The fields of a header whose checksum is right. Raises FormatError if they contradict each other."""
  (
    _,
    version,
    kind,
    sample_bytes,
    channels,
    reserved,
    rate,
    chunk_frames,
    piece_bytes,
    head,
    frames,
    tail,
    model,
    source,
  ) = _HEADER.unpack(data[: _HEADER.size])
  if version != FORMAT_VERSION:
    raise FormatError(f'it is of format version {version}, this program reads version {FORMAT_VERSION}: update it')
  header = Header(
    sample_kind=kind,
    sample_bytes=sample_bytes,
    num_channels=channels,
    sample_rate_hz=rate,
    chunk_frames=chunk_frames,
    piece_bytes=piece_bytes,
    head_bytes=head,
    num_frames=frames,
    tail_bytes=tail,
    model_id=model,
    source_id=source,
  )
  widths = {NO_SAMPLES: (0,), INTEGER: (1, 2, 3, 4), FLOAT: (4, 8)}
  has_samples = kind != NO_SAMPLES
  sound = (
    reserved == 0
    and sample_bytes in widths.get(kind, ())
    and (channels > 0) == has_samples
    and (chunk_frames > 0) == has_samples
    and (has_samples or (frames, rate, tail) == (0, 0, 0))
    and chunk_frames <= MAX_CHUNK_FRAMES
    and chunk_frames * header.frame_bytes <= MAX_SPAN_BYTES
    and 0 < piece_bytes <= MAX_PIECE_BYTES
  )
  if not sound:
    raise FormatError('its header contradicts itself: no program of this version wrote it')
  return header


def _is_sound_header(data: bytes) -> bool:
  """Whether it is a header whose checksum is right, of whatever version."""
  return (
    len(data) == _HEADER_BYTES and data.startswith(_MAGIC) and data[_HEADER.size :] == _check(b'', data[: _HEADER.size])
  )


def _why_no_header(beginning: bytes) -> str:
  if not beginning:
    return 'not a .lmic file: it is empty'
  if beginning.startswith(_MAGIC[:5]):
    return 'its header is damaged or cut off, and so is the copy at the end: nothing can be decoded without it'
  return f'not a .lmic file: it begins with {beginning[:8]!r}'


def _sha256(footer: bytes) -> bytes:
  return _FOOTER_END.unpack(footer[-_FOOTER_END.size :])[0]


def _key(header: bytes) -> bytes:
  """What ties a file's checksums to its header."""
  return header[_HEADER.size :]


def _check(key: bytes, *parts: bytes) -> bytes:
  digest = hashlib.blake2b(digest_size=_CHECK_BYTES, key=key)
  for part in parts:
    digest.update(part)
  return digest.digest()
