"""Attention of a byte model by distance, and where its embedding puts the tokens.

The network is computed in floats, as it was trained, by NumPy: the integers that files are coded with are these,
rounded once.

Shapes: T tokens, E embedding_dim, H heads, D = E / H, W attention window, V values of a token.
"""

from collections.abc import Callable, Iterable

import numpy as np

from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.network.parameters import TOP, layer_name
from language_modeling_is_compression.quantized.quantize import effective_weights

_BLOCK = 64  # Queries at a time.
_NORM_EPSILON = 1e-6

# Told of a layer, the positions of some queries, [Q], and the weights that they give the tokens so many before, 0 for
# those before the first: [H, Q, W].
See = Callable[[int, np.ndarray, np.ndarray], object]


def hidden_states(model: ByteModel, tokens: np.ndarray, see: See = lambda *_: None) -> np.ndarray:
  """What stands before the output layer at each of the tokens, integers [T]: float32 [T, E]."""
  config, data = model.spec.network, model.spec.data
  top = _weights(model, TOP)
  places = data.tokens_per_sample
  silence = data.vocab_size // 2 if places == 1 else 0
  before = np.concatenate([[silence], tokens[:-1]])
  stream = top['embedding'][(np.arange(len(tokens)) - 1) % places, before]
  for index in range(config.num_layers):
    layer = _weights(model, layer_name(index))
    normed = _normed(stream, layer['attention_norm'])
    stream = stream + _attended(normed, layer, config.num_heads, lambda *found, index=index: see(index, *found))
    wide = _normed(stream, layer['feed_forward_norm']) @ layer['feed_forward_in']
    stream = stream + np.square(np.maximum(wide, 0)) @ layer['feed_forward_out']
  return _normed(stream, top['output_norm'])


def attention_by_distance(model: ByteModel, excerpts: Iterable[np.ndarray]) -> np.ndarray:
  """Mean weights over the tokens of excerpts, integers [T] each, that see a whole window, or the last one of each.

  Returns float64 [layers, H, W].
  """
  config = model.spec.network
  sums = np.zeros((config.num_layers, config.num_heads, config.attention_window))
  count = 0
  for tokens in excerpts:
    first = min(config.attention_window, len(tokens)) - 1

    def see(layer: int, positions: np.ndarray, weights: np.ndarray, first: int = first) -> None:
      sums[layer] += weights[:, positions >= first].sum(axis=1)

    hidden_states(model, tokens, see)
    count += len(tokens) - first
  return sums / max(count, 1)


def principal_components(model: ByteModel) -> tuple[np.ndarray, np.ndarray]:
  """Embedding of the tokens along its two principal axes, float64 [places, V, 2], and the axes' shares of variance.

  An axis points to where the tokens' values rise.
  """
  table = effective_weights(model, TOP)['embedding']
  components, shares = np.zeros((*table.shape[:2], 2)), np.zeros((len(table), 2))
  rising = np.arange(table.shape[1]) - (table.shape[1] - 1) / 2
  for place, rows in enumerate(table):
    left, scales, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    found = left[:, :2] * scales[:2]
    components[place, :, : found.shape[1]] = found * np.where(rising @ found < 0, -1.0, 1.0)
    shares[place, : found.shape[1]] = np.square(scales[:2]) / max(np.square(scales).sum(), 1e-300)
  return components, shares


def _attended(
  normed: np.ndarray, layer: dict[str, np.ndarray], num_heads: int, see: Callable[[np.ndarray, np.ndarray], object]
) -> np.ndarray:
  num_tokens, width = normed.shape
  window = layer['lag_bias'].shape[1]
  queries, keys, values = (
    (normed @ layer[name]).reshape(num_tokens, num_heads, -1).swapaxes(0, 1) for name in ('queries', 'keys', 'values')
  )
  queries = queries * np.float32((width // num_heads) ** -0.5)
  mixed = np.zeros_like(queries)
  for start in range(0, num_tokens, _BLOCK):
    positions = np.arange(start, min(start + _BLOCK, num_tokens))
    first = max(0, start - window + 1)
    scores = queries[:, positions] @ keys[:, first : positions[-1] + 1].swapaxes(1, 2)
    sources = positions[:, None] - np.arange(window)
    reached = np.where(sources >= 0, sources - first, 0)
    by_lag = np.take_along_axis(scores, reached[None], axis=2) + layer['lag_bias'][:, None]
    by_lag = np.where(sources >= 0, by_lag, -np.inf)
    weights = np.exp(by_lag - by_lag.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    see(positions, weights)
    spread = np.zeros_like(scores)
    heads, rows = np.arange(num_heads)[:, None, None], np.arange(len(positions))[None, :, None]
    np.add.at(spread, (heads, rows, reached[None]), weights)
    mixed[:, positions] = spread @ values[:, first : positions[-1] + 1]
  return np.asarray(mixed.swapaxes(0, 1).reshape(num_tokens, width) @ layer['attention_output'])


def _normed(stream: np.ndarray, scale: np.ndarray) -> np.ndarray:
  power = np.mean(np.square(stream), axis=-1, keepdims=True)
  return np.asarray(stream / np.sqrt(power + np.float32(_NORM_EPSILON)) * scale)


def _weights(model: ByteModel, module: str) -> dict[str, np.ndarray]:
  return {name: array.astype(np.float32) for name, array in effective_weights(model, module).items()}
