"""Model files as integers: the part "From a model file to integers" of docs/FORMAT.md, for both families of models.

Shapes: P places, V 256 bytes, E embedding_dim, H heads, D = E / H, W attention_window.
"""

import hashlib
import json
import math
from typing import Any, NamedTuple

import numpy as np

from reference_decoder import segments

LOG2E = 1.4426950408889634
MATRICES = ('queries', 'keys', 'values', 'attention_output', 'feed_forward_in', 'feed_forward_out')


class ModelFile(NamedTuple):
  """A model file. network, data: its JSON's `model` and `data`. params: {module: {name: float32 array}}."""

  network: dict[str, Any]
  data: dict[str, Any]
  params: dict[str, dict[str, np.ndarray]]


class Matrix(NamedTuple):
  """weights: int64 [K, N]."""

  weights: np.ndarray
  shift: int


class Layer(NamedTuple):
  queries: Matrix
  keys: Matrix
  values: Matrix
  attention_output: Matrix
  feed_forward_in: Matrix
  feed_forward_out: Matrix
  lag_bias: np.ndarray  # [H, W]
  score_shift: int


class Network(NamedTuple):
  num_heads: int
  embedding: np.ndarray  # [P, V, E]
  layers: list[Layer]
  output: Matrix
  output_bias: np.ndarray  # [V]


def read_model(path: Any) -> ModelFile:
  """Reads a sound model file; one that may be hostile is for the package to read."""
  with np.load(path, allow_pickle=False) as arrays:
    metadata = json.loads(str(arrays['metadata']))
    params: dict[str, dict[str, np.ndarray]] = {}
    for key in arrays:
      if key != 'metadata':
        module, _, name = key.rpartition('/')
        params.setdefault(module, {})[name] = arrays[key]
  return ModelFile(metadata['model'], metadata['data'], params)


def _acting(model: ModelFile) -> dict[str, dict[str, np.ndarray]]:
  """Parameters as they act, in float64."""
  return {
    module: {name: np.asarray(array, np.float64) * 8.0 for name, array in arrays.items()}
    for module, arrays in model.params.items()
  }


def integers(model: ModelFile) -> tuple[Network, bytes]:
  """The network of a model file, and its identity of 32 bytes.

  Raises ValueError if it is not one that codes files, or if its numbers are beyond what integers of the format hold.
  """
  tokens, quantization = model.data['tokenization'], model.data['quantization']
  codes = tokens == 'byte' and quantization == 'linear'
  require(codes, f'a model of {tokens} tokens with {quantization} quantization codes no files')
  parameters = _acting(model)
  top = parameters['~']
  heads = model.network['num_heads']
  output, bits = _matrix(_scaled(top['output_norm'], top['output_weights']) * LOG2E)
  network = Network(
    num_heads=heads,
    embedding=_rounded(top['embedding'], 14, 2**25 - 1),
    layers=[_layer(parameters[f'layer_{i}'], heads) for i in range(model.network['num_layers'])],
    output=Matrix(output, _shift(11 + bits - 10)),
    output_bias=_rounded(top['output_bias'] * LOG2E, 10, 2**26 - 1),
  )
  return network, _identity(network)


def _layer(arrays: dict[str, np.ndarray], num_heads: int) -> Layer:
  depth = arrays['queries'].shape[1] // num_heads
  g = arrays['attention_norm']
  scaled_queries = _scaled(g, arrays['queries']) * (LOG2E / math.sqrt(depth))
  queries, query_bits = _bounded(scaled_queries, max_query(depth))
  keys, key_bits = _bounded(_scaled(g, arrays['keys']), max_query(depth))
  values, value_bits = _bounded(_scaled(g, arrays['values']), 32767)
  attention_output, attention_bits = _matrix(arrays['attention_output'])
  wide, wide_bits = _bounded(_scaled(arrays['feed_forward_norm'], arrays['feed_forward_in']), 32767)
  feed_forward_out, feed_forward_bits = _matrix(arrays['feed_forward_out'])
  return Layer(
    queries=queries,
    keys=keys,
    values=values,
    attention_output=Matrix(attention_output, _shift(value_bits + attention_bits - 14)),
    feed_forward_in=wide,
    feed_forward_out=Matrix(feed_forward_out, _shift(2 * wide_bits - 15 + feed_forward_bits - 14)),
    lag_bias=_rounded(arrays['lag_bias'] * LOG2E, 10, 2**26 - 1),
    score_shift=_shift(query_bits + key_bits - 10),
  )


def _shift(n: int) -> int:
  return min(max(n, -31), 62)


def _scaled(g: np.ndarray, matrix: np.ndarray) -> np.ndarray:
  return g[:, None] * matrix


def _rounded(x: np.ndarray, n: int, m: int) -> np.ndarray:
  return np.clip(np.rint(x * 2.0**n), -m, m).astype(np.int64)


def _matrix(matrix: np.ndarray) -> tuple[np.ndarray, int]:
  """w, int64 [K, N], and n."""
  for n in range(24, -25, -1):
    w = np.abs(np.rint(matrix * 2.0**n))
    if w.max() <= 32767 and w.sum(axis=0).max() <= 65535:
      return np.rint(matrix * 2.0**n).astype(np.int64), n
  raise ValueError('a matrix of the model is beyond what the format holds')


def _bounded(matrix: np.ndarray, m: int) -> tuple[Matrix, int]:
  """The matrix with its own shift, and the fractional bits of what it gives."""
  w, n = _matrix(matrix)
  largest = int((w * w).sum(axis=0).max())
  bound = (math.isqrt(largest) + 1) * (math.isqrt(len(w) << 22) + 1)
  shift = (bound // m).bit_length()
  return Matrix(w, shift), n + 11 - shift


def _identity(network: Network) -> bytes:
  identity = _Identity('lmic exact network 1')
  identity.add_number('.num_heads', network.num_heads)
  identity.add_array('.embedding', network.embedding, 'int32')
  identity.add_layers(network.layers)
  identity.add_matrix('.output', network.output)
  identity.add_array('.output_bias', network.output_bias, 'int32')
  return identity.digest()


def hybrid_integers(model: ModelFile, *, is_started: bool = False) -> tuple[segments.Network, bytes]:
  """The network of a hybrid model's file, as lists, and its identity of 32 bytes, in coding 6 if it is started.

  Raises ValueError as `integers`, and for a network of coding 2 in coding 6.
  """
  experts = model.data.get('experts', 5)
  require(not is_started or experts == 6, 'a network of other predictions')
  parameters = _acting(model)
  top = parameters['~']
  heads = model.network['num_heads']
  log = np.where(np.arange(25) < 9, LOG2E, 1.0)
  entry, entry_bits = _matrix(top['input_weights'])
  output, output_bits = _matrix(_scaled(top['output_norm'], top['output_weights']) * log)
  layers = [_layer(parameters[f'layer_{i}'], heads) for i in range(model.network['num_layers'])]
  first, last = Matrix(entry, _shift(5 + entry_bits - 14)), Matrix(output, _shift(11 + output_bits - 10))
  input_bias = _rounded(top['input_bias'], 14, 2**25 - 1)
  output_bias = _rounded(top['output_bias'] * log, 10, 2**26 - 1)
  identity = _Identity(f'lmic exact hybrid network {7 if is_started else experts}')
  identity.add_number('.num_heads', heads)
  identity.add_matrix('.input', first)
  identity.add_array('.input_bias', input_bias, 'int32')
  identity.add_layers(layers)
  identity.add_matrix('.output', last)
  identity.add_array('.output_bias', output_bias, 'int32')
  network = segments.Network(
    num_heads=heads,
    input=_as_lists(first),
    input_bias=input_bias.tolist(),
    layers=[_layer_as_lists(layer) for layer in layers],
    output=_as_lists(last),
    output_bias=output_bias.tolist(),
  )
  return network, identity.digest()


def _as_lists(matrix: Matrix) -> segments.Matrix:
  return segments.Matrix(matrix.weights.tolist(), matrix.shift)


def _layer_as_lists(layer: Layer) -> segments.Layer:
  matrices: dict[str, Any] = {name: _as_lists(getattr(layer, name)) for name in MATRICES}
  return segments.Layer(**matrices, lag_bias=layer.lag_bias.tolist(), score_shift=layer.score_shift)


class _Identity:
  """SHA-256 of named numbers and arrays."""

  def __init__(self, first_line: str):
    self._digest = hashlib.sha256(f'{first_line}\n'.encode())

  def add_number(self, name: str, number: int) -> None:
    self._digest.update(f'{name} {number}\n'.encode())

  def add_array(self, name: str, array: np.ndarray, dtype: str) -> None:
    self._digest.update(f'{name} {dtype} {list(array.shape)}\n'.encode())
    self._digest.update(array.astype(np.dtype(dtype).newbyteorder('<')).tobytes())

  def add_matrix(self, name: str, matrix: Matrix) -> None:
    self.add_array(f'{name}.weights', matrix.weights, 'int16')
    self.add_number(f'{name}.shift', matrix.shift)

  def add_layers(self, layers: list[Layer]) -> None:
    for i, layer in enumerate(layers):
      for name in MATRICES:
        self.add_matrix(f'.layers.{i}.{name}', getattr(layer, name))
      self.add_array(f'.layers.{i}.lag_bias', layer.lag_bias, 'int32')
      self.add_number(f'.layers.{i}.score_shift', layer.score_shift)

  def digest(self) -> bytes:
    return self._digest.digest()


def max_query(depth: int) -> int:
  """Q, the limit of queries and keys."""
  return min(math.isqrt((2**31 - 1) // depth), 32767)


def require(condition: bool, message: str) -> None:
  """Raises ValueError unless a condition holds."""
  if not condition:
    raise ValueError(message)
