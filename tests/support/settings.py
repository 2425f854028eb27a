"""Settings of training runs, from values by name as flags have them."""

from typing import Any

from language_modeling_is_compression.config.options import TrainingSettings
from language_modeling_is_compression.config.settings import read_settings


def training_settings(**values: Any) -> TrainingSettings:
  """Defaults but for what is given."""
  return read_settings({'audio_dir': ('sound',), **values}, TrainingSettings)
