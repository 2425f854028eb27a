"""Tracker of a run's metrics: the loggers that were asked for, and Weights & Biases, which is one of them.

Losing a place to write to never ends a run: it is said once, and the run goes on.
"""

import contextlib
import functools
import logging
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from language_modeling_is_compression.config.options import LOGGER_NAMES, TENSORBOARD, WANDB, LoggingConfig
from language_modeling_is_compression.system.files import scratch_folder
from language_modeling_is_compression.training.loggers import (
  CsvLogger,
  JsonLinesLogger,
  Logger,
  TensorBoardLogger,
  wav_of,
)
from language_modeling_is_compression.training.run_files import RunFiles

_logger = logging.getLogger(__name__)

# Figures of a training run whose smallest value sums it up. What is held out is measured once, in the end, and sums up
# the model that is saved.
TRAINING_MINIMA = ('loss_nats', 'bits_per_byte', 'bits_per_sample', 'valid/*')


class WandbLogger:
  """A run at Weights & Biases. run: as `start_wandb` gives it."""

  path: Path | None = None

  def __init__(self, run: Any):
    self._run = run
    self.identity: Mapping[str, str] | None = _identity(run)
    say_where(run)

  def log(self, step: int, figures: Mapping[str, float]) -> None:
    self._run.log(dict(figures), step=step)

  def log_table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    import wandb

    self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])}, step=step)

  def log_audio(self, step: int, name: str, samples: np.ndarray, sample_rate_hz: int) -> None:
    import wandb

    # wandb would need soundfile for an array, and it copies files.
    with scratch_folder() as folder:
      path = folder / 'sound.wav'
      path.write_bytes(wav_of(samples, sample_rate_hz))
      self._run.log({name: wandb.Audio(str(path), sample_rate=sample_rate_hz)}, step=step)

  def rename(self, path: Path) -> None:
    """Does nothing: wandb has names of its own."""

  def save_artifact(self, model_path: Path, metadata: Mapping[str, Any]) -> None:
    import wandb

    artifact = wandb.Artifact(model_path.stem, type='model', metadata=dict(metadata))
    artifact.add_file(str(model_path))  # Copies it, so the disk may be full.
    self._run.log_artifact(artifact)

  def close(self, exit_code: int) -> None:
    self._run.finish(exit_code=exit_code)
    say_where(self._run)


class TrackedRun(NamedTuple):
  """What a logger may need to know of a run.

  default_name: where the user gave none. recorded: settings and sizes. wandb_id: of the run there that goes on.
  keep_to_step: of a run that goes on, whose records up to this step stay in front; None for new files.
  """

  config: LoggingConfig
  files: RunFiles
  default_name: str
  recorded: Mapping[str, Any]
  wandb_id: str | None = None
  keep_to_step: int | None = None


def _wandb_logger(run: TrackedRun) -> Logger | None:
  config = run.config
  wandb_run = start_wandb(
    config.wandb_project,
    config.wandb_run_name or default_wandb_name(run.default_name),
    run.files.model.parent,
    run.recorded,
    minima=TRAINING_MINIMA,
    options=config.wandb_options,
    run_id=run.wandb_id,
  )
  return WandbLogger(wandb_run) if wandb_run is not None else None


class _Kind(NamedTuple):
  """A kind of logger. file: its property of RunFiles, where it has one. start: None if that failed, which was said."""

  file: str | None
  start: Callable[[TrackedRun], Logger | None]


LOGGERS: dict[str, _Kind] = {
  'jsonl': _Kind('metrics', lambda run: JsonLinesLogger(run.files.metrics, run.keep_to_step)),
  'csv': _Kind('table', lambda run: CsvLogger(run.files.table, run.keep_to_step)),
  TENSORBOARD: _Kind('events', lambda run: TensorBoardLogger(run.files.events, run.keep_to_step)),
  WANDB: _Kind(None, _wandb_logger),
}


def register_logger(name: str, start: Callable[[TrackedRun], Logger | None]) -> None:
  """Adds a logger. start: makes one of a run, or None if it cannot. Raises ConfigError."""
  LOGGER_NAMES.add(name, None)
  LOGGERS[name] = _Kind(None, start)


class Tracker:
  """Writes every record to some loggers, by name. One that fails is said once, and the others go on.

  identities: what loggers call the run, by their names, of those that have a name for it.
  """

  def __init__(self, loggers: Mapping[str, Logger]):
    self._loggers = dict(loggers)
    self.identities = {name: dict(logger.identity) for name, logger in loggers.items() if logger.identity}

  def log(self, step: int, figures: Mapping[str, float]) -> None:
    """Records figures of a step, counted from 1."""
    self._with_each(lambda logger: logger.log(step, figures), 'log')

  def log_table(self, step: int, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Gives a table of texts and numbers to those that keep such."""
    self._with_each(lambda logger: logger.log_table(step, name, columns, rows), 'the table')

  def log_audio(self, step: int, name: str, samples: np.ndarray, sample_rate_hz: int) -> None:
    """Gives sound, as `Logger.log_audio` has it, to those that keep such."""

    def log(logger: Logger) -> None:
      # Plugins' loggers may be older than the method.
      if take := getattr(logger, 'log_audio', None):
        take(step, name, samples, sample_rate_hz)

    self._with_each(log, 'the sound')

  def rename(self, name: str, path: Path) -> None:
    """Gives the file or folder of a logger another name. Raises OSError; then it keeps its own."""
    if name not in self._loggers:
      return
    try:
      self._loggers[name].rename(path)
    except OSError:
      raise
    except Exception as error:  # As in _with_each.
      self._drop(name, 'rename', error)

  def save_artifact(self, model_path: Path, metadata: Mapping[str, Any]) -> None:
    """Gives the model file to those that keep such."""
    self._with_each(lambda logger: logger.save_artifact(model_path, metadata), 'the artifact')

  def close(self, exit_code: int) -> None:
    self._with_each(lambda logger: logger.close(exit_code), 'finish')
    self._loggers.clear()

  def _with_each(self, action: Callable[[Logger], object], what: str) -> None:
    for name, logger in tuple(self._loggers.items()):
      try:
        action(logger)
      except Exception as error:  # wandb raises errors of many libraries; none is worth a training run.
        self._drop(name, what, error)

  def _drop(self, name: str, what: str, error: Exception) -> None:
    logger = self._loggers.pop(name)
    _say_lost(name, logger.path, what, error)
    if logger.path is not None:
      with contextlib.suppress(Exception):
        logger.close(1)


def start_tracker(run: TrackedRun) -> Tracker:
  """A tracker with the loggers that the settings ask for, but those that cannot start: these are said.

  Their files take part in the renaming of `run.files`.
  """
  loggers: dict[str, Logger] = {}
  for name in run.config.logger_names:
    kind = LOGGERS[name]
    try:
      logger = kind.start(run)
    except Exception as error:  # As in Tracker.
      _say_lost(name, getattr(run.files, kind.file) if kind.file else None, 'start', error)
    else:
      if logger is not None:
        loggers[name] = logger
  tracker = Tracker(loggers)
  for name in loggers:
    if file := LOGGERS[name].file:
      run.files.when_renamed(**{file: functools.partial(tracker.rename, name)})
  return tracker


def _say_lost(name: str, path: Path | None, what: str, error: Exception) -> None:
  if path is not None and isinstance(error, OSError):
    _logger.warning('%s: cannot be written, metrics are lost: %s', path, error.strerror)
  else:
    _logger.warning('%s: %s failed, the run goes on without it: %s', name, what, error)


def _identity(run: Any) -> dict[str, str]:
  """Identity of a wandb run, for model files; none if wandb is switched off."""
  if getattr(run, 'disabled', False):
    return {}
  names = ('id', 'project') if getattr(run, 'offline', False) else ('id', 'project', 'entity', 'url')
  found = {name: getattr(run, name, None) for name in names}
  return {name: str(value) for name, value in found.items() if value}


def say_where(run: Any) -> None:
  """Logs where a wandb run can be seen: its address, or the command that sends it there. run: None for no run."""
  if run is None or getattr(run, 'disabled', False):
    return
  if url := _identity(run).get('url'):
    _logger.info('wandb: %s', url)
  elif files := getattr(run, 'dir', None):  # In the run's own folder.
    _logger.info('wandb: offline; to send it: wandb sync %s', shlex.quote(str(Path(files).parent)))


def default_wandb_name(name: str) -> str | None:
  """The name of a run that was given none; None leaves it to the environment, where that has one."""
  return None if os.environ.get('WANDB_NAME') else name


def start_wandb(
  project: str | None,
  name: str | None,
  output_dir: Path,
  config: Mapping[str, Any],
  *,
  minima: Sequence[str] = (),
  options: Mapping[str, Any] = MappingProxyType({}),
  run_id: str | None = None,
) -> Any:
  """A wandb run, or None (with a warning that says why) if wandb cannot start.

  project, name: None for what the environment says.
  minima: figures whose smallest value sums up the run.
  options: further arguments of wandb.init.
  run_id: of a run that this one continues, if wandb still knows it; None for a new one.
  """
  resumed: Mapping[str, Any] = {'id': run_id, 'resume': 'allow'} if run_id else {}
  try:
    import wandb

    if not any(os.environ.get(variable) for variable in ('HOME', 'XDG_CACHE_HOME')):
      # Or else its service logs to the terminal, and to a folder in the working directory.
      os.environ['XDG_CACHE_HOME'] = str(Path(output_dir, 'wandb', 'cache').absolute())
    run = wandb.init(
      project=project,
      name=name,
      dir=str(output_dir),
      config=dict(config),
      **options,
      **resumed,
      settings=wandb.Settings(init_timeout=60, console='off', silent=True),
    )
    run.define_metric('*', step_metric='_step')
    for metric in minima:
      run.define_metric(metric, summary='min')
  except Exception as error:  # As above: no key, no network, a full disk, another version.
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    _logger.warning('wandb cannot start, the run goes on without it: %s', reason)
    return None
  return run
