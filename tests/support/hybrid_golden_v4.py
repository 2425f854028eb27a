"""What golden files of format version 4 are made of, beside the originals of versions 2 and 3, which it shares."""

from pathlib import Path

import numpy as np

from support.wav_builder import build_wav, pcm_bytes


def shared_originals(folders: list[Path]) -> dict[str, bytes]:
  """Those in the folders but one, which repeats so exactly that LZMA takes fewer bytes."""
  paths = sorted(path for folder in folders for path in folder.glob('*.original'))
  return {path.stem: path.read_bytes() for path in paths if path.stem != 'repeats_8'}


def originals() -> dict[str, bytes]:
  """WAVs that earlier versions have no like of."""
  rng = np.random.default_rng(13)
  # So loud that it is cut off above and below.
  t = np.arange(900)[:, None]
  loud = 60_000 * np.sin(0.05 * t + [0, 0.3]) + rng.normal(0, 4000, (900, 2))
  loud = np.round(loud).clip(-32_768, 32_767).astype(np.int64)
  # Silence but for rare ones.
  quiet = np.where(rng.random((2000, 1)) < 0.2, rng.choice([-1, 1, 2], (2000, 1)), 0)
  return {
    'clipped_16': build_wav(pcm_bytes(loud, 16), channels=2),
    'nearly_silent_8': build_wav(pcm_bytes(quiet, 8), channels=1, bits=8),
  }
