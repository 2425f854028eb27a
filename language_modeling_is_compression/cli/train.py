"""Trains a language model on folders of WAV files: train-audio --audio_dir DIR [flags]."""

import argparse
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from language_modeling_is_compression.audio.wav import WavInfo, read_wav_info
from language_modeling_is_compression.config.options import (
  EQUAL_WEIGHTS,
  DataConfig,
  HybridConfig,
  ModelConfig,
  RunConfig,
  TrainingConfig,
)
from language_modeling_is_compression.config.settings import Settings, add_flags, read_settings
from language_modeling_is_compression.data import paths as default_paths
from language_modeling_is_compression.data.chunks import split_stream, whole_stream
from language_modeling_is_compression.data.evidence_sources import DomainFile, check_samples
from language_modeling_is_compression.errors import AudioFormatError, ConfigError, LmicError
from language_modeling_is_compression.kernels.compilation import require_compiler
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.extras import require_extra
from language_modeling_is_compression.system.files import GrowingFile
from language_modeling_is_compression.training.run_files import RunFiles, claimed_files
from language_modeling_is_compression.training.stopper import Stopper

if TYPE_CHECKING:
  from language_modeling_is_compression.training.byte_task import ByteMaterial
  from language_modeling_is_compression.training.hybrid_task import HybridMaterial

_logger = logging.getLogger(__name__)

_KINDS = (RunConfig, DataConfig, ModelConfig, HybridConfig, TrainingConfig)
_EVIDENCE_FOLDER = 'evidence_cache'

_Readable = TypeVar('_Readable')


class _Parser(argparse.ArgumentParser):
  """Reports wrong usage in one line, like every other error."""

  def error(self, message: str) -> NoReturn:
    self.exit(2, f'{self.prog}: error: {message}; see --help\n')


def main(argv: Sequence[str] | None = None, *, paths: ModuleType = default_paths, prog: str = 'train-audio') -> int:
  """Returns 0 when done, 1 if the data or the run failed, 2 for wrong usage, 128 + N if signal N ended it.

  paths: says which files there are and on which side they stand, as data/paths.py does. prog: the command's name.
  """
  parser = _Parser(prog=prog, description='Trains a language model on folders of WAV files.')
  add_flags(parser, _KINDS)
  arguments = parser.parse_args(argv)
  _log_to_stderr()
  stopper = Stopper(prog)
  try:
    with stopper.installed():
      return _train(stopper, read_settings(vars(arguments), _KINDS), paths)
  except LmicError as error:
    print(f'{prog}: error: {error}', file=sys.stderr)
    return 2 if isinstance(error, ConfigError) else 1
  except KeyboardInterrupt:
    print(f'{prog}: interrupted; a model that is saved already stays', file=sys.stderr)
    return 128 + (stopper.signal or signal.SIGINT)


def _train(stopper: Stopper, settings: Mapping[type[Settings], Any], paths: ModuleType) -> int:
  run, training = settings[RunConfig], settings[TrainingConfig]
  folders = _folders(run, training, paths)
  is_hybrid = settings[ModelConfig].model == 'hybrid'
  weights = _weights(run, folders) if is_hybrid else {}
  if is_hybrid:
    require_compiler()
  require_extra('train')
  # JAX takes seconds to import, and wrong flags are told at once.
  from language_modeling_is_compression.training.run import train_model

  with claimed_files(run) as files, _log_to_file(files):
    try:
      _warn_of_unused(folders, paths)
      material: ByteMaterial | HybridMaterial = (
        _hybrid_material(settings, folders, weights) if is_hybrid else _byte_material(settings, folders)
      )
      _use_all_cores()
      outcome = train_model(run, training, material, files=files, stopper=stopper)
    except LmicError as error:
      _logger.debug('ended by an error: %s', error)
      raise
  if outcome.is_saved:
    print(files.model)
  return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


@dataclass(frozen=True, kw_only=True)
class _Folder:
  """One --audio_dir: the use of each file, and the domain that its figures are summed up with."""

  path: Path
  partition: default_paths.Partition
  domains: Mapping[Path, str]


def _folders(run: RunConfig, training: TrainingConfig, paths: ModuleType) -> list[_Folder]:
  """Raises ConfigError for a folder that cannot be listed or has nothing to train on."""
  folders = []
  names = list(dict.fromkeys(run.audio_dir))
  for name in names:
    partition = paths.partition_paths(Path(name), training.valid_fraction)
    if not partition.train:
      other = paths.describe_other_audio(paths.get_other_audio_paths(Path(name)))
      raise ConfigError(f'audio_dir: {name}: expected WAV files to train on, found none{other and f"; {other}"}')
    domains = {}
    for path in sorted({*partition.train, *partition.valid}):
      # Of several folders each is a domain; a single one may have domains below it, as an evaluation names them.
      below = paths.domain_of(path.relative_to(name).as_posix()) if len(names) == 1 else ''
      domains[path] = below or Path(name).resolve().name
    folders.append(_Folder(path=Path(name), partition=partition, domains=domains))
  return folders


def _warn_of_unused(folders: Iterable[_Folder], paths: ModuleType) -> None:
  ignored = [path for folder in folders for path in folder.partition.ignored]
  if ignored:
    _logger.warning('%d files beside the train and validation folders are not used, e.g. %s', len(ignored), ignored[0])
  if other := [path for folder in folders for path in paths.get_other_audio_paths(folder.path)]:
    _logger.warning('%s', paths.describe_other_audio(other))


def _byte_material(settings: Mapping[type[Settings], Any], folders: Sequence[_Folder]) -> 'ByteMaterial':
  """All files of all folders, as streams of bytes. Raises AudioFormatError if none can be read."""
  from language_modeling_is_compression.training.byte_task import ByteMaterial

  data, training = settings[DataConfig], settings[TrainingConfig]
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
  train, valid = _readable(folders, lambda _, info: whole_stream(info, data))
  if not valid:
    _logger.warning('too few files to hold some out whole: the last %g of each is held out', training.valid_fraction)
    parts = [split_stream(stream, training.valid_fraction) for stream in train]
    train, valid = [part[0] for part in parts], [part[1] for part in parts]
  return ByteMaterial(settings[ModelConfig], data, training, train_streams=train, valid_streams=valid)


def _hybrid_material(
  settings: Mapping[type[Settings], Any],
  folders: Sequence[_Folder],
  weights: Mapping[str, float],
) -> 'HybridMaterial':
  """The experts' evidence of all files, by domain. Raises AudioFormatError if none can be read."""
  from language_modeling_is_compression.data.evidence_cache import Experts
  from language_modeling_is_compression.data.evidence_sources import evidence_of
  from language_modeling_is_compression.prediction.extraction import EXPERTS_VERSION, observe
  from language_modeling_is_compression.training.hybrid_task import HybridMaterial

  run, config, training = settings[RunConfig], settings[HybridConfig], settings[TrainingConfig]

  def domain_file(domain: str, info: WavInfo) -> DomainFile:
    check_samples(info)
    return DomainFile(domain=domain, info=info)

  train_files, valid_files = _readable(folders, domain_file)
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


def _weights(run: RunConfig, folders: Sequence[_Folder]) -> dict[str, float]:
  """How often a row comes from each domain. Raises ConfigError."""
  if run.audio_weights == EQUAL_WEIGHTS:
    numbers = [1.0] * len(folders)
  else:
    numbers = [float(text) for text in run.audio_weights.split(',')]
  if len(numbers) != len(folders):
    raise ConfigError(f'audio_weights: expected {len(folders)} numbers, one for each audio_dir, got {len(numbers)}')
  weights: dict[str, float] = {}
  for number, folder in zip(numbers, folders, strict=True):
    for domain in {folder.domains[path] for path in folder.partition.train}:
      if domain in weights:
        raise ConfigError(f'audio_dir: two folders are called {domain}: rename one, or name the folder above them')
      weights[domain] = number
  return weights


def _readable(
  folders: Sequence[_Folder], make: Callable[[str, WavInfo], _Readable]
) -> tuple[list[_Readable], list[_Readable]]:
  """What `make` makes of a domain and the headers of each file, to train on and to hold out.

  What it raises AudioFormatError for is skipped with a warning. Where the files to train on are those to hold out,
  none is held out. Raises AudioFormatError if no file to train on can be read.
  """
  domains = {path: domain for folder in folders for path, domain in folder.domains.items()}
  readable: dict[Path, _Readable] = {}
  for path, domain in domains.items():
    try:
      readable[path] = make(domain, read_wav_info(path))
    except AudioFormatError as error:
      _logger.warning('skipped: %s', error)
  if len(readable) < len(domains):
    _logger.warning('%d of %d files cannot be read and are skipped', len(domains) - len(readable), len(domains))
  train, valid = (
    [path for folder in folders for path in getattr(folder.partition, side)] for side in ('train', 'valid')
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
  logging.getLogger('language_modeling_is_compression').setLevel(logging.DEBUG)


class _LogFile(logging.Handler):
  """A log that cannot be written any more is said to be so, once, and ends no run. Raises OSError."""

  def __init__(self, path: Path):
    super().__init__()
    self._file = GrowingFile(path)
    self._lost = False

  def emit(self, record: logging.LogRecord) -> None:
    if self._lost:
      return
    try:
      self._file.write(self.format(record))
    except OSError as error:
      self._lost = True
      _logger.warning('%s: cannot be written, the log is lost: %s', self._file.path, error.strerror)

  def rename(self, path: Path) -> None:
    """Gives the file another name. Raises OSError."""
    with self.lock or contextlib.nullcontext():
      self._file.rename(path)

  def close(self) -> None:
    self._file.close()
    super().close()


@contextlib.contextmanager
def _log_to_file(files: RunFiles) -> Iterator[None]:
  try:
    handler = _LogFile(files.log)
  except OSError as error:
    raise ConfigError(f'output_dir: {files.log} cannot be written: {error.strerror}') from error
  files.when_renamed(log=handler.rename)
  handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
  logging.getLogger().addHandler(handler)
  try:
    yield
  finally:
    logging.getLogger().removeHandler(handler)
    handler.close()
