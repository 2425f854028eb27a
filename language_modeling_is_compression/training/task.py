"""Task: what the training loop asks of a family of models."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np

from language_modeling_is_compression.audio.reading import AudioInfo
from language_modeling_is_compression.config.defaults import MAX_RATE_HZ
from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.generation.generator import RATE_KEY
from language_modeling_is_compression.network.computation import Computation
from language_modeling_is_compression.network.model import Model, ModelSpec
from language_modeling_is_compression.training.layout import DEVICE_AXIS
from language_modeling_is_compression.training.objectives import Objective, Rows


class Seed(NamedTuple):
  """Frames first:last of a held-out file, with which generated sound begins."""

  info: AudioInfo
  first: int
  last: int


class HeldOutPart(NamedTuple):
  """A file of what is held out, by its path, or a domain at a depth."""

  name: str
  num_samples: int
  bits_per_sample: float


class ValidationResult(NamedTuple):
  """Outcome of a validation.

  metrics: tracked, by name, behind valid/ or held_out/. text: for the log. provenance: plain JSON for the model file.
  score: bits per sample, the mean over domains and depths where there are several; lower is better. parts: the same by
  file or domain.
  """

  metrics: Mapping[str, float]
  text: str
  provenance: Mapping[str, Any]
  score: float
  parts: Sequence[HeldOutPart] = ()


class Validation(Protocol):
  """Held-out rows in batches, and sums of their code lengths. num_rows: in all batches."""

  num_rows: int

  def batches(self, batch_size: int) -> Iterator[Rows]:
    """Rows in an order of its own; rows that fill up a batch count for nothing."""
    ...

  def add(self, batch: Any, nats: float, by_row: np.ndarray) -> None:
    """Adds the code length of a batch, the last one that `batches` gave. by_row: the same, [B, P] as in CodeLengths."""
    ...

  def result(self) -> ValidationResult | None:
    """Metrics of the code lengths that were added; None if nothing was held out."""
    ...


class Task(Protocol):
  """Data, network and loss of a family of models. Its module also has `check`, `make_task` and `make_dry_task`.

  spec: of the model. unit: what a row is made of, 'token' or 'sample'. row_length: of batches, in these. unit_bytes:
  estimate of what the backward pass keeps for one of them. facts: sizes for the log. meaning: what figures say of
  compressed sizes, for the log. provenance: what a model file says beside what all say. label: its kind, in names of
  runs.
  fingerprint: hash of the files and their division, which is another one for other batches.
  """

  spec: ModelSpec
  unit: str
  label: str
  row_length: int
  unit_bytes: int
  facts: Mapping[str, int]
  meaning: str
  fingerprint: str
  provenance: Mapping[str, Any]

  def objective(self, computation: Computation) -> Objective: ...

  def heed(self, stopped: Callable[[], bool]) -> None:
    """Takes what is asked, while a batch is waited for, whether the run is to stop."""
    ...

  def training_batch(self, step: int, rows: Sequence[int]) -> Rows:
    """Some rows of the batch of a step, both counted from 0: a function of the seed, the step and the row.

    Raises CancelledError if the run was to stop before it was there, TrainingError if it cannot be made.
    """
    ...

  def trained_model(self, params: Any, provenance: Mapping[str, Any]) -> Model:
    """The model that parameters make."""
    ...

  def validation(self, *, periodic: bool) -> Validation:
    """Validation on a part of what is held out, always the same one; not periodic: on as much as is worth the time."""
    ...

  def seeds(self) -> Sequence[Seed]:
    """About the first second of what is held out of each file, or what there is, as the model can go on with it."""
    ...

  def rates(self, loss_nats: float) -> Mapping[str, float]:
    """Metrics of a loss, in nats per token or sample: the loss itself, and in units that people compare."""
    ...

  def format_loss(self, loss_nats: float) -> str:
    """Nats per token or sample in the unit that people compare, for the log."""
    ...


def validating_computation(settings: TrainingSettings) -> Computation:
  """How a network is computed to measure it: in float32, as models are used."""
  shard_axis = DEVICE_AXIS if settings.processes.shard_parameters else None
  return Computation(fused_attention=settings.computation.attention == 'fused', shard_axis=shard_axis)


def training_computation(settings: TrainingSettings, *, remat: bool) -> Computation:
  """How a network is computed to train it. remat: whether layers are computed again in the backward pass."""
  config = settings.computation
  return validating_computation(settings)._replace(remat=remat, dtype=jnp.dtype(config.dtype), dropout=config.dropout)


def rate_of_most(sounds: Iterable[tuple[AudioInfo, int]]) -> dict[str, int]:
  """What a model file says of its sample rate: that of most of some sounds, given with their numbers of frames.

  Nothing if none of the files says a rate that there can be.
  """
  frames: dict[int, int] = {}
  for info, num_frames in sounds:
    if 0 < info.sample_rate_hz <= MAX_RATE_HZ:
      frames[info.sample_rate_hz] = frames.get(info.sample_rate_hz, 0) + num_frames
  return {RATE_KEY: max(frames, key=lambda rate: (frames[rate], rate))} if frames else {}


def fingerprint(parts: Iterable[Sequence[str | int]]) -> str:
  """Hash of what batches are made of, in its order."""
  digest = hashlib.sha256()
  for part in parts:
    digest.update(json.dumps(part).encode() + b'\n')
  return digest.hexdigest()
