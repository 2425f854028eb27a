"""Files as parsers see them: a few KiB at a time, and no byte that is not there."""

from __future__ import annotations

from io import RawIOBase
from typing import BinaryIO

WINDOW_BYTES = 4096
MAX_CHUNKS = 65_536


class Window:
  """An open file that can be seeked, read a few KiB at a time: most headers cost one system call.

  file: best unbuffered, since the window is the buffer.
  file_bytes: no byte at or after it is looked at.
  """

  def __init__(self, file: RawIOBase | BinaryIO, file_bytes: int):
    self.file_bytes = file_bytes
    self._file = file
    self._data = b''
    self._start = 0
    self._num_chunks = 0

  def read(self, offset: int, count: int) -> bytes:
    """Bytes offset : offset + count, fewer at the end of the file. A count is a parser's own, never a file's."""
    if not 0 <= offset < self.file_bytes:
      return b''
    begin = offset - self._start
    if begin < 0 or begin + count > len(self._data):
      self._file.seek(offset)
      available = min(max(count, WINDOW_BYTES), self.file_bytes - offset)
      self._data, self._start, begin = self._file.read(available) or b'', offset, 0
    return self._data[begin : begin + count]

  def take_chunk(self) -> bool:
    """Counts a chunk that is about to be looked at. False if these are more than MAX_CHUNKS, of all parsers together.

    Whatever a file holds, a look at it ends.
    """
    self._num_chunks += 1
    return self._num_chunks <= MAX_CHUNKS
