"""The network of a hybrid model as integers: features of a sample in, a mixture of logistic distributions out.

The layers are those of exact.py. Before them stands a product with the features, after them one with the outputs, which
mean logits and scales as logarithms to base 2, and offsets, all in LOG_BITS.

Shapes: F features, E embedding_dim, O outputs (evidence.py).
"""

from dataclasses import dataclass

import numpy as np

from language_modeling_is_compression.network.hybrid_model import HybridModel
from language_modeling_is_compression.network.parameters import TOP, layer_name
from language_modeling_is_compression.prediction.evidence import FEATURE_BITS, LOGITS
from language_modeling_is_compression.quantized.quantize import (
  LOG2_E,
  LOG_BITS,
  MAX_LOG,
  MAX_STREAM,
  NORM_BITS,
  STREAM_BITS,
  Identity,
  Matrix,
  QuantizedLayer,
  bounded_weights,
  effective_weights,
  quantize_layer,
  query_limit_of,
  require_exact_sums,
  rounded,
  shift_of,
)

_IDENTITY_VERSION = b'lmic exact hybrid network %d\n'


@dataclass(frozen=True, kw_only=True)
class QuantizedHybridNetwork:
  """A hybrid model of integers alone. experts: the version of those that it was trained on.

  input: from features to the stream, STREAM_BITS, where input_bias, int32 [E], is added.
  output: to the outputs; output_bias: int32 [O].
  """

  experts: int
  num_heads: int
  input: Matrix
  input_bias: np.ndarray
  layers: tuple[QuantizedLayer, ...]
  output: Matrix
  output_bias: np.ndarray

  @property
  def query_limit(self) -> int:
    """The largest magnitude of a query or key."""
    return query_limit_of(len(self.input_bias) // self.num_heads)

  def identity(self) -> bytes:
    """SHA-256 of everything that the cdfs depend on beside the samples: 32 bytes."""
    identity = Identity(_IDENTITY_VERSION % self.experts)
    identity.add_number('.num_heads', self.num_heads)
    identity.add_matrix('.input', self.input)
    identity.add_array('.input_bias', self.input_bias)
    identity.add_layers('.layers', self.layers)
    identity.add_matrix('.output', self.output)
    identity.add_array('.output_bias', self.output_bias)
    return identity.digest()


def quantize_hybrid_model(model: HybridModel) -> QuantizedHybridNetwork:
  """The integers that a hybrid model stands for. Raises CheckpointError if it is too large for exact sums."""
  require_exact_sums(model)
  config = model.spec.network
  top = effective_weights(model, TOP)
  entry, entry_bits = bounded_weights(top['input_weights'])
  # Logits become logarithms to base 2; the loss uses scales and offsets in these units already.
  gains = np.ones(len(top['output_bias']))
  gains[LOGITS] = LOG2_E
  output, output_bits = bounded_weights(top['output_norm'][:, None] * top['output_weights'] * gains)
  return QuantizedHybridNetwork(
    experts=model.spec.experts,
    num_heads=config.num_heads,
    input=Matrix(weights=entry, shift=shift_of(FEATURE_BITS + entry_bits - STREAM_BITS)),
    input_bias=rounded(top['input_bias'], STREAM_BITS, MAX_STREAM),
    layers=tuple(
      quantize_layer(effective_weights(model, layer_name(index)), config.num_heads)
      for index in range(config.num_layers)
    ),
    output=Matrix(weights=output, shift=shift_of(NORM_BITS + output_bits - LOG_BITS)),
    output_bias=rounded(top['output_bias'] * gains, LOG_BITS, MAX_LOG),
  )
