"""Chunks of EA IFF 85, as RIFF (little-endian) and AIFF (big-endian) have them: an id, 32 bits of size, a body, a pad.

Recorders that crash, pipes and old programs leave headers that lie, so a size is taken as a claim: what stands behind
a body, and the file's own length, decide.
"""

from __future__ import annotations

from typing import Literal

from language_modeling_is_compression.audio.containers.window import Window

# How well four bytes and a size pass for the beginning of a chunk.
_NO_CHUNK, _PRINTABLE, _FITS, _LEADS_ON, _KNOWN = range(5)

ByteOrder = Literal['little', 'big']


class Chunks:
  """Chunks of a file. known: ids of chunks that are common where the file is of this kind."""

  def __init__(self, window: Window, byte_order: ByteOrder, known: frozenset[bytes]):
    self._window = window
    self._byte_order = byte_order
    self._known = known

  def header(self, offset: int) -> tuple[bytes, int] | None:
    """Id and claimed size of the chunk at offset; None at the file's end, and where too many have been looked at."""
    header = self._window.read(offset, 8)
    if len(header) < 8 or not self._window.take_chunk():
      return None
    return header[:4], int.from_bytes(header[4:], self._byte_order)

  def next_offset(self, end: int, *, padded: bool) -> int:
    """Offset of the chunk after a body that ends at end; padded if its size calls for a pad byte.

    Some programs leave the pad byte out, others write anything into it, so the better looking of both places is it.
    """
    return end + 1 if padded and self._rank(end + 1) >= self._rank(end) else end

  def has_chunk(self, offset: int) -> bool:
    """Whether what stands at offset passes for a chunk that ends within the file."""
    return self._rank(offset) >= _FITS

  def _rank(self, offset: int) -> int:
    """Rank of the bytes at offset as a chunk's header, from _NO_CHUNK to _KNOWN."""
    header = self._window.read(offset, 8)
    if len(header) < 8 or not is_printable(header[:4]):
      return _NO_CHUNK
    if header[:4] in self._known:
      return _KNOWN
    end = offset + 8 + int.from_bytes(header[4:], self._byte_order)
    if end > self._window.file_bytes:
      return _PRINTABLE
    leads_on = end == self._window.file_bytes or any(is_printable(self._window.read(end + pad, 4)) for pad in (0, 1))
    return _LEADS_ON if leads_on else _FITS


def is_printable(chunk_id: bytes) -> bool:
  """Whether four bytes can be a chunk id: printable ASCII, padded with spaces on the right only."""
  return len(chunk_id) == 4 and chunk_id[0] != 0x20 and all(0x20 <= byte < 0x7F for byte in chunk_id)
