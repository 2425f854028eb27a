"""Recordings of every format that is trained on and evaluated: the one place that decides which reader a file has.

A reader gives a file's headers, an AudioInfo, and any span of its frames as integers, without reading the rest.
"""

from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.flac import FlacInfo, read_flac_frames, read_flac_info
from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.parsing import read_pcm_info

# fmt: off
PCM_SUFFIXES = frozenset({
  '.wav', '.wave', '.bwf', '.rf64', '.amb', '.rifx', '.aif', '.aiff', '.aifc', '.caf', '.w64', '.au', '.snd', '.sph',
})
# fmt: on
FLAC_SUFFIXES = frozenset({'.flac'})

AudioInfo = PcmInfo | FlacInfo


def read_info(path: Path) -> AudioInfo:
  """Headers of a file: of FLAC where its suffix, in any case, is FLAC's, else of samples in whatever container it has.

  Raises AudioFormatError, one line beginning with the path, if it cannot be read or is no such audio, and
  DependencyError where FLAC cannot be decoded.
  """
  return read_flac_info(path) if path.suffix.lower() in FLAC_SUFFIXES else read_pcm_info(path)


def read_frames(info: AudioInfo, start: int, stop: int) -> np.ndarray:
  """Frames start:stop as signed integers of info.resolution_bits bits: int32 [stop - start, num_channels].

  0 <= start <= stop <= info.num_frames, else ValueError. Raises AudioFormatError if the file can no longer be read, or
  not there.
  """
  return read_flac_frames(info, start, stop) if isinstance(info, FlacInfo) else read_pcm_frames(info, start, stop)
