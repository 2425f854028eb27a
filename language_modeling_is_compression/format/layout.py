"""Layouts: how the samples of a file are divided into chunks. A format version has one.

Shapes: N frames of a span, C channels, S bytes of a sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.audio.planes import (
  frames_from_planes,
  planes_from_frames,
  raw_from_samples,
  samples_from_raw,
)
from language_modeling_is_compression.config import defaults
from language_modeling_is_compression.format.payloads import (
  Channel,
  ChannelShape,
  Payload,
  PayloadShape,
  Raw,
  RawShape,
  Segment,
  SegmentShape,
)
from language_modeling_is_compression.system.on_demand import OnDemand

if TYPE_CHECKING:
  import numpy as np
else:
  np = OnDemand('numpy')

# Kinds of samples.
NO_SAMPLES, INTEGER, FLOAT = range(3)


@dataclass(frozen=True, kw_only=True)
class PcmFormat:
  """Samples as they stand in a file, little-endian.

  kind: NO_SAMPLES (then all other fields are 0), INTEGER (8 bits unsigned, wider ones signed) or FLOAT.
  """

  kind: int
  sample_bytes: int
  num_channels: int
  sample_rate_hz: int

  @property
  def frame_bytes(self) -> int:
    return self.sample_bytes * self.num_channels

  @property
  def is_signed(self) -> bool:
    """Whether samples are two's complement, which payloads of channels have as offset binary."""
    return self.kind == INTEGER and self.sample_bytes > 1


@dataclass(frozen=True)
class ChannelLayout:
  """Format version 1: a chunk holds one channel of a span, for models of byte tokens, or without a model."""

  version: ClassVar[int] = 1
  max_span_frames: ClassVar[int] = 1 << 16
  max_span_bytes: ClassVar[int] = 1 << 22  # Sum over all channels.
  effort: ClassVar[int] = 0
  max_effort: ClassVar[int] = 0
  has_canonical_head: ClassVar[bool] = False

  def chunks_per_span(self, pcm: PcmFormat) -> int:
    return pcm.num_channels

  def label(self, chunk: int) -> str:
    """Names one chunk of a span, for people."""
    return f'channel {chunk}'

  def payload_shape(self, pcm: PcmFormat, num_frames: int) -> PayloadShape:
    """Shape of each chunk of a span of so many frames."""
    if pcm.kind != INTEGER:
      return RawShape(num_bytes=num_frames * pcm.sample_bytes)
    return ChannelShape(num_samples=num_frames, sample_bytes=pcm.sample_bytes)

  def split(self, raw: np.ndarray, pcm: PcmFormat) -> Sequence[Payload]:
    """Payloads of a span. raw: uint8 [N, C, S], as in the file."""
    planes = planes_from_frames(raw, signed=pcm.is_signed)
    if pcm.kind != INTEGER:
      return [Raw(data=channel.tobytes()) for channel in planes]
    return [Channel(tokens=channel.T) for channel in planes]

  def join(self, payloads: Sequence[Payload], pcm: PcmFormat) -> np.ndarray:
    """Inverse of `split`: uint8 [N, C, S]."""
    data = b''.join(payload.to_bytes() for payload in payloads)
    planes = np.frombuffer(data, np.uint8).reshape(pcm.num_channels, pcm.sample_bytes, -1)
    return frames_from_planes(planes, signed=pcm.is_signed)


@dataclass(frozen=True, kw_only=True)
class SegmentLayout:
  """Format version 2: a chunk holds a segment, which is all of a span, for hybrid models of the first experts.

  effort: how hard the model's experts work.
  has_canonical_head: whether the bytes before the samples are `canonical_header`'s, and so take no chunks.
  """

  version: ClassVar[int] = 2
  max_effort: ClassVar[int] = defaults.MAX_EFFORT
  max_span_frames: ClassVar[int] = 1 << 22
  max_span_bytes: ClassVar[int] = 1 << 25
  effort: int
  has_canonical_head: bool = False

  def chunks_per_span(self, pcm: PcmFormat) -> int:
    return 1

  def label(self, chunk: int) -> str:
    """Names one chunk of a span, for people."""
    return 'all channels'

  def payload_shape(self, pcm: PcmFormat, num_frames: int) -> SegmentShape:
    """Shape of the one chunk of a span of so many frames."""
    return SegmentShape(
      num_frames=num_frames,
      num_channels=pcm.num_channels,
      sample_bytes=pcm.sample_bytes,
      sample_rate_hz=pcm.sample_rate_hz,
      effort=self.effort,
    )

  def split(self, raw: np.ndarray, pcm: PcmFormat) -> Sequence[Payload]:
    """The one payload of a span. raw: uint8 [N, C, S], as in the file."""
    return [Segment(samples=samples_from_raw(raw), shape=self.payload_shape(pcm, len(raw)))]

  def join(self, payloads: Sequence[Payload], pcm: PcmFormat) -> np.ndarray:
    """Inverse of `split`: uint8 [N, C, S]."""
    [segment] = payloads
    assert isinstance(segment, Segment), 'a span of this layout is one segment'
    return raw_from_samples(segment.samples, pcm.sample_bytes)


@dataclass(frozen=True, kw_only=True)
class LinearLayout(SegmentLayout):
  """Format version 3: segments that are coded by linear prediction alone; effort: the number of its preset."""

  version: ClassVar[int] = 3
  max_effort: ClassVar[int] = defaults.MAX_PRESET
  model_id: ClassVar[bytes] = hashlib.sha256(b'lmic linear prediction 1').digest()  # Of every file, and of no other.


@dataclass(frozen=True, kw_only=True)
class HybridLayout(SegmentLayout):
  """Format version 4: segments that are coded by linear prediction and a network."""

  version: ClassVar[int] = 4


Layout = ChannelLayout | SegmentLayout
SEGMENT_LAYOUTS = {layout.version: layout for layout in (SegmentLayout, LinearLayout, HybridLayout)}


def wav_envelope(pcm: PcmFormat, num_frames: int) -> tuple[bytes, bytes]:
  """What stands before and behind so many frames of integers in a WAV file: a header, and a pad byte where one is due.

  The header is `wav_header`'s, whose size of the file leaves out the pad byte.
  """
  header = wav_header(
    encoding='int',
    sample_bytes=pcm.sample_bytes,
    num_channels=pcm.num_channels,
    sample_rate_hz=pcm.sample_rate_hz,
    num_frames=num_frames,
  )
  if not num_frames * pcm.frame_bytes % 2:
    return header, b''
  riff_bytes = min(int.from_bytes(header[4:8], 'little') + 1, 0xFFFFFFFF)
  return header[:4] + riff_bytes.to_bytes(4, 'little') + header[8:], b'\0'
