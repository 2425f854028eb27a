"""The body of a `fmt ` chunk: WAVEFORMAT, WAVEFORMATEX and WAVEFORMATEXTENSIBLE, in RIFF, RIFX and W64.

Sources: Microsoft/IBM "Multimedia Programming Interface and Data Specifications 1.0", Microsoft "Multiple Channel Audio
Data and WAVE Files" (WAVE_FORMAT_EXTENSIBLE), R. Dobson "AMB Ambisonic file format" (sub-formats of B-format).
"""

from __future__ import annotations

import struct

from language_modeling_is_compression.audio.containers.found import (
  CONVERT,
  check_bits,
  check_channels,
  integer_kind,
  least_bytes,
  sample_bytes_of,
  short_chunk,
)
from language_modeling_is_compression.audio.containers.iff import ByteOrder
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import AudioFormatError

FORMAT_BYTES = 16
EXTENSIBLE_BYTES = 40
EXTENSIBLE = 0xFFFE
PCM, FLOAT, A_LAW, MU_LAW = 1, 3, 6, 7
# Bytes 2 to 16 of every sub-format GUID that stands for a two-byte codec number, the GUID in little-endian order.
SUB_FORMAT_TAIL = bytes.fromhex('000000001000800000aa00389b71')
_AMBISONIC_TAIL = bytes.fromhex('00002107d3118644c8c1ca000000')
_KINDS = {FLOAT: SampleKind.FLOAT, A_LAW: SampleKind.A_LAW, MU_LAW: SampleKind.MU_LAW}
_CODEC_NAMES = {
  0x0002: 'Microsoft ADPCM',
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
  EXTENSIBLE: 'extensible inside extensible',
}


def parse_format(fields: bytes, byte_order: ByteOrder, num_data_bytes: int) -> PcmFormat:
  """Format of the samples that a body describes. fields: its first EXTENSIBLE_BYTES bytes, or fewer.

  num_data_bytes: of the samples; it decides where block_align contradicts itself: if it is a whole number of frames as
  the number of bits has them, they are such. Raises AudioFormatError, which does not name the file.
  """
  if len(fields) < FORMAT_BYTES:
    raise short_chunk('fmt ', FORMAT_BYTES, len(fields))
  order = '<' if byte_order == 'little' else '>'
  tag, num_channels, sample_rate_hz, _, block_align, bits = struct.unpack_from(f'{order}HHIIHH', fields)
  if tag == EXTENSIBLE:
    tag = _sub_format(fields, byte_order)
  if tag not in (PCM, *_KINDS):
    name = _CODEC_NAMES.get(tag, 'unknown')
    raise AudioFormatError(
      f'expected PCM integers, floats, A-law or mu-law, got codec 0x{tag:04X} ({name}): {CONVERT}.'
    )
  check_channels(num_channels)
  if tag == PCM:
    check_bits(bits, 'int', range(1, 33))
    sample_bytes = sample_bytes_of(block_align, num_channels, bits)
    from_bits = least_bytes(bits)
  else:
    if tag == FLOAT:
      check_bits(bits, 'float', (16, 32, 64))
    from_bits = bits // 8 if tag == FLOAT else 1  # Whatever a header calls the bits of companded samples.
    sample_bytes = from_bits if block_align == from_bits * num_channels else None
  if sample_bytes is None:
    if num_data_bytes % (from_bits * num_channels):
      raise AudioFormatError(
        f'expected {from_bits * num_channels} bytes per frame ({num_channels} channels, {bits} bits), '
        f'got a block_align of {block_align}: the header contradicts itself; export the file again.'
      )
    sample_bytes = from_bits
  return PcmFormat(
    kind=_KINDS.get(tag) or integer_kind(sample_bytes, unsigned_bytes=True),
    sample_bytes=sample_bytes,
    num_channels=num_channels,
    sample_rate_hz=sample_rate_hz,
    is_big_endian=byte_order == 'big',
  )


def _sub_format(fields: bytes, byte_order: ByteOrder) -> int:
  """The codec number inside a WAVE_FORMAT_EXTENSIBLE body."""
  if len(fields) < EXTENSIBLE_BYTES:
    raise short_chunk('extensible fmt ', EXTENSIBLE_BYTES, len(fields))
  guid = fields[24:40]
  # A big-endian file may have the numbers that a GUID begins with in its own order.
  for each in (guid, guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:])[: 2 if byte_order == 'big' else 1]:
    if each[2:] in (SUB_FORMAT_TAIL, _AMBISONIC_TAIL):
      return int.from_bytes(each[:2], 'little')
  raise AudioFormatError(f'expected the sub-format PCM, float, A-law or mu-law, got GUID {guid.hex()}: {CONVERT}.')
