"""What parameters a network has, known without building it: reading a model file then needs no JAX.

transformer.py says what they do; a test compares the two.
"""

from language_modeling_is_compression.config import DataConfig, ModelConfig

# Parameters are stored at an eighth of what they act as, so that a step of Adam moves them eight times as far: the
# usual learning rates around 1e-4 then suit networks of this size.
PARAMETER_SCALE = 8.0

# Haiku's name for what belongs to no module.
TOP = '~'


def parameter_shapes(model: ModelConfig, data: DataConfig) -> dict[str, tuple[int, ...]]:
  """Shapes of all parameters by module/name."""
  width = model.embedding_dim
  wide = width * model.widening_factor
  shapes: dict[str, tuple[int, ...]] = {
    f'{TOP}/embedding': (data.tokens_per_sample, data.vocab_size, width),
    f'{TOP}/output_norm': (width,),
    f'{TOP}/output_weights': (width, data.vocab_size),
    f'{TOP}/output_bias': (data.vocab_size,),
  }
  layer: dict[str, tuple[int, ...]] = {
    'attention_norm': (width,),
    'queries': (width, width),
    'keys': (width, width),
    'values': (width, width),
    'lag_bias': (model.num_heads, model.attention_window),
    'attention_output': (width, width),
    'feed_forward_norm': (width,),
    'feed_forward_in': (width, wide),
    'feed_forward_out': (wide, width),
  }
  for index in range(model.num_layers):
    shapes |= {f'{layer_name(index)}/{name}': shape for name, shape in layer.items()}
  return shapes


def layer_name(index: int) -> str:
  """The module of a layer's parameters."""
  return f'layer_{index}'
