"""The document of all settings."""

import dataclasses

from support.training_runs import REPOSITORY

from language_modeling_is_compression.cli.settings_table import settings_table
from language_modeling_is_compression.config.options import EvaluationConfig, TrainingSettings
from language_modeling_is_compression.config.settings import kinds_of


def test_the_document_is_that_of_the_settings():
  """After a change of settings: make manual."""
  assert (REPOSITORY / 'docs/SETTINGS.md').read_text(encoding='utf-8') == settings_table()


def test_every_setting_stands_once_in_the_table_of_its_section():
  rows: dict[str, list[str]] = {}
  heading = ''
  for line in settings_table().splitlines():
    if line.startswith('##'):
      heading = line.strip('# ')
      assert heading not in rows
    elif line.startswith('| `'):
      rows.setdefault(heading, []).append(line.split('`')[1])
      assert line.replace(r'\|', '').count('|') == 6
  expected: dict[str, list[str]] = {}
  for kind in (*kinds_of(TrainingSettings).values(), *kinds_of(EvaluationConfig).values()):
    expected.setdefault(f'[{kind.section}]', []).extend(field.name for field in dataclasses.fields(kind))
  assert rows == expected
