"""Extras: pyproject.toml and the table of modules agree, and what is missing is named with what to install."""

import importlib.util
import re
import tomllib

import pytest
from support.training_runs import REPOSITORY

from language_modeling_is_compression.errors import DependencyError
from language_modeling_is_compression.system.extras import DISTRIBUTION, EXTRAS, require_extra, require_module

# Distributions whose modules have other names.
_MODULES = {'dm-haiku': 'haiku', 'pyyaml': 'yaml'}
_NEEDED_BY_OTHERS = {'scipy'}  # By optax and JAX.


def test_the_table_is_that_of_the_project():
  with open(REPOSITORY / 'pyproject.toml', 'rb') as file:
    project = tomllib.load(file)['project']
  assert project['name'] == DISTRIBUTION
  for extra, modules in EXTRAS.items():
    names = {re.split(r'[<>=]', line)[0] for line in project['optional-dependencies'][extra]} - _NEEDED_BY_OTHERS
    assert {_MODULES.get(name, name) for name in names} == set(modules)
  assert {re.split(r'[<>=]', line)[0] for line in project['dependencies']} == {'numba', 'numpy', 'tqdm'}


@pytest.mark.parametrize('extra', EXTRAS)
def test_what_is_missing_is_named(extra, monkeypatch):
  require_extra(extra)
  missing, find = EXTRAS[extra][-1], importlib.util.find_spec
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == missing else find(name))
  with pytest.raises(DependencyError, match=rf'^{missing} is not installed: pip install "{DISTRIBUTION}\[{extra}\]"$'):
    require_extra(extra)


def test_a_module_of_no_extra_is_named_with_what_asks_for_it():
  require_module('json', '--loggers json')
  expected = '^no_such_module is not installed, and --loggers it needs it: pip install no_such_module$'
  with pytest.raises(DependencyError, match=expected):
    require_module('no_such_module', '--loggers it')
