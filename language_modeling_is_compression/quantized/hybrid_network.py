"""The network of a hybrid model in integers, as compiled code has it: features of a sample in, outputs out.

Shapes: F features, E embedding_dim, O outputs. Pairs: see layers.py.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import inlined
from language_modeling_is_compression.quantized import layers
from language_modeling_is_compression.quantized.layers import KVCache, new_kv_cache, paired, stacked
from language_modeling_is_compression.quantized.quantize import MAX_LOG, MAX_STREAM
from language_modeling_is_compression.quantized.quantize_hybrid import QuantizedHybridNetwork


class HybridNetwork(NamedTuple):
  """A `QuantizedHybridNetwork` as arrays."""

  input: np.ndarray  # int16 [F / 2, 2 E], pairs of rows
  input_scale: np.ndarray
  input_bias: np.ndarray  # int32 [E]
  layers: layers.Layers
  output: np.ndarray  # int16 [E / 2, 2 O]
  output_scale: np.ndarray
  output_bias: np.ndarray  # int32 [O]


def as_arrays(network: QuantizedHybridNetwork) -> HybridNetwork:
  return HybridNetwork(
    input=paired(network.input),
    input_scale=np.array([network.input.shift, MAX_LOG], np.int64),
    input_bias=network.input_bias,
    layers=stacked(network.layers, network.num_heads, network.query_limit),
    output=paired(network.output),
    output_scale=np.array([network.output.shift, MAX_LOG], np.int64),
    output_bias=network.output_bias,
  )


def new_cache(network: HybridNetwork) -> KVCache:
  """Cache of one lane."""
  return new_kv_cache(network.layers, 1, len(network.output_bias))


@inlined
def compute(net, cache, position, features):
  """Computes the outputs, cache.work.outputs, of the features, int16 [F], of the sample at a position of the lane."""
  stream, normed, outputs = cache.work.stream, cache.work.normed, cache.work.outputs
  layers.multiply(features, net.input, net.input_scale, stream)
  for i in range(len(net.input_bias)):
    stream[i] = min(max(stream[i] + net.input_bias[i], -MAX_STREAM), MAX_STREAM)
  layers.decode_step(net.layers, cache, 0, position)
  layers.multiply(normed, net.output, net.output_scale, outputs)
  for i in range(len(net.output_bias)):
    outputs[i] += net.output_bias[i]
