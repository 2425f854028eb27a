"""NIST SPHERE files without compression: where samples stand.

Source: National Institute of Standards and Technology "SPeech HEader REsources (SPHERE)" 2.6: lines of ASCII text, each
`NAME -TYPE VALUE`, in a header whose length stands in its second line.
"""

from __future__ import annotations

import re

from language_modeling_is_compression.audio.containers.found import CONVERT, Found, check_channels
from language_modeling_is_compression.audio.containers.window import WINDOW_BYTES, Window
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.errors import AudioFormatError

MAGIC = b'NIST_1A\n'
_MAGIC_AND_LENGTH = re.compile(rb'NIST_1A\n *([0-9]{1,7})\n')
_FIELD = re.compile(rb'^([a-z_]+) -(?:i|r|s[0-9]+) (\S+)', re.MULTILINE)
_COMPANDED = {
  'alaw': SampleKind.A_LAW,
  'a-law': SampleKind.A_LAW,
  'ulaw': SampleKind.MU_LAW,
  'mu-law': SampleKind.MU_LAW,
}
_MAX_RATE = 0xFFFFFFFF


def is_sphere(head: bytes) -> bool:
  """Whether bytes begin a SPHERE file."""
  return head.startswith(MAGIC)


def parse_sphere(window: Window, base: int) -> Found:
  """Samples behind the header: as many as it says, or as there are.

  base: offset of the header. Raises AudioFormatError, which does not name the file.
  """
  text = window.read(base, WINDOW_BYTES)
  length = _MAGIC_AND_LENGTH.match(text)
  if length is None:
    raise AudioFormatError('expected the length of a NIST_1A header in its second line: the file is damaged.')
  begin = int(length[1])
  fields = {
    name.decode(): value.decode('latin-1') for name, value in _FIELD.findall(text[:begin].split(b'\nend_head')[0])
  }
  coding = fields.get('sample_coding', 'pcm').lower()
  if coding != 'pcm' and coding not in _COMPANDED:
    raise AudioFormatError(f'expected samples that are not compressed, got {coding}: {CONVERT}.')
  num_channels = _number(fields, 'channel_count', 1)
  check_channels(num_channels)
  if coding == 'pcm':
    kind, sample_bytes = SampleKind.SIGNED, _number(fields, 'sample_n_bytes', None)
  else:
    kind, sample_bytes = _COMPANDED[coding], 1
  if not 1 <= sample_bytes <= 4:
    raise AudioFormatError(f'expected samples of 1 to 4 bytes, got {sample_bytes}: {CONVERT}.')
  available = max(window.file_bytes - base - begin, 0)
  num_frames = _number(fields, 'sample_count', available)
  return Found(
    container=ContainerKind.SPHERE,
    pcm=PcmFormat(
      kind=kind,
      sample_bytes=sample_bytes,
      num_channels=num_channels,
      sample_rate_hz=min(_number(fields, 'sample_rate', 0), _MAX_RATE),
      is_big_endian=sample_bytes > 1 and _is_big_endian(fields.get('sample_byte_format', ''), sample_bytes),
    ),
    spans=[(base + begin, min(num_frames * num_channels * sample_bytes, available))],
  )


def _is_big_endian(byte_format: str, sample_bytes: int) -> bool:
  """Whether the digits of a byte format, which say how high the value of each byte is, fall.

  Those of two bytes also stand for the order of more.
  """
  rising = '0123'[:sample_bytes]
  if byte_format not in (rising, rising[::-1], '01', '10'):
    raise AudioFormatError(
      f'expected the byte format {rising} or {rising[::-1]}, got {byte_format!r}: the header contradicts itself; '
      'export the file again.'
    )
  return not byte_format.startswith('0')


def _number(fields: dict[str, str], name: str, default: int | None) -> int:
  """A field that is a whole number of at most 18 digits, or a decimal fraction, which is cut."""
  text = fields.get(name)
  if text is None and default is not None:
    return default
  if text is None or not re.fullmatch(r'[0-9]{1,18}(\.[0-9]*)?', text):
    raise AudioFormatError(f"expected a number in the field '{name}', got {text!r}: the file is damaged.")
  return int(text.split('.')[0])
