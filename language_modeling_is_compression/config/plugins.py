"""Plugins: modules of a user's own, imported by name before settings are read, that register what settings may name.

Only the command line names them: a settings file that came from elsewhere must not run code.
"""

import importlib
from collections.abc import Sequence

from language_modeling_is_compression.errors import ConfigError

_loaded: list[str] = []


def load_plugins(names: Sequence[str]) -> None:
  """Imports modules. Raises ConfigError for one that cannot be imported, and says why."""
  for name in names:
    if not all(part.isidentifier() for part in name.split('.')):
      raise ConfigError(f'--plugin: expected the name of a module, such as my_package.my_module, got {name!r}')
    try:
      importlib.import_module(name)
    except ConfigError as error:
      raise ConfigError(f'--plugin {name}: {error}') from error
    except ModuleNotFoundError as error:
      if error.name is not None and name.split('.')[: len(error.name.split('.'))] == error.name.split('.'):
        raise ConfigError(
          f'--plugin {name}: there is no such module: put the folder that it is in on PYTHONPATH'
        ) from error
      raise ConfigError(f'--plugin {name}: {error}') from error
    except Exception as error:  # The module is the user's, and may raise anything.
      raise ConfigError(f'--plugin {name}: {type(error).__name__}: {error}') from error
    if name not in _loaded:
      _loaded.append(name)


def loaded_plugins() -> list[str]:
  """Names of the plugins that were loaded."""
  return list(_loaded)
