"""Settings as the text of a TOML file, which `--config` reads back as the same settings."""

import dataclasses
import json
import textwrap
from collections.abc import Sequence
from typing import Any

from language_modeling_is_compression.config.settings import Settings

_WIDTH = 100


def toml_text(configs: Sequence[Settings], *, family: str) -> str:
  """Sections of all settings that apply to a family of models, each below its help; what is None is a comment."""
  sections: dict[str, list[str]] = {}
  for config in configs:
    lines = sections.setdefault(config.section, [])
    for field in dataclasses.fields(config):
      if field.metadata['model'] in (None, family):
        lines += textwrap.wrap(field.metadata['help'], _WIDTH, initial_indent='# ', subsequent_indent='# ')
        lines.append(_line(field.name, getattr(config, field.name)))
  return '\n'.join(line for section, lines in sections.items() for line in (f'[{section}]', *lines, ''))


def _line(name: str, value: Any) -> str:
  if value is None:
    return f'# {name} ='
  text = f'[{", ".join(map(_text_of, value))}]' if isinstance(value, tuple) else _text_of(value)
  try:
    text.encode()
  except UnicodeEncodeError:  # A name of a file in another encoding, which TOML cannot hold.
    return f'# {name} is no Unicode text: give it by --{name}'
  return f'{name} = {text}'


def _text_of(value: Any) -> str:
  """A single value: JSON writes it as TOML reads it, but for one control character."""
  return json.dumps(value, ensure_ascii=False).replace('\x7f', r'\u007f')
