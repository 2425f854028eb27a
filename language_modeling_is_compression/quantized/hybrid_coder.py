"""Segments of sound to bytes and back by a hybrid model: linear prediction, a network, and the mixture of both.

The state that decodes samples draws them just as well.

Shapes: N frames, C channels of a group, K components of the network.
"""

import copy
import dataclasses
import functools
from typing import Self

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.entropy.sampling import Draws
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.format.division import Division, SegmentSettings, segment_division
from language_modeling_is_compression.format.layout import HybridLayout, SegmentLayout, StartedHybridLayout
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.format.segment_coder import split_channels
from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.linear import distribution, predictor
from language_modeling_is_compression.linear.buckets import decode_index, encode_index, ranks_of, window_of
from language_modeling_is_compression.linear.distribution import MASS_BITS, SPARE_ROW, mass_below, new_mixture
from language_modeling_is_compression.linear.features import NUM_ERRORS, extract_features, follow, new_features
from language_modeling_is_compression.linear.groups import NO_CODE, NO_COUNTS, NO_INTERVALS, GroupCoder
from language_modeling_is_compression.linear.predictor import frozen, new_predictor
from language_modeling_is_compression.linear.presets import EFFORTS
from language_modeling_is_compression.linear.start import begin
from language_modeling_is_compression.network.hybrid_model import HybridModel
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.evidence import ENSEMBLE_EXPERTS, STARTED_EXPERTS
from language_modeling_is_compression.prediction.value_map import ChannelValues, lower_edge
from language_modeling_is_compression.quantized.drawing import (
  DRAWS_PER_SAMPLE,
  NO_DRAWING,
  Drawing,
  DrawnGroup,
  draw_byte,
  drawn_groups,
  new_drawing,
)
from language_modeling_is_compression.quantized.hybrid_network import (
  HybridNetwork,
  as_arrays,
  component_powers,
  compute,
  new_cache,
  place_components,
)
from language_modeling_is_compression.quantized.quantize_hybrid import QuantizedHybridNetwork, quantize_hybrid_model
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from language_modeling_is_compression.quantized.trace import Trace, TracedGroup, new_trace, trace_hybrid_sample
from language_modeling_is_compression.system.cancellation import Cancellation

_ENCODE, _DECODE, _FOLLOW, _DRAW = range(4)


class HybridCoder(GroupCoder):
  """The `ModelCoder` of a quantized hybrid network, computed on the CPU.

  Where prediction begins as side information says, the network reads features of other predictions, so its identity is
  another one, too.
  """

  presets = EFFORTS

  def __init__(self, network: QuantizedHybridNetwork, layout: type[HybridLayout] = StartedHybridLayout):
    super().__init__(layout)
    self._quantized = network
    experts = STARTED_EXPERTS if self.has_starts else network.experts
    self.identity = dataclasses.replace(network, experts=experts).identity()
    self._network = as_arrays(network)

  def of(self, layout: type[SegmentLayout]) -> Self:
    return type(self)(self._quantized, layout) if issubclass(layout, HybridLayout) else self

  def division(self, pcm: PcmFormat, num_frames: int, segments: SegmentSettings) -> Division | None:
    return segment_division(pcm, num_frames, segments.frames, self.layout(effort=segments.effort))

  def new_group(self, channels: list[ChannelValues], lags: np.ndarray, shape: SegmentShape) -> '_Group':
    return _Group(self._network, channels, lags, shape, has_starts=self.has_starts)

  def trace_segment(
    self, segment: Segment, cancellation: Cancellation, *, step: int, offset: int
  ) -> tuple[Encoded, list[TracedGroup]]:
    """The code of a segment, and how it came about. step, offset: of `Trace`. Raises CancelledError."""
    codes, traced = [], []
    for samples in split_channels(segment.samples):
      trace = new_trace(segment.shape.num_frames, samples.shape[1], step, offset)
      new_group = functools.partial(_Group, self._network, has_starts=self.has_starts, trace=trace)
      codes.append(self.encode_group(samples, segment.shape, new_group, cancellation))
      traced.append(TracedGroup(codes[-1].lags, trace))
    return self.join_codes(codes), traced

  def drawn_groups(self, seed: np.ndarray, shape: SegmentShape) -> list[DrawnGroup]:
    """Groups of channels to be drawn. seed, int32 [N, C], and shape: of all channels, as `DrawnGroup` has them."""
    return drawn_groups(self.new_group, seed, shape)


def load_coder(model: HybridModel, device: str) -> HybridCoder | EnsembleCoder:
  """Coder of a model on a device. Raises CheckpointError, ConfigError for another device than 'cpu'."""
  if device != 'cpu':
    raise ConfigError(f'--device {device}: hybrid models run on CPUs only: leave it out, or name a byte model with -m')
  coder = EnsembleCoder if model.spec.experts == ENSEMBLE_EXPERTS else HybridCoder
  return coder(quantize_hybrid_model(model))


class _Group:
  """The `Group` and `DrawableGroup` of a hybrid model."""

  index_dtype = np.int32

  def __init__(
    self,
    network: HybridNetwork,
    channels: list[ChannelValues],
    lags: np.ndarray,
    shape: SegmentShape,
    *,
    has_starts: bool,
    trace: Trace | None = None,
  ):
    bins, count = value_map.edges(channels), len(channels)
    self._bins = (bins, ranks_of(channels))
    self._network = network
    self._trace = trace
    self._predictor = new_predictor(EFFORTS[shape.effort], bins.limits, lags, shape.num_frames, NUM_ERRORS)
    mixture = new_mixture(count, has_network=True)
    if has_starts:
      self._predictor, mixture = begin(self._predictor, mixture, [channel.start for channel in channels])
    self._state = (
      mixture,
      new_features(count, value_map.bytes_in_use(shape.sample_bytes, channels), shape.sample_rate_hz),
      new_cache(network),
    )

  def encode(self, indices: np.ndarray, begin: int, end: int, intervals: np.ndarray, counts: np.ndarray) -> int:
    return self._run(_ENCODE, indices, begin, end, intervals, counts, trace=self._trace)

  def decode(self, indices: np.ndarray, begin: int, end: int, code: tuple[np.ndarray, ...]) -> None:
    self._run(_DECODE, indices, begin, end, code=code)

  def copy(self) -> '_Group':
    copied = copy.copy(self)
    copied._predictor, copied._state = copy.deepcopy((self._predictor, self._state))
    return copied

  def follow(self, indices: np.ndarray, begin: int, end: int) -> None:
    self._run(_FOLLOW, indices, begin, end, drawing=NO_DRAWING)

  def draw(self, indices: np.ndarray, begin: int, end: int, draws: Draws) -> None:
    self._predictor = frozen(self._predictor)
    self._run(_DRAW, indices, begin, end, drawing=new_drawing(draws))

  def _run(
    self,
    purpose: int,
    indices: np.ndarray,
    begin: int,
    end: int,
    intervals: np.ndarray = NO_INTERVALS,
    counts: np.ndarray = NO_COUNTS,
    *,
    code: tuple[np.ndarray, ...] = NO_CODE,
    drawing: Drawing | None = None,
    trace: Trace | None = None,
  ) -> int:
    state = (self._predictor, *self._state, self._network, *self._bins)
    return _run(*state, purpose, indices, begin, end, intervals, counts, code, drawing, trace)


@compiled
def _run(
  state,
  mixture,
  features,
  cache,
  net,
  bins,
  ranks,
  purpose,
  indices,
  begin,
  end,
  intervals,
  counts,
  code,
  drawing,
  trace,
):
  """Codes frames begin to end; everything is one function, since LLVM optimizes callees anew at every level.

  drawing, trace: None to code alone. It is compiled by itself then, so that who only codes does not wait for the rest.
  """
  num_channels = indices.shape[1]
  num_coded = np.int64(0)
  for channel in range(num_channels):
    num_coded += bins.limits[channel, 0] < bins.limits[channel, 1]
  position = begin * num_coded
  at = 0
  for t in range(begin, end):
    for channel in range(num_channels):
      if bins.limits[channel, 0] == bins.limits[channel, 1]:  # Known from the side information.
        indices[t, channel] = np.int64(bins.limits[channel, 0])
        continue
      predictor.predict(state, channel, t)
      extract_features(features, state, mixture, bins, channel, t)
      compute(net, cache, position, features.values)
      position += 1
      centres = state.centres[channel]
      _read_outputs(mixture, centres, features.unit[channel], cache.work.outputs, net.layers.exp2)
      distribution.build(mixture, channel, centres)
      if drawing is not None and purpose == _DRAW:
        number = ((t - begin) * num_channels + channel) * DRAWS_PER_SAMPLE
        index = _draw_index(mixture, bins, channel, number, drawing)
        indices[t, channel] = index
        follow(features, state, channel, np.float64(index))
        predictor.advance(state, channel, np.float64(index))
        continue
      window = window_of(mixture, bins, channel, centres[0])
      low_row, high_row = 0, 1
      if purpose == _DECODE:
        index, low_row, high_row = decode_index(mixture, bins, ranks, channel, centres[0], window, code)
        indices[t, channel] = index
      elif drawing is None:
        index = np.int64(indices[t, channel])
        count = encode_index(mixture, bins, ranks, channel, window, index, intervals, at)
        counts[t, channel] = count
        at += count
      else:
        index = np.int64(indices[t, channel])
        mass_below(mixture, lower_edge(bins, channel, index), low_row)
        mass_below(mixture, lower_edge(bins, channel, index + 1), high_row)
      if trace is not None:
        trace_hybrid_sample(trace, mixture, centres[0], features.unit[channel], bins, channel, t, index)
      distribution.update(mixture, channel, np.float64(index), low_row, high_row)
      follow(features, state, channel, np.float64(index))
      predictor.learn(state, channel, t, np.float64(index))
  return at


@inlined
def _read_outputs(mixture, centres, unit, outputs, exp2):
  """Writes what a network's outputs, int32 [O], say of its components: chances, centres and scales."""
  chances = mixture.chances
  factor = 1.0 / np.float64(component_powers(outputs, exp2, chances))
  for k in range(len(chances)):
    chances[k] *= factor
  place_components(outputs, exp2, centres, unit, mixture.component_centres, mixture.component_inverse_scales)


@compiled
def _draw_index(mixture, bins, channel, number, drawing):
  """Draws the bytes of an index less the smallest one, highest first. Returns the index.

  number: of its first draw among those of the sampler.
  """
  least, largest = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1])
  masses, known, shift = drawing.masses, np.int64(0), np.int64(0)
  while (largest - least) >> shift > 0:
    shift += 8
  masses[0], masses[256] = np.int64(0), np.int64(1) << MASS_BITS
  place = 0
  while shift > 0:
    shift -= 8
    for byte in range(1, 256):
      edge = lower_edge(bins, channel, least + known + (np.int64(byte) << shift))
      masses[byte] = mass_below(mixture, edge, SPARE_ROW)
    byte = draw_byte(drawing, number + place)
    known += byte << shift
    masses[0], masses[256] = masses[byte], masses[byte + 1]
    place += 1
  # Bytes that lead beyond the largest have hardly any mass, but not none.
  return min(least + known, largest)
