"""Hybrid models: features of a sample in, a mixture of logistic distributions of it out.

Shapes: B rows, T samples.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.network.byte_model import ByteSpec
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.parameters import TOP, layer_shapes, output_shapes
from language_modeling_is_compression.prediction.evidence import (
  ENSEMBLE_EXPERTS,
  LINEAR_EXPERTS,
  NUM_FEATURES,
  NUM_OUTPUTS,
  STARTED_EXPERTS,
)
from language_modeling_is_compression.system.extras import require_extra

_EXPERTS = 'experts'  # Its name in a model file.


@dataclass(frozen=True, kw_only=True)
class HybridSpec:
  """Spec of a hybrid model, which reads samples as they are. experts: the version of those that it was trained on."""

  family: ClassVar[str] = 'hybrid'
  network: ModelConfig
  experts: int = STARTED_EXPERTS

  @classmethod
  def from_stored(cls, network: ModelConfig, data: Any) -> 'HybridSpec':
    """Inverse of `stored_data`. Raises ConfigError."""
    tokens, experts = data, ENSEMBLE_EXPERTS
    if isinstance(data, Mapping) and _EXPERTS in data:
      tokens, experts = {key: value for key, value in data.items() if key != _EXPERTS}, data[_EXPERTS]
      if type(experts) is not int or experts not in (LINEAR_EXPERTS, STARTED_EXPERTS):
        known = f'{LINEAR_EXPERTS} or {STARTED_EXPERTS}'
        raise ConfigError(f'{_EXPERTS}: expected {known}, got {experts!r}: update this program')
    ByteSpec.from_stored(network, tokens)
    return cls(network=network, experts=experts)

  def stored_data(self) -> dict[str, Any]:
    """Tokens, which files of all families have: those of hybrid models mean nothing, and are the default ones.

    And the version of the experts, which the first ones did not have.
    """
    tokens = ByteSpec(network=self.network, data=DataConfig()).stored_data()
    return tokens if self.experts == ENSEMBLE_EXPERTS else {**tokens, _EXPERTS: self.experts}

  @property
  def num_inputs(self) -> int:
    return NUM_FEATURES

  def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
    width = self.network.embedding_dim
    return {
      **output_shapes(self.network, NUM_OUTPUTS),
      f'{TOP}/input_weights': (NUM_FEATURES, width),
      f'{TOP}/input_bias': (width,),
      **layer_shapes(self.network),
    }


@dataclass(frozen=True, kw_only=True, repr=False)
class HybridModel(Model):
  """A trained hybrid model."""

  spec: HybridSpec

  def outputs(self, features: np.ndarray) -> np.ndarray:
    """Network's outputs for every sample, given its features and those before it (prediction/evidence.py).

    features: int8 [B, T, NUM_FEATURES], else ValueError; each row begins at the beginning of a segment.
    Returns float32 [B, T, NUM_OUTPUTS]. Raises DependencyError without JAX.
    """
    features = np.asarray(features)
    if features.dtype != np.int8 or features.ndim != 3 or features.shape[2] != NUM_FEATURES:
      raise ValueError(
        f'features: expected int8 of shape [B, T, {NUM_FEATURES}], got {features.dtype} of {list(features.shape)}'
      )
    if features.size == 0:
      return np.zeros((*features.shape[:2], NUM_OUTPUTS), np.float32)
    return np.asarray(self._outputs(self.params, features))

  @functools.cached_property
  def _outputs(self) -> Any:
    require_extra('train')
    import jax

    from language_modeling_is_compression.network.hybrid import build_hybrid

    return jax.jit(build_hybrid(self.spec.network).apply)


# Names that config/families.py asks for.
SPEC, MODEL = HybridSpec, HybridModel
