"""Optional dependencies: which modules each extra of the package brings, and what to install where one is missing."""

import importlib.util
from collections.abc import Mapping

from language_modeling_is_compression.errors import DependencyError

DISTRIBUTION = 'language-modeling-is-compression'
# Modules by extra, as pyproject.toml names their distributions.
EXTRAS: Mapping[str, tuple[str, ...]] = {
  'train': ('jax', 'haiku', 'optax', 'soundfile', 'wandb', 'yaml'),
  'evaluate': ('matplotlib', 'soundfile', 'zstandard'),
}


def require_extra(extra: str) -> None:
  """Raises DependencyError, which says what to install, unless all modules of an extra can be imported."""
  for module in EXTRAS[extra]:
    require_module(module)


def require_module(module: str, what: str = '') -> None:
  """Raises DependencyError, which says what to install, unless a module can be imported.

  what: asks for a module that no extra brings; the module's name is then that of its distribution.
  """
  if importlib.util.find_spec(module) is None:
    extra = next((extra for extra, modules in EXTRAS.items() if module in modules), None)
    needed = f', and {what} needs it' if what else ''
    raise DependencyError(
      f'{module} is not installed{needed}: pip install ' + (f'"{DISTRIBUTION}[{extra}]"' if extra else module)
    )
