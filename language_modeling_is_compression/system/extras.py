"""Optional dependencies: which modules each extra of the package brings, and what to install where one is missing."""

import importlib.util
from collections.abc import Mapping

from language_modeling_is_compression.errors import DependencyError

DISTRIBUTION = 'language-modeling-is-compression'
# Modules by extra, as pyproject.toml names their distributions.
EXTRAS: Mapping[str, tuple[str, ...]] = {
  'train': ('jax', 'haiku', 'optax', 'wandb'),
  'evaluate': ('matplotlib', 'soundfile', 'zstandard'),
}


def require_extra(extra: str) -> None:
  """Raises DependencyError, which says what to install, unless all modules of an extra can be imported."""
  for module in EXTRAS[extra]:
    if importlib.util.find_spec(module) is None:
      raise DependencyError(f'{module} is not installed: pip install "{DISTRIBUTION}[{extra}]"')


def require_module(module: str, what: str) -> None:
  """Raises DependencyError, which says what to install, unless a module that no extra brings can be imported.

  module: also the name of its distribution. what: asks for it.
  """
  if importlib.util.find_spec(module) is None:
    raise DependencyError(f'{module} is not installed, and {what} needs it: pip install {module}')
