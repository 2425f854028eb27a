"""Headers of plain WAV files. A .lmic file leaves out such a header, so that its bytes are part of the format.

Sources: as in riff.py and wave_format.py.
"""

from __future__ import annotations

import struct

from language_modeling_is_compression.audio.containers.found import UNKNOWN_SIZE
from language_modeling_is_compression.audio.containers.iff import ByteOrder
from language_modeling_is_compression.audio.containers.wave_format import (
  A_LAW,
  EXTENSIBLE,
  FLOAT,
  MU_LAW,
  PCM,
  SUB_FORMAT_TAIL,
)

_TAGS = {'int': PCM, 'float': FLOAT, 'a-law': A_LAW, 'mu-law': MU_LAW}
# Which speakers one and two channels are for: some programs refuse a file that does not say it.
_SPEAKERS = {1: 0x4, 2: 0x3}


def wav_header(*, encoding: str, sample_bytes: int, num_channels: int, sample_rate_hz: int, num_frames: int) -> bytes:
  """A header for so many frames, which follow it: plain where two channels of 16 bits suffice, else EXTENSIBLE.

  encoding: 'int', 'float', 'a-law' or 'mu-law'. Frames have at most MAX_FRAME_BYTES. Above 4 GiB the sizes are those
  of a stream whose end nobody knows, which every reader here and elsewhere takes.
  """
  return riff_header(
    'little', encoding, sample_bytes, num_channels=num_channels, sample_rate_hz=sample_rate_hz, num_frames=num_frames
  )


def riff_header(
  byte_order: ByteOrder, encoding: str, sample_bytes: int, *, num_channels: int, sample_rate_hz: int, num_frames: int
) -> bytes:
  """As `wav_header`; 'big': of a RIFX file."""
  order = '<' if byte_order == 'little' else '>'
  fields = format_fields(
    byte_order,
    encoding,
    sample_bytes,
    num_channels=num_channels,
    sample_rate_hz=sample_rate_hz,
    extensible=num_channels > 2 or (encoding == 'int' and sample_bytes > 2),
  )
  data_bytes = num_frames * num_channels * sample_bytes
  riff_bytes = 4 + 8 + len(fields) + 8 + data_bytes
  return (
    struct.pack(f'{order}4sI4s', b'RIFF' if byte_order == 'little' else b'RIFX', min(riff_bytes, UNKNOWN_SIZE), b'WAVE')
    + struct.pack(f'{order}4sI', b'fmt ', len(fields))
    + fields
    + struct.pack(f'{order}4sI', b'data', min(data_bytes, UNKNOWN_SIZE))
  )


def format_fields(
  byte_order: ByteOrder, encoding: str, sample_bytes: int, *, num_channels: int, sample_rate_hz: int, extensible: bool
) -> bytes:
  """Body of a `fmt ` chunk, which is WAVEFORMATEXTENSIBLE or the shortest that there is."""
  order = '<' if byte_order == 'little' else '>'
  frame_bytes = num_channels * sample_bytes
  bits = 8 * sample_bytes
  tag = _TAGS[encoding]
  bytes_per_second = min(sample_rate_hz * frame_bytes, UNKNOWN_SIZE)
  fields = struct.pack(
    f'{order}HHIIHH',
    EXTENSIBLE if extensible else tag,
    num_channels,
    sample_rate_hz,
    bytes_per_second,
    frame_bytes,
    bits,
  )
  if extensible:
    guid = struct.pack(f'{order}IHH', tag, 0, 0x10) + SUB_FORMAT_TAIL[6:]
    fields += struct.pack(f'{order}HHI', 22, bits, _SPEAKERS.get(num_channels, 0)) + guid
  elif tag in (A_LAW, MU_LAW):
    fields += bytes(2)  # Only PCM may leave out how many bytes of its own it adds.
  return fields
