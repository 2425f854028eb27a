"""Trained models: what all families of them have in common.

A family has a spec, which says what parameters a model of it has and what a model file stores of it, and a class of
models; byte_model.py and hybrid_model.py have one of each, config/families.py lists them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from language_modeling_is_compression.config.options import ModelConfig


class ModelSpec(Protocol):
  """Spec of a model, known before its parameters: its family, its size, what it predicts.

  family: the name that --model and model files have for it. network: the transformer's size.
  """

  family: ClassVar[str]

  @property
  def network(self) -> ModelConfig: ...

  @property
  def num_inputs(self) -> int:
    """Rows of the first parameters that inputs go through, of which a network has at least embedding_dim columns."""
    ...

  def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
    """Shapes of all parameters by module/name, known without building the network."""
    ...

  def stored_data(self) -> dict[str, Any]:
    """Mapping that a model file stores under `data`."""
    ...


@dataclass(frozen=True, kw_only=True, repr=False)
class Model:
  """Base of trained models.

  params: {module: {name: float32 array}}. provenance: plain JSON values, for people to read.
  """

  params: Mapping[str, Mapping[str, np.ndarray]]
  provenance: Mapping[str, Any]
  spec: ModelSpec

  def __repr__(self) -> str:
    network = self.spec.network
    steps = self.provenance.get('steps', '?')
    return (
      f'<Model: {self.spec.family}, {network.embedding_dim} x {network.num_layers} layers, '
      f'{self.num_parameters:,} parameters, {steps} steps>'
    )

  @property
  def codes_files(self) -> bool:
    """Whether files can be coded with it."""
    return True

  @property
  def num_parameters(self) -> int:
    return sum(array.size for arrays in self.params.values() for array in arrays.values())


def min_parameter_bytes(spec: ModelSpec) -> int:
  """Bytes of some of a network's parameters: what its input goes through, each layer's queries and biases per lag."""
  network = spec.network
  layer = network.embedding_dim**2 + network.num_heads * network.attention_window
  return 4 * (spec.num_inputs * network.embedding_dim + network.num_layers * layer)
