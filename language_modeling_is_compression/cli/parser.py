"""Command line of `lmic`: commands, flags and their help. Its namespace ends here, in options.py's classes."""

import argparse
import re
from collections.abc import Sequence

from language_modeling_is_compression.cli import options
from language_modeling_is_compression.cli.completion import SHELLS
from language_modeling_is_compression.cli.selection import SUFFIX
from language_modeling_is_compression.cli.usage import Parser
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.config import defaults
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.files import STANDARD
from language_modeling_is_compression.version import VERSIONS_READ, __version__

_MAX_LANES = 1 << 16
_MAX_THREADS = 1 << 10

COMMANDS = {
  'compress': 'compress files to FILE.lmic; every file comes back bit for bit, WAV or not',
  'decompress': 'restore FILE from FILE.lmic',
  'test': 'decode files and report what is wrong with them; write nothing',
  'info': 'list what files hold, without decoding them',
  'look': 'draw what a sound costs and what a model knows of it: pictures on one page, FILE.html',
  'generate': 'write sound that a model makes up, or goes on with',
}
# Flags that stand for a command, as zstd and gzip have them.
COMMAND_FLAGS = {
  '-z': 'compress',
  '--compress': 'compress',
  '-d': 'decompress',
  '--decompress': 'decompress',
  '-t': 'test',
  '--test': 'test',
  '-l': 'info',
  '--list': 'info',
}
_EPILOG = (
  'Without COMMAND files are compressed; -d, -t and -l stand for decompress, test and info, so `lmic -d FILE.lmic` '
  'restores FILE. `lmic COMMAND --help` lists the flags of a command.'
)
_CLUSTER = re.compile(r'-[A-Za-z0-9]{2,}')
_LETTERS_WITH_VALUE = 'moTr'
_A_MODEL = 'a model file NAME.npz or a packaged model (default, tiny or bytes)'


def parse(argv: Sequence[str]) -> options.Options | None:
  """Options of a command line; None if there is nothing on it, and the help was printed.

  Every name behind `--` is a file, even with a leading dash. Exits with code 2 for wrong usage, 0 after --help.
  Raises ConfigError for flags that contradict each other.
  """
  flags, names = list(argv), []
  if '--' in flags:
    place = flags.index('--')
    flags, names = flags[:place], flags[place + 1 :]
  parser = build_parser()
  if not flags and not names:
    parser.print_help()
    return None
  arguments = parser.parse_args(_with_command(flags))
  if arguments.command == 'generate':
    if names:
      parser.error(f'generate takes no files, got {names[0]}')
    return _generate_options(arguments)
  arguments.files += names
  return _options(arguments)


def build_parser() -> argparse.ArgumentParser:
  """Parser of the command, which its manual page and shell completions are made from too."""
  parser = Parser(prog='lmic', description='Lossless audio compression by a language model.', epilog=_EPILOG)
  parser.add_argument('-V', '--version', action='version', version=f'lmic {__version__}, file formats {VERSIONS_READ}')
  parser.add_argument('--completion', choices=SHELLS, action=_Completion, help='print the completion script of a shell')
  commands = parser.add_subparsers(metavar='COMMAND', dest='command', required=True)
  for name, help in COMMANDS.items():
    of_command = commands.add_parser(name, help=help, description=f'{help[0].upper()}{help[1:]}.')
    if name == 'generate':
      _add_generate_flags(of_command)
      continue
    if name == 'look':
      _add_look_flags(of_command)
      continue
    _add_selection_flags(of_command, 'audio that is not compressed yet' if name == 'compress' else f'{SUFFIX} files')
    if name != 'info':
      _add_work_flags(of_command)
    if name in ('compress', 'decompress'):
      _add_output_flags(of_command)
    if name == 'compress':
      _add_compress_flags(of_command)
    if name == 'decompress':
      of_command.add_argument('--start', type=float, metavar='SECONDS', help='write a WAV of the part from here on')
      of_command.add_argument('--end', type=float, metavar='SECONDS', help='write a WAV of the part up to here')
      of_command.add_argument(
        '--salvage', action='store_true', help='write what is sound of a damaged file, and silence for the rest'
      )
    if name == 'info':
      of_command.add_argument('--json', action='store_true', help='a JSON list, one object per file')
  return parser


class _Completion(argparse.Action):
  """Prints a completion script and exits."""

  def __call__(self, parser: argparse.ArgumentParser, *arguments: object, **_: object) -> None:
    from language_modeling_is_compression.cli.completion import script

    print(script(str(arguments[1]), build_parser()), end='')
    parser.exit()


def _with_command(flags: Sequence[str]) -> list[str]:
  """A command line that begins with a command: its own, the one that a flag stands for, or `compress`."""
  if flags and (flags[0] in COMMANDS or flags[0].split('=')[0] in ('-h', '--help', '-V', '--version', '--completion')):
    return list(flags)
  command, rest = 'compress', []
  for flag in flags:
    if flag in COMMAND_FLAGS:
      command = COMMAND_FLAGS[flag]
    elif _CLUSTER.fullmatch(flag):
      own = next((at for at, letter in enumerate(flag) if letter in _LETTERS_WITH_VALUE), len(flag))
      letters = [f'-{letter}' for letter in flag[1:own]]
      command = next((COMMAND_FLAGS[letter] for letter in letters if letter in COMMAND_FLAGS), command)
      kept = '-' + ''.join(letter[1] for letter in letters if letter not in COMMAND_FLAGS) + flag[own:]
      rest += [kept] if kept != '-' else []
    else:
      rest.append(flag)
  return [command, *rest]


def _options(arguments: argparse.Namespace) -> options.Options:
  if arguments.command == 'look':
    return _look_options(arguments)
  selection = options.Selection(
    files=tuple(arguments.files), folders=tuple(arguments.folders), lists=tuple(arguments.lists)
  )
  if arguments.command == 'info':
    return options.Info(selection=selection, json=arguments.json)
  work = options.Work(
    model=arguments.model,
    device=arguments.device,
    lanes=arguments.lanes,
    threads=arguments.threads or None,
    quiet=arguments.quiet,
    verbose=arguments.verbose,
    no_progress=arguments.no_progress,
  )
  if arguments.command == 'test':
    return options.Test(selection=selection, work=work)
  destination = _destination(arguments)
  if arguments.command == 'compress':
    return options.Compress(
      selection=selection,
      work=work,
      destination=destination,
      level=arguments.level,
      verify=not arguments.no_verify,
      raw=arguments.raw,
      decode=arguments.decode,
    )
  return options.Decompress(
    selection=selection,
    work=work,
    destination=destination,
    start=arguments.start,
    end=arguments.end,
    salvage=arguments.salvage,
  )


def _generate_options(arguments: argparse.Namespace) -> options.Generate:
  return options.Generate(
    model=arguments.model,
    output=_STANDARD_NAMES.get(arguments.output, arguments.output),
    duration=arguments.duration,
    sample_rate=arguments.sample_rate,
    num_channels=arguments.num_channels,
    bit_depth=arguments.bit_depth,
    num_sequences=arguments.num_sequences,
    temperatures=tuple(arguments.temperature),
    top_p=arguments.top_p,
    seed=arguments.seed,
    seed_audio=arguments.seed_audio,
    seed_offset=arguments.seed_offset,
    seed_duration=arguments.seed_duration,
    include_seed=arguments.include_seed,
    threads=arguments.threads or None,
    force=arguments.force,
    quiet=arguments.quiet,
    no_progress=arguments.no_progress,
  )


def _look_options(arguments: argparse.Namespace) -> options.Look:
  if len(arguments.files) != 1:
    raise ConfigError(f'look: expected one FILE, got {len(arguments.files)}')
  return options.Look(
    file=arguments.files[0],
    models=tuple(arguments.models),
    output=_STANDARD_NAMES.get(arguments.output, arguments.output),
    force=arguments.force,
    start=arguments.start,
    end=arguments.end,
    threads=arguments.threads or None,
    quiet=arguments.quiet,
    no_progress=arguments.no_progress,
  )


def _destination(arguments: argparse.Namespace) -> options.Destination:
  output = _STANDARD_NAMES.get(arguments.output, arguments.output)
  if arguments.to_stdout and output not in (None, STANDARD):
    raise ConfigError('-c and -o: choose one')
  output = STANDARD if arguments.to_stdout else output
  named = [output is not None, arguments.flat is not None, arguments.mirror is not None]
  if sum(named) > 1:
    raise ConfigError('-o, -c, --output-dir-flat and --output-dir-mirror: choose one')
  return options.Destination(
    output=output, flat=arguments.flat, mirror=arguments.mirror, force=arguments.force, remove=arguments.remove
  )


_STANDARD_NAMES = {'/dev/stdout': STANDARD}


def _add_selection_flags(parser: argparse.ArgumentParser, what: str) -> None:
  parser.add_argument('files', nargs='*', metavar='FILE', type=_file, help=f'{STANDARD} is standard input')
  parser.add_argument(
    '-r', action='append', default=[], dest='folders', metavar='DIR', help=f'all {what} below DIR as well'
  )
  parser.add_argument(
    '--filelist',
    action='append',
    default=[],
    dest='lists',
    metavar='LIST',
    help='all files that LIST names, one a line (or each with a zero byte behind it); - is standard input',
  )


def _add_generate_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '-m',
    '--model',
    default=LEVELS[DEFAULT_LEVEL].model,
    metavar='MODEL',
    help=f'{_A_MODEL} (default: %(default)s)',
  )
  parser.add_argument(
    '-o',
    '--output',
    required=True,
    metavar='OUT',
    help='the WAV file to write; OUT_1, OUT_2 and so on for several sequences; - is standard output',
  )
  parser.add_argument('--duration', type=float, default=3.0, metavar='SECONDS', help='length (default: %(default)g)')
  parser.add_argument(
    '--sample_rate',
    type=int,
    metavar='HZ',
    help="sample rate (default: the seed audio's, or what MODEL was trained on)",
  )
  parser.add_argument(
    '--num_channels', type=int, metavar='N', help="channels (default: the seed audio's, or what MODEL makes)"
  )
  parser.add_argument(
    '--bit_depth', type=int, metavar='BITS', help="bits of a sample (default: the seed audio's, or what MODEL makes)"
  )
  parser.add_argument(
    '--num_sequences', type=_sequences, default=1, metavar='N', help='sounds to make at a time (default: %(default)s)'
  )
  parser.add_argument(
    '--temperature',
    type=float,
    nargs='+',
    default=[defaults.TEMPERATURE],
    metavar='T',
    help="1 draws by the model's own probabilities, less draws likelier symbols more often, 0 draws the likeliest; one "
    f'for all sequences or one for each (default: {defaults.TEMPERATURE})',
  )
  parser.add_argument(
    '--top_p',
    type=float,
    default=defaults.TOP_P,
    metavar='P',
    help='draw from the likeliest symbols alone that have a share P of all probability; 1 draws from all (default: '
    '%(default)s)',
  )
  parser.add_argument(
    '--seed',
    type=int,
    default=0,
    metavar='N',
    help='of the random numbers; the same one makes the same file on every machine (default: %(default)s)',
  )
  parser.add_argument('--seed_audio', metavar='FILE', help='go on with this audio file (default: begin a file)')
  parser.add_argument(
    '--seed_offset', type=float, default=0.0, metavar='SECONDS', help='go on with what comes after this time of it'
  )
  parser.add_argument(
    '--seed_duration',
    type=float,
    metavar='SECONDS',
    help='go on with no more than so much of it (default: up to its end)',
  )
  parser.add_argument(
    '--include_seed', action='store_true', help='write the seed audio too, before what goes on with it'
  )
  _add_threads_flag(parser)
  parser.add_argument('-f', '--force', action='store_true', help='overwrite existing files')
  _add_quiet_flags(parser)


def _add_work_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '-m',
    '--model',
    dest='model',
    metavar='MODEL',
    help=f'{_A_MODEL}, or linear, which has no network (default: to compress, the one of the level; to decompress and '
    'test, the packaged one that wrote the file)',
  )
  _add_threads_flag(parser)
  parser.add_argument(
    '--lanes',
    type=_lanes,
    metavar='N',
    help=f'chunks in work at a time (default: as many as there are threads; of byte models {defaults.LANES} of a file)',
  )
  parser.add_argument('--device', choices=('cpu', 'gpu'), default='cpu', help='where the model runs (default: cpu)')
  loudness = parser.add_mutually_exclusive_group()
  loudness.add_argument('-q', '--quiet', action='store_true', help='print nothing but errors')
  loudness.add_argument('-v', '--verbose', action='store_true', help='print model, threads and how chunks are coded')
  parser.add_argument('--no-progress', action='store_true', help='no progress bar')


def _add_look_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    'files', nargs='*', metavar='FILE', type=_file, help='a WAV of 8 to 32 bits, FLAC, or .lmic file; one'
  )
  parser.add_argument(
    '-m',
    '--model',
    action='append',
    default=[],
    dest='models',
    metavar='MODEL',
    help=f'{_A_MODEL}; given twice, two models are compared (default: the one that wrote a .lmic file, else `default`)',
  )
  parser.add_argument(
    '-o', '--output', metavar='OUT', help='the page (default: FILE.html beside FILE); - is standard output'
  )
  parser.add_argument('-f', '--force', action='store_true', help='overwrite an existing page')
  parser.add_argument('--start', type=float, metavar='SECONDS', help='look at the part from here on')
  parser.add_argument('--end', type=float, metavar='SECONDS', help='look at the part up to here')
  _add_threads_flag(parser)
  _add_quiet_flags(parser)


def _add_quiet_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument('-q', '--quiet', action='store_true', help='print nothing but errors')
  parser.add_argument('--no-progress', action='store_true', help='no progress bar')


def _add_threads_flag(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '-T',
    '--threads',
    type=_threads,
    default=0,
    metavar='N',
    help='threads, on cores of their own; 0 is one on each core (default)',
  )


def _add_compress_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '--level',
    type=int,
    choices=LEVELS,
    help=f'from {min(LEVELS)}, short segments and no network, fast, to {max(LEVELS)}, long segments and the '
    f'most work, small files (default: {DEFAULT_LEVEL}); of a hybrid model named with -m all but the network; '
    f'-{min(LEVELS)} to -{max(LEVELS)} for short',
  )
  for level in LEVELS:
    parser.add_argument(f'-{level}', action='store_const', const=level, dest='level', help=argparse.SUPPRESS)
  parser.add_argument(
    '--raw',
    metavar='FORMAT,RATE,CHANNELS',
    help='take files as samples without a header; FORMAT is s16le, s24be, u8, f32le, alaw, mulaw and so on, as in '
    's16le,44100,2. Where it is not given, files of no known kind are looked at, and coded as sound if that pays',
  )
  parser.add_argument(
    '--decode',
    action='store_true',
    help='code the sound of FLAC files, which makes them smaller; they come back byte for byte where the same version '
    'of the program flac is installed, and a file that it does not make again is refused',
  )
  parser.add_argument('--no-verify', action='store_true', help='do not verify the output by decoding it')


def _add_output_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    '-o',
    '--output',
    dest='output',
    metavar='OUT',
    help='output file or existing folder, in which files lie as below the DIR of -r; - is standard output',
  )
  parser.add_argument('-c', '--stdout', action='store_true', dest='to_stdout', help='write to standard output')
  parser.add_argument(
    '--output-dir-flat', dest='flat', metavar='DIR', help='write all outputs into DIR, which is made if it is missing'
  )
  parser.add_argument(
    '--output-dir-mirror', dest='mirror', metavar='DIR', help='write outputs below DIR, in folders like their sources'
  )
  parser.add_argument('-f', '--force', action='store_true', help='overwrite existing files')
  keep = parser.add_mutually_exclusive_group()
  keep.add_argument('-k', '--keep', action='store_true', help='keep the source files (the default)')
  keep.add_argument('--rm', action='store_true', dest='remove', help='remove each source once its output is sound')


def _sequences(text: str) -> int:
  return _number(text, 1, defaults.MAX_SEQUENCES)


def _lanes(text: str) -> int:
  return _number(text, 1, _MAX_LANES)


def _threads(text: str) -> int:
  return _number(text, 0, _MAX_THREADS)


def _number(text: str, low: int, high: int) -> int:
  if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
    raise argparse.ArgumentTypeError(f'expected an integer from {low} to {high}, got {text[:20]!r}')
  return int(text)


def _file(name: str) -> str:
  """A file's name. What looks like a negative number is no flag to argparse, and no file to people."""
  if name.startswith('-') and name != STANDARD:
    raise argparse.ArgumentTypeError(f'unknown flag {name}; use ./{name} for a file of that name')
  return name
