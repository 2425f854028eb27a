"""Arrays of samples as WAV files and back, so that a blob is a .lmic file like any other.

What a WAV cannot say, that samples were int8 or that one channel was a column, stands in a RIFF chunk after the
samples: id `lmic`, ASCII text `DTYPE NDIM`, for example `int8 1`. Arrays that a reader would make of the WAV anyway
have none.

Shapes: N frames, C channels, S bytes of a sample.
"""

import dataclasses
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from language_modeling_is_compression.audio.frames import linear_samples
from language_modeling_is_compression.audio.info import MAX_FRAME_BYTES
from language_modeling_is_compression.audio.pcm import (
  PcmFormat,
  SampleKind,
  patterns_from_raw,
  raw_from_integers,
  raw_from_patterns,
  wav_integers,
)
from language_modeling_is_compression.errors import InputError
from language_modeling_is_compression.format.surroundings import plain_wav_header, wav_envelope

Samples = npt.NDArray[Any]

_MARK_ID = b'lmic'
_DTYPES = ('uint8', 'int8', 'int16', 'int32', 'float16', 'float32', 'float64')
_DEPTHS = (8, 16, 24, 32)
_MAX_RIFF_BYTES = 0xFFFFFFFE


@dataclass(frozen=True, kw_only=True)
class ArrayKind:
  """dtype: of an array, by NumPy's name. num_dimensions: 1 for [N], 2 for [N, C]."""

  dtype: str
  num_dimensions: int


def array_kind(pcm: PcmFormat, tail: bytes = b'') -> ArrayKind:
  """The array that a file's samples become. tail: bytes of the file after its samples, which may hold a mark."""
  if (mark := _find_mark(tail)) and _fits(mark, pcm):
    return mark
  if pcm.kind == SampleKind.FLOAT:
    dtype = f'float{8 * pcm.sample_bytes}'
  elif pcm.kind == SampleKind.UNSIGNED and pcm.sample_bytes == 1:
    dtype = 'uint8'
  elif not pcm.is_integer:  # G.711, expanded.
    dtype = 'int16'
  else:
    dtype = {1: 'int8', 2: 'int16'}.get(pcm.sample_bytes, 'int32')
  return ArrayKind(dtype=dtype, num_dimensions=_dimensions(pcm.num_channels))


def wav_parts(samples: Samples, sample_rate_hz: int, bit_depth: int | None) -> tuple[bytes, np.ndarray, bytes]:
  """Header, frames uint8 [N, C, S] and tail of the WAV that holds an array. Raises InputError for one that none can."""
  pcm, frames = to_frames(samples, sample_rate_hz, bit_depth)
  header = plain_wav_header(pcm, len(frames))
  kind = ArrayKind(dtype=samples.dtype.name, num_dimensions=samples.ndim)
  if kind == array_kind(pcm):
    around = wav_envelope(pcm, len(frames))
    return around.head, frames, around.tail
  mark = f'{kind.dtype} {kind.num_dimensions}'.encode()
  tail = bytes(frames.nbytes % 2) + struct.pack('<4sI', _MARK_ID, len(mark)) + mark + bytes(len(mark) % 2)
  riff_bytes = len(header) - 8 + frames.nbytes + len(tail)
  if riff_bytes > _MAX_RIFF_BYTES:
    raise InputError(
      f'samples: {frames.nbytes:,} bytes as {kind.dtype} of {kind.num_dimensions} dimensions do not fit a WAV: '
      'compress them in parts'
    )
  return header[:4] + struct.pack('<I', riff_bytes) + header[8:], frames, tail


def to_frames(samples: Samples, sample_rate_hz: int, bit_depth: int | None) -> tuple[PcmFormat, np.ndarray]:
  """Format and frames, uint8 [N, C, S], of an array as a WAV has them. Raises InputError."""
  _check_array(samples)
  depth = _checked_depth(samples, bit_depth)
  num_channels = 1 if samples.ndim == 1 else samples.shape[1]
  rate = _checked_rate(sample_rate_hz)
  pcm = wav_integers(sample_bytes=depth // 8, num_channels=num_channels, sample_rate_hz=rate)
  if samples.dtype.kind == 'f':
    pcm = dataclasses.replace(pcm, kind=SampleKind.FLOAT)
  if not 0 < pcm.frame_bytes <= MAX_FRAME_BYTES:
    raise InputError(f'samples: expected 1 to {MAX_FRAME_BYTES // pcm.sample_bytes} channels, got {num_channels}')
  columns = samples.reshape(-1, num_channels)
  if samples.dtype == np.uint8:
    return pcm, np.ascontiguousarray(columns)[:, :, None]
  if pcm.kind == SampleKind.FLOAT:
    return pcm, raw_from_patterns(np.ascontiguousarray(columns).view(f'u{pcm.sample_bytes}'), pcm)
  return pcm, raw_from_integers(columns.astype(np.int32), pcm)


def from_frames(frames: np.ndarray, pcm: PcmFormat, kind: ArrayKind) -> Samples:
  """Inverse of `to_frames`: the array of a kind. frames: uint8 [N, C, S]."""
  if pcm.kind == SampleKind.FLOAT:
    samples: Samples = patterns_from_raw(np.ascontiguousarray(frames), pcm).view(kind.dtype)
  elif kind.dtype == 'uint8':
    samples = frames[:, :, 0].copy()
  else:
    samples = linear_samples(np.ascontiguousarray(frames), pcm).astype(kind.dtype)
  return samples[:, 0] if kind.num_dimensions == 1 else samples


def _dimensions(num_channels: int) -> int:
  return 1 if num_channels == 1 else 2


def _find_mark(tail: bytes) -> ArrayKind | None:
  """The mark among the RIFF chunks of a tail, which begins with a pad byte where the samples' bytes are odd."""
  place = tail.find(_MARK_ID)
  if place not in (0, 1) or len(tail) < place + 8:
    return None
  size = int.from_bytes(tail[place + 4 : place + 8], 'little')
  fields = tail[place + 8 : place + 8 + size].split(b' ')
  if len(fields) != 2 or fields[0].decode('ascii', 'replace') not in _DTYPES or fields[1] not in (b'1', b'2'):
    return None
  return ArrayKind(dtype=fields[0].decode(), num_dimensions=int(fields[1]))


def _fits(kind: ArrayKind, pcm: PcmFormat) -> bool:
  dtype = np.dtype(kind.dtype)
  if dtype.kind == 'f':
    fits = pcm.kind == SampleKind.FLOAT and dtype.itemsize == pcm.sample_bytes
  else:
    fits = pcm.is_integer and dtype.itemsize >= pcm.sample_bytes
  return fits and (kind.num_dimensions == 2 or pcm.num_channels == 1)


def _check_array(samples: Any) -> None:
  if not isinstance(samples, np.ndarray):
    raise InputError(f'samples: expected a NumPy array, got {type(samples).__name__}: make one with np.asarray')
  if samples.ndim not in (1, 2):
    raise InputError(f'samples: expected shape [N] or [N, C], got {list(samples.shape)}')
  if samples.dtype.name in _DTYPES and samples.dtype.isnative:
    return
  if samples.dtype.name in _DTYPES:
    advice = f'swap the bytes with .astype(np.{samples.dtype.name})'
  else:
    advice = 'convert them with .astype(np.int32) if they fit, and give bit_depth if it is not 32'
  raise InputError(f'samples: expected one of {", ".join(_DTYPES)}, got {samples.dtype}: {advice}')


def _checked_depth(samples: Samples, bit_depth: int | None) -> int:
  """Bits of the samples, which fit them all."""
  own = 8 * samples.dtype.itemsize
  if bit_depth is None:
    return own
  if samples.dtype.kind == 'f' and bit_depth != own:
    raise InputError(f'bit_depth: expected {own} for {samples.dtype}, got {bit_depth!r}')
  if samples.dtype.kind != 'f' and (bit_depth not in _DEPTHS or bit_depth > own):
    depths = ', '.join(str(depth) for depth in _DEPTHS if depth <= own)
    raise InputError(f'bit_depth: expected {depths} for {samples.dtype}, got {bit_depth!r}')
  if samples.size and bit_depth < own:
    low, high = -(1 << (bit_depth - 1)), (1 << (bit_depth - 1)) - 1
    smallest, greatest = int(samples.min()), int(samples.max())
    if smallest < low or greatest > high:
      raise InputError(
        f'bit_depth: samples from {smallest} to {greatest} do not fit {bit_depth} bits, {low} to {high}: '
        'name a wider depth, or leave it out'
      )
  return int(bit_depth)


def _checked_rate(sample_rate_hz: Any) -> int:
  if not isinstance(sample_rate_hz, int | np.integer) or not 0 <= sample_rate_hz < 1 << 32:
    raise InputError(f'sample_rate_hz: expected an integer from 0 to {(1 << 32) - 1}, got {sample_rate_hz!r}')
  return int(sample_rate_hz)
