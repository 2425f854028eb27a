"""General-purpose methods of chunks, which need no model: stored bytes and LZMA."""

import lzma
import math

from language_modeling_is_compression.format.container import LZMA, STORED
from language_modeling_is_compression.system.cancellation import Cancellation

_MIN_DICT_BYTES, _MAX_DICT_BYTES = 1 << 12, 1 << 22
# A decoder takes 4 MiB for it, whatever a file says.
_FILTERS = [{'id': lzma.FILTER_LZMA2, 'preset': 9 | lzma.PRESET_EXTREME, 'dict_size': _MAX_DICT_BYTES}]
# LZMA takes a twentieth of a model's time for a segment. It is run at full strength where a quick run comes near the
# model; on sound of all kinds the quick one comes out 5% to 45% larger, most often 5% to 12%.
_QUICK_FILTERS = [{'id': lzma.FILTER_LZMA2, 'preset': 0, 'dict_size': _MAX_DICT_BYTES}]
_NEAR = 1.25
# A match of LZMA covers 273 bytes at most and takes 14 binary decisions of 0.022 bits or more.
_MAX_RATIO = 8192
_BYTES_PER_CHECK = 1 << 16  # Between two looks at the cancellation.


def compress(data: bytes) -> bytes:
  """Data through LZMA, as strong as it goes."""
  return lzma.compress(data, lzma.FORMAT_RAW, filters=_fitting(_FILTERS, len(data)))


def compress_below(data: bytes, limit: int, cancellation: Cancellation) -> bytes | None:
  """Data through LZMA if that makes fewer bytes than the limit; None if not, or if a quick try is not near it.

  Raises CancelledError.
  """
  if limit <= len(data) // _MAX_RATIO:
    return None
  if _compress(data, _QUICK_FILTERS, math.ceil(_NEAR * limit), cancellation) is None:
    return None
  return _compress(data, _FILTERS, limit, cancellation)


def _compress(data: bytes, filters: list[dict[str, int]], limit: int, cancellation: Cancellation) -> bytes | None:
  """None as soon as it is known not to be below the limit."""
  compressor = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=_fitting(filters, len(data)))
  packed = bytearray()
  for start in range(0, len(data), _BYTES_PER_CHECK):
    packed += compressor.compress(data[start : start + _BYTES_PER_CHECK])
    cancellation.check()
    if len(packed) >= limit:
      return None
  packed += compressor.flush()
  return bytes(packed) if len(packed) < limit else None


def _fitting(filters: list[dict[str, int]], num_bytes: int) -> list[dict[str, int]]:
  """Filters whose dictionary has room for the data: an encoder takes 12 times its size, and for a while to clear it."""
  room = min(max(1 << num_bytes.bit_length(), _MIN_DICT_BYTES), _MAX_DICT_BYTES)
  return [{**each, 'dict_size': room} for each in filters]


def decompress(method: int, body: bytes, num_bytes: int) -> bytes | None:
  """Payload of a body of STORED or LZMA; None unless it has num_bytes bytes. Never produces more than those."""
  if method == STORED:
    return body if len(body) == num_bytes else None
  assert method == LZMA, f'method {method} needs a model'
  decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
  try:
    data = decompressor.decompress(body, max_length=num_bytes)
    # The end mark may still be unread; nothing may come out any more, nor follow.
    rest = b'' if decompressor.eof else decompressor.decompress(b'', max_length=1)
  except (lzma.LZMAError, EOFError):
    return None
  sound = len(data) == num_bytes and not rest and decompressor.eof and not decompressor.unused_data
  return data if sound else None
