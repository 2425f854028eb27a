"""Settings files: TOML, YAML or JSON, read as values by section and key, with the lines that they stand in."""

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.extras import require_module
from language_modeling_is_compression.system.text import printable

_MAX_BYTES = 1 << 20
_MAX_DEPTH = 4  # Of YAML, whose nesting would be ours to unwind: file, section, list, and one to tell of in an error.
_Lines = dict[tuple[str, ...], int]


class Entry(NamedTuple):
  """What a file says of a key. line: counted from 1; None if it could not be found."""

  value: Any
  line: int | None


class PlainText(str):
  """Text without quotes in YAML. Only what reads it knows whether `no` is a text or a switch."""

  __slots__ = ()


class _FileError(Exception):
  def __init__(self, text: str, line: int | None = None):
    super().__init__(text)
    self.line = line


def place_in(path: Path, line: int | None) -> str:
  """Beginning of a message about a line of a file."""
  return f'{path}:{line}' if line else f'{path}'


def read_settings_file(path: Path) -> dict[tuple[str, str], Entry]:
  """Entries of a file by (section, key): '' is the section of keys at the top, and the key of a section as such.

  The name's ending says the format: .yaml, .yml, .json, or else TOML. Raises ConfigError if the file cannot be read,
  and DependencyError where YAML is not installed.
  """
  try:
    with open(path, 'rb') as file:
      content = file.read(_MAX_BYTES + 1)
  except OSError as error:
    raise ConfigError(f'{path}: cannot be read: {error.strerror}') from error
  if len(content) > _MAX_BYTES:
    raise ConfigError(f'{path}: expected a file of settings, got more than {_MAX_BYTES} bytes')
  name, parse = _FORMATS.get(path.suffix.lower(), _TOML)
  try:
    tree, lines = parse(content.decode('utf-8'))
    json.dumps(tree, ensure_ascii=False, default=str).encode()  # Raises ValueError for half a character, \ud800.
  except (ValueError, OverflowError, RecursionError) as error:  # Also endless digits, deep nesting, \U99999999.
    raise ConfigError(f'{path}: not a {name} file: {error}') from error
  except _FileError as problem:
    raise ConfigError(f'{place_in(path, problem.line)}: {problem}') from problem.__cause__
  if not isinstance(tree, dict):
    raise ConfigError(f'{path}: expected sections and keys, got {tree!r:.60}')
  entries: dict[tuple[str, str], Entry] = {}
  for name, value in tree.items():
    if not name or (isinstance(value, dict) and '' in value):
      line = lines.get((name, '') if name else (name,))
      raise ConfigError(f'{place_in(path, line)}: expected a name, got an empty one')
    if isinstance(value, dict):
      entries[name, ''] = Entry(None, lines.get((name,)))
      entries |= {(name, key): Entry(inner, lines.get((name, key))) for key, inner in value.items()}
    else:
      entries['', name] = Entry(value, lines.get((name,)))
  return entries


def _parse_toml(text: str) -> tuple[Any, _Lines]:
  return tomllib.loads(text), _toml_lines(text)


_TOML_TOKEN = re.compile(
  r"""
  (?P<text> \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
  | (?P<comment> \#[^\n]*)
  | (?P<bare> [A-Za-z0-9_-]+)
  | (?P<mark> [][{}=,.\n])
  """,
  re.VERBOSE | re.DOTALL,
)


def _toml_lines(text: str) -> _Lines:
  """Lines of tables and keys, by path. The text is known to be sound TOML, so it is enough to tell keys from values."""
  lines: _Lines = {}
  table: tuple[str, ...] = ()
  inline: tuple[str, ...] | None = None  # Path of the inline table that the scan is in.
  path: tuple[str, ...] = ()
  parts: list[str] = []  # Of the key, or of the table's name.
  is_key, is_header, is_fresh = True, False, False
  depth = 0  # Of brackets in a value.
  for line, kind, token in _tokens(_TOML_TOKEN, text + '\n'):
    if kind == 'comment':
      continue
    if is_key:
      if kind == 'bare':
        parts.append(token)
      elif kind == 'text':
        parts.append(tomllib.loads(f'key = {token}')['key'])
      elif token == '[':
        is_header = True
      elif token == '=':
        path = (*(inline or table), *parts)
        _note(lines, path, line)
        parts, is_key, is_fresh = [], False, True
      elif token == '}':
        inline, is_key = None, False
      elif token == '\n' and is_header:
        table = tuple(parts)
        _note(lines, table, line)
        parts, is_header = [], False
      continue
    if token in ('[', '{'):
      if token == '{' and is_fresh and inline is None:
        inline, is_key = path, True
      else:
        depth += 1
    elif token in (']', '}'):
      if depth:
        depth -= 1
      else:
        inline = None
    elif depth == 0 and token == (',' if inline else '\n'):
      is_key = True
    is_fresh = False
  return lines


def _note(lines: _Lines, path: tuple[str, ...], line: int) -> None:
  """Notes the first line of a path, and of what it lies in."""
  for length in range(1, len(path) + 1):
    lines.setdefault(path[:length], line)


def _tokens(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, str | None, str]]:
  """Line, kind and text of each token."""
  line, end = 1, 0
  for match in pattern.finditer(text):
    line += text.count('\n', end, match.start())
    end = match.start()
    yield line, match.lastgroup, match[0]


def _parse_json(text: str) -> tuple[Any, _Lines]:
  return json.loads(text, object_pairs_hook=_without_twins), _json_lines(text)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  values: dict[str, Any] = {}
  for key, value in pairs:
    if key in values:
      raise _FileError(f'{printable(key)}: given twice')
    values[key] = value
  return values


_JSON_TOKEN = re.compile(r'(?P<text>"(?:\\.|[^"\\])*")|(?P<mark>[][{}:])')


def _json_lines(text: str) -> _Lines:
  lines: _Lines = {}
  keys: list[str] = []  # The key of each object that the scan is in; '' for lists.
  last = ''
  for line, kind, token in _tokens(_JSON_TOKEN, text):
    if kind == 'text':
      last = token
    elif token in ('{', '['):
      keys.append('')
    elif token in ('}', ']'):
      keys.pop()
    else:
      keys[-1] = json.loads(last)
      if len(keys) <= 2:
        lines.setdefault(tuple(keys), line)
  return lines


def _parse_yaml(text: str) -> tuple[Any, _Lines]:
  require_module('yaml')
  import yaml

  # Events, one by one, and no tree: nothing is made of aliases or deep nesting before it is refused.
  lines: _Lines = {}
  try:
    events = yaml.parse(text, Loader=yaml.SafeLoader)
    next(events)  # The stream begins.
    event = next(events)
    if isinstance(event, yaml.StreamEndEvent):
      return {}, lines
    tree = _yaml_value(next(events), events, (), lines)
    next(events)  # The document ends.
    event = next(events)
    if not isinstance(event, yaml.StreamEndEvent):
      raise _FileError('expected one YAML document, got another one', event.start_mark.line + 1)
  except yaml.MarkedYAMLError as error:
    line = error.problem_mark.line + 1 if error.problem_mark else None
    raise _FileError(f'not a YAML file: {error.problem}', line) from error
  except yaml.YAMLError as error:
    raise _FileError(f'not a YAML file: {" ".join(str(error).split())}') from error
  return {} if tree is None else tree, lines


def _yaml_value(event: Any, events: Iterator[Any], path: tuple[str, ...], lines: _Lines) -> Any:
  import yaml

  line = event.start_mark.line + 1
  if getattr(event, 'anchor', None) is not None:
    raise _FileError('anchors and aliases are not read; write the value itself', line)
  if event.tag is not None:
    raise _FileError(f'tags are not read, got {printable(event.tag)}', line)
  if isinstance(event, yaml.ScalarEvent):
    return _plain_value(event.value) if event.style is None else event.value
  if len(path) >= _MAX_DEPTH:
    raise _FileError('nested too deeply', line)
  if isinstance(event, yaml.SequenceStartEvent):
    values: list[Any] = []
    while not isinstance(event := next(events), yaml.SequenceEndEvent):
      values.append(_yaml_value(event, events, (*path, ''), lines))
    return values
  pairs: dict[str, Any] = {}
  while not isinstance(event := next(events), yaml.MappingEndEvent):
    line = event.start_mark.line + 1
    if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
      raise _FileError('expected a name before the colon', line)
    if event.value in pairs:
      raise _FileError(f'{printable(event.value)}: given twice', line)
    lines.setdefault((*path, event.value), line)
    pairs[event.value] = _yaml_value(next(events), events, (*path, event.value), lines)
  return pairs


# YAML 1.2 without octal and hexadecimal numbers: 1e-4 is a number; no, 010, 1:30 and 1_000 are texts.
_INTEGER = re.compile(r'[-+]?(0|[1-9][0-9]*)')
_FLOAT = re.compile(r'[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?')
_CONSTANTS: Mapping[str, Any] = {
  **dict.fromkeys(('', '~', 'null', 'Null', 'NULL')),
  **dict.fromkeys(('true', 'True', 'TRUE'), True),
  **dict.fromkeys(('false', 'False', 'FALSE'), False),
  '.inf': math.inf,
  '-.inf': -math.inf,
  '.nan': math.nan,
}


def _plain_value(text: str) -> Any:
  """Value of a scalar without quotes. Raises ValueError for an integer of thousands of digits."""
  if text in _CONSTANTS:
    return _CONSTANTS[text]
  if _INTEGER.fullmatch(text):
    return int(text)
  if _FLOAT.fullmatch(text) and not re.fullmatch(r'[-+]?0[0-9]+', text):
    return float(text)
  return PlainText(text)


_Format = tuple[str, Callable[[str], tuple[Any, _Lines]]]
_TOML: _Format = ('TOML', _parse_toml)
_FORMATS: Mapping[str, _Format] = {
  '.yaml': ('YAML', _parse_yaml),
  '.yml': ('YAML', _parse_yaml),
  '.json': ('JSON', _parse_json),
}
