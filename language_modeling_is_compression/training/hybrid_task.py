"""Task of hybrid models: to predict samples of several domains from what adaptive experts say of them."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from language_modeling_is_compression.audio.reading import AudioInfo
from language_modeling_is_compression.config.options import (
  NATIVE_DEPTH,
  HybridConfig,
  TrainingConfig,
  TrainingSettings,
)
from language_modeling_is_compression.data.evidence_batches import (
  EvidenceBatch,
  EvidenceRows,
  Row,
  in_batches,
  read_batch,
)
from language_modeling_is_compression.data.evidence_cache import RECORD, Extractor, seconds_per_sample
from language_modeling_is_compression.data.evidence_sources import (
  DomainFile,
  Group,
  SpansByGroup,
  check_samples,
  evidence_of,
  is_streamed,
  planned_evidence,
  streamed_evidence_of,
  streamed_parts,
)
from language_modeling_is_compression.data.evidence_stream import EvidenceStream, StreamSource
from language_modeling_is_compression.data.folders import Folder, domain_weights, read_files
from language_modeling_is_compression.errors import AudioFormatError, ConfigError
from language_modeling_is_compression.generation.generator import DEFAULT_RATE_HZ
from language_modeling_is_compression.kernels.compilation import require_compiler
from language_modeling_is_compression.linear.extraction import extract_evidence
from language_modeling_is_compression.linear.presets import EFFORT_NUMBERS
from language_modeling_is_compression.network.computation import Computation
from language_modeling_is_compression.network.hybrid import build_hybrid
from language_modeling_is_compression.network.hybrid_model import HybridModel, HybridSpec
from language_modeling_is_compression.prediction.evidence import (
  NUM_CENTRES,
  NUM_COMPONENTS,
  NUM_FEATURES,
  STARTED_EXPERTS,
)
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.files import check_folder
from language_modeling_is_compression.system.text import duration, size
from language_modeling_is_compression.training.objectives import Objective, hybrid_objective
from language_modeling_is_compression.training.plan import activation_bytes
from language_modeling_is_compression.training.task import (
  HeldOutPart,
  Seed,
  ValidationResult,
  fingerprint,
  rate_of_most,
)

_logger = logging.getLogger(__name__)

# Held-out sequences of each domain and depth.
_PERIODIC_SEQUENCES = 64
_FINAL_SEQUENCES = 1024
_EVIDENCE_FOLDER = 'evidence_cache'


def sample_bytes(spec: HybridSpec) -> int:
  """Estimate of what the backward pass keeps for a sample."""
  # About a dozen numbers are kept for each component of a mixture.
  return activation_bytes(spec.network, NUM_FEATURES + 12 * NUM_COMPONENTS)


def check(settings: TrainingSettings, folders: Sequence[Folder]) -> None:
  """Raises ConfigError for weights that do not suit the folders, or where nothing can be compiled."""
  domain_weights(settings.folders.weights, folders)
  require_compiler()


def make_task(settings: TrainingSettings, folders: Sequence[Folder]) -> 'HybridTask':
  """Task on the experts' evidence of all files, by domain. Raises AudioFormatError if none can be read."""
  config = settings.hybrid
  train_files, valid_files = _readable(settings, folders)
  extractor = Extractor(extract=extract_evidence, version=STARTED_EXPERTS, effort=EFFORT_NUMBERS[config.effort])
  folder = _evidence_folder(settings)
  valid_fraction, show_progress = settings.folders.valid_fraction, not settings.logging.no_progress
  train: SpansByGroup | StreamSource
  if is_streamed(train_files, valid_files, config):
    parts, valid = streamed_evidence_of(
      train_files,
      valid_files,
      config,
      extractor,
      valid_fraction=valid_fraction,
      folder=folder,
      show_progress=show_progress,
    )
    train = StreamSource(parts=parts, extractor=extractor, max_bytes=config.stream_bytes)
  else:
    train, valid = evidence_of(
      train_files,
      valid_files,
      config,
      extractor,
      valid_fraction=valid_fraction,
      folder=folder,
      show_progress=show_progress,
    )
  return _task(HybridTask, settings, folders, train, valid, files=(train_files, valid_files))


def _readable(settings: TrainingSettings, folders: Sequence[Folder]) -> tuple[list[DomainFile], list[DomainFile]]:
  """Files to train on and to hold out."""

  def domain_file(domain: str, info: AudioInfo, first_frame: int) -> DomainFile:
    check_samples(info)
    return DomainFile(domain=domain, info=info, first_frame=first_frame)

  return read_files(folders, settings.folders, domain_file, show_progress=not settings.logging.no_progress)


def make_dry_task(settings: TrainingSettings, folders: Sequence[Folder]) -> 'DryHybridTask':
  """Task of the same size, from headers alone. Logs the time and the room that the evidence would take."""
  config, valid_fraction = settings.hybrid, settings.folders.valid_fraction
  try:
    check_folder(_evidence_folder(settings))
  except OSError as error:
    raise ConfigError(f'cache_dir: {_evidence_folder(settings)} cannot be used: {error.strerror}') from error
  train_files, valid_files = _readable(settings, folders)
  extractor = Extractor(extract=extract_evidence, version=STARTED_EXPERTS, effort=EFFORT_NUMBERS[config.effort])
  planned, valid = planned_evidence(train_files, valid_files, config, valid_fraction=valid_fraction)
  train: SpansByGroup | StreamSource = planned
  if is_streamed(train_files, valid_files, config):
    parts = streamed_parts(train_files, config, valid_fraction=None if valid_files else valid_fraction)
    train = StreamSource(parts=parts, extractor=extractor, max_bytes=config.stream_bytes)
  else:
    num_samples = sum(span.num_samples for side in (planned, valid) for each in side.values() for span in each)
    _logger.info(
      'evidence: %s samples, at most %s in %s and %s on %d core(s), less what is there already',
      f'{num_samples:,}',
      *(size(num_samples * RECORD.itemsize), _evidence_folder(settings)),
      *(duration(num_samples * seconds_per_sample(extractor) / usable_cores()), usable_cores()),
    )
  return _task(DryHybridTask, settings, folders, train, valid, files=(train_files, valid_files))


def _evidence_folder(settings: TrainingSettings) -> Path:
  return Path(settings.hybrid.cache_dir or Path(settings.run.output_dir, _EVIDENCE_FOLDER))


def _task(
  kind: 'type[_AnyTask]',
  settings: TrainingSettings,
  folders: Sequence[Folder],
  train: SpansByGroup | StreamSource,
  valid: SpansByGroup,
  *,
  files: tuple[Sequence[DomainFile], Sequence[DomainFile]],
) -> '_AnyTask':
  train_files, valid_files = files
  return kind(
    HybridSpec(network=settings.model),
    settings.hybrid,
    settings.training,
    train=train,
    valid=valid,
    weights=domain_weights(settings.folders.weights, folders),
    experts_version=STARTED_EXPERTS,
    rate=rate_of_most((file.info, file.info.num_frames - file.first_frame) for file in train_files),
    seeds=_seeds(train_files, valid_files, settings),
  )


def _seeds(
  train_files: Sequence[DomainFile], valid_files: Sequence[DomainFile], settings: TrainingSettings
) -> list[Seed]:
  """A second of each held-out file; without such files, of what is held out of the first segment of each."""
  segment_frames, share = settings.hybrid.segment_frames, settings.folders.valid_fraction
  found = []
  for file in valid_files or train_files:
    first, last = file.first_frame, file.info.num_frames
    if not valid_files:
      last = min(last, first + segment_frames)
      first = last - round((last - first) * share)
    seed = Seed(file.info, first, min(last, first + (file.info.sample_rate_hz or DEFAULT_RATE_HZ)))
    if seed.first < seed.last:
      found.append(seed)
  return found


class HybridTask:
  """Evidence to train on and to hold out. Raises AudioFormatError if there is nothing to train on.

  train: evidence that is there, or is made while it is trained on. weights: how often a row comes from each domain, in
  any unit. rate: what the model file says of the sounds' sample rate. seeds: as `Task.seeds` gives them.
  """

  unit, label = 'sample', 'hybrid'
  meaning = 'figures: as many bits per sample as a file has (16.00, say) = not compressed; half as many = half the size'

  def __init__(
    self,
    spec: HybridSpec,
    config: HybridConfig,
    training: TrainingConfig,
    *,
    train: SpansByGroup | StreamSource,
    valid: SpansByGroup,
    weights: Mapping[str, float],
    experts_version: int,
    rate: Mapping[str, int] = MappingProxyType({}),
    seeds: Sequence[Seed] = (),
  ):
    self.spec = spec
    self.unit_bytes = sample_bytes(spec)
    self.row_length = config.sequence_length
    self._training, self._seeds = training, seeds
    self._valid = EvidenceRows(valid, config.sequence_length)
    by_group = train.parts if isinstance(train, StreamSource) else train
    self._weights = {
      domain: weights[domain] for domain in sorted({group.domain for group in by_group if by_group[group]})
    }
    if not self._weights:
      raise AudioFormatError('the files to train on hold no samples that a hybrid model can be trained on')
    self._train: _CachedBatches | EvidenceStream
    if isinstance(train, StreamSource):
      self._train = EvidenceStream(
        train,
        self._weights,
        length=config.sequence_length,
        count=training.batch_size,
        seed=training.seed,
        num_steps=training.steps,
      )
    else:
      self._train = _CachedBatches(train, self._weights, config, training)
    self.provenance: Mapping[str, Any] = {
      **rate,
      'experts_version': experts_version,
      'effort': config.effort,
      'domains': self._weights,
    }
    self.fingerprint = fingerprint([*self._train.fingerprint_parts(), *_span_parts('valid', valid)])
    self.facts: Mapping[str, int] = {
      f'{side}_samples/{group.name}': rows.num_samples(group)
      for side, rows in (('train', self._train), ('valid', self._valid))
      for group in rows.groups
    }

  def objective(self, computation: Computation) -> Objective:
    return hybrid_objective(build_hybrid(self.spec.network, computation))

  def heed(self, stopped: Callable[[], bool]) -> None:
    self._train.stopped = stopped

  def training_batch(self, step: int, rows: Sequence[int]) -> EvidenceBatch:
    return self._train.batch(step, rows)

  def trained_model(self, params: Any, provenance: Mapping[str, Any]) -> HybridModel:
    return HybridModel(params=params, spec=self.spec, provenance=provenance)

  def validation(self, *, periodic: bool) -> 'HybridValidation':
    """Every sequence stands behind as many samples as the layers can look back on."""
    limit = _PERIODIC_SEQUENCES if periodic else _FINAL_SEQUENCES
    context = self.spec.network.num_layers * (self.spec.network.attention_window - 1)
    rows = {group: self._valid.spread(group, limit, context) for group in self._valid.groups}
    return HybridValidation(rows, self.row_length + context)

  def seeds(self) -> Sequence[Seed]:
    return self._seeds

  def rates(self, loss_nats: float) -> dict[str, float]:
    return {'loss_nats': loss_nats, 'bits_per_sample': loss_nats / math.log(2)}

  def format_loss(self, loss_nats: float) -> str:
    return f'{loss_nats / math.log(2):z.4f} bits per sample'


class DryHybridTask(HybridTask):
  """A task whose evidence is not there: its batches are made up, full rows of likely values."""

  def training_batch(self, step: int, rows: Sequence[int]) -> EvidenceBatch:
    shape = (len(rows), self.row_length)
    rng = np.random.default_rng(step)
    return EvidenceBatch(
      features=rng.integers(-64, 64, (*shape, NUM_FEATURES)).astype(np.int8),
      below=np.zeros((*shape, NUM_CENTRES), np.float32),
      width=np.ones(shape, np.float32),
      experts_log2=np.full(shape, -8.0, np.float32),
      begins=np.zeros(shape[:1], np.int32),
      lengths=np.full(shape[:1], self.row_length, np.int32),
    )


_AnyTask = TypeVar('_AnyTask', bound=HybridTask)


class _CachedBatches:
  """Batches of rows of a cache."""

  def __init__(self, spans: SpansByGroup, weights: Mapping[str, float], config: HybridConfig, training: TrainingConfig):
    self._spans, self._rows = spans, EvidenceRows(spans, config.sequence_length)
    self._weights, self._length = weights, config.sequence_length
    self._count, self._seed = training.batch_size, training.seed
    self.stopped: Callable[[], bool] = lambda: False  # Nothing is waited for.

  @property
  def groups(self) -> list[Group]:
    return self._rows.groups

  def num_samples(self, group: Group) -> int:
    return self._rows.num_samples(group)

  def batch(self, step: int, rows: Sequence[int]) -> EvidenceBatch:
    drawn = self._rows.draw(self._weights, count=self._count, seed=self._seed, step=step)
    return read_batch([drawn[row] for row in rows], num_rows=len(rows), length=self._length)

  def fingerprint_parts(self) -> list[list[str | int]]:
    return _span_parts('train', self._spans)


def _span_parts(side: str, spans: SpansByGroup) -> list[list[str | int]]:
  return [[side, group.name, span.path.name, span.first, span.last] for group, each in spans.items() for span in each]


class _Sums:
  """Sums over one domain at one depth."""

  def __init__(self) -> None:
    self.nats, self.experts_log2, self.num_samples = 0.0, 0.0, 0

  def bits(self) -> dict[str, float]:
    """Per sample: the model's and those of the experts alone."""
    return {
      'bits_per_sample': self.nats / math.log(2) / self.num_samples,
      'experts_bits_per_sample': -self.experts_log2 / self.num_samples,
    }


class HybridValidation:
  """Sums over held-out sequences, by domain and depth."""

  def __init__(self, rows: Mapping[Group, Sequence[Row]], row_length: int):
    self.num_rows = sum(len(each) for each in rows.values())
    self._rows = rows
    self._row_length = row_length
    self._sums = {group: _Sums() for group in rows}
    self._current: Group | None = None

  def batches(self, batch_size: int) -> Iterator[EvidenceBatch]:
    for group, rows in self._rows.items():
      self._current = group
      yield from in_batches(rows, num_rows=batch_size, length=self._row_length)

  def add(self, batch: EvidenceBatch, nats: float, by_row: np.ndarray) -> None:
    assert self._current is not None
    sums = self._sums[self._current]
    sums.nats += nats
    sums.experts_log2 += float(np.sum(batch.experts_log2[batch.counted], dtype=np.float64))
    sums.num_samples += int(batch.num_counted)

  def result(self) -> ValidationResult | None:
    """Bits per sample of each domain, and their mean over domains, by depth."""
    by_group = {group: sums.bits() for group, sums in self._sums.items() if sums.num_samples}
    if not by_group:
      return None
    means = {}
    for depth in sorted({group.depth for group in by_group}):
      name = '' if depth == NATIVE_DEPTH else f'{depth}bit'
      each = [bits for group, bits in by_group.items() if group.depth == depth]
      means[name] = {key: float(np.mean([bits[key] for bits in each])) for key in each[0]}
    domains = {group.name: bits for group, bits in by_group.items()}
    metrics = {
      '/'.join(filter(None, (name, key))): value
      for named in (domains, means)
      for name, bits in named.items()
      for key, value in bits.items()
    }
    lines = [
      f'{name} {bits["bits_per_sample"]:z.4f} ({bits["experts_bits_per_sample"]:z.4f})'
      for name, bits in domains.items()
    ]
    lines += [
      f'mean of domains{name and f" at {name}"} {bits["bits_per_sample"]:z.4f} ({bits["experts_bits_per_sample"]:z.4f})'
      for name, bits in means.items()
    ]
    text = 'bits per sample, and of the experts alone: ' + ', '.join(lines)
    score = float(np.mean([bits['bits_per_sample'] for bits in means.values()]))
    parts = [
      HeldOutPart(group.name, self._sums[group].num_samples, bits['bits_per_sample'])
      for group, bits in by_group.items()
    ]
    return ValidationResult(metrics, text, {'domains': domains, 'means': means}, score, parts)
