"""Selection of files, and where their outputs go: names alone, before anything is decoded or written."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from language_modeling_is_compression.audio.kinds import audio_kind_of
from language_modeling_is_compression.cli.options import Destination, Selection
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.files import STANDARD, is_pipe, is_stream, named_again

SUFFIX = '.lmic'

_STANDARD_NAMES = {'/dev/stdin': STANDARD}
_OTHER = ''  # Among what is left out: no audio.


@dataclass(frozen=True, kw_only=True)
class Sources:
  """names: of files, STANDARD for standard input. below: for those found in a folder, their names relative to it.

  left_out: how many files below folders are not taken, by kind of compressed audio, and _OTHER.
  """

  names: Sequence[str]
  below: Mapping[str, str] = field(default_factory=dict)
  left_out: Mapping[str, int] = field(default_factory=dict)

  def left_out_text(self) -> str:
    """Summary of files that are not taken, for people; '' if there are none."""
    compressed = [f'{number:,} {kind}' for kind, number in sorted(self.left_out.items()) if kind != _OTHER]
    parts = [f'{", ".join(compressed)}, compressed already'] if compressed else []
    parts += [f'{self.left_out[_OTHER]:,} that hold no audio'] if self.left_out.get(_OTHER) else []
    return f'-r: left out {" and ".join(parts)}; name them to compress them all the same' if parts else ''


def find_sources(selection: Selection, *, compressed: bool) -> Sources:
  """All files that are named, in lists too, and of those below folders the ones that a command is for.

  compressed: the .lmic files, else what is audio by its first bytes, or WAV by its name.
  Raises ConfigError if there are none, or a folder or a list cannot be read.
  """
  names = [_STANDARD_NAMES.get(name, name) for name in selection.files]
  for path in selection.lists:
    names += _listed(path)
  below: dict[str, str] = {}
  left_out: Counter[str] = Counter()
  for folder in selection.folders:
    if not os.path.isdir(folder):
      raise ConfigError(f'-r: {folder}: no such folder')
    for path in _files_below(folder):
      if path.lower().endswith(SUFFIX):
        reason = None if compressed and os.path.basename(path).lower() != SUFFIX else SUFFIX
      else:
        reason = SUFFIX if compressed else _reason_against(path)
      if reason is None:
        names.append(path)
        below[path] = os.path.relpath(path, folder)
      elif reason != SUFFIX:
        left_out[reason] += 1
  found = Sources(names=names, below=below, left_out=left_out)
  if not names:
    raise ConfigError(found.left_out_text() or 'no files to work on; see --help')
  return found


def _listed(path: str) -> list[str]:
  """The names in a list, one a line, or each with a zero byte behind it; what is not UTF-8 is taken as it is."""
  try:
    data = sys.stdin.buffer.read() if _STANDARD_NAMES.get(path, path) == STANDARD else Path(path).read_bytes()
  except OSError as error:
    raise ConfigError(f'--filelist: {path}: {error.strerror}') from error
  names = data.split(b'\0') if b'\0' in data else data.splitlines()
  return [os.fsdecode(name) for name in names if name]


def _files_below(folder: str) -> list[str]:
  found = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
  return sorted(path for path in found if os.path.isfile(path))


def _reason_against(path: str) -> str | None:
  """None for a file that is worth compressing as audio, else why it is not: its kind."""
  if path.lower().endswith('.wav'):
    return None
  try:
    kind = audio_kind_of(path)
  except OSError:
    return None  # Processing it reports that it is unreadable.
  if kind is None:
    return _OTHER
  return kind.name if kind.is_compressed else None


def compressed_name(name: str) -> str:
  return name + SUFFIX


def without_suffix(name: str) -> str:
  if not name.lower().endswith(SUFFIX) or os.path.basename(name).lower() == SUFFIX:
    raise ConfigError(f'its name is not one that ends in {SUFFIX}; name the output with -o')
  return name[: -len(SUFFIX)]


@dataclass(frozen=True, kw_only=True)
class Outputs:
  """Destinations of sources' outputs.

  rename: gives a source's output its name, or raises ConfigError. Below an existing folder that -o names, outputs lie
  as their sources do below the folders of -r.
  """

  sources: Sources
  rename: Callable[[str], str]
  destination: Destination

  @property
  def to_stdout(self) -> bool:
    return self._output == STANDARD or (self._is_beside_sources() and list(self.sources.names) == [STANDARD])

  @property
  def has_names(self) -> bool:
    """Whether outputs are named by the user, not after their sources."""
    return self._output is not None

  def target(self, source: str) -> Path | None:
    """Path of a source's output; None is standard output. Raises ConfigError if it has no name."""
    if self._output == STANDARD or (source == STANDARD and self._is_beside_sources()):
      return None
    if self._is_beside_sources():
      return Path(self.rename(source))
    folder = self._folder()
    if folder is None:
      return Path(self._output or '')
    if source == STANDARD:
      raise ConfigError('standard input has no name; name a file with -o, not a folder')
    return folder / self.rename(self._name_in_folder(source))

  def make_folder(self, target: Path | None) -> None:
    """Makes the folder that an output lies in below the one that the user names. Raises ConfigError."""
    if target is None or self._folder() is None:
      return
    try:
      target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise ConfigError(f'{target.parent}: this folder cannot be made: {error.strerror}') from error

  def check(self) -> None:
    """Raises ConfigError for what cannot be meant."""
    names, remove = self.sources.names, self.destination.remove
    if self._output is not None and _names_nothing(self._output):
      raise ConfigError(f'-o: expected a file or an existing folder, got {self._output!r}')
    for flag, folder in (('flat', self.destination.flat), ('mirror', self.destination.mirror)):
      if folder is not None and (not folder or (os.path.lexists(folder) and not os.path.isdir(folder))):
        raise ConfigError(f'--output-dir-{flag}: expected a folder, got {folder!r}')
    if len(names) > 1 and not (self._to_many() or self._to_nowhere()):
      raise ConfigError(f'-o: {self._output}: expected an existing folder for {len(names)} files')
    if self.to_stdout:
      if sys.stdout is None:
        raise ConfigError('standard output is closed; name a file with -o')
      if sys.stdout.isatty():
        raise ConfigError('standard output is a terminal; redirect it, or name a file with -o')
    if remove and (self.to_stdout or is_stream(self._output or '') or any(map(_is_read_once, names))):
      raise ConfigError('--rm: only for files that become files')
    # Without -f nothing is overwritten, neither what was there nor what this command has just written.
    if self.destination.force and len(names) > 1 and (again := named_again([*names, *self._targets()])):
      raise ConfigError(f'-f: {again}: it is named twice, or one file would overwrite another of these')

  def are_independent(self) -> bool:
    """Whether nothing is written twice, or written and read, or in an order."""
    names, targets = self.sources.names, self._targets()
    return (
      not any(map(_is_read_once, names))
      and len(targets) == len(names)
      and named_again([*names, *targets], capitals=False) is None
    )

  @property
  def _output(self) -> str | None:
    return self.destination.output

  def _folder(self) -> Path | None:
    """The folder that outputs go to, if the user names one."""
    folder = self.destination.flat if self.destination.flat is not None else self.destination.mirror
    if folder is not None:
      return Path(folder)
    return Path(self._output) if self._output is not None and os.path.isdir(self._output) else None

  def _is_beside_sources(self) -> bool:
    return self._output is None and self._folder() is None

  def _name_in_folder(self, source: str) -> str:
    if self.destination.flat is not None:
      return os.path.basename(source)
    if self.destination.mirror is None:
      return self.sources.below.get(source, os.path.basename(source))
    path = os.path.normpath(os.path.splitdrive(source)[1]).lstrip(os.sep)
    if path.split(os.sep)[0] == os.pardir:
      raise ConfigError('--output-dir-mirror: its path leads out of this folder; name it by its full path')
    return path

  def _to_many(self) -> bool:
    return self._output in (None, STANDARD) or self._folder() is not None

  def _to_nowhere(self) -> bool:
    return self._output == os.devnull

  def _targets(self) -> list[Path]:
    """The output of every source that has one; processing the others reports why they have none."""
    if self._to_nowhere():
      return []
    found = []
    for source in self.sources.names:
      with contextlib.suppress(ConfigError):
        target = self.target(source)
        found += [target] if target else []
    return found


def _is_read_once(name: str) -> bool:
  return name == STANDARD or is_pipe(name)


def _names_nothing(output: str) -> bool:
  return not output or (output.endswith(os.sep) and not os.path.isdir(output))
