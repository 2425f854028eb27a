"""The files of a training run, and those of earlier runs of the same name, of which none is lost."""

import contextlib
import itertools
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from language_modeling_is_compression.config.options import RunConfig
from language_modeling_is_compression.errors import CheckpointError, ConfigError
from language_modeling_is_compression.system.files import check_folder, locked, replacing, vanishing

_logger = logging.getLogger(__name__)

_MODEL, _METRICS, _LOG, _SETTINGS, _CHECKPOINTS = 'model', 'metrics', 'log', 'settings', 'checkpoints'
# A table of metrics, and three folders: TensorBoard's, the profiler's and that of generated sounds.
_TABLE, _EVENTS, _PROFILE = 'table', 'events', 'profile'
_GENERATED = 'generated'
_HELD_OUT_TABLE, _HELD_OUT_PICTURE = 'held_out_table', 'held_out_picture'
_TITLE = '# Settings of a training run'  # By this first line a run's file is told from one that a user wrote.


class RunFiles:
  """NAME.npz, NAME_metrics.jsonl, NAME_training.log, NAME.toml and NAME_checkpoints in a folder.

  Files of an earlier run stay as they are until this one has a model to put in their place, and are then kept under a
  number: NAME.1.npz, NAME_metrics.1.jsonl, NAME_training.1.log, NAME.1.toml, NAME_checkpoints.1. Until then this run's
  other files are called NAME_metrics.unsaved.jsonl and so on; so they stay if it ends without a model. Where there are
  no earlier files they have their names from the beginning. The same holds for what a run writes only if asked to:
  NAME_metrics.csv and the folders NAME_tensorboard, NAME_profile and NAME_generated; and for NAME_held_out.csv and
  .svg, which a run writes once its model is saved.

  A NAME.toml that no run has written, such as the one that `--config` names, stays where it is, and the run's settings
  are in NAME_settings.toml.

  goes_on: whether the run is the earlier one, resumed; then it goes on in the same files.
  """

  def __init__(self, folder: Path, name: str, *, goes_on: bool = False):
    self._folder, self._name = folder, name
    self.goes_on = goes_on
    self._patterns = dict(_PATTERNS)
    if _is_of_a_user(self._path(_SETTINGS)):
      self._patterns[_SETTINGS] = '_settings{mark}.toml'
    self.model = self._path(_MODEL)
    self._names_taken = not goes_on and any(self._path(kind).exists() for kind in _PATTERNS)
    self._renames: dict[str, Callable[[Path], object]] = {}

  @property
  def metrics(self) -> Path:
    """Path that metrics are written to now."""
    return self._now(_METRICS)

  @property
  def table(self) -> Path:
    """Path that metrics are written to as CSV now."""
    return self._now(_TABLE)

  @property
  def events(self) -> Path:
    """Folder of TensorBoard's event files now."""
    return self._now(_EVENTS)

  @property
  def profile(self) -> Path:
    """Folder of the profiler's traces now."""
    return self._now(_PROFILE)

  @property
  def generated(self) -> Path:
    """Folder of sounds that the model generates while it is trained, now."""
    return self._now(_GENERATED)

  @property
  def log(self) -> Path:
    """Path that the log is written to now."""
    return self._now(_LOG)

  @property
  def checkpoints(self) -> Path:
    """Folder of checkpoints now."""
    return self._now(_CHECKPOINTS)

  @property
  def held_out_table(self) -> Path:
    """Path of the table of held-out files now."""
    return self._now(_HELD_OUT_TABLE)

  @property
  def held_out_picture(self) -> Path:
    """Path of their picture now."""
    return self._now(_HELD_OUT_PICTURE)

  def when_renamed(self, **renames: Callable[[Path], object]) -> None:
    """Registers callbacks that rename open files and folders, by the properties above; they may raise OSError."""
    assert renames.keys() <= _PATTERNS.keys() - {_MODEL}, renames
    self._renames |= renames

  def write_settings(self, text: str) -> None:
    """Writes the run's settings, TOML. A warning says why they cannot be written: the model file has them too."""
    path = self._now(_SETTINGS)
    try:
      with replacing(path) as file:
        file.write(f'{_TITLE}, as --config takes them.\n{text}'.encode())
    except OSError as error:
      _logger.warning('%s: cannot be written: %s', path, error.strerror)
    else:
      if self._names_taken:
        self._renames[_SETTINGS] = lambda final: os.replace(path, final)

  def save(self, write: Callable[[Path], object]) -> None:
    """Writes the model by `write`, which replaces what is there whole or not at all. At every moment there is a model.

    The first time the files of an earlier run are kept under a number. Raises what `write` does; then all is as it was.
    """
    if not self._names_taken:
      write(self.model)
      return
    number = next(
      str(n) for n in itertools.count(1) if not any(self._path(kind, str(n)).exists() for kind in _PATTERNS)
    )
    kept = self._path(_MODEL, number) if self.model.exists() else None
    if kept:
      _keep(self.model, kept)
    try:
      write(self.model)
    except BaseException:
      if kept:
        kept.unlink(missing_ok=True)
      raise
    self._names_taken = False
    _logger.info('files of an earlier run are kept as %s', self._path(_MODEL, number).with_suffix('.*'))
    for kind in (kind for kind in _PATTERNS if kind != _MODEL):
      self._take_name(kind, number)

  def _take_name(self, kind: str, number: str) -> None:
    final = self._path(kind)
    try:
      if final.exists():
        os.replace(final, self._path(kind, number))
      if kind in self._renames:
        self._renames[kind](final)
    except OSError as error:
      _logger.warning('%s: cannot take its name: %s', final, error.strerror)

  def _now(self, kind: str) -> Path:
    return self._path(kind, 'unsaved' if self._names_taken else '')

  def _path(self, kind: str, mark: str = '') -> Path:
    mark = mark and f'.{mark}'
    return self._folder / f'{self._name}{self._patterns[kind].format(mark=mark)}'


_PATTERNS = {
  _MODEL: '{mark}.npz',
  _METRICS: '_metrics{mark}.jsonl',
  _LOG: '_training{mark}.log',
  _SETTINGS: '{mark}.toml',
  _CHECKPOINTS: '_checkpoints{mark}',
  _TABLE: '_metrics{mark}.csv',
  _EVENTS: '_tensorboard{mark}',
  _PROFILE: '_profile{mark}',
  _GENERATED: '_generated{mark}',
  _HELD_OUT_TABLE: '_held_out{mark}.csv',
  _HELD_OUT_PICTURE: '_held_out{mark}.svg',
}


def _is_of_a_user(path: Path) -> bool:
  """Whether there is a settings file that no run has written."""
  try:
    with open(path, 'rb') as file:
      return not file.readline(len(_TITLE)).startswith(_TITLE.encode())
  except FileNotFoundError:
    return False
  except OSError:
    return True


def _keep(path: Path, kept: Path) -> None:
  """Gives a file a second name, or copies it where the file system has one name for each. Raises CheckpointError."""
  try:
    try:
      os.link(path, kept)
    except OSError:
      shutil.copy2(path, kept)
  except OSError as error:
    with contextlib.suppress(OSError):
      kept.unlink()
    raise CheckpointError(f'{path} cannot be kept as {kept.name}: {error.strerror}') from error


def planned_files(config: RunConfig, *, goes_on: bool = False) -> RunFiles:
  """Files of a run that is not to be. Raises ConfigError if the folder could not be written; nothing is made."""
  folder = Path(config.output_dir)
  try:
    check_folder(folder)
  except OSError as error:
    raise ConfigError(f'output_dir: {folder} cannot be written: {error.strerror}') from error
  return RunFiles(folder, config.model_name, goes_on=goes_on)


@contextlib.contextmanager
def claimed_files(config: RunConfig, *, goes_on: bool = False, claim: bool = True) -> Iterator[RunFiles]:
  """Makes the output folder and holds a run's files against a second run. goes_on: as for `RunFiles`.

  claim: false for processes of a run that write none of them, but may read them.
  Raises ConfigError if the folder cannot be written, or if another run is writing the same files.
  """
  folder = Path(config.output_dir)
  if not claim:
    yield RunFiles(folder, config.model_name, goes_on=goes_on)
    return
  lock_path = folder / f'.{config.model_name}.lock'
  try:
    folder.mkdir(parents=True, exist_ok=True)
    lock = open(lock_path, 'a')  # noqa: SIM115 (it stays open as long as the run)
  except OSError as error:
    raise ConfigError(f'output_dir: {folder} cannot be written: {error.strerror}') from error
  with lock:
    files = RunFiles(folder, config.model_name, goes_on=goes_on)
    if not locked(lock):
      raise ConfigError(f'model_name: another run is writing {files.model}; wait for it or choose another name')
    with vanishing(lock_path):
      yield files
