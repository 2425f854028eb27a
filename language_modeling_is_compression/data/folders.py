"""Folders of audio to train on: which files they hold, for what use, and in which domains."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from language_modeling_is_compression.audio.reading import AudioInfo
from language_modeling_is_compression.config.options import FoldersConfig
from language_modeling_is_compression.data.header_index import read_headers
from language_modeling_is_compression.data.paths import Partition
from language_modeling_is_compression.errors import AudioFormatError, ConfigError

_logger = logging.getLogger(__name__)

_Readable = TypeVar('_Readable')


class AudioPaths(Protocol):
  """Functions that find files and the side they stand on: those of data/paths.py, or of another layout of folders."""

  def get_all_paths(self, audio_dir: Path) -> list[Path]: ...

  def get_test_paths(self, audio_dir: Path) -> list[Path]: ...

  def get_other_audio_paths(self, audio_dir: Path) -> list[Path]: ...

  def describe_other_audio(self, paths: Collection[Path]) -> str: ...

  def partition_paths(self, audio_dir: Path, valid_fraction: float = ...) -> Partition: ...

  def domain_of(self, name: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Folder:
  """One --audio_dir: the use of each file, and the domain that its metrics are summed up with."""

  path: Path
  partition: Partition
  domains: Mapping[Path, str]


def find_folders(names: Sequence[str], valid_fraction: float, paths: AudioPaths) -> list[Folder]:
  """Folders by name, each once. Raises ConfigError for one that cannot be listed or has nothing to train on."""
  folders = []
  names = list(dict.fromkeys(names))
  for name in names:
    partition = paths.partition_paths(Path(name), valid_fraction)
    if not partition.train:
      other = paths.describe_other_audio(paths.get_other_audio_paths(Path(name)))
      raise ConfigError(f'audio_dir: {name}: expected audio files to train on, found none{other and f"; {other}"}')
    domains = {}
    for path in sorted({*partition.train, *partition.valid}):
      # Each of several folders is a domain; a single one may have domains below it, as an evaluation names them.
      below = paths.domain_of(path.relative_to(name).as_posix()) if len(names) == 1 else ''
      domains[path] = below or Path(name).resolve().name
    folders.append(Folder(path=Path(name), partition=partition, domains=domains))
  return folders


def warn_of_unused(folders: Iterable[Folder], paths: AudioPaths) -> None:
  """Logs which files of the folders are not used."""
  ignored = [path for folder in folders for path in folder.partition.ignored]
  if ignored:
    _logger.warning('%d files beside the train and validation folders are not used, e.g. %s', len(ignored), ignored[0])
  if other := [path for folder in folders for path in paths.get_other_audio_paths(folder.path)]:
    _logger.warning('%s', paths.describe_other_audio(other))


def domain_weights(numbers: Sequence[float] | None, folders: Sequence[Folder]) -> dict[str, float]:
  """Sampling weight of each domain. numbers: one for each folder; None: all are equal. Raises ConfigError."""
  if numbers is None:
    numbers = [1.0] * len(folders)
  if len(numbers) != len(folders):
    raise ConfigError(f'audio_weights: expected {len(folders)} numbers, one for each audio_dir, got {len(numbers)}')
  weights: dict[str, float] = {}
  for number, folder in zip(numbers, folders, strict=True):
    for domain in {folder.domains[path] for path in folder.partition.train}:
      if domain in weights:
        raise ConfigError(f'audio_dir: two folders are called {domain}: rename one, or name the folder above them')
      weights[domain] = number
  return weights


class _Lengths:
  """Which files are long enough, and not too long; it counts those that are not."""

  def __init__(self, config: FoldersConfig):
    self._config = config
    self._left_out = Counter[str]()

  def first_frame(self, info: AudioInfo) -> int | None:
    """The first frame of a file that is used; None if the file is left out.

    Raises AudioFormatError if the file does not say how long a second is.
    """
    config = self._config
    if config.min_seconds is config.max_seconds is config.skip_seconds is None:
      return 0
    if not info.sample_rate_hz:
      raise AudioFormatError(f'{info.path}: expected a sample rate, since files are chosen by seconds, got 0')
    seconds = info.num_frames / info.sample_rate_hz
    skipped = math.ceil(min((config.skip_seconds or 0) * info.sample_rate_hz, info.num_frames))
    if config.min_seconds is not None and seconds < config.min_seconds:
      reason = f'shorter than --min_seconds {config.min_seconds:g}'
    elif config.max_seconds is not None and seconds > config.max_seconds:
      reason = f'longer than --max_seconds {config.max_seconds:g}'
    elif skipped and skipped >= info.num_frames:
      reason = f'not longer than --skip_seconds {config.skip_seconds:g}'
    else:
      return skipped
    self._left_out[reason] += 1
    return None

  def report(self, num_files: int) -> str:
    """How many files are left out, for people; '' for none."""
    reasons = ', '.join(f'{count:,} {reason}' for reason, count in sorted(self._left_out.items()))
    return f'{self._left_out.total():,} of {num_files:,} files are left out: {reasons}' if reasons else ''


def read_files(
  folders: Sequence[Folder],
  config: FoldersConfig,
  make: Callable[[str, AudioInfo, int], _Readable],
  *,
  show_progress: bool,
) -> tuple[list[_Readable], list[_Readable]]:
  """Results of `make`, given a domain, the headers of each file and its first frame, to train on and to hold out.

  Files that it raises AudioFormatError for are skipped with a warning, and those of other lengths than the settings ask
  for are left out. Where the files to train on are those to hold out, none is held out. Raises AudioFormatError if no
  file to train on can be read, ConfigError if those that can be are left out.
  """
  num_files = len({path for folder in folders for path in folder.domains})
  readable: dict[Path, _Readable] = {}
  lengths, num_unreadable = _Lengths(config), 0
  for folder in folders:
    paths = list(folder.domains)
    for path, found in zip(paths, read_headers(folder.path, paths, show_progress=show_progress), strict=True):
      try:
        if isinstance(found, AudioFormatError):
          raise found
        first = lengths.first_frame(found)
        if first is not None:
          readable[path] = make(folder.domains[path], found, first)
      except AudioFormatError as error:
        num_unreadable += 1
        _logger.warning('skipped: %s', error)
  if num_unreadable:
    _logger.warning('%d of %d files cannot be read and are skipped', num_unreadable, num_files)
  left_out = lengths.report(num_files)
  if left_out:
    _logger.info('%s', left_out)
  train = [path for folder in folders for path in folder.partition.train]
  valid = [path for folder in folders for path in folder.partition.valid]
  if left_out and not any(path in readable for path in train):
    raise ConfigError(f'audio_dir: expected files to train on, found none: {left_out}')
  if not any(path in readable for path in train):
    raise AudioFormatError(f'none of the {len(train)} files to train on can be read, see the warnings above')
  kept = [[readable[path] for path in each if path in readable] for each in (train, valid)]
  return kept[0], [] if kept[0] == kept[1] else kept[1]
