"""Segments of sound to bytes and back by a hybrid model: experts, network, blend and coder, one sample after the other.

A segment's channels are coded together, a frame at a time, in groups of at most GROUP_CHANNELS: each group is a code of
its own. docs/FORMAT.md has every byte.

Shapes: N frames, C channels of a group, P bytes of a channel's index.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.entropy.varints import NumberReader, write_number
from language_modeling_is_compression.format.segment import SegmentShape
from language_modeling_is_compression.format.side_information import map_intervals, read_header, read_map, write_header
from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.ensemble import expect, learn
from language_modeling_is_compression.prediction.evidence import NUM_COMPONENTS
from language_modeling_is_compression.prediction.features import describe
from language_modeling_is_compression.prediction.lag_search import find_lags
from language_modeling_is_compression.prediction.state import EFFORTS, GROUP_CHANNELS, new_experts
from language_modeling_is_compression.prediction.value_map import ChannelValues, lower_edge
from language_modeling_is_compression.quantized import layers
from language_modeling_is_compression.quantized.mixing import (
  compose,
  compose_copy,
  cumulative_mass,
  final_mass,
  likely_index,
  new_blend,
  review,
  review_copy,
  weigh_cell,
  whole_mass,
)
from language_modeling_is_compression.quantized.quantize import MAX_LOG, MAX_STREAM
from language_modeling_is_compression.quantized.quantize_hybrid import ExactHybridNetwork

_FRAMES_PER_LOOK = 4096  # Between two looks whether somebody wants the work to stop.
_ENCODE, _DECODE = range(2)
_MASS_BITS = 38  # Of a byte's cell, so that its product with PRECISION_BITS fits 63 bits.
_FREE = (1 << PRECISION_BITS) - 256  # What is shared out by mass, beside 1 for every byte.
_NO_CODE = (np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64))


class _Network(NamedTuple):
  """An `ExactHybridNetwork` as arrays."""

  input: np.ndarray  # int16 [F / 2, 2 E], pairs of rows
  input_scale: np.ndarray
  input_bias: np.ndarray  # int32 [E]
  layers: layers.Layers
  output: np.ndarray  # int16 [E / 2, 2 O]
  output_scale: np.ndarray
  output_bias: np.ndarray  # int32 [O]


class HybridPredictor:
  """The `SegmentPredictor` of an exact hybrid network, computed on the CPU."""

  def __init__(self, network: ExactHybridNetwork):
    self.identity = network.identity()
    self._network = _Network(
      input=layers.paired(network.input),
      input_scale=np.array([network.input.shift, MAX_LOG], np.int64),
      input_bias=network.input_bias,
      layers=layers.stacked(network.layers, network.num_heads, network.query_limit),
      output=layers.paired(network.output),
      output_scale=np.array([network.output.shift, MAX_LOG], np.int64),
      output_bias=network.output_bias,
    )

  def encode(self, samples: np.ndarray, shape: SegmentShape, stopped: Callable[[], bool]) -> tuple[bytes, np.ndarray]:
    """samples: int32 [N, C], signed. Returns the code, and the intervals of its symbols, uint32 [S, 1, 2].

    If it is stopped, what it returns is of no use.
    """
    bodies, by_sample = [], []
    for first in range(0, shape.num_channels, GROUP_CHANNELS):
      group = samples[:, first : first + GROUP_CHANNELS]
      channels = [value_map.channel_values(group[:, channel]) for channel in range(group.shape[1])]
      indices = value_map.to_indices(group, channels)
      lags = find_lags(indices, stopped)
      intervals = _Segment(self._network, channels, lags, shape).encode(indices, stopped)
      maps = [map_intervals(channel.used) for channel in channels]
      bodies.append(write_header(channels, lags) + rans.encode(np.concatenate([*maps, intervals])))
      by_sample.append(_by_sample(intervals, channels, shape))
    return b''.join(write_number(len(body)) + body for body in bodies), np.concatenate(by_sample)

  def decode(self, body: bytes, shape: SegmentShape, stopped: Callable[[], bool]) -> np.ndarray | None:
    """int32 [N, C], or None for what no encoder wrote, and if it is stopped."""
    groups = []
    reader = NumberReader(body)
    try:
      for first in range(0, shape.num_channels, GROUP_CHANNELS):
        length = reader.read()
        start, reader.position = reader.position, reader.position + length
        if length < 0 or reader.position > len(body):
          return None
        num_channels = min(GROUP_CHANNELS, shape.num_channels - first)
        group = self._decode_group(body[start : start + length], num_channels, shape, stopped)
        if group is None:
          return None
        groups.append(group)
    except ValueError:
      return None
    return np.concatenate(groups, axis=1) if reader.position == len(body) else None

  def _decode_group(
    self, body: bytes, num_channels: int, shape: SegmentShape, stopped: Callable[[], bool]
  ) -> np.ndarray | None:
    """One group's samples, int32 [N, C]. Raises ValueError if its header ends early."""
    reader = NumberReader(body)
    header = read_header(reader, num_channels, shape)
    if header is None:
      return None
    channels, lags = header
    decoder = rans.Decoder([body[reader.position :]])
    for channel in channels:
      read_map(channel.used, decoder)
    indices = _Segment(self._network, channels, lags, shape).decode(decoder, stopped)
    if indices is None or not decoder.sound()[0]:
      return None
    return value_map.to_samples(indices, channels).astype(np.int32)


class _Segment:
  """One group's arrays while it is worked on."""

  def __init__(self, network: _Network, channels: list[ChannelValues], lags: np.ndarray, shape: SegmentShape):
    self._num_frames = shape.num_frames
    self._places = np.array([_index_bytes(channel) for channel in channels], np.int64)
    self._cells = value_map.edges(channels)
    if not self._places.any():  # Every sample is known, so nobody has to predict it.
      return
    self._network = network
    self._experts = new_experts(
      EFFORTS[shape.effort],
      self._cells.limits,
      lags,
      shape.num_frames,
      value_map.bytes_in_use(shape.sample_bytes, channels),
      shape.sample_rate_hz,
    )
    self._rings = layers.new_rings(network.layers, 1, len(network.output_bias))
    self._blend = new_blend(len(channels))

  def encode(self, indices: np.ndarray, stopped: Callable[[], bool]) -> np.ndarray:
    """indices: int64 [N, C]. Returns intervals, uint32 [N * sum(P), 2]."""
    intervals = np.zeros((self._num_frames * int(self._places.sum()), 2), np.uint32)
    self._run(_ENCODE, indices, intervals, _NO_CODE, stopped)
    return intervals

  def decode(self, decoder: rans.Decoder, stopped: Callable[[], bool]) -> np.ndarray | None:
    """int64 [N, C], or None if it is stopped; the decoder says whether they are sound."""
    indices = np.zeros((self._num_frames, len(self._places)), np.int64)
    finished = self._run(_DECODE, indices, np.zeros((0, 2), np.uint32), decoder.arrays, stopped)
    return indices if finished else None

  def _run(
    self,
    purpose: int,
    indices: np.ndarray,
    intervals: np.ndarray,
    code: tuple[np.ndarray, ...],
    stopped: Callable[[], bool],
  ) -> bool:
    """Whether it came to the end; a code that ends too early is not followed any further."""
    if not self._places.any():
      indices[:] = self._cells.limits[:, 0]
      return not stopped()
    _, _, following, ends = code
    for begin in range(0, self._num_frames, _FRAMES_PER_LOOK):
      if stopped() or (following > ends).any():
        return False
      end = min(begin + _FRAMES_PER_LOOK, self._num_frames)
      _run(
        self._experts,
        self._network,
        self._rings,
        self._blend,
        self._cells,
        self._places,
        purpose,
        indices,
        begin,
        end,
        intervals,
        code,
      )
    return True


def _by_sample(intervals: np.ndarray, channels: list[ChannelValues], shape: SegmentShape) -> np.ndarray:
  """Intervals of a group, in the order of the code, as uint32 [N * C, P, 2], P bytes of a sample in the file."""
  places = [_index_bytes(channel) for channel in channels]
  frames = intervals.reshape(shape.num_frames, sum(places), 2)
  found = np.zeros((shape.num_frames, len(channels), shape.sample_bytes, 2), np.uint32)
  found[..., 1] = 1 << PRECISION_BITS
  at = 0
  for channel, count in enumerate(places):
    found[:, channel, :count] = frames[:, at : at + count]
    at += count
  return found.reshape(-1, shape.sample_bytes, 2)


def _index_bytes(channel: ChannelValues) -> int:
  """Bytes of an index less the least one; 0 where there is only one."""
  return ((channel.largest - channel.least).bit_length() + 7) // 8


@compiled
def _run(experts, net, rings, blend, cells, places, purpose, indices, begin, end, intervals, code):
  """Works frames begin to end off; everything in one function, since calls are compiled anew at every level."""
  num_channels = indices.shape[1]
  stream, normed, outputs = rings.work.stream, rings.work.normed, rings.work.outputs
  per_frame = np.int64(0)
  for channel in range(num_channels):
    per_frame += places[channel]
  at = begin * per_frame
  exp2 = net.layers.exp2
  for t in range(begin, end):
    for channel in range(num_channels):
      if places[channel] == 0:
        indices[t, channel] = np.int64(cells.limits[channel, 0])
      expect(experts, channel, t)
      # A channel of one value is coded by saying nothing, but the network sees it, as it did in training.
      describe(experts, cells, channel, t)
      layers.multiply(experts.features, net.input, net.input_scale, stream)
      for i in range(len(net.input_bias)):
        stream[i] = min(max(stream[i] + net.input_bias[i], -MAX_STREAM), MAX_STREAM)
      layers.advance(net.layers, rings, 0, t * num_channels + channel)
      layers.multiply(normed, net.output, net.output_scale, outputs)
      for i in range(len(net.output_bias)):
        outputs[i] += net.output_bias[i]
      compose(blend, experts, exp2, channel, outputs)
      compose_copy(blend, experts.repeats, indices, channel, t)
      if places[channel] > 0 and purpose == _DECODE:
        indices[t, channel] = _decode_bytes(blend, cells, experts, channel, places[channel], code)
      index = indices[t, channel]
      weigh_cell(blend, experts, channel, lower_edge(cells, channel, index), lower_edge(cells, channel, index + 1))
      if places[channel] > 0 and purpose == _ENCODE:
        _encode_bytes(
          blend, cells, experts.table, channel, places[channel], index, intervals[at : at + places[channel]]
        )
        at += places[channel]
      mass = learn(experts, channel, t, np.float64(index))
      if places[channel] > 0:
        review(blend, channel, mass)
        review_copy(blend, experts.repeats, indices, channel, t)


@inlined
def _encode_bytes(blend, cells, table, channel, places, index, intervals):
  """Intervals [P, 2] of the bytes of an index less the least one, the highest first; its cell has been weighed."""
  least, largest = np.int64(cells.limits[channel, 0]), np.int64(cells.limits[channel, 1])
  shift = 8 * places
  below, above = np.int64(0), whole_mass(largest - least + 1)
  for place in range(places):
    shift -= 8
    byte = ((index - least) >> shift) & 255
    if shift > 0:
      start = least + (((index - least) >> shift) << shift)
      low = cumulative_mass(blend, cells, table, channel, start)
      high = cumulative_mass(blend, cells, table, channel, start + (np.int64(1) << shift))
    else:
      low = final_mass(blend, cells, channel, index, blend.below[NUM_COMPONENTS])
      high = final_mass(blend, cells, channel, index + 1, blend.above[NUM_COMPONENTS])
    start_slot = _slot(below, above, low, byte)
    # Where a copy leaves nothing to all 256 of them, the last one still takes what there is.
    stop_slot = _slot(below, above, high, byte + 1) if byte < 255 else np.int64(1 << PRECISION_BITS)
    intervals[place, 0] = start_slot
    intervals[place, 1] = stop_slot - start_slot
    below, above = low, high


@compiled
def _slot(below, above, mass, byte):
  """Where a byte begins, of 1 << PRECISION_BITS: all of them lie between two masses, those before it below a third."""
  whole = max(above - below, np.int64(1))
  cut = np.int64(0)
  while whole >> cut >= np.int64(1) << _MASS_BITS:
    cut += 1
  return (((mass - below) >> cut) * _FREE) // (whole >> cut) + byte


@inlined
def _decode_bytes(blend, cells, experts, channel, places, code):
  """Decodes the bytes of an index less the least one, the highest first; returns the index."""
  least, largest = np.int64(cells.limits[channel, 0]), np.int64(cells.limits[channel, 1])
  states, words, following, ends = code
  table = experts.table
  expected = likely_index(blend, experts, channel) - least
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
      middle = cumulative_mass(blend, cells, table, channel, least + known + (probe << shift))
      middle_slot = _slot(below, above, middle, probe)
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
