"""Registries, and modules that add to them."""

import sys

import pytest

from language_modeling_is_compression.config import plugins
from language_modeling_is_compression.config.plugins import load_plugins, loaded_plugins
from language_modeling_is_compression.config.registry import Registry
from language_modeling_is_compression.errors import ConfigError


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A folder of modules that Python finds, and that are forgotten after the test."""
  monkeypatch.syspath_prepend(str(tmp_path))
  monkeypatch.setattr(plugins, '_loaded', [])
  before = set(sys.modules)
  yield tmp_path
  for name in set(sys.modules) - before:
    del sys.modules[name]


def test_a_registry_keeps_what_is_added_in_order():
  registry = Registry('colour', {'red': 1})
  registry.add('blue', 2)
  assert list(registry.items()) == [('red', 1), ('blue', 2)]
  with pytest.raises(ConfigError, match=r"^colour 'red': there is one already"):
    registry.add('red', 3)
  with pytest.raises(ConfigError, match=r"^colour 'a,b': expected a name of letters, digits and underscores$"):
    registry.add('a,b', 3)
  assert registry == {'red': 1, 'blue': 2}


def test_plugins_are_imported_once_and_remembered(folder):
  (folder / 'first.py').write_text('import second\nsecond.count += 1\n')
  (folder / 'second.py').write_text('count = 0\n')
  load_plugins(['first', 'second', 'first'])
  assert loaded_plugins() == ['first', 'second'] and sys.modules['second'].count == 1


@pytest.mark.parametrize(
  ('name', 'source', 'message'),
  [
    ('nowhere', None, '--plugin nowhere: there is no such module: put the folder that it is in on PYTHONPATH'),
    ('no.where', None, '--plugin no.where: there is no such module: put the folder that it is in on PYTHONPATH'),
    ('needs', 'import nothing_of_the_kind', "--plugin needs: No module named 'nothing_of_the_kind'"),
    ('fails', 'raise RuntimeError("reason")', '--plugin fails: RuntimeError: reason'),
    ('wrong', 'x = (', "--plugin wrong: SyntaxError: '(' was never closed (wrong.py, line 1)"),
    ('../a', None, "--plugin: expected the name of a module, such as my_package.my_module, got '../a'"),
    ('a.py/', None, "--plugin: expected the name of a module, such as my_package.my_module, got 'a.py/'"),
    ('', None, "--plugin: expected the name of a module, such as my_package.my_module, got ''"),
    (
      'taken',
      'from language_modeling_is_compression.training.plugins import *\nregister_optimizer("adam", None)',
      "--plugin taken: optimizer 'adam': there is one already: choose another name",
    ),
  ],
)
def test_plugins_that_cannot_be_loaded(folder, name, source, message):
  if source:
    (folder / f'{name}.py').write_text(source)
  with pytest.raises(ConfigError) as caught:
    load_plugins([name])
  assert str(caught.value) == message and loaded_plugins() == []
