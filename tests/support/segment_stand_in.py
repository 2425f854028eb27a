"""A model of segments that is simple and right: differences of samples, their bytes coded by counts."""

import struct
from collections.abc import Callable, Sequence

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.audio.planes import planes_from_samples, samples_from_planes
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.entropy import byte_counts, rans
from language_modeling_is_compression.format.division import Division, SegmentSettings, segment_division
from language_modeling_is_compression.format.layout import SegmentLayout
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import Payload, PayloadShape, Segment, SegmentShape
from language_modeling_is_compression.linear.presets import effort_of
from language_modeling_is_compression.system.cancellation import Cancellation


class StandIn:
  """A `ModelCoder` of segments. Its bodies begin with all that an encoder is told, and a decoder must be told the same.

  encoded, decoded: the shapes that it was given.
  """

  sample_bits: int | None = None
  has_levels = True

  def __init__(self, seed: int = 0):
    self.identity = bytes(range(seed, seed + 32))
    self.encoded: list[SegmentShape] = []
    self.decoded: list[SegmentShape] = []

  def division(self, pcm: PcmFormat, num_frames: int, segments: SegmentSettings) -> Division | None:
    return segment_division(pcm, num_frames, segments.frames, SegmentLayout(effort=effort_of(segments.effort)))

  def encode_batch_size(self, lanes: int) -> int:
    return 1

  def decode_batches(self, shapes: Sequence[PayloadShape], lanes: int, num_threads: int) -> list[list[int]]:
    return [[index] for index in range(len(shapes))]

  def encode(self, payloads: Sequence[Payload], cancellation: Cancellation) -> list[Encoded | None]:
    return [
      Encoded(*self.encode_segment(payload.samples, payload.shape, cancellation))
      if isinstance(payload, Segment)
      else None
      for payload in payloads
    ]

  def decode(
    self, bodies: Sequence[bytes], shapes: Sequence[PayloadShape], cancellation: Cancellation
  ) -> list[Payload | None]:
    payloads: list[Payload | None] = []
    for body, shape in zip(bodies, shapes, strict=True):
      payload = None
      if isinstance(shape, SegmentShape) and (samples := self.decode_segment(body, shape, cancellation)) is not None:
        payload = Segment(samples=samples, shape=shape)
      payloads.append(payload)
    return payloads

  def encode_segment(
    self, samples: np.ndarray, shape: SegmentShape, cancellation: Cancellation
  ) -> tuple[bytes, Callable[[], np.ndarray]]:
    """The body, and what computes the samples' code lengths, float64 [N, C]."""
    assert samples.dtype == np.int32 and samples.shape == (shape.num_frames, shape.num_channels)
    self.encoded.append(shape)
    planes = planes_from_samples(np.diff(samples, axis=0, prepend=np.int32(0)), shape.sample_bytes)
    rows = np.ascontiguousarray(planes.transpose(2, 0, 1)).reshape(-1, shape.sample_bytes)
    intervals = byte_counts.intervals(rows)
    bits = rans.code_lengths(intervals).sum(axis=1).reshape(samples.shape)
    return _told(shape) + rans.encode(intervals.reshape(-1, 2)), lambda: bits

  def decode_segment(self, body: bytes, shape: SegmentShape, cancellation: Cancellation) -> np.ndarray | None:
    """int32 [N, C], or None for what `encode_segment` does not write."""
    self.decoded.append(shape)
    told = _told(shape)
    if not body.startswith(told):
      return None
    decoder, counts = rans.Decoder([body[len(told) :]]), byte_counts.ByteCounts(1, shape.sample_bytes)
    rows = np.zeros((shape.num_frames * shape.num_channels, shape.sample_bytes), np.uint8)
    symbol = np.zeros(1, np.int64)
    for row in rows:
      for place in range(shape.sample_bytes):
        decoder.decode(counts.cdfs(place, 1), symbol)
        counts.push(place, symbol)
        row[place] = symbol[0]
    if not decoder.sound()[0]:
      return None
    planes = rows.reshape(shape.num_frames, shape.num_channels, -1).transpose(1, 2, 0)
    sums = np.cumsum(samples_from_planes(planes), axis=0, dtype=np.int64)
    half = 1 << (8 * shape.sample_bytes - 1)
    return ((sums + half) % (2 * half) - half).astype(np.int32)


def level(segment_frames: int, effort: int = 1) -> SegmentSettings:
  return SegmentSettings(frames=segment_frames, effort=effort)


def coder(lanes: int = 4) -> ChunkCoder:
  return ChunkCoder(StandIn(), lanes)


def _told(shape: SegmentShape) -> bytes:
  return struct.pack(
    '<IHBIB', shape.num_frames, shape.num_channels, shape.sample_bytes, shape.sample_rate_hz, shape.effort
  )
