"""The exact network as XLA programs: for accelerators, and to check the compiled one with other code.

Matrix products of integers are taken in float64, whose 53 bits hold every sum exactly in whatever order it is added up;
all else is in 64-bit integers. Many tokens of a row go through at once where they are known, one where they are not: it
is the same program.

Shapes: L lanes, Q tokens that go through at once, E embedding_dim, H heads, W attention window, V vocabulary.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.quantized.predictor import Decoding, decode_stepwise
from language_modeling_is_compression.quantized.quantize import (
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
  Matrix,
  QuantizedLayer,
  QuantizedNetwork,
  exp2_table,
)

_TOKENS_AT_ONCE = 256


class _Lanes(NamedTuple):
  """keys, values: of the last W tokens in each layer, int64 [N, L, W, E]. position: tokens so far. last: int64 [L]."""

  keys: jax.Array
  values: jax.Array
  position: jax.Array
  last: jax.Array


class XlaPredictor:
  """The `Predictor` of an exact network, computed by XLA on a device."""

  rows_together = True

  def __init__(self, network: QuantizedNetwork, device: jax.Device):
    self.identity = network.identity()
    self.vocab_size = network.vocab_size
    self.places = network.places
    self._network = network
    self._device = device
    self._decode_steps = jax.jit(functools.partial(_decode_steps, network))
    self._intervals_of = jax.jit(functools.partial(_intervals_of, network))

  def intervals(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    num_lanes, num_tokens = tokens.shape
    block = min(_TOKENS_AT_ONCE, num_tokens)
    padded = np.pad(tokens, ((0, 0), (0, -num_tokens % block)))
    found = np.zeros((*padded.shape, 2), np.uint32)
    with jax.enable_x64(True), jax.default_device(self._device):
      lanes = _new_lanes(self._network, num_lanes)
      for start in range(0, num_tokens, block):
        span = slice(start, start + block)
        lanes, found[:, span] = self._intervals_of(lanes, padded[:, span].astype(np.int64))
    return found[:, :num_tokens]

  def lanes(self, num_lanes: int) -> '_XlaLanes':
    with jax.enable_x64(True), jax.default_device(self._device):
      lanes = _new_lanes(self._network, num_lanes)
    return _XlaLanes(self._decode_steps, lanes, self.places, self._device)


class _XlaLanes:
  def __init__(self, decode_steps: Callable[..., Any], lanes: _Lanes, places: int, device: jax.Device):
    self._places = places
    self._decode_steps = decode_steps
    self._lanes = lanes
    self._device = device
    self._last = np.asarray(lanes.last).copy()

  def cdfs(self, num_lanes: int) -> np.ndarray:
    """All lanes are computed, whatever num_lanes is: another shape would be another program."""
    with jax.enable_x64(True), jax.default_device(self._device):
      last = jnp.asarray(self._last)
      self._lanes, cdfs = self._decode_steps(self._lanes._replace(last=last), last[:, None])
      return np.asarray(cdfs)[:num_lanes, 0]

  def push(self, tokens: np.ndarray) -> None:
    self._last[: len(tokens)] = tokens

  def decode(self, work: Decoding, begin: int, end: int) -> None:
    decode_stepwise(self, self._places, work, begin, end)


def gpu() -> jax.Device:
  """The first GPU. Raises ConfigError if JAX finds none."""
  try:
    return jax.devices('gpu')[0]
  except RuntimeError as error:
    raise ConfigError('--device gpu: JAX finds no GPU here; install jax[cuda13], or leave the flag out') from error


def _new_lanes(network: QuantizedNetwork, num_lanes: int) -> _Lanes:
  shape = (len(network.layers), num_lanes, network.attention_window, network.embedding_dim)
  return _Lanes(
    keys=jnp.zeros(shape, jnp.int64),
    values=jnp.zeros(shape, jnp.int64),
    position=jnp.zeros((), jnp.int64),
    last=jnp.full(num_lanes, network.first_token, jnp.int64),
  )


def _intervals_of(network: QuantizedNetwork, lanes: _Lanes, tokens: jax.Array) -> tuple[_Lanes, jax.Array]:
  """Takes tokens [L, Q] in; returns their intervals, uint32 [L, Q, 2]."""
  lanes, cdfs = _decode_steps(network, lanes, tokens)
  ends = jnp.take_along_axis(cdfs, jnp.stack([tokens, tokens + 1], axis=-1), axis=-1)
  return lanes, jnp.stack([ends[..., 0], ends[..., 1] - ends[..., 0]], axis=-1)


def _decode_steps(network: QuantizedNetwork, lanes: _Lanes, tokens: jax.Array) -> tuple[_Lanes, jax.Array]:
  """Takes the last token and all but the last of tokens [L, Q] in; returns cdfs of the tokens, uint32 [L, Q, V + 1]."""
  num_tokens = tokens.shape[1]
  before = jnp.concatenate([lanes.last[:, None], tokens[:, :-1]], axis=1)
  places = (lanes.position + jnp.arange(num_tokens) - 1) % network.places
  stream = jnp.asarray(network.embedding, jnp.int64)[places, before]
  keys, values = [], []
  for index, layer in enumerate(network.layers):
    stream, layer_keys, layer_values = _attend(
      network, layer, stream, lanes.keys[index], lanes.values[index], lanes.position
    )
    keys.append(layer_keys)
    values.append(layer_values)
    stream = _feed_forward(layer, stream)
  logits = _limited(_product(_norm(stream), network.output), MAX_LOG) + jnp.asarray(network.output_bias, jnp.int64)
  lanes = _Lanes(jnp.stack(keys), jnp.stack(values), lanes.position + num_tokens, tokens[:, -1])
  return lanes, _cdf(logits)


def _attend(
  network: QuantizedNetwork,
  layer: QuantizedLayer,
  stream: jax.Array,
  cached_keys: jax.Array,
  cached_values: jax.Array,
  position: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """stream [L, Q, E], caches [L, W, E]; returns the stream with attention added, and the new caches."""
  window, num_heads = network.attention_window, network.num_heads
  num_lanes, num_tokens, width = stream.shape
  normed = _norm(stream)
  queries = _limited(_product(normed, layer.queries), network.query_limit)
  new_keys = _limited(_product(normed, layer.keys), network.query_limit)
  new_values = _limited(_product(normed, layer.values), MAX_INT16)
  keys = jnp.concatenate([cached_keys, new_keys], axis=1)  # [L, W + Q, E]
  values = jnp.concatenate([cached_values, new_values], axis=1)

  def by_head(array: jax.Array) -> jax.Array:
    return array.reshape(num_lanes, -1, num_heads, width // num_heads).astype(jnp.float64)

  products = jnp.einsum('lqhd,lkhd->lhqk', by_head(queries), by_head(keys)).astype(jnp.int64)
  slots = jnp.arange(window + num_tokens)
  lags = jnp.arange(num_tokens)[:, None] + window - slots
  seen = (lags >= 0) & (lags < window) & (position - window + slots >= 0)
  bias = jnp.asarray(layer.lag_bias, jnp.int64)[:, jnp.clip(lags, 0, window - 1)]
  scores = _limited(_shifted(products, layer.score_shift), MAX_LOG) + bias
  largest = jnp.max(jnp.where(seen, scores, -4 * MAX_LOG), axis=-1, keepdims=True)
  powers = jnp.where(seen, _power(jnp.maximum(largest - scores, 0), EXP_BITS), 0)
  reciprocal = (1 << RECIPROCAL_BITS) // powers.sum(axis=-1, keepdims=True)
  weights = jnp.minimum(_shifted(powers * reciprocal, RECIPROCAL_BITS - EXP_BITS), MAX_INT16)
  totals = jnp.einsum('lhqk,lkhd->lqhd', weights.astype(jnp.float64), by_head(values)).astype(jnp.int64)
  mixed = _limited(_shifted(totals, EXP_BITS), MAX_INT16).reshape(stream.shape)
  stream = _limited(stream + _product(mixed, layer.attention_output), MAX_STREAM)
  return stream, keys[:, num_tokens:], values[:, num_tokens:]


def _feed_forward(layer: QuantizedLayer, stream: jax.Array) -> jax.Array:
  wide = jnp.maximum(_limited(_product(_norm(stream), layer.feed_forward_in), MAX_INT16), 0)
  squares = jnp.minimum(_shifted(wide * wide, EXP_BITS), MAX_INT16)
  return _limited(stream + _product(squares, layer.feed_forward_out), MAX_STREAM)


def _norm(stream: jax.Array) -> jax.Array:
  width = stream.shape[-1]
  root = _integer_root((stream * stream).sum(axis=-1, keepdims=True) + EPSILON * width)
  reciprocal = (_integer_root(jnp.asarray(width << (2 * ROOT_BITS), jnp.int64)) << 20) // root
  return _limited(_shifted(stream * reciprocal, ROOT_BITS + 20 - NORM_BITS), MAX_INT16)


def _integer_root(square: jax.Array) -> jax.Array:
  """floor(sqrt(square)) for 0 <= square < 2**62, from a guess that is at most 1 off."""
  root = jnp.sqrt(square.astype(jnp.float64)).astype(jnp.int64)
  root = jnp.where(root * root > square, root - 1, root)
  return jnp.where((root + 1) * (root + 1) <= square, root + 1, root)


def _cdf(logits: jax.Array) -> jax.Array:
  """[..., V] to uint32 [..., V + 1]."""
  vocab_size = logits.shape[-1]
  powers = _power(logits.max(axis=-1, keepdims=True) - logits, LOGIT_BITS)
  shared = (1 << PRECISION_BITS) - vocab_size
  reciprocal = (shared << MASS_BITS) // powers.sum(axis=-1, keepdims=True)
  masses = 1 + ((powers * reciprocal) >> MASS_BITS)
  over = (1 << PRECISION_BITS) - masses.sum(axis=-1, keepdims=True)
  likeliest = jnp.arange(vocab_size) == jnp.argmax(logits, axis=-1, keepdims=True)
  below = jnp.cumsum(masses + jnp.where(likeliest, over, 0), axis=-1)
  return jnp.pad(below, [(0, 0)] * (below.ndim - 1) + [(1, 0)]).astype(jnp.uint32)


def _power(distance: jax.Array, bits: int) -> jax.Array:
  """2**(bits - distance / 2**LOG_BITS), for distance >= 0."""
  table = jnp.asarray(exp2_table(), jnp.int64) << (bits - EXP_BITS)
  return table[distance & ((1 << LOG_BITS) - 1)] >> jnp.minimum(distance >> LOG_BITS, 31)


def _product(inputs: jax.Array, matrix: Matrix) -> jax.Array:
  """round(inputs [..., K] @ weights / 2**shift): int64 [..., N]."""
  sums = inputs.astype(jnp.float64) @ jnp.asarray(matrix.weights, jnp.float64)
  return _shifted(sums.astype(jnp.int64), matrix.shift)


def _shifted(values: jax.Array, shift: int) -> jax.Array:
  """values / 2**shift to the nearest integer, ties upwards."""
  return (values + (1 << (shift - 1))) >> shift if shift > 0 else values << -shift


def _limited(values: jax.Array, limit: int) -> jax.Array:
  return jnp.clip(values, -limit, limit)
