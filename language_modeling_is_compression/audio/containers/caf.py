"""CAF files: where samples stand.

Source: Apple "Core Audio Format Specification" 1.0.
"""

from __future__ import annotations

import struct

from language_modeling_is_compression.audio.containers.extended import float_to_rate
from language_modeling_is_compression.audio.containers.found import (
  CONVERT,
  Found,
  check_bits,
  check_channels,
  least_bytes,
  missing_chunk,
  sample_bytes_of,
  short_chunk,
)
from language_modeling_is_compression.audio.containers.window import Window
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import AudioFormatError

_FILE_BYTES, _CHUNK_BYTES, _DESCRIPTION_BYTES, _EDIT_COUNT_BYTES = 8, 12, 32, 4
_IS_FLOAT, _IS_LITTLE_ENDIAN = 1, 2
_COMPANDED = {b'alaw': SampleKind.A_LAW, b'ulaw': SampleKind.MU_LAW}


def is_caf(head: bytes) -> bool:
  """Whether bytes begin a CAF file."""
  return head.startswith(b'caff')


def parse_caf(window: Window, base: int) -> Found:
  """Samples of the first `data` chunk, to the end of the file where its size is -1 or runs beyond it.

  base: offset of the file's header. Raises AudioFormatError, which does not name the file.
  """
  description: bytes | None = None
  span: tuple[int, int] | None = None
  offset = base + _FILE_BYTES
  while description is None or span is None:
    header = window.read(offset, _CHUNK_BYTES)
    if len(header) < _CHUNK_BYTES or not window.take_chunk():
      raise missing_chunk('desc' if description is None else 'data')
    chunk_id, size = struct.unpack('>4sq', header)
    body = offset + _CHUNK_BYTES
    end = window.file_bytes if size < 0 else body + size
    if chunk_id == b'desc' and description is None:
      description = window.read(body, min(end - body, _DESCRIPTION_BYTES))
    elif chunk_id == b'data' and span is None:
      begin = body + _EDIT_COUNT_BYTES
      span = begin, max(min(end, window.file_bytes) - begin, 0)
    offset = end
  num_bytes = span[1]
  return Found(container=ContainerKind.CAF, pcm=_format(description, num_bytes), spans=[span])


def _format(description: bytes, num_bytes: int) -> PcmFormat:
  if len(description) < _DESCRIPTION_BYTES:
    raise short_chunk('desc', _DESCRIPTION_BYTES, len(description))
  rate, format_id, flags, frame_bytes, _, num_channels, bits = struct.unpack('>d4sIIIII', description)
  check_channels(num_channels)
  if format_id == b'lpcm' and flags & _IS_FLOAT:
    check_bits(bits, 'float', (16, 32, 64))
    kind, from_bits = SampleKind.FLOAT, bits // 8
    sample_bytes = from_bits if frame_bytes == from_bits * num_channels else None
  elif format_id == b'lpcm':
    check_bits(bits, 'int', range(1, 33))
    kind, from_bits = SampleKind.SIGNED, least_bytes(bits)
    sample_bytes = sample_bytes_of(frame_bytes, num_channels, bits)
  elif format_id in _COMPANDED:
    kind, from_bits = _COMPANDED[format_id], 1
    sample_bytes = 1 if frame_bytes == num_channels else None
  else:
    raise AudioFormatError(f'expected samples that are not compressed, got {format_id!r}: {CONVERT}.')
  if sample_bytes is None and num_bytes % (from_bits * num_channels):
    raise AudioFormatError(
      f'expected {from_bits * num_channels} bytes per packet ({num_channels} channels, {bits} bits), '
      f'got {frame_bytes}: the header contradicts itself; export the file again.'
    )
  return PcmFormat(
    kind=kind,
    sample_bytes=sample_bytes or from_bits,
    num_channels=num_channels,
    sample_rate_hz=float_to_rate(rate),
    is_big_endian=not flags & _IS_LITTLE_ENDIAN,
  )
