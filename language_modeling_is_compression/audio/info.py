"""What a parser of containers finds: how a file's samples are written, and where they stand.

A frame is one sample of every channel, as it stands in the file.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind

MAX_REGIONS = 4096
MAX_FRAME_BYTES = 0xFFFF  # Largest number in the field of a WAV header.

ENCODINGS = {
  SampleKind.SIGNED: 'int',
  SampleKind.UNSIGNED: 'int',
  SampleKind.FLOAT: 'float',
  SampleKind.A_LAW: 'a-law',
  SampleKind.MU_LAW: 'mu-law',
}
# Of floats: what a rule in frames.py makes of them. Of A-law and mu-law: the expansion of ITU-T G.711 to 16 bits.
_RESOLUTION_BITS = {'float': 24, 'a-law': 16, 'mu-law': 16}


class ContainerKind(enum.StrEnum):
  """Containers that samples are found in, by the names that people know them by."""

  WAV = 'WAV'  # RIFF, and its forms RF64 and BW64.
  RIFX = 'RIFX'
  AIFF = 'AIFF'  # And AIFF-C.
  CAF = 'CAF'
  W64 = 'W64'
  AU = 'AU'  # Also of the other byte order.
  SPHERE = 'NIST SPHERE'


@dataclass(frozen=True, slots=True)
class Region:
  """Whole frames that stand next to each other. offset: of the first, in bytes from the file's beginning."""

  offset: int
  num_frames: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PcmInfo:
  """What a file's headers say of its samples, corrected by the file's length.

  path: the file, as it was given.
  pcm: 1 to 65,535 channels in frames of at most MAX_FRAME_BYTES bytes. The sample rate is 0 to 2**32 - 1, as the header
  says: nobody checks it.
  regions: 1 to MAX_REGIONS in the file's order, which do not overlap. All other bytes are no samples: headers, gaps,
  partial frames, regions beyond the last of so many. Each has frames; a file without any has one region of 0 frames.
  file_bytes: length of the file when its headers were read.
  """

  path: Path
  container: ContainerKind
  pcm: PcmFormat
  regions: tuple[Region, ...]
  file_bytes: int

  @property
  def num_frames(self) -> int:
    return sum(region.num_frames for region in self.regions)

  @property
  def num_channels(self) -> int:
    return self.pcm.num_channels

  @property
  def sample_rate_hz(self) -> int:
    return self.pcm.sample_rate_hz

  @property
  def sample_bytes(self) -> int:
    """Bytes of one sample in the file; 20 bits in 24 count as 3."""
    return self.pcm.sample_bytes

  @property
  def frame_bytes(self) -> int:
    return self.pcm.frame_bytes

  @property
  def encoding(self) -> str:
    """How samples are written, for people and results: 'int', 'float', 'a-law' or 'mu-law'."""
    return ENCODINGS[self.pcm.kind]

  @property
  def resolution_bits(self) -> int:
    """Bits of the integers that `read_pcm_frames` gives: 8, 16, 24 or 32."""
    return _RESOLUTION_BITS.get(self.encoding, 8 * self.sample_bytes)

  @property
  def is_plain_wav(self) -> bool:
    """Whether programs that know WAV alone read all samples: little-endian integers or usual floats in one region."""
    is_usual = self.encoding == 'int' or (self.encoding == 'float' and self.sample_bytes > 2)
    return self.container == ContainerKind.WAV and is_usual and len(self.regions) == 1
