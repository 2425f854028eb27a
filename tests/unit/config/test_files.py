"""Settings files: sections, lines, and three formats of one shape, with what is wrong in them."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from support.settings import training_settings
from support.training_runs import REPOSITORY

from language_modeling_is_compression.config.files import read_settings_file
from language_modeling_is_compression.config.options import EvaluationConfig, TrainingSettings
from language_modeling_is_compression.config.settings import read_settings
from language_modeling_is_compression.errors import ConfigError, DependencyError


@pytest.fixture
def write(tmp_path):
  def write(name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path

  return write


def read(path: Path, **flags) -> TrainingSettings:
  return read_settings({'audio_dir': ('sound',), 'model_name': 'a', 'config': str(path), **flags}, TrainingSettings)


def problem(path: Path) -> str:
  """What is said of a file, without its path."""
  with pytest.raises(ConfigError) as caught:
    read(path)
  assert '\n' not in str(caught.value)
  assert str(caught.value).startswith(str(path))
  return str(caught.value)[len(str(path)) :]


TOML = """\
# A comment with [training] and seed = 1
seed = 7
[training]  # batch_size = 1
batch_size = 3
[ "optimizer" ]
"learning_rate" = 1
'gradient_clip_norm' = 1e-3

[data]
audio_dir = [ # [run]
  "a]", 'b\\', \"\"\"
effort = 1 \\\\\"\"\"\"\",
  '''
[model]
num_layers = 1'''''
]
channels = "stereo"
"""


def test_toml_with_all_that_could_fool_a_scan(write):
  path = write('a.toml', TOML)
  entries = read_settings_file(path)
  assert {key: entry.line for key, entry in entries.items()} == {
    ('', 'seed'): 2,
    ('training', ''): 3,
    ('training', 'batch_size'): 4,
    ('optimizer', ''): 5,
    ('optimizer', 'learning_rate'): 6,
    ('optimizer', 'gradient_clip_norm'): 7,
    ('data', ''): 9,
    ('data', 'audio_dir'): 10,
    ('data', 'channels'): 17,
  }
  assert entries['data', 'audio_dir'].value == ['a]', 'b\\', 'effort = 1 \\""', "[model]\nnum_layers = 1''"]


def test_dotted_keys_inline_tables_and_escapes_of_toml(write):
  text = 'training.seed = 1\r\n"tr\\u0061ining".batch_size = 2\n\nmodel = { num_layers = 3, "num_heads" = 4 }\n'
  text += 'optimizer = {}\nschedule = { a = [{ b = 1 }, { c = "}" }], d = { e = 1 }, f = 2 }\n[logging]\nlog_every=5'
  entries = read_settings_file(write('a.toml', text))
  assert {key: entry.line for key, entry in entries.items()} == {
    ('training', ''): 1,
    ('training', 'seed'): 1,
    ('training', 'batch_size'): 2,
    ('model', ''): 4,
    ('model', 'num_layers'): 4,
    ('model', 'num_heads'): 4,
    ('optimizer', ''): 5,
    ('schedule', ''): 6,
    ('schedule', 'a'): 6,
    ('schedule', 'd'): 6,
    ('schedule', 'f'): 6,
    ('logging', ''): 7,
    ('logging', 'log_every'): 8,
  }


SAME = {
  'a.toml': """\
[training]
seed = 7

[data]
audio_dir = ["a", "no"]
use_16bit = true
[optimizer]
learning_rate = 1e-4
[logging]
wandb_project = "on"
""",
  'a.yaml': """\
training:
  seed: 7
data:
  audio_dir:
    - a
    - no
  use_16bit: on
optimizer: {learning_rate: 1e-4}
checkpoint:
logging:
  wandb_project: on
  wandb_run_name: null
""",
  'a.yml': 'seed: 7\naudio_dir: [a, no]\nuse_16bit: Yes\nlearning_rate: .1e-3\nwandb_project: "on"\n',
  'a.JSON': json.dumps(
    {
      'training': {'seed': 7},
      'data': {'audio_dir': ['a', 'no'], 'use_16bit': True},
      'optimizer': {'learning_rate': 1e-4},
      'logging': {'wandb_project': 'on', 'wandb_run_name': None},
    },
    indent=1,
  ),
}


@pytest.mark.parametrize('name', SAME)
def test_three_formats_say_the_same(write, name):
  expected = training_settings(
    model_name='a', audio_dir=('a', 'no'), seed=7, use_16bit=True, learning_rate=1e-4, wandb_project='on'
  )
  settings = read_settings({'config': str(write(name, SAME[name]))}, TrainingSettings)
  assert settings == expected
  assert type(settings.logging.wandb_project) is str and type(settings.folders.audio_dir[1]) is str


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('\n[optimizer]\nlearning_rat = 1', ':3: [optimizer] learning_rat: unknown setting; did you mean learning_rate?'),
    ("[optimizer]\nlearning_rate = 'fast'", ":2: [optimizer] learning_rate: expected float, got 'fast'"),
    ('[optimizer]\nlearning_rate = 0', ':2: [optimizer] learning_rate: expected a positive finite number, got 0'),
    ('bach_size = 1', ':1: bach_size: unknown setting; did you mean batch_size?'),
    ('zzz = 1', ':1: zzz: unknown setting'),
    ('\n[data]\nlearning_rate = 1', ':3: [data] learning_rate: belongs in [optimizer]'),
    ('[optimiser]', ':1: [optimiser]: unknown section; did you mean [optimizer]?'),
    ('[zzz]\nseed = 1', ':1: [zzz]: unknown section'),
    ('seed = {a = 1}', ':1: [seed]: unknown section; it is a setting, of [training]'),
    ('training = 5', ':1: training: expected a section of settings, got 5'),
    ('[[training]]\nseed = 1', ":1: training: expected a section of settings, got [{'seed': 1}]"),
    ('[training.seed]\nx = 1', ":1: [training] seed: expected int, got {'x': 1}"),
    ('chunk_size = 7\n[data]\nuse_16bit = true', ':1: chunk_size: expected an even number of samples with use_16bit'),
    ('\n[data]\neffort = 1', ':3: [data] effort: means something only with --model hybrid, got bytes; leave it out'),
    ('seed = 1\n"" = 1', ':2: expected a name, got an empty one'),
    ('[training]\n"" = 1', ':2: expected a name, got an empty one'),
    ('\n[""]\nseed = 1', ':2: expected a name, got an empty one'),
    ('"a\\nb" = 1', r':1: a\nb: unknown setting'),
    ('["a\\nb"]', r':1: [a\nb]: unknown section'),
  ],
)
def test_what_is_wrong_in_toml_is_named_with_its_line(write, text, expected):
  assert problem(write('a.toml', text)).startswith(expected)


def test_a_key_both_at_the_top_and_in_its_section(write):
  path = write('a.toml', 'seed = 1\n[training]\nseed = 1')
  assert problem(path) == f':3: [training] seed: given twice, first in {path}:1: seed'


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('optimizer:\n  learning_rat: 1', ':2: [optimizer] learning_rat: unknown setting; did you mean learning_rate?'),
    ('training:\n  seed: 1\n  seed: 2', ':3: seed: given twice'),
    ('training: {}\ntraining: {}', ':2: training: given twice'),
    ('a: &x [1]\nseed: 2', ':1: anchors and aliases are not read; write the value itself'),
    ('seed: *x', ':1: anchors and aliases are not read'),
    ('seed: !!python/object/apply:os.getcwd []', ':1: tags are not read, got '),
    ('seed: "7"', ":1: seed: expected int, got '7'"),
    ('seed: 010', ":1: seed: expected int, got '010'"),
    ('seed: 1_0', ":1: seed: expected int, got '1_0'"),
    ('seed: 1:30', ":1: seed: expected int, got '1:30'"),
    ('seed: no', ":1: seed: expected int, got 'no'"),
    ('use_16bit: "no"', ":1: use_16bit: expected bool, got 'no'"),
    ('use_16bit: maybe', ":1: use_16bit: expected bool, got 'maybe'"),
    ('use_16bit: 1', ':1: use_16bit: expected bool, got 1'),
    ('learning_rate: "1e-4"', ":1: learning_rate: expected float, got '1e-4'"),
    ('learning_rate: .inf', ':1: learning_rate: expected a positive finite number, got inf'),
    ('model_name: yes\nseed: 1\n---\nseed: 2', ':3: expected one YAML document, got another one'),
    ('? [a]\n: 1', ':1: expected a name before the colon'),
    ('&a seed: 1', ':1: expected a name before the colon'),
    ('*a : 1', ':1: expected a name before the colon'),
    ('- 1', ': expected sections and keys, got [1]'),
    ('seed', ": expected sections and keys, got 'seed'"),
    ('seed: {\n', ':2: not a YAML file: '),
    ('seed: \x07', ': not a YAML file: '),
    ('seed: ' + '1' * 5000, ': not a YAML file: '),
    ('seed: ' + '[' * 100_000, ':1: nested too deeply'),
    ('seed: ' + '{a: ' * 100_000, ':1: nested too deeply'),
    ('- ' * 100_000, ':1: nested too deeply'),
    ('<<: {seed: 1}', ':1: [<<]: unknown section'),
  ],
)
def test_what_is_wrong_in_yaml(write, text, expected):
  assert problem(write('a.yaml', text)).startswith(expected)


@pytest.mark.parametrize('text', ['', '# nothing', '---', '{}', 'training:\n', 'model:\n'])
def test_yaml_without_a_setting(write, text):
  assert read(write('a.yaml', text)) == training_settings(model_name='a')


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    (
      '{"model": {"num_layers": 1},\n"optimizer":\n{"learning_rat": 1}}',
      ':3: [optimizer] learning_rat: unknown setting; did you mean learning_rate?',
    ),
    (
      '{"run": {"output_dir": "]}:{"},\n"training": {\n"seed"\n: -1}}',
      ':4: [training] seed: expected 0 or more, got -1',
    ),
    ('{"audio_weights": [{"seed": 1}],\n "s\\u0065ed": "x"}', ':1: audio_weights: '),
    ('{\n\n"s\\u0065ed": "x"}', ":3: seed: expected int, got 'x'"),
    ('{"seed": 1, "seed": 2}', ': seed: given twice'),
    ('{"training": {"seed": 1, "seed": 2}}', ': seed: given twice'),
    ('{"learning_rate": NaN}', ':1: learning_rate: expected a positive finite number, got nan'),
    ('[1]', ': expected sections and keys, got [1]'),
    ('{"seed": 1,}', ': not a JSON file: '),
    ('', ': not a JSON file: '),
    ('[' * 100_000, ': not a JSON file: '),
    ('{"seed": ' + '1' * 5000 + '}', ': not a JSON file: '),
  ],
)
def test_what_is_wrong_in_json(write, text, expected):
  assert problem(write('a.json', text)).startswith(expected)


def test_a_file_without_end_is_not_read_to_its_end():
  with pytest.raises(ConfigError, match=r'^/dev/zero: expected a file of settings, got more than \d+ bytes$'):
    read(Path('/dev/zero'))


def test_without_the_module_that_reads_yaml_the_other_formats_are_read(write, monkeypatch):
  find = importlib.util.find_spec
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == 'yaml' else find(name))
  with pytest.raises(DependencyError, match=r'^yaml is not installed: pip install ".*\[train\]"$'):
    read(write('a.yaml', 'seed: 1'))
  assert (
    read(write('a.json', '{"seed": 1}'))
    == read(write('a.toml', 'seed = 1'))
    == training_settings(model_name='a', seed=1)
  )


def test_flags_go_over_sections(write):
  path = write('a.toml', '[training]\nseed = 1\nbatch_size = 3')
  assert read(path, seed=5) == training_settings(model_name='a', seed=5, batch_size=3)


def test_the_file_names_the_run(write):
  path = write('speech.v2.toml', 'audio_dir = "a"')
  flags = {'config': str(path)}
  assert read_settings(flags, TrainingSettings).run.model_name == 'speech.v2'
  assert read_settings({**flags, 'model_name': 'flag'}, TrainingSettings).run.model_name == 'flag'
  path.write_text('audio_dir = "a"\n[run]\nmodel_name = "file"')
  assert read_settings(flags, TrainingSettings).run.model_name == 'file'
  assert read_settings({'config': '/dev/null', 'audio_dir': ('a',)}, TrainingSettings).run.model_name == 'audio_model'


def test_a_name_that_cannot_be_a_run_is_the_file_s_fault(write):
  path = write('a\\b.toml', 'audio_dir = "a"')
  with pytest.raises(ConfigError, match=f'^{re.escape(str(path))}: model_name: expected a plain file name'):
    read_settings({'config': str(path)}, TrainingSettings)


def test_an_evaluation_takes_such_files_too(write):
  path = write('a.toml', 'audio_dir = "a"\n[evaluation]\nlanes = 4')
  assert read_settings({'config': str(path)}, EvaluationConfig) == EvaluationConfig(audio_dir='a', lanes=4)
  path.write_text('[training]\nseed = 1')
  with pytest.raises(ConfigError, match=r':1: \[training\]: unknown section$'):
    read_settings({'config': str(path)}, EvaluationConfig)


@pytest.mark.parametrize('path', sorted((REPOSITORY / 'configs').iterdir()), ids=lambda path: path.name)
def test_the_files_of_the_repository_are_named_as_their_models(path):
  settings = read_settings({'audio_dir': ('corpus',), 'config': str(path)}, TrainingSettings)
  assert settings.run.model_name == path.stem
  assert {section for section, _ in read_settings_file(path)} >= {'model', 'data', 'training', 'optimizer'}
