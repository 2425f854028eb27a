"""The exact network on CPUs: one compiled step for many lanes, in integers of 16, 32 and 64 bits.

Shapes: L lanes, T tokens, E embedding_dim, V vocabulary, P places of a token in a sample.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.entropy import byte_counts, rans, sampling
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.entropy.sampling import Sampler
from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.quantized import layers
from language_modeling_is_compression.quantized.predictor import Decoding
from language_modeling_is_compression.quantized.quantize import (
  EXP_BITS,
  LOG_BITS,
  LOGIT_BITS,
  MASS_BITS,
  MAX_LOG,
  QuantizedNetwork,
)

_FRACTION = (1 << LOG_BITS) - 1
_STEP, _ENCODE, _DECODE, _FOLLOW, _SAMPLE = range(5)
_NO_TOKENS = np.zeros((0, 0, 0), np.uint8)
# Intervals, codes and counts, where there are none.
_NOTHING = (
  np.zeros((0, 0, 0, 2), np.uint32),
  (np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64)),
  np.zeros((0, 0, 256), np.int64),
)


class _Network(NamedTuple):
  """An `QuantizedNetwork` as arrays."""

  embedding: np.ndarray  # int32 [P, V, E]
  layers: layers.Layers
  output: np.ndarray  # int16 [E / 2, 2 V], pairs of rows
  output_scale: np.ndarray
  output_bias: np.ndarray  # int32 [V]
  first_token: int


class _Lanes(NamedTuple):
  """State of lanes."""

  cache: layers.KVCache
  position: np.ndarray  # int64 [L]: tokens that came so far
  last: np.ndarray  # int64 [L]: the last of them
  cdfs: np.ndarray  # uint32 [L, V + 1], the next ones'
  symbols: np.ndarray  # int64 [L], for work
  low_cdfs: np.ndarray  # uint32 [L, 257], for bytes below those of the network


class CpuPredictor:
  """The `Predictor` of an exact network, computed on the CPU."""

  rows_together = False

  def __init__(self, network: QuantizedNetwork):
    self.identity = network.identity()
    self.vocab_size = network.vocab_size
    self.places = network.places
    self._network = _stacked(network)

  def intervals(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    samples = np.array(tokens, np.uint8).reshape(len(tokens), -1, self.places)
    found = np.zeros((*samples.shape, 2), np.uint32)
    for row, length in enumerate(lengths):
      lanes = CpuLanes(self._network, 1)
      lanes.encode(samples[row : row + 1], -(-length // self.places), found[row : row + 1])
    return found.reshape(*tokens.shape, 2)

  def lanes(self, num_lanes: int) -> 'CpuLanes':
    return CpuLanes(self._network, num_lanes)


class CpuLanes:
  def __init__(self, network: _Network, num_lanes: int):
    self._network = network
    self._lanes = _new_lanes(network, num_lanes)

  def cdfs(self, num_lanes: int) -> np.ndarray:
    _run(self._network, self._lanes, _STEP, _NO_TOKENS, np.ones(num_lanes, np.int64), 0, 1, *_NOTHING, None)
    return self._lanes.cdfs[:num_lanes]

  def push(self, tokens: np.ndarray) -> None:
    self._lanes.last[: len(tokens)] = tokens

  def encode(self, tokens: np.ndarray, num_samples: int, intervals: np.ndarray) -> None:
    """Writes the intervals [1, N, P, 2] of the first samples of tokens [1, N, P]."""
    lengths = np.array([num_samples])
    _run(self._network, self._lanes, _ENCODE, tokens, lengths, 0, num_samples, intervals, *_NOTHING[1:], None)

  def decode(self, work: Decoding, begin: int, end: int) -> None:
    codes = work.decoder.arrays
    span = (work.tokens, work.lengths, begin, end)
    _run(self._network, self._lanes, _DECODE, *span, _NOTHING[0], codes, work.counts.counts, None)

  def follow(self, tokens: np.ndarray) -> None:
    """Takes known tokens in, uint8 or uint16 [L, N, P], of which nothing is asked."""
    lengths = np.full(len(tokens), tokens.shape[1])
    tokens = tokens.astype(np.uint16)  # As those that are drawn: the same compiled code takes both.
    _run(self._network, self._lanes, _FOLLOW, tokens, lengths, 0, tokens.shape[1], *_NOTHING, sampling.NO_DRAWS)

  def sample(self, tokens: np.ndarray, sampler: Sampler, sequences: np.ndarray, first: int) -> None:
    """Draws tokens, uint16 [L, N, P], of which the first one has the position `first` in its sequence.

    sequences: int64 [L], numbers of the sequences that the lanes are.
    """
    lengths = np.full(len(tokens), tokens.shape[1])
    draws = sampler.draws(sequences, first, self._network.embedding.shape[1])
    _run(self._network, self._lanes, _SAMPLE, tokens, lengths, 0, tokens.shape[1], *_NOTHING, draws)


def _new_lanes(network: _Network, num_lanes: int) -> _Lanes:
  return _Lanes(
    cache=layers.new_kv_cache(network.layers, num_lanes, len(network.output_bias)),
    position=np.zeros(num_lanes, np.int64),
    last=np.full(num_lanes, network.first_token, np.int64),
    cdfs=np.empty((num_lanes, len(network.output_bias) + 1), np.uint32),
    symbols=np.zeros(num_lanes, np.int64),
    low_cdfs=np.empty((num_lanes, 257), np.uint32),
  )


def _stacked(network: QuantizedNetwork) -> _Network:
  return _Network(
    embedding=network.embedding,
    layers=layers.stacked(network.layers, network.num_heads, network.query_limit),
    output=layers.paired(network.output),
    output_scale=np.array([network.output.shift, MAX_LOG], np.int64),
    output_bias=network.output_bias,
    first_token=network.first_token,
  )


@compiled
def _run(net, lanes, purpose, tokens, lengths, begin, end, intervals, codes, counts, draws):
  """Everything in one function, since the network takes seconds to compile for each that calls it.

  tokens: uint8 [L, N, S], or uint16 where some are drawn. lengths: int64 [L], samples of each lane, not rising.
  Samples begin to end are worked off; the next tokens' cdfs are left in lanes.cdfs, and, by purpose,
  _STEP: nothing else is done. The lanes' last tokens are known, and end is begin + 1.
  _ENCODE: intervals [L, N, S, 2] of tokens are written.
  _DECODE: tokens are decoded from codes, as `predictor.decode_stepwise` does.
  _FOLLOW: tokens are known, and nothing is written.
  _SAMPLE: tokens are drawn, by draws, which is None for all that codes: that is compiled by itself then.
  """
  places, sample_bytes = net.embedding.shape[0], tokens.shape[2]
  states, words, following, ends = codes
  cdfs, symbols, low_cdfs = lanes.cdfs, lanes.symbols, lanes.low_cdfs
  active = len(lengths)
  for sample in range(begin, end):
    while lengths[active - 1] <= sample:
      active -= 1
    for place in range(places):
      _next_cdfs(net, lanes, cdfs[:active])
      if purpose == _STEP:
        return
      known = place < sample_bytes
      if purpose == _DECODE and known:
        rans.decode_symbols(states, words, following, ends, cdfs[:active], symbols[:active])
      if draws is not None and purpose == _SAMPLE:
        sampling.draw_symbols(draws, np.int64(sample - begin) * places + place, cdfs[:active], symbols[:active])
      for lane in range(active):
        if purpose in (_ENCODE, _FOLLOW):
          symbol = np.int64(tokens[lane, sample, place])
          if purpose == _ENCODE:
            intervals[lane, sample, place, 0] = cdfs[lane, symbol]
            intervals[lane, sample, place, 1] = cdfs[lane, symbol + 1] - cdfs[lane, symbol]
          lanes.last[lane] = symbol
        elif known:
          tokens[lane, sample, place] = symbols[lane]
          lanes.last[lane] = symbols[lane]
        else:
          lanes.last[lane] = 0
    for place in range(places, sample_bytes):
      byte_counts.byte_cdfs(counts[:active, place - places], low_cdfs)
      rans.decode_symbols(states, words, following, ends, low_cdfs[:active], symbols[:active])
      for lane in range(active):
        tokens[lane, sample, place] = symbols[lane]
      byte_counts.count_bytes(counts[:, place - places], symbols[:active])


@inlined
def _next_cdfs(net, lanes, cdfs):
  """Takes each lane's last token in and writes the next one's cdf."""
  work = lanes.cache.work
  for lane in range(len(cdfs)):
    t = lanes.position[lane]
    place = (t - 1) % net.embedding.shape[0]
    for i in range(net.layers.width):
      work.stream[i] = net.embedding[place, lanes.last[lane], i]
    layers.decode_step(net.layers, lanes.cache, lane, t)
    layers.multiply(work.normed, net.output, net.output_scale, work.outputs)
    _cdf(work.outputs[: len(net.output_bias)], net.output_bias, net.layers.exp2, cdfs[lane])
    lanes.position[lane] = t + 1


@compiled
def _cdf(sums, bias, exp2, cdf):
  """Turns products of the output layer [V] into a cdf [V + 1]: each symbol has 1 at least, the likeliest the rest."""
  vocab_size = len(bias)
  for v in range(vocab_size):
    sums[v] += bias[v]
  largest = layers.max_of(sums)
  likeliest = 0
  while sums[likeliest] != largest:
    likeliest += 1
  for v in range(vocab_size):
    far = np.uint32(largest - sums[v])
    power = np.uint32(exp2[far & np.uint32(_FRACTION)]) << np.uint32(LOGIT_BITS - EXP_BITS)
    sums[v] = power >> min(far >> np.uint32(LOG_BITS), np.uint32(31))
  total = np.int64(0)
  for v in range(vocab_size):
    total += sums[v]
  shared = (np.int64(1) << PRECISION_BITS) - vocab_size
  reciprocal = np.uint32((shared << MASS_BITS) // total)  # Below 2**32, since the likeliest has 2**LOGIT_BITS.
  mass = np.int64(0)
  for v in range(vocab_size):
    product = np.uint64(np.uint32(sums[v])) * np.uint64(reciprocal)
    sums[v] = 1 + np.int32(product >> np.uint64(MASS_BITS))
    mass += sums[v]
  sums[likeliest] += (1 << PRECISION_BITS) - mass
  below = np.uint32(0)
  for v in range(vocab_size):
    cdf[v] = below
    below += np.uint32(sums[v])
  cdf[vocab_size] = below
