"""Segments of sound to bytes and back by a hybrid model of the first experts, as in format version 2.

The state that decodes samples draws them just as well: a byte that is drawn is one decoded from random numbers.

A segment's channels are coded together, a frame at a time, in groups of at most GROUP_CHANNELS: each group is a code of
its own. docs/FORMAT.md has every byte.

Shapes: N frames, C channels of a group, P bytes of a channel's index.
"""

import copy
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.entropy.sampling import Draws
from language_modeling_is_compression.format.division import Division, SegmentSettings, segment_division
from language_modeling_is_compression.format.layout import SegmentLayout
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.format.segment_coder import SegmentCoder, join_bodies, split_channels
from language_modeling_is_compression.format.side_information import map_intervals, read_group, write_header
from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.linear.presets import effort_of
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.ensemble import advance, predict, update
from language_modeling_is_compression.prediction.evidence import NUM_COMPONENTS
from language_modeling_is_compression.prediction.features import extract_features
from language_modeling_is_compression.prediction.lag_search import find_lags
from language_modeling_is_compression.prediction.state import EFFORTS, new_experts
from language_modeling_is_compression.prediction.value_map import ChannelValues, lower_edge
from language_modeling_is_compression.quantized.drawing import (
  DRAWS_PER_SAMPLE,
  NO_DRAWING,
  Drawing,
  DrawnGroup,
  byte_slot,
  draw_byte,
  drawn_groups,
  new_drawing,
)
from language_modeling_is_compression.quantized.hybrid_network import HybridNetwork, as_arrays, compute, new_cache
from language_modeling_is_compression.quantized.mixing import (
  build_copy,
  build_mixture,
  cumulative_mass,
  final_mass,
  likely_index,
  new_mixer,
  score_bin,
  update_copy,
  update_weights,
  whole_mass,
)
from language_modeling_is_compression.quantized.quantize_hybrid import QuantizedHybridNetwork
from language_modeling_is_compression.quantized.trace import Trace, TracedGroup, new_trace, trace_sample
from language_modeling_is_compression.system.cancellation import Cancellation

_FRAMES_PER_CHECK = 4096  # Between two looks at the cancellation.
_ENCODE, _DECODE, _FOLLOW, _SAMPLE = range(4)
_NO_INTERVALS = np.zeros((0, 2), np.uint32)
_NO_CODE = (np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64))


class CodedGroup(NamedTuple):
  """A group's code. intervals: uint32 [N * sum(P), 2], of its samples' bytes, in the order in which they are coded.

  lags: see long_term.py. trace: None unless one was asked for.
  """

  body: bytes
  intervals: np.ndarray
  channels: list[ChannelValues]
  lags: np.ndarray
  trace: Trace | None


class EnsembleCoder(SegmentCoder):
  """The `ModelCoder` of a quantized hybrid network, computed on the CPU."""

  def __init__(self, network: QuantizedHybridNetwork):
    self.identity = network.identity()
    self._network = as_arrays(network)

  def division(self, pcm: PcmFormat, num_frames: int, segments: SegmentSettings) -> Division | None:
    return segment_division(pcm, num_frames, segments.frames, SegmentLayout(effort=effort_of(segments.effort)))

  def encode_segment(self, segment: Segment, cancellation: Cancellation) -> Encoded:
    return join_groups(self.code_groups(segment, cancellation), segment.shape.num_frames)

  def code_groups(
    self, segment: Segment, cancellation: Cancellation, *, trace_step: int = 0, trace_offset: int = 0
  ) -> list[CodedGroup]:
    """Codes of the groups of a segment's channels. trace_step, trace_offset: of `Trace`. Raises CancelledError."""
    groups = []
    for samples in split_channels(segment.samples):
      channels = [value_map.channel_values(samples[:, channel]) for channel in range(samples.shape[1])]
      indices = value_map.to_indices(samples, channels)
      lags = find_lags(indices, cancellation)
      trace = new_trace(segment.shape.num_frames, len(channels), trace_step, trace_offset) if trace_step else None
      intervals = _Group(self._network, channels, lags, segment.shape).encode(indices, cancellation, trace)
      maps = [map_intervals(channel.used) for channel in channels if len(channel.used)]
      coded = np.concatenate([*maps, intervals]) if maps else intervals
      body = write_header(channels, lags) + rans.encode(coded)
      groups.append(CodedGroup(body, intervals, channels, lags, trace))
    return groups

  def trace_segment(
    self, segment: Segment, cancellation: Cancellation, *, step: int, offset: int
  ) -> tuple[Encoded, list[TracedGroup]]:
    """The code of a segment, and how it came about. step, offset: of `Trace`. Raises CancelledError."""
    groups = self.code_groups(segment, cancellation, trace_step=step, trace_offset=offset)
    traced = [TracedGroup(group.lags, group.trace) for group in groups if group.trace is not None]
    return join_groups(groups, segment.shape.num_frames), traced

  def drawn_groups(self, seed: np.ndarray, shape: SegmentShape) -> list[DrawnGroup]:
    """Groups of channels to be drawn. seed, int32 [N, C], and shape: of all channels, as `DrawnGroup` has them."""
    return drawn_groups(functools.partial(_Group, self._network), seed, shape)

  def decode_group(
    self, body: bytes, num_channels: int, shape: SegmentShape, cancellation: Cancellation
  ) -> np.ndarray | None:
    read = read_group(body, num_channels, shape)
    if read is None:
      return None
    channels, lags, decoder = read
    indices = _Group(self._network, channels, lags, shape).decode(decoder, cancellation)
    if indices is None or not decoder.sound()[0]:
      return None
    return value_map.to_samples(indices, channels).astype(np.int32)


class _Group:
  """State of one group of channels while it is coded."""

  index_dtype = np.int64

  def __init__(self, network: HybridNetwork, channels: list[ChannelValues], lags: np.ndarray, shape: SegmentShape):
    self._num_frames = shape.num_frames
    self._places = np.array([index_bytes(channel) for channel in channels], np.int64)
    self._bins = value_map.edges(channels)
    if not self._places.any():  # Every sample is known from the side information.
      return
    self._network = network
    self._experts = new_experts(
      EFFORTS[shape.effort],
      self._bins.limits,
      lags,
      shape.num_frames,
      value_map.bytes_in_use(shape.sample_bytes, channels),
      shape.sample_rate_hz,
    )
    self._cache = new_cache(network)
    self._mixer = new_mixer(len(channels))

  def encode(self, indices: np.ndarray, cancellation: Cancellation, trace: Trace | None = None) -> np.ndarray:
    """indices: int64 [N, C]. Returns intervals, uint32 [N * sum(P), 2]."""
    intervals = np.zeros((self._num_frames * int(self._places.sum()), 2), np.uint32)
    self._run_all(_ENCODE, indices, intervals, _NO_CODE, cancellation, trace)
    return intervals

  def decode(self, decoder: rans.Decoder, cancellation: Cancellation) -> np.ndarray | None:
    """int64 [N, C], or None if the code ends too early; the decoder says whether they are sound."""
    indices = np.zeros((self._num_frames, len(self._places)), np.int64)
    finished = self._run_all(_DECODE, indices, _NO_INTERVALS, decoder.arrays, cancellation, None)
    return indices if finished else None

  def copy(self) -> '_Group':
    """A group that goes on from the same state."""
    copied = copy.copy(self)
    if self._places.any():
      copied._experts, copied._cache, copied._mixer = copy.deepcopy((self._experts, self._cache, self._mixer))
    return copied

  def follow(self, indices: np.ndarray, begin: int, end: int) -> None:
    """Takes in frames begin to end, which are known, of indices int64 [N, C]."""
    if self._places.any():
      self._run(_FOLLOW, indices, begin, end, _NO_INTERVALS, _NO_CODE, NO_DRAWING, None)

  def draw(self, indices: np.ndarray, begin: int, end: int, draws: Draws) -> None:
    """Draws frames begin to end of indices int64 [N, C], known up to there; draws: of one lane, from this frame on."""
    if not self._places.any():
      indices[begin:end] = self._bins.limits[:, 0]
      return
    self._run(_SAMPLE, indices, begin, end, _NO_INTERVALS, _NO_CODE, new_drawing(draws), None)

  def _run_all(
    self,
    purpose: int,
    indices: np.ndarray,
    intervals: np.ndarray,
    code: tuple[np.ndarray, ...],
    cancellation: Cancellation,
    trace: Trace | None,
  ) -> bool:
    """Codes all frames. Returns whether it came to the end: a code that ends too early is given up."""
    if not self._places.any():
      indices[:] = self._bins.limits[:, 0]
      return True
    _, _, following, ends = code
    for begin in range(0, self._num_frames, _FRAMES_PER_CHECK):
      cancellation.check()
      if (following > ends).any():
        return False
      end = min(begin + _FRAMES_PER_CHECK, self._num_frames)
      self._run(purpose, indices, begin, end, intervals, code, None, trace)
    return True

  def _run(
    self,
    purpose: int,
    indices: np.ndarray,
    begin: int,
    end: int,
    intervals: np.ndarray,
    code: tuple[np.ndarray, ...],
    drawing: Drawing | None,
    trace: Trace | None,
  ) -> None:
    state = (self._experts, self._network, self._cache, self._mixer, self._bins, self._places)
    _run(*state, purpose, indices, begin, end, intervals, code, drawing, trace)


def join_groups(groups: Sequence[CodedGroup], num_frames: int) -> Encoded:
  """The code of a segment."""
  return Encoded(
    join_bodies([group.body for group in groups]),
    lambda: np.concatenate([_sample_bits(group, num_frames) for group in groups], axis=1),
  )


def _sample_bits(group: CodedGroup, num_frames: int) -> np.ndarray:
  """Code lengths of a group's samples, float64 [N, C]."""
  places = [index_bytes(channel) for channel in group.channels]
  bits = rans.code_lengths(group.intervals).reshape(num_frames, sum(places))
  ends = np.cumsum(places)
  return np.stack([bits[:, end - count : end].sum(axis=1) for count, end in zip(places, ends, strict=True)], axis=1)


def index_bytes(channel: ChannelValues) -> int:
  """Bytes of an index less the smallest one; 0 where there is only one."""
  return ((channel.largest - channel.least).bit_length() + 7) // 8


@compiled
def _run(experts, net, cache, mixer, bins, places, purpose, indices, begin, end, intervals, code, drawing, trace):
  """Codes frames begin to end; everything is one function, since LLVM optimizes callees anew at every level.

  drawing, trace: None to code alone. It is compiled by itself then, so that who only codes does not wait for the rest.
  """
  num_channels = indices.shape[1]
  per_frame = np.int64(0)
  for channel in range(num_channels):
    per_frame += places[channel]
  at = begin * per_frame
  exp2 = net.layers.exp2
  for t in range(begin, end):
    for channel in range(num_channels):
      if places[channel] == 0:
        indices[t, channel] = np.int64(bins.limits[channel, 0])
      predict(experts, channel, t)
      # A channel of one value has no code, but the network sees it, as it did in training.
      extract_features(experts, bins, channel, t)
      compute(net, cache, t * num_channels + channel, experts.features)
      build_mixture(mixer, experts, exp2, channel, cache.work.outputs)
      build_copy(mixer, experts.long_term, indices, channel, t)
      if places[channel] > 0 and purpose == _DECODE:
        indices[t, channel] = _decode_bytes(mixer, bins, experts, channel, places[channel], code)
      if drawing is not None and purpose == _SAMPLE:
        if places[channel] > 0:
          number = ((t - begin) * num_channels + channel) * DRAWS_PER_SAMPLE
          indices[t, channel] = _draw_bytes(mixer, bins, experts.table, channel, places[channel], number, drawing)
        advance(experts, channel, np.float64(indices[t, channel]))
        continue
      index = indices[t, channel]
      score_bin(mixer, experts, channel, lower_edge(bins, channel, index), lower_edge(bins, channel, index + 1))
      if places[channel] > 0 and purpose == _ENCODE:
        _encode_bytes(mixer, bins, experts.table, channel, places[channel], index, intervals[at : at + places[channel]])
        at += places[channel]
      if trace is not None and places[channel] > 0:
        trace_sample(trace, mixer, experts, bins, channel, t, index)
      mass = update(experts, channel, t, np.float64(index))
      if places[channel] > 0:
        update_weights(mixer, channel, mass)
        update_copy(mixer, experts.long_term, indices, channel, t)


@inlined
def _encode_bytes(mixer, bins, table, channel, places, index, intervals):
  """Writes intervals [P, 2] of the bytes of an index less the smallest one, highest first; its bin has been scored."""
  least, largest = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1])
  shift = 8 * places
  below, above = np.int64(0), whole_mass(largest - least + 1)
  for place in range(places):
    shift -= 8
    byte = ((index - least) >> shift) & 255
    if shift > 0:
      start = least + (((index - least) >> shift) << shift)
      low = cumulative_mass(mixer, bins, table, channel, start)
      high = cumulative_mass(mixer, bins, table, channel, start + (np.int64(1) << shift))
    else:
      low = final_mass(mixer, bins, channel, index, mixer.below[NUM_COMPONENTS])
      high = final_mass(mixer, bins, channel, index + 1, mixer.above[NUM_COMPONENTS])
    start_slot = byte_slot(below, above, low, byte)
    # Where a copy leaves nothing to all 256 of them, the last one still takes what there is.
    stop_slot = byte_slot(below, above, high, byte + 1) if byte < 255 else np.int64(1 << PRECISION_BITS)
    intervals[place, 0] = start_slot
    intervals[place, 1] = stop_slot - start_slot
    below, above = low, high


@inlined
def _decode_bytes(mixer, bins, experts, channel, places, code):
  """Decodes the bytes of an index less the smallest one, highest first. Returns the index."""
  least, largest = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1])
  states, words, following, ends = code
  table = experts.table
  expected = likely_index(mixer, experts, channel) - least
  known = np.int64(0)
  shift = 8 * places
  below, above = np.int64(0), whole_mass(largest - least + 1)
  for _ in range(places):
    shift -= 8
    start, stop, low, high = np.int64(0), np.int64(256), below, above
    start_slot, stop_slot = np.int64(0), np.int64(1 << PRECISION_BITS)
    slot = np.int64(rans.slot(states, 0))
    probe = min(max((expected - known) >> shift, np.int64(0)), np.int64(255))
    reach = np.int64(1)
    while stop - start > 1:
      middle = cumulative_mass(mixer, bins, table, channel, least + known + (probe << shift))
      middle_slot = byte_slot(below, above, middle, probe)
      if middle_slot <= slot:
        start, low, start_slot = probe, middle, middle_slot
        probe = start + reach
      else:
        stop, high, stop_slot = probe, middle, middle_slot
        probe = stop - reach
      reach *= 2
      if probe <= start or probe >= stop:
        probe = (start + stop) >> 1
    rans.pop(states, words, following, ends, 0, start_slot, stop_slot - start_slot)
    known += start << shift
    below, above = low, high
  # Only a damaged code goes beyond the largest.
  return min(least + known, largest)


@compiled
def _draw_bytes(mixer, bins, table, channel, places, number, drawing):
  """Draws the bytes of an index less the smallest one, highest first. Returns the index.

  number: of its first draw among those of the sampler.
  """
  least, largest = np.int64(bins.limits[channel, 0]), np.int64(bins.limits[channel, 1])
  masses = drawing.masses
  known = np.int64(0)
  shift = 8 * places
  masses[0], masses[256] = np.int64(0), whole_mass(largest - least + 1)
  for place in range(places):
    shift -= 8
    for byte in range(1, 256):
      masses[byte] = cumulative_mass(mixer, bins, table, channel, least + known + (np.int64(byte) << shift))
    byte = draw_byte(drawing, number + place)
    known += byte << shift
    masses[0], masses[256] = masses[byte], masses[byte + 1]
  # Bytes that lead beyond the largest have hardly any mass, but not none.
  return min(least + known, largest)
