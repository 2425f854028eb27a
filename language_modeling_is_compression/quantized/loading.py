"""Model files as coders, and the models that come with the package."""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from language_modeling_is_compression.errors import ConfigError, ModelMismatchError
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.format.layout import ChannelLayout, Layout, SegmentLayout
from language_modeling_is_compression.network.checkpoint import Model, load_model
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.coder import ModelCoder
from language_modeling_is_compression.quantized.cpu import CompiledPredictor
from language_modeling_is_compression.quantized.quantize import exact_network
from language_modeling_is_compression.quantized.quantize_hybrid import exact_hybrid_network
from language_modeling_is_compression.quantized.segments import HybridCoder
from language_modeling_is_compression.system.extras import require_extra

DEFAULT = 'default'


class Packaged(NamedTuple):
  """A model that comes with the package. file: its name. layout: of the files that it writes."""

  file: str
  layout: type[Layout]


PACKAGED: Mapping[str, Packaged] = {
  DEFAULT: Packaged('default.npz', SegmentLayout),
  'tiny': Packaged('tiny.npz', SegmentLayout),
  'bytes': Packaged('bytes.npz', ChannelLayout),
}


def load_coder(path: str, device: str) -> ModelCoder:
  """Coder of a model on a device, 'cpu' or 'gpu'.

  path: the name of a packaged model, or a model file; use ./NAME for a file that shares a packaged model's name.
  Raises CheckpointError, ModelMismatchError if the model cannot code files, ConfigError if there is no such device, or
  not for this model.
  """
  if path in PACKAGED:
    return _packaged_coder(path, device)
  return _coder(load_model(path), Path(path), device)


def find_coder(header: Header, likely: Sequence[str], device: str) -> ModelCoder:
  """Coder of the packaged model that wrote a file. likely: packaged models to try first, since each takes time to load.

  Raises ModelMismatchError if it is none of them, else as `load_coder`.
  """
  for name in dict.fromkeys([*likely, *PACKAGED]):
    if isinstance(header.layout, PACKAGED[name].layout):
      coder = load_coder(name, device)
      if coder.identity == header.model_id:
        return coder
  raise ModelMismatchError(
    f'it was written with model {header.model_id.hex()[:16]}, which does not come with this package: '
    'name the model file that wrote it with -m'
  )


def codes_files(model: Model) -> bool:
  """Whether `load_coder` takes a model, by what it predicts."""
  return model.model_config.model == 'hybrid' or model.data_config.codes_files


def token_kind(model: Model) -> str:
  """The tokens of a model that does not code files, for people."""
  data = model.data_config
  return 'mu-law' if data.quantization != 'linear' else f'{data.vocab_size:,}-way'


def model_path(path: str) -> contextlib.AbstractContextManager[Path]:
  """Where a model is, by `load_coder`'s path: a file for as long as the context lasts."""
  if path not in PACKAGED:
    return contextlib.nullcontext(Path(path))
  return _packaged_file(path)


def _packaged_file(name: str) -> contextlib.AbstractContextManager[Path]:
  return resources.as_file(resources.files('language_modeling_is_compression.models') / PACKAGED[name].file)


@functools.cache
def _packaged_coder(name: str, device: str) -> ModelCoder:
  """Loaded once: programs compress many files, and any number of threads may use one coder."""
  with _packaged_file(name) as path:
    return _coder(load_model(path), path, device)


def _coder(model: Model, path: Path, device: str) -> ModelCoder:
  if model.model_config.model == 'hybrid':
    return _hybrid(model, device)
  if not codes_files(model):
    raise ModelMismatchError(f'{path}: it predicts {token_kind(model)} tokens: only models of linear bytes code files')
  network = exact_network(model)
  if device == 'cpu':
    return ByteCoder(CompiledPredictor(network))
  require_extra('train')
  from language_modeling_is_compression.quantized.xla import ParallelPredictor, gpu

  return ByteCoder(ParallelPredictor(network, gpu()))


def _hybrid(model: Model, device: str) -> ModelCoder:
  if device != 'cpu':
    raise ConfigError(f'--device {device}: hybrid models run on CPUs only: leave it out, or name a byte model with -m')
  return HybridCoder(exact_hybrid_network(model))
