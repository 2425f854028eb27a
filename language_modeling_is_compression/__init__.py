"""A lossless audio compressor built on language models.

    import language_modeling_is_compression as lmic

    blob = lmic.compress(samples, sample_rate_hz)
    samples, sample_rate_hz = lmic.decompress(blob)

docs/API.md documents every function. Importing the package imports nothing else: functions import what they need when
they are first used, and only models' float networks (`load_model(...).log_probs`) need JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

from language_modeling_is_compression.errors import (
  AudioFormatError,
  CancelledError,
  CheckpointError,
  ConfigError,
  DamageError,
  DependencyError,
  FormatError,
  InputError,
  LmicError,
  ModelMismatchError,
  OutputExistsError,
)
from language_modeling_is_compression.version import __version__

if TYPE_CHECKING:
  from language_modeling_is_compression.api.engine import Compressor, Decompressor
  from language_modeling_is_compression.api.functions import (
    CompressedFile,
    code_length,
    compress,
    compress_file,
    decompress,
    decompress_file,
  )
  from language_modeling_is_compression.api.functions import open_sound as open
  from language_modeling_is_compression.api.generation import Generation, generate
  from language_modeling_is_compression.api.sound import Sound
  from language_modeling_is_compression.network.checkpoint import load_model
  from language_modeling_is_compression.network.model import Model
  from language_modeling_is_compression.system.cancellation import Cancellation

__all__ = [
  'AudioFormatError',
  'Cancellation',
  'CancelledError',
  'CheckpointError',
  'CompressedFile',
  'Compressor',
  'ConfigError',
  'DamageError',
  'Decompressor',
  'DependencyError',
  'FormatError',
  'Generation',
  'InputError',
  'LmicError',
  'Model',
  'ModelMismatchError',
  'OutputExistsError',
  'Sound',
  '__version__',
  'code_length',
  'compress',
  'compress_file',
  'decompress',
  'decompress_file',
  'generate',
  'load_model',
  'open',
]

# Where names are, so that whoever only compresses does not wait for what trains.
_HOMES = {
  'Cancellation': 'system.cancellation',
  'CompressedFile': 'api.functions',
  'Compressor': 'api.engine',
  'Decompressor': 'api.engine',
  'Generation': 'api.generation',
  'Model': 'network.model',
  'Sound': 'api.sound',
  'code_length': 'api.functions',
  'compress': 'api.functions',
  'compress_file': 'api.functions',
  'decompress': 'api.functions',
  'decompress_file': 'api.functions',
  'generate': 'api.generation',
  'load_model': 'network.checkpoint',
  'open': 'api.functions',
}


def __getattr__(name: str) -> Any:
  if name not in _HOMES:
    raise AttributeError(f'module {__name__} has no attribute {name}')
  home = importlib.import_module(f'{__name__}.{_HOMES[name]}')
  found = getattr(home, 'open_sound' if name == 'open' else name)
  globals()[name] = found
  return found


def __dir__() -> list[str]:
  return __all__
