"""General-purpose methods of chunks, which need no model: stored bytes, LZMA, and DEFLATE primed with a dictionary."""

import lzma
import math
import zlib

from language_modeling_is_compression.codec.repeats import has_repeats
from language_modeling_is_compression.format.container import LZMA, PRIMED, STORED
from language_modeling_is_compression.system.cancellation import Cancellation

_MIN_DICT_BYTES, _MAX_DICT_BYTES = 1 << 12, 1 << 24
# A decoder takes 16 MiB for it, whatever a file says; of versions 1 to 4 no chunk of bytes has more than 1 MiB.
_FILTERS = [{'id': lzma.FILTER_LZMA2, 'preset': 9 | lzma.PRESET_EXTREME, 'dict_size': _MAX_DICT_BYTES}]
# It is run at full strength where a quick run comes near the model; on sound of all kinds the quick one comes out 5% to
# 45% larger, most often 5% to 12%. Where next to nothing repeats, a quick run of excerpts has to come near it first.
_QUICK_FILTERS = [{'id': lzma.FILTER_LZMA2, 'preset': 0, 'dict_size': _MAX_DICT_BYTES}]
_NEAR = 1.25
_DENSE = 16  # A model that takes a byte for more than so many is one of silence, or of what hardly changes.
_NUM_EXCERPTS, _EXCERPT_SHARE, _MIN_EXCERPT_BYTES = 24, 192, 1 << 11  # As many of each plane of bytes.
# A match of LZMA covers 273 bytes at most and takes 14 binary decisions of 0.022 bits or more.
_MAX_RATIO = 8192
_BYTES_PER_CHECK = 1 << 16  # Between two looks at the cancellation.
_INCOMPRESSIBLE = 0.98  # What comes out so large is not worth another try.
MAX_PRIMED_BYTES = 1 << 16  # DEFLATE looks back half as far.


def compress(data: bytes, limit: int | None = None) -> bytes:
  """Data through LZMA, as strong as it goes: as a mixture of everything, or as text without an alignment.

  limit: bytes that some other method takes; what is not near it the first time is not tried again.
  """
  filters = _fitting(_FILTERS, len(data))
  plain = lzma.compress(data, lzma.FORMAT_RAW, filters=filters)
  if len(plain) > _INCOMPRESSIBLE * len(data) or (limit is not None and len(plain) > _NEAR * limit):
    return plain
  as_text = lzma.compress(data, lzma.FORMAT_RAW, filters=[{**each, 'lc': 4, 'pb': 0} for each in filters])
  return min(plain, as_text, key=len)


def compress_primed(data: bytes, dictionary: bytes) -> bytes:
  """Data through DEFLATE, as if the dictionary had come before it."""
  compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
  return compressor.compress(data) + compressor.flush()


def compress_below(data: bytes, limit: int, cancellation: Cancellation, *, num_planes: int = 1) -> bytes | None:
  """Data through LZMA if that makes fewer bytes than the limit; None if not, or if a quick try is not near it.

  num_planes: of the data, the bytes of a sample, each in a plane of its own. The last one, of the lowest bytes, repeats
  only where the sound does. Raises CancelledError.
  """
  if limit <= len(data) // _MAX_RATIO:
    return None
  is_long = len(data) > _NUM_EXCERPTS * _MIN_EXCERPT_BYTES
  is_dense = limit > len(data) // _DENSE
  if is_long and is_dense and not has_repeats(data[-(len(data) // num_planes) :], cancellation):
    excerpts = _excerpts(data)
    if _compress(excerpts, _QUICK_FILTERS, math.ceil(_NEAR * limit * len(excerpts) / len(data)), cancellation) is None:
      return None
  if _compress(data, _QUICK_FILTERS, math.ceil(_NEAR * limit), cancellation) is None:
    return None
  return _compress(data, _FILTERS, limit, cancellation)


def _excerpts(data: bytes) -> bytes:
  """Pieces from all over long data, an eighth of it or more."""
  size = max(len(data) // _EXCERPT_SHARE, _MIN_EXCERPT_BYTES)
  return b''.join(data[len(data) * k // _NUM_EXCERPTS :][:size] for k in range(_NUM_EXCERPTS))


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


def decompress(method: int, body: bytes, num_bytes: int, dictionary: bytes = b'') -> bytes | None:
  """Payload of a body that no model coded; None unless it has num_bytes bytes. Never produces more than those.

  dictionary: of PRIMED.
  """
  if method == STORED:
    return body if len(body) == num_bytes else None
  if method == PRIMED:
    return _decompress_primed(body, num_bytes, dictionary)
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


def _decompress_primed(body: bytes, num_bytes: int, dictionary: bytes) -> bytes | None:
  decompressor = zlib.decompressobj(-zlib.MAX_WBITS, dictionary)
  try:
    data = decompressor.decompress(body, num_bytes + 1)
  except zlib.error:
    return None
  sound = len(data) == num_bytes and decompressor.eof and not decompressor.unused_data
  return data if sound else None
