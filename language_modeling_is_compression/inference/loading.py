"""Model files as predictors."""

import contextlib
from importlib import resources
from pathlib import Path

from language_modeling_is_compression.checkpoint import Model, load_model
from language_modeling_is_compression.errors import ModelMismatchError
from language_modeling_is_compression.inference.compiled import CompiledPredictor
from language_modeling_is_compression.inference.exact import exact_network
from language_modeling_is_compression.inference.predictor import Predictor

_DEFAULT = 'default.npz'


def load_predictor(path: str | None, device: str) -> Predictor:
  """A model file, or (None) the one in the package, as a predictor on a device, 'cpu' or 'gpu'.

  Raises CheckpointError, ModelMismatchError if the model cannot code files, ConfigError if there is no such device.
  """
  if path is None:
    with default_model_path() as packaged:
      return _predictor(load_model(packaged), packaged, device)
  return _predictor(load_model(path), Path(path), device)


def default_model_path() -> contextlib.AbstractContextManager[Path]:
  """The model in the package; a file for as long as the context lasts."""
  return resources.as_file(resources.files('language_modeling_is_compression.models') / _DEFAULT)


def _predictor(model: Model, path: Path, device: str) -> Predictor:
  data = model.data_config
  if data.vocab_size != 256 or data.quantization != 'linear':
    kind = 'mu-law' if data.quantization != 'linear' else f'{data.vocab_size:,}-way'
    raise ModelMismatchError(f'{path}: it predicts {kind} tokens: only models of linear bytes code files')
  network = exact_network(model)
  if device == 'cpu':
    return CompiledPredictor(network)
  from language_modeling_is_compression.inference.parallel import ParallelPredictor, gpu

  return ParallelPredictor(network, gpu())
