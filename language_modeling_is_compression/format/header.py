"""Header of a .lmic file, which is all that is needed to know what its chunks hold.

docs/FORMAT.md has every byte. A header may come from anywhere: nothing is allocated by what it claims.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.audio.info import MAX_FRAME_BYTES
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.format.layout import (
  FLOAT,
  INTEGER,
  NO_SAMPLES,
  SEGMENT_LAYOUTS,
  ChannelLayout,
  Layout,
  LinearLayout,
  PcmFormat,
  SegmentLayout,
)
from language_modeling_is_compression.format.payloads import Payload, PayloadShape, RawShape
from language_modeling_is_compression.system.on_demand import OnDemand
from language_modeling_is_compression.version import FORMAT_VERSIONS, VERSIONS_READ

if TYPE_CHECKING:
  import numpy as np
else:
  np = OnDemand('numpy')

MAX_PIECE_BYTES = 1 << 20

MAGIC = b'\x8bLMIC\r\n\x1a'
CHECK_BYTES = 8  # Length of every checksum in the file.
_HEADER = struct.Struct('<8sHBBHBBIIIQQQ32s8s')
_CANONICAL_HEAD = 1  # The one flag.
_CHANNELS = ChannelLayout()
HEADER_BYTES = _HEADER.size + CHECK_BYTES


@dataclass(frozen=True, kw_only=True)
class Header:
  """Fields of a header. The original file is head_bytes, then frames of samples, then tail_bytes.

  sample_kind: NO_SAMPLES (then the fields about samples are 0 and all of the file is its head), INTEGER (8-bit
  unsigned, wider signed) or FLOAT, little-endian.
  chunk_frames: frames of a span, which `layout` divides into chunks. piece_bytes: bytes of head or tail in a chunk.
  model_id: identity of the network that chunks may be coded with, or zeros.
  source_id: distinguishes this file from others, so that a chunk of another one is not taken for its own.
  """

  sample_kind: int
  sample_bytes: int
  num_channels: int
  sample_rate_hz: int
  chunk_frames: int
  piece_bytes: int
  head_bytes: int
  num_frames: int
  tail_bytes: int
  model_id: bytes
  source_id: bytes
  layout: Layout = _CHANNELS

  @property
  def format_version(self) -> int:
    return self.layout.version

  @functools.cached_property
  def pcm(self) -> PcmFormat:
    return PcmFormat(
      kind=self.sample_kind,
      sample_bytes=self.sample_bytes,
      num_channels=self.num_channels,
      sample_rate_hz=self.sample_rate_hz,
    )

  @functools.cached_property
  def chunks_per_span(self) -> int:
    return self.layout.chunks_per_span(self.pcm)

  @property
  def num_audio_chunks(self) -> int:
    return self.num_spans * self.chunks_per_span

  @property
  def frame_bytes(self) -> int:
    return self.sample_bytes * self.num_channels

  @property
  def original_bytes(self) -> int:
    return self.head_bytes + self.num_frames * self.frame_bytes + self.tail_bytes

  @property
  def num_head_chunks(self) -> int:
    return 0 if self.layout.has_canonical_head else -(-self.head_bytes // self.piece_bytes)

  @property
  def num_spans(self) -> int:
    return -(-self.num_frames // self.chunk_frames) if self.num_frames else 0

  @property
  def num_tail_chunks(self) -> int:
    return -(-self.tail_bytes // self.piece_bytes)

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
      return RawShape(num_bytes=min(self.piece_bytes, self.head_bytes - index * self.piece_bytes))
    piece = index - self.num_head_chunks - self.num_audio_chunks
    return RawShape(num_bytes=min(self.piece_bytes, self.tail_bytes - piece * self.piece_bytes))

  def payload_bytes(self, index: int) -> int:
    """Bytes that a chunk decodes to."""
    return self.payload_shape(index).num_bytes

  def split_span(self, raw: bytes) -> Sequence[Payload]:
    """Payloads of a span's chunks. raw: its frames as they stand in the file."""
    frames = np.frombuffer(raw, np.uint8).reshape(-1, self.num_channels, self.sample_bytes)
    return self.layout.split(frames, self.pcm)

  def join_span(self, payloads: Sequence[Payload]) -> np.ndarray:
    """Inverse of `split_span`: uint8 [N, C, S], N frames, C channels, S bytes of a sample."""
    return self.layout.join(payloads, self.pcm)

  def chunk_label(self, index: int) -> str:
    """Name of a chunk, for people: 'chunk 7 (channel 1, 3.10 to 4.20 s)'."""
    if (span := self.span_of(index)) is None:
      return f'chunk {index} (bytes {"before" if index < self.num_head_chunks else "after"} the samples)'
    channel = (index - self.num_head_chunks) % self.chunks_per_span
    which = self.layout.label(channel)
    first = span * self.chunk_frames
    last = first + self.span_frames(span)
    if not self.sample_rate_hz:
      return f'chunk {index} ({which}, frames {first} to {last})'
    seconds = f'{first / self.sample_rate_hz:.2f} to {last / self.sample_rate_hz:.2f} s'
    return f'chunk {index} ({which}, {seconds})'


def canonical_header(header: Header, num_frames: int) -> bytes:
  """Canonical header of a WAV of so many of the frames. Raises FormatError if they are wider than a WAV's can be."""
  if header.frame_bytes > MAX_FRAME_BYTES:
    raise FormatError(f'its frames have {header.frame_bytes} bytes, those of a WAV {MAX_FRAME_BYTES} at most')
  return wav_header(
    encoding='int' if header.sample_kind == INTEGER else 'float',
    sample_bytes=header.sample_bytes,
    num_channels=header.num_channels,
    sample_rate_hz=header.sample_rate_hz,
    num_frames=num_frames,
  )


def serialize_header(header: Header) -> bytes:
  """HEADER_BYTES bytes, with their checksum."""
  fields = _HEADER.pack(
    MAGIC,
    header.format_version,
    header.sample_kind,
    header.sample_bytes,
    header.num_channels,
    header.layout.effort,
    _CANONICAL_HEAD if header.layout.has_canonical_head else 0,
    header.sample_rate_hz,
    header.chunk_frames,
    header.piece_bytes,
    header.head_bytes,
    header.num_frames,
    header.tail_bytes,
    header.model_id,
    header.source_id,
  )
  return fields + checksum(b'', fields)


def parse_header(data: bytes) -> Header:
  """The fields of a header whose checksum is right. Raises FormatError if they contradict each other."""
  (
    _,
    version,
    kind,
    sample_bytes,
    channels,
    effort,
    flags,
    rate,
    chunk_frames,
    piece_bytes,
    head,
    frames,
    tail,
    model,
    source,
  ) = _HEADER.unpack(data[: _HEADER.size])
  if version not in FORMAT_VERSIONS:
    raise FormatError(f'it is of format version {version}, this program reads versions {VERSIONS_READ}: update it')
  if version in SEGMENT_LAYOUTS:
    layout: Layout = SEGMENT_LAYOUTS[version](effort=effort, has_canonical_head=flags == _CANONICAL_HEAD)
    reserved = flags & ~_CANONICAL_HEAD
  else:
    layout, reserved = _CHANNELS, effort | flags
  header = Header(
    sample_kind=kind,
    sample_bytes=sample_bytes,
    num_channels=channels,
    sample_rate_hz=rate,
    chunk_frames=chunk_frames,
    piece_bytes=piece_bytes,
    head_bytes=head,
    num_frames=frames,
    tail_bytes=tail,
    model_id=model,
    source_id=source,
    layout=layout,
  )
  if reserved or not _is_consistent(header):
    raise FormatError('its header contradicts itself: no program of this version wrote it')
  return header


def _is_consistent(header: Header) -> bool:
  kind, channels, chunk_frames, layout = header.sample_kind, header.num_channels, header.chunk_frames, header.layout
  widths = {NO_SAMPLES: (0,), INTEGER: (1, 2, 3, 4), FLOAT: (4, 8)}
  has_samples = kind != NO_SAMPLES
  needs_model = isinstance(layout, SegmentLayout)
  return (
    header.sample_bytes in widths.get(kind, ())
    and (channels > 0) == has_samples
    and (chunk_frames > 0) == has_samples
    and (has_samples or (header.num_frames, header.sample_rate_hz, header.tail_bytes) == (0, 0, 0))
    and chunk_frames <= layout.max_span_frames
    and chunk_frames * header.frame_bytes <= layout.max_span_bytes
    and 0 < header.piece_bytes <= MAX_PIECE_BYTES
    and layout.effort <= layout.max_effort
    and (not needs_model or (kind == INTEGER and any(header.model_id)))
    and (header.model_id == LinearLayout.model_id) == isinstance(layout, LinearLayout)
    and (not layout.has_canonical_head or _may_be_canonical(header))
  )


def _may_be_canonical(header: Header) -> bool:
  """Whether a canonical header has as many bytes as the head."""
  try:
    return header.head_bytes == len(canonical_header(header, header.num_frames))
  except FormatError:
    return False


def is_sound_header(data: bytes) -> bool:
  """Whether bytes are a header whose checksum is right, of whatever version."""
  return (
    len(data) == HEADER_BYTES and data.startswith(MAGIC) and data[_HEADER.size :] == checksum(b'', data[: _HEADER.size])
  )


def file_key(header: bytes) -> bytes:
  """Key that ties a file's checksums to its header."""
  return header[_HEADER.size :]


def checksum(key: bytes, *parts: bytes) -> bytes:
  digest = hashlib.blake2b(digest_size=CHECK_BYTES, key=key)
  for part in parts:
    digest.update(part)
  return digest.digest()
