"""Coding 1: the bytes of one channel, coded with a byte model. The parts "A channel's body" and "The network".

Shapes: P places, V 256 bytes, E embedding_dim, H heads, D = E / H, W attention_window, L lags seen so far, at most W.
"""

import math
import struct
from typing import Any

import numpy as np

from reference_decoder.models import Layer, Matrix, Network, max_query, require

INTERVAL_BITS = 24
INTERVAL_TOTAL = 1 << INTERVAL_BITS
NUM_BYTES = 256


def decode_planes(body: bytes, num_samples: int, sample_bytes: int, network: Network) -> bytes:
  """The planes of a channel, which are its payload. Raises ValueError if the body is not sound."""
  reader = EntropyDecoder(body)
  context = Context(network)
  places = len(network.embedding)
  adaptive = [AdaptiveDistribution() for _ in range(places, sample_bytes)]
  planes = np.zeros((sample_bytes, num_samples), np.uint8)
  for sample in range(num_samples):
    for place in range(places):
      symbol = reader.symbol(context.sizes()) if place < sample_bytes else 0
      context.feed(symbol)
      if place < sample_bytes:
        planes[place, sample] = symbol
    for place, distribution in enumerate(adaptive, places):
      symbol = reader.symbol(distribution.sizes())
      distribution.add(symbol)
      planes[place, sample] = symbol
  reader.finish()
  return planes.tobytes()


class EntropyDecoder:
  def __init__(self, body: bytes):
    require(len(body) >= 8 and len(body) % 4 == 0, 'a coded body is not a u64 and words')
    (self._x,) = struct.unpack_from('<Q', body)
    self._words = iter(struct.unpack_from(f'<{len(body) // 4 - 2}I', body, 8))

  def symbol(self, sizes: np.ndarray) -> int:
    """sizes: [256], at least 1 each, in sum 2^24."""
    ends = np.cumsum(sizes)
    slot = self._x % INTERVAL_TOTAL
    symbol = int(np.searchsorted(ends, slot, 'right'))
    size = int(sizes[symbol])
    self._x = size * (self._x >> INTERVAL_BITS) + slot - (int(ends[symbol]) - size)
    if self._x < 1 << 32:
      word = next(self._words, None)
      require(word is not None, 'a coded body ends too early')
      self._x = (self._x << 32) + word
    return symbol

  def finish(self) -> None:
    require(self._x == 1 << 32 and next(self._words, None) is None, 'a coded body does not end as it should')


class AdaptiveDistribution:
  def __init__(self) -> None:
    self._counts = np.ones(NUM_BYTES, np.int64)

  def sizes(self) -> np.ndarray:
    sizes = 1 + self._counts * (INTERVAL_TOTAL - NUM_BYTES) // self._counts.sum()
    sizes[-1] += INTERVAL_TOTAL - sizes.sum()
    return sizes

  def add(self, symbol: int) -> None:
    self._counts[symbol] += 2
    if self._counts.sum() > 65536:
      self._counts = (self._counts + 1) >> 1


# The network.


class Context:
  """The network after some tokens, at first none: the sizes of the next one's intervals, until it is fed."""

  def __init__(self, network: Network):
    self._network = network
    places, _, width = network.embedding.shape
    self._dimensions = (network.num_heads, width // network.num_heads)
    # Of each layer, [L, H, D], lag 0 first.
    self._keys = [np.zeros((0, *self._dimensions), np.int64) for _ in network.layers]
    self._values = list(self._keys)
    self._time = 0
    self._stream = self._run(128 if places == 1 else 0)

  def feed(self, token: int) -> None:
    self._time += 1
    self._stream = self._run(token)

  def sizes(self) -> np.ndarray:
    """int64 [V]."""
    network = self._network
    logits = _limit(_product(_norm(self._stream), network.output), 2**26 - 1) + network.output_bias
    masses = _power(logits.max() - logits, 30)
    reciprocal = ((INTERVAL_TOTAL - NUM_BYTES) << 38) // masses.sum()
    sizes = 1 + ((masses * reciprocal) >> 38)
    sizes[np.argmax(logits)] += INTERVAL_TOTAL - sizes.sum()
    return sizes

  def _run(self, token: int) -> np.ndarray:
    """The stream [E] after all layers, at a time when `token` is the one before."""
    embedding = self._network.embedding
    x = embedding[(self._time - 1) % len(embedding), token]
    for index, layer in enumerate(self._network.layers):
      mixed = self._attention(index, layer, _norm(x))
      x = _limit(x + _product(mixed, layer.attention_output), 2**25 - 1)
      u = _limit(_product(_norm(x), layer.feed_forward_in), 32767)
      z = np.minimum(_round(np.maximum(u, 0) ** 2, 15), 32767)
      x = _limit(x + _product(z, layer.feed_forward_out), 2**25 - 1)
    return x

  def _attention(self, index: int, layer: Layer, a: np.ndarray) -> np.ndarray:
    heads, depth = self._dimensions
    most = max_query(depth)
    queries = _limit(_product(a, layer.queries), most).reshape(heads, depth)
    keys = self._remember(self._keys, index, _limit(_product(a, layer.keys), most))
    values = self._remember(self._values, index, _limit(_product(a, layer.values), 32767))
    scores = _limit(_round((queries * keys).sum(axis=2), layer.score_shift), 2**26 - 1)  # [L, H]
    scores += layer.lag_bias.T[: len(scores)]
    masses = _power(scores.max(axis=0) - scores, 15)
    weights = np.minimum(_round(masses * (2**45 // masses.sum(axis=0)), 30), 32767)
    return _limit(_round((weights[:, :, None] * values).sum(axis=0), 15), 32767).reshape(-1)

  def _remember(self, memory: list[np.ndarray], index: int, vector: np.ndarray) -> np.ndarray:
    """Puts a vector [E] in front of a layer's memory, which forgets what is beyond the window; [L, H, D]."""
    window = self._network.layers[index].lag_bias.shape[1]
    memory[index] = np.concatenate([vector.reshape(1, *self._dimensions), memory[index][: window - 1]])
    return memory[index]


def cdfs(network: Network, tokens: Any) -> list[list[int]]:
  """Sizes of the next token's intervals at every position: [T][V] for T tokens, which begin a chunk."""
  context = Context(network)
  sizes = []
  for token in tokens:
    sizes.append(context.sizes().tolist())
    context.feed(int(token))
  return sizes


def _exp2_table() -> np.ndarray:
  s = 1 << 127
  for _ in range(10):
    s = math.isqrt(s << 128)
  table, p = [], 1 << 128
  for _ in range(1024):
    table.append((p + (1 << 112)) >> 113)
    p = (p * s) >> 128
  return np.array(table, np.int64)


_EXP2 = _exp2_table()


def _power(d: np.ndarray, n: int) -> np.ndarray:
  return (_EXP2[d % 1024] << (n - 15)) >> np.minimum(d >> 10, 31)


def _round(x: np.ndarray, n: int) -> np.ndarray:
  return (x + (1 << (n - 1))) >> n if n > 0 else x << -n


def _limit(x: np.ndarray, m: int) -> np.ndarray:
  return np.minimum(np.maximum(x, -m), m)  # np.clip takes thrice the time for so few numbers.


def _product(x: np.ndarray, matrix: Matrix) -> np.ndarray:
  return _round(x @ matrix.weights, matrix.shift)


def _norm(x: np.ndarray) -> np.ndarray:
  width = len(x)
  root = math.isqrt(int((x * x).sum()) + 268 * width)
  reciprocal = (math.isqrt(width << 44) << 20) // root
  return _limit(_round(x * reciprocal, 31), 32767)
