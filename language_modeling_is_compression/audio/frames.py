"""Frames of PCM files: as they stand there, or as integers.

Shapes: N frames, C channels, S bytes of a sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from language_modeling_is_compression.audio.g711 import expand_a_law, expand_mu_law
from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.opening import unreadable
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind, integers_from_raw
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.system.on_demand import OnDemand
from language_modeling_is_compression.system.text import printable

if TYPE_CHECKING:
  import numpy as np
else:
  np = OnDemand('numpy')


def read_raw_frames(info: PcmInfo, start: int, stop: int) -> np.ndarray:
  """Reads frames start:stop of all regions together, and only them, as they stand in the file: uint8 [N, C, S].

  0 <= start <= stop <= info.num_frames, else ValueError. Raises AudioFormatError if the file has become shorter or
  unreadable since its headers were read.
  """
  if not 0 <= start <= stop <= info.num_frames:
    raise ValueError(f'frames {start}:{stop} of {info.num_frames}')
  raw = np.empty((stop - start, info.num_channels, info.sample_bytes), np.uint8)
  first = 0  # Of a region's frames, among all.
  try:
    with open(info.path, 'rb', buffering=0) as file:
      for region in info.regions:
        begin, end = max(start, first), min(stop, first + region.num_frames)
        if begin < end:
          offset = region.offset + (begin - first) * info.frame_bytes
          file.seek(offset)
          _fill(raw[begin - start : end - start], np.fromfile(file, np.uint8, raw[: end - begin].size), info, offset)
        first += region.num_frames
  except OSError as error:
    raise unreadable(info.path, error) from error
  return raw


def read_pcm_frames(info: PcmInfo, start: int, stop: int) -> np.ndarray:
  """Reads frames start:stop of all regions together, and only them, as signed integers of info.resolution_bits bits.

  Returns int32 [stop - start, C]. Unsigned samples of b bits are less by 2**(b - 1), signed ones are sign-extended, and
  A-law and mu-law are expanded to 16 bits (ITU-T G.711). A float sample x becomes clip(floor(x * 2**23 + 0.5), -2**23,
  2**23 - 1), computed in float64; NaN becomes 0 and the infinities clip.

  Raises as `read_raw_frames`.
  """
  return linear_samples(read_raw_frames(info, start, stop), info.pcm)


def linear_samples(raw: np.ndarray, pcm: PcmFormat) -> np.ndarray:
  """Signed integers, int32 [N, C], of frames as they stand in a file, uint8 [N, C, S]: by `read_pcm_frames`'s rules."""
  if pcm.kind == SampleKind.FLOAT:
    return _from_floats(raw.view(f'{">" if pcm.is_big_endian else "<"}f{pcm.sample_bytes}')[:, :, 0])
  if pcm.kind == SampleKind.A_LAW:
    return expand_a_law(raw[:, :, 0])
  if pcm.kind == SampleKind.MU_LAW:
    return expand_mu_law(raw[:, :, 0])
  return integers_from_raw(raw, pcm)


def _fill(part: np.ndarray, data: np.ndarray, info: PcmInfo, offset: int) -> None:
  """Copies what was read at offset. Raises AudioFormatError if it is less than a part's bytes."""
  if data.size != part.size:
    raise AudioFormatError(
      f'{printable(str(info.path))}: expected {part.size} bytes at offset {offset}, got {data.size}: '
      'the file became shorter while it was in use; start again once nothing writes to it.'
    )
  part[:] = data.reshape(part.shape)


def _from_floats(floats: np.ndarray) -> np.ndarray:
  """24-bit integers, int32 of the same shape, by the rule of `read_pcm_frames`."""
  with np.errstate(over='ignore', invalid='ignore'):  # Infinities and signalling NaNs have their place in the rule.
    values = floats.astype(np.float64)
    values *= 2.0**23
    values += 0.5
  np.floor(values, out=values)
  np.clip(values, -(2.0**23), 2.0**23 - 1, out=values)
  values[np.isnan(values)] = 0
  return values.astype(np.int32)
