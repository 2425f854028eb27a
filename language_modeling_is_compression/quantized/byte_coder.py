"""Coder of byte models: channels of spans as streams of tokens, several of them in step.

Shapes: N samples of a channel, S bytes of a sample, P places (bytes of a sample that the model knows), L lanes.
"""

from collections.abc import Sequence

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.entropy import byte_counts, rans
from language_modeling_is_compression.format.division import Division, SegmentSettings, channel_division
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import Channel, ChannelShape, Payload, PayloadShape
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.predictor import Decoding, Predictor
from language_modeling_is_compression.quantized.quantize import quantize_byte_model
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.extras import require_extra

_SAMPLES_PER_CHECK = 256  # Decoded samples between two looks at the cancellation.


class ByteCoder:
  """The `ModelCoder` of a byte model."""

  has_levels = False

  def __init__(self, predictor: Predictor):
    self.predictor = predictor
    self.identity = predictor.identity
    self.sample_bits: int | None = 8 * predictor.places

  def division(self, pcm: PcmFormat, num_frames: int, segments: SegmentSettings) -> Division | None:
    return channel_division(pcm, num_frames)

  def encode_batch_size(self, lanes: int) -> int:
    return lanes if self.predictor.rows_together else 1

  def decode_batches(self, shapes: Sequence[PayloadShape], lanes: int, num_threads: int) -> list[list[int]]:
    # Long ones first: a lane that has come to its end drops out, and those in front of it go on.
    order = sorted(range(len(shapes)), key=lambda index: -shapes[index].num_bytes)
    size = max(1, -(-min(len(shapes), lanes) // num_threads))
    return [order[start : start + size] for start in range(0, len(order), size)]

  def encode(self, payloads: Sequence[Payload], cancellation: Cancellation) -> list[Encoded | None]:
    cancellation.check()
    rows = {index: payload.tokens for index, payload in enumerate(payloads) if isinstance(payload, Channel)}
    found = dict(zip(rows, self._intervals(list(rows.values())), strict=True)) if rows else {}
    return [encoded(found[index]) if index in found else None for index in range(len(payloads))]

  def decode(
    self, bodies: Sequence[bytes], shapes: Sequence[PayloadShape], cancellation: Cancellation
  ) -> list[Payload | None]:
    channels = [shape for shape in shapes if isinstance(shape, ChannelShape)]
    if len(channels) < len(shapes):
      return [None] * len(shapes)
    lengths = np.array([shape.num_samples for shape in channels])
    sample_bytes, places = channels[0].sample_bytes, self.predictor.places
    work = Decoding(
      decoder=rans.Decoder(bodies),
      counts=byte_counts.ByteCounts(len(bodies), max(0, sample_bytes - places)),
      tokens=np.zeros((len(bodies), lengths[0], sample_bytes), np.uint8),
      lengths=lengths,
    )
    lanes = self.predictor.lanes(len(bodies))
    for begin in range(0, lengths[0], _SAMPLES_PER_CHECK):
      cancellation.check()
      lanes.decode(work, begin, min(begin + _SAMPLES_PER_CHECK, lengths[0]))
    return [
      Channel(tokens=lane[:length]) if sound else None
      for lane, length, sound in zip(work.tokens, lengths, work.decoder.sound(), strict=True)
    ]

  def _intervals(self, rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Intervals, uint32 [N, S, 2], of samples uint8 [N, S] each, all of the same S."""
    sample_bytes, places = rows[0].shape[1], self.predictor.places
    known = min(sample_bytes, places)
    lengths = np.array([len(row) * places for row in rows])
    tokens = np.zeros((len(rows), max(len(row) for row in rows), places), np.uint8)
    for lane, row in zip(tokens, rows, strict=True):
      lane[: len(row), :known] = row[:, :known]
    found = self.predictor.intervals(tokens.reshape(len(rows), -1), lengths).reshape(*tokens.shape, 2)
    return [
      np.concatenate([intervals[: len(row), :known], byte_counts.intervals(row[:, known:])], axis=1)
      for row, intervals in zip(rows, found, strict=True)
    ]


def load_coder(model: ByteModel, device: str) -> ByteCoder:
  """Coder of a model on a device, 'cpu' or 'gpu'. Raises CheckpointError, ConfigError, DependencyError."""
  network = quantize_byte_model(model)
  if device == 'cpu':
    return ByteCoder(CpuPredictor(network))
  require_extra('train')
  from language_modeling_is_compression.quantized.xla import XlaPredictor, gpu

  return ByteCoder(XlaPredictor(network, gpu()))


def encoded(intervals: np.ndarray) -> Encoded:
  """Code of a channel. intervals: uint32 [N, S, 2], start and size of each byte's."""
  return Encoded(rans.encode(intervals.reshape(-1, 2)), lambda: rans.code_lengths(intervals).sum(axis=1)[:, None])
