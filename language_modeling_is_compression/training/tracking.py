"""Trackers of a run's metrics: a JSON-lines file always, Weights & Biases if asked for.

Losing a place to write to never ends a run: it is said once, and the run goes on.
"""

import json
import logging
import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from language_modeling_is_compression.system.files import GrowingFile, replacing

_logger = logging.getLogger(__name__)

# Figures of a training run whose smallest value sums it up. What is held out is measured once, in the end, and sums up
# the model that is saved.
TRAINING_MINIMA = ('loss_nats', 'bits_per_byte', 'bits_per_sample', 'valid/*')


class Tracker:
  """Writes every record to `metrics_path`, one JSON object a line, and to a wandb run if there is one.

  keep_to_step: of a run that goes on, whose records up to this step stay in front; None for a new file.
  """

  def __init__(self, metrics_path: Path, wandb_run: Any = None, *, keep_to_step: int | None = None):
    self._path = metrics_path
    self._wandb_run = wandb_run
    self._file: GrowingFile | None = None
    try:
      if keep_to_step is not None and metrics_path.exists():
        _drop_later_records(metrics_path, keep_to_step)
      self._file = GrowingFile(metrics_path, append=keep_to_step is not None)
    except OSError as error:
      self._lost(error)
    self.wandb_identity = _identity(wandb_run) if wandb_run is not None else None
    say_where(wandb_run)

  def rename(self, path: Path) -> None:
    """Gives the file of metrics another name. Raises OSError; then it keeps its own."""
    if self._file:
      self._file.rename(path)
      self._path = path

  def log(self, step: int, figures: Mapping[str, float]) -> None:
    """Records figures of a step (counted from 1). What is not finite becomes null, since JSON has no word for it."""
    record = {'step': step, **{name: value if math.isfinite(value) else None for name, value in figures.items()}}
    if self._file:
      try:
        self._file.write(json.dumps(record))
      except OSError as error:
        self._lost(error)
    self._with_wandb(lambda run: run.log(dict(figures), step=step), 'log')

  def save_artifact(self, model_path: Path, metadata: Mapping[str, Any]) -> None:
    """Gives the model file to wandb as an artifact."""

    def log_model(run: Any) -> None:
      import wandb

      artifact = wandb.Artifact(model_path.stem, type='model', metadata=dict(metadata))
      artifact.add_file(str(model_path))  # Copies it, so the disk may be full.
      run.log_artifact(artifact)

    self._with_wandb(log_model, 'the artifact')

  def close(self, exit_code: int) -> None:
    self._close_file()
    self._with_wandb(lambda run: run.finish(exit_code=exit_code), 'finish')
    say_where(self._wandb_run)

  def _with_wandb(self, action: Callable[[Any], Any], what: str) -> None:
    if self._wandb_run is None:
      return
    try:
      action(self._wandb_run)
    except Exception as error:  # wandb raises errors of many libraries; none is worth a training run.
      _logger.warning('wandb: %s failed, the run goes on without it: %s', what, error)
      self._wandb_run = None

  def _close_file(self) -> None:
    if self._file:
      self._file.close()
    self._file = None

  def _lost(self, error: OSError) -> None:
    _logger.warning('%s: cannot be written, metrics are lost: %s', self._path, error.strerror)
    self._close_file()


def _drop_later_records(path: Path, last_step: int) -> None:
  """Removes the records of steps that are done again, and a line that was cut off. Raises OSError."""
  lines = path.read_text(encoding='utf-8', errors='replace').splitlines()
  with replacing(path) as file:
    file.write(''.join(f'{line}\n' for line in lines if _step_of(line) <= last_step).encode())


def _step_of(line: str) -> float:
  try:
    return float(json.loads(line)['step'])
  except (ValueError, TypeError, KeyError):
    return math.inf


def _identity(run: Any) -> dict[str, str]:
  """Identity of a wandb run, for model files."""
  names = ('id', 'project') if getattr(run, 'offline', False) else ('id', 'project', 'entity', 'url')
  found = {name: getattr(run, name, None) for name in names}
  return {name: str(value) for name, value in found.items() if value}


def say_where(run: Any) -> None:
  """Logs where a wandb run can be seen: its address, or the command that sends it there. run: None for no run."""
  if run is None:
    return
  if url := _identity(run).get('url'):
    _logger.info('wandb: %s', url)
  elif files := getattr(run, 'dir', None):  # In the run's own folder.
    _logger.info('wandb: offline; to send it: wandb sync %s', shlex.quote(str(Path(files).parent)))


def default_wandb_name(name: str) -> str | None:
  """The name of a run that was given none; None leaves it to the environment, where that has one."""
  return None if os.environ.get('WANDB_NAME') else name


def start_wandb(
  project: str, name: str | None, output_dir: Path, config: Mapping[str, Any], *, minima: Sequence[str] = ()
) -> Any:
  """A wandb run, or None (with a warning that says why) if wandb cannot start.

  name: None for what the environment says.
  minima: figures whose smallest value sums up the run.
  """
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
