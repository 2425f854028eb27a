"""Tables of all settings, made from their fields: python -m ….cli.settings_table > docs/SETTINGS.md (`make manual`)."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from language_modeling_is_compression.config.options import EvaluationConfig, TrainingSettings
from language_modeling_is_compression.config.settings import kinds_of, type_name

_COMMANDS: dict[str, type] = {'train_audio.py': TrainingSettings, 'evaluate_audio.py': EvaluationConfig}
_INTRODUCTION = """\
# Settings

Written by `make manual` from `config/options.py`; do not edit.

Every setting is a flag (`--batch_size 64`) and a key of the file that `--config` names, in the section given here or at
the top of the file. Flags override the file. The file is TOML, or YAML (`.yaml`, `.yml`) or JSON (`.json`) of the same
shape. `train_audio.py --print_config` prints all settings of a run as such a file."""


def settings_table() -> str:
  """The document, Markdown."""
  lines = [_INTRODUCTION]
  for command, settings in _COMMANDS.items():
    lines += ['', f'## {command}']
    section = None
    for kind in sorted(kinds_of(settings).values(), key=_order(settings)):
      if kind.section != section:
        section = kind.section
        lines += ['', f'### [{section}]', '', '| key | type | default | range | meaning |', '|---|---|---|---|---|']
      lines += [f'| {" | ".join(map(_cell, _row(field)))} |' for field in dataclasses.fields(kind)]
  return '\n'.join([*lines, ''])


def _order(settings: type) -> Any:
  """Key that brings configurations of one section together, in the order of their first."""
  sections = [kind.section for kind in kinds_of(settings).values()]
  return lambda kind: sections.index(kind.section)


def _row(field: dataclasses.Field[Any]) -> Iterator[str]:
  yield f'`{field.name}`'
  yield type_name(field)
  yield _default(field)
  choices, check = field.metadata['choices'], field.metadata['check']
  if choices:
    yield ', '.join(f'`{choice}`' for choice in choices)
  else:
    yield (check.__doc__ or '').partition('.')[0] if check else ''
  family = field.metadata['model']
  yield field.metadata['help'] + (f' ({family} models only)' if family else '')


def _default(field: dataclasses.Field[Any]) -> str:
  if field.default is dataclasses.MISSING:
    return 'required'
  if field.default in (None, ()):
    return ''
  return f'`{str(field.default).lower() if field.type is bool else field.default}`'


def _cell(text: str) -> str:
  return text.replace('|', r'\|')


if __name__ == '__main__':
  print(settings_table(), end='')
