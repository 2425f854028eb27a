"""WAV containers: where the PCM payload stands, read from headers alone, and its frames as integers.

Sources: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0" (RIFF, WAVE), Microsoft "Multiple
Channel Audio Data and WAVE Files" (WAVE_FORMAT_EXTENSIBLE), EBU Tech 3306 (RF64), ITU-R BS.2088 (BW64).

Recorders that crash, pipes and old programs leave headers that lie, so a size is taken as a claim: the file's own
length decides. Nothing is ever allocated by a claimed size.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from language_modeling_is_compression.audio.pcm import integers_from_raw, wav_integers
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.system.on_demand import OnDemand
from language_modeling_is_compression.system.text import printable

if TYPE_CHECKING:
  import numpy as np
else:
  np = OnDemand('numpy')

_WINDOW_BYTES = 4096
_MAX_CHUNKS = 65_536
_UNKNOWN_SIZE = 0xFFFFFFFF
MAX_FRAME_BYTES = 0xFFFF  # Largest number in a header's field.
_FORMS_64 = (b'RF64', b'BW64')
_FORMAT_BYTES = 16
_EXTENSIBLE_BYTES = 40
_EXTENSIBLE = 0xFFFE
_ENCODINGS = {0x0001: 'int', 0x0003: 'float'}
# Bytes 2 to 16 of every sub-format GUID that stands for a two-byte codec number.
_SUB_FORMAT_TAIL = bytes.fromhex('000000001000800000aa00389b71')
_CODEC_NAMES = {
  0x0002: 'Microsoft ADPCM',
  0x0006: 'A-law',
  0x0007: 'mu-law',
  0x0011: 'IMA ADPCM',
  0x0031: 'GSM 6.10',
  0x0040: 'G.721 ADPCM',
  0x0045: 'G.726 ADPCM',
  0x0050: 'MPEG layer 1 or 2',
  0x0055: 'MP3',
  0x0092: 'AC-3 over S/PDIF',
  0x00FF: 'AAC',
  0x0161: 'Windows Media Audio',
  0x0162: 'Windows Media Audio Professional',
  0x0163: 'Windows Media Audio Lossless',
  0x2000: 'AC-3',
  0x2001: 'DTS',
  0x674F: 'Ogg Vorbis',
  0xF1AC: 'FLAC',
  _EXTENSIBLE: 'extensible inside extensible',
}
_CONVERT = 'convert it, for example with `ffmpeg -i IN -c:a pcm_s16le OUT.wav`'
_KNOWN_NAMES = (
  b'fmt |data|ds64|fact|LIST|JUNK|junk|PAD |FLLR|bext|iXML|axml|chna|cart|cue |plst|smpl|inst|PEAK|id3 |ID3 '
)
_KNOWN_CHUNKS = frozenset(_KNOWN_NAMES.split(b'|'))
# How well four bytes and a size pass for the beginning of a chunk.
_NO_CHUNK, _PRINTABLE, _FITS, _LEADS_ON, _KNOWN = range(5)


@dataclass(frozen=True, kw_only=True, slots=True)
class WavInfo:
  """Fields of a WAV file's headers, corrected by the file's length.

  path: the file, as it was given.
  encoding: 'int' (8-bit unsigned, wider signed, little-endian) or 'float' (IEEE 754, little-endian).
  sample_bytes: bytes of one sample in the file, 1 to 4 (int), 4 or 8 (float); 20 bits in 24 count as 3.
  num_channels: 1 to 65,535.
  sample_rate_hz: as the header says, 0 to 2**32 - 1; nobody checks it.
  data_offset: byte offset of the first frame in the file.
  data_bytes: bytes of whole frames; a partial last frame is left out.
  file_bytes: length of the file when its headers were read.
  """

  path: Path
  encoding: str
  sample_bytes: int
  num_channels: int
  sample_rate_hz: int
  data_offset: int
  data_bytes: int
  file_bytes: int

  @property
  def frame_bytes(self) -> int:
    return self.sample_bytes * self.num_channels

  @property
  def num_frames(self) -> int:
    return self.data_bytes // self.frame_bytes

  @property
  def resolution_bits(self) -> int:
    """Bits of the integers that `read_frames` gives: 8, 16, 24 or 32."""
    return 8 * self.sample_bytes if self.encoding == 'int' else 24


def read_wav_info(path: Path) -> WavInfo:
  """Reads the headers of one WAV file, with a few small reads, however large the file is.

  RIFF, RF64 and BW64; PCM integers of 8 to 32 bits and floats of 32 or 64, plain or WAVE_FORMAT_EXTENSIBLE. Sizes that
  lie are corrected: a `data` size that is unknown (2**32 - 1), runs beyond the end of the file, or is 0 in a header
  that was never finished, means that the payload runs to the end of the file.

  Raises AudioFormatError, one line beginning with the path, if the file cannot be opened or read, is not a regular
  file, or is not such audio.
  """
  try:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # Opening a pipe would wait for its writer.
      kind = 'a directory' if stat.S_ISDIR(status.st_mode) else 'a device, pipe or socket'
      raise AudioFormatError(f'{_name(path)}: expected a regular WAV file, got {kind}: name a file.')
    with open(path, 'rb', buffering=0) as file:
      return parse_wav_info(file, status.st_size, path)
  except OSError as error:
    raise _unreadable(path, error) from error


def parse_wav_info(file: RawIOBase | BinaryIO, file_bytes: int, path: Path) -> WavInfo:
  """As `read_wav_info`, from an open file that can be seeked.

  file_bytes: no byte at or after it is looked at. path: what errors name.
  """
  return _parse(path, _Riff(file, file_bytes))


def read_frames(info: WavInfo, start: int, stop: int) -> np.ndarray:
  """Reads frames start:stop, and only them, as signed integers of the source's resolution.

  0 <= start <= stop <= info.num_frames, else ValueError.
  Returns int32 [stop - start, num_channels], of info.resolution_bits bits: 8-bit samples u become u - 128, wider ones
  are sign-extended. A float sample x becomes clip(floor(x * 2**23 + 0.5), -2**23, 2**23 - 1), computed in float64;
  NaN becomes 0 and the infinities clip.

  Raises AudioFormatError if the file has become shorter or unreadable since its headers were read.
  """
  if not 0 <= start <= stop <= info.num_frames:
    raise ValueError(f'frames {start}:{stop} of {info.num_frames}')
  num_bytes = (stop - start) * info.frame_bytes
  offset = info.data_offset + start * info.frame_bytes
  try:
    raw = np.fromfile(info.path, np.uint8, count=num_bytes, offset=offset)
  except OSError as error:
    raise _unreadable(info.path, error) from error
  if raw.size != num_bytes:
    raise AudioFormatError(
      f'{_name(info.path)}: expected {num_bytes} bytes at offset {offset}, got {raw.size}: '
      'the file became shorter while it was in use; start again once nothing writes to it.'
    )
  if info.encoding == 'float':
    return _from_floats(raw, info.sample_bytes).reshape(-1, info.num_channels)
  pcm = wav_integers(sample_bytes=info.sample_bytes, num_channels=info.num_channels, sample_rate_hz=info.sample_rate_hz)
  return integers_from_raw(raw.reshape(-1, info.num_channels, info.sample_bytes), pcm)


# Which speakers one and two channels are for: some programs refuse a file that does not say it.
_SPEAKERS = {1: 0x4, 2: 0x3}


def wav_header(*, encoding: str, sample_bytes: int, num_channels: int, sample_rate_hz: int, num_frames: int) -> bytes:
  """A header for so many frames, which follow it: plain where two channels of 16 bits suffice, else EXTENSIBLE.

  Frames have at most MAX_FRAME_BYTES. Above 4 GiB the sizes are those of a stream whose end nobody knows, which every
  reader here and elsewhere takes. A .lmic file leaves out such a header, so that its bytes are part of the format.
  """
  frame_bytes = num_channels * sample_bytes
  bits = 8 * sample_bytes
  tag = next(tag for tag, name in _ENCODINGS.items() if name == encoding)
  extended = num_channels > 2 or (encoding == 'int' and sample_bytes > 2)
  bytes_per_second = min(sample_rate_hz * frame_bytes, _UNKNOWN_SIZE)
  fields = struct.pack(
    '<HHIIHH', _EXTENSIBLE if extended else tag, num_channels, sample_rate_hz, bytes_per_second, frame_bytes, bits
  )
  if extended:
    fields += struct.pack('<HHIH', 22, bits, _SPEAKERS.get(num_channels, 0), tag) + _SUB_FORMAT_TAIL
  data_bytes = num_frames * frame_bytes
  riff_bytes = 4 + 8 + len(fields) + 8 + data_bytes
  return (
    struct.pack('<4sI4s', b'RIFF', min(riff_bytes, _UNKNOWN_SIZE), b'WAVE')
    + struct.pack('<4sI', b'fmt ', len(fields))
    + fields
    + struct.pack('<4sI', b'data', min(data_bytes, _UNKNOWN_SIZE))
  )


class _Riff:
  """An open RIFF file, read through a window of a few KiB: most headers cost one system call.

  file: best unbuffered, since the window is the buffer.
  file_bytes: no byte at or after it is looked at.
  """

  def __init__(self, file: RawIOBase | BinaryIO, file_bytes: int):
    self.file_bytes = file_bytes
    self._file = file
    self._window = b''
    self._window_start = 0
    header = self.read(0, 12)
    self.form, self.kind = header[:4], header[8:]
    self.riff_bytes = int.from_bytes(header[4:8], 'little')
    self._long_sizes: dict[bytes, int] = {}

  def read(self, offset: int, count: int) -> bytes:
    """Bytes offset : offset + count, fewer at the end of the file; count is at most _WINDOW_BYTES."""
    if offset >= self.file_bytes:
      return b''
    begin = offset - self._window_start
    if begin < 0 or begin + count > len(self._window):
      self._file.seek(offset)
      self._window, self._window_start, begin = self._file.read(_WINDOW_BYTES) or b'', offset, 0
    return self._window[begin : begin + count]

  def chunks(self) -> Iterator[tuple[bytes, int, int]]:
    """Yields (id, offset of the body, claimed bytes of the body) of at most _MAX_CHUNKS chunks, in file order."""
    offset = 12
    for _ in range(_MAX_CHUNKS):
      header = self.read(offset, 8)
      if len(header) < 8:
        return
      chunk_id, size = header[:4], int.from_bytes(header[4:], 'little')
      body = offset + 8
      if chunk_id == b'ds64' and self.form in _FORMS_64:
        self._read_long_sizes(self.read(body, min(size, _WINDOW_BYTES)))
      elif size == _UNKNOWN_SIZE:
        size = self._long_sizes.get(chunk_id, size)
      yield chunk_id, body, size
      offset = self._next_chunk(body + size, padded=size % 2 == 1)

  def data_bytes(self, offset: int, claimed: int) -> int:
    """Bytes of a `data` chunk's body at offset, at most as many as there are."""
    available = self.file_bytes - offset
    # A header as it is before the first sample: it says that the file ends here or earlier, and yet no chunk follows.
    unfinished = claimed == 0 and self.riff_bytes + 8 <= offset and self._rank(offset) < _FITS
    unknown = claimed == _UNKNOWN_SIZE and b'data' not in self._long_sizes
    return available if unfinished or unknown else min(claimed, available)

  def _read_long_sizes(self, body: bytes) -> None:
    """Takes the 64-bit sizes of a `ds64` body: the file's, the `data` chunk's, and a table of other chunks'."""
    if len(body) < 16:
      return
    riff_bytes, self._long_sizes[b'data'] = struct.unpack_from('<QQ', body)
    if self.riff_bytes == _UNKNOWN_SIZE:
      self.riff_bytes = riff_bytes
    for entry in range(28, len(body) - 11, 12):
      self._long_sizes.setdefault(*struct.unpack_from('<4sQ', body, entry))

  def _next_chunk(self, end: int, *, padded: bool) -> int:
    """Offset of the chunk after a body that ends at end; padded if its size calls for a pad byte.

    Some programs leave the pad byte out, others write anything into it, so the better looking of both places is it.
    """
    return end + 1 if padded and self._rank(end + 1) >= self._rank(end) else end

  def _rank(self, offset: int) -> int:
    """Rank of the bytes at offset as a chunk's header, from _NO_CHUNK to _KNOWN."""
    header = self.read(offset, 8)
    if len(header) < 8 or not _is_printable(header[:4]):
      return _NO_CHUNK
    if header[:4] in _KNOWN_CHUNKS:
      return _KNOWN
    end = offset + 8 + int.from_bytes(header[4:], 'little')
    if end > self.file_bytes:
      return _PRINTABLE
    leads_on = end == self.file_bytes or any(_is_printable(self.read(end + pad, 4)) for pad in (0, 1))
    return _LEADS_ON if leads_on else _FITS


def _is_printable(chunk_id: bytes) -> bool:
  """Whether four bytes can be a chunk id: printable ASCII, padded with spaces on the right only."""
  return len(chunk_id) == 4 and chunk_id[0] != 0x20 and all(0x20 <= byte < 0x7F for byte in chunk_id)


def _parse(path: Path, riff: _Riff) -> WavInfo:
  _check_form(path, riff)
  fields: bytes | None = None
  data: tuple[int, int] | None = None
  for chunk_id, offset, size in riff.chunks():
    if chunk_id == b'fmt ' and fields is None:
      fields = riff.read(offset, min(size, _EXTENSIBLE_BYTES))
    elif chunk_id == b'data' and data is None:
      data = offset, riff.data_bytes(offset, size)
    if fields is not None and data is not None:
      break
  if fields is None or data is None:
    missing = 'fmt ' if fields is None else 'data'
    raise AudioFormatError(
      f"{_name(path)}: expected a '{missing}' chunk among the first {_MAX_CHUNKS} chunks, found none: "
      'the file is damaged or cut off; export or copy it again.'
    )
  encoding, sample_bytes, num_channels, sample_rate_hz = _parse_format(path, fields)
  data_offset, data_bytes = data
  return WavInfo(
    path=path,
    encoding=encoding,
    sample_bytes=sample_bytes,
    num_channels=num_channels,
    sample_rate_hz=sample_rate_hz,
    data_offset=data_offset,
    data_bytes=data_bytes - data_bytes % (sample_bytes * num_channels),
    file_bytes=riff.file_bytes,
  )


def _check_form(path: Path, riff: _Riff) -> None:
  """Raises AudioFormatError unless the first twelve bytes are a little-endian WAVE file's."""
  if riff.form == b'RIFX':
    raise AudioFormatError(f'{_name(path)}: expected little-endian RIFF, got big-endian RIFX: {_CONVERT}.')
  if riff.form not in (b'RIFF', *_FORMS_64) or riff.kind != b'WAVE':
    got = 'an empty file' if riff.file_bytes == 0 else f'{riff.form!r} and {riff.kind!r}'
    raise AudioFormatError(
      f"{_name(path)}: not a WAV file: expected 'RIFF' (or 'RF64', 'BW64') and 'WAVE', got {got}: {_CONVERT}."
    )


def _parse_format(path: Path, fields: bytes) -> tuple[str, int, int, int]:
  """Encoding, sample_bytes, num_channels and sample_rate_hz of a `fmt ` chunk's body (its first 40 bytes or fewer)."""
  if len(fields) < _FORMAT_BYTES:
    raise AudioFormatError(
      f"{_name(path)}: expected a 'fmt ' chunk of at least {_FORMAT_BYTES} bytes, got {len(fields)}: "
      'the file is damaged; export it again.'
    )
  tag, num_channels, sample_rate_hz, _, block_align, bits = struct.unpack_from('<HHIIHH', fields)
  if tag == _EXTENSIBLE:
    tag = _sub_format(path, fields)
  encoding = _ENCODINGS.get(tag)
  if encoding is None:
    name = _CODEC_NAMES.get(tag, 'unknown')
    raise AudioFormatError(
      f'{_name(path)}: expected PCM integers or floats, got codec 0x{tag:04X} ({name}): {_CONVERT}.'
    )
  if num_channels == 0:
    raise AudioFormatError(f'{_name(path)}: expected 1 channel or more, got 0: the file is damaged; export it again.')
  if bits not in ((32, 64) if encoding == 'float' else range(1, 33)):
    widths = '32 or 64' if encoding == 'float' else '1 to 32'
    raise AudioFormatError(f'{_name(path)}: expected {encoding} samples of {widths} bits, got {bits}: {_CONVERT}.')
  least_bytes = -(-bits // 8)
  sample_bytes, rest = divmod(block_align, num_channels)
  # 17 to 24 valid bits may stand in four bytes; every other width has one container.
  if rest or not (sample_bytes == least_bytes or (least_bytes, sample_bytes) == (3, 4)):
    raise AudioFormatError(
      f'{_name(path)}: expected {least_bytes * num_channels} bytes per frame ({num_channels} channels, {bits} bits), '
      f'got a block_align of {block_align}: the header contradicts itself; export the file again.'
    )
  return encoding, sample_bytes, num_channels, sample_rate_hz


def _sub_format(path: Path, fields: bytes) -> int:
  """The codec number inside a WAVE_FORMAT_EXTENSIBLE `fmt ` body."""
  if len(fields) < _EXTENSIBLE_BYTES:
    raise AudioFormatError(
      f"{_name(path)}: expected an extensible 'fmt ' chunk of at least {_EXTENSIBLE_BYTES} bytes, got {len(fields)}: "
      'the file is damaged; export it again.'
    )
  guid = fields[24:40]
  if guid[2:] != _SUB_FORMAT_TAIL:
    raise AudioFormatError(f'{_name(path)}: expected the sub-format PCM or float, got GUID {guid.hex()}: {_CONVERT}.')
  return int.from_bytes(guid[:2], 'little')


def _from_floats(raw: np.ndarray, sample_bytes: int) -> np.ndarray:
  """24-bit integers, int32 [N], of uint8 [N * sample_bytes] by the rule of `read_frames`."""
  with np.errstate(over='ignore', invalid='ignore'):  # Infinities and signalling NaNs have their place in the rule.
    values = raw.view(f'<f{sample_bytes}').astype(np.float64)
    values *= 2.0**23
    values += 0.5
  np.floor(values, out=values)
  np.clip(values, -(2.0**23), 2.0**23 - 1, out=values)
  values[np.isnan(values)] = 0
  return values.astype(np.int32)


def _name(path: Path) -> str:
  return printable(str(path))


def _unreadable(path: Path, error: OSError) -> AudioFormatError:
  return AudioFormatError(
    f'{_name(path)}: cannot be read: {error.strerror or error}: check the path and its permissions.'
  )
