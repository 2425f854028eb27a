"""What parameters a network has, known without building it: reading a model file then needs no JAX.

transformer.py and hybrid.py say what they do; a test compares them.
"""

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.prediction.evidence import NUM_FEATURES, NUM_OUTPUTS

# Parameters are stored at an eighth of what they act as, so that a step of Adam moves them eight times as far: the
# usual learning rates around 1e-4 then suit networks of this size.
PARAMETER_SCALE = 8.0

# Haiku's name for what belongs to no module.
TOP = '~'


def parameter_shapes(model: ModelConfig, data: DataConfig) -> dict[str, tuple[int, ...]]:
  """Shapes of all parameters by module/name. Of hybrid models data says nothing."""
  width = model.embedding_dim
  wide = width * model.widening_factor
  num_outputs = NUM_OUTPUTS if model.model == 'hybrid' else data.vocab_size
  shapes: dict[str, tuple[int, ...]] = {
    f'{TOP}/output_norm': (width,),
    f'{TOP}/output_weights': (width, num_outputs),
    f'{TOP}/output_bias': (num_outputs,),
  }
  if model.model == 'hybrid':
    shapes |= {f'{TOP}/input_weights': (NUM_FEATURES, width), f'{TOP}/input_bias': (width,)}
  else:
    shapes[f'{TOP}/embedding'] = (data.tokens_per_sample, data.vocab_size, width)
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
