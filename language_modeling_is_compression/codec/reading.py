"""Reading of a file that is compressed, in payloads, and where between its frames the gaps are."""

import hashlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from language_modeling_is_compression.codec.plan import changed
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.format.payloads import Payload, Raw


def read_payloads(source: BinaryIO, name: str, header: Header, seen: Callable[[bytes], object]) -> Iterator[Payload]:
  """Reads a file in payloads, from its beginning to its end, and before that its gaps; `seen` is given all its bytes.

  Raises AudioFormatError if it has changed since the header was made.
  """

  def read(count: int) -> bytes:
    data = source.read(count)
    if len(data) != count:
      raise changed(name)
    seen(data)
    return data

  def pieces(count: int, read: Callable[[int], bytes]) -> Iterator[Payload]:
    for start in range(0, count, header.piece_bytes):
      data = read(min(header.piece_bytes, count - start))
      yield Raw(data=data, dictionary=header.dictionary)

  pcm, gaps = header.pcm, b''
  if header.has_canonical_head:
    if read(header.head_bytes) != header.surroundings().head:
      raise changed(name)
  elif not header.gaps:
    yield from pieces(header.bytes_before, read)
  else:
    ahead = _ReadAhead(source, name, header)
    yield from pieces(header.bytes_before, ahead.read)
    gaps, head = ahead.gaps, hashlib.blake2b()
    source.seek(0)
    for start in range(0, header.head_bytes, header.piece_bytes):
      head.update(read(min(header.piece_bytes, header.head_bytes - start)))
    if head.digest() != ahead.head.digest():
      raise changed(name)
  for span in range(header.num_spans):
    parts = []
    for num_frames, gap in stretches(header, span):
      parts.append(read(num_frames * pcm.frame_bytes))
      if read(gap.stop - gap.start) != gaps[gap]:
        raise changed(name)
    yield from header.split_span(b''.join(parts))
  if header.has_canonical_tail:
    if read(header.tail_bytes) != header.surroundings().tail:
      raise changed(name)
  else:
    yield from pieces(header.tail_bytes, read)


class _ReadAhead:
  """Reads a file's head and, behind it, the gaps between its frames.

  gaps: bytes of all gaps. head: of what was read of the head, by which another reading of it is compared.
  """

  def __init__(self, source: BinaryIO, name: str, header: Header):
    self._source, self._name = source, name
    self._head_left = header.head_bytes
    self.gaps, self.head = b'', hashlib.blake2b()
    position, frame = header.head_bytes, 0
    for gap in header.gaps:
      position += (gap.frame - frame) * header.pcm.frame_bytes
      frame = gap.frame
      self.gaps += self._read_at(position, gap.num_bytes)
      position += gap.num_bytes
    self._rest = self.gaps
    source.seek(0)

  def read(self, count: int) -> bytes:
    """The next bytes of all, as many as are asked for."""
    from_head = min(count, self._head_left)
    self._head_left -= from_head
    data = self._source.read(from_head)
    if len(data) < from_head:
      raise changed(self._name)
    self.head.update(data)
    data, self._rest = data + self._rest[: count - from_head], self._rest[count - from_head :]
    return data

  def _read_at(self, position: int, count: int) -> bytes:
    self._source.seek(position)
    data = self._source.read(count)
    if len(data) < count:
      raise changed(self._name)
    return data


def stretches(header: Header, span: int) -> Iterator[tuple[int, slice]]:
  """Frames of a span up to a gap, and which of the gaps' bytes stand there: those behind frames, and none at the end.

  A gap between two spans belongs to the later one.
  """
  first = span * header.chunk_frames
  end, gap_start = first + header.span_frames(span), 0
  for gap in header.gaps:
    if first <= gap.frame < end:
      yield gap.frame - first, slice(gap_start, gap_start + gap.num_bytes)
      first = gap.frame
    gap_start += gap.num_bytes
  yield end - first, slice(gap_start, gap_start)
