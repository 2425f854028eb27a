"""A decoder-only transformer over samples, which reads what adaptive experts know of each and answers with a mixture.

Its body is that of layers.py. prediction/evidence.py says what goes in and comes out.

Shapes: B rows, T samples, F features, E embedding_dim, O outputs.
"""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from language_modeling_is_compression.config.options import ModelConfig
from language_modeling_is_compression.network.computation import PLAIN, Computation
from language_modeling_is_compression.network.layers import decoded, linear, parameter
from language_modeling_is_compression.prediction.evidence import FEATURE_BITS, LOG2_SCALES, LOGITS, NUM_OUTPUTS

# Before it has learnt anything a network leaves most to the experts' own mixture.
_EXPERTS_LOGIT = 2.0
# Components begin narrow, wide and between; those that stand on a single expert are as wide as the running error.
_FIRST_LOG2_SCALES = (-2.0, -1.0, 0.0, 1.0, 3.0, 0.0, 0.0, 0.0)


def build_hybrid(model: ModelConfig, computation: Computation = PLAIN) -> hk.Transformed:
  """A pure `init(rng_key, features)` and `apply(params, features, keys=None) -> outputs`.

  features: integers [B, T, F], with FEATURE_BITS fractional bits. outputs: float32 [B, T, O]; those of a sample depend
  on its own features and on those before it. keys: of the rows, as `Computation.dropped` says.
  """

  def forward(features: jax.Array, keys: jax.Array | None = None) -> jax.Array:
    with computation.of_parameters():
      scaled = features.astype(computation.dtype) / 2**FEATURE_BITS
      stream = linear(scaled, model.embedding_dim, 'input_weights')
      stream += parameter('input_bias', [model.embedding_dim], jnp.zeros).astype(stream.dtype)
      hidden = decoded(stream, model, computation, keys)
      outputs = linear(hidden, NUM_OUTPUTS, 'output_weights', init=jnp.zeros).astype(jnp.float32)
      return outputs + parameter('output_bias', [NUM_OUTPUTS], _first_mixture)

  return hk.without_apply_rng(hk.transform(forward))


def _first_mixture(shape: list[int], dtype: jnp.dtype) -> jax.Array:
  outputs = np.zeros(shape)
  outputs[LOGITS.stop - 1] = _EXPERTS_LOGIT
  outputs[LOG2_SCALES] = _FIRST_LOG2_SCALES
  return jnp.asarray(outputs, dtype)
