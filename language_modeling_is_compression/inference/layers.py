"""A transformer's layers in integers on CPUs: compiled code that both families of models share.

Shapes: N layers, E embedding_dim, H heads, D = E / H, W attention window, F feed-forward width.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.compilation import compiled, inlined
from language_modeling_is_compression.inference.exact import (
  EPSILON,
  EXP_BITS,
  LOG_BITS,
  MAX_INT16,
  MAX_LOG,
  MAX_STREAM,
  NORM_BITS,
  RECIPROCAL_BITS,
  ROOT_BITS,
  ExactLayer,
  exp2_table,
)

_FRACTION = (1 << LOG_BITS) - 1
_MAX_STEP = 2 * MAX_STREAM  # A step beyond it would take a stream to its limit from wherever it is.


class Layers(NamedTuple):
  """`ExactLayer`s as arrays over all of them.

  A scale is the shift that follows a product and the limit after it: int64 [2]. scales: [N, 7, 2], for queries, keys,
  values, scores, attention's output, feed-forward in and out.
  """

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
  num_heads: int
  exp2: np.ndarray  # int32 [1 << LOG_BITS]


class Work(NamedTuple):
  """Arrays for the numbers of one token, since making them anew takes longer than some of the sums."""

  stream: np.ndarray  # int32 [E]
  normed: np.ndarray  # int16 [E]
  outputs: np.ndarray  # int32, what stands on top of the layers
  sums: np.ndarray  # int32 [E], also queries
  queries: np.ndarray
  mixed: np.ndarray  # int16 [E]
  scores: np.ndarray  # int32 [W]
  weights: np.ndarray  # int16 [W]
  wide: np.ndarray  # int32 [F]
  squares: np.ndarray  # int16 [F]


class Rings(NamedTuple):
  """Keys and values that lanes remember: int16 [L, N, E, W], slot t % W for the token at position t."""

  keys: np.ndarray
  values: np.ndarray
  work: Work


def stacked(layers: tuple[ExactLayer, ...], num_heads: int, query_limit: int) -> Layers:
  bias = np.stack([layer.lag_bias for layer in layers])
  backwards = np.roll(bias[:, :, ::-1], 1, axis=2)  # Lag 0, W - 1, W - 2, ..., 1.

  def stack(name: str) -> np.ndarray:
    return np.stack([getattr(layer, name).weights for layer in layers])

  return Layers(
    queries=stack('queries'),
    keys=stack('keys'),
    values=stack('values'),
    attention_output=stack('attention_output'),
    feed_forward_in=stack('feed_forward_in'),
    feed_forward_out=stack('feed_forward_out'),
    scales=np.array([_scales(layer, query_limit) for layer in layers], np.int64),
    slot_bias=np.ascontiguousarray(np.concatenate([backwards, backwards], axis=2)),
    num_heads=num_heads,
    exp2=exp2_table(),
  )


def new_rings(layers: Layers, num_lanes: int, num_outputs: int) -> Rings:
  num_layers, width, _ = layers.queries.shape
  shape = (num_lanes, num_layers, width, layers.slot_bias.shape[2] // 2)
  return Rings(keys=np.zeros(shape, np.int16), values=np.zeros(shape, np.int16), work=new_work(layers, num_outputs))


def new_work(layers: Layers, num_outputs: int) -> Work:
  width, wide = layers.feed_forward_in.shape[1:]
  window = layers.slot_bias.shape[2] // 2
  return Work(
    stream=np.empty(width, np.int32),
    normed=np.empty(width, np.int16),
    outputs=np.empty(num_outputs, np.int32),
    sums=np.empty(width, np.int32),
    queries=np.empty(width, np.int32),
    mixed=np.empty(width, np.int16),
    scores=np.empty(window, np.int32),
    weights=np.empty(window, np.int16),
    wide=np.empty(wide, np.int32),
    squares=np.empty(wide, np.int16),
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


@inlined
def advance(layers, rings, lane, t):
  """Takes what stands in the stream, of a lane's token at position t, through all layers, and norms it."""
  stream, normed = rings.work.stream, rings.work.normed
  for layer in range(layers.scales.shape[0]):
    norm(stream, normed)
    attend(layers, layer, rings.keys[lane, layer], rings.values[lane, layer], rings.work, t, normed, stream)
    norm(stream, normed)
    feed_forward(layers, layer, rings.work, normed, stream)
  norm(stream, normed)


@compiled
def norm(stream, normed):
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
def attend(layers, layer, keys, values, work, t, normed, stream):
  """Adds the attention of the token at position t to its stream, and its key and value to the rings [E, W]."""
  width, window = keys.shape
  head_dim = width // layers.num_heads
  slot = t % window
  count = min(t + 1, window)
  sums, queries, mixed = work.sums, work.queries, work.mixed
  scores, weights = work.scores[:count], work.weights[:count]
  multiply(normed, layers.queries[layer], layers.scales[layer, 0], queries)
  multiply(normed, layers.keys[layer], layers.scales[layer, 1], sums)
  for i in range(width):
    keys[i, slot] = sums[i]
  multiply(normed, layers.values[layer], layers.scales[layer, 2], sums)
  for i in range(width):
    values[i, slot] = sums[i]
  for head in range(layers.num_heads):
    scores[:] = 0
    _add_products(queries, keys, head * head_dim, (head + 1) * head_dim, scores)
    _rescale(scores, layers.scales[layer, 3])
    bias = layers.slot_bias[layer, head, window - slot : window - slot + count]
    for j in range(count):
      scores[j] += bias[j]
    _softmax(scores, layers.exp2, weights)
    for i in range(head * head_dim, (head + 1) * head_dim):
      total = np.int32(0)
      for j in range(count):
        total = np.int32(total + np.int32(np.int32(weights[j]) * np.int32(values[i, j])))
      mixed[i] = min(max(_shifted(total, EXP_BITS), -MAX_INT16), MAX_INT16)
  multiply(mixed, layers.attention_output[layer], layers.scales[layer, 4], sums)
  _add(sums, stream)


@compiled
def _softmax(scores, exp2, weights):
  """weights = 2**scores over their sum, EXP_BITS, cut to 16 bits. Unsigned numbers, since they fill vectors better."""
  top = largest(scores)
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
def largest(values):
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
def multiply(x, weights, scale, products):
  """products [N] = x [K] @ weights [K, N], rescaled; sums fit 32 bits, which the weights' bound sees to."""
  products[:] = 0
  _add_products(x, weights, 0, len(weights), products)
  _rescale(products, scale)


@compiled
def _add_products(x, weights, begin, end, products):
  """products [N] += x[begin:end] @ weights[begin:end, N]: four rows at once, so that sums stay in registers longer."""
  width = len(products)
  last = begin + ((end - begin) & -4)
  for k in range(begin, last, 4):
    x0, x1, x2, x3 = np.int32(x[k]), np.int32(x[k + 1]), np.int32(x[k + 2]), np.int32(x[k + 3])
    row0, row1, row2, row3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
    for n in range(width):
      pair = np.int32(np.int32(np.int32(row0[n]) * x0) + np.int32(np.int32(row1[n]) * x1))
      other = np.int32(np.int32(np.int32(row2[n]) * x2) + np.int32(np.int32(row3[n]) * x3))
      products[n] = np.int32(products[n] + np.int32(pair + other))
  for k in range(last, end):
    factor, row = np.int32(x[k]), weights[k]
    for n in range(width):
      products[n] = np.int32(products[n] + np.int32(np.int32(row[n]) * factor))
