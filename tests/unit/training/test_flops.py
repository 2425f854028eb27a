"""Operations that are counted are those of the formulas, and of XLA where it counts right."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.settings import training_settings

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.data.batches import Batch
from language_modeling_is_compression.data.evidence_batches import EvidenceBatch
from language_modeling_is_compression.network.computation import Computation
from language_modeling_is_compression.network.hybrid import build_hybrid
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.prediction.evidence import NUM_CENTRES, NUM_FEATURES, NUM_OUTPUTS
from language_modeling_is_compression.training.flops import (
  Arithmetic,
  count_flops,
  gradient_flops,
  known_peak_tflops,
  training_arithmetic,
)
from language_modeling_is_compression.training.layout import DEVICE_AXIS
from language_modeling_is_compression.training.objectives import (
  CodeLengths,
  Objective,
  byte_objective,
  hybrid_objective,
)

A, B = jax.ShapeDtypeStruct((8, 16), jnp.float32), jax.ShapeDtypeStruct((16, 4), jnp.float32)
PRODUCT = 2 * 8 * 16 * 4  # Of A and B.
BLOCK = 64  # Queries that attention takes together.


def total(function, *arguments) -> int:
  return count_flops(function, *arguments).total()


def repeated(a, b):
  return jax.lax.scan(lambda so_far, _: (so_far + a @ b, None), jnp.zeros((8, 4)), None, length=5)[0]


@jax.custom_vjp
def with_its_own_gradient(a):
  return jnp.sum(a @ a.T)


with_its_own_gradient.defvjp(lambda a: (with_its_own_gradient(a), a), lambda a, g: (2 * g * a,))


@pytest.mark.parametrize(
  ('function', 'products'),
  [
    (lambda a, b: a @ b, 1),
    (lambda a, b: jnp.tanh(a @ b) + 1, 1),
    (jax.jit(lambda a, b: a @ b), 1),
    (repeated, 5),
    (lambda a, b: jax.lax.fori_loop(0, 3, lambda _, so_far: so_far + a @ b, jnp.zeros((8, 4))), 3),
    (jax.checkpoint(repeated), 5),
    (jax.vmap(lambda a, b: a @ b, in_axes=(0, None)), 1),
    (lambda a, b: jax.lax.map(lambda row: row @ b, a), 1),
    (lambda a, b: jax.lax.cond(a[0, 0] > 0, repeated, lambda a, b: a @ b, a, b), 5),
    (lambda a, b: jax.lax.platform_dependent(a, b, cpu=repeated, default=lambda a, b: a @ b), 5),
    (lambda a, b: jax.lax.while_loop(lambda c: c[0, 0] < 9, lambda c: c + a @ b, jnp.zeros((8, 4))), 1),
  ],
)
def test_products_are_counted_as_often_as_they_are_computed(function, products):
  assert total(function, A, B) == products * PRODUCT


def test_the_work_of_all_devices_counts():
  mesh = jax.make_mesh((2,), (DEVICE_AXIS,), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
  spec = jax.sharding.PartitionSpec
  sharded = jax.shard_map(jnp.matmul, mesh=mesh, in_specs=(spec(DEVICE_AXIS), spec()), out_specs=spec(DEVICE_AXIS))
  assert total(sharded, A, B) == PRODUCT


def test_convolutions():
  signal, kernel = jax.ShapeDtypeStruct((3, 4, 20), jnp.float32), jax.ShapeDtypeStruct((6, 2, 5), jnp.float32)
  grouped = functools.partial(jax.lax.conv_general_dilated, window_strides=(1,), padding='VALID', feature_group_count=2)
  # 3 rows of 16 places and 6 channels, each a sum over 5 places of 2 channels.
  assert total(grouped, signal, kernel) == 2 * (3 * 16 * 6) * (5 * 2)


def test_xla_counts_the_same_where_there_is_no_loop():
  def function(a, b):
    return jnp.einsum('ij,jk,lk->il', a, b, b)

  cost: Any = jax.jit(function).lower(A, B).compile().cost_analysis()
  assert total(function, A, B) == pytest.approx(cost['flops'], rel=0.02)
  mean = jax.value_and_grad(lambda b, a: jnp.sum((a @ b @ b.T) ** 2))
  gradient: Any = jax.jit(mean).lower(B, A).compile().cost_analysis()
  counted = gradient_flops(lambda b: jnp.sum((jnp.ones(A.shape) @ b @ b.T) ** 2), B).total()
  assert counted == pytest.approx(gradient['flops'], rel=0.2)  # XLA counts sums and squares as well.


def test_factors_are_counted_by_their_type():
  halves = jax.ShapeDtypeStruct(B.shape, jnp.bfloat16)
  mixed = count_flops(lambda a, b, c: (a @ b, c @ c.T), A, B, halves)
  assert mixed == {'float32': PRODUCT, 'bfloat16': 2 * 16 * 4 * 16}


def test_a_gradient_takes_twice_the_function_and_what_is_computed_again_does_not_count():
  def function(b, wrap=lambda function: function):
    return jnp.sum(wrap(lambda b: jnp.tanh(jnp.ones(A.shape) @ b) @ b.T)(b))

  # The first product is of a constant, of which no gradient is asked for.
  assert gradient_flops(function, B).total() == 5 * PRODUCT
  assert gradient_flops(functools.partial(function, wrap=jax.checkpoint), B).total() == 5 * PRODUCT
  counted = gradient_flops(with_its_own_gradient, A).total()
  assert counted == 3 * 2 * 8 * 16 * 8


def transformer_objective(model: ModelConfig, remat: bool) -> tuple[Objective, Any, int]:
  """Objective, shapes of its parameters, and how many of them are factors of products."""
  objective = byte_objective(build_transformer(model, DataConfig(), Computation(remat=remat)))
  params = jax.eval_shape(objective.init, jax.random.key(0))
  factors = sum(
    array.size
    for module in params.values()
    for name, array in module.items()
    if array.ndim == 2 and not name.endswith('bias')
  )
  return objective, params, factors


@pytest.mark.parametrize('remat', [False, True])
def test_a_transformer_takes_what_the_formula_says(remat):
  """6 operations for each parameter and token (Kaplan et al., 2020), and 12 for each key, layer and width."""
  model = ModelConfig(embedding_dim=64, num_layers=3, num_heads=4, attention_window=32)
  objective, params, factors = transformer_objective(model, remat)
  batch: Any = Batch(jax.ShapeDtypeStruct((7, 256), np.uint8), jax.ShapeDtypeStruct((7,), np.int32))  # type: ignore[arg-type]
  found = training_arithmetic(objective, params, batch, device_kind='cpu', num_devices=2, peak_tflops=None)
  expected = 6 * factors + 12 * model.num_layers * model.embedding_dim * (model.attention_window + BLOCK)
  assert found.flops == pytest.approx(expected, rel=0.02)
  assert found.peak_seconds is None


def test_a_hybrid_network_takes_what_the_formula_says():
  model = training_settings(model='hybrid', embedding_dim=32, num_layers=2, num_heads=4, attention_window=64).model
  objective = hybrid_objective(build_hybrid(model))
  params = jax.eval_shape(objective.init, jax.random.key(0))
  shapes = [((2, 128, NUM_FEATURES), np.int8), ((2, 128, NUM_CENTRES), np.float32), *[((2, 128), np.float32)] * 2]
  arrays: Any = [jax.ShapeDtypeStruct(*shape) for shape in (*shapes, ((2,), np.int32), ((2,), np.int32))]
  batch = EvidenceBatch(*arrays)
  found = training_arithmetic(objective, params, batch, device_kind='TPU v4', num_devices=2, peak_tflops=None)
  width = model.embedding_dim
  expected = 6 * (2 * 12 * width**2 + NUM_OUTPUTS * width) + 4 * NUM_FEATURES * width + 12 * 2 * width * (64 + BLOCK)
  assert found.flops == pytest.approx(expected, rel=0.02)
  assert found.peak_seconds == pytest.approx(found.flops / (2 * 275e12))
  given = training_arithmetic(objective, params, batch, device_kind='TPU v4', num_devices=1, peak_tflops=2.0)
  assert given.peak_seconds == pytest.approx(found.flops / 2e12)


@pytest.mark.parametrize(
  ('kind', 'halves', 'singles'),
  [
    ('NVIDIA A100-SXM4-80GB', 312, 156),
    ('NVIDIA H100 80GB HBM3', 989.5, 494.5),
    ('NVIDIA H100 PCIe', 756.5, 378),
    ('NVIDIA H200', 989.5, 494.5),
    ('NVIDIA L4', 121, 60),
    ('NVIDIA L40', None, None),
    ('Tesla T4', 65, 8.1),
    ('Tesla V100-SXM2-16GB', 125, 15.7),
    ('TPU v3', 61.5, 61.5),
    ('TPU v5 lite', 197, 197),
    ('TPU v5p', 459, 459),
    ('TPU v6 lite', 918, 918),
    ('TPU v7', None, None),
    ('cpu', None, None),
  ],
)
def test_peaks_by_kind(kind, halves, singles):
  assert known_peak_tflops(kind, 'bfloat16') == known_peak_tflops(kind, 'float16') == halves
  assert known_peak_tflops(kind, 'float32') == singles
  assert known_peak_tflops(kind, 'float64') is None


def test_what_multiplies_nothing_has_no_share_of_a_peak():
  objective = Objective(lambda key: {}, lambda params, batch: batch.lengths.sum() * 1.0, lambda *_: CodeLengths(0, 0))
  batch: Any = Batch(np.zeros((2, 4), np.uint8), np.zeros(2, np.int32))
  found = training_arithmetic(
    objective, {'a': jnp.ones(3)}, batch, device_kind='TPU v4', num_devices=1, peak_tflops=None
  )
  assert found == (0, None)


def test_figures_of_a_speed():
  assert Arithmetic(10.0, None).figures(5.0) == {'flops_per_second': 50.0}
  assert Arithmetic(10.0, 0.125).figures(4.0) == {'flops_per_second': 40.0, 'mfu': 0.5}
