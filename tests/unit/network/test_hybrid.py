"""What the outputs of a sample may depend on, how they begin, and that every flag of the network's size works."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.tiny_models import HYBRID, hybrid_params, random_features

from language_modeling_is_compression.config.options import ModelConfig
from language_modeling_is_compression.network import hybrid
from language_modeling_is_compression.network.computation import Computation
from language_modeling_is_compression.network.hybrid import build_hybrid
from language_modeling_is_compression.prediction.evidence import (
  COMPONENT_CENTRES,
  FEATURE_BITS,
  LOG2_SCALES,
  LOGITS,
  NUM_FEATURES,
  NUM_OUTPUTS,
  OFFSETS,
)


def make(model: ModelConfig = HYBRID):
  """Random parameters and a compiled function of (params, features)."""
  network = build_hybrid(model)
  return hybrid_params(network), jax.jit(network.apply)


def seen_from(model: ModelConfig, num_samples: int):
  """A function of a position: the samples whose features have a gradient from the outputs there."""
  params, apply = make(model)
  # Integers have no gradient, and the network takes any number for what it is.
  features = jnp.asarray(random_features((1, num_samples)), jnp.float32)
  gradient = jax.jit(jax.grad(lambda features, position: jnp.sum(jnp.sin(apply(params, features)[0, position]))))
  return lambda position: np.flatnonzero(np.abs(np.asarray(gradient(features, position))[0]).sum(axis=-1)).tolist()


@pytest.mark.usefixtures('unoptimized')
@pytest.mark.parametrize(('num_layers', 'window', 'reach'), [(1, 1, 1), (3, 4, 10), (2, 40, 79)])
def test_gradients_reach_back_as_far_as_the_windows_and_never_forward(num_layers, window, reach):
  model = dataclasses.replace(HYBRID, num_layers=num_layers, attention_window=window)
  num_samples = reach + 20
  seen = seen_from(model, num_samples)
  for position in {num_samples - 8, reach // 2, 0}:
    assert seen(position) == list(range(max(0, position - reach + 1), position + 1))


def test_the_window_slides():
  """Where a row begins makes no difference to samples that cannot look back that far."""
  params, apply = make(dataclasses.replace(HYBRID, num_layers=2, attention_window=5))
  features = random_features((1, 100))
  whole, later = apply(params, features), apply(params, features[:, 37:])
  np.testing.assert_allclose(later[:, 8:], whole[:, 45:], rtol=1e-4, atol=1e-5)
  assert not np.allclose(later[:, 0], whole[:, 37], rtol=1e-3)


@pytest.mark.parametrize(
  'settings', [{'num_heads': 1}, {'widening_factor': 3}, {'embedding_dim': 12, 'num_heads': 3}, {'num_layers': 4}]
)
def test_shapes(settings):
  params, apply = make(dataclasses.replace(HYBRID, **settings))
  outputs = apply(params, random_features((2, 7)))
  assert outputs.shape == (2, 7, NUM_OUTPUTS) and outputs.dtype == np.float32
  assert np.asarray(outputs).std() > 0.01, 'the test needs outputs that differ'


def test_features_are_fixed_point():
  params, apply = make(dataclasses.replace(HYBRID, num_layers=1))
  weights = np.zeros((NUM_FEATURES, HYBRID.embedding_dim), np.float32)
  features = random_features((1, 3))
  params['~']['input_weights'] = jnp.asarray(weights)
  still = apply(params, features)
  # Features times weights are the same as a bias if only one feature, the same for all samples, has a weight.
  weights[5] = 0.25
  params['~']['input_weights'] = jnp.asarray(weights)
  features[..., 5] = 3 << FEATURE_BITS
  moved = apply(params, features)
  params['~']['input_weights'] = jnp.zeros_like(params['~']['input_weights'])
  params['~']['input_bias'] = params['~']['input_bias'] + 0.75
  np.testing.assert_allclose(apply(params, features), moved, rtol=1e-4, atol=1e-6)
  assert not np.allclose(still, moved)


def test_a_fresh_network_leaves_most_to_the_experts():
  network = build_hybrid(HYBRID)
  features = random_features((2, 5))
  outputs = jax.jit(lambda key: network.apply(network.init(key, features), features))(jax.random.key(3))
  outputs = np.asarray(outputs)
  assert (outputs == outputs[0, 0]).all(), 'it says something of samples that it knows nothing of'
  np.testing.assert_allclose(outputs[0, 0, LOGITS], [0] * len(COMPONENT_CENTRES) + [2])
  np.testing.assert_array_equal(outputs[0, 0, OFFSETS], 0)
  np.testing.assert_allclose(outputs[0, 0, LOG2_SCALES], [-2, -1, 0, 1, 3, 0, 0, 0])
  assert len(hybrid._FIRST_LOG2_SCALES) == len(COMPONENT_CENTRES)


@pytest.mark.usefixtures('unoptimized')
def test_recomputing_layers_changes_no_gradient():
  params, _ = make()
  features = random_features((2, 20))

  def gradient(remat: bool):
    network = build_hybrid(HYBRID, Computation(remat=remat))
    return jax.jit(jax.grad(lambda params: jnp.sum(network.apply(params, features) ** 2)))(params)

  kept, recomputed = gradient(False), gradient(True)
  for a, b in zip(jax.tree.leaves(recomputed), jax.tree.leaves(kept), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(jnp.abs(b).max()))
