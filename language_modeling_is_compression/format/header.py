"""Header of a .lmic file, which is all that is needed to know what its chunks hold; a frame (frame.py) has its bytes.

A header may come from anywhere: nothing is allocated by what it claims.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from language_modeling_is_compression.audio.pcm import WIDTHS, PcmFormat
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.layout import LAYOUTS, Layout, LinearLayout, SegmentLayout
from language_modeling_is_compression.format.payloads import Payload, PayloadShape, RawShape
from language_modeling_is_compression.format.surroundings import (
  CONTAINERS,
  NO_CONTAINER,
  USUAL_TEXT,
  Surroundings,
  can_hold,
  canonical,
  plain_wav_header,
)
from language_modeling_is_compression.system.on_demand import OnDemand
from language_modeling_is_compression.version import FORMAT_VERSION

if TYPE_CHECKING:
  import numpy as np
else:
  np = OnDemand('numpy')

PIECE_BYTES = 1 << 24
MAX_GAPS = 4096
MAX_RATE_HZ = 0xFFFFFFFF
MAX_GAP_BYTES = 1 << 20  # Of all gaps together, which a decoder holds in memory.
SOURCE_ID_BYTES = 4
MODEL_ID_BYTES = 8
NO_MODEL = b''
COMPACT_VERSION = 5  # The first one whose frame is compact, and whose tail may be canonical.


class Gap(NamedTuple):
  """Bytes between frames that are no samples. frame: the frame that stands behind them, not the first one."""

  frame: int
  num_bytes: int


@dataclass(frozen=True, kw_only=True)
class Header:
  """Fields of a header. The original is head_bytes, then frames of samples with gaps between them, then tail_bytes.

  pcm: the samples; of kind NONE all of the file is its head, and fields about frames are 0.
  container: of CONTAINERS, what the samples stand in, so that parts can be cut out of it.
  chunk_frames: frames of a span, which `layout` divides into chunks. piece_bytes: bytes of head or tail in a chunk.
  model_id: the first bytes of the identity of the model that chunks may be coded with, or NO_MODEL.
  source_id: distinguishes this file from others, so that a chunk of another one is not taken for its own.
  has_canonical_head: whether head and tail are `canonical`'s, and so take no chunks (before version 5 the head alone).
  """

  pcm: PcmFormat
  chunk_frames: int
  head_bytes: int
  num_frames: int
  tail_bytes: int
  model_id: bytes
  source_id: bytes
  layout: Layout
  container: str = NO_CONTAINER
  gaps: tuple[Gap, ...] = ()
  has_canonical_head: bool = False
  piece_bytes: int = PIECE_BYTES
  format_version: int = FORMAT_VERSION

  @functools.cached_property
  def chunks_per_span(self) -> int:
    return self.layout.chunks_per_span(self.pcm)

  @property
  def num_audio_chunks(self) -> int:
    return self.num_spans * self.chunks_per_span

  @functools.cached_property
  def gap_bytes(self) -> int:
    return sum(gap.num_bytes for gap in self.gaps)

  @property
  def original_bytes(self) -> int:
    return self.head_bytes + self.gap_bytes + self.num_frames * self.pcm.frame_bytes + self.tail_bytes

  @property
  def bytes_before(self) -> int:
    """Bytes of the chunks before the samples: the head's, and behind it those of all gaps."""
    return (0 if self.has_canonical_head else self.head_bytes) + self.gap_bytes

  @property
  def bytes_behind(self) -> int:
    """Bytes of the chunks after the samples."""
    return 0 if self.has_canonical_tail else self.tail_bytes

  @property
  def has_canonical_tail(self) -> bool:
    return self.has_canonical_head and self.format_version >= COMPACT_VERSION

  @property
  def num_head_chunks(self) -> int:
    return -(-self.bytes_before // self.piece_bytes)

  @property
  def num_spans(self) -> int:
    return -(-self.num_frames // self.chunk_frames) if self.num_frames else 0

  @property
  def num_tail_chunks(self) -> int:
    return -(-self.bytes_behind // self.piece_bytes)

  @property
  def num_chunks(self) -> int:
    return self.num_head_chunks + self.num_audio_chunks + self.num_tail_chunks

  def span_frames(self, span: int) -> int:
    """Frames of a span: chunk_frames, fewer for the last one."""
    return min(self.chunk_frames, self.num_frames - span * self.chunk_frames)

  def span_of(self, index: int) -> int | None:
    """The span that a chunk belongs to; None if it holds no samples."""
    audio = index - self.num_head_chunks
    return audio // self.chunks_per_span if 0 <= audio < self.num_audio_chunks else None

  def payload_shape(self, index: int) -> PayloadShape:
    """Shape of what a chunk decodes to."""
    if (span := self.span_of(index)) is not None:
      return self.layout.payload_shape(self.pcm, self.span_frames(span))
    if index < self.num_head_chunks:
      num_bytes = min(self.piece_bytes, self.bytes_before - index * self.piece_bytes)
    else:
      piece = index - self.num_head_chunks - self.num_audio_chunks
      num_bytes = min(self.piece_bytes, self.bytes_behind - piece * self.piece_bytes)
    return RawShape(num_bytes=num_bytes, dictionary=self.dictionary)

  def payload_bytes(self, index: int) -> int:
    """Bytes that a chunk decodes to."""
    return self.payload_shape(index).num_bytes

  def split_span(self, raw: bytes) -> Sequence[Payload]:
    """Payloads of a span's chunks. raw: its frames as they stand in the file."""
    frames = np.frombuffer(raw, np.uint8).reshape(-1, self.pcm.num_channels, self.pcm.sample_bytes)
    return self.layout.split(frames, self.pcm)

  def join_span(self, payloads: Sequence[Payload]) -> np.ndarray:
    """Inverse of `split_span`: uint8 [N, C, S], N frames, C channels, S bytes of a sample."""
    return self.layout.join(payloads, self.pcm)

  @functools.cached_property
  def dictionary(self) -> bytes:
    """Bytes that those around the samples may resemble; none before version 5."""
    if self.format_version < COMPACT_VERSION or not self.pcm.num_channels:
      return b''
    around = self.surroundings() if can_hold(self.container, self.pcm) else Surroundings(b'', b'')
    return USUAL_TEXT + around.tail + around.head

  def surroundings(self) -> Surroundings:
    """What stands around the frames where it is canonical. Raises FormatError if nothing can be."""
    if self.format_version >= COMPACT_VERSION:
      return canonical(self.container, self.pcm, self.num_frames)
    return Surroundings(plain_wav_header(self.pcm, self.num_frames), b'')

  def chunk_label(self, index: int) -> str:
    """Name of a chunk, for people: 'chunk 7 (channel 1, 3.10 to 4.20 s)'."""
    if (span := self.span_of(index)) is None:
      return f'chunk {index} (bytes {"before" if index < self.num_head_chunks else "after"} the samples)'
    channel = (index - self.num_head_chunks) % self.chunks_per_span
    which = self.layout.label(channel)
    first = span * self.chunk_frames
    last = first + self.span_frames(span)
    rate = self.pcm.sample_rate_hz
    if not rate:
      return f'chunk {index} ({which}, frames {first} to {last})'
    return f'chunk {index} ({which}, {first / rate:.2f} to {last / rate:.2f} s)'


def with_canonical_sizes(header: Header) -> Header:
  """A header whose head and tail have as many bytes as canonical ones. Raises FormatError if nothing can be."""
  around = header.surroundings()
  return dataclasses.replace(header, head_bytes=len(around.head), tail_bytes=len(around.tail))


def check_header(header: Header) -> None:
  """Raises FormatError if the fields of a header contradict each other."""
  if not _is_consistent(header):
    raise FormatError('its header contradicts itself: no program of this version wrote it')


def _is_consistent(header: Header) -> bool:
  pcm, chunk_frames, layout = header.pcm, header.chunk_frames, header.layout
  has_samples = pcm.num_channels > 0
  return (
    pcm.sample_bytes in WIDTHS[pcm.kind]
    and has_samples == (pcm.sample_bytes > 0)
    and (chunk_frames > 0) == has_samples
    and pcm.sample_rate_hz <= MAX_RATE_HZ
    and not (pcm.is_big_endian and pcm.sample_bytes < 2)  # One byte has no order.
    and (has_samples or not any(header.model_id) or header.format_version < COMPACT_VERSION)
    and (has_samples or (header.num_frames, pcm.sample_rate_hz, header.tail_bytes, header.gaps) == (0, 0, 0, ()))
    and (has_samples or (header.container, pcm.is_big_endian) == ('none', False))
    and chunk_frames <= layout.max_span_frames
    and chunk_frames * pcm.frame_bytes <= layout.max_span_bytes
    and 0 < header.piece_bytes <= PIECE_BYTES
    and layout.effort <= layout.max_effort
    and (not isinstance(layout, SegmentLayout) or (has_samples and any(header.model_id)))
    and _has_a_model_of_its_own(header)
    and header.container in CONTAINERS
    and _are_consistent(header.gaps, header.num_frames)
    and (not header.has_canonical_head or _may_be_canonical(header))
  )


def _has_a_model_of_its_own(header: Header) -> bool:
  """Whether linear prediction has its own identity, and nothing else has it."""
  layout, model_id = header.layout, header.model_id
  if isinstance(layout, LinearLayout):
    return any(model_id) and layout.model_id.startswith(model_id)
  others = (each.model_id for each in LAYOUTS.values() if issubclass(each, LinearLayout))
  return not any(model_id) or not any(other.startswith(model_id) for other in others)


def _are_consistent(gaps: Sequence[Gap], num_frames: int) -> bool:
  places = [0, *(gap.frame for gap in gaps), num_frames]
  return not gaps or (
    len(gaps) <= MAX_GAPS
    and sum(gap.num_bytes for gap in gaps) <= MAX_GAP_BYTES
    and all(gap.num_bytes > 0 for gap in gaps)
    and all(before < after for before, after in itertools.pairwise(places))
  )


def _may_be_canonical(header: Header) -> bool:
  """Whether what is canonical has as many bytes as the head, and the tail; a head that leaves no room for gaps."""
  if header.gaps or not can_hold(header.container, header.pcm):
    return False
  around = header.surroundings()
  return header.head_bytes == len(around.head) and (
    not header.has_canonical_tail or header.tail_bytes == len(around.tail)
  )
