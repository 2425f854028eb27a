"""What a byte model does on a sound, one channel of a span after the other.

Shapes: N samples, S bytes of a sample, P places (bytes of a sample that the model knows).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.audio.planes import planes_from_samples
from language_modeling_is_compression.audio.reading import AudioInfo, read_frames
from language_modeling_is_compression.entropy import byte_counts, rans
from language_modeling_is_compression.evaluation.look.attention import attention_by_distance, principal_components
from language_modeling_is_compression.evaluation.look.findings import ByteFindings, Residuals
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import Channel, Payload
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.quantized.byte_coder import encoded
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.trace import NUM_QUANTILES
from language_modeling_is_compression.system.cancellation import Cancellation

_SAMPLED_EVERY = 64  # Samples between two whose whole distributions are asked for, which takes a call for each byte.
_SHOWN = 24  # Distance from the likeliest value up to which residuals are told apart.
_EXCERPTS, _MIN_EXCERPT_TOKENS = 24, 512  # What attention is measured on.


class Traced(NamedTuple):
  """intervals: uint32 [N, S, 2]. expected, observed: float64 [P, 2 * _SHOWN + 1]."""

  intervals: np.ndarray
  expected: np.ndarray
  observed: np.ndarray


class ByteObserver:
  """Codes channels as the codec does, and sums up what comes of it. `code` may be called by any thread, `add` by one.

  predictor: the model in integers. longest: samples of the longest chunk.
  """

  def __init__(self, model: ByteModel, predictor: CpuPredictor, longest: int, sample_bytes: int):
    self._model, self._predictor = model, predictor
    shape = (min(self._predictor.places, sample_bytes), 2 * _SHOWN + 1)
    self._expected, self._observed = np.zeros(shape), np.zeros(shape)
    self._byte_bits, self._num_samples = np.zeros(sample_bytes), 0
    self._positions = np.array([0, *(1 << power for power in range(longest.bit_length()) if 1 << power < longest)])
    self._position_bits, self._position_counts = np.zeros(len(self._positions)), np.zeros(len(self._positions))
    self.quantiles = np.zeros(NUM_QUANTILES)

  def code(self, payload: Payload, first_frame: int, cancellation: Cancellation) -> tuple[Encoded, np.ndarray, Traced]:
    """The code of a channel, its bits [N, 1], and what `add` takes. Raises CancelledError."""
    assert isinstance(payload, Channel), 'byte models code channels'
    traced = self._traced(payload.tokens, cancellation)
    code = encoded(traced.intervals)
    return code, code.sample_bits(), traced

  def add(self, first_frame: int, traced: Traced) -> None:
    """Adds a channel."""
    bits = rans.code_lengths(traced.intervals)
    self._byte_bits += bits.sum(axis=0)
    self._num_samples += len(bits)
    reached = self._positions[self._positions < len(bits)]
    self._position_bits[: len(reached)] += np.add.reduceat(bits.sum(axis=1), reached)
    self._position_counts[: len(reached)] += np.diff([*reached, len(bits)])
    self.quantiles += quantiles_of(traced.intervals)
    self._expected += traced.expected
    self._observed += traced.observed

  def residuals(self) -> tuple[Residuals, ...]:
    """A byte less the one that was the likeliest, for each byte that the model predicts."""
    places = np.arange(-_SHOWN, _SHOWN + 1.0)
    return tuple(
      Residuals(label=f'byte {place + 1}', places=places, expected=expected, observed=observed)
      for place, (expected, observed) in enumerate(zip(self._expected, self._observed, strict=True))
    )

  def findings(self, info: AudioInfo) -> ByteFindings:
    """Raises AudioFormatError."""
    components, variances = principal_components(self._model)
    counted = self._position_counts > 0
    return ByteFindings(
      byte_bits=self._byte_bits / self._num_samples,
      model_bytes=self._predictor.places,
      positions=self._positions[counted],
      position_bits=self._position_bits[counted] / self._position_counts[counted],
      trained_samples=self._model.spec.data.chunk_size,
      embedding=components,
      variances=variances,
      attention=attention_by_distance(self._model, self._excerpts(info)),
    )

  def _excerpts(self, info: AudioInfo) -> Iterator[np.ndarray]:
    """Tokens of parts of the sound that are evenly spread, of one channel after the other."""
    places = self._predictor.places
    num_tokens = max(2 * self._model.spec.network.attention_window, _MIN_EXCERPT_TOKENS)
    frames = min(info.num_frames, -(-num_tokens // places))
    count = min(_EXCERPTS, -(-info.num_frames * info.num_channels // frames))
    for index in range(count):
      start = (info.num_frames - frames) * index // max(1, count - 1)
      channel = index % info.num_channels
      samples = read_frames(info, start, start + frames)[:, channel : channel + 1]
      planes = planes_from_samples(samples, info.sample_bytes)[0]
      yield _padded(planes.T, places).reshape(-1).astype(np.int64)

  def _traced(self, tokens: np.ndarray, cancellation: Cancellation) -> Traced:
    """Codes samples uint8 [N, S], a few at a time, and asks for the whole distribution of the first of these."""
    places = self._predictor.places
    known = min(places, tokens.shape[1])
    padded = _padded(tokens, places)
    intervals = np.zeros((*padded.shape, 2), np.uint32)
    expected, observed = np.zeros((known, 2 * _SHOWN + 1)), np.zeros((known, 2 * _SHOWN + 1))
    lanes = self._predictor.lanes(1)
    for start in range(0, len(tokens), _SAMPLED_EVERY):
      cancellation.check()
      for place in range(places):
        cdf, token = lanes.cdfs(1)[0].astype(np.int64), int(padded[start, place])
        intervals[start, place] = cdf[token], cdf[token + 1] - cdf[token]
        if place < known:
          _add_residual(np.diff(cdf) / cdf[-1], token, expected[place], observed[place])
        lanes.push(padded[start, place : place + 1].astype(np.int64))
      rest = slice(start + 1, min(start + _SAMPLED_EVERY, len(tokens)))
      if rest.start < rest.stop:
        lanes.encode(padded[None, rest], rest.stop - rest.start, intervals[None, rest])
    low = byte_counts.intervals(tokens[:, known:])
    return Traced(np.concatenate([intervals[:, :known], low], axis=1), expected, observed)


def quantiles_of(intervals: np.ndarray) -> np.ndarray:
  """Samples by the share of mass below them, as `Trace.quantiles` has them, from the intervals [N, S, 2] of bytes."""
  low, size = np.zeros(len(intervals)), np.ones(len(intervals))
  for place in range(intervals.shape[1]):
    low += size * intervals[:, place, 0] / (1 << rans.PRECISION_BITS)
    size *= intervals[:, place, 1] / (1 << rans.PRECISION_BITS)
  edges = np.arange(1, NUM_QUANTILES) / NUM_QUANTILES
  below = [float(np.clip((edge - low) / size, 0, 1).sum()) for edge in edges]
  return np.diff([0.0, *below, float(len(intervals))])


def _padded(tokens: np.ndarray, places: int) -> np.ndarray:
  """The bytes [N, S] that a model of so many places sees: uint8 [N, P], 0 for those that samples do not have."""
  padded = np.zeros((len(tokens), places), np.uint8)
  known = min(places, tokens.shape[1])
  padded[:, :known] = tokens[:, :known]
  return padded


def _add_residual(masses: np.ndarray, token: int, expected: np.ndarray, observed: np.ndarray) -> None:
  """Adds a byte by its distance from the likeliest value; what is far goes to the ends."""
  likeliest = int(masses.argmax())
  distances = np.clip(np.arange(len(masses)) - likeliest, -_SHOWN, _SHOWN) + _SHOWN
  expected += np.bincount(distances, masses, len(expected))
  observed[distances[token]] += 1
