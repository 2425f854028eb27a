"""From floats to integers: the rules, the bounds that keep sums exact, the identity, and what it costs in bits."""

import dataclasses
import decimal
import math

import numpy as np
import pytest
from support import lmic_cases, tiny_models

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.errors import CheckpointError
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.quantize import (
  Matrix,
  QuantizedNetwork,
  exp2_table,
  quantize_byte_model,
)

LARGEST_NORMED_BITS = 11


def model_of_scale(scale: float, *, use_16bit: bool = False, width: int = 8) -> ByteModel:
  model = ModelConfig(embedding_dim=width, num_layers=2, num_heads=2, widening_factor=3, attention_window=4)
  data = DataConfig(use_16bit=use_16bit, chunk_size=16)
  drawn = tiny_models.random_params(build_transformer(model, data), scale=scale)
  params = {module: {name: np.asarray(array) for name, array in arrays.items()} for module, arrays in drawn.items()}
  return ByteModel(params=params, spec=ByteSpec(network=model, data=data), provenance={})


def with_parameter(model: ByteModel, module: str, name: str, array: np.ndarray) -> ByteModel:
  params = {**model.params, module: {**model.params[module], name: array.astype(np.float32)}}
  return dataclasses.replace(model, params=params)


def test_powers_of_two():
  """Against decimal arithmetic of 60 digits."""
  with decimal.localcontext(prec=60):
    exact = [decimal.Decimal(2) ** (15 - decimal.Decimal(i) / 1024) for i in range(1024)]
    rounded = [int(power.to_integral_value(decimal.ROUND_HALF_UP)) for power in exact]
  assert exp2_table().tolist() == rounded
  assert rounded[0] == 1 << 15 and rounded[-1] > 1 << 14


@pytest.mark.parametrize('scale', [0.001, 0.05, 1.0, 20.0])
def test_sums_of_products_fit_31_bits(scale):
  network = quantize_byte_model(model_of_scale(scale))
  matrices = [network.output]
  for layer in network.layers:
    fields = [getattr(layer, field.name) for field in dataclasses.fields(layer)]
    matrices += [field for field in fields if isinstance(field, Matrix)]
  assert len(matrices) == 1 + 2 * 6
  for matrix in matrices:
    weights = np.abs(matrix.weights.astype(np.int64))
    assert matrix.weights.dtype == np.int16 and -31 <= matrix.shift <= 62
    assert weights.max() <= 32767 and 32767 * weights.sum(axis=0).max() < 2**31
    # One more bit would exceed the one or the other, give or take rounding: none is wasted. (24 are the most.)
    assert scale < 0.01 or 2 * weights.max() >= 32767 or 2 * weights.sum(axis=0).max() >= 65535 - len(weights)


@pytest.mark.parametrize('width', [6, 8])
@pytest.mark.parametrize('scale', [0.001, 0.05, 1.0, 20.0])
def test_no_normed_input_drives_a_bounded_matrix_over_its_limit(scale, width):
  """The worst input is one along a column, as long as a norm makes it; nothing is cut off."""
  network = quantize_byte_model(model_of_scale(scale, width=width))
  assert network.query_limit == min(math.isqrt((2**31 - 1) // (width // 2)), 32767)
  longest = math.sqrt(width) * (1 << LARGEST_NORMED_BITS)
  for layer in network.layers:
    limits = {'queries': network.query_limit, 'keys': network.query_limit, 'values': 32767, 'feed_forward_in': 32767}
    for name, limit in limits.items():
      matrix = getattr(layer, name)
      worst = np.sqrt(np.square(matrix.weights.astype(np.float64)).sum(axis=0)).max() * longest / 2.0**matrix.shift
      assert limit / 8 < worst <= limit + 0.5


def test_weights_are_those_of_the_model():
  """With the norm's gain in them, and times their power of two, to within half a step."""
  model = model_of_scale(0.05)
  network = quantize_byte_model(model)
  floats = {name: 8.0 * np.asarray(array, np.float64) for name, array in model.params['layer_1'].items()}
  layer = network.layers[1]
  np.testing.assert_allclose(layer.lag_bias / 1024, floats['lag_bias'] / math.log(2), atol=0.51 / 1024)
  np.testing.assert_allclose(
    network.embedding / 2**14, 8.0 * np.asarray(model.params['~']['embedding']), atol=0.51 / 2**14
  )
  for matrix, expected in (
    (layer.keys, floats['attention_norm'][:, None] * floats['keys']),
    (layer.feed_forward_out, floats['feed_forward_out']),
  ):
    step = 2.0 ** round(math.log2(np.abs(expected).max() / np.abs(matrix.weights).max()))
    np.testing.assert_allclose(matrix.weights * step, expected, atol=0.51 * step)


def test_what_is_too_far_out_stops_at_the_limit():
  model = model_of_scale(0.05)
  model = with_parameter(model, '~', 'output_bias', np.where(np.arange(256) < 128, 1e30, -1e30))
  model = with_parameter(model, '~', 'embedding', np.full((1, 256, 8), 1e30))
  network = quantize_byte_model(model)
  assert set(network.output_bias.tolist()) == {2**26 - 1, 1 - 2**26}
  assert (network.embedding == 2**25 - 1).all()


@pytest.mark.parametrize(
  'too_large', [{'embedding_dim': 4098}, {'attention_window': 32_769}, {'embedding_dim': 1 << 20, 'num_heads': 1}]
)
def test_a_model_too_large_for_exact_sums_is_refused(too_large):
  model = lmic_cases.tiny_model(use_16bit=False)
  model = dataclasses.replace(
    model, spec=dataclasses.replace(model.spec, network=dataclasses.replace(model.spec.network, **too_large))
  )
  with pytest.raises(CheckpointError, match='exact sums need at most 4096 and 32768; train a smaller one'):
    quantize_byte_model(model)


@pytest.mark.parametrize('name', ['queries', 'values', 'attention_output', 'feed_forward_in', 'feed_forward_out'])
def test_absurd_weights_are_refused(name):
  model = lmic_cases.tiny_model(use_16bit=False)
  array = np.array(model.params['layer_1'][name])
  array[0, 0] = 1e30
  with pytest.raises(CheckpointError, match='weights that are too large'):
    quantize_byte_model(with_parameter(model, 'layer_1', name, array))


def test_weights_of_zero_are_fine():
  model = lmic_cases.tiny_model(use_16bit=True)
  params = {
    module: {name: np.zeros_like(array) for name, array in arrays.items()} for module, arrays in model.params.items()
  }
  network = quantize_byte_model(dataclasses.replace(model, params=params))
  found = CpuPredictor(network).intervals(np.array([[0, 255, 3, 4]], np.uint8), np.array([4]))
  assert found[0, :, 1].tolist() == [65536] * 4


def changed_networks(network: QuantizedNetwork) -> dict[str, QuantizedNetwork]:
  """One integer of each kind changed, each time another one."""

  def bumped(value):
    if isinstance(value, Matrix):
      return dataclasses.replace(value, weights=bumped(value.weights))
    if isinstance(value, np.ndarray):
      value = value.copy()
      value.reshape(-1)[-1] ^= 1
      return value
    return value + 1

  changed = {}
  for field in dataclasses.fields(network):
    if field.name != 'layers':
      new = bumped(getattr(network, field.name))
      changed[field.name] = dataclasses.replace(network, **{field.name: new})
  changed['output.shift'] = dataclasses.replace(network, output=dataclasses.replace(network.output, shift=3))
  for index, layer in enumerate(network.layers):
    for field in dataclasses.fields(layer):
      value = getattr(layer, field.name)
      news = {field.name: bumped(value)}
      if isinstance(value, Matrix):
        news[f'{field.name}.shift'] = dataclasses.replace(value, shift=value.shift + 1)
      for name, new in news.items():
        layers = list(network.layers)
        layers[index] = dataclasses.replace(layer, **{field.name: new})
        changed[f'{index}.{name}'] = dataclasses.replace(network, layers=tuple(layers))
  return changed


def test_identity_changes_with_every_integer():
  network = quantize_byte_model(lmic_cases.tiny_model(use_16bit=False))
  identities = {name: each.identity() for name, each in changed_networks(network).items()}
  assert len(identities) == 5 + 2 * (8 + 6)
  assert len({network.identity(), *identities.values()}) == len(identities) + 1


def test_identity_is_that_of_the_integers_alone():
  model = lmic_cases.tiny_model(use_16bit=False)
  identity = quantize_byte_model(model).identity()
  assert len(identity) == 32
  elsewhere = dataclasses.replace(
    model,
    provenance={'trained': 'elsewhere'},
    spec=dataclasses.replace(model.spec, data=dataclasses.replace(model.spec.data, chunk_size=4096)),
    params={module: dict(reversed(list(arrays.items()))) for module, arrays in reversed(list(model.params.items()))},
  )
  assert quantize_byte_model(elsewhere).identity() == identity
  assert quantize_byte_model(lmic_cases.tiny_model(use_16bit=True)).identity() != identity
  # A nudge that rounding takes away is no other network; one that it does not is.
  bias = np.array(model.params['~']['output_bias'])
  assert quantize_byte_model(with_parameter(model, '~', 'output_bias', bias * (1 + 1e-7))).identity() == identity
  assert quantize_byte_model(with_parameter(model, '~', 'output_bias', bias + 1 / 1024)).identity() != identity


@pytest.mark.parametrize(('use_16bit', 'scale'), [(False, 0.1), (True, 0.05)])
def test_price_of_exactness(use_16bit, scale):
  """Expected bits of the next token, when the float model is right, beyond the float model's own: at most 0.2%."""
  model = model_of_scale(scale, use_16bit=use_16bit, width=16)
  tokens = tiny_models.random_tokens((1, 60)).astype(np.uint8)
  log_probs = model.log_probs(tokens.astype(np.int32))[0].astype(np.float64) / math.log(2)
  lanes = CpuPredictor(quantize_byte_model(model)).lanes(1)
  exact = []
  for token in tokens[0]:
    exact.append(np.log2(np.diff(lanes.cdfs(1)[0].astype(np.int64)) / 2**24))
    lanes.push(np.array([token], np.int64))
  probs = np.exp2(log_probs)
  entropy, cost = -(probs * log_probs).sum(), -(probs * np.array(exact)).sum()
  assert entropy < 0.97 * 8 * 60  # Uniform distributions would hide every mistake.
  assert entropy * 0.9999 < cost < entropy * 1.002
