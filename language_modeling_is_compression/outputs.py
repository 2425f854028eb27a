"""Which files a command works on, and what each becomes: names alone, before anything is read or written."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.files import STANDARD, named_again

SUFFIX = '.lmic'


def find_sources(files: Sequence[str], folders: Sequence[str], suffix: str) -> list[str]:
  """All files that are named, or below a folder that is and end in suffix. Raises ConfigError if there are none."""
  sources = list(files)
  for folder in folders:
    if not os.path.isdir(folder):
      raise ConfigError(f'-r: {folder}: no such folder')
    found = [
      os.path.join(parent, name)
      for parent, _, names in os.walk(folder)
      for name in names
      if name.lower().endswith(suffix) and name.lower() != SUFFIX
    ]
    sources += sorted(path for path in found if os.path.isfile(path))
  if not sources:
    raise ConfigError('no files to work on; see --help')
  return sources


def compressed_name(name: str) -> str:
  return name + SUFFIX


def without_suffix(name: str) -> str:
  if not name.lower().endswith(SUFFIX) or os.path.basename(name).lower() == SUFFIX:
    raise ConfigError(f'its name is not one that ends in {SUFFIX}; name the output with -o')
  return name[: -len(SUFFIX)]


@dataclass(frozen=True, kw_only=True)
class Outputs:
  """Where the outputs of sources go.

  rename: gives a source's output its name, or raises ConfigError. output: what -o names, a file, an existing folder or
  standard output.
  """

  sources: Sequence[str]
  rename: Callable[[str], str]
  output: str | None

  @property
  def to_stdout(self) -> bool:
    return self.output == STANDARD or (self.output is None and list(self.sources) == [STANDARD])

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
    return Path(self.output, self.rename(os.path.basename(source)))

  def check(self, *, force: bool, remove: bool) -> None:
    """Raises ConfigError for what cannot be meant; force: -f. remove: --rm."""
    if self.output is not None and _names_nothing(self.output):
      raise ConfigError(f'-o: expected a file or an existing folder, got {self.output!r}')
    if self.output not in (None, STANDARD) and len(self.sources) > 1 and not os.path.isdir(self.output):
      raise ConfigError(f'-o: {self.output}: expected an existing folder for {len(self.sources)} files')
    if self.to_stdout:
      if sys.stdout is None:
        raise ConfigError('standard output is closed; name a file with -o')
      if sys.stdout.isatty():
        raise ConfigError('standard output is a terminal; redirect it, or name a file with -o')
    if remove and (self.to_stdout or STANDARD in self.sources):
      raise ConfigError('--rm: only for files that become files')
    # Without -f nothing is overwritten, neither what was there nor what this command has just written.
    if force and len(self.sources) > 1 and (again := named_again([*self.sources, *self._targets()])):
      raise ConfigError(f'-f: {again}: it is named twice, or one file would overwrite another of these')

  def are_independent(self) -> bool:
    """Whether nothing is written twice, or written and read, or in an order."""
    targets = self._targets()
    return (
      STANDARD not in self.sources
      and len(targets) == len(self.sources)
      and named_again([*self.sources, *targets], capitals=False) is None
    )

  def _targets(self) -> list[Path]:
    """The files that sources become, but of those that have no name for one: that is told when they have their turn."""
    found = []
    for source in self.sources:
      with contextlib.suppress(ConfigError):
        target = self.target(source)
        found += [target] if target else []
    return found


def _names_nothing(output: str) -> bool:
  return not output or (output.endswith(os.sep) and not os.path.isdir(output))
