"""FLAC files of given samples."""

from pathlib import Path

import numpy as np
import soundfile


def write_flac(path: Path, samples: np.ndarray, bits: int = 16, rate_hz: int = 8000) -> None:
  """samples: signed integers [N, C] or [N], of 8, 16 or 24 bits."""
  path.parent.mkdir(parents=True, exist_ok=True)
  left_justified = samples.astype(np.int32) << (32 - bits)
  subtype = 'PCM_S8' if bits == 8 else f'PCM_{bits}'
  soundfile.write(path, left_justified, rate_hz, format='FLAC', subtype=subtype)


def streaminfo(*, bits: int = 16, channels: int = 1, num_frames: int = 0, rate_hz: int = 8000) -> bytes:
  """The beginning of a FLAC file that says this of itself."""
  fields = rate_hz << 44 | channels - 1 << 41 | bits - 1 << 36 | num_frames
  return b'fLaC' + bytes([0x80, 0, 0, 34]) + bytes(10) + fields.to_bytes(8, 'big') + bytes(16)
