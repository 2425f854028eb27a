"""Registries: what a setting may name, in the order in which it was added."""

from typing import TypeVar

from language_modeling_is_compression.errors import ConfigError

_Entry = TypeVar('_Entry')


class Registry(dict[str, _Entry]):
  """Entries by name. kind: what they are, for messages. Plugins add to it before settings are read."""

  def __init__(self, kind: str, entries: dict[str, _Entry]):
    super().__init__(entries)
    self._kind = kind

  def add(self, name: str, entry: _Entry) -> None:
    """Adds an entry. Raises ConfigError if the name is taken, or is none that a flag could have."""
    if not name.isidentifier():
      raise ConfigError(f'{self._kind} {name!r}: expected a name of letters, digits and underscores')
    if name in self:
      raise ConfigError(f'{self._kind} {name!r}: there is one already: choose another name')
    self[name] = entry
