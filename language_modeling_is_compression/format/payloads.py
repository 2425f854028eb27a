"""Payloads: what a chunk of a .lmic file decodes to, as arrays, and as the bytes that checksums and LZMA see.

A payload is one of four: raw bytes, one channel of a span of frames (byte tokens), or a segment, all channels of a
span, of integers or of other samples. Its shape follows from the file's header, before anything is decoded.

Shapes: N samples of a channel (frames of a segment), C channels, S bytes of a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from language_modeling_is_compression.audio.pcm import SILENCE, SampleKind
from language_modeling_is_compression.audio.planes import (
  patterns_from_planes,
  planes_from_patterns,
  planes_from_samples,
  samples_from_planes,
)
from language_modeling_is_compression.system.on_demand import OnDemand

if TYPE_CHECKING:
  import numpy as np
else:
  np = OnDemand('numpy')


@dataclass(frozen=True, kw_only=True)
class RawShape:
  """Bytes that no model predicts: what surrounds the samples, files without samples, floats without a model.

  dictionary: bytes that they may resemble. silent_byte: what stands for each if they are lost.
  """

  num_bytes: int
  dictionary: bytes = b''
  silent_byte: int = field(default=0, compare=False)

  def parse(self, data: bytes) -> Raw:
    """Payload of `num_bytes` bytes."""
    return Raw(data=data, dictionary=self.dictionary)

  def silence(self) -> Raw:
    """Silence or zeros, which stand for a chunk that is lost."""
    return self.parse(bytes([self.silent_byte]) * self.num_bytes)


@dataclass(frozen=True, kw_only=True)
class ChannelShape:
  """One channel of a span of integer samples."""

  num_samples: int
  sample_bytes: int

  @property
  def num_bytes(self) -> int:
    return self.num_samples * self.sample_bytes

  def parse(self, data: bytes) -> Channel:
    """Payload of `num_bytes` bytes: the first byte of every sample, then the second ones, and so on."""
    return Channel(tokens=np.frombuffer(data, np.uint8).reshape(self.sample_bytes, -1).T)

  def silence(self) -> Channel:
    """Silence, which stands for a chunk that is lost; in offset binary its first bytes are 128."""
    tokens = np.zeros((self.num_samples, self.sample_bytes), np.uint8)
    tokens[:, 0] = 0x80
    return Channel(tokens=tokens)


@dataclass(frozen=True, kw_only=True)
class SegmentShape:
  """All channels of a span of integer samples. effort: how hard the model's experts work, as the file's header says."""

  num_frames: int
  num_channels: int
  sample_bytes: int
  sample_rate_hz: int
  effort: int

  @property
  def num_bytes(self) -> int:
    return self.num_frames * self.num_channels * self.sample_bytes

  @property
  def num_planes(self) -> int:
    """Of a payload's bytes, those at the same place of a channel's samples being one."""
    return self.num_channels * self.sample_bytes

  def parse(self, data: bytes) -> Segment:
    """Payload of `num_bytes` bytes: channel after channel, each as a `ChannelShape` has it."""
    planes = np.frombuffer(data, np.uint8).reshape(self.num_channels, self.sample_bytes, self.num_frames)
    return Segment(samples=samples_from_planes(planes), shape=self)

  def silence(self) -> Segment:
    """Silence, which stands for a chunk that is lost."""
    return Segment(samples=np.zeros((self.num_frames, self.num_channels), np.int32), shape=self)


@dataclass(frozen=True, kw_only=True)
class PatternShape:
  """All channels of a span of samples that are no integers. segment: as for integers of as many bytes."""

  kind: SampleKind
  segment: SegmentShape

  @property
  def num_bytes(self) -> int:
    return self.segment.num_bytes

  @property
  def num_planes(self) -> int:
    return self.segment.num_planes

  def parse(self, data: bytes) -> Patterns:
    """Payload of `num_bytes` bytes: channel after channel, the high bytes of all its patterns first."""
    shape = self.segment
    planes = np.frombuffer(data, np.uint8).reshape(shape.num_channels, shape.sample_bytes, shape.num_frames)
    return Patterns(patterns=patterns_from_planes(planes), shape=self)

  def silence(self) -> Patterns:
    """Silence, which stands for a chunk that is lost."""
    silent = np.full((self.segment.num_frames, self.segment.num_channels), SILENCE.get(self.kind, 0))
    return Patterns(patterns=silent.astype(f'u{self.segment.sample_bytes}'), shape=self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Raw:
  """Plain bytes. dictionary: as `RawShape` has it."""

  data: bytes
  dictionary: bytes = b''

  @property
  def shape(self) -> RawShape:
    return RawShape(num_bytes=len(self.data), dictionary=self.dictionary)

  def to_bytes(self) -> bytes:
    return self.data


@dataclass(frozen=True, kw_only=True, eq=False)
class Channel:
  """tokens: uint8 [N, S], samples in offset binary, most significant byte first."""

  tokens: np.ndarray

  @property
  def shape(self) -> ChannelShape:
    return ChannelShape(num_samples=self.tokens.shape[0], sample_bytes=self.tokens.shape[1])

  def to_bytes(self) -> bytes:
    return self.tokens.T.tobytes()


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
  """samples: int32 [N, C], signed; 8-bit samples less 128."""

  samples: np.ndarray
  shape: SegmentShape

  def to_bytes(self) -> bytes:
    return planes_from_samples(self.samples, self.shape.sample_bytes).tobytes()


@dataclass(frozen=True, kw_only=True, eq=False)
class Patterns:
  """patterns: unsigned integers of the samples' bytes [N, C], the bits of floats or the codes of G.711."""

  patterns: np.ndarray
  shape: PatternShape

  def to_bytes(self) -> bytes:
    return planes_from_patterns(self.patterns).tobytes()


Payload = Raw | Channel | Segment | Patterns
PayloadShape = RawShape | ChannelShape | SegmentShape | PatternShape
