"""Registry of model families, a row for each.

A new family is a row here and a module in each layer that a row names; docs/ARCHITECTURE.md says what they have to
have. Modules are imported when they are first used, since they stand above this one, and training needs JAX.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType

from language_modeling_is_compression.config.registry import Registry

_PACKAGE = __name__.split('.')[0]


@dataclass(frozen=True, kw_only=True)
class Family:
  """Modules of a family.

  network: of network/, whose SPEC and MODEL are its classes. coder: of quantized/, whose `load_coder(model, device)`
  makes a ModelCoder. task: of training/, whose `make_task(settings, folders)` makes a Task,
  and `make_dry_task` one for `--dry_run`. generator: of generation/, whose `make_generator(model, request)` makes a
  Generator, or None for a family that generates nothing. A name with a dot is that of a module elsewhere, as plugins
  have them.
  """

  network: str
  coder: str
  task: str
  generator: str | None = None

  def network_module(self) -> ModuleType:
    return _module('network', self.network)

  def coder_module(self) -> ModuleType:
    return _module('quantized', self.coder)

  def task_module(self) -> ModuleType:
    return _module('training', self.task)

  def generator_module(self) -> ModuleType | None:
    return None if self.generator is None else _module('generation', self.generator)


def _module(layer: str, name: str) -> ModuleType:
  return importlib.import_module(name if '.' in name else f'{_PACKAGE}.{layer}.{name}')


FAMILIES = Registry(
  'family of models',
  {
    'bytes': Family(network='byte_model', coder='byte_coder', task='byte_task', generator='byte_generator'),
    'hybrid': Family(network='hybrid_model', coder='hybrid_coder', task='hybrid_task', generator='hybrid_generator'),
  },
)


def register_family(name: str, family: Family) -> None:
  """Adds a family of models. Whoever reads its model files has to register it too. Raises ConfigError."""
  FAMILIES.add(name, family)
