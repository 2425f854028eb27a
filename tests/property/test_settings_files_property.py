"""Settings files of any text are read or refused in one line."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.config.settings import read_settings
from language_modeling_is_compression.errors import ConfigError

_MARKS = [
  '[',
  ']',
  '{',
  '}',
  ':',
  '=',
  ',',
  '#',
  '-',
  '"',
  "'",
  '"""',
  "'''",
  '&',
  '*',
  '!',
  '|',
  '>',
  '?',
  '%',
  '<<',
  '---',
  '...',
]
_BREAKS = ['\n', '\n  ', '\r\n', '\t', ' ', '\x85', '\u2028']
_WORDS = ['seed', 'training', '"seed": ', '"training": {', 'seed = ', '[training]', 'seed: ', '1', '1e-4', 'no', '.inf']
_ESCAPES = ['\\', r'"\ud800"', r'"\U99999999"', '\0', 'é', '&a', '*a', '!!int ', '2020-01-01']
TEXTS = st.lists(st.sampled_from([*_MARKS, *_BREAKS, *_WORDS, *_ESCAPES]), max_size=14).map(''.join)


@pytest.mark.parametrize('ending', ['toml', 'yaml', 'json'])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example(text=r'"training": {"\ud800": 1}')
@example(text=r'{"output_dir": "\ud800"}')
@example(text=r'seed: "\U99999999"')
@given(text=TEXTS)
def test_any_text_is_read_or_refused_in_one_line(tmp_path, ending, text):
  path = tmp_path / f'a.{ending}'
  path.write_bytes(text.encode())
  try:
    read = read_settings({'audio_dir': ('a',), 'config': str(path)}, TrainingSettings)
  except ConfigError as error:
    assert str(error).startswith(str(path)) and str(error).isprintable()
  else:
    assert read.run.output_dir.encode()
