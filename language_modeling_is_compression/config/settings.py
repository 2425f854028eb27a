"""Machinery of settings: fields with help and checks, command-line flags, keys of files, and what files store.

A configuration is a frozen dataclass whose fields are made by `setting`. Command-line flags, `--help`, keys of settings
files and what a model file stores are all derived from these fields, and building a configuration checks it.
"""

import argparse
import dataclasses
import difflib
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from language_modeling_is_compression.config.files import PlainText, place_in, read_settings_file
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.text import printable


def setting(
  default: Any = dataclasses.MISSING,
  *,
  help: str,
  choices: Collection[str] = (),
  check: Callable[[str, Any], object] | None = None,
  model: str | None = None,
  fixed: bool = False,
  named_by_file: bool = False,
) -> Any:
  """A configuration field: its default (none: required), its line in `--help`, and what its values must satisfy.

  choices: a registry, or a fixed few. check: its docstring begins with the range, for the table of all settings. model:
  the only family of models for which it means something. fixed: whether a run that is resumed must have the same value,
  since what it did before would be of another run otherwise. named_by_file: its default is the base name of the
  settings file, where there is one.
  """
  metadata = {
    'help': help,
    'choices': choices,
    'check': check,
    'model': model,
    'fixed': fixed,
    'named_by_file': named_by_file,
  }
  return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
  """Base of the configurations: types, choices and checks of single fields. Raises ConfigError.

  section: of configuration files, in which the fields are keys. Several configurations may share one.
  """

  section: typing.ClassVar[str] = ''

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      _check_type(field, value)
      choices = field.metadata['choices']
      if choices and value is not None and value not in choices:
        raise ConfigError(f'{field.name}: expected one of {", ".join(choices)}, got {value!r}')
      check = field.metadata['check']
      if check and value is not None:
        check(field.name, value)


AnySettings = typing.TypeVar('AnySettings', bound=Settings)
AnyGroup = typing.TypeVar('AnyGroup')  # A configuration, or a dataclass of several.


def add_flags(parser: argparse.ArgumentParser, settings: type) -> None:
  """Adds `--config` and one flag per setting. A flag that is not given leaves no attribute behind."""
  parser.add_argument(
    '--config', metavar='FILE.toml', help='read settings from a TOML, YAML or JSON file; flags override it'
  )
  for kind in kinds_of(settings).values():
    group = parser.add_argument_group((kind.__doc__ or '').partition('\n')[0].rstrip('.'))
    for field in dataclasses.fields(kind):
      options: dict[str, Any] = {'default': argparse.SUPPRESS, 'help': _help(field)}
      if field.type is bool:
        options |= {'nargs': '?', 'const': True, 'type': _boolean, 'metavar': 'true|false'}
      elif _is_list(field):
        options['action'] = 'append'
      else:
        options['type'] = _scalar_type(field)
        options['metavar'] = '{' + ','.join(field.metadata['choices']) + '}' if field.metadata['choices'] else None
      group.add_argument(f'--{field.name}', **options)


_SWITCH_WORDS = {
  'true': True,
  '1': True,
  'yes': True,
  'on': True,
  'false': False,
  '0': False,
  'no': False,
  'off': False,
}


def _boolean(text: str) -> bool:
  """Parses the value of a switch, which sweeps give, and users who override a file."""
  if text.lower() not in _SWITCH_WORDS:
    raise argparse.ArgumentTypeError(f'expected true or false, got {text!r}')
  return _SWITCH_WORDS[text.lower()]


def kinds_of(settings: type) -> dict[str, type[Settings]]:
  """Kinds of configuration that a dataclass of them has, by field; a configuration itself is its only kind."""
  if issubclass(settings, Settings):
    return {'': settings}
  return dict(typing.get_type_hints(settings))


def configs_of(settings: Any) -> list[Settings]:
  """Configurations that a dataclass of them has, in the order of its fields."""
  return [getattr(settings, name) for name in kinds_of(type(settings))]


def read_settings(flags: Mapping[str, Any], settings: type[AnyGroup]) -> AnyGroup:
  """Builds configurations: defaults, under the file named by flags['config'], under the flags.

  settings: a configuration, or a dataclass of several.

  Raises ConfigError for an unknown key (naming the nearest one) or one in the wrong section, a missing one, a wrong
  type, a failed check, or a setting that means nothing for the family of models chosen. What comes from the file is
  named with file, line and section.
  """
  kinds = kinds_of(settings)
  names = {field.name for kind in kinds.values() for field in dataclasses.fields(kind)}
  values = {name: value for name, value in flags.items() if name in names}
  places: dict[str, str] = {}
  if flags.get('config') is not None:
    for name, value, place in _from_file(Path(flags['config']), list(kinds.values())):
      if name not in values:
        values[name], places[name] = value, place
  built: dict[str, Any] = {}
  with _placed(places):
    _refuse_idle(values, list(kinds.values()))
    for section, kind in kinds.items():
      fields = dataclasses.fields(kind)
      missing = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in values]
      if missing:
        raise ConfigError(f'--{missing[0]} is required')
      given = {field.name: values[field.name] for field in fields if field.name in values}
      built[section] = kind(**{**given, **_lists(fields, given)})
  return built[''] if '' in built else settings(**built)


@contextmanager
def _placed(places: Mapping[str, str]) -> Iterator[None]:
  """Errors that begin with the name of a setting say where it stands. places: of settings that come from a file."""
  try:
    yield
  except ConfigError as error:
    name, _, problem = str(error).partition(': ')
    if name not in places:
      raise
    raise ConfigError(f'{places[name]}: {problem}') from error


def _from_file(path: Path, kinds: Sequence[type[Settings]]) -> Iterator[tuple[str, Any, str]]:
  """Name, value and place of each setting in a file, and of those that it names. Raises ConfigError."""
  fields = {field.name: field for kind in kinds for field in dataclasses.fields(kind)}
  homes = {field.name: kind.section for kind in kinds for field in dataclasses.fields(kind)}
  sections = [section for section in dict.fromkeys(homes.values()) if section]
  found: dict[str, str] = {}
  for (section, key), (value, line) in read_settings_file(path).items():
    at = place_in(path, line)
    if section and section not in sections:
      known = f'; it is a setting, of [{homes[section]}]' if section in homes else _nearest(section, sections, '[{}]')
      raise ConfigError(f'{at}: [{printable(section)}]: unknown section{known}')
    if not key or (not section and key in sections and value is None):
      continue  # The section itself, which YAML has no value for where it is empty.
    place = f'{at}: [{section}] {printable(key)}' if section else f'{at}: {printable(key)}'
    if key in sections and key not in homes:
      raise ConfigError(f'{place}: expected a section of settings, got {value!r}')
    if key not in homes:
      raise ConfigError(f'{place}: unknown setting{_nearest(key, homes, "{}")}')
    if section and homes[key] != section:
      raise ConfigError(f'{place}: belongs in [{homes[key]}]')
    if key in found:
      raise ConfigError(f'{place}: given twice, first in {found[key]}')
    found[key] = place
    yield key, _read_value(fields[key], value), place
  for name, field in fields.items():
    # What a pipe is called, /dev/fd/63, is no name that a user chose.
    if field.metadata['named_by_file'] and name not in found and path.is_file():
      yield name, path.stem, f'{path}: {name}'


def _nearest(name: str, names: Iterable[str], shape: str) -> str:
  nearest = difflib.get_close_matches(name, list(names), n=1)
  return f'; did you mean {shape.format(nearest[0])}?' if nearest else ''


def _read_value(field: dataclasses.Field[Any], value: Any) -> Any:
  """A file's value, with words of YAML without quotes as what the setting takes them to be."""
  if isinstance(value, PlainText):
    return _SWITCH_WORDS.get(value.lower(), str(value)) if field.type is bool else str(value)
  if isinstance(value, list):
    return [str(item) if isinstance(item, PlainText) else item for item in value]
  return value


def _refuse_idle(values: Mapping[str, Any], kinds: Sequence[type[Settings]]) -> None:
  """Raises ConfigError for a setting that was given and that means nothing for the family of models chosen."""
  fields = {field.name: field for kind in kinds for field in dataclasses.fields(kind)}
  if 'model' not in fields:
    return
  chosen = values.get('model', fields['model'].default)
  for name in values:
    family = fields[name].metadata['model']
    if family not in (None, chosen) and chosen in fields['model'].metadata['choices']:
      raise ConfigError(f'{name}: means something only with --model {family}, got {chosen}; leave it out')


def _lists(fields: Sequence[dataclasses.Field[Any]], given: Mapping[str, Any]) -> dict[str, Any]:
  """Values of list fields as tuples; a single text stands for a list of one."""
  lists = {field.name: given[field.name] for field in fields if _is_list(field) and field.name in given}
  return {
    name: tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value
    for name, value in lists.items()
  }


def to_mapping(config: Settings, names: Mapping[str, str]) -> dict[str, Any]:
  """Stored form of a configuration. names: of its fields, by the names that the file's format has for them.

  A field that the format has no name for must be as it is by default: a reader would take it to be.
  """
  for field in dataclasses.fields(config):
    assert field.name in names.values() or getattr(config, field.name) == field.default, f'{field.name} would be lost'
  return {stored: getattr(config, name) for stored, name in names.items()}


def from_mapping(kind: type[AnySettings], values: Any, names: Mapping[str, str]) -> AnySettings:
  """A configuration from what `to_mapping` stores: every name, no other, each value of its type. Raises ConfigError."""
  if not isinstance(values, Mapping) or set(values) != set(names):
    got = sorted(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
    raise ConfigError(f'{kind.__name__}: expected the keys {sorted(names)}, got {got}')
  return kind(**{names[stored]: value for stored, value in values.items()})


def _is_list(field: dataclasses.Field[Any]) -> bool:
  return typing.get_origin(field.type) is tuple


def _scalar_type(field: dataclasses.Field[Any]) -> Any:
  """The type of a field's values, None set aside."""
  kinds: Sequence[Any] = typing.get_args(field.type) or (field.type,)
  return next(kind for kind in kinds if kind is not type(None))


def type_name(field: dataclasses.Field[Any]) -> str:
  """What a user calls the type of a field's values."""
  if _is_list(field):
    return 'list of texts'
  return {str: 'text', bool: 'true or false', int: 'integer', float: 'number'}[_scalar_type(field)]


def _check_type(field: dataclasses.Field[Any], value: Any) -> None:
  if _is_list(field):
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
      raise ConfigError(f'{field.name}: expected a list of texts, got {value!r}')
    return
  expected = _scalar_type(field)
  if value is None and field.default is None:
    return
  # bool is an int to Python, and an int is as good as a float to a user.
  accepted = (int, float) if expected is float else (expected,)
  if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
    raise ConfigError(f'{field.name}: expected {expected.__name__}, got {value!r}')


def _help(field: dataclasses.Field[Any]) -> str:
  text = field.metadata['help']
  if field.default is dataclasses.MISSING:
    text += ' (required)'
  elif field.default is not None and field.default is not False and field.default != ():
    text += f' (default: {field.default})'
  return text.replace('%', '%%')  # argparse formats what it is given.


def fixed_names(settings: type) -> frozenset[str]:
  """Names of the settings that must not change when a run is resumed."""
  kinds = kinds_of(settings).values()
  return frozenset(field.name for kind in kinds for field in dataclasses.fields(kind) if field.metadata['fixed'])


def given_settings(configs: Sequence[Settings], *, family: str) -> dict[str, Any]:
  """Settings that `--config` needs to build the same configurations: those that apply to a family of models.

  A setting that is None is left out, as a TOML file has no word for it. Lists for tuples.
  """
  return {
    field.name: list(value) if isinstance(value, tuple) else value
    for config in configs
    for field in dataclasses.fields(config)
    if field.metadata['model'] in (None, family) and (value := getattr(config, field.name)) is not None
  }
