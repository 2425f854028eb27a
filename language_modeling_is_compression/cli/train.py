"""Trains a language model on folders of audio files: train-audio --audio_dir DIR [flags]."""

import contextlib
import io
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from language_modeling_is_compression.cli.usage import Parser, add_plugin_flag, plugins_are_loaded
from language_modeling_is_compression.config.families import FAMILIES
from language_modeling_is_compression.config.options import TENSORBOARD, TrainingSettings
from language_modeling_is_compression.config.settings import add_flags, configs_of, read_settings
from language_modeling_is_compression.config.toml_text import toml_text
from language_modeling_is_compression.data import paths as default_paths
from language_modeling_is_compression.data.folders import AudioPaths, find_folders, warn_of_unused
from language_modeling_is_compression.errors import CheckpointError, ConfigError, LmicError
from language_modeling_is_compression.system.extras import require_extra, require_module
from language_modeling_is_compression.system.files import replacing
from language_modeling_is_compression.system.interrupts import end_process
from language_modeling_is_compression.training.log_file import log_to_file
from language_modeling_is_compression.training.run_files import claimed_files, planned_files
from language_modeling_is_compression.training.stopper import Stopper

if TYPE_CHECKING:
  from language_modeling_is_compression.training.task import Task

_logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None, *, paths: AudioPaths = default_paths, prog: str = 'train-audio') -> int:
  """Returns 0 when done, 1 if the data or the run failed, 2 for wrong usage, 128 + N if signal N ended it.

  paths: says which files there are and on which side they stand. prog: the command's name.
  """
  if not plugins_are_loaded(argv, prog):
    return 2
  parser = Parser(prog=prog, description='Trains a language model on folders of audio files.')
  add_flags(parser, TrainingSettings)
  add_plugin_flag(parser)
  parser.add_argument(
    '--print_config', action='store_true', help='print all settings as a file for --config, and train nothing'
  )
  parser.add_argument(
    '--dry_run', action='store_true', help='say what the run will take: memory, disk, time; train and write nothing'
  )
  arguments = parser.parse_args(argv)
  _log_to_stderr()
  stopper = Stopper(prog)
  try:
    with stopper.installed():
      settings = read_settings(vars(arguments), TrainingSettings)
      if arguments.print_config:
        _print_config(settings)
        return 0
      return _train(stopper, settings, paths, dry=arguments.dry_run)
  except LmicError as error:
    print(f'{prog}: error: {error}', file=sys.stderr)
    return _failed(2 if isinstance(error, ConfigError) else 1)
  except KeyboardInterrupt:
    print(f'{prog}: interrupted; a model that is saved already stays', file=sys.stderr)
    exit_code = 128 + (stopper.signal or signal.SIGINT)
    if 'jax' in sys.modules:
      end_process(exit_code)  # Where JAX was at work its threads would crash the interpreter as it ends.
    return exit_code


def _failed(exit_code: int) -> int:
  """The exit code, after what has to be done where other processes belong to the run."""
  if 'jax' not in sys.modules:
    return exit_code
  from language_modeling_is_compression.training.processes import leave

  return leave(exit_code)


def _print_config(settings: TrainingSettings) -> None:
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(encoding='utf-8')  # Which TOML files are in, whatever the terminal's.
  print(toml_text(configs_of(settings), family=settings.family.model), end='')


def _train(stopper: Stopper, settings: TrainingSettings, paths: AudioPaths, *, dry: bool) -> int:
  if dry and settings.finder.find_learning_rate:
    raise ConfigError('dry_run: a sweep of the learning rate has none: leave it or --find_learning_rate out')
  folders = find_folders(settings.folders.audio_dir, settings.folders.valid_fraction, paths)
  require_extra('train')
  if TENSORBOARD in settings.logging.logger_names:
    require_module('tensorboardX', f'--loggers {TENSORBOARD}')
  if settings.finder.find_learning_rate:
    require_module('matplotlib', '--find_learning_rate')
  # Imported late: JAX takes seconds, and wrong flags are reported at once.
  task_module = FAMILIES[settings.family.model].task_module()
  task_module.check(settings, folders)
  from language_modeling_is_compression.training.plan import use_all_cores
  from language_modeling_is_compression.training.processes import join_processes
  from language_modeling_is_compression.training.resume import check_init_from, chosen_checkpoint, same_beginning
  from language_modeling_is_compression.training.run import train_model

  use_all_cores()
  if settings.finder.find_learning_rate:
    warn_of_unused(folders, paths)
    with claimed_files(settings.run):
      check_init_from(settings)
      return _find_learning_rate(stopper, settings, task_module.make_task(settings, folders))
  processes = join_processes(settings.processes, stopper.command)
  with contextlib.ExitStack() as stack:
    goes_on = settings.checkpoint.resume
    with processes.together():
      if dry:
        files = planned_files(settings.run, goes_on=goes_on)
      else:
        files = stack.enter_context(claimed_files(settings.run, goes_on=goes_on, claim=processes.is_first))
      # Before the log file, which a run that cannot begin leaves alone.
      checkpoint = chosen_checkpoint(settings, files)
      check_init_from(settings)
    if processes.is_first and not dry:
      stack.enter_context(log_to_file(files))
    try:
      with processes.together():
        warn_of_unused(folders, paths)
        make_task = task_module.make_dry_task if dry else task_module.make_task
        task = make_task(settings, folders)
      processes.check_same('settings, files and checkpoint', same_beginning(settings, task, checkpoint))
      outcome = train_model(
        settings, task, files=files, stopper=stopper, checkpoint=checkpoint, processes=processes, dry=dry
      )
    except LmicError as error:
      _logger.debug('ended by an error: %s', error)
      raise
  if outcome.is_saved and processes.is_first:
    print(files.model)
  return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


def _find_learning_rate(stopper: Stopper, settings: TrainingSettings, task: 'Task') -> int:
  """Sweeps the learning rate, writes figures and a picture, prints the suggestion. An earlier sweep's are replaced."""
  from language_modeling_is_compression.evaluation.report.learning_rates import loss_over_rate
  from language_modeling_is_compression.evaluation.report.style import svg
  from language_modeling_is_compression.training.learning_rate_finder import suggested_rate, sweep, write_points

  points = sweep(settings, task, stopper)
  if stopper.signal is not None:
    return 128 + stopper.signal
  suggested = suggested_rate(points)
  table = Path(settings.run.output_dir) / f'{settings.run.model_name}_learning_rates.csv'
  picture = table.with_suffix('.svg')
  try:
    write_points(table, points)
    with replacing(picture) as file:
      file.write(svg(loss_over_rate(points, suggested, task.unit), 'rates').encode())
  except OSError as error:
    raise CheckpointError(f'{table.with_suffix(".*")}: cannot be written: {error.strerror}') from error
  if suggested is None:
    _logger.warning(
      'the loss did not come down, so nothing is suggested; try other --find_from and --find_to, or more steps'
    )
  else:
    _logger.info('suggested, a tenth of the rate at which the smoothed loss is lowest: --learning_rate %.2g', suggested)
  print(table)
  print(picture)
  if suggested is not None:
    print(f'{suggested:.2g}')
  return 0


def _log_to_stderr() -> None:
  handler = logging.StreamHandler()
  handler.setFormatter(logging.Formatter('%(message)s'))
  handler.setLevel(logging.INFO)
  logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
  logging.getLogger('language_modeling_is_compression').setLevel(logging.DEBUG)
