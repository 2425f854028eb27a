"""Measures compression rates on a folder of audio files: evaluate-audio --audio_dir DIR [flags]."""

import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from language_modeling_is_compression.cli.usage import Parser, add_plugin_flag, plugins_are_loaded
from language_modeling_is_compression.config.options import EvaluationConfig
from language_modeling_is_compression.config.settings import add_flags, read_settings
from language_modeling_is_compression.data import paths as default_paths
from language_modeling_is_compression.data.folders import AudioPaths
from language_modeling_is_compression.data.header_index import read_headers
from language_modeling_is_compression.errors import AudioFormatError, ConfigError, LmicError
from language_modeling_is_compression.evaluation.recordings import Recording
from language_modeling_is_compression.kernels.compilation import require_compiler
from language_modeling_is_compression.system.extras import require_extra
from language_modeling_is_compression.system.interrupts import ended_soon

_logger = logging.getLogger(__name__)

# Modules whose messages about long work are shown.
_HEARD = ('language_modeling_is_compression.kernels.compilation', 'language_modeling_is_compression.system.progress')


def main(argv: Sequence[str] | None = None, *, paths: AudioPaths = default_paths, prog: str = 'evaluate-audio') -> int:
  """Returns 0 when done, 1 if something could not be measured, 2 for wrong usage, 130 if interrupted.

  paths: says which files there are and on which side they stand. prog: the command's name.
  """
  interrupted = f'{prog}: interrupted; --resume goes on with what is measured'
  if not plugins_are_loaded(argv, prog):
    return 2
  parser = Parser(prog=prog, description='Measures compression rates on a folder of audio files.')
  add_flags(parser, EvaluationConfig)
  add_plugin_flag(parser)
  arguments = parser.parse_args(argv)
  logging.basicConfig(format='%(message)s', level=logging.WARNING, force=True)
  for name in _HEARD:
    logging.getLogger(name).setLevel(logging.INFO)
  with ended_soon(interrupted):
    try:
      settings = read_settings(vars(arguments), EvaluationConfig)
      return _evaluate(settings, [prog, *(sys.argv[1:] if argv is None else argv)], paths)
    except LmicError as error:
      print(f'{prog}: error: {error}', file=sys.stderr)
      return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
      print(interrupted, file=sys.stderr)
      return 130


def _evaluate(settings: EvaluationConfig, command: Sequence[str], paths: AudioPaths) -> int:
  if settings.model_path:
    require_compiler()
  recordings, unreadable = _recordings(settings, paths)
  require_extra('evaluate')
  if settings.wandb_project:
    require_extra('train')
  # Imported late: it takes seconds, and wrong flags are reported at once.
  from language_modeling_is_compression.evaluation.run import evaluate

  text, complete = evaluate(settings, recordings, unreadable, shlex.join(command))
  print(text)
  return 0 if complete else 1


def _recordings(settings: EvaluationConfig, paths: AudioPaths) -> tuple[list[Recording], dict[str, str]]:
  """The files of a split, and why some cannot be read, by name. Raises ConfigError if there is none."""
  folder = Path(settings.audio_dir)
  if settings.split == 'all':
    files = paths.get_all_paths(folder)
  elif settings.split == 'test':
    files = paths.get_test_paths(folder)
  else:
    files = getattr(paths.partition_paths(folder, settings.valid_fraction), settings.split)
  recordings, unreadable = [], {}
  for path, info in zip(files, read_headers(folder, files, show_progress=not settings.no_progress), strict=True):
    name = path.relative_to(folder).as_posix()
    if not isinstance(info, AudioFormatError) and not info.num_frames:
      info = AudioFormatError(f'{path}: expected samples, got none')
    if isinstance(info, AudioFormatError):
      _logger.warning('skipped: %s', info)
      unreadable[name] = str(info)
    else:
      domain = paths.domain_of(name) or folder.resolve().name
      recordings.append(Recording(name=name, domain=domain, info=info, bit_depth=None))
  other = paths.describe_other_audio(paths.get_other_audio_paths(folder))
  if not recordings:
    side = '' if settings.split == 'all' else f' for --split {settings.split}'
    raise ConfigError(
      f'audio_dir: {folder}: expected audio files with samples{side}, found none{other and f"; {other}"}'
    )
  if other:
    _logger.warning('%s', other)
  return recordings, unreadable
