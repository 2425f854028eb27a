"""Byte models: tokens in, the distribution of the next one out.

Shapes: B rows, T tokens.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.config.settings import from_mapping, to_mapping
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.parameters import TOP, layer_shapes, output_shapes
from language_modeling_is_compression.system.extras import require_extra

# Names under which format version 2 of model files stores a DataConfig, which never change, and the fields that they
# stand for. A new field has a name of its own in files of those models alone for which it is not what it is by default:
# readers refuse names that they do not know.
_DATA_NAMES = {
  'use_16bit': 'use_16bit',
  'tokenization': 'tokenization',
  'quantization': 'quantization',
  'channels': 'channels',
  'stereo_blocking_n': 'stereo_blocking_n',
  'chunk_size': 'chunk_size',
}
_WIDE_NAMES = {**_DATA_NAMES, 'bit_depth': 'bit_depth'}  # Of models of 24 bits.


@dataclass(frozen=True, kw_only=True)
class ByteSpec:
  """Spec of a byte model. data: how files become its tokens."""

  family: ClassVar[str] = 'bytes'
  network: ModelConfig
  data: DataConfig

  @classmethod
  def from_stored(cls, network: ModelConfig, data: Any) -> 'ByteSpec':
    """Inverse of `stored_data`. Raises ConfigError."""
    is_wide = isinstance(data, Mapping) and 'bit_depth' in data
    config = from_mapping(DataConfig, data, _WIDE_NAMES if is_wide else _DATA_NAMES)
    if is_wide and config.bit_depth is None:
      raise ConfigError(f'bit_depth: expected 24, which alone is stored, got {data["bit_depth"]}')
    return cls(network=network, data=config)

  def stored_data(self) -> dict[str, Any]:
    return to_mapping(self.data, _DATA_NAMES if self.data.bit_depth is None else _WIDE_NAMES)

  @property
  def num_inputs(self) -> int:
    return self.data.vocab_size

  def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
    embedding = (self.data.tokens_per_sample, self.data.vocab_size, self.network.embedding_dim)
    return {
      **output_shapes(self.network, self.data.vocab_size),
      f'{TOP}/embedding': embedding,
      **layer_shapes(self.network),
    }


@dataclass(frozen=True, kw_only=True, repr=False)
class ByteModel(Model):
  """A trained byte model."""

  spec: ByteSpec

  @property
  def codes_files(self) -> bool:
    """Whether files can be coded with it: their bytes as they are, 256 kinds of token."""
    return self.spec.data.codes_files

  @property
  def token_kind(self) -> str:
    """Names its tokens, where they code no files, for people."""
    data = self.spec.data
    return 'mu-law' if data.quantization != 'linear' else f'{data.vocab_size:,}-way'

  def log_probs(self, tokens: np.ndarray) -> np.ndarray:
    """log p of every token at every position given the tokens before it, in nats.

    tokens: integers [B, T] in [0, vocab_size), else ValueError; each row begins at the beginning of a chunk.
    Returns float32 [B, T, vocab_size]. Raises DependencyError without JAX.
    """
    tokens = np.asarray(tokens)
    vocab_size = self.spec.data.vocab_size
    if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
      raise ValueError(f'tokens: expected integers of shape [B, T], got {tokens.dtype} of shape {list(tokens.shape)}')
    if tokens.size == 0:
      return np.zeros((*tokens.shape, vocab_size), np.float32)
    if tokens.min() < 0 or tokens.max() >= vocab_size:
      raise ValueError(f'tokens: expected 0 to {vocab_size - 1}, got {tokens.min()} to {tokens.max()}')
    return np.asarray(self._log_probs(self.params, tokens.astype(np.int32)))

  @functools.cached_property
  def _log_probs(self) -> Any:
    require_extra('train')
    # Only here: who decodes with a quantized network need not wait for JAX.
    import jax

    from language_modeling_is_compression.network.transformer import build_transformer, log_probabilities

    transformer = build_transformer(self.spec.network, self.spec.data)

    def log_probs(params: Mapping[str, Any], tokens: jax.Array) -> jax.Array:
      return log_probabilities(transformer.apply(params, tokens))

    return jax.jit(log_probs)


# Names that config/families.py asks for.
SPEC, MODEL = ByteSpec, ByteModel
