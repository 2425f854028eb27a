"""Folders of audio to train on: which files they hold, for what use, and in which domains."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from language_modeling_is_compression.audio.reading import AudioInfo
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
      raise ConfigError(
        f'audio_dir: {name}: expected WAV or FLAC files to train on, found none{other and f"; {other}"}'
      )
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


def read_files(
  folders: Sequence[Folder], make: Callable[[str, AudioInfo], _Readable], *, show_progress: bool
) -> tuple[list[_Readable], list[_Readable]]:
  """Results of `make`, given a domain and the headers of each file, to train on and to hold out.

  Files that it raises AudioFormatError for are skipped with a warning. Where the files to train on are those to hold
  out, none is held out. Raises AudioFormatError if no file to train on can be read.
  """
  num_files = len({path for folder in folders for path in folder.domains})
  readable: dict[Path, _Readable] = {}
  for folder in folders:
    paths = list(folder.domains)
    for path, found in zip(paths, read_headers(folder.path, paths, show_progress=show_progress), strict=True):
      try:
        if isinstance(found, AudioFormatError):
          raise found
        readable[path] = make(folder.domains[path], found)
      except AudioFormatError as error:
        _logger.warning('skipped: %s', error)
  if len(readable) < num_files:
    _logger.warning('%d of %d files cannot be read and are skipped', num_files - len(readable), num_files)
  train = [path for folder in folders for path in folder.partition.train]
  valid = [path for folder in folders for path in folder.partition.valid]
  if not any(path in readable for path in train):
    raise AudioFormatError(f'none of the {len(train)} files to train on can be read, see the warnings above')
  kept = [[readable[path] for path in each if path in readable] for each in (train, valid)]
  return kept[0], [] if kept[0] == kept[1] else kept[1]
