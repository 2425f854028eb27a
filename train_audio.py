"""Trains a language model on folders of WAV files: python train_audio.py --audio_dir DIR [flags]."""

import argparse
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import data_paths
from language_modeling_is_compression.audio.wav import WavInfo, read_wav_info
from language_modeling_is_compression.config import (
  EQUAL_WEIGHTS,
  DataConfig,
  HybridConfig,
  ModelConfig,
  RunConfig,
  TrainingConfig,
)
from language_modeling_is_compression.cores import usable_cores
from language_modeling_is_compression.data.chunks import split_stream, whole_stream
from language_modeling_is_compression.data.evidence_sources import DomainFile, check_samples
from language_modeling_is_compression.errors import AudioFormatError, ConfigError, LmicError
from language_modeling_is_compression.settings import Settings, add_flags, read_settings
from language_modeling_is_compression.training.stopper import Stopper

if TYPE_CHECKING:
  from language_modeling_is_compression.training.byte_material import ByteMaterial
  from language_modeling_is_compression.training.hybrid_material import HybridMaterial

_logger = logging.getLogger('train_audio')

_KINDS = (RunConfig, DataConfig, ModelConfig, HybridConfig, TrainingConfig)
_EVIDENCE_FOLDER = 'evidence_cache'

_Readable = TypeVar('_Readable')


class _Parser(argparse.ArgumentParser):
  """Reports wrong usage in one line, like every other error."""

  def error(self, message: str) -> NoReturn:
    self.exit(2, f'{self.prog}: error: {message}; see --help\n')


def main(argv: Sequence[str] | None = None) -> int:
  """Returns 0 when done, 1 if the data or the run failed, 2 for wrong usage, 128 + N if signal N ended it."""
  parser = _Parser(prog='train_audio.py', description='Trains a language model on folders of WAV files.')
  add_flags(parser, _KINDS)
  arguments = parser.parse_args(argv)
  _log_to_stderr()
  stopper = Stopper()
  try:
    with stopper.installed():
      return _train(stopper, read_settings(vars(arguments), _KINDS))
  except LmicError as error:
    print(f'train_audio.py: error: {error}', file=sys.stderr)
    return 2 if isinstance(error, ConfigError) else 1
  except KeyboardInterrupt:
    print('train_audio.py: interrupted; a model that is saved already stays', file=sys.stderr)
    return 128 + (stopper.signal or signal.SIGINT)


def _train(stopper: Stopper, settings: Mapping[type[Settings], Any]) -> int:
  run, training = settings[RunConfig], settings[TrainingConfig]
  partitions = {folder: _partition(folder, training) for folder in dict.fromkeys(run.audio_dir)}
  is_hybrid = settings[ModelConfig].model == 'hybrid'
  weights = _weights(run, partitions) if is_hybrid else {}
  # JAX takes seconds to import, and wrong flags are told at once.
  from language_modeling_is_compression.training.run import claimed_outputs, train_model

  with claimed_outputs(run) as outputs, _log_to_file(outputs.log):
    try:
      _warn_of_ignored(partitions.values())
      material: ByteMaterial | HybridMaterial = (
        _hybrid_material(settings, partitions, weights) if is_hybrid else _byte_material(settings, partitions)
      )
      _use_all_cores()
      outcome = train_model(run, training, material, outputs=outputs, stopper=stopper)
    except LmicError as error:
      _logger.debug('ended by an error: %s', error)
      raise
  print(outputs.model)
  return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


def _partition(folder: str, training: TrainingConfig) -> data_paths.Partition:
  partition = data_paths.partition_paths(Path(folder), training.valid_fraction)
  if not partition.train:
    raise ConfigError(f'audio_dir: {folder}: expected WAV files to train on, found none')
  return partition


def _warn_of_ignored(partitions: Iterable[data_paths.Partition]) -> None:
  ignored = [path for partition in partitions for path in partition.ignored]
  if ignored:
    _logger.warning('%d files beside the train and validation folders are not used, e.g. %s', len(ignored), ignored[0])


def _byte_material(
  settings: Mapping[type[Settings], Any], partitions: Mapping[str, data_paths.Partition]
) -> 'ByteMaterial':
  """All files of all folders, as streams of bytes. Raises AudioFormatError if none can be read."""
  from language_modeling_is_compression.training.byte_material import ByteMaterial

  data, training = settings[DataConfig], settings[TrainingConfig]
  if 2 * data.stereo_blocking_n < data.chunk_size:
    _logger.warning(
      'stereo_blocking_n: two blocks of %d samples are shorter than a chunk of %d: '
      'chunks will not hold complete left/right block pairs only',
      data.stereo_blocking_n,
      data.chunk_size,
    )
  train, valid = _readable(partitions, lambda _, info: whole_stream(info, data))
  if not valid:
    _logger.warning('too few files to hold some out whole: the last %g of each is held out', training.valid_fraction)
    parts = [split_stream(stream, training.valid_fraction) for stream in train]
    train, valid = [part[0] for part in parts], [part[1] for part in parts]
  return ByteMaterial(settings[ModelConfig], data, training, train_streams=train, valid_streams=valid)


def _hybrid_material(
  settings: Mapping[type[Settings], Any],
  partitions: Mapping[str, data_paths.Partition],
  weights: Mapping[str, float],
) -> 'HybridMaterial':
  """The experts' evidence of all files, by domain. Raises AudioFormatError if none can be read."""
  from language_modeling_is_compression.data.evidence_cache import Experts
  from language_modeling_is_compression.data.evidence_sources import evidence_of
  from language_modeling_is_compression.experts.observation import EXPERTS_VERSION, observe
  from language_modeling_is_compression.training.hybrid_material import HybridMaterial

  run, config, training = settings[RunConfig], settings[HybridConfig], settings[TrainingConfig]

  def domain_file(domain: str, info: WavInfo) -> DomainFile:
    check_samples(info)
    return DomainFile(domain=domain, info=info)

  train_files, valid_files = _readable(partitions, domain_file)
  train, valid = evidence_of(
    train_files,
    valid_files,
    config,
    Experts(observe=observe, version=EXPERTS_VERSION, effort=config.effort),
    valid_fraction=training.valid_fraction,
    folder=Path(config.cache_dir or Path(run.output_dir, _EVIDENCE_FOLDER)),
    show_progress=not run.no_progress,
  )
  return HybridMaterial(
    settings[ModelConfig],
    config,
    training,
    train=train,
    valid=valid,
    weights=weights,
    experts_version=EXPERTS_VERSION,
  )


def _weights(run: RunConfig, partitions: Mapping[str, data_paths.Partition]) -> dict[str, float]:
  """How often a row comes from each domain. Raises ConfigError."""
  if run.audio_weights == EQUAL_WEIGHTS:
    numbers = [1.0] * len(partitions)
  else:
    numbers = [float(text) for text in run.audio_weights.split(',')]
  if len(numbers) != len(partitions):
    raise ConfigError(f'audio_weights: expected {len(partitions)} numbers, one for each audio_dir, got {len(numbers)}')
  weights: dict[str, float] = {}
  for number, (folder, partition) in zip(numbers, partitions.items(), strict=True):
    for domain in {_domain(path, folder, len(partitions)) for path in partition.train}:
      if domain in weights:
        raise ConfigError(f'audio_dir: two folders are called {domain}: rename one, or name the folder above them')
      weights[domain] = number
  return weights


def _domain(path: Path, folder: str, num_folders: int) -> str:
  """Of several folders each is a domain; a single one may have domains below it, as an evaluation names them."""
  below = data_paths.domain_of(path.relative_to(folder).as_posix()) if num_folders == 1 else ''
  return below or Path(folder).resolve().name


def _readable(
  partitions: Mapping[str, data_paths.Partition], make: Callable[[str, WavInfo], _Readable]
) -> tuple[list[_Readable], list[_Readable]]:
  """What `make` makes of a domain and the headers of each file, to train on and to hold out.

  What it raises AudioFormatError for is skipped with a warning. Where the files to train on are those to hold out,
  none is held out. Raises AudioFormatError if no file to train on can be read.
  """
  domains = {
    path: _domain(path, folder, len(partitions))
    for folder, partition in partitions.items()
    for path in sorted({*partition.train, *partition.valid})
  }
  readable: dict[Path, _Readable] = {}
  for path, domain in domains.items():
    try:
      readable[path] = make(domain, read_wav_info(path))
    except AudioFormatError as error:
      _logger.warning('skipped: %s', error)
  if len(readable) < len(domains):
    _logger.warning('%d of %d files cannot be read and are skipped', len(domains) - len(readable), len(domains))
  train, valid = (
    [path for partition in partitions.values() for path in getattr(partition, side)] for side in ('train', 'valid')
  )
  if not any(path in readable for path in train):
    raise AudioFormatError(f'none of the {len(train)} files to train on can be read, see the warnings above')
  kept = [[readable[path] for path in paths if path in readable] for paths in (train, valid)]
  return kept[0], [] if kept[0] == kept[1] else kept[1]


def _use_all_cores() -> None:
  """Makes each processor core a JAX device, unless the user's environment says how many; accelerators are not touched.

  Rows of a batch are independent, and on a CPU one thread per row beats many threads in one row.
  """
  import jax

  if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]
    jax.config.update('jax_num_cpu_devices', usable_cores())


def _log_to_stderr() -> None:
  handler = logging.StreamHandler()
  handler.setFormatter(logging.Formatter('%(message)s'))
  handler.setLevel(logging.INFO)
  logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
  for name in ('train_audio', 'data_paths', 'language_modeling_is_compression'):
    logging.getLogger(name).setLevel(logging.DEBUG)


class _LogFile(logging.FileHandler):
  """A log that cannot be written any more is said to be so, once, and ends no run."""

  def __init__(self, path: Path):
    super().__init__(path, encoding='utf-8')
    self._lost = False

  def emit(self, record: logging.LogRecord) -> None:
    if not self._lost:
      super().emit(record)

  def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
      super().handleError(record)
      return
    self._lost = True
    _logger.warning('%s: cannot be written, the log is lost: %s', self.baseFilename, error.strerror)


@contextlib.contextmanager
def _log_to_file(path: Path) -> Iterator[None]:
  try:
    handler = _LogFile(path)
  except OSError as error:
    raise ConfigError(f'output_dir: {path} cannot be written: {error.strerror}') from error
  handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
  logging.getLogger().addHandler(handler)
  try:
    yield
  finally:
    logging.getLogger().removeHandler(handler)
    with contextlib.suppress(OSError):
      handler.close()


if __name__ == '__main__':
  sys.exit(main())
