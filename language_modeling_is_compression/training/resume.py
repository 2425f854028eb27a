"""What a run begins with: a checkpoint that it goes on from, the parameters of a model, or neither."""

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from language_modeling_is_compression.config.options import ModelConfig, TrainingSettings, recorded_settings
from language_modeling_is_compression.config.settings import fixed_names
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.network.model import Model, ModelSpec
from language_modeling_is_compression.training.checkpoints import Checkpoint, CheckpointFolder, read_checkpoint
from language_modeling_is_compression.training.objectives import Objective
from language_modeling_is_compression.training.run_files import RunFiles
from language_modeling_is_compression.training.state import TrainingState, initial_state
from language_modeling_is_compression.training.task import Task, fingerprint
from language_modeling_is_compression.training.watcher import Watcher

_logger = logging.getLogger(__name__)

_BEST = 'best'  # Begins the paths of the best parameters; those in the state begin with a dot.


def checkpoint_folder(settings: TrainingSettings, files: RunFiles) -> CheckpointFolder:
  """The folder of a run's checkpoints, which is renamed with its other files."""
  config = settings.checkpoint
  folder = CheckpointFolder(
    files.checkpoints, max_kept=config.max_checkpoints, by_score=config.checkpoint_policy == 'best'
  )
  files.when_renamed(checkpoints=folder.rename)
  return folder


def chosen_checkpoint(settings: TrainingSettings, files: RunFiles) -> Checkpoint | None:
  """The checkpoint that a run is to go on from, None for a new run.

  Raises CheckpointError if there is none or it is damaged, ConfigError if it does not suit the settings.
  """
  config = settings.checkpoint
  if config.resume:
    found = checkpoint_folder(settings, files).newest()
  elif config.resume_from:
    found = read_checkpoint(Path(config.resume_from))
  else:
    return None
  _check_sound(found)
  _check_fixed(found, settings)
  return found


def _check_sound(checkpoint: Checkpoint) -> None:
  """Raises ConfigError unless there is what a run goes on from; a file that is whole may be another program's."""
  metadata = checkpoint.metadata
  progress, wandb = metadata.get('progress'), metadata.get('wandb', {})
  if not isinstance(metadata.get('settings'), Mapping):
    raise _is_foreign(checkpoint, 'no settings')
  numbers = [metadata.get('seconds'), *(progress if isinstance(progress, list) and len(progress) == 2 else [None])]
  if not all(isinstance(number, int | float) for number in numbers) or not isinstance(wandb, Mapping):
    raise _is_foreign(checkpoint, 'no sound progress')


def _is_foreign(checkpoint: Checkpoint, what: str) -> ConfigError:
  return ConfigError(f'{checkpoint.path}: it holds {what}, so it was written by something else')


def _check_fixed(checkpoint: Checkpoint, settings: TrainingSettings) -> None:
  """Raises ConfigError for settings that must be the same as the checkpoint's and are not."""
  fixed = {
    name: values for name, values in _differences(checkpoint, settings).items() if name in fixed_names(TrainingSettings)
  }
  if fixed:
    described = ', '.join(f'{name} {before} (now {now})' for name, (before, now) in fixed.items())
    raise ConfigError(
      f'{checkpoint.path}: was trained with {described}: resume with the same, or begin a new run from the model '
      'with --init_from'
    )


def _differences(checkpoint: Checkpoint, settings: TrainingSettings) -> dict[str, tuple[Any, Any]]:
  """Settings that differ, by name: the checkpoint's value and the run's, None where there is none."""
  before, now = checkpoint.metadata['settings'], recorded_settings(settings)
  names = sorted({*before, *now})
  return {name: (before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)}


def same_beginning(settings: TrainingSettings, task: Task, checkpoint: Checkpoint | None) -> str:
  """Hash of what all processes of a run must begin with."""
  step = checkpoint.step if checkpoint else 0
  return fingerprint([[task.fingerprint, json.dumps(recorded_settings(settings), sort_keys=True), step]])


def begin_resumed(checkpoint: Checkpoint, settings: TrainingSettings, fingerprint: str) -> None:
  """Logs what a run goes on from, and which settings have changed.

  Raises ConfigError if it has more steps than the run is to have, or if the run would go on with other data: its
  batches would not be those that come next.
  """
  if checkpoint.step > settings.training.steps:
    raise ConfigError(
      f'training_steps: {checkpoint.path} has {checkpoint.step} steps already, expected as many or more, '
      f'got {settings.training.steps}'
    )
  _logger.info('resuming from %s, after %d steps', checkpoint.path, checkpoint.step)
  for name, (before, now) in _differences(checkpoint, settings).items():
    _logger.info('%s: %s in the checkpoint, now %s', name, before, now)
  if checkpoint.metadata.get('data') != fingerprint:
    raise ConfigError(
      f'{checkpoint.path}: the audio files, their division into training and validation, whether evidence is streamed '
      '(--evidence), or the predictors behind it, which a release may change, are not those that it was trained with: '
      'restore them, or begin a new run from the model with --init_from'
    )


def state_arrays(state: TrainingState, best_params: Any = None) -> dict[str, np.ndarray]:
  """Leaves of a state by their paths in it, and those of the best parameters, where these are kept."""
  arrays = _leaves(state)
  return arrays | {_BEST + name: array for name, array in _leaves(best_params).items()}


def _leaves(tree: Any) -> dict[str, np.ndarray]:
  return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def restored_watcher(
  settings: TrainingSettings, checkpoint: Checkpoint | None, params: Any, collected: Callable[[Any], Any]
) -> Watcher:
  """The watcher of a run that begins, or goes on. params: a state's, of the structure that the best ones have.

  collected: as for `Watcher`.
  """
  if checkpoint is None:
    return Watcher(settings, collected=collected)
  # Of arrays that lie in other processes too their shapes alone can be asked for.
  shapes = {
    _BEST + jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }
  best = [checkpoint.arrays[name] for name in shapes if name in checkpoint.arrays]
  watched = checkpoint.metadata.get('watched')
  try:
    is_sound = [array.shape for array in best] == (list(shapes.values()) if watched and watched['best'] else [])
    if is_sound:
      best_params = jax.tree.unflatten(jax.tree.structure(params), best) if best else None
      return Watcher(settings, watched, best_params, collected)
  except (KeyError, TypeError, ValueError) as error:
    raise _is_foreign(checkpoint, 'no sound tracks of what was watched') from error
  raise _is_foreign(checkpoint, 'no sound best parameters')


def first_state(
  settings: TrainingSettings,
  task: Task,
  objective: Objective,
  optimizer: optax.GradientTransformation,
  checkpoint: Checkpoint | None = None,
) -> TrainingState:
  """The state of the checkpoint, or a new one, with random parameters or those of a model.

  Raises ConfigError as `restored_state` and `initial_params`, CheckpointError.
  """
  averaged = settings.optimizer.ema_decay is not None

  def new_state() -> TrainingState:
    return initial_state(objective, optimizer, seed=settings.training.seed, averaged=averaged)

  if checkpoint:
    return restored_state(checkpoint, new_state)
  if not settings.checkpoint.init_from:
    return new_state()
  params = initial_params(settings.checkpoint.init_from, task.spec)
  return new_state()._replace(params=params, opt_state=optimizer.init(params), ema=params if averaged else None)


def restored_state(checkpoint: Checkpoint, make: Callable[[], TrainingState]) -> TrainingState:
  """The state of a checkpoint. make: makes one of the same structure, which is not computed.

  Raises ConfigError if the checkpoint's has another structure, as another optimizer's has.
  """
  template = jax.eval_shape(make)
  paths, structure = jax.tree_util.tree_flatten_with_path(template)
  shapes = {jax.tree_util.keystr(path): (leaf.shape, leaf.dtype) for path, leaf in paths}
  found = {name: (array.shape, array.dtype) for name, array in checkpoint.arrays.items() if not name.startswith(_BEST)}
  if found != shapes:
    wrong = sorted(name for name in {*found, *shapes} if found.get(name) != shapes.get(name))
    raise ConfigError(
      f'{checkpoint.path}: its state is not that of this model and optimizer: {", ".join(wrong[:3])}: resume with the '
      'same settings, or begin a new run from the model with --init_from'
    )
  leaves = [jnp.asarray(checkpoint.arrays[name]) for name in shapes]
  return jax.tree.unflatten(structure, leaves)


def check_init_from(settings: TrainingSettings) -> None:
  """Raises what `initial_params` does of the network, before the data are prepared, which may take hours."""
  if settings.checkpoint.init_from:
    _initial_model(settings.checkpoint.init_from, settings.family.model, settings.model)


def _initial_model(path: str, family: str, network: ModelConfig) -> Model:
  model = load_model(path)
  if model.spec.family != family or model.spec.network != network:
    found = f'{model.spec.family} with {_sizes(model.spec.network)}'
    raise ConfigError(f'init_from: {path} is a model of {found}, expected {family} with {_sizes(network)}')
  return model


def initial_params(path: str, spec: ModelSpec) -> Any:
  """Parameters of a model file, to begin with. Raises ConfigError if it is another network, CheckpointError.

  What it was trained on may differ: fine-tuning is for that.
  """
  model = _initial_model(path, spec.family, spec.network)
  if model.spec.parameter_shapes() != spec.parameter_shapes():
    raise ConfigError(
      f'init_from: {path} predicts other tokens: set --tokenization, --use_16bit and --bit_depth as for it'
    )
  return jax.tree.map(jnp.asarray, dict(model.params))


def _sizes(network: ModelConfig) -> str:
  return ', '.join(f'{name} {value}' for name, value in dataclasses.asdict(network).items())
