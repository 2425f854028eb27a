"""Model files as coders, and the models that come with the package."""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from language_modeling_is_compression.config.families import FAMILIES
from language_modeling_is_compression.errors import ConfigError, ModelMismatchError
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.format.layout import (
  ChannelLayout,
  HybridLayout,
  Layout,
  LinearLayout,
  SegmentLayout,
  StartedHybridLayout,
)
from language_modeling_is_compression.format.model_coder import ModelCoder
from language_modeling_is_compression.format.segment_coder import SegmentCoder
from language_modeling_is_compression.linear import coder as linear_coder
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.network.model import Model

DEFAULT = 'default'
LINEAR = 'linear'  # Linear prediction alone, which has no model file.


class Packaged(NamedTuple):
  """A model that comes with the package. file: its name. layouts: of the files that it reads, the last one of those
  that it writes.
  """

  file: str
  layouts: tuple[type[Layout], ...]


PACKAGED: Mapping[str, Packaged] = {
  DEFAULT: Packaged('default.npz', (StartedHybridLayout,)),
  'default-v4': Packaged('default_v4.npz', (HybridLayout, StartedHybridLayout)),  # The default one from version 4 on.
  'default-v2': Packaged('default_v2.npz', (SegmentLayout,)),  # The default one until format version 3.
  'tiny': Packaged('tiny.npz', (SegmentLayout,)),
  'bytes': Packaged('bytes.npz', (ChannelLayout,)),
}


def load_coder(path: str, device: str, layout: type[Layout] | None = None) -> ModelCoder:
  """Coder of a model on a device, 'cpu' or 'gpu'. layout: of files that it is to read; None for files to be written.

  path: the name of a packaged model, LINEAR, or a model file; use ./NAME for a file that has one of these names.
  Raises CheckpointError, ModelMismatchError if the model cannot code files, ConfigError if there is no such device, or
  not for this model.
  """
  if path == LINEAR:
    coder: ModelCoder = linear_coder.load_coder(device)
  elif path in PACKAGED:
    coder = _packaged_coder(path, device)
  else:
    coder = _coder(load_model(path), Path(path), device)
  if isinstance(coder, SegmentCoder) and layout is not None and issubclass(layout, SegmentLayout):
    return coder.of(layout)
  return coder


def find_coder(header: Header, likely: Sequence[str], device: str) -> ModelCoder:
  """Coder of the packaged model that wrote a file, or of linear prediction.

  likely: packaged models to try first, since each takes time to load.

  Raises ModelMismatchError if it is none of them, else as `load_coder`.
  """
  if isinstance(header.layout, LinearLayout):
    return load_coder(LINEAR, device, type(header.layout))
  name = find_model(header, [name for name in likely if name in PACKAGED] + list(PACKAGED), device)
  if name is not None:
    return load_coder(name, device, type(header.layout))
  raise ModelMismatchError(
    f'it was written with model {header.model_id.hex()[:16]}, which does not come with this package: '
    'name the model file that wrote it with -m'
  )


def find_model(header: Header, names: Sequence[str], device: str) -> str | None:
  """The model that wrote a file, of packaged ones and model files, the likeliest first; None if it is none of them.

  Raises as `load_coder`.
  """
  for name in dict.fromkeys(names):
    layout = type(header.layout)
    could_be = name not in PACKAGED or layout in PACKAGED[name].layouts
    if could_be and load_coder(name, device, layout).identity.startswith(header.model_id):
      return name
  return None


def model_path(path: str) -> contextlib.AbstractContextManager[Path]:
  """File of a model, by `load_coder`'s path, for as long as the context lasts. Raises ConfigError for LINEAR."""
  if path == LINEAR:
    raise ConfigError(f'{path}: linear prediction has no model file: name a model, or ./{path} for a file of this name')
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
  if not model.codes_files:
    assert isinstance(model, ByteModel), 'models of other families code files'
    raise ModelMismatchError(f'{path}: it predicts {model.token_kind} tokens: only models of linear bytes code files')
  return FAMILIES[model.spec.family].coder_module().load_coder(model, device)
