"""Sun and NeXT AU files, and those of DEC in the other byte order: where samples stand.

Sources: Sun Microsystems "audio_filehdr(4)"; The Open Group and Oracle manual pages "au(4)" (encodings).
"""

from __future__ import annotations

import struct

from language_modeling_is_compression.audio.containers.found import CONVERT, UNKNOWN_SIZE, Found, check_channels
from language_modeling_is_compression.audio.containers.window import Window
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import AudioFormatError

BIG_ENDIAN_MAGIC, LITTLE_ENDIAN_MAGIC = b'.snd', b'dns.'
HEADER_BYTES = 24
ENCODINGS = {
  1: (SampleKind.MU_LAW, 1),
  2: (SampleKind.SIGNED, 1),
  3: (SampleKind.SIGNED, 2),
  4: (SampleKind.SIGNED, 3),
  5: (SampleKind.SIGNED, 4),
  6: (SampleKind.FLOAT, 4),
  7: (SampleKind.FLOAT, 8),
  27: (SampleKind.A_LAW, 1),
}


def is_au(head: bytes) -> bool:
  """Whether bytes begin an AU file."""
  return head.startswith((BIG_ENDIAN_MAGIC, LITTLE_ENDIAN_MAGIC))


def parse_au(window: Window, base: int) -> Found:
  """Samples from the offset that the header says, to the end where their size is unknown, 0 or runs beyond it.

  base: offset of the header. Raises AudioFormatError, which does not name the file.
  """
  header = window.read(base, HEADER_BYTES)
  if len(header) < HEADER_BYTES:
    raise AudioFormatError(f'expected a header of {HEADER_BYTES} bytes, got {len(header)}: the file is cut off.')
  is_big_endian = header.startswith(BIG_ENDIAN_MAGIC)
  order = '>' if is_big_endian else '<'
  offset, size, encoding, sample_rate_hz, num_channels = struct.unpack_from(f'{order}IIIII', header, 4)
  if encoding not in ENCODINGS:
    raise AudioFormatError(f'expected integers, floats, A-law or mu-law, got encoding {encoding}: {CONVERT}.')
  check_channels(num_channels)
  available = window.file_bytes - base - offset
  if offset < HEADER_BYTES or available < 0:
    raise AudioFormatError(f'expected samples behind the header, got offset {offset}: the file is damaged or cut off.')
  kind, sample_bytes = ENCODINGS[encoding]
  pcm = PcmFormat(
    kind=kind,
    sample_bytes=sample_bytes,
    num_channels=num_channels,
    sample_rate_hz=sample_rate_hz,
    is_big_endian=is_big_endian,
  )
  num_bytes = available if size in (0, UNKNOWN_SIZE) else min(size, available)
  return Found(container=ContainerKind.AU, pcm=pcm, spans=[(base + offset, num_bytes)])
