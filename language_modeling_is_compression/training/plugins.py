"""What a plugin may register, in one place: see docs/TRAINING.md.

Each function raises ConfigError if the name is taken. `--plugin` imports a module that calls them; a program may call
them itself.
"""

from language_modeling_is_compression.config.families import Family, register_family
from language_modeling_is_compression.training.loss import register_loss
from language_modeling_is_compression.training.optimizer import register_optimizer, register_schedule
from language_modeling_is_compression.training.tracking import register_logger

__all__ = [
  'Family',
  'register_family',
  'register_logger',
  'register_loss',
  'register_optimizer',
  'register_schedule',
]
