"""Settings that are written as TOML are the same when they are read again."""

import dataclasses
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.settings import training_settings

from language_modeling_is_compression.config.files import read_settings_file
from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.config.settings import kinds_of, read_settings
from language_modeling_is_compression.config.toml_text import toml_text

TEXTS = st.text(st.characters(exclude_categories=['Cs']) | st.sampled_from('"\'\\\n\r\t\0\x7f#=[]'), max_size=20)
NAMES = TEXTS.filter(lambda name: name and '\0' not in name)  # Of files: none has a NUL in its name.
NUMBERS = st.floats(1e-30, 1e30) | st.sampled_from([5e-324, 1e-4, 1.0, 3.4e38]) | st.integers(1, 2**100)
COUNTS = st.integers(1, 2**31 - 1)
OF_ALL_MODELS = {
  'output_dir': NAMES,
  'model_name': NAMES.filter(lambda name: name not in ('.', '..') and not set(name) & set('/\\\0\n\r')),
  'audio_dir': st.lists(NAMES, min_size=1, max_size=3).map(tuple),
  'valid_fraction': st.floats(1e-9, 0.999),
  'audio_weights': st.none() | st.sampled_from(['equal', '1,2.5']),
  'training_steps': COUNTS,
  'micro_batch_size': st.none() | COUNTS,
  'seed': st.integers(0, 2**70),
  'learning_rate': NUMBERS,
  'gradient_clip_norm': st.none() | NUMBERS,
  'save_minutes': NUMBERS,
  'wandb_project': st.none() | TEXTS,
  'wandb_run_name': st.none() | TEXTS,
  'no_progress': st.booleans(),
}
OF_A_MODEL: dict[str, dict[str, st.SearchStrategy]] = {
  'bytes': {'channels': st.sampled_from(['mono', 'stereo']), 'use_16bit': st.booleans(), 'num_chunks': COUNTS},
  'hybrid': {
    'cache_dir': st.none() | NAMES,
    'effort': st.just(2),
  },
}


def written(configured: TrainingSettings) -> str:
  configs = [getattr(configured, name) for name in kinds_of(TrainingSettings)]
  return toml_text(configs, family=configured.family.model)


@pytest.mark.parametrize('family', OF_A_MODEL)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_what_is_written_is_read_as_the_same_settings(tmp_path, family, data):
  values = data.draw(st.fixed_dictionaries({}, optional={**OF_ALL_MODELS, **OF_A_MODEL[family]}))
  configured = training_settings(model=family, **values)
  text = written(configured)
  (tmp_path / 'other.toml').write_bytes(text.encode())
  again = read_settings({'config': str(tmp_path / 'other.toml')}, TrainingSettings)
  assert again == configured
  assert written(again) == text
  lines = text.split('\n')
  for (section, key), entry in read_settings_file(tmp_path / 'other.toml').items():
    assert entry.line and lines[entry.line - 1].startswith(f'{key} =' if key else f'[{section}]')


@pytest.mark.parametrize('family', OF_A_MODEL)
def test_every_setting_that_applies_stands_in_its_section_below_its_help(family):
  text = written(training_settings(model=family, wandb_project='p'))
  tables = tomllib.loads(text)
  assert list(tables) == [
    'run',
    'data',
    'model',
    'training',
    'optimizer',
    'schedule',
    'learning_rate_finder',
    'early_stopping',
    'generation',
    'checkpoint',
    'logging',
  ]
  lines = [line.removeprefix('# ') for line in text.splitlines()]
  comments = ' '.join(lines)
  for kind in kinds_of(TrainingSettings).values():
    for field in dataclasses.fields(kind):
      applies = field.metadata['model'] in (None, family)
      assert applies == (f'{field.name} =' in [line[: len(field.name) + 2] for line in lines])
      assert applies == (field.metadata['help'] in comments)
      assert (field.name in tables[kind.section]) == (
        applies
        and (
          field.default is not None or field.name.endswith('ct') or (field.name, family) == ('audio_weights', 'hybrid')
        )
      )


def test_a_name_that_is_no_unicode_is_left_to_the_flag(tmp_path):
  text = written(training_settings(audio_dir=('caf\udce9',), seed=3))
  (tmp_path / 'a.toml').write_bytes(text.encode())
  assert '# audio_dir is no Unicode text: give it by --audio_dir' in text.splitlines()
  assert read_settings({'config': str(tmp_path / 'a.toml'), 'audio_dir': ('b',)}, TrainingSettings).training.seed == 3
