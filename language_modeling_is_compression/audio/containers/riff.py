"""RIFF/WAVE files, their 64-bit forms RF64 and BW64, and the big-endian RIFX: where samples stand.

Sources: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF, WAVE, wave lists), EBU Tech
3306 (RF64), ITU-R BS.2088 (BW64).
"""

from __future__ import annotations

import re
import struct

from language_modeling_is_compression.audio.containers.found import UNKNOWN_SIZE, Found, missing_chunk
from language_modeling_is_compression.audio.containers.iff import ByteOrder, Chunks, is_printable
from language_modeling_is_compression.audio.containers.wave_format import EXTENSIBLE_BYTES, parse_format
from language_modeling_is_compression.audio.containers.window import WINDOW_BYTES, Window
from language_modeling_is_compression.audio.info import MAX_REGIONS, ContainerKind
from language_modeling_is_compression.errors import AudioFormatError

_FORMS_64 = (b'RF64', b'BW64')
_FORM = re.compile(rb'(RIFF|RIFX|RF64|BW64)....WAVE', re.DOTALL)
_SEARCHED_BYTES = 1 << 16
_FORM_BYTES = 12
_KNOWN_NAMES = (
  b'fmt |data|ds64|fact|LIST|JUNK|junk|PAD |FLLR|bext|iXML|axml|chna|cart|cue |plst|smpl|inst|PEAK|id3 |ID3 '
)
_KNOWN = frozenset(_KNOWN_NAMES.split(b'|'))


def is_riff(head: bytes) -> bool:
  """Whether bytes begin with the form of a WAVE file."""
  return _FORM.match(head) is not None


def parse_riff(window: Window, base: int) -> Found:
  """Samples of all `data` chunks, those of wave lists too. base: offset of the form.

  A `data` size that is unknown (2**32 - 1), runs beyond the end of the file, or is 0 in a header that was never
  finished, means that the samples run to the end of the file. Raises AudioFormatError, which does not name the file.
  """
  return _Riff(window, base).found()


def find_riff(window: Window) -> Found | None:
  """The first WAVE file among the first 64 KiB of another one, whose samples are all there; None if there is none.

  Compressed formats keep headers of WAV files, whose samples these files do not have.
  """
  for form in _FORM.finditer(window.read(0, _SEARCHED_BYTES)):
    riff = _Riff(window, form.start())
    try:
      if riff.begins_well():
        found = riff.found()
        if not riff.is_cut_off:
          return found
    except AudioFormatError:
      continue
  return None


class _Riff:
  """A RIFF file, read once. is_cut_off: whether a `data` chunk claims more bytes than there are."""

  def __init__(self, window: Window, base: int):
    form = window.read(base, _FORM_BYTES)
    self.is_cut_off = False
    self._window = window
    self._form = form[:4]
    self._byte_order: ByteOrder = 'big' if self._form == b'RIFX' else 'little'
    self._chunks = Chunks(window, self._byte_order, _KNOWN)
    self._begin = base + 8
    self._riff_bytes = int.from_bytes(form[4:8], self._byte_order)
    self._long_sizes: dict[bytes, int] = {}

  def begins_well(self) -> bool:
    """Whether the first chunk is one that WAV files are known to have."""
    return self._window.read(self._begin + 4, 4) in _KNOWN

  def found(self) -> Found:
    fields: bytes | None = None
    spans: list[tuple[int, int]] = []
    offset = self._begin + 4
    while (header := self._chunks.header(offset)) and len(spans) < MAX_REGIONS:
      chunk_id, size = header
      body = offset + 8
      if fields is not None and spans and not is_printable(chunk_id):
        break  # What is needed is there, and nothing says that something follows.
      if chunk_id == b'ds64' and self._form in _FORMS_64:
        self._read_long_sizes(self._window.read(body, min(size, WINDOW_BYTES)))
      elif size == UNKNOWN_SIZE:
        size = self._long_sizes.get(chunk_id, size)
      if chunk_id == b'fmt ' and fields is None:
        fields = self._window.read(body, min(size, EXTENSIBLE_BYTES))
      elif chunk_id == b'data':
        size = self._data_bytes(body, size)
        spans.append((body, size))
      is_wave_list = chunk_id == b'LIST' and self._window.read(body, 4) == b'wavl'
      # Chunks of a list are walked as those around it are, so that none is nested too deeply.
      offset = body + 4 if is_wave_list else self._chunks.next_offset(body + size, padded=size % 2 == 1)
    if fields is None or not spans:
      raise missing_chunk('fmt ' if fields is None else 'data')
    return Found(
      container=ContainerKind.RIFX if self._form == b'RIFX' else ContainerKind.WAV,
      pcm=parse_format(fields, self._byte_order, sum(num_bytes for _, num_bytes in spans)),
      spans=spans,
    )

  def _data_bytes(self, offset: int, claimed: int) -> int:
    """Bytes of a `data` chunk's body at offset, at most as many as there are."""
    available = max(self._window.file_bytes - offset, 0)
    # A header as it is before the first sample: it says that the file ends here or earlier, and yet no chunk follows.
    has_ended = self._begin + self._riff_bytes <= offset
    unfinished = claimed == 0 and has_ended and not self._chunks.has_chunk(offset)
    unknown = claimed == UNKNOWN_SIZE and b'data' not in self._long_sizes
    if unfinished or unknown:
      return available
    self.is_cut_off |= claimed > available
    return min(claimed, available)

  def _read_long_sizes(self, body: bytes) -> None:
    """Takes the 64-bit sizes of a `ds64` body: the file's, the `data` chunk's, and a table of other chunks'."""
    if len(body) < 16:
      return
    riff_bytes, self._long_sizes[b'data'] = struct.unpack_from('<QQ', body)
    if self._riff_bytes == UNKNOWN_SIZE:
      self._riff_bytes = riff_bytes
    for entry in range(28, len(body) - 11, 12):
      self._long_sizes.setdefault(*struct.unpack_from('<4sQ', body, entry))
