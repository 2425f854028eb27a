"""Finds audio files below a folder, says which are for training and which for validation, and what they hold.

A file's side depends on its name alone: names are paths relative to the folder, with forward slashes.
"""

import logging
import os
import shlex
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from language_modeling_is_compression.audio.reading import FLAC_SUFFIXES, PCM_SUFFIXES, AudioInfo, read_info
from language_modeling_is_compression.errors import AudioFormatError, ConfigError

_logger = logging.getLogger(__name__)

_TRAIN_FOLDER = 'train'
_VALID_FOLDERS = frozenset({'valid', 'val', 'validation'})
_TEST_FOLDER = 'test'

_AUDIO_SUFFIXES = PCM_SUFFIXES | FLAC_SUFFIXES
# fmt: off
_OTHER_AUDIO_SUFFIXES = frozenset({
  '.aac', '.ac3', '.amr', '.ape', '.dff', '.dsf', '.m4a', '.mka', '.mp2',
  '.mp3', '.oga', '.ogg', '.opus', '.ra', '.tak', '.tta', '.wma', '.wv',
})
# fmt: on


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
  """Paths or names by use, each list sorted as it came; `ignored` ones are neither trained on nor validated with."""

  train: list[Path]
  valid: list[Path]
  ignored: list[Path]


def get_all_paths(audio_dir: Path) -> list[Path]:
  """Every file of samples or FLAC below audio_dir, sorted by relative path.

  These are regular files whose suffix, in any case, is one of PCM_SUFFIXES or FLAC_SUFFIXES of audio/reading.py. A FLAC
  file beside a file of samples of the same name is left out: the one was made of the other.

  Symbolic links are followed; a folder that can be reached in several ways is listed once, and without a link where
  that is possible. A folder that cannot be listed is skipped with a logged warning.
  Raises ConfigError if audio_dir is not a directory.
  """
  return [Path(audio_dir, name) for name in _names(Path(audio_dir), _AUDIO_SUFFIXES)]


def get_other_audio_paths(audio_dir: Path) -> list[Path]:
  """Every other audio file below audio_dir, by its suffix, sorted. Raises ConfigError as `get_all_paths`."""
  return [Path(audio_dir, name) for name in _names(Path(audio_dir), _OTHER_AUDIO_SUFFIXES)]


def describe_other_audio(paths: Collection[Path]) -> str:
  """Summary of audio files that are not read, by kind, with advice; '' for none."""
  if not paths:
    return ''
  kinds = Counter(path.suffix.lower() for path in paths)
  example = min(paths)
  return (
    f'{len(paths):,} audio file{"" if len(paths) == 1 else "s"} not used, since only PCM and FLAC are read '
    f'({", ".join(f"{number:,} {suffix}" for suffix, number in kinds.most_common())}): convert them first, e.g. '
    f'ffmpeg -i {shlex.quote(str(example))} {shlex.quote(str(example.with_suffix(".wav")))}'
  )


def get_train_paths(audio_dir: Path, valid_fraction: float = 0.1) -> list[Path]:
  """The files to train on; see `partition_paths`. A single file is in both lists, to be split in time."""
  return partition_paths(audio_dir, valid_fraction).train


def get_valid_paths(audio_dir: Path, valid_fraction: float = 0.1) -> list[Path]:
  """The files to validate with; see `partition_paths`. A single file is in both lists, to be split in time."""
  return partition_paths(audio_dir, valid_fraction).valid


def get_test_paths(audio_dir: Path) -> list[Path]:
  """The files below a folder named `test`, in any case, at any depth. Raises ConfigError as `get_all_paths`."""
  return [
    Path(audio_dir, name)
    for name in _names(Path(audio_dir), _AUDIO_SUFFIXES)
    if _TEST_FOLDER in name.lower().split('/')[:-1]
  ]


def domain_of(name: str) -> str:
  """Domain of a relative name: its folders, without those that part training from validation; or ''."""
  sides = {_TRAIN_FOLDER, _TEST_FOLDER, *_VALID_FOLDERS}
  return '/'.join(part for part in name.split('/')[:-1] if part.lower() not in sides)


def partition_paths(audio_dir: Path, valid_fraction: float = 0.1) -> Partition:
  """Every file that `get_all_paths` finds below audio_dir by its use, by the rules of `partition_names`.

  Raises ConfigError if audio_dir is not a directory, ValueError unless 0 <= valid_fraction < 1.
  """
  names = _names(Path(audio_dir), _AUDIO_SUFFIXES)
  sides = partition_names(names, valid_fraction)
  paths = {
    side: [Path(audio_dir, name) for name in names if side in sides[name]] for side in ('train', 'valid', 'ignored')
  }
  return Partition(**paths)


def partition_names(names: Collection[str], valid_fraction: float) -> dict[str, frozenset[str]]:
  """The use of each relative name: {'train'}, {'valid'}, {'ignored'}, or {'train', 'valid'} for a file that is alone.

  Folders first. A folder, the outermost one or any below it, which has files below a subfolder `train` and below a
  subfolder `valid`, `val` or `validation`, or where there is none of these `test` (in any case), is used as it is,
  whatever valid_fraction is: names below the one are for training, below the other for validation, and all else in that
  folder is ignored. The outermost such folder counts.

  Every other name is hashed: blake2b, 8 bytes, big-endian, of its bytes in the file system's encoding, as a fraction of
  2**64. It is for validation if that is below valid_fraction, else for training. If no folder decides anything and
  valid_fraction > 0:

  - A name that is alone in all is in both lists, for the caller to split in time.
  - Of two names or more, if none is for validation, the one with the smallest hash is. A name that is added can only
    move it to training.
  - If none is for training, the one with the largest hash is. Only when all names are below valid_fraction can a name
    that is added move this one to validation. Nothing else that is hashed moves from training to validation, unless
    what is added makes a folder one of those above.

  Raises ValueError unless 0 <= valid_fraction < 1.
  """
  if not 0 <= valid_fraction < 1:
    raise ValueError(f'valid_fraction is {valid_fraction}, not in [0, 1)')
  split_folders = _split_folders(names)
  sides = {}
  hashes = {}
  for name in names:
    side = _side_by_folder(name, split_folders)
    if side is None:
      hashes[name] = int.from_bytes(blake2b(os.fsencode(name), digest_size=8).digest(), 'big')
      side = 'valid' if hashes[name] < valid_fraction * 2**64 else 'train'
    sides[name] = frozenset({side})
  if valid_fraction > 0 and hashes and not split_folders:
    by_hash = sorted(hashes, key=lambda name: (hashes[name], name))
    if len(by_hash) == 1:
      sides[by_hash[0]] = frozenset({'train', 'valid'})
    elif 'valid' not in sides[by_hash[0]]:
      sides[by_hash[0]] = frozenset({'valid'})
    elif 'train' not in sides[by_hash[-1]]:
      sides[by_hash[-1]] = frozenset({'train'})
  return sides


def detect_audio_format(audio_dir: Path) -> dict[str, bool | str | list[Path]]:
  """Stereo and mono files below audio_dir, from their headers alone.

  Returns has_stereo and has_mono (bool), stereo_files and mono_files (sorted lists of Path; more than one channel
  counts as stereo) and recommended_format: 'stereo', 'mono' or 'mixed', and 'mono' where there is nothing.
  A file that cannot be read is skipped with a logged warning that says why.
  Raises ConfigError if audio_dir is not a directory.
  """
  stereo_files: list[Path] = []
  mono_files: list[Path] = []
  for info in _readable_files(audio_dir):
    (stereo_files if info.num_channels > 1 else mono_files).append(info.path)
  with_stereo = 'mixed' if mono_files else 'stereo'
  return {
    'has_stereo': bool(stereo_files),
    'has_mono': bool(mono_files),
    'stereo_files': stereo_files,
    'mono_files': mono_files,
    'recommended_format': with_stereo if stereo_files else 'mono',
  }


def get_audio_files_with_format(audio_dir: Path) -> tuple[list[Path], str]:
  """The readable files below audio_dir, sorted, and the format that training uses: always 'mono', it mixes them down.

  A file that cannot be read is skipped with a logged warning that says why.
  Raises ConfigError if audio_dir is not a directory.
  """
  return [info.path for info in _readable_files(audio_dir)], 'mono'


def _readable_files(audio_dir: Path) -> Iterator[AudioInfo]:
  for path in get_all_paths(audio_dir):
    try:
      info = read_info(path)
    except AudioFormatError as error:
      _logger.warning('skipped: %s', error)
    else:
      yield info


def _names(audio_dir: Path, suffixes: frozenset[str]) -> list[str]:
  """Sorted relative names of the files below audio_dir with one of the suffixes, as `get_all_paths` describes it."""
  names: list[str] = []
  seen: set[tuple[int, int]] = set()
  folders = [(_identity(audio_dir), '')]
  links: list[tuple[tuple[int, int], str]] = []
  while folders or links:
    # Folders behind links wait, so that what can be reached without a link has its own name.
    identity, prefix = folders.pop() if folders else links.pop()
    if identity in seen:
      continue
    seen.add(identity)
    for entry in _entries(Path(audio_dir, prefix)):
      name = prefix + entry.name
      try:
        if entry.is_dir():
          status = os.stat(entry.path)  # On Windows the entry's own knows no inode.
          (links if entry.is_symlink() else folders).append(((status.st_dev, status.st_ino), name + '/'))
        elif os.path.splitext(entry.name)[1].lower() in suffixes and entry.is_file():
          names.append(name)
      except OSError as error:
        _logger.warning('skipped: %s: %s', entry.path, error.strerror)
  return sorted(_without_copies(names) if FLAC_SUFFIXES & suffixes else names)


def _without_copies(names: Collection[str]) -> list[str]:
  """Names without FLAC files beside a file of samples of the same name, which could be held out while that is not."""
  pcm_names = {os.path.splitext(name)[0] for name in names if os.path.splitext(name)[1].lower() in PCM_SUFFIXES}
  return [
    name
    for name in names
    if os.path.splitext(name)[1].lower() not in FLAC_SUFFIXES or os.path.splitext(name)[0] not in pcm_names
  ]


def _identity(audio_dir: Path) -> tuple[int, int]:
  """Device and inode of audio_dir. Raises ConfigError if it is not a directory."""
  try:
    status = audio_dir.stat()
  except OSError as error:
    raise ConfigError(
      f'{audio_dir}: expected a folder of audio files, got: {error.strerror}: check the path.'
    ) from error
  if not audio_dir.is_dir():
    raise ConfigError(f'{audio_dir}: expected a folder of audio files, got a file: name the folder that it is in.')
  return status.st_dev, status.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
  """Entries of a folder, last name first, since the walk takes from the end; none if it cannot be listed."""
  try:
    with os.scandir(folder) as entries:
      return sorted(entries, key=lambda entry: entry.name, reverse=True)
  except OSError as error:
    _logger.warning('skipped: %s: %s', folder, error.strerror)
    return []


def _split_folders(names: Collection[str]) -> dict[str, frozenset[str]]:
  """Folders (relative, '' the outermost) with both sides below them, and the lower-case subfolders used as `valid`."""
  subfolders: dict[str, set[str]] = {}
  for folder in {name.rpartition('/')[0] for name in names}:
    parent = ''
    for part in folder.split('/') if folder else ():
      subfolders.setdefault(parent, set()).add(part.lower())
      parent = f'{parent}/{part}' if parent else part
  split_folders = {}
  for folder, parts in subfolders.items():
    valid = parts & _VALID_FOLDERS or parts & {_TEST_FOLDER}
    if _TRAIN_FOLDER in parts and valid:
      split_folders[folder] = frozenset(valid)
  return split_folders


def _side_by_folder(name: str, split_folders: dict[str, frozenset[str]]) -> str | None:
  """The side that the outermost split folder above a name gives it; None if there is none."""
  parent = ''
  for part in name.split('/'):
    if parent in split_folders:
      if part.lower() == _TRAIN_FOLDER:
        return 'train'
      return 'valid' if part.lower() in split_folders[parent] else 'ignored'
    parent = f'{parent}/{part}' if parent else part
  return None
