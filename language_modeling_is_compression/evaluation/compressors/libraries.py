"""Other people's compressors that are libraries: from bytes to bytes, in this process."""

import bz2
import gzip
import lzma
import platform
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import zstandard

_PYTHON = f'Python {platform.python_version()}'  # Its modules do not say which version of the library is in them.
_XZ_PRESET = 9 | lzma.PRESET_EXTREME
_XZ_WINDOW_BYTES = 64 << 20
_XZ_LEAST_WINDOW_BYTES = 4096
_ZSTD_LEVEL = zstandard.MAX_COMPRESSION_LEVEL


@dataclass(frozen=True, kw_only=True)
class Library:
  """name: as tables show it. version: of the library. settings: the call, for people."""

  name: str
  version: str
  settings: str
  compress: Callable[[bytes], bytes]
  decompress: Callable[[bytes], bytes]


def _gzip(data: bytes) -> bytes:
  return gzip.compress(data, compresslevel=9)


def _bzip2(data: bytes) -> bytes:
  return bz2.compress(data, compresslevel=9)


def _xz(data: bytes) -> bytes:
  # The preset's own window of 64 MiB is set up anew for every call, which takes a hundred times as long as a chunk.
  window_bytes = min(max(len(data), _XZ_LEAST_WINDOW_BYTES), _XZ_WINDOW_BYTES)
  return lzma.compress(data, filters=[{'id': lzma.FILTER_LZMA2, 'preset': _XZ_PRESET, 'dict_size': window_bytes}])


def _zstd(data: bytes) -> bytes:
  parameters = zstandard.ZstdCompressionParameters.from_level(_ZSTD_LEVEL, source_size=len(data))
  window_log = min(len(data).bit_length(), zstandard.WINDOWLOG_MAX)
  if window_log > parameters.window_log:
    parameters = zstandard.ZstdCompressionParameters.from_level(
      _ZSTD_LEVEL, source_size=len(data), window_log=window_log, enable_ldm=True
    )
  return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def _unzstd(data: bytes) -> bytes:
  return zstandard.ZstdDecompressor(max_window_size=1 << zstandard.WINDOWLOG_MAX).decompress(data)


# gzip and lzma are called as the code of "Language Modeling is Compression" calls them. On its chunks lzma's strongest
# setting is a few bytes off, to either side, so it is another row.
LIBRARIES: Mapping[str, Library] = {
  'gzip': Library(
    name='gzip -9',
    version=f'zlib {zlib.ZLIB_RUNTIME_VERSION}',
    settings='gzip.compress(data, compresslevel=9)',
    compress=_gzip,
    decompress=gzip.decompress,
  ),
  'bz2': Library(
    name='bzip2 -9',
    version=_PYTHON,
    settings='bz2.compress(data, compresslevel=9)',
    compress=_bzip2,
    decompress=bz2.decompress,
  ),
  'lzma': Library(
    name='lzma -6', version=_PYTHON, settings='lzma.compress(data)', compress=lzma.compress, decompress=lzma.decompress
  ),
  'xz': Library(
    name='lzma -9e',
    version=_PYTHON,
    settings='lzma.compress(data), preset 9 | PRESET_EXTREME, a window as large as the data, at most 64 MiB',
    compress=_xz,
    decompress=lzma.decompress,
  ),
  'zstd': Library(
    name=f'zstd -{_ZSTD_LEVEL}',
    version='zstd ' + '.'.join(map(str, zstandard.ZSTD_VERSION)),
    settings=f'zstandard, level {_ZSTD_LEVEL}, a window as large as the data',
    compress=_zstd,
    decompress=_unzstd,
  ),
}
