"""PCM samples as they stand in files, and the integers or bit patterns that are coded for them, without loss.

Shapes: N frames, C channels, S bytes of a sample.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from language_modeling_is_compression.system.on_demand import OnDemand

if TYPE_CHECKING:
  import numpy as np
else:
  np = OnDemand('numpy')


class SampleKind(enum.IntEnum):
  """What a sample stands for. The numbers are those of .lmic headers from version 5 on."""

  NONE = 0  # Of a file without samples.
  SIGNED = 1  # Two's complement.
  UNSIGNED = 2  # Offset binary: silence is in the middle.
  FLOAT = 3  # IEEE 754.
  A_LAW = 4  # ITU-T G.711, as are all bits that lines invert.
  MU_LAW = 5


# Bytes that a sample of each kind may have.
WIDTHS = {
  SampleKind.NONE: (0,),
  SampleKind.SIGNED: (1, 2, 3, 4),
  SampleKind.UNSIGNED: (1, 2, 3, 4),
  SampleKind.FLOAT: (2, 4, 8),
  SampleKind.A_LAW: (1,),
  SampleKind.MU_LAW: (1,),
}

# Patterns of silence, where it is not 0.
SILENCE = {SampleKind.A_LAW: 0xD5, SampleKind.MU_LAW: 0xFF}


@dataclass(frozen=True, kw_only=True)
class PcmFormat:
  """Frames as they stand in a file: samples of all channels in turn, without padding between them.

  kind NONE: there are none, and all other fields are 0.
  """

  kind: SampleKind
  sample_bytes: int
  num_channels: int
  sample_rate_hz: int
  is_big_endian: bool = False

  @property
  def frame_bytes(self) -> int:
    return self.sample_bytes * self.num_channels

  def stored_type(self, letter: str) -> str:
    """NumPy's type of a sample of 1, 2, 4 or 8 bytes as it stands in the file. letter: 'i', 'u' or 'f'."""
    return f'{">" if self.is_big_endian else "<"}{letter}{self.sample_bytes}'

  @property
  def is_integer(self) -> bool:
    return self.kind in (SampleKind.SIGNED, SampleKind.UNSIGNED)


def wav_integers(*, sample_bytes: int, num_channels: int, sample_rate_hz: int) -> PcmFormat:
  """Integers as WAV files have them: 8 bits unsigned, more signed, little-endian."""
  kind = SampleKind.UNSIGNED if sample_bytes == 1 else SampleKind.SIGNED
  return PcmFormat(kind=kind, sample_bytes=sample_bytes, num_channels=num_channels, sample_rate_hz=sample_rate_hz)


def integers_from_raw(raw: np.ndarray, pcm: PcmFormat) -> np.ndarray:
  """Signed samples, int32 [N, C], of integers as they stand in a file: unsigned ones of b bits less 2**(b - 1).

  raw: uint8 [N, C, S], contiguous.
  """
  assert pcm.is_integer, pcm.kind
  num_frames, num_channels, sample_bytes = raw.shape
  if sample_bytes != 3:
    stored = raw.view(pcm.stored_type('i'))[:, :, 0]
    if pcm.kind == SampleKind.UNSIGNED:
      stored = stored ^ _sign_bit(stored.dtype)
    return stored.astype(np.int32)
  # The three bytes go on top of an empty one, and the shift down extends the sign.
  wide = np.zeros((num_frames, num_channels, 4), np.uint8)
  wide[:, :, 1:] = raw[:, :, ::-1] if pcm.is_big_endian else raw
  if pcm.kind == SampleKind.UNSIGNED:
    wide[:, :, 3] ^= 0x80
  return wide.view('<i4')[:, :, 0].astype(np.int32, copy=False) >> 8


def raw_from_integers(samples: np.ndarray, pcm: PcmFormat) -> np.ndarray:
  """Inverse of `integers_from_raw`: uint8 [N, C, S] from int32 [N, C], of which the low 8 * S bits count."""
  assert pcm.is_integer, pcm.kind
  if pcm.sample_bytes != 3:
    stored = samples.astype(pcm.stored_type('i'))
    if pcm.kind == SampleKind.UNSIGNED:
      stored ^= _sign_bit(stored.dtype)
    return stored[:, :, None].view(np.uint8)
  raw = samples.astype('<i4', copy=False)[:, :, None].view(np.uint8)[:, :, :3].copy()
  if pcm.kind == SampleKind.UNSIGNED:
    raw[:, :, 2] ^= 0x80
  return np.ascontiguousarray(raw[:, :, ::-1]) if pcm.is_big_endian else raw


def patterns_from_raw(raw: np.ndarray, pcm: PcmFormat) -> np.ndarray:
  """Bit patterns of samples of any kind, unsigned integers of S bytes [N, C] in the machine's order; S is 1, 2, 4 or 8.

  raw: uint8 [N, C, S], contiguous.
  """
  return raw.view(pcm.stored_type('u'))[:, :, 0].astype(f'u{pcm.sample_bytes}')


def raw_from_patterns(patterns: np.ndarray, pcm: PcmFormat) -> np.ndarray:
  """Inverse of `patterns_from_raw`: uint8 [N, C, S]."""
  return patterns.astype(pcm.stored_type('u'))[:, :, None].view(np.uint8)


def _sign_bit(dtype: np.dtype) -> np.ndarray:
  """What separates two's complement from offset binary of a type, as a number of it."""
  return np.array(np.iinfo(dtype).min, dtype)
