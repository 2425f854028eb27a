"""Streams of bytes as the material of byte models."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from language_modeling_is_compression.config.options import DataConfig, ModelConfig, TrainingConfig
from language_modeling_is_compression.config.settings import Settings
from language_modeling_is_compression.data.batches import Batch, training_batch, validation_batches
from language_modeling_is_compression.data.chunks import Chunks, Stream
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.training.objectives import Objective, byte_objective
from language_modeling_is_compression.training.task import Measured

_logger = logging.getLogger(__name__)

_PERIODIC_CHUNKS = 1024  # Held-out chunks of a validation while training; the last one takes all.


class Rates(NamedTuple):
  """Code length of tokens in units that people compare. compression_rate: compressed / raw bits, lower is better."""

  loss_nats: float  # per token
  bits_per_byte: float
  bits_per_sample: float
  compression_rate: float


def rates(loss_nats: float, data: DataConfig) -> Rates:
  """loss_nats: nats per token."""
  bits_per_sample = loss_nats / math.log(2) * data.tokens_per_sample
  return Rates(
    loss_nats=loss_nats,
    bits_per_byte=bits_per_sample * 8 / data.sample_bits,
    bits_per_sample=bits_per_sample,
    compression_rate=bits_per_sample / data.sample_bits,
  )


class ByteMaterial:
  """Chunks of tokens to train on and to hold out. Raises AudioFormatError if there is nothing to train on."""

  unit = 'token'

  def __init__(
    self,
    model: ModelConfig,
    data: DataConfig,
    training: TrainingConfig,
    *,
    train_streams: Sequence[Stream],
    valid_streams: Sequence[Stream],
  ):
    self.model_config = model
    self.data_config = data
    self._training = training
    self._train = Chunks(train_streams, data, training.num_chunks)
    self._valid = Chunks(valid_streams, data)
    if not len(self._train):
      raise AudioFormatError('the files to train on hold no samples')
    self.row_length = max(self._train.max_tokens, self._valid.max_tokens)
    self.settings: Sequence[Settings] = (data,)
    self.label = f'{data.sample_bits}bit'
    self.provenance: Mapping[str, Any] = {}
    self.facts: Mapping[str, int] = {
      'num_train_files': self._train.num_streams,
      'num_valid_files': self._valid.num_streams,
      'num_train_chunks': len(self._train),
      'num_valid_chunks': len(self._valid),
    }

  def objective(self, *, recompute_layers: bool) -> Objective:
    return byte_objective(build_transformer(self.model_config, self.data_config, recompute_layers=recompute_layers))

  def training_batch(self, step: int) -> Batch:
    return training_batch(
      self._train,
      num_tokens=self.row_length,
      batch_size=self._training.batch_size,
      seed=self._training.seed,
      step=step,
    )

  def validation(self, *, periodic: bool) -> 'ByteValidation':
    return ByteValidation(self._valid.limited(_PERIODIC_CHUNKS) if periodic else self._valid, self.row_length)

  def rates(self, loss_nats: float) -> dict[str, float]:
    measured = rates(loss_nats, self.data_config)
    return {
      'loss_nats': measured.loss_nats,
      'bits_per_byte': measured.bits_per_byte,
      'bits_per_sample': measured.bits_per_sample,
    }

  def shown(self, loss_nats: float) -> str:
    return f'{rates(loss_nats, self.data_config).bits_per_byte:z.4f} bits per byte'


class ByteValidation:
  """Sums over held-out chunks."""

  def __init__(self, chunks: Chunks, row_length: int):
    self.num_rows = len(chunks)
    self._chunks = chunks
    self._row_length = row_length
    self._nats, self._num_tokens = 0.0, 0

  def batches(self, batch_size: int) -> Iterator[Batch]:
    return validation_batches(self._chunks, num_tokens=self._row_length, batch_size=batch_size)

  def add(self, batch: Batch, nats: float) -> None:
    self._nats += nats
    self._num_tokens += int(batch.num_counted)

  def measured(self) -> Measured | None:
    if not self._num_tokens:
      return None
    measured = rates(self._nats / self._num_tokens, self._chunks.config)
    figures = {
      'bits_per_byte': measured.bits_per_byte,
      'bits_per_sample': measured.bits_per_sample,
      'compression_rate': measured.compression_rate,
    }
    text = (
      f'{measured.bits_per_byte:z.4f} bits per byte, {measured.bits_per_sample:z.4f} bits per sample, '
      f'compression rate {measured.compression_rate:z.4f} ({self.num_rows} chunks, {self._num_tokens} tokens)'
    )
    return Measured(figures, text, measured._asdict())
