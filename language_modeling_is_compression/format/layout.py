"""Layouts: how the samples of a file are divided into chunks, and which coding these have.

Shapes: N frames of a span, C channels, S bytes of a sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from language_modeling_is_compression.audio.pcm import (
  SILENCE,
  PcmFormat,
  integers_from_raw,
  patterns_from_raw,
  raw_from_integers,
  raw_from_patterns,
)
from language_modeling_is_compression.audio.planes import (
  patterns_from_planes,
  planes_from_patterns,
  planes_from_samples,
  samples_from_planes,
)
from language_modeling_is_compression.config import defaults
from language_modeling_is_compression.format.payloads import (
  Channel,
  ChannelShape,
  Patterns,
  PatternShape,
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


@dataclass(frozen=True)
class ChannelLayout:
  """Format version 1: a chunk holds one channel of a span, for models of byte tokens, or without a model."""

  coding: ClassVar[int] = 1
  max_span_frames: ClassVar[int] = 1 << 16
  max_span_bytes: ClassVar[int] = 1 << 22  # Sum over all channels.
  effort: ClassVar[int] = 0
  max_effort: ClassVar[int] = 0

  def chunks_per_span(self, pcm: PcmFormat) -> int:
    return pcm.num_channels

  def label(self, chunk: int) -> str:
    """Names one chunk of a span, for people."""
    return f'channel {chunk}'

  def payload_shape(self, pcm: PcmFormat, num_frames: int) -> PayloadShape:
    """Shape of each chunk of a span of so many frames."""
    if not pcm.is_integer:
      return RawShape(num_bytes=num_frames * pcm.sample_bytes, silent_byte=SILENCE.get(pcm.kind, 0))
    return ChannelShape(num_samples=num_frames, sample_bytes=pcm.sample_bytes)

  def split(self, raw: np.ndarray, pcm: PcmFormat) -> Sequence[Payload]:
    """Payloads of a span. raw: uint8 [N, C, S], as in the file."""
    if not pcm.is_integer:
      return [Raw(data=channel.tobytes()) for channel in planes_from_patterns(patterns_from_raw(raw, pcm))]
    planes = planes_from_samples(integers_from_raw(raw, pcm), pcm.sample_bytes)
    return [Channel(tokens=channel.T) for channel in planes]

  def join(self, payloads: Sequence[Payload], pcm: PcmFormat) -> np.ndarray:
    """Inverse of `split`: uint8 [N, C, S]."""
    data = b''.join(payload.to_bytes() for payload in payloads)
    planes = np.frombuffer(data, np.uint8).reshape(pcm.num_channels, pcm.sample_bytes, -1)
    if not pcm.is_integer:
      return raw_from_patterns(patterns_from_planes(planes), pcm)
    return raw_from_integers(samples_from_planes(planes), pcm)


@dataclass(frozen=True, kw_only=True)
class SegmentLayout:
  """Format version 2: a chunk holds a segment, which is all of a span, for hybrid models of the first experts.

  effort: how hard the model's experts work.
  """

  coding: ClassVar[int] = 2
  has_starts: ClassVar[bool] = False  # Whether side information says how prediction begins, in a compact form.
  max_effort: ClassVar[int] = defaults.MAX_EFFORT
  max_span_frames: ClassVar[int] = 1 << 22
  max_span_bytes: ClassVar[int] = 1 << 25
  effort: int

  def chunks_per_span(self, pcm: PcmFormat) -> int:
    return 1

  def label(self, chunk: int) -> str:
    """Names one chunk of a span, for people."""
    return 'all channels'

  def payload_shape(self, pcm: PcmFormat, num_frames: int) -> SegmentShape | PatternShape:
    """Shape of the one chunk of a span of so many frames."""
    shape = SegmentShape(
      num_frames=num_frames,
      num_channels=pcm.num_channels,
      sample_bytes=pcm.sample_bytes,
      sample_rate_hz=pcm.sample_rate_hz,
      effort=self.effort,
    )
    return shape if pcm.is_integer else PatternShape(kind=pcm.kind, segment=shape)

  def split(self, raw: np.ndarray, pcm: PcmFormat) -> Sequence[Payload]:
    """The one payload of a span. raw: uint8 [N, C, S], as in the file."""
    shape = self.payload_shape(pcm, len(raw))
    if isinstance(shape, PatternShape):
      return [Patterns(patterns=patterns_from_raw(raw, pcm), shape=shape)]
    return [Segment(samples=integers_from_raw(raw, pcm), shape=shape)]

  def join(self, payloads: Sequence[Payload], pcm: PcmFormat) -> np.ndarray:
    """Inverse of `split`: uint8 [N, C, S]."""
    [segment] = payloads
    if isinstance(segment, Patterns):
      return raw_from_patterns(segment.patterns, pcm)
    assert isinstance(segment, Segment), 'a span of this layout is one segment'
    return raw_from_integers(segment.samples, pcm)


@dataclass(frozen=True, kw_only=True)
class LinearLayout(SegmentLayout):
  """Format version 3: segments that are coded by linear prediction alone; effort: the number of its preset."""

  coding: ClassVar[int] = 3
  max_effort: ClassVar[int] = defaults.MAX_PRESET
  model_id: ClassVar[bytes] = hashlib.sha256(b'lmic linear prediction 1').digest()  # Of every file, and of no other.


@dataclass(frozen=True, kw_only=True)
class HybridLayout(SegmentLayout):
  """Format version 4: segments that are coded by linear prediction and a network."""

  coding: ClassVar[int] = 4


@dataclass(frozen=True, kw_only=True)
class StartedLinearLayout(LinearLayout):
  """Linear prediction alone, which begins as side information says."""

  coding: ClassVar[int] = 5
  has_starts: ClassVar[bool] = True
  model_id: ClassVar[bytes] = hashlib.sha256(b'lmic linear prediction 2').digest()


@dataclass(frozen=True, kw_only=True)
class StartedHybridLayout(HybridLayout):
  """Linear prediction and a network, which begin as side information says."""

  coding: ClassVar[int] = 6
  has_starts: ClassVar[bool] = True
  max_effort: ClassVar[int] = defaults.MAX_EFFORT_NUMBER


Layout = ChannelLayout | SegmentLayout
LAYOUTS: Mapping[int, type[Layout]] = {
  layout.coding: layout
  for layout in (
    ChannelLayout,
    SegmentLayout,
    LinearLayout,
    HybridLayout,
    StartedLinearLayout,
    StartedHybridLayout,
  )
}


def new_layout(layout: type[Layout], effort: int) -> Layout:
  """A layout of a type. Raises ValueError for an effort where there is none."""
  if issubclass(layout, SegmentLayout):
    return layout(effort=effort)
  if effort:
    raise ValueError('effort of a layout that has none')
  return layout()
