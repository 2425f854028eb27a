"""The network of a hybrid model in integers, as compiled code has it: features of a sample in, outputs out.

Shapes: F features, E embedding_dim, O outputs, K components. Pairs: see layers.py.
"""

from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled, inlined
from language_modeling_is_compression.prediction.evidence import (
  COMPONENT_CENTRES,
  LOG2_SCALES,
  MAX_LOG2_SCALE,
  MAX_OFFSET,
  NUM_COMPONENTS,
  OFFSETS,
)
from language_modeling_is_compression.prediction.mixture import STEPS_PER_SCALE
from language_modeling_is_compression.quantized import layers
from language_modeling_is_compression.quantized.layers import KVCache, new_kv_cache, paired, power, stacked
from language_modeling_is_compression.quantized.quantize import EXP_BITS, LOG_BITS, MAX_LOG, MAX_STREAM
from language_modeling_is_compression.quantized.quantize_hybrid import QuantizedHybridNetwork

_CENTRES = np.array(COMPONENT_CENTRES, np.int64)
_FIRST_OFFSET, _FIRST_SCALE = OFFSETS.start, LOG2_SCALES.start
_MAX_OFFSET = MAX_OFFSET << LOG_BITS
_MAX_LOG2_SCALE = MAX_LOG2_SCALE << LOG_BITS


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


@inlined
def component_powers(outputs, exp2, powers):
  """Writes numbers [K + 1] in proportion to weights, the last to that of the experts' mixture. Returns their sum."""
  largest = outputs[0]
  for k in range(1, NUM_COMPONENTS + 1):
    largest = max(largest, outputs[k])
  total = np.int64(0)
  for k in range(NUM_COMPONENTS + 1):
    found = np.int64(power(np.int32(largest - outputs[k]), exp2))
    powers[k] = found
    total += found
  return total


@inlined
def place_components(outputs, exp2, predictions, unit, centres, inverse_scales):
  """Writes centres and inverse scales, in table steps, of the components [K].

  predictions: [NUM_CENTRES], that they stand on. unit: what they are moved and scaled in.
  """
  for k in range(NUM_COMPONENTS):
    offset = min(max(outputs[_FIRST_OFFSET + k], -_MAX_OFFSET), _MAX_OFFSET)
    log2_scale = min(max(outputs[_FIRST_SCALE + k], -_MAX_LOG2_SCALE), _MAX_LOG2_SCALE)
    centres[k] = predictions[_CENTRES[k]] + unit * (offset / (1 << LOG_BITS))
    inverse_scales[k] = STEPS_PER_SCALE / (unit * scale_of(log2_scale, exp2))


@compiled
def scale_of(log2_scale, exp2):
  """2**(log2_scale / 2**LOG_BITS), as a float64 without rounding."""
  fraction = np.int64(exp2[-log2_scale & ((1 << LOG_BITS) - 1)])
  whole = (log2_scale + ((1 << LOG_BITS) - 1)) >> LOG_BITS
  scale = np.float64(fraction) * (1.0 / (1 << EXP_BITS))
  if whole >= 0:
    return scale * np.float64(np.int64(1) << whole)
  return scale / np.float64(np.int64(1) << -whole)
