"""A transformer's layers in integers on CPUs: compiled code that both families of models share.

Two rows of a matrix stand in one, an element of the first beside its neighbour of the second, since machines multiply
and add such pairs at once; what is missing to a pair, or to a whole vector of columns, is 0, in matrices and elsewhere.

Shapes: N layers, E embedding_dim, H heads, D = E / H, W attention window, F feed-forward width, each of the latter four
up to whole vectors where it is the last one. Pairs: K / 2, rounded up, of K.
"""

import math
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.kernels.vectors import (
  INTEGERS,
  add_pairs,
  integers,
  load,
  maximum,
  minimum,
  store,
)
from language_modeling_is_compression.quantized.quantize import (
  EPSILON,
  EXP_BITS,
  LOG_BITS,
  MAX_INT16,
  MAX_LOG,
  MAX_STREAM,
  NORM_BITS,
  RECIPROCAL_BITS,
  ROOT_BITS,
  Matrix,
  QuantizedLayer,
  exp2_table,
)

_FRACTION = (1 << LOG_BITS) - 1
_MAX_STEP = 2 * MAX_STREAM  # A larger step would take any stream to its limit.


class Layers(NamedTuple):
  """`QuantizedLayer`s as arrays over all of them, their matrices in pairs of rows.

  A scale is the shift that follows a product and the limit after it: int64 [2]. scales: [N, 7, 2], for queries, keys,
  values, scores, attention's output, feed-forward in and out.
  """

  queries: np.ndarray  # int16 [N, E / 2, 2 E], also keys, values and attention_output
  keys: np.ndarray
  values: np.ndarray
  attention_output: np.ndarray
  feed_forward_in: np.ndarray  # int16 [N, E / 2, 2 F]
  feed_forward_out: np.ndarray  # int16 [N, F / 2, 2 E]
  scales: np.ndarray
  # int32 [N, H, 2 W]: the biases from lag 0 to lag W - 1 stand backwards, twice, so that the slots of a cache have
  # theirs in one piece wherever the newest key is.
  slot_bias: np.ndarray
  width: int  # E
  width_root: int  # Its square root, ROOT_BITS
  num_heads: int
  exp2: np.ndarray  # int32 [1 << LOG_BITS]


class Scratch(NamedTuple):
  """Scratch arrays for one token; allocating them anew takes longer than some of the sums."""

  stream: np.ndarray  # int32 [E]
  normed: np.ndarray  # int16 [E]
  outputs: np.ndarray  # int32, what stands on top of the layers
  sums: np.ndarray  # int32 [E]
  queries: np.ndarray  # int16 [E], also keys and values
  keys: np.ndarray
  values: np.ndarray
  mixed: np.ndarray  # int16 [E - D + D]: the last head's end in whole vectors
  scores: np.ndarray  # int32 [W]
  weights: np.ndarray  # int16 [W]
  wide: np.ndarray  # int32 [F]
  squares: np.ndarray  # int16 [F]


class KVCache(NamedTuple):
  """Keys and values of lanes' last W tokens; the token at position t is in slot t % W.

  keys: int16 [L, N, H, D / 2, 2 W], values: int16 [L, N, H, W / 2, 2 D].
  """

  keys: np.ndarray
  values: np.ndarray
  work: Scratch


def paired(matrix: Matrix) -> np.ndarray:
  """Weights [K, N] of a matrix with each pair of rows in one: int16 [K / 2, 2 N]."""
  rows, columns = matrix.weights.shape
  pairs = np.zeros((_pairs(rows), 2, _whole(columns)), np.int16)
  pairs.reshape(-1, _whole(columns))[:rows, :columns] = matrix.weights
  return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(len(pairs), -1)


def stacked(layers: tuple[QuantizedLayer, ...], num_heads: int, query_limit: int) -> Layers:
  bias = np.stack([layer.lag_bias for layer in layers])
  backwards = np.roll(bias[:, :, ::-1], 1, axis=2)  # Lag 0, W - 1, W - 2, ..., 1.

  def stack(name: str) -> np.ndarray:
    return np.stack([paired(getattr(layer, name)) for layer in layers])

  return Layers(
    queries=stack('queries'),
    keys=stack('keys'),
    values=stack('values'),
    attention_output=stack('attention_output'),
    feed_forward_in=stack('feed_forward_in'),
    feed_forward_out=stack('feed_forward_out'),
    scales=np.array([_scales(layer, query_limit) for layer in layers], np.int64),
    slot_bias=np.ascontiguousarray(np.concatenate([backwards, backwards], axis=2)),
    width=len(layers[0].queries.weights),
    width_root=math.isqrt(len(layers[0].queries.weights) << (2 * ROOT_BITS)),
    num_heads=num_heads,
    exp2=exp2_table(),
  )


def new_kv_cache(layers: Layers, num_lanes: int, num_outputs: int) -> KVCache:
  window, head_dim = layers.slot_bias.shape[2] // 2, layers.width // layers.num_heads
  shape = (num_lanes, len(layers.scales), layers.num_heads)
  return KVCache(
    keys=np.zeros((*shape, _pairs(head_dim), 2 * _whole(window)), np.int16),
    values=np.zeros((*shape, _pairs(window), 2 * _whole(head_dim)), np.int16),
    work=new_scratch(layers, num_outputs),
  )


def new_scratch(layers: Layers, num_outputs: int) -> Scratch:
  width, wide = _whole(layers.width), layers.feed_forward_in.shape[2] // 2
  window, head_dim = _whole(layers.slot_bias.shape[2] // 2), layers.width // layers.num_heads
  return Scratch(
    stream=np.zeros(width, np.int32),
    normed=np.zeros(width, np.int16),
    outputs=np.zeros(_whole(num_outputs), np.int32),
    sums=np.zeros(width, np.int32),
    queries=np.zeros(width, np.int16),
    keys=np.zeros(width, np.int16),
    values=np.zeros(width, np.int16),
    mixed=np.zeros(layers.width - head_dim + _whole(head_dim), np.int16),
    scores=np.zeros(window, np.int32),
    weights=np.zeros(window, np.int16),
    wide=np.zeros(wide, np.int32),
    squares=np.zeros(wide, np.int16),
  )


def _pairs(rows: int) -> int:
  return -(-rows // 2)


def _whole(size: int) -> int:
  """Size rounded up to whole vectors."""
  return -(-size // INTEGERS) * INTEGERS


def _scales(layer: QuantizedLayer, query_limit: int) -> list[tuple[int, int]]:
  return [
    (layer.queries.shift, query_limit),
    (layer.keys.shift, query_limit),
    (layer.values.shift, MAX_INT16),
    (layer.score_shift, MAX_LOG),
    (layer.attention_output.shift, _MAX_STEP),
    (layer.feed_forward_in.shift, MAX_INT16),
    (layer.feed_forward_out.shift, _MAX_STEP),
  ]


@inlined
def decode_step(layers, cache, lane, t):
  """Runs one token, at position t of a lane, whose embedding is in the stream, through all layers and the last norm."""
  stream, normed = cache.work.stream, cache.work.normed
  for layer in range(layers.scales.shape[0]):
    norm(stream, normed, layers.width, layers.width_root)
    attend(layers, layer, cache.keys[lane, layer], cache.values[lane, layer], cache.work, t, normed, stream)
    norm(stream, normed, layers.width, layers.width_root)
    feed_forward(layers, layer, cache.work, normed, stream)
  norm(stream, normed, layers.width, layers.width_root)


@compiled
def norm(stream, normed, width, width_root):
  """normed = stream over its root mean square, NORM_BITS; width: E, beyond which the stream is 0, and its root."""
  squares = np.int64(0)
  for i in range(len(stream)):
    squares += np.int64(stream[i]) * np.int64(stream[i])
  root = _integer_root(squares + EPSILON * width)
  reciprocal = (np.int64(width_root) << 20) // root
  for i in range(len(stream)):
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
def attend(layers, layer, keys, values, work, t, normed, stream):
  """Adds the attention of the token at position t to its stream, and its key and value to the cache of a layer."""
  num_heads, window = layers.num_heads, layers.slot_bias.shape[2] // 2
  head_dim = layers.width // num_heads
  slot = t % window
  count = min(t + 1, window)
  multiply(normed, layers.keys[layer], layers.scales[layer, 1], work.keys)
  multiply(normed, layers.values[layer], layers.scales[layer, 2], work.values)
  # Long before they are read, since what is read at once in whole vectors waits until it is written.
  for head in range(num_heads):
    first = head * head_dim
    for d in range(head_dim):
      keys[head, d >> 1, 2 * slot + (d & 1)] = work.keys[first + d]
      values[head, slot >> 1, 2 * d + (slot & 1)] = work.values[first + d]
  multiply(normed, layers.queries[layer], layers.scales[layer, 0], work.queries)
  scores, weights = work.scores[:count], work.weights[:count]
  for head in range(num_heads):
    first = head * head_dim
    multiply(work.queries[first:], keys[head], layers.scales[layer, 3], work.scores)
    bias = layers.slot_bias[layer, head, window - slot : window - slot + count]
    for j in range(count):
      scores[j] += bias[j]
    # Empty slots may have weights left over from elsewhere, but their values are 0.
    _softmax(scores, layers.exp2, weights)
    for d in range(0, values.shape[2] >> 1, INTEGERS):
      mixed = _product(work.weights, values[head], d)
      store(work.mixed, first + d, _rescaled(mixed, EXP_BITS, MAX_INT16))
  multiply(work.mixed, layers.attention_output[layer], layers.scales[layer, 4], work.sums)
  _add(work.sums, stream)


@compiled
def _softmax(scores, exp2, weights):
  """weights = 2**scores over their sum, EXP_BITS, cut to 16 bits. Unsigned numbers, since they fill vectors better."""
  top = max_of(scores)
  for j in range(len(scores)):
    scores[j] = power(top - scores[j], exp2)
  total = np.int64(0)
  for j in range(len(scores)):
    total += scores[j]
  reciprocal = np.uint32((np.int64(1) << RECIPROCAL_BITS) // total)  # At most 2**30.
  half = np.uint64(1 << (RECIPROCAL_BITS - EXP_BITS - 1))
  for j in range(len(scores)):
    product = np.uint64(np.uint32(scores[j])) * np.uint64(reciprocal)
    weights[j] = min(np.int32((product + half) >> np.uint64(RECIPROCAL_BITS - EXP_BITS)), np.int32(MAX_INT16))


@compiled
def max_of(values):
  found = values[0]
  for i in range(1, len(values)):
    found = np.int32(max(found, values[i]))
  return found


@compiled
def power(distance, exp2):
  """2**(EXP_BITS - distance / 2**LOG_BITS), for distance >= 0."""
  far = np.uint32(distance)
  return np.uint32(exp2[far & np.uint32(_FRACTION)]) >> min(far >> np.uint32(LOG_BITS), np.uint32(31))


@inlined
def feed_forward(layers, layer, work, normed, stream):
  sums, squares, out = work.wide, work.squares, work.sums
  multiply(normed, layers.feed_forward_in[layer], layers.scales[layer, 5], sums)
  for i in range(len(sums)):
    value = max(np.int32(sums[i]), np.int32(0))
    square = np.int32(np.int32(value * value) + np.int32(1 << (EXP_BITS - 1)))
    squares[i] = min(np.int32(square >> EXP_BITS), np.int32(MAX_INT16))
  multiply(squares, layers.feed_forward_out[layer], layers.scales[layer, 6], out)
  _add(out, stream)


@compiled
def _add(steps, stream):
  """stream += steps, limited."""
  most = integers(MAX_STREAM)
  for i in range(0, len(stream), INTEGERS):
    store(stream, i, minimum(maximum(load(stream, i) + load(steps, i), integers(-MAX_STREAM)), most))


@compiled
def _shifted(value, shift):
  """value / 2**shift to the nearest integer, ties upwards; shift > 0."""
  return (np.int64(value) + (np.int64(1) << (shift - 1))) >> shift


@compiled
def multiply(x, rows, scale, products):
  """products [N], int32 or int16, = x [K] @ weights [K, N], rescaled; rows: `paired` weights. x goes up to a pair."""
  columns = rows.shape[1] >> 1
  paired_columns = columns - columns % (2 * INTEGERS)
  for n in range(0, paired_columns, 2 * INTEGERS):
    # Two vectors at a time, since both need the same pair of x.
    sums, others = integers(0), integers(0)
    for k in range(len(rows)):
      sums = add_pairs(sums, rows[k], 2 * n, x, 2 * k)
      others = add_pairs(others, rows[k], 2 * (n + INTEGERS), x, 2 * k)
    store(products, n, _rescaled(sums, scale[0], scale[1]))
    store(products, n + INTEGERS, _rescaled(others, scale[0], scale[1]))
  for n in range(paired_columns, columns, INTEGERS):
    store(products, n, _rescaled(_product(x, rows, n), scale[0], scale[1]))


@compiled
def _product(x, rows, n):
  """The vector from column n on; sums fit 32 bits, which the weights' bound sees to."""
  sums = integers(0)
  for k in range(len(rows)):
    sums = add_pairs(sums, rows[k], 2 * n, x, 2 * k)
  return sums


@compiled
def _rescaled(sums, shift, limit):
  """sums / 2**shift to the nearest integer, ties upwards, limited; limit < 2**30."""
  if shift > 31:
    sums = integers(0)
  elif shift > 0:
    # In 32 bits: what is shifted out last says whether to round up.
    sums = (sums >> integers(shift)) + ((sums >> integers(shift - 1)) & integers(1))
  else:
    # Nothing is lost that counts: what lies beyond the limit before it is shifted, stays beyond it.
    left = min(-shift, 30)
    most = (limit >> left) + 1
    sums = minimum(maximum(sums, integers(-most)), integers(most)) << integers(left)
  return minimum(maximum(sums, integers(-limit)), integers(limit))
