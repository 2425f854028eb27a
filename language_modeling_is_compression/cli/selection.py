"""Which files a command works on, and what each becomes: names alone, before anything is decoded or written."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from language_modeling_is_compression.audio.kinds import audio_kind_of
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.files import STANDARD, is_pipe, is_stream, named_again

SUFFIX = '.lmic'

_STANDARD_NAMES = {'/dev/stdin': STANDARD, '/dev/stdout': STANDARD}
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
    """What is not taken, for people; '' if nothing was left out."""
    compressed = [f'{number:,} {kind}' for kind, number in sorted(self.left_out.items()) if kind != _OTHER]
    parts = [f'{", ".join(compressed)}, compressed already'] if compressed else []
    parts += [f'{self.left_out[_OTHER]:,} that hold no audio'] if self.left_out.get(_OTHER) else []
    return f'-r: left out {" and ".join(parts)}; name them to compress them all the same' if parts else ''


def find_sources(files: Sequence[str], folders: Sequence[str], lists: Sequence[str], *, compressed: bool) -> Sources:
  """All files that are named, in lists too, and of those below folders the ones that a command is for.

  compressed: the .lmic files, else what is audio by its first bytes, or WAV by its name.
  Raises ConfigError if there are none, or a folder or a list cannot be read.
  """
  names = [_STANDARD_NAMES.get(name, name) for name in files]
  for path in lists:
    names += _listed(path)
  below: dict[str, str] = {}
  left_out: Counter[str] = Counter()
  for folder in folders:
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
    return None  # It has its turn, and is told to be unreadable.
  if kind is None:
    return _OTHER
  return kind.name if kind.is_compressed else None


def compressed_name(name: str) -> str:
  return name + SUFFIX


def without_suffix(name: str) -> str:
  if not name.lower().endswith(SUFFIX) or os.path.basename(name).lower() == SUFFIX:
    raise ConfigError(f'its name is not one that ends in {SUFFIX}; name the output with -o')
  return name[: -len(SUFFIX)]


def standard_name(name: str | None) -> str | None:
  """A name that -o has, with the system's names for standard output as STANDARD."""
  return _STANDARD_NAMES.get(name, name) if name is not None else None


@dataclass(frozen=True, kw_only=True)
class Outputs:
  """Where the outputs of sources go.

  rename: gives a source's output its name, or raises ConfigError. output: what -o names, a file, an existing folder, a
  stream or standard output. Below a folder outputs lie as their sources do below theirs.
  """

  sources: Sources
  rename: Callable[[str], str]
  output: str | None

  @property
  def to_stdout(self) -> bool:
    return self.output == STANDARD or (self.output is None and list(self.sources.names) == [STANDARD])

  def target(self, source: str) -> Path | None:
    """Where the output of a source goes; None is standard output. Raises ConfigError if it has no name."""
    if self.output == STANDARD or (source == STANDARD and self.output is None):
      return None
    if self.output is None:
      return Path(self.rename(source))
    if not os.path.isdir(self.output):
      return Path(self.output)
    if source == STANDARD:
      raise ConfigError('-o: standard input has no name; name a file, not a folder')
    return Path(self.output, self.rename(self.sources.below.get(source, os.path.basename(source))))

  def make_folder(self, target: Path | None) -> None:
    """Makes the folder that an output lies in below the one that -o names. Raises ConfigError."""
    if target is None or self.output is None or not os.path.isdir(self.output):
      return
    try:
      target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
      raise ConfigError(f'{target.parent}: this folder cannot be made: {error.strerror}') from error

  def check(self, *, force: bool, remove: bool) -> None:
    """Raises ConfigError for what cannot be meant; force: -f. remove: --rm."""
    names = self.sources.names
    if self.output is not None and _names_nothing(self.output):
      raise ConfigError(f'-o: expected a file or an existing folder, got {self.output!r}')
    if len(names) > 1 and not (self._to_many() or self._to_nowhere()):
      raise ConfigError(f'-o: {self.output}: expected an existing folder for {len(names)} files')
    if self.to_stdout:
      if sys.stdout is None:
        raise ConfigError('standard output is closed; name a file with -o')
      if sys.stdout.isatty():
        raise ConfigError('standard output is a terminal; redirect it, or name a file with -o')
    if remove and (self.to_stdout or is_stream(self.output or '') or any(map(_is_read_once, names))):
      raise ConfigError('--rm: only for files that become files')
    # Without -f nothing is overwritten, neither what was there nor what this command has just written.
    if force and len(names) > 1 and (again := named_again([*names, *self._targets()])):
      raise ConfigError(f'-f: {again}: it is named twice, or one file would overwrite another of these')

  def are_independent(self) -> bool:
    """Whether nothing is written twice, or written and read, or in an order."""
    names, targets = self.sources.names, self._targets()
    return (
      not any(map(_is_read_once, names))
      and len(targets) == len(names)
      and named_again([*names, *targets], capitals=False) is None
    )

  def _to_many(self) -> bool:
    return self.output in (None, STANDARD) or os.path.isdir(self.output or '')

  def _to_nowhere(self) -> bool:
    return self.output == os.devnull

  def _targets(self) -> list[Path]:
    """The files that sources become, but of those that have no name for one: that is told when they have their turn."""
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
