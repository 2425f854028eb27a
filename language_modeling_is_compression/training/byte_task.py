"""Task of byte models: to predict the next token of streams of bytes."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from language_modeling_is_compression.config.options import (
  AugmentationConfig,
  DataConfig,
  TrainingConfig,
  TrainingSettings,
)
from language_modeling_is_compression.data.batches import (
  Batch,
  Domains,
  training_batch,
  validation_batches,
)
from language_modeling_is_compression.data.chunks import Chunks, Stream, split_stream, whole_stream
from language_modeling_is_compression.data.folders import Folder, domain_weights, read_files
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.generation.generator import DEFAULT_RATE_HZ
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.computation import Computation
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.training.loss import LOSSES_BY_NAME, Loss, code_length
from language_modeling_is_compression.training.objectives import Objective, byte_objective
from language_modeling_is_compression.training.plan import activation_bytes
from language_modeling_is_compression.training.task import (
  HeldOutPart,
  Seed,
  ValidationResult,
  fingerprint,
  rate_of_most,
)

_logger = logging.getLogger(__name__)

_MAX_DOMAINS = 32  # That are measured by themselves: a folder per speaker would make a batch per speaker.
_PERIODIC_CHUNKS = 1024  # Held-out chunks of a validation while training; the last one takes all.
# Names of the bytes of a sample, of which the most significant comes first.
_PLACES = {2: ('high', 'low'), 3: ('high', 'middle', 'low')}


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
  """Raises ConfigError for weights that do not suit the folders."""
  _weights(settings, folders)


def _weights(settings: TrainingSettings, folders: Sequence[Folder]) -> dict[str, float] | None:
  """A weight for each domain; None if rows are not drawn by weight. Raises ConfigError."""
  if settings.folders.audio_weights is None:
    return None
  return domain_weights(settings.folders.weights, folders)


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
  train, valid = read_files(
    folders,
    settings.folders,
    lambda domain, info, first: whole_stream(info, data, domain, first),
    show_progress=not settings.logging.no_progress,
  )
  if not valid:
    _logger.warning('too few files to hold some out whole: the last %g of each is held out', valid_fraction)
    parts = [split_stream(stream, valid_fraction) for stream in train]
    train, valid = [part[0] for part in parts], [part[1] for part in parts]
  num_domains = len({stream.domain for stream in valid})
  if num_domains > _MAX_DOMAINS:
    _logger.info(
      '%d domains are held out, more than the %d that are measured by themselves: name the folders that are to be, '
      'with several --audio_dir',
      num_domains,
      _MAX_DOMAINS,
    )
  spec = ByteSpec(network=settings.model, data=data)
  return ByteTask(
    spec,
    settings.training,
    train_streams=train,
    valid_streams=valid,
    weights=_weights(settings, folders),
    augmentation=settings.augmentation,
    loss=LOSSES_BY_NAME[settings.computation.loss],
  )


def make_dry_task(settings: TrainingSettings, folders: Sequence[Folder]) -> 'ByteTask':
  """The same task: to make one reads headers alone."""
  return make_task(settings, folders)


class ByteTask:
  """Chunks of tokens to train on and to hold out. Raises AudioFormatError if there is nothing to train on.

  weights: how often a row comes from each domain, in any unit; None: every chunk once before any comes again.
  augmentation: what the chunks to train on are changed by. loss: what training makes smaller.
  """

  unit = 'token'

  def __init__(
    self,
    spec: ByteSpec,
    training: TrainingConfig,
    *,
    train_streams: Sequence[Stream],
    valid_streams: Sequence[Stream],
    weights: Mapping[str, float] | None = None,
    augmentation: AugmentationConfig | None = None,
    loss: Loss = code_length,
  ):
    self.spec = spec
    self._augmentation, self._loss = augmentation, loss
    data = spec.data
    self._training = training
    self._train = Chunks(train_streams, data, training.num_chunks)
    self._valid = Chunks(valid_streams, data)
    self._valid_streams = valid_streams
    if not len(self._train):
      raise AudioFormatError('the files to train on hold no samples')
    self.row_length = max(self._train.max_tokens, self._valid.max_tokens)
    self.label = f'{data.sample_bits}bit'
    self.unit_bytes = token_bytes(spec)
    self._domains: Domains | None = None
    self.meaning = (
      f'figures: 8.00 bits per byte, {data.sample_bits:.2f} bits per sample = not compressed; '
      'half as many = half the size'
    )
    self.provenance: Mapping[str, Any] = rate_of_most(
      (stream.info, stream.num_samples // _interleaved(stream, data)) for stream in train_streams
    )
    if weights is not None:
      by_domain = self._train.by_domain()
      self._domains = Domains(by_domain, weights)
      self.provenance = {**self.provenance, 'domains': {domain: weights[domain] for domain in by_domain}}
    self.fingerprint = fingerprint(
      [
        *(side, stream.info.path.name, stream.info.num_frames, stream.info.num_channels, stream.first, stream.last),
        # Without weights batches do not depend on it.
        *([stream.domain] if weights is not None else []),
      ]
      for side, streams in (('train', train_streams), ('valid', valid_streams))
      for stream in streams
    )
    self.facts: Mapping[str, int] = {
      'num_train_files': self._train.num_streams,
      'num_valid_files': self._valid.num_streams,
      'num_train_chunks': len(self._train),
      'num_valid_chunks': len(self._valid),
    }

  def objective(self, computation: Computation) -> Objective:
    transformer = build_transformer(self.spec.network, self.spec.data, computation)
    return byte_objective(transformer, self.spec.data.tokens_per_sample, self._loss)

  def heed(self, stopped: Callable[[], bool]) -> None:
    """Nothing is waited for."""

  def training_batch(self, step: int, rows: Sequence[int]) -> Batch:
    return training_batch(
      self._train,
      rows,
      num_tokens=self.row_length,
      batch_size=self._training.batch_size,
      seed=self._training.seed,
      step=step,
      domains=self._domains,
      augmentation=self._augmentation,
    )

  def trained_model(self, params: Any, provenance: Mapping[str, Any]) -> ByteModel:
    return ByteModel(params=params, spec=self.spec, provenance=provenance)

  def validation(self, *, periodic: bool) -> 'ByteValidation':
    return ByteValidation(self._valid.limited(_PERIODIC_CHUNKS) if periodic else self._valid, self.row_length)

  def seeds(self) -> list[Seed]:
    return [seed for stream in self._valid_streams if (seed := _seed(stream, self.spec.data))]

  def rates(self, loss_nats: float) -> dict[str, float]:
    measured = rates(loss_nats, self.spec.data)
    return {
      'loss_nats': measured.loss_nats,
      'bits_per_byte': measured.bits_per_byte,
      'bits_per_sample': measured.bits_per_sample,
    }

  def format_loss(self, loss_nats: float) -> str:
    return f'{rates(loss_nats, self.spec.data).bits_per_byte:z.4f} bits per byte'


def _interleaved(stream: Stream, data: DataConfig) -> int:
  """Channels whose samples make up a stream."""
  return stream.info.num_channels if data.channels == 'stereo' else 1


def _seed(stream: Stream, data: DataConfig) -> Seed | None:
  """A second of a stream from its first frame on; of channels in blocks whole blocks, None if there is not one."""
  block = data.stereo_blocking_n if data.channels == 'stereo' else 1
  channels = _interleaved(stream, data)
  first = -(-stream.first // (channels * block)) * block
  count = min(stream.last // channels - first, max(block, stream.info.sample_rate_hz or DEFAULT_RATE_HZ))
  count -= count % block
  return Seed(stream.info, first, first + count) if count > 0 else None


class ByteValidation:
  """Sums over held-out chunks, and over those of each domain where there are several."""

  def __init__(self, chunks: Chunks, row_length: int):
    self.num_rows = len(chunks)
    self._chunks = chunks
    self._row_length = row_length
    by_domain = chunks.by_domain()
    self._by_domain = by_domain if 1 < len(by_domain) <= _MAX_DOMAINS else {}
    self._nats, self._num_tokens = 0.0, 0
    self._sums = {domain: [0.0, 0] for domain in self._by_domain}
    self._by_place = np.zeros(chunks.config.tokens_per_sample)
    self._by_file: dict[Path, tuple[float, int]] = {}  # Nats and tokens.
    self._current: tuple[str, Sequence[int]] = ('', ())  # The domain and the chunks of the last batch.

  def batches(self, batch_size: int) -> Iterator[Batch]:
    for domain, indices in (self._by_domain or {'': np.arange(len(self._chunks))}).items():
      size = {'num_tokens': self._row_length, 'batch_size': batch_size}
      for some, batch in validation_batches(self._chunks, indices, **size):
        self._current = domain, some
        yield batch

  def add(self, batch: Batch, nats: float, by_row: np.ndarray) -> None:
    num_tokens = int(batch.num_counted)
    self._nats += nats
    self._num_tokens += num_tokens
    self._by_place += by_row.sum(axis=0)
    domain, chunks = self._current
    if domain in self._sums:
      self._sums[domain][0] += nats
      self._sums[domain][1] += num_tokens
    # Rows behind the chunks fill up the batch.
    for chunk, row_nats, length in zip(chunks, by_row.sum(axis=1), batch.lengths, strict=False):
      if length:  # Chunks that cannot be read count for nothing.
        path = self._chunks.path(chunk)
        so_far = self._by_file.get(path, (0.0, 0))
        self._by_file[path] = (so_far[0] + float(row_nats), so_far[1] + int(length))

  def result(self) -> ValidationResult | None:
    if not self._num_tokens:
      return None
    config = self._chunks.config
    measured = rates(self._nats / self._num_tokens, config)
    domains = {domain: rates(nats / count, config) for domain, (nats, count) in self._sums.items() if count}
    metrics = _metrics(measured)
    for domain, each in domains.items():
      metrics |= {f'{domain}/{name}': value for name, value in _metrics(each).items()}
    text = (
      f'{measured.bits_per_byte:z.4f} bits per byte, {measured.bits_per_sample:z.4f} bits per sample, '
      f'compression rate {measured.compression_rate:z.4f} ({self.num_rows} chunks, {self._num_tokens} tokens)'
    )
    if names := _PLACES.get(len(self._by_place), ()):
      each_place = self._by_place / math.log(2) / (self._num_tokens / len(names))
      metrics |= {f'bits_per_byte/{name}': float(bits) for name, bits in zip(names, each_place, strict=True)}
      text += '; of the bytes: ' + ', '.join(
        f'{name} {bits:z.4f}' for name, bits in zip(names, each_place, strict=True)
      )
    provenance: dict[str, Any] = measured._asdict()
    if domains:
      listed = ', '.join(f'{domain} {each.bits_per_sample:z.4f}' for domain, each in domains.items())
      text += f'; bits per sample by domain: {listed}'
      provenance['domains'] = {domain: each._asdict() for domain, each in domains.items()}
    places = config.tokens_per_sample
    parts = [
      HeldOutPart(str(path), length // places, nats / math.log(2) / length * places)
      for path, (nats, length) in self._by_file.items()
    ]
    return ValidationResult(metrics, text, provenance, measured.bits_per_sample, parts)


def _metrics(measured: Rates) -> dict[str, float]:
  return {
    'bits_per_byte': measured.bits_per_byte,
    'bits_per_sample': measured.bits_per_sample,
    'compression_rate': measured.compression_rate,
  }
