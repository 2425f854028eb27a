"""What the training loop asks of a family of models: batches, validations, and how figures are called."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.config.settings import Settings
from language_modeling_is_compression.training.objectives import Objective, Rows


class Measured(NamedTuple):
  """A validation's outcome.

  figures: tracked, by name, behind valid/ or held_out/. text: for the log. provenance: plain JSON for the model file.
  """

  figures: Mapping[str, float]
  text: str
  provenance: Mapping[str, Any]


class Validation(Protocol):
  """Held-out rows in batches, and what is known of their code lengths. num_rows: in all batches."""

  num_rows: int

  def batches(self, batch_size: int) -> Iterator[Rows]:
    """Rows in an order of its own; rows that fill up a batch count for nothing."""
    ...

  def add(self, batch: Any, nats: float) -> None:
    """Takes the code length of a batch, the last one that `batches` gave."""
    ...

  def measured(self) -> Measured | None:
    """What the code lengths come to; None if nothing was held out."""
    ...


class Material(Protocol):
  """What models of one family are trained on.

  unit: what a row is made of, 'token' or 'sample'. row_length: of batches, in these. facts: sizes for the log.
  settings: the configurations of this family. provenance: more that a model file shall say. label: its kind, in names.
  """

  model_config: ModelConfig
  data_config: DataConfig
  unit: str
  label: str
  row_length: int
  facts: Mapping[str, int]
  settings: Sequence[Settings]
  provenance: Mapping[str, Any]

  def objective(self, *, recompute_layers: bool) -> Objective: ...

  def training_batch(self, step: int) -> Rows:
    """The batch of a step, counted from 0: a function of the seed and the step."""
    ...

  def validation(self, *, periodic: bool) -> Validation:
    """Of a part of what is held out, always the same one; not periodic: of as much as is worth the time."""
    ...

  def rates(self, loss_nats: float) -> Mapping[str, float]:
    """Nats per token or sample, and what else they are in units that people compare."""
    ...

  def shown(self, loss_nats: float) -> str:
    """The same for the log."""
    ...
