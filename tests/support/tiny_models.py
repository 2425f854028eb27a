"""Networks of a few thousand numbers, and parameters that hide nothing."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.prediction.evidence import NUM_FEATURES

MODEL = ModelConfig(embedding_dim=8, num_layers=2, num_heads=2, widening_factor=2, attention_window=4)
DATA = DataConfig(chunk_size=16)
HYBRID = MODEL


def random_params(transformer: hk.Transformed, seed: int = 0, scale: float = 0.05) -> hk.Params:
  """Every parameter random: a fresh network has zeros that make all distributions uniform."""
  return _random(transformer, jax.ShapeDtypeStruct((1, 1), jnp.int32), seed, scale)


def random_tokens(shape: tuple[int, ...], vocab_size: int = 256, seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).integers(0, vocab_size, shape).astype(np.int32)


def hybrid_params(network: hk.Transformed, seed: int = 0, scale: float = 0.05) -> hk.Params:
  """`random_params` of a hybrid network."""
  return _random(network, jax.ShapeDtypeStruct((1, 1, NUM_FEATURES), jnp.int8), seed, scale)


def _random(network: hk.Transformed, inputs: jax.ShapeDtypeStruct, seed: int, scale: float) -> hk.Params:
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(network.init, jax.random.key(0), inputs)
  return jax.tree.map(lambda spec: jnp.asarray(rng.normal(0.0, scale, spec.shape), jnp.float32), shapes)


def random_features(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
  """int8 [*shape, NUM_FEATURES]."""
  return np.random.default_rng(seed).integers(-128, 128, (*shape, NUM_FEATURES)).astype(np.int8)
