"""Files of every container and format with noise in them, and files that say what is read of them."""

import io
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.containers.writing import can_hold, file_header
from language_modeling_is_compression.audio.info import ContainerKind
from language_modeling_is_compression.audio.pcm import WIDTHS, PcmFormat, SampleKind

PATH = Path('a')


def formats(num_channels: int, sample_rate_hz: int = 8000) -> list[PcmFormat]:
  """Every kind, width and byte order."""
  return [
    PcmFormat(
      kind=kind,
      sample_bytes=width,
      num_channels=num_channels,
      sample_rate_hz=sample_rate_hz,
      is_big_endian=is_big_endian,
    )
    for kind in list(SampleKind)[1:]
    for width in WIDTHS[kind]
    for is_big_endian in ((False, True) if width > 1 else (False,))
  ]


def cases(num_channels: int, sample_rate_hz: int = 8000) -> list[tuple[ContainerKind, PcmFormat]]:
  """Every container with every format that it can hold."""
  each = formats(num_channels, sample_rate_hz)
  return [(container, pcm) for container in ContainerKind for pcm in each if can_hold(container, pcm)]


def noise(num_bytes: int, seed: int = 0) -> bytes:
  return np.random.default_rng(seed).bytes(num_bytes)


def file_of(container: ContainerKind, pcm: PcmFormat, payload: bytes) -> bytes:
  """The plainest file of some frames."""
  header, tail = file_header(container, pcm, len(payload) // pcm.frame_bytes)
  return header + payload + tail


class WatchedFile(io.BytesIO):
  """How often it is read, how much at a time at most, and up to where."""

  def __init__(self, contents: bytes):
    super().__init__(contents)
    self.num_reads = self.most_bytes = self.end = 0

  def read(self, size: int | None = -1, /) -> bytes:
    assert size is not None and size >= 0, 'reads have a size of their own'
    self.num_reads += 1
    self.most_bytes = max(self.most_bytes, size)
    self.end = max(self.end, self.tell() + size)
    return super().read(size)
