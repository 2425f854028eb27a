"""AIFF and AIFF-C files: where samples stand.

Sources: Apple "Audio Interchange File Format: AIFF" 1.3, Apple "AIFF-C" (draft of 26 August 1991) and "QuickTime File
Format Specification" (compression types).
"""

from __future__ import annotations

import re
import struct

from language_modeling_is_compression.audio.containers.extended import extended_to_int
from language_modeling_is_compression.audio.containers.found import (
  CONVERT,
  UNKNOWN_SIZE,
  Found,
  check_bits,
  check_channels,
  least_bytes,
  missing_chunk,
  short_chunk,
)
from language_modeling_is_compression.audio.containers.iff import Chunks
from language_modeling_is_compression.audio.containers.window import Window
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import AudioFormatError

_FORM = re.compile(rb'FORM....AIF[FC]', re.DOTALL)
_FORM_BYTES = 12
_COMMON_BYTES = 18  # Of AIFF; AIFF-C has the compression type behind it.
_SOUND_BYTES = 8  # Offset and block size.
_KNOWN_NAMES = b'COMM|SSND|FVER|MARK|COMT|INST|MIDI|AESD|APPL|NAME|AUTH|(c) |ANNO|SAXL|PEAK|CHAN|ID3 '
_KNOWN = frozenset(_KNOWN_NAMES.split(b'|'))
# Kind, bytes of a sample (None: as many as the bits ask for), and whether the high byte comes first.
_TYPES = {
  b'NONE': (SampleKind.SIGNED, None, True),
  b'twos': (SampleKind.SIGNED, None, True),
  b'sowt': (SampleKind.SIGNED, None, False),
  b'raw ': (SampleKind.UNSIGNED, None, True),
  b'in24': (SampleKind.SIGNED, 3, True),
  b'in32': (SampleKind.SIGNED, 4, True),
  b'42ni': (SampleKind.SIGNED, 3, False),
  b'23ni': (SampleKind.SIGNED, 4, False),
  b'42n1': (SampleKind.SIGNED, 3, False),  # As libsndfile spells these two.
  b'23n1': (SampleKind.SIGNED, 4, False),
  b'fl32': (SampleKind.FLOAT, 4, True),
  b'FL32': (SampleKind.FLOAT, 4, True),
  b'fl64': (SampleKind.FLOAT, 8, True),
  b'FL64': (SampleKind.FLOAT, 8, True),
  b'alaw': (SampleKind.A_LAW, 1, True),
  b'ALAW': (SampleKind.A_LAW, 1, True),
  b'ulaw': (SampleKind.MU_LAW, 1, True),
  b'ULAW': (SampleKind.MU_LAW, 1, True),
}


def is_aiff(head: bytes) -> bool:
  """Whether bytes begin with the form of an AIFF or AIFF-C file."""
  return _FORM.match(head) is not None


def parse_aiff(window: Window, base: int) -> Found:
  """Samples of the first `SSND` chunk, whose size counts, and not the number of frames in `COMM`.

  Where it is unknown (2**32 - 1), runs beyond the end of the file, or is 0 in a header that was never finished, samples
  run to the end. base: offset of the form. Raises AudioFormatError, which does not name the file.
  """
  form = window.read(base, _FORM_BYTES)
  form_end = base + 8 + int.from_bytes(form[4:8], 'big')
  chunks = Chunks(window, 'big', _KNOWN)
  common: bytes | None = None
  span: tuple[int, int] | None = None
  offset = base + _FORM_BYTES
  while (common is None or span is None) and (header := chunks.header(offset)):
    chunk_id, size = header
    body = offset + 8
    if chunk_id == b'COMM' and common is None:
      common = window.read(body, min(size, _COMMON_BYTES + 4))
    elif chunk_id == b'SSND' and span is None:
      span = _sound(window, body, size)
      unfinished = size <= _SOUND_BYTES and form_end <= body + _SOUND_BYTES and not chunks.has_chunk(sum(span))
      if unfinished or size == UNKNOWN_SIZE:
        span = span[0], max(window.file_bytes - span[0], 0)
    offset = chunks.next_offset(body + size, padded=size % 2 == 1)
  if common is None or span is None:
    raise missing_chunk('COMM' if common is None else 'SSND')
  return Found(container=ContainerKind.AIFF, pcm=_format(common, is_coded=form[8:] == b'AIFC'), spans=[span])


def _sound(window: Window, body: int, size: int) -> tuple[int, int]:
  """Offset and bytes of samples in an `SSND` chunk, at most as many as there are."""
  fields = window.read(body, _SOUND_BYTES)
  if len(fields) < _SOUND_BYTES:
    raise short_chunk('SSND', _SOUND_BYTES, len(fields))
  begin = body + _SOUND_BYTES + int.from_bytes(fields[:4], 'big')
  return begin, max(min(body + size, window.file_bytes) - begin, 0)


def _format(common: bytes, *, is_coded: bool) -> PcmFormat:
  """Format that a `COMM` chunk describes. is_coded: whether it has a compression type, as in AIFF-C."""
  expected = _COMMON_BYTES + (4 if is_coded else 0)
  if len(common) < expected:
    raise short_chunk('COMM', expected, len(common))
  num_channels, _, bits = struct.unpack_from('>HIH', common)
  compression = common[_COMMON_BYTES:] if is_coded else b'NONE'
  if compression not in _TYPES:
    raise AudioFormatError(f'expected samples that are not compressed, got {compression!r}: {CONVERT}.')
  kind, sample_bytes, is_big_endian = _TYPES[compression]
  check_channels(num_channels)
  if sample_bytes is None:
    check_bits(bits, 'int', range(1, 33))
    sample_bytes = least_bytes(bits)
  return PcmFormat(
    kind=kind,
    sample_bytes=sample_bytes,
    num_channels=num_channels,
    sample_rate_hz=extended_to_int(common[8:18]),
    is_big_endian=is_big_endian,
  )
