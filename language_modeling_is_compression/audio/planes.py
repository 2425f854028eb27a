"""Byte planes of PCM and back, without loss: what LZMA, stored chunks, checksums and byte models see of samples.

Shapes: N frames, C channels, S bytes of a sample. A plane holds one byte of every sample of a channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from language_modeling_is_compression.system.on_demand import OnDemand

if TYPE_CHECKING:
  import numpy as np
else:
  np = OnDemand('numpy')


def planes_from_patterns(patterns: np.ndarray) -> np.ndarray:
  """Planes of bit patterns, the high bytes first: uint8 [C, S, N] from unsigned integers of S bytes [N, C]."""
  sample_bytes = patterns.dtype.itemsize
  stored = patterns.astype(f'>u{sample_bytes}')
  return stored.view(np.uint8).reshape(*patterns.shape, sample_bytes).transpose(1, 2, 0).copy()


def patterns_from_planes(planes: np.ndarray) -> np.ndarray:
  """Inverse of `planes_from_patterns`: unsigned integers of S bytes [N, C] from uint8 [C, S, N]."""
  sample_bytes = planes.shape[1]
  stored = np.ascontiguousarray(planes.transpose(2, 0, 1))
  return stored.view(f'>u{sample_bytes}')[:, :, 0].astype(f'u{sample_bytes}')


def samples_from_planes(planes: np.ndarray) -> np.ndarray:
  """Signed samples, int32 [N, C], from their bytes in offset binary: planes uint8 [C, S, N], the high bytes first.

  S is 1 to 4, else ValueError.
  """
  _check_sample_bytes(planes.shape[1])
  num_channels, sample_bytes, num_frames = planes.shape
  # The bytes go to the top of 32 bits, and the shift down extends the sign.
  wide = np.zeros((num_frames, num_channels, 4), np.uint8)
  wide[:, :, :sample_bytes] = planes.transpose(2, 0, 1)
  wide[:, :, 0] ^= 0x80
  return wide.view('>i4')[:, :, 0].astype(np.int32) >> (32 - 8 * sample_bytes)


def planes_from_samples(samples: np.ndarray, sample_bytes: int) -> np.ndarray:
  """Inverse of `samples_from_planes`: uint8 [C, S, N] from int32 [N, C], of which the low 8 * S bits count.

  Raises ValueError if sample_bytes is not 1 to 4.
  """
  _check_sample_bytes(sample_bytes)
  top = (samples << (32 - 8 * sample_bytes)).astype('>i4')
  planes = top.view(np.uint8).reshape(*samples.shape, 4)[:, :, :sample_bytes].transpose(1, 2, 0).copy()
  planes[:, 0] ^= 0x80
  return planes


def _check_sample_bytes(sample_bytes: int) -> None:
  if not 1 <= sample_bytes <= 4:
    raise ValueError(f'sample_bytes is {sample_bytes}, not 1 to 4')
