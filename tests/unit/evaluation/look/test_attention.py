"""The network in NumPy is the one that was trained, and what is read off it is right."""

import dataclasses

import numpy as np
import pytest
from support import lmic_cases, tiny_models

from language_modeling_is_compression.evaluation.look.attention import (
  attention_by_distance,
  hidden_states,
  principal_components,
)
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.network.parameters import PARAMETER_SCALE, TOP

MODEL = lmic_cases.tiny_model(use_16bit=True)


def with_params(module: str, **arrays: np.ndarray) -> ByteModel:
  """The model with other parameters, as they act."""
  changed = {**MODEL.params[module], **{name: array / PARAMETER_SCALE for name, array in arrays.items()}}
  return dataclasses.replace(MODEL, params={**MODEL.params, module: changed})


@pytest.mark.parametrize('use_16bit', [False, True])
@pytest.mark.parametrize('num_tokens', [2, 64, 131])
def test_it_is_the_network_of_training(use_16bit, num_tokens):
  model = lmic_cases.tiny_model(use_16bit=use_16bit)
  tokens = tiny_models.random_tokens((1, num_tokens))[0]
  top = model.params[TOP]
  logits = hidden_states(model, tokens) @ (PARAMETER_SCALE * top['output_weights'])
  logits = logits + PARAMETER_SCALE * top['output_bias']
  found = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  np.testing.assert_allclose(found, model.log_probs(tokens[None])[0], atol=2e-5)


def test_attention_adds_up_to_1():
  excerpts = [tiny_models.random_tokens((1, length), seed=length)[0] for length in (100, 70)]
  found = attention_by_distance(MODEL, excerpts)
  assert found.shape == (2, 2, 4)
  np.testing.assert_allclose(found.sum(axis=2), 1, rtol=1e-5)


def test_a_bias_towards_one_distance_is_seen():
  bias = np.zeros((2, 4))
  bias[0, 2] = 50
  model = with_params('layer_1', lag_bias=bias)
  found = attention_by_distance(model, [tiny_models.random_tokens((1, 80))[0]])
  np.testing.assert_allclose(found[1, 0], [0, 0, 1, 0], atol=1e-6)
  assert found[1, 1].max() < 0.9 and found[0].max() < 0.9


def test_less_than_a_window():
  found = attention_by_distance(MODEL, [np.array([3, 4])])
  np.testing.assert_allclose(found.sum(axis=2), 1, rtol=1e-5)
  assert (found[..., 2:] == 0).all() and (found[..., 1] > 0).all()


def test_tokens_on_a_line_have_one_component():
  direction = np.random.default_rng(0).normal(size=8)
  line = np.arange(256)[:, None] * direction / np.linalg.norm(direction)
  table = np.stack([line, -3 * line]).astype(np.float64)
  components, shares = principal_components(with_params(TOP, embedding=table))
  assert components.shape == (2, 256, 2)
  np.testing.assert_allclose(shares, [[1, 0], [1, 0]], atol=1e-9)
  # Rising with the token's value, whichever way the vectors point.
  np.testing.assert_allclose(components[0, :, 0], np.arange(256) - 127.5, atol=1e-6)
  np.testing.assert_allclose(components[1, :, 0], 3 * (np.arange(256) - 127.5), atol=1e-6)
