"""Networks of a few thousand numbers, and parameters that hide nothing."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from language_modeling_is_compression.config import DataConfig, ModelConfig

MODEL = ModelConfig(embedding_dim=8, num_layers=2, num_heads=2, widening_factor=2, attention_window=4)
DATA = DataConfig(chunk_size=16)


def random_params(transformer: hk.Transformed, seed: int = 0, scale: float = 0.05) -> hk.Params:
  """Every parameter random: a fresh network has zeros that make all distributions uniform."""
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(transformer.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 1), jnp.int32))
  return jax.tree.map(lambda spec: jnp.asarray(rng.normal(0.0, scale, spec.shape), jnp.float32), shapes)


def random_tokens(shape: tuple[int, ...], vocab_size: int = 256, seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).integers(0, vocab_size, shape).astype(np.int32)
