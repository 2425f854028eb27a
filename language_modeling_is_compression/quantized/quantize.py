"""From a trained model's floats to a network of integers, whose every result is exact: docs/FORMAT.md, "The network".

A float network gives other last bits at another batch size, processor or library version, and one different bit ruins
the rest of a file. Here floats end: they are scaled by powers of two and rounded once, by rules that are the same on
every machine, and all arithmetic from then on is on integers that never overflow.

The integers mean fixed-point numbers. Sums of products are bounded when the weights are made: a column of a matrix has
a sum of magnitudes of at most 65,535, its inputs are at most 32,767, so every sum fits 32 bits in whatever order it is
added up. (As float64, 53 bits: that is how accelerators compute it.)

Shapes: E embedding_dim, H heads, W attention window, F feed-forward width, V vocabulary.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.parameters import PARAMETER_SCALE, TOP, layer_name

STREAM_BITS = 14  # Fractional bits of the residual stream,
MAX_STREAM = (1 << 25) - 1  # and its largest magnitude.
NORM_BITS = 11  # Fractional bits of what a norm gives.
LOG_BITS = 10  # Fractional bits of attention scores and logits, which are logarithms to base 2,
MAX_LOG = (1 << 26) - 1  # and their largest magnitude.
EXP_BITS = 15  # Fractional bits of a power of two in attention,
LOGIT_BITS = 30  # and of one in the last softmax: what is less than 2**-30 of the likeliest counts as nothing.
RECIPROCAL_BITS = 45  # Fractional bits of reciprocals: of attention's sums,
MASS_BITS = 38  # of the last softmax's sum,
ROOT_BITS = 22  # and of the root of E, which a norm multiplies by.
EPSILON = (1 << (2 * STREAM_BITS)) // 1_000_000  # Added to a norm's mean square.
MAX_INT16 = (1 << 15) - 1

MAX_EMBEDDING_DIM = 1 << 12  # Beyond it the sum of squares of a stream may not fit 63 bits.
MAX_ATTENTION_WINDOW = 1 << 15  # Beyond it attention's sums may not fit 32 bits.

_MAX_COLUMN_SUM = (1 << 16) - 1
_WEIGHT_BITS = range(24, -25, -1)  # Fractional bits that a matrix may have, the most precise first.
LOG2_E = 1.4426950408889634
_IDENTITY_VERSION = b'lmic exact network 1\n'


@dataclass(frozen=True, kw_only=True)
class Matrix:
  """y = round(x @ weights / 2**shift). weights: int16 [K, N]. shift: from -31 to 62."""

  weights: np.ndarray
  shift: int


@dataclass(frozen=True, kw_only=True)
class QuantizedLayer:
  """One layer. Queries come scaled so that their products with keys are logarithms to base 2.

  lag_bias: int32 [H, W], LOG_BITS. score_shift: from products of queries and keys to LOG_BITS.
  """

  queries: Matrix
  keys: Matrix
  values: Matrix
  attention_output: Matrix
  feed_forward_in: Matrix
  feed_forward_out: Matrix
  lag_bias: np.ndarray
  score_shift: int


@dataclass(frozen=True, kw_only=True)
class QuantizedNetwork:
  """A model of integers alone: the next token's cdf is a pure function of it and the tokens before.

  embedding: int32 [places, V, E], STREAM_BITS; a token's place is its byte's place in a sample.
  output: to logits, LOG_BITS; output_bias: int32 [V].
  """

  num_heads: int
  embedding: np.ndarray
  layers: tuple[QuantizedLayer, ...]
  output: Matrix
  output_bias: np.ndarray

  @property
  def places(self) -> int:
    return self.embedding.shape[0]

  @property
  def vocab_size(self) -> int:
    return self.embedding.shape[1]

  @property
  def embedding_dim(self) -> int:
    return self.embedding.shape[2]

  @property
  def attention_window(self) -> int:
    return self.layers[0].lag_bias.shape[1]

  @property
  def query_limit(self) -> int:
    """The largest magnitude of a query or key: the products of a head's then fit 31 bits."""
    return query_limit_of(self.embedding_dim // self.num_heads)

  @property
  def first_token(self) -> int:
    """Token before the first one: silence."""
    return self.vocab_size // 2 if self.places == 1 else 0

  def identity(self) -> bytes:
    """SHA-256 of everything that the cdfs depend on: 32 bytes."""
    identity = Identity(_IDENTITY_VERSION)
    identity.add_number('.num_heads', self.num_heads)
    identity.add_array('.embedding', self.embedding)
    identity.add_layers('.layers', self.layers)
    identity.add_matrix('.output', self.output)
    identity.add_array('.output_bias', self.output_bias)
    return identity.digest()


class Identity:
  """A network's identity (docs/FORMAT.md): SHA-256 of a version, then of named numbers and arrays in a fixed order.

  The names are part of the format: an attribute may be called differently, and no name may change.
  """

  def __init__(self, version: bytes):
    self._digest = hashlib.sha256(version)

  def add_number(self, name: str, number: int) -> None:
    self._digest.update(f'{name} {number}\n'.encode())

  def add_array(self, name: str, array: np.ndarray) -> None:
    self._digest.update(f'{name} {array.dtype.name} {list(array.shape)}\n'.encode())
    self._digest.update(array.astype(array.dtype.newbyteorder('<')).tobytes())

  def add_matrix(self, name: str, matrix: Matrix) -> None:
    self.add_array(f'{name}.weights', matrix.weights)
    self.add_number(f'{name}.shift', matrix.shift)

  def add_layers(self, name: str, layers: Sequence[QuantizedLayer]) -> None:
    for index, layer in enumerate(layers):
      place = f'{name}.{index}'
      self.add_matrix(f'{place}.queries', layer.queries)
      self.add_matrix(f'{place}.keys', layer.keys)
      self.add_matrix(f'{place}.values', layer.values)
      self.add_matrix(f'{place}.attention_output', layer.attention_output)
      self.add_matrix(f'{place}.feed_forward_in', layer.feed_forward_in)
      self.add_matrix(f'{place}.feed_forward_out', layer.feed_forward_out)
      self.add_array(f'{place}.lag_bias', layer.lag_bias)
      self.add_number(f'{place}.score_shift', layer.score_shift)

  def digest(self) -> bytes:
    return self._digest.digest()


def quantize_byte_model(model: ByteModel) -> QuantizedNetwork:
  """The integers that a model stands for. Raises CheckpointError if it is too large for exact sums."""
  require_exact_sums(model)
  config = model.spec.network
  top = effective_weights(model, TOP)
  layers = tuple(
    quantize_layer(effective_weights(model, layer_name(index)), config.num_heads) for index in range(config.num_layers)
  )
  output, bits = bounded_weights(top['output_norm'][:, None] * top['output_weights'] * LOG2_E)
  return QuantizedNetwork(
    num_heads=config.num_heads,
    embedding=rounded(top['embedding'], STREAM_BITS, MAX_STREAM),
    layers=layers,
    output=Matrix(weights=output, shift=shift_of(NORM_BITS + bits - LOG_BITS)),
    output_bias=rounded(top['output_bias'] * LOG2_E, LOG_BITS, MAX_LOG),
  )


def require_exact_sums(model: Model) -> None:
  """Raises CheckpointError if sums over a model's widths may not be exact."""
  config = model.spec.network
  if config.embedding_dim > MAX_EMBEDDING_DIM or config.attention_window > MAX_ATTENTION_WINDOW:
    raise CheckpointError(
      f'the model has embedding_dim {config.embedding_dim} and attention_window {config.attention_window}: '
      f'exact sums need at most {MAX_EMBEDDING_DIM} and {MAX_ATTENTION_WINDOW}; train a smaller one'
    )


def exp2_table() -> np.ndarray:
  """round(2**(EXP_BITS - i / 2**LOG_BITS)) for i < 2**LOG_BITS: int32, from 2**EXP_BITS down.

  From integer square roots, since no two libraries need agree on the last bit of a power.
  """
  precision = 128
  step = 1 << (precision - 1)  # 2**-1, then its square root, LOG_BITS times.
  for _ in range(LOG_BITS):
    step = math.isqrt(step << precision)
  powers, power = [], 1 << precision
  half = 1 << (precision - EXP_BITS - 1)
  for _ in range(1 << LOG_BITS):
    powers.append((power + half) >> (precision - EXP_BITS))
    power = power * step >> precision
  return np.array(powers, np.int32)


def quantize_layer(floats: dict[str, np.ndarray], num_heads: int) -> QuantizedLayer:
  width = floats['queries'].shape[0]
  head_dim = width // num_heads
  limit = query_limit_of(head_dim)
  attention_gain, feed_forward_gain = floats['attention_norm'][:, None], floats['feed_forward_norm'][:, None]
  per_score = LOG2_E / math.sqrt(head_dim)
  queries, query_bits = _bounded_matrix(attention_gain * floats['queries'] * per_score, limit)
  keys, key_bits = _bounded_matrix(attention_gain * floats['keys'], limit)
  values, value_bits = _bounded_matrix(attention_gain * floats['values'], MAX_INT16)
  wide, wide_bits = _bounded_matrix(feed_forward_gain * floats['feed_forward_in'], MAX_INT16)
  attention_output, attention_bits = bounded_weights(floats['attention_output'])
  feed_forward_out, feed_forward_bits = bounded_weights(floats['feed_forward_out'])
  return QuantizedLayer(
    queries=queries,
    keys=keys,
    values=values,
    attention_output=Matrix(weights=attention_output, shift=shift_of(value_bits + attention_bits - STREAM_BITS)),
    feed_forward_in=wide,
    # The square of 15 bits is cut to 15 bits again.
    feed_forward_out=Matrix(
      weights=feed_forward_out, shift=shift_of(2 * wide_bits - EXP_BITS + feed_forward_bits - STREAM_BITS)
    ),
    lag_bias=rounded(floats['lag_bias'] * LOG2_E, LOG_BITS, MAX_LOG),
    score_shift=shift_of(query_bits + key_bits - LOG_BITS),
  )


def shift_of(bits: int) -> int:
  """A shift of a sum below 2**31 that fits 64 bits; beyond these ends all of them give 0, or the limit that follows."""
  return min(max(bits, -31), 62)


def query_limit_of(head_dim: int) -> int:
  return min(math.isqrt(((1 << 31) - 1) // head_dim), MAX_INT16)


def bounded_weights(floats: np.ndarray) -> tuple[np.ndarray, int]:
  """int16 weights of a matrix [K, N] and their fractional bits: as many as the bound on a column's sum allows."""
  for bits in _WEIGHT_BITS:
    scaled = np.rint(floats * 2.0**bits)
    if np.abs(scaled).sum(axis=0).max() <= _MAX_COLUMN_SUM and np.abs(scaled).max() <= MAX_INT16:
      return scaled.astype(np.int16), bits
  raise CheckpointError('the model has weights that are too large for exact sums: it did not learn anything sensible')


def _bounded_matrix(floats: np.ndarray, limit: int) -> tuple[Matrix, int]:
  """A matrix for normed inputs whose outputs keep within limit, and its outputs' fractional bits.

  By the Cauchy-Schwarz inequality an output is at most its column's norm times the input's, which is the root of E.
  """
  weights, bits = bounded_weights(floats)
  column = int(np.square(weights.astype(np.int64)).sum(axis=0).max())
  largest = (math.isqrt(column) + 1) * (math.isqrt(weights.shape[0] << (2 * NORM_BITS)) + 1)
  shift = max(0, (largest // limit).bit_length())
  return Matrix(weights=weights, shift=shift), NORM_BITS + bits - shift


def rounded(floats: np.ndarray, bits: int, limit: int) -> np.ndarray:
  return np.clip(np.rint(floats * 2.0**bits), -limit, limit).astype(np.int32)


def effective_weights(model: Model, module: str) -> dict[str, np.ndarray]:
  """A module's parameters as they act, in float64: a product with a power of two, so without rounding."""
  return {name: PARAMETER_SCALE * np.asarray(array, np.float64) for name, array in model.params[module].items()}
