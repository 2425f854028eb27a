"""A lossless audio compressor built on language models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from language_modeling_is_compression.network.checkpoint import Model, load_model

__all__ = ['Model', '__version__', 'load_model']
__version__ = '0.1.0'


def __getattr__(name: str) -> Any:
  # Models need JAX, which takes seconds to import; what reads audio does not wait for it.
  if name in ('Model', 'load_model'):
    from language_modeling_is_compression.network import checkpoint

    return getattr(checkpoint, name)
  raise AttributeError(f'module {__name__} has no attribute {name}')
