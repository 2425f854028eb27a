"""A model of segments that is simple and right: differences of samples, their bytes coded by counts."""

import struct
from collections.abc import Callable

import numpy as np

from language_modeling_is_compression.audio.planes import planes_from_samples, samples_from_planes
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.levels import Level
from language_modeling_is_compression.entropy import byte_counts, rans
from language_modeling_is_compression.format.segment import SegmentShape


class StandIn:
  """A `SegmentPredictor`. Its bodies begin with all that an encoder is told, and a decoder must be told the same.

  encoded, decoded: the shapes that it was given.
  """

  def __init__(self, seed: int = 0):
    self.identity = bytes(range(seed, seed + 32))
    self.encoded: list[SegmentShape] = []
    self.decoded: list[SegmentShape] = []

  def encode(self, samples: np.ndarray, shape: SegmentShape, stopped: Callable[[], bool]) -> tuple[bytes, np.ndarray]:
    assert samples.dtype == np.int32 and samples.shape == (shape.num_frames, shape.num_channels)
    self.encoded.append(shape)
    planes = planes_from_samples(np.diff(samples, axis=0, prepend=np.int32(0)), shape.sample_bytes)
    rows = np.ascontiguousarray(planes.transpose(2, 0, 1)).reshape(-1, shape.sample_bytes)
    intervals = byte_counts.intervals(rows)
    return _told(shape) + rans.encode(intervals.reshape(-1, 2)), intervals

  def decode(self, body: bytes, shape: SegmentShape, stopped: Callable[[], bool]) -> np.ndarray | None:
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


def level(segment_frames: int, effort: int = 1) -> Level:
  return Level(segment_frames=segment_frames, network='default', effort=effort)


def coder(lanes: int = 4) -> ChunkCoder:
  return ChunkCoder(StandIn(), lanes)


def _told(shape: SegmentShape) -> bytes:
  return struct.pack(
    '<IHBIB', shape.num_frames, shape.num_channels, shape.sample_bytes, shape.sample_rate_hz, shape.effort
  )
