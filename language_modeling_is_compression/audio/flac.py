"""FLAC files: what their headers say, and their frames as integers, decoded by libsndfile.

Source: RFC 9639. STREAMINFO, which always comes first, is read here, so that a bit depth that libsndfile cannot read is
named and a folder of files is known soon; sound is decoded by the package soundfile, which is imported when the first
file is read.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from language_modeling_is_compression.audio.opening import opened, unreadable
from language_modeling_is_compression.audio.tags import HEADER_BYTES, tag_bytes
from language_modeling_is_compression.errors import AudioFormatError, DependencyError
from language_modeling_is_compression.system.extras import require_module
from language_modeling_is_compression.system.text import printable

_MAGIC = b'fLaC'
_BLOCK_HEADER_BYTES, _STREAMINFO_BYTES = 4, 34
_HEADER_BYTES = len(_MAGIC) + _BLOCK_HEADER_BYTES + _STREAMINFO_BYTES
_READ_BITS = (8, 16, 24)  # Depths that libsndfile reads.


@dataclass(frozen=True, kw_only=True, slots=True)
class FlacInfo:
  """Fields of a FLAC file's header.

  path: the file, as it was given.
  resolution_bits: of the samples, and of the integers that `read_flac_frames` gives: 8, 16 or 24.
  num_channels: 1 to 8. sample_rate_hz: 0 to 2**20 - 1.
  file_bytes: length of the file when its header was read.
  """

  path: Path
  resolution_bits: int
  num_channels: int
  sample_rate_hz: int
  num_frames: int
  file_bytes: int

  @property
  def encoding(self) -> str:
    return 'int'

  @property
  def sample_bytes(self) -> int:
    """Bytes of a sample in a WAV file of the same sound."""
    return self.resolution_bits // 8


def read_flac_info(path: Path) -> FlacInfo:
  """Reads the header of one FLAC file, and decodes its last frame to see that the file is not cut off.

  Raises AudioFormatError, one line beginning with the path, if the file cannot be opened or read, is not a regular
  file, or is not FLAC of a known length and of 8, 16 or 24 bits; DependencyError without soundfile.
  """
  with opened(path, 'FLAC file') as (file, file_bytes):
    header = file.read(_HEADER_BYTES) or b''
    if size := tag_bytes(header[:HEADER_BYTES]):
      file.seek(size)
      header = file.read(_HEADER_BYTES) or b''
  info = _parse(path, header, file_bytes)
  if info.num_frames:
    read_flac_frames(info, info.num_frames - 1, info.num_frames)
  return info


def read_flac_frames(info: FlacInfo, start: int, stop: int) -> np.ndarray:
  """Decodes frames start:stop as signed integers, and of the file only what it takes to find them.

  0 <= start <= stop <= info.num_frames, else ValueError.
  Returns int32 [stop - start, num_channels], of info.resolution_bits bits.

  Raises AudioFormatError if the file is damaged, or has changed since its header was read; DependencyError without
  soundfile.
  """
  if not 0 <= start <= stop <= info.num_frames:
    raise ValueError(f'frames {start}:{stop} of {info.num_frames}')
  soundfile = _soundfile(info.path)
  # Names that are no text have bytes of their own on POSIX systems alone.
  name: Any = os.fsencode(info.path) if os.name == 'posix' else str(info.path)
  try:
    with soundfile.SoundFile(name) as sound:
      same = (sound.frames, sound.channels) == (info.num_frames, info.num_channels)
      if same:
        if start:  # libFLAC looks for a place in the file's middle, which may be damaged.
          sound.seek(start)
        frames = sound.read(stop - start, dtype='int32', always_2d=True)
  except soundfile.SoundFileError as error:
    try:
      with open(info.path, 'rb'):
        pass
    except OSError as reason:
      raise unreadable(info.path, reason) from reason
    raise AudioFormatError(
      f'{_name(info.path)}: frames {start} to {stop} cannot be decoded: {_reason(error)}: the file is damaged or cut '
      'off; copy or encode it again.'
    ) from error
  if not same or len(frames) != stop - start:
    raise AudioFormatError(
      f'{_name(info.path)}: expected {info.num_frames} frames of {info.num_channels} channels, got others: '
      'the file changed while it was in use; start again once nothing writes to it.'
    )
  # libsndfile's integers fill 32 bits from the top.
  return np.asarray(frames, np.int32) >> (32 - info.resolution_bits)


def _parse(path: Path, header: bytes, file_bytes: int) -> FlacInfo:
  if not header.startswith(_MAGIC):
    got = 'an empty file' if file_bytes == 0 else repr(header[: len(_MAGIC)])
    raise AudioFormatError(f"{_name(path)}: not a FLAC file: expected 'fLaC', got {got}: copy or encode it again.")
  streaminfo = header[len(_MAGIC) + _BLOCK_HEADER_BYTES :]
  block_type = header[len(_MAGIC)] & 0x7F if len(header) > len(_MAGIC) else None
  if len(streaminfo) < _STREAMINFO_BYTES or block_type != 0:
    raise AudioFormatError(
      f'{_name(path)}: expected STREAMINFO after fLaC, found none: the file is damaged or cut off; copy or encode it '
      'again.'
    )
  # Sample rate 20 bits, channels - 1 in 3, bits of a sample - 1 in 5, frames in 36.
  fields = int.from_bytes(streaminfo[10:18], 'big')
  bits, num_frames = (fields >> 36 & 0x1F) + 1, fields & (1 << 36) - 1
  if bits not in _READ_BITS:
    raise AudioFormatError(
      f'{_name(path)}: expected samples of 8, 16 or 24 bits, got {bits}, which libsndfile does not read: decode it to '
      'WAV, for example with `flac -d IN.flac`.'
    )
  if not num_frames:
    raise AudioFormatError(
      f'{_name(path)}: its header does not say how long it is, as of FLAC that was written to a pipe, or it is empty: '
      'encode it again, for example with `flac -f IN.flac`.'
    )
  return FlacInfo(
    path=path,
    resolution_bits=bits,
    num_channels=(fields >> 41 & 7) + 1,
    sample_rate_hz=fields >> 44,
    num_frames=num_frames,
    file_bytes=file_bytes,
  )


def _soundfile(path: Path) -> ModuleType:
  """The package soundfile. Raises DependencyError without it, or without the library that it calls."""
  require_module('soundfile', f'FLAC ({_name(path)})')
  try:
    import soundfile
  except OSError as error:
    raise DependencyError(
      f'libsndfile cannot be loaded, and FLAC ({_name(path)}) needs it: {error}: pip install soundfile again, or '
      'install libsndfile'
    ) from error
  return soundfile


def _reason(error: Exception) -> str:
  text = str(getattr(error, 'error_string', error)).strip().rstrip('.')
  return ' '.join(text.split()) or type(error).__name__


def _name(path: Path) -> str:
  return printable(str(path))
