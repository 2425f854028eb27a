"""Shapes of the parameters that all networks have, known without building one: reading a model file needs no JAX.

transformer.py and hybrid.py say what they do; a test compares them.
"""

from language_modeling_is_compression.config.options import ModelConfig

# Parameters are stored at an eighth of what they act as, so that a step of Adam moves them eight times as far: the
# usual learning rates around 1e-4 then suit networks of this size.
PARAMETER_SCALE = 8.0

# Haiku's name for what belongs to no module.
TOP = '~'


def output_shapes(network: ModelConfig, num_outputs: int) -> dict[str, tuple[int, ...]]:
  """Shapes of what stands behind the layers, by module/name."""
  width = network.embedding_dim
  return {
    f'{TOP}/output_norm': (width,),
    f'{TOP}/output_weights': (width, num_outputs),
    f'{TOP}/output_bias': (num_outputs,),
  }


def layer_shapes(network: ModelConfig) -> dict[str, tuple[int, ...]]:
  """Shapes of the layers' parameters, by module/name."""
  width = network.embedding_dim
  wide = width * network.widening_factor
  layer: dict[str, tuple[int, ...]] = {
    'attention_norm': (width,),
    'queries': (width, width),
    'keys': (width, width),
    'values': (width, width),
    'lag_bias': (network.num_heads, network.attention_window),
    'attention_output': (width, width),
    'feed_forward_norm': (width,),
    'feed_forward_in': (width, wide),
    'feed_forward_out': (wide, width),
  }
  return {f'{layer_name(index)}/{name}': shape for index in range(network.num_layers) for name, shape in layer.items()}


def layer_name(index: int) -> str:
  """The module of a layer's parameters."""
  return f'layer_{index}'
