"""Sample rates as floats: IEEE 754 extended precision of 80 bits, big-endian, as AIFF has them, and CAF's doubles."""

from __future__ import annotations

import struct

_BIAS = 16_383
_FRACTION_BITS = 63
_MAX_RATE = 0xFFFFFFFF


def extended_to_int(data: bytes) -> int:
  """The nearest whole number; 0 for what is none from 0 to 2**32 - 1. data: 10 bytes: sign and exponent, mantissa."""
  exponent, mantissa = struct.unpack('>HQ', data)
  shift = _BIAS + _FRACTION_BITS - exponent  # A sign bit makes it negative.
  if not 32 <= shift <= 64:  # 2**32 and more, or less than a half.
    return 0
  rate: int = (mantissa + (1 << (shift - 1))) >> shift
  return rate if rate <= _MAX_RATE else 0


def int_to_extended(value: int) -> bytes:
  """Inverse of `extended_to_int`, 10 bytes. 0 <= value < 2**32."""
  if value == 0:
    return bytes(10)
  shift = _FRACTION_BITS + 1 - value.bit_length()
  return struct.pack('>HQ', _BIAS + _FRACTION_BITS - shift, value << shift)


def float_to_rate(value: float) -> int:
  """The nearest whole number; 0 for what is none from 0 to 2**32 - 1, NaN too."""
  return round(value) if 0 <= value <= _MAX_RATE else 0
