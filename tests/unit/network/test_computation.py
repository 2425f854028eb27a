"""Ways to compute a network: the same values and gradients but for rounding, and dropout that is what it says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from support.tiny_models import DATA, MODEL, random_params, random_tokens

from language_modeling_is_compression.network.attention import fused_attention, window_attention
from language_modeling_is_compression.network.computation import PLAIN, Computation
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.training.layout import DEVICE_AXIS, Layout, device_mesh
from language_modeling_is_compression.training.loss import code_length

TOKENS = random_tokens((4, 24)).astype(np.uint8)
LENGTHS = np.full(4, 24, np.int32)


@functools.cache
def params():
  return random_params(build_transformer(MODEL, DATA))


def nats(computation: Computation, tokens=TOKENS, lengths=LENGTHS):
  transformer = build_transformer(MODEL, DATA, computation)
  return lambda params, *keys: code_length(transformer.apply(params, tokens, *keys), tokens, lengths)


def value_and_gradient(computation: Computation):
  return jax.jit(jax.value_and_grad(nats(computation)))(params())


def assert_near(got, wanted, tolerance: float) -> None:
  assert got[0] == pytest.approx(float(wanted[0]), rel=tolerance)
  for a, b in zip(jax.tree.leaves(got[1]), jax.tree.leaves(wanted[1]), strict=True):
    np.testing.assert_allclose(a, b, atol=tolerance * float(jnp.abs(b).max()))


@functools.cache
def plain():
  return value_and_gradient(PLAIN)


@pytest.mark.usefixtures('unoptimized')
def test_half_precision_is_near_and_keeps_parameters_whole():
  got = value_and_gradient(Computation(dtype=jnp.bfloat16))
  assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {np.dtype(np.float32)}
  assert_near(got, plain(), 0.03)
  assert float(got[0]) != float(plain()[0])
  apply = build_transformer(MODEL, DATA, Computation(dtype=jnp.bfloat16)).apply
  assert jax.eval_shape(apply, params(), TOKENS).hidden.dtype == jnp.bfloat16


def test_new_parameters_are_whole_in_any_precision():
  got, wanted = (
    jax.jit(build_transformer(MODEL, DATA, computation).init)(jax.random.key(3), TOKENS[:1, :1])
    for computation in (Computation(dtype=jnp.bfloat16), PLAIN)
  )
  jax.tree.map(np.testing.assert_array_equal, got, wanted)


@pytest.mark.usefixtures('unoptimized')
@pytest.mark.parametrize(('num_tokens', 'window'), [(1, 1), (9, 4), (9, 9), (9, 30)])
def test_attention_over_whole_rows_is_that_within_the_window(num_tokens, window):
  rng = np.random.default_rng(window)
  shapes = [(2, num_tokens, 2, 4)] * 3 + [(2, window)]
  inputs = [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]

  def values(attention):
    weighted = lambda *inputs: jnp.sum(attention(*inputs) * jnp.cos(jnp.arange(4)))  # noqa: E731
    return jax.jit(jax.value_and_grad(weighted, argnums=(0, 1, 2, 3)))(*inputs)

  got, wanted = values(fused_attention), values(window_attention)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, wanted)


@pytest.mark.usefixtures('unoptimized')
def test_whole_rows_in_a_network():
  assert_near(value_and_gradient(Computation(fused_attention=True)), plain(), 1e-4)


@pytest.mark.usefixtures('unoptimized')
@pytest.mark.parametrize('remat', [False, True])
def test_parameters_that_are_shared_out_are_collected(remat):
  """Gradients come back as each device's share of their sum over the devices."""
  layout = Layout(device_mesh(jax.devices()[:2]), sharded=True)
  specs = layout.specs(params())
  assert sum(spec != PartitionSpec() for spec in jax.tree.leaves(specs)) > 5

  def shared(params, tokens, lengths):
    computation = Computation(remat=remat, shard_axis=DEVICE_AXIS)
    value, gradient = jax.value_and_grad(nats(computation, tokens, lengths))(params)
    # Shares of one device are as large as whole arrays that cannot be cut: so they are told apart by the outer shape.
    cut = jax.tree.map(lambda leaf: layout.cut_axis(leaf.shape) is not None, whole_params)
    summed = jax.tree.map(lambda leaf, is_cut: leaf if is_cut else jax.lax.psum(leaf, DEVICE_AXIS), gradient, cut)
    return jax.lax.psum(value, DEVICE_AXIS), summed

  whole_params = params()
  by_row = PartitionSpec(DEVICE_AXIS)
  over_devices = jax.shard_map(
    shared,
    mesh=layout.mesh,
    in_specs=(specs, by_row, by_row),
    out_specs=(PartitionSpec(), specs),
    check_vma=False,
  )
  assert_near(jax.jit(over_devices)(whole_params, TOKENS, LENGTHS), plain(), 1e-4)


def test_dropout_drops_so_much_and_keeps_the_mean():
  update = jnp.ones((2, 500, 40))
  keys = jax.random.split(jax.random.key(1))
  dropped = np.asarray(Computation(dropout=0.25).dropped(update, keys, 3))
  assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.75)}
  # 40,000 draws: four standard deviations of the share are 0.009.
  assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.009)
  assert not np.array_equal(dropped[0], dropped[1])
  assert not np.array_equal(dropped, Computation(dropout=0.25).dropped(update, keys, 4))
  # A row loses the same wherever it stands.
  np.testing.assert_array_equal(Computation(dropout=0.25).dropped(update[1:], keys[1:], 3)[0], dropped[1])


def test_without_keys_nothing_is_dropped():
  with_dropout, without = (
    jax.jit(nats(computation)).lower(params()).as_text() for computation in (Computation(dropout=0.5), PLAIN)
  )
  assert with_dropout == without


def test_a_network_with_dropout_is_another_function_of_its_keys():
  apply = jax.jit(nats(Computation(dropout=0.5)))
  first, second = (apply(params(), jax.random.split(jax.random.key(seed), 4)) for seed in (1, 2))
  assert float(first) != float(second) and float(first) != float(plain()[0])
