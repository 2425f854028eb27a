"""A hybrid network of a few thousand random integers, and sounds that are hard on what adapts.

Shapes: N frames, C channels.
"""

import numpy as np

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.format.payloads import Payload, Segment, SegmentShape
from language_modeling_is_compression.prediction.evidence import (
  ENSEMBLE_EXPERTS,
  LOG2_SCALES,
  LOGITS,
  NUM_COMPONENTS,
  NUM_FEATURES,
  NUM_OUTPUTS,
)
from language_modeling_is_compression.quantized.quantize import LOG_BITS, MAX_INT16, Matrix, QuantizedLayer
from language_modeling_is_compression.quantized.quantize_hybrid import QuantizedHybridNetwork
from language_modeling_is_compression.quantized.segments import CodedGroup, EnsembleCoder, index_bytes, join_groups
from language_modeling_is_compression.system.cancellation import Cancellation


def random_network(
  seed: int = 0,
  *,
  width: int = 16,
  num_heads: int = 2,
  num_layers: int = 2,
  window: int = 8,
  gain: float = 1.0,
  experts: int = ENSEMBLE_EXPERTS,
) -> QuantizedHybridNetwork:
  """gain: of the outputs; 0 gives the same mixture for every sample, 100 and more gives nonsense."""
  rng = np.random.default_rng(seed)

  def matrix(depth: int, num_outputs: int, scale: float, shift: int) -> Matrix:
    weights = rng.normal(size=(depth, num_outputs)) * scale
    return Matrix(weights=weights.clip(-MAX_INT16, MAX_INT16).astype(np.int16), shift=shift)

  def layer() -> QuantizedLayer:
    return QuantizedLayer(
      queries=matrix(width, width, 500, 12),
      keys=matrix(width, width, 500, 12),
      values=matrix(width, width, 500, 12),
      attention_output=matrix(width, width, 300, 12),
      feed_forward_in=matrix(width, 2 * width, 500, 12),
      feed_forward_out=matrix(2 * width, width, 300, 12),
      lag_bias=rng.integers(-500, 500, (num_heads, window)).astype(np.int32),
      score_shift=12,
    )

  bias = np.zeros(NUM_OUTPUTS)
  bias[LOGITS][NUM_COMPONENTS] = 3
  bias[LOG2_SCALES] = [-2, -1, 0, 1, 3, 0, 0, 0]
  return QuantizedHybridNetwork(
    experts=experts,
    num_heads=num_heads,
    input=matrix(NUM_FEATURES, width, 400, 0),
    input_bias=rng.integers(-5000, 5000, width).astype(np.int32),
    layers=tuple(layer() for _ in range(num_layers)),
    output=matrix(width, NUM_OUTPUTS, 40 * gain, 8),
    output_bias=(bias * (1 << LOG_BITS)).astype(np.int32),
  )


def shape_of(samples: np.ndarray, sample_bytes: int = 2, effort: int = 0, sample_rate_hz: int = 16_000) -> SegmentShape:
  return SegmentShape(
    num_frames=samples.shape[0],
    num_channels=samples.shape[1],
    sample_bytes=sample_bytes,
    sample_rate_hz=sample_rate_hz,
    effort=effort,
  )


def tone(num_frames: int, *, amplitude: float = 8000.0, noise: float = 20.0, channels: int = 1) -> np.ndarray:
  """A sine in noise: int32 [N, C]."""
  rng = np.random.default_rng(1)
  times = np.arange(num_frames)[:, None] + 7 * np.arange(channels)
  found = amplitude * np.sin(0.11 * times) + noise * rng.normal(size=(num_frames, channels))
  return np.round(found).astype(np.int32)


def sounds(num_frames: int = 500) -> dict[str, tuple[np.ndarray, int]]:
  """By name: samples, int32 [N, C], and bytes of one."""
  rng = np.random.default_rng(2)
  time = np.arange(num_frames)

  def column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values).round().astype(np.int32).reshape(num_frames, -1)

  mono = tone(num_frames)
  gains = np.where(time < num_frames // 2, 1, 1000)
  quiet = rng.normal(0, 8, num_frames).round()
  top = 32_767
  return {
    'tone': (mono, 2),
    'two channels': (tone(num_frames, channels=2), 2),
    'two equal channels': (np.repeat(mono, 2, axis=1), 2),
    'one channel silent': (np.concatenate([mono, np.zeros_like(mono)], axis=1), 2),
    'the first channel silent': (np.concatenate([np.zeros_like(mono), mono], axis=1), 2),
    'nine channels': (tone(num_frames, channels=9), 2),
    'silence': (column(time * 0), 2),
    'constant': (column(time * 0 - 77), 2),
    'a single sample': (np.array([[-5]], np.int32), 2),
    'two frames': (np.array([[1, 2], [3, -4]], np.int32), 2),
    'silence after a sound': (column(np.where(time < 50, quiet, 0)), 2),
    'square': (column(np.where(time // 25 % 2, top, -top - 1)), 2),
    'square in noise': (column(np.where(time // 25 % 2, 30_000, -30_000) + quiet / 4), 2),
    'extremes in turn': (column(np.where(time % 2, top, -top - 1)), 2),
    'noise at full scale': (column(rng.integers(-top - 1, top + 1, num_frames)), 2),
    'sudden gain': (column(quiet * gains), 2),
    'impulses': (column(np.where(time % 60 == 0, 30_000, 0)), 2),
    'ramps': (column(time * 37 % 4000 - 2000), 2),
    'a long ramp': (column(time * 50), 2),
    '8 bits': (column((mono[:, 0] >> 8).clip(-128, 127)), 1),
    '8 bits in 16': (column((mono[:, 0] >> 8) << 8), 2),
    'scaled volume': (column(1.9968 * rng.laplace(0, 60, num_frames).round()), 2),
    '24 bits': (tone(num_frames, amplitude=8e6, noise=900.0), 3),
    '24 bits in noise': (column(rng.integers(-(1 << 23), 1 << 23, num_frames)), 3),
    '16 bits in 24': (mono << 8, 3),
    '32 bits': (tone(num_frames, amplitude=2e9, noise=1000.0), 4),
    '32 bits, extremes in turn': (column(np.where(time % 2, (1 << 31) - 1, -(1 << 31)).astype(np.float64)), 4),
    '32 bits in noise': (column(rng.integers(-(1 << 31), 1 << 31, 2 * num_frames).reshape(num_frames, 2)), 4),
  }


def encode(coder: EnsembleCoder, samples: np.ndarray, shape: SegmentShape) -> tuple[bytes, np.ndarray]:
  """The body of a segment, and its samples' intervals: uint32 [N * C, S, 2], group by group, S bytes of a sample."""
  groups = coder.code_groups(Segment(samples=samples, shape=shape), Cancellation())
  encoded, found = join_groups(groups, shape.num_frames), [_by_sample(group, shape) for group in groups]
  bits = np.concatenate([rans.code_lengths(each).sum(axis=1).reshape(shape.num_frames, -1) for each in found], axis=1)
  np.testing.assert_allclose(encoded.sample_bits(), bits, rtol=0, atol=1e-9)
  return encoded.body, np.concatenate(found)


def decode(
  coder: EnsembleCoder, body: bytes, shape: SegmentShape, cancellation: Cancellation | None = None
) -> np.ndarray | None:
  """The samples of a body, int32 [N, C], or None."""
  [payload] = coder.decode([body], [shape], cancellation or Cancellation())
  return payload.samples if isinstance(payload, Segment) else None


class Patience(Cancellation):
  """Asks to stop at the check after so many. checks: how many there were."""

  def __init__(self, num_checks: int):
    super().__init__()
    self.checks = 0
    self._num_checks = num_checks

  def check(self) -> None:
    self.checks += 1
    if self.checks > self._num_checks:
      self.cancel()
    super().check()


def samples_of(found: Payload | None, shape: SegmentShape) -> np.ndarray | None:
  """Samples of what was decoded, of the shape and within its range; None for nothing."""
  if found is None:
    return None
  assert isinstance(found, Segment) and found.shape == shape
  limit = 1 << (8 * shape.sample_bytes - 1)
  assert found.samples.dtype == np.int32 and found.samples.shape == (shape.num_frames, shape.num_channels)
  assert -limit <= found.samples.min() and found.samples.max() < limit
  return found.samples


def _by_sample(group: CodedGroup, shape: SegmentShape) -> np.ndarray:
  places = [index_bytes(channel) for channel in group.channels]
  frames = group.intervals.reshape(shape.num_frames, sum(places), 2)
  found = np.zeros((shape.num_frames, len(places), shape.sample_bytes, 2), np.uint32)
  found[..., 1] = 1 << rans.PRECISION_BITS
  at = 0
  for channel, count in enumerate(places):
    found[:, channel, :count] = frames[:, at : at + count]
    at += count
  return found.reshape(-1, shape.sample_bytes, 2)
