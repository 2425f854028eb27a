"""Model files as predictors, and the models that come with the package."""

import contextlib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from language_modeling_is_compression.errors import ConfigError, ModelMismatchError
from language_modeling_is_compression.network.checkpoint import Model, load_model
from language_modeling_is_compression.quantized.cpu import CompiledPredictor
from language_modeling_is_compression.quantized.predictor import Predictor, SegmentPredictor
from language_modeling_is_compression.quantized.quantize import exact_network
from language_modeling_is_compression.quantized.quantize_hybrid import exact_hybrid_network
from language_modeling_is_compression.quantized.segments import HybridPredictor

DEFAULT = 'default'
# The packaged models' files.
PACKAGED: Mapping[str, str] = {DEFAULT: 'default.npz', 'tiny': 'tiny.npz', 'bytes': 'bytes.npz'}


def load_predictor(path: str, device: str) -> Predictor | SegmentPredictor:
  """A model as a predictor on a device, 'cpu' or 'gpu'.

  path: the name of a packaged model, or a model file; one that is called like a packaged model is ./NAME.
  Raises CheckpointError, ModelMismatchError if the model cannot code files, ConfigError if there is no such device, or
  not for this model.
  """
  with model_path(path) as found:
    return _predictor(load_model(found), found, device)


def find_predictor(identity: bytes, names: Sequence[str], device: str) -> Predictor | SegmentPredictor:
  """The packaged model of an identity, of those that are named; the likeliest first, since each takes time to build.

  Raises ModelMismatchError if it is none of them, else as `load_predictor`.
  """
  for name in dict.fromkeys(PACKAGED[name] for name in names):
    with _packaged(name) as found:
      predictor = _predictor(load_model(found), found, device)
    if predictor.identity == identity:
      return predictor
  raise ModelMismatchError(
    f'it was written with model {identity.hex()[:16]}, which does not come with this package: '
    'name the model file that wrote it with -m'
  )


def codes_files(model: Model) -> bool:
  """Whether `load_predictor` takes a model, by what it predicts."""
  return model.model_config.model == 'hybrid' or model.data_config.codes_files


def token_kind(model: Model) -> str:
  """The tokens of a model that does not code files, for people."""
  data = model.data_config
  return 'mu-law' if data.quantization != 'linear' else f'{data.vocab_size:,}-way'


def model_path(path: str) -> contextlib.AbstractContextManager[Path]:
  """Where a model is, by `load_predictor`'s path: a file for as long as the context lasts."""
  if path not in PACKAGED:
    return contextlib.nullcontext(Path(path))
  return _packaged(PACKAGED[path])


def _packaged(file_name: str) -> contextlib.AbstractContextManager[Path]:
  return resources.as_file(resources.files('language_modeling_is_compression.models') / file_name)


def _predictor(model: Model, path: Path, device: str) -> Predictor | SegmentPredictor:
  if model.model_config.model == 'hybrid':
    return _hybrid(model, device)
  if not codes_files(model):
    raise ModelMismatchError(f'{path}: it predicts {token_kind(model)} tokens: only models of linear bytes code files')
  network = exact_network(model)
  if device == 'cpu':
    return CompiledPredictor(network)
  from language_modeling_is_compression.quantized.xla import ParallelPredictor, gpu

  return ParallelPredictor(network, gpu())


def _hybrid(model: Model, device: str) -> SegmentPredictor:
  if device != 'cpu':
    raise ConfigError(f'--device {device}: hybrid models run on CPUs only: leave it out, or name a byte model with -m')
  return HybridPredictor(exact_hybrid_network(model))
