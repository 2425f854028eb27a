"""Segments as coders have them: channels in groups, each of which is a code of its own, behind the number of its bytes.

Shapes: N frames, C channels of a group.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.entropy.varints import NumberReader, write_natural, write_number
from language_modeling_is_compression.format.division import Division, SegmentSettings
from language_modeling_is_compression.format.layout import SegmentLayout
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import (
  Patterns,
  PatternShape,
  Payload,
  PayloadShape,
  Segment,
  SegmentShape,
)
from language_modeling_is_compression.numbers.conversion import integers_from_patterns, patterns_from_integers
from language_modeling_is_compression.prediction.state import GROUP_CHANNELS
from language_modeling_is_compression.system.cancellation import Cancellation


class SegmentCoder(ABC):
  """What all `ModelCoder`s of segments have."""

  identity: bytes
  sample_bits: int | None = None
  has_levels = True
  says_last_length = True  # Whether the last group, too, stands behind the number of its bytes: up to version 4.

  def encode_batch_size(self, lanes: int) -> int:
    return 1

  def decode_batches(self, shapes: Sequence[PayloadShape], lanes: int, num_threads: int) -> list[list[int]]:
    return [[index] for index in range(len(shapes))]

  def encode(self, payloads: Sequence[Payload], cancellation: Cancellation) -> list[Encoded | None]:
    # What is no segment are bytes around the samples.
    return [self._encode_one(payload, cancellation) for payload in payloads]

  def decode(
    self, bodies: Sequence[bytes], shapes: Sequence[PayloadShape], cancellation: Cancellation
  ) -> list[Payload | None]:
    return [self._decode_one(body, shape, cancellation) for body, shape in zip(bodies, shapes, strict=True)]

  def of(self, layout: type[SegmentLayout]) -> Self:
    """The coder of the same model for files of another layout of its family; itself where there is none."""
    return self

  @abstractmethod
  def division(self, pcm: PcmFormat, num_frames: int, segments: SegmentSettings) -> Division | None:
    """As `ModelCoder` has it."""

  @abstractmethod
  def encode_segment(self, segment: Segment, cancellation: Cancellation) -> Encoded:
    """Codes a segment. Raises CancelledError."""

  @abstractmethod
  def decode_group(
    self, body: bytes, num_channels: int, shape: SegmentShape, cancellation: Cancellation
  ) -> np.ndarray | None:
    """The samples of a group, int32 [N, C], or None for what no encoder wrote. shape: of the segment."""

  def _encode_one(self, payload: Payload, cancellation: Cancellation) -> Encoded | None:
    if isinstance(payload, Patterns):
      return self._encode_patterns(payload, cancellation)
    return self.encode_segment(payload, cancellation) if isinstance(payload, Segment) else None

  def _encode_patterns(self, payload: Patterns, cancellation: Cancellation) -> Encoded:
    """Codes the integers that stand for the patterns, behind what else there is to know of these."""
    samples, sample_bytes, side = integers_from_patterns(payload.patterns, payload.shape.kind)
    segment = Segment(samples=samples, shape=_of_integers(payload.shape, sample_bytes))
    encoded = self.encode_segment(segment, cancellation)
    beside = 8 * len(side) / max(1, samples.size)  # Bits of each sample.
    body = write_number(sample_bytes) + write_number(len(side)) + side + encoded.body
    return Encoded(body, lambda: encoded.sample_bits() + beside)

  def _decode_one(self, body: bytes, shape: PayloadShape, cancellation: Cancellation) -> Payload | None:
    if isinstance(shape, PatternShape):
      return self._decode_patterns(body, shape, cancellation)
    return self._decode_segment(body, shape, cancellation) if isinstance(shape, SegmentShape) else None

  def _decode_patterns(self, body: bytes, shape: PatternShape, cancellation: Cancellation) -> Patterns | None:
    reader = NumberReader(body)
    try:
      sample_bytes, side_bytes = reader.read(), reader.read()
    except ValueError:
      return None
    start, end = reader.position, reader.position + side_bytes
    if not 1 <= sample_bytes <= 4 or not start <= end <= len(body):
      return None
    segment = self._decode_segment(body[end:], _of_integers(shape, sample_bytes), cancellation)
    if segment is None:
      return None
    patterns = patterns_from_integers(segment.samples, body[start:end], shape.kind, shape.segment.sample_bytes)
    return None if patterns is None else Patterns(patterns=patterns, shape=shape)

  def _decode_segment(self, body: bytes, shape: SegmentShape, cancellation: Cancellation) -> Segment | None:
    firsts = range(0, shape.num_channels, GROUP_CHANNELS)
    bodies = _split_body(body, len(firsts), says_last_length=self.says_last_length)
    if bodies is None:
      return None
    groups = []
    for first, each in zip(firsts, bodies, strict=True):
      group = self.decode_group(each, min(GROUP_CHANNELS, shape.num_channels - first), shape, cancellation)
      if group is None:
        return None
      groups.append(group)
    return Segment(samples=np.concatenate(groups, axis=1), shape=shape)


def _of_integers(shape: PatternShape, sample_bytes: int) -> SegmentShape:
  """Shape of the segment of integers that stand for patterns."""
  return dataclasses.replace(shape.segment, sample_bytes=sample_bytes)


def split_channels(samples: np.ndarray) -> list[np.ndarray]:
  """Samples of each group, of those of all channels: int32, frames by channels."""
  return [samples[:, first : first + GROUP_CHANNELS] for first in range(0, samples.shape[1], GROUP_CHANNELS)]


def join_bodies(bodies: Sequence[bytes], *, says_last_length: bool = True) -> bytes:
  """The body of a segment, of those of its groups."""
  if says_last_length:
    return b''.join(write_number(len(body)) + body for body in bodies)
  return b''.join(write_natural(len(body)) + body for body in bodies[:-1]) + bodies[-1]


def _split_body(body: bytes, count: int, *, says_last_length: bool) -> list[bytes] | None:
  """Bodies of so many groups; None unless the segment's body has exactly these."""
  reader, bodies = NumberReader(body), []
  try:
    for number in range(count):
      if says_last_length:
        length = reader.read()
      elif number < count - 1:
        length = reader.read_natural()
      else:
        length = len(body) - reader.position
      start, reader.position = reader.position, reader.position + length
      if length < 0 or reader.position > len(body):
        return None
      bodies.append(body[start : reader.position])
  except ValueError:
    return None
  return bodies if reader.position == len(body) else None
