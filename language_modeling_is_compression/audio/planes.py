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


def planes_from_frames(raw: np.ndarray, *, signed: bool) -> np.ndarray:
  """Byte tokens of PCM as it stands in a file, a plane for each byte of a sample, the high bytes first.

  raw: uint8 [N, C, S], little-endian. signed: two's complement, which becomes offset
  binary; else only the order changes.
  Returns uint8 [C, S, N].
  """
  planes = raw.transpose(1, 2, 0)[:, ::-1].copy()
  if signed:
    planes[:, 0] ^= 0x80
  return planes


def frames_from_planes(planes: np.ndarray, *, signed: bool) -> np.ndarray:
  """Inverse of `planes_from_frames`: uint8 [N, C, S] from planes [C, S, N]."""
  raw = planes.transpose(2, 0, 1)[:, :, ::-1].copy()
  if signed:
    raw[:, :, -1] ^= 0x80
  return raw


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


def samples_from_raw(raw: np.ndarray) -> np.ndarray:
  """Signed samples, int32 [N, C], of PCM integers as they stand in a file; 8-bit samples u become u - 128.

  raw: uint8 [N, C, S], little-endian, contiguous. S is 1 to 4, else ValueError.
  """
  num_frames, num_channels, sample_bytes = raw.shape
  _check_sample_bytes(sample_bytes)
  if sample_bytes == 1:
    return raw[:, :, 0].astype(np.int32) - 128
  if sample_bytes == 3:
    # The three bytes go on top of an empty one, and the shift down extends the sign.
    wide = np.zeros((num_frames, num_channels, 4), np.uint8)
    wide[:, :, 1:] = raw
    return wide.view('<i4')[:, :, 0].astype(np.int32, copy=False) >> 8
  return raw.view(f'<i{sample_bytes}')[:, :, 0].astype(np.int32)


def raw_from_samples(samples: np.ndarray, sample_bytes: int) -> np.ndarray:
  """Inverse of `samples_from_raw`: uint8 [N, C, S] from int32 [N, C], of which the low 8 * S bits count.

  Raises ValueError if sample_bytes is not 1 to 4.
  """
  _check_sample_bytes(sample_bytes)
  if sample_bytes == 1:
    return (samples + 128).astype(np.uint8)[:, :, None]
  if sample_bytes == 2:
    return samples.astype('<i2')[:, :, None].view(np.uint8)
  wide = samples.astype('<i4', copy=False)[:, :, None].view(np.uint8)
  return np.ascontiguousarray(wide[:, :, :sample_bytes])


def _check_sample_bytes(sample_bytes: int) -> None:
  if not 1 <= sample_bytes <= 4:
    raise ValueError(f'sample_bytes is {sample_bytes}, not 1 to 4')
