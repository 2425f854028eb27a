"""What is said of parameters without building a network is what the network has."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp
import pytest
from support.tiny_models import HYBRID

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.network.byte_model import ByteSpec
from language_modeling_is_compression.network.hybrid import build_hybrid
from language_modeling_is_compression.network.hybrid_model import HybridSpec
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.prediction.evidence import NUM_FEATURES


@pytest.mark.parametrize(
  ('model', 'data'),
  [
    (ModelConfig(), DataConfig()),
    (ModelConfig(), DataConfig(use_16bit=True)),
    (ModelConfig(num_layers=1), DataConfig(use_16bit=True, tokenization='sample')),
    (
      ModelConfig(embedding_dim=12, num_layers=3, num_heads=3, widening_factor=2, attention_window=5),
      DataConfig(quantization='mu-law'),
    ),
  ],
)
def test_the_shapes_are_those_of_the_network(model, data):
  tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
  abstract = jax.eval_shape(build_transformer(model, data).init, jax.random.key(0), tokens)
  built = {f'{module}/{name}': array.shape for module, name, array in hk.data_structures.traverse(abstract)}
  assert ByteSpec(network=model, data=data).parameter_shapes() == built


@pytest.mark.parametrize(
  'model',
  [ModelConfig(), dataclasses.replace(HYBRID, num_layers=3, widening_factor=5, attention_window=9)],
)
def test_the_shapes_are_those_of_the_hybrid_network(model):
  features = jax.ShapeDtypeStruct((1, 1, NUM_FEATURES), jnp.int8)
  abstract = jax.eval_shape(build_hybrid(model).init, jax.random.key(0), features)
  built = {f'{module}/{name}': array.shape for module, name, array in hk.data_structures.traverse(abstract)}
  assert HybridSpec(network=model).parameter_shapes() == built
