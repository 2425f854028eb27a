"""What golden files of format version 3 are made of, beside the originals of version 2, which it shares."""

from pathlib import Path

import numpy as np

from language_modeling_is_compression.format.division import SegmentSettings
from support import hybrid_golden, lmic_frames
from support.wav_builder import build_wav, pcm_bytes

LEVELS = {'preset_0': SegmentSettings(frames=250, effort=0, preset=0)} | {
  f'preset_{preset}': SegmentSettings(frames=1 << 19, effort=0, preset=preset) for preset in (1, 2, 3)
}


def shared_originals(folder: Path) -> dict[str, bytes]:
  """Those in the folder of version 2 but two, which others take the place of.

  One repeats so exactly that LZMA takes fewer bytes, and one has less use for a map than it was made for.
  """
  names = sorted({path.stem for path in folder.glob('*.original')} - {'repeats_8', 'louder_16'})
  return {name: (folder / f'{name}.original').read_bytes() for name in names}


def originals() -> dict[str, bytes]:
  """WAVs that version 2 has no like of."""
  rng = np.random.default_rng(11)
  # Far from the centre on both sides, at the end of quiet: for long after them LZMA would take fewer bytes.
  clicks = np.round(rng.normal(0, 40, (300, 2))).astype(np.int64)
  clicks[-8:-2, 0] = [8_000_000, -8_000_000, 30_000, 0, 7_999_999, 5]
  clicks[-1, 1] = -(1 << 23)
  # So few that most buckets of indices have none.
  few = rng.choice(np.sort(rng.choice(30_000, 20, replace=False)) - 15_000, (900, 1))
  # A bucket of several indices has several that are used, and more that are not.
  louder = np.round(5.003 * np.round(rng.laplace(0, 100, (1000, 1)))).astype(np.int64)
  # Into a second block, in which it is like what it was at two lags.
  repeated = sum(np.resize(rng.normal(0, 16, period), 5300) for period in (1000, 1300)) + rng.normal(0, 4, 5300)
  repeated = np.round(repeated)[:, None].clip(-128, 127).astype(np.int64)
  return {
    'clicks_24': build_wav(pcm_bytes(clicks, 24), channels=2, bits=24),
    'few_values_16': build_wav(pcm_bytes(few, 16), channels=1),
    'five_times_as_loud_16': build_wav(pcm_bytes(louder, 16), channels=1),
    'repeats_in_noise_8': build_wav(pcm_bytes(repeated, 8), channels=1, bits=8),
  }


def broken(sound: bytes) -> dict[str, bytes]:
  return hybrid_golden.broken(sound) | {
    'another_model': lmic_frames.sealed(sound[:52] + bytes([sound[52] ^ 1]) + sound[53:])
  }
