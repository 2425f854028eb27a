"""Samples without a header: their format as a user names it."""

import re

from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.config.defaults import MAX_RATE_HZ
from language_modeling_is_compression.errors import ConfigError

_KINDS = {'s': SampleKind.SIGNED, 'u': SampleKind.UNSIGNED, 'f': SampleKind.FLOAT}
_BITS = {SampleKind.SIGNED: (8, 16, 24, 32), SampleKind.UNSIGNED: (8, 16, 24, 32), SampleKind.FLOAT: (16, 32, 64)}
_LAWS = {'alaw': SampleKind.A_LAW, 'mulaw': SampleKind.MU_LAW}
_NAME = re.compile(r'([suf])(8|16|24|32|64)(le|be)?')
MAX_CHANNELS = 65_535
HELP = 'FORMAT,RATE,CHANNELS, where FORMAT is s16le, s24be, u8, f32le, alaw, mulaw, ...'


def raw_format(text: str) -> PcmFormat:
  """The format that a text FORMAT,RATE,CHANNELS names: 's16le,44100,2', 'f32be,48000,1', 'alaw,8000,1'.

  FORMAT: s (signed), u (unsigned) or f (floating-point), bits, and le or be where a sample has several bytes; or alaw,
  mulaw. RATE: in Hz, 0 if it is not known. Raises ConfigError.
  """
  parts = text.split(',')
  if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts[1:]):
    raise ConfigError(f'raw: expected {HELP}, got {text!r}')
  name, rate, num_channels = parts[0].lower(), int(parts[1]), int(parts[2])
  if rate > MAX_RATE_HZ or not 1 <= num_channels <= MAX_CHANNELS:
    raise ConfigError(f'raw: expected a rate up to {MAX_RATE_HZ} Hz and 1 to {MAX_CHANNELS} channels, got {text!r}')
  kind, sample_bytes, is_big_endian = _parse_name(name)
  return PcmFormat(
    kind=kind,
    sample_bytes=sample_bytes,
    num_channels=num_channels,
    sample_rate_hz=rate,
    is_big_endian=is_big_endian,
  )


def _parse_name(name: str) -> tuple[SampleKind, int, bool]:
  if name in _LAWS:
    return _LAWS[name], 1, False
  match = _NAME.fullmatch(name)
  if match is None:
    raise ConfigError(f'raw: expected {HELP}, got the format {name!r}')
  kind, bits, order = _KINDS[match[1]], int(match[2]), match[3]
  if bits not in _BITS[kind] or (order is None) != (bits == 8):
    example = f'{match[1]}{_BITS[kind][-1]}le'
    raise ConfigError(f'raw: there is no format {name!r}: name its bits and the order of its bytes, as in {example}')
  return kind, bits // 8, order == 'be'
