"""The exact network on CPUs: one compiled step for many lanes, in integers of 16, 32 and 64 bits.

Shapes: L lanes, T tokens, N layers, E embedding_dim, H heads, D = E / H, W attention window, F feed-forward width,
V vocabulary, P places of a token in a sample.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.coding import adaptive, rans
from language_modeling_is_compression.coding.rans import PRECISION_BITS
from language_modeling_is_compression.compilation import compiled, inlined
from language_modeling_is_compression.inference.exact import (
  EPSILON,
  EXP_BITS,
  LOG_BITS,
  LOGIT_BITS,
  MASS_BITS,
  MAX_INT16,
  MAX_LOG,
  MAX_STREAM,
  NORM_BITS,
  RECIPROCAL_BITS,
  ROOT_BITS,
  ExactLayer,
  ExactNetwork,
  exp2_table,
)
from language_modeling_is_compression.inference.predictor import Decoding

_FRACTION = (1 << LOG_BITS) - 1
_MAX_STEP = 2 * MAX_STREAM  # A step beyond it would take a stream to its limit from wherever it is.
_STEP, _ENCODE, _DECODE = range(3)
_NO_TOKENS = np.zeros((0, 0, 0), np.uint8)
# Intervals, codes and counts, where there are none.
_NOTHING = (
  np.zeros((0, 0, 0, 2), np.uint32),
  (np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.int64), np.zeros(0, np.int64)),
  np.zeros((0, 0, 256), np.int64),
)


class _Network(NamedTuple):
  """An `ExactNetwork` as arrays over its layers.

  A scale is the shift that follows a product and the limit after it: int64 [2]. scales: [N, 7, 2], for queries, keys,
  values, scores, attention's output, feed-forward in and out.
  """

  embedding: np.ndarray  # int32 [P, V, E]
  queries: np.ndarray  # int16 [N, E, E], also keys, values and attention_output
  keys: np.ndarray
  values: np.ndarray
  attention_output: np.ndarray
  feed_forward_in: np.ndarray  # int16 [N, E, F]
  feed_forward_out: np.ndarray  # int16 [N, F, E]
  scales: np.ndarray
  # int32 [N, H, 2 W]: the biases from lag 0 to lag W - 1 stand backwards, twice, so that the slots of a ring have
  # theirs in one piece wherever the newest key is.
  slot_bias: np.ndarray
  output: np.ndarray  # int16 [E, V]
  output_scale: np.ndarray
  output_bias: np.ndarray  # int32 [V]
  num_heads: int
  first_token: int
  exp2: np.ndarray  # int32 [1 << LOG_BITS]


class _Lanes(NamedTuple):
  """What lanes remember. Keys and values stand in rings, slot t % W for the token at position t."""

  keys: np.ndarray  # int16 [L, N, E, W]
  values: np.ndarray
  position: np.ndarray  # int64 [L]: tokens that came so far
  last: np.ndarray  # int64 [L]: the last of them


class CompiledPredictor:
  """The `Predictor` of an exact network, computed on the CPU."""

  rows_together = False

  def __init__(self, network: ExactNetwork):
    self.identity = network.identity()
    self.vocab_size = network.vocab_size
    self.places = network.places
    self._network = _stacked(network)

  def intervals(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    samples = np.array(tokens, np.uint8).reshape(len(tokens), -1, self.places)
    found = np.zeros((*samples.shape, 2), np.uint32)
    for row, length in enumerate(lengths):
      lanes = _CompiledLanes(self._network, 1, self.vocab_size)
      lanes.encode(samples[row : row + 1], -(-length // self.places), found[row : row + 1])
    return found.reshape(*tokens.shape, 2)

  def lanes(self, num_lanes: int) -> '_CompiledLanes':
    return _CompiledLanes(self._network, num_lanes, self.vocab_size)


class _CompiledLanes:
  def __init__(self, network: _Network, num_lanes: int, vocab_size: int):
    self._network = network
    self._lanes = _new_lanes(network, num_lanes)
    self._cdfs = np.empty((num_lanes, vocab_size + 1), np.uint32)

  def cdfs(self, num_lanes: int) -> np.ndarray:
    _run(self._network, self._lanes, self._cdfs, _STEP, _NO_TOKENS, np.ones(num_lanes, np.int64), 0, 1, *_NOTHING)
    return self._cdfs[:num_lanes]

  def push(self, tokens: np.ndarray) -> None:
    self._lanes.last[: len(tokens)] = tokens

  def encode(self, tokens: np.ndarray, num_samples: int, intervals: np.ndarray) -> None:
    """Writes the intervals [1, N, P, 2] of the first samples of tokens [1, N, P]."""
    lengths = np.array([num_samples])
    _run(self._network, self._lanes, self._cdfs, _ENCODE, tokens, lengths, 0, num_samples, intervals, *_NOTHING[1:])

  def decode(self, work: Decoding, begin: int, end: int) -> None:
    codes = work.decoder.arrays
    span = (work.tokens, work.lengths, begin, end)
    _run(self._network, self._lanes, self._cdfs, _DECODE, *span, _NOTHING[0], codes, work.counts.counts)


def _new_lanes(network: _Network, num_lanes: int) -> _Lanes:
  num_layers, _, twice_window = network.slot_bias.shape
  shape = (num_lanes, num_layers, network.embedding.shape[2], twice_window // 2)
  return _Lanes(
    keys=np.zeros(shape, np.int16),
    values=np.zeros(shape, np.int16),
    position=np.zeros(num_lanes, np.int64),
    last=np.full(num_lanes, network.first_token, np.int64),
  )


def _stacked(network: ExactNetwork) -> _Network:
  layers = network.layers
  bias = np.stack([layer.lag_bias for layer in layers])
  backwards = np.roll(bias[:, :, ::-1], 1, axis=2)  # Lag 0, W - 1, W - 2, ..., 1.

  def stack(name: str) -> np.ndarray:
    return np.stack([getattr(layer, name).weights for layer in layers])

  return _Network(
    embedding=network.embedding,
    queries=stack('queries'),
    keys=stack('keys'),
    values=stack('values'),
    attention_output=stack('attention_output'),
    feed_forward_in=stack('feed_forward_in'),
    feed_forward_out=stack('feed_forward_out'),
    scales=np.array([_scales(layer, network.query_limit) for layer in layers], np.int64),
    slot_bias=np.ascontiguousarray(np.concatenate([backwards, backwards], axis=2)),
    output=network.output.weights,
    output_scale=np.array([network.output.shift, MAX_LOG], np.int64),
    output_bias=network.output_bias,
    num_heads=network.num_heads,
    first_token=network.first_token,
    exp2=exp2_table(),
  )


def _scales(layer: ExactLayer, query_limit: int) -> list[tuple[int, int]]:
  return [
    (layer.queries.shift, query_limit),
    (layer.keys.shift, query_limit),
    (layer.values.shift, MAX_INT16),
    (layer.score_shift, MAX_LOG),
    (layer.attention_output.shift, _MAX_STEP),
    (layer.feed_forward_in.shift, MAX_INT16),
    (layer.feed_forward_out.shift, _MAX_STEP),
  ]


@compiled
def _run(net, lanes, cdfs, purpose, tokens, lengths, begin, end, intervals, codes, counts):
  """Everything in one function, since the network takes seconds to compile for each that calls it.

  tokens: uint8 [L, N, S]. lengths: int64 [L], samples of each lane, not rising. Samples begin to end are worked off;
  the next tokens' cdfs are left in cdfs, and, by purpose,
  _STEP: nothing else is done. The lanes' last tokens are known, and end is begin + 1.
  _ENCODE: intervals [L, N, S, 2] of tokens are written.
  _DECODE: tokens are decoded from codes, as `predictor.decode_stepwise` does.
  """
  places, sample_bytes = net.embedding.shape[0], tokens.shape[2]
  states, words, following, ends = codes
  symbols = np.zeros(len(lengths), np.int64)
  low_cdfs = np.empty((len(lengths), 257), np.uint32)
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
      for lane in range(active):
        if purpose == _ENCODE:
          symbol = np.int64(tokens[lane, sample, place])
          intervals[lane, sample, place, 0] = cdfs[lane, symbol]
          intervals[lane, sample, place, 1] = cdfs[lane, symbol + 1] - cdfs[lane, symbol]
          lanes.last[lane] = symbol
        elif known:
          tokens[lane, sample, place] = symbols[lane]
          lanes.last[lane] = symbols[lane]
        else:
          lanes.last[lane] = 0
    for place in range(places, sample_bytes):
      adaptive.byte_cdfs(counts[:active, place - places], low_cdfs)
      rans.decode_symbols(states, words, following, ends, low_cdfs[:active], symbols[:active])
      for lane in range(active):
        tokens[lane, sample, place] = symbols[lane]
      adaptive.count_bytes(counts[:, place - places], symbols[:active])


@inlined
def _next_cdfs(net, lanes, cdfs):
  """Takes each lane's last token in and writes the next one's cdf."""
  width = net.embedding.shape[2]
  stream = np.empty(width, np.int32)
  normed = np.empty(width, np.int16)
  sums = np.empty(net.embedding.shape[1], np.int32)
  for lane in range(len(cdfs)):
    t = lanes.position[lane]
    place = (t - 1) % net.embedding.shape[0]
    for i in range(width):
      stream[i] = net.embedding[place, lanes.last[lane], i]
    for layer in range(net.scales.shape[0]):
      _norm(stream, normed)
      _attend(net, layer, lanes.keys[lane, layer], lanes.values[lane, layer], t, normed, stream)
      _norm(stream, normed)
      _feed_forward(net, layer, normed, stream)
    _norm(stream, normed)
    _multiply(normed, net.output, net.output_scale, sums)
    _cdf(sums, net.output_bias, net.exp2, cdfs[lane])
    lanes.position[lane] = t + 1


@compiled
def _norm(stream, normed):
  """normed = stream over its root mean square, NORM_BITS."""
  width = len(stream)
  squares = np.int64(0)
  for i in range(width):
    squares += np.int64(stream[i]) * np.int64(stream[i])
  root = _integer_root(squares + EPSILON * width)
  reciprocal = (_integer_root(np.int64(width) << (2 * ROOT_BITS)) << 20) // root
  for i in range(width):
    value = _shifted(np.int64(stream[i]) * reciprocal, ROOT_BITS + 20 - NORM_BITS)
    normed[i] = min(max(value, -MAX_INT16), MAX_INT16)


@compiled
def _integer_root(square):
  """floor(sqrt(square)) for 0 <= square < 2**62."""
  root = np.int64(np.sqrt(np.float64(square)))  # At most 1 off, since a float has 53 bits.
  while root * root > square:
    root -= 1
  while (root + 1) * (root + 1) <= square:
    root += 1
  return root


@inlined
def _attend(net, layer, keys, values, t, normed, stream):
  """Adds the attention of the token at position t to its stream, and its key and value to the rings [E, W]."""
  width, window = keys.shape
  head_dim = width // net.num_heads
  slot = t % window
  count = min(t + 1, window)
  sums = np.empty(width, np.int32)
  queries = np.empty(width, np.int32)
  _multiply(normed, net.queries[layer], net.scales[layer, 0], queries)
  _multiply(normed, net.keys[layer], net.scales[layer, 1], sums)
  for i in range(width):
    keys[i, slot] = sums[i]
  _multiply(normed, net.values[layer], net.scales[layer, 2], sums)
  for i in range(width):
    values[i, slot] = sums[i]

  mixed = np.empty(width, np.int16)
  scores = np.empty(count, np.int32)
  weights = np.empty(count, np.int16)
  for head in range(net.num_heads):
    scores[:] = 0
    for i in range(head * head_dim, (head + 1) * head_dim):
      query = queries[i]
      for j in range(count):
        scores[j] = np.int32(scores[j] + np.int32(query * np.int32(keys[i, j])))
    _rescale(scores, net.scales[layer, 3])
    bias = net.slot_bias[layer, head, window - slot : window - slot + count]
    for j in range(count):
      scores[j] += bias[j]
    _softmax(scores, net.exp2, weights)
    for i in range(head * head_dim, (head + 1) * head_dim):
      total = np.int32(0)
      for j in range(count):
        total = np.int32(total + np.int32(np.int32(weights[j]) * np.int32(values[i, j])))
      mixed[i] = min(max(_shifted(total, EXP_BITS), -MAX_INT16), MAX_INT16)
  _multiply(mixed, net.attention_output[layer], net.scales[layer, 4], sums)
  _add(sums, stream)


@compiled
def _softmax(scores, exp2, weights):
  """weights = 2**scores over their sum, EXP_BITS, cut to 16 bits. Unsigned numbers, since they fill vectors better."""
  largest = _largest(scores)
  for j in range(len(scores)):
    scores[j] = _power(largest - scores[j], exp2)
  total = np.int64(0)
  for j in range(len(scores)):
    total += scores[j]
  reciprocal = np.uint32((np.int64(1) << RECIPROCAL_BITS) // total)  # At most 2**30.
  half = np.uint64(1 << (RECIPROCAL_BITS - EXP_BITS - 1))
  for j in range(len(scores)):
    product = np.uint64(np.uint32(scores[j])) * np.uint64(reciprocal)
    weights[j] = min(np.int32((product + half) >> np.uint64(RECIPROCAL_BITS - EXP_BITS)), np.int32(MAX_INT16))


@compiled
def _largest(values):
  largest = values[0]
  for i in range(1, len(values)):
    largest = np.int32(max(largest, values[i]))
  return largest


@compiled
def _power(distance, exp2):
  """2**(EXP_BITS - distance / 2**LOG_BITS), for distance >= 0."""
  far = np.uint32(distance)
  return np.uint32(exp2[far & np.uint32(_FRACTION)]) >> min(far >> np.uint32(LOG_BITS), np.uint32(31))


@inlined
def _feed_forward(net, layer, normed, stream):
  sums = np.empty(net.feed_forward_in.shape[2], np.int32)
  squares = np.empty(len(sums), np.int16)
  _multiply(normed, net.feed_forward_in[layer], net.scales[layer, 5], sums)
  for i in range(len(sums)):
    value = max(np.int32(sums[i]), np.int32(0))
    square = np.int32(np.int32(value * value) + np.int32(1 << (EXP_BITS - 1)))
    squares[i] = min(np.int32(square >> EXP_BITS), np.int32(MAX_INT16))
  out = np.empty(len(stream), np.int32)
  _multiply(squares, net.feed_forward_out[layer], net.scales[layer, 6], out)
  _add(out, stream)


@compiled
def _cdf(sums, bias, exp2, cdf):
  """Turns products of the output layer [V] into a cdf [V + 1]: each symbol has 1 at least, the likeliest the rest."""
  vocab_size = len(bias)
  for v in range(vocab_size):
    sums[v] += bias[v]
  largest = _largest(sums)
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


@compiled
def _add(steps, stream):
  """stream += steps, limited."""
  for i in range(len(stream)):
    stream[i] = min(max(np.int32(stream[i] + steps[i]), np.int32(-MAX_STREAM)), np.int32(MAX_STREAM))


@compiled
def _rescale(values, scale):
  """values = values / 2**shift to the nearest integer, ties upwards, limited; int32 [N], in place."""
  shift, limit = scale[0], scale[1]
  if shift > 31:
    values[:] = 0
  elif shift > 0:
    # In 32 bits, which fill vectors: what is shifted out last says whether to round up.
    for i in range(len(values)):
      value = np.int32(np.int32(values[i] >> shift) + np.int32(np.int32(values[i] >> (shift - 1)) & 1))
      values[i] = min(max(value, np.int32(-limit)), np.int32(limit))
  else:
    for i in range(len(values)):
      values[i] = min(max(np.int64(values[i]) << -shift, -limit), limit)


@compiled
def _shifted(value, shift):
  """value / 2**shift to the nearest integer, ties upwards; shift > 0."""
  return (np.int64(value) + (np.int64(1) << (shift - 1))) >> shift


@compiled
def _multiply(x, weights, scale, products):
  """products [N] = x [K] @ weights [K, N], rescaled; sums fit 32 bits, which the weights' bound sees to."""
  depth, width = weights.shape
  products[:] = 0
  for k in range(depth):
    factor = np.int32(x[k])
    if factor != 0:
      for n in range(width):
        products[n] = np.int32(products[n] + np.int32(np.int32(weights[k, n]) * factor))
  _rescale(products, scale)
