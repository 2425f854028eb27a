"""Networks of hybrid models as the reference decoder has them."""

from typing import Any

from reference_decoder import segments

from language_modeling_is_compression.quantized import quantize
from language_modeling_is_compression.quantized.quantize_hybrid import QuantizedHybridNetwork


def as_lists(network: QuantizedHybridNetwork) -> segments.Network:
  """The same integers as lists."""

  def matrix(one: quantize.Matrix) -> segments.Matrix:
    return segments.Matrix(one.weights.tolist(), one.shift)

  def layer(one: quantize.QuantizedLayer) -> segments.Layer:
    names = ('queries', 'keys', 'values', 'attention_output', 'feed_forward_in', 'feed_forward_out')
    matrices: dict[str, Any] = {name: matrix(getattr(one, name)) for name in names}
    return segments.Layer(**matrices, lag_bias=one.lag_bias.tolist(), score_shift=one.score_shift)

  return segments.Network(
    num_heads=network.num_heads,
    input=matrix(network.input),
    input_bias=network.input_bias.tolist(),
    layers=[layer(one) for one in network.layers],
    output=matrix(network.output),
    output_bias=network.output_bias.tolist(),
  )
