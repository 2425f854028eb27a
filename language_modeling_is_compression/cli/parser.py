"""The command line of `lmic`: commands, flags and their help."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from language_modeling_is_compression import __version__
from language_modeling_is_compression.cli.selection import SUFFIX
from language_modeling_is_compression.codec.chunk_coder import DEFAULT_LANES
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.format.header import FORMAT_VERSIONS
from language_modeling_is_compression.system.files import STANDARD

_MOST_LANES = 1 << 16


class _Parser(argparse.ArgumentParser):
  """Reports wrong usage in one line, like every other error."""

  def error(self, message: str) -> NoReturn:
    self.exit(2, f'{self.prog}: error: {message}; see --help\n')


def parse(argv: Sequence[str]) -> argparse.Namespace:
  """The arguments of a command line; `command` is None if it names no command, and the help was printed.

  Names behind `--` are those of files, whatever they begin with. Exits with code 2 for wrong usage.
  """
  flags, names = list(argv), []
  if '--' in flags:
    place = flags.index('--')
    flags, names = flags[:place], flags[place + 1 :]
  parser = _parser()
  arguments = parser.parse_args(flags)
  if arguments.command is None:
    parser.print_help()
  elif names:
    arguments.files += names
  return arguments


def _parser() -> argparse.ArgumentParser:
  parser = _Parser(prog='lmic', description='Lossless audio compression by a language model.')
  formats = ' and '.join(map(str, FORMAT_VERSIONS))
  parser.add_argument('--version', action='version', version=f'lmic {__version__}, file formats {formats}')
  commands = parser.add_subparsers(metavar='COMMAND', dest='command')
  for name, help in (
    ('compress', 'compress files to FILE.lmic; every file comes back bit for bit, WAV or not'),
    ('decompress', 'restore FILE from FILE.lmic'),
    ('test', 'decode files and say what is wrong with them; write nothing'),
    ('info', 'list what files hold, without decoding them'),
  ):
    of_command = commands.add_parser(name, help=help, description=f'{help[0].upper()}{help[1:]}.')
    of_command.add_argument('files', nargs='*', metavar='FILE', type=_file, help=f'{STANDARD} is standard input')
    what = 'audio that is not compressed yet' if name == 'compress' else f'{SUFFIX} files'
    of_command.add_argument(
      '-r', action='append', default=[], dest='folders', metavar='DIR', help=f'all {what} below DIR as well'
    )
    of_command.add_argument(
      '--filelist',
      action='append',
      default=[],
      dest='lists',
      metavar='LIST',
      help='all files that LIST names, one a line (or each with a zero byte behind it); - is standard input',
    )
    if name != 'info':
      _add_work_flags(of_command)
    if name in ('compress', 'decompress'):
      _add_output_flags(of_command)
    if name == 'compress':
      of_command.add_argument(
        '--level',
        type=int,
        choices=LEVELS,
        help=f'from {min(LEVELS)}, short segments and a small network, fast, to {max(LEVELS)}, long segments and the '
        f'most work, small files (default: {DEFAULT_LEVEL}); of a hybrid model named with -m all but the network; '
        f'-{min(LEVELS)} to -{max(LEVELS)} for short',
      )
      for level in LEVELS:
        of_command.add_argument(f'-{level}', action='store_const', const=level, dest='level', help=argparse.SUPPRESS)
      of_command.add_argument(
        '--no-verify', action='store_true', help='do not decode and compare before a file counts as done'
      )
    if name == 'decompress':
      of_command.add_argument('--start', type=float, metavar='SECONDS', help='write a WAV of the part from here on')
      of_command.add_argument('--end', type=float, metavar='SECONDS', help='write a WAV of the part up to here')
      of_command.add_argument(
        '--salvage', action='store_true', help='write what is sound of a damaged file, and silence for the rest'
      )
    if name == 'info':
      of_command.add_argument('--json', action='store_true', help='a JSON list, one object per file')
  return parser


def _add_work_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '-m',
    dest='model',
    metavar='MODEL',
    help='a model file NAME.npz, or a packaged model: default, tiny or bytes (default: to compress, the one of the '
    'level; to decompress and test, the packaged one that wrote the file)',
  )
  parser.add_argument(
    '--lanes',
    type=_lanes,
    default=DEFAULT_LANES,
    metavar='N',
    help='chunks of a file in work at a time (default: %(default)s)',
  )
  parser.add_argument('--device', choices=('cpu', 'gpu'), default='cpu', help='where the model runs (default: cpu)')
  parser.add_argument('-q', action='store_true', dest='quiet', help='say nothing but errors')
  parser.add_argument('--no-progress', action='store_true', help='no progress bar')


def _lanes(text: str) -> int:
  if not text.isascii() or not text.isdigit() or len(text) > 9 or not 0 < int(text) <= _MOST_LANES:
    raise argparse.ArgumentTypeError(f'expected an integer from 1 to {_MOST_LANES}, got {text[:20]!r}')
  return int(text)


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '-o',
    dest='output',
    metavar='OUT',
    help='output file or existing folder, in which files lie as below the DIR of -r; - is standard output',
  )
  parser.add_argument('-c', action='store_true', dest='to_stdout', help='write to standard output')
  parser.add_argument('-f', action='store_true', dest='force', help='overwrite existing files')
  keep = parser.add_mutually_exclusive_group()
  keep.add_argument('-k', action='store_true', help='keep the source files (as it is without --rm)')
  keep.add_argument('--rm', action='store_true', dest='remove', help='remove each source once its output is sound')


def _file(name: str) -> str:
  """A file's name. What looks like a negative number is no flag to argparse, and no file to people."""
  if name.startswith('-') and name != STANDARD:
    raise argparse.ArgumentTypeError(f'unknown flag {name}; a file of that name is ./{name}')
  return name
