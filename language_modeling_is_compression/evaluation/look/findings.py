"""Findings about a sound under one model, as figures are made of them, and the sums that they come from.

Shapes: N frames, C channels, S bytes of a sample, M points of time, P bins of quantiles, V values of a token.
"""

from dataclasses import dataclass, field

import numpy as np

MAX_POINTS = 800  # Points of time of a sound, as many as a page can show.


@dataclass(frozen=True, kw_only=True)
class Residuals:
  """What samples were against what was expected of the same samples. label: of what. All float64 [R].

  places: of the bins. expected, observed: sums over samples.
  """

  label: str
  places: np.ndarray
  expected: np.ndarray
  observed: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Lags:
  """Lags that a block of frames repeats after. seconds: of the block's middle. lag_seconds: the best one first."""

  seconds: float
  lag_seconds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class HybridFindings:
  """Means over all channels: network, copies: float64 [M], shares of 1. rates: float64 [M, rates], which add up to 1.

  lags: of the blocks that have any.
  """

  network: np.ndarray
  copies: np.ndarray
  rates: np.ndarray
  lags: tuple[Lags, ...]


@dataclass(frozen=True, kw_only=True)
class ByteFindings:
  """byte_bits: float64 [S], mean of each byte of a sample. model_bytes: how many of these the model predicts.

  positions, position_bits: of samples in a chunk from which on, and up to the next one, they took so many bits.
  trained_samples: of the chunks that the model was trained on.
  embedding: float64 [places, V, 2], tokens' principal components; variances: float64 [places, 2], their shares of all.
  attention: float64 [layers, heads, W], mean weight of the token so many tokens ago.
  """

  byte_bits: np.ndarray
  model_bytes: int
  positions: np.ndarray
  position_bits: np.ndarray
  trained_samples: int
  embedding: np.ndarray
  variances: np.ndarray
  attention: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Findings:
  """model: its name, which is printable. rank: 0 of the first model on a page, 1 of the second one.

  bits: float64 [M, C], of a sample. total_bits: of all samples under the model.
  model_bytes: of the model's bodies. file_bytes: what `lmic compress` writes, original_bytes: of what. chunks: of
  sound; fallback_chunks: those of them that the file has without the model.
  quantiles: float64 [P], samples by the share of mass below them.
  """

  model: str
  rank: int
  bits: np.ndarray
  total_bits: float
  num_samples: int
  model_bytes: int
  file_bytes: int
  original_bytes: int
  chunks: int
  fallback_chunks: int
  quantiles: np.ndarray
  residuals: tuple[Residuals, ...]
  hybrid: HybridFindings | None = None
  by_byte: ByteFindings | None = None

  @property
  def bits_per_sample(self) -> float:
    return self.total_bits / self.num_samples


@dataclass(kw_only=True)
class PointSums:
  """Sums of what samples cost over points of time. step: frames of a point."""

  num_frames: int
  num_channels: int
  step: int = field(init=False)
  bits: np.ndarray = field(init=False)

  def __post_init__(self) -> None:
    self.step = max(1, -(-self.num_frames // MAX_POINTS))
    self.bits = np.zeros((-(-self.num_frames // self.step), self.num_channels))

  def add(self, first_frame: int, channel: int, bits: np.ndarray) -> None:
    """Adds samples [N, C] of the channels from one on."""
    offset = first_frame % self.step
    starts = np.maximum(0, np.arange(0, offset + len(bits), self.step) - offset)
    first = first_frame // self.step
    self.bits[first : first + len(starts), channel : channel + bits.shape[1]] += np.add.reduceat(bits, starts)

  @property
  def frames(self) -> np.ndarray:
    """Frames of each point: int64 [M]."""
    starts = np.arange(len(self.bits)) * self.step
    return np.minimum(self.step, self.num_frames - starts)

  @property
  def mean_bits(self) -> np.ndarray:
    return np.asarray(self.bits / self.frames[:, None])
