"""Task of byte models: to predict the next token of streams of bytes."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from language_modeling_is_compression.config.options import DataConfig, TrainingConfig, TrainingSettings
from language_modeling_is_compression.data.batches import Batch, training_batch, validation_batches
from language_modeling_is_compression.data.chunks import Chunks, Stream, split_stream, whole_stream
from language_modeling_is_compression.data.folders import Folder, read_files
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.training.objectives import Objective, byte_objective
from language_modeling_is_compression.training.plan import activation_bytes
from language_modeling_is_compression.training.task import ValidationResult, fingerprint

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


def token_bytes(spec: ByteSpec) -> int:
  """Estimate of what the backward pass keeps for a token."""
  # The logits of small vocabularies are kept about three times, those of large ones are cut into blocks.
  return activation_bytes(spec.network, 3 * min(spec.data.vocab_size, 256))


def check(settings: TrainingSettings, folders: Sequence[Folder]) -> None:
  """Raises ConfigError for settings that the files do not suit; none of this family."""


def make_task(settings: TrainingSettings, folders: Sequence[Folder]) -> 'ByteTask':
  """Task on all files of all folders. Raises AudioFormatError if none can be read."""
  data, valid_fraction = settings.data, settings.folders.valid_fraction
  if not data.codes_files:
    _logger.warning(
      'models of --quantization %s and --tokenization %s are for research: lmic cannot code files with them; '
      'evaluate_audio.py gives their code length',
      data.quantization,
      data.tokenization,
    )
  if 2 * data.stereo_blocking_n < data.chunk_size:
    _logger.warning(
      'stereo_blocking_n: two blocks of %d samples are shorter than a chunk of %d: '
      'chunks will not hold complete left/right block pairs only',
      data.stereo_blocking_n,
      data.chunk_size,
    )
  train, valid = read_files(folders, lambda _, info: whole_stream(info, data))
  if not valid:
    _logger.warning('too few files to hold some out whole: the last %g of each is held out', valid_fraction)
    parts = [split_stream(stream, valid_fraction) for stream in train]
    train, valid = [part[0] for part in parts], [part[1] for part in parts]
  spec = ByteSpec(network=settings.model, data=data)
  return ByteTask(spec, settings.training, train_streams=train, valid_streams=valid)


class ByteTask:
  """Chunks of tokens to train on and to hold out. Raises AudioFormatError if there is nothing to train on."""

  unit = 'token'

  def __init__(
    self,
    spec: ByteSpec,
    training: TrainingConfig,
    *,
    train_streams: Sequence[Stream],
    valid_streams: Sequence[Stream],
  ):
    self.spec = spec
    data = spec.data
    self._training = training
    self._train = Chunks(train_streams, data, training.num_chunks)
    self._valid = Chunks(valid_streams, data)
    if not len(self._train):
      raise AudioFormatError('the files to train on hold no samples')
    self.row_length = max(self._train.max_tokens, self._valid.max_tokens)
    self.label = f'{data.sample_bits}bit'
    self.unit_bytes = token_bytes(spec)
    self.provenance: Mapping[str, Any] = {}
    self.fingerprint = fingerprint(
      [side, stream.info.path.name, stream.info.num_frames, stream.info.num_channels, stream.first, stream.last]
      for side, streams in (('train', train_streams), ('valid', valid_streams))
      for stream in streams
    )
    self.facts: Mapping[str, int] = {
      'num_train_files': self._train.num_streams,
      'num_valid_files': self._valid.num_streams,
      'num_train_chunks': len(self._train),
      'num_valid_chunks': len(self._valid),
    }

  def objective(self, *, remat: bool) -> Objective:
    return byte_objective(build_transformer(self.spec.network, self.spec.data, remat=remat))

  def heed(self, stopped: Callable[[], bool]) -> None:
    """Nothing is waited for."""

  def training_batch(self, step: int) -> Batch:
    return training_batch(
      self._train,
      num_tokens=self.row_length,
      batch_size=self._training.batch_size,
      seed=self._training.seed,
      step=step,
    )

  def trained_model(self, params: Any, provenance: Mapping[str, Any]) -> ByteModel:
    return ByteModel(params=params, spec=self.spec, provenance=provenance)

  def validation(self, *, periodic: bool) -> 'ByteValidation':
    return ByteValidation(self._valid.limited(_PERIODIC_CHUNKS) if periodic else self._valid, self.row_length)

  def rates(self, loss_nats: float) -> dict[str, float]:
    measured = rates(loss_nats, self.spec.data)
    return {
      'loss_nats': measured.loss_nats,
      'bits_per_byte': measured.bits_per_byte,
      'bits_per_sample': measured.bits_per_sample,
    }

  def format_loss(self, loss_nats: float) -> str:
    return f'{rates(loss_nats, self.spec.data).bits_per_byte:z.4f} bits per byte'


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

  def result(self) -> ValidationResult | None:
    if not self._num_tokens:
      return None
    measured = rates(self._nats / self._num_tokens, self._chunks.config)
    metrics = {
      'bits_per_byte': measured.bits_per_byte,
      'bits_per_sample': measured.bits_per_sample,
      'compression_rate': measured.compression_rate,
    }
    text = (
      f'{measured.bits_per_byte:z.4f} bits per byte, {measured.bits_per_sample:z.4f} bits per sample, '
      f'compression rate {measured.compression_rate:z.4f} ({self.num_rows} chunks, {self._num_tokens} tokens)'
    )
    return ValidationResult(metrics, text, measured._asdict(), measured.bits_per_sample)
