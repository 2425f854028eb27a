"""The `lmic` command: compress, decompress, test and info."""

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from language_modeling_is_compression import __version__, codec
from language_modeling_is_compression.chunk_coder import DEFAULT_LANES, ChunkCoder, StoppedError
from language_modeling_is_compression.container import Container
from language_modeling_is_compression.cores import usable_cores
from language_modeling_is_compression.errors import ConfigError, FormatError, LmicError
from language_modeling_is_compression.files import STANDARD, input_file, output_file, remove_source
from language_modeling_is_compression.header import FORMAT_VERSIONS, Header
from language_modeling_is_compression.inference.predictor import Predictor, SegmentPredictor
from language_modeling_is_compression.levels import DEFAULT_LEVEL, LEVELS, Level
from language_modeling_is_compression.listing import facts_of, print_table
from language_modeling_is_compression.outputs import SUFFIX, Outputs, compressed_name, find_sources, without_suffix
from language_modeling_is_compression.turns import each_file, printable, say, several_files

_MOST_LANES = 1 << 16
_MOST_FILES = 4  # In work at a time: each has its own chunks in memory.


class _Parser(argparse.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    self.exit(2, f'{self.prog}: error: {message}; see --help\n')


class _TerminatedError(BaseException):
  """SIGTERM came: unfinished output is removed on the way out, as for Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
  """Returns 0 when all is done, 1 if a file failed, 2 for wrong usage, 128 + N if signal N ended it."""
  _open_closed_streams()
  arguments = _parser().parse_args(argv)
  with _sigterm_raises():
    try:
      code = arguments.command(arguments)
      if sys.stdout is not None:
        sys.stdout.flush()
      return code
    except LmicError as error:
      print(f'lmic: error: {printable(str(error))}', file=sys.stderr)
      return 2 if isinstance(error, ConfigError) else 1
    except BrokenPipeError:
      # Whoever read our output has gone.
      _drop_output()
      return 1
    except OSError as error:
      print(f'lmic: error: {printable(str(error.filename or "standard output"))}: {error.strerror}', file=sys.stderr)
      _drop_output()
      return 1
    except KeyboardInterrupt:
      print('lmic: interrupted; unfinished output was removed', file=sys.stderr)
      return 128 + signal.SIGINT
    except _TerminatedError:
      return 128 + signal.SIGTERM


def _open_closed_streams() -> None:
  """So that no file that is opened gets the number of a standard stream, and no error is lost for lack of one."""
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)
  if sys.stderr is None:
    sys.stderr = open(os.devnull, 'w')  # noqa: SIM115 - for as long as the process lasts


def _drop_output() -> None:
  """What is buffered for standard output must not be flushed at exit."""
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _parser() -> argparse.ArgumentParser:
  parser = _Parser(prog='lmic', description='Lossless audio compression by a language model.')
  formats = ' and '.join(map(str, FORMAT_VERSIONS))
  parser.add_argument('--version', action='version', version=f'lmic {__version__}, file formats {formats}')
  commands = parser.add_subparsers(required=True, metavar='COMMAND')
  for name, command, help in (
    ('compress', _compress, 'compress files to FILE.lmic; every file comes back bit for bit, WAV or not'),
    ('decompress', _decompress, 'restore FILE from FILE.lmic'),
    ('test', _test, 'decode files and say what is wrong with them; write nothing'),
    ('info', _info, 'list what files hold, without decoding them'),
  ):
    of_command = commands.add_parser(name, help=help, description=f'{help[0].upper()}{help[1:]}.')
    of_command.set_defaults(command=command)
    of_command.add_argument('files', nargs='*', metavar='FILE', help='- is standard input')
    suffix = '.wav' if name == 'compress' else SUFFIX
    of_command.add_argument(
      '-r', action='append', default=[], dest='folders', metavar='DIR', help=f'all {suffix} files below DIR as well'
    )
    of_command.set_defaults(suffix=suffix)
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
        f'most work, small files (default: {DEFAULT_LEVEL}); of a hybrid model named with -m all but the network',
      )
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
  parser.add_argument('-o', dest='output', metavar='OUT', help='output file or existing folder; - is standard output')
  parser.add_argument('-c', action='store_true', dest='to_stdout', help='write to standard output')
  parser.add_argument('-f', action='store_true', dest='force', help='overwrite existing files')
  keep = parser.add_mutually_exclusive_group()
  keep.add_argument('-k', action='store_true', help='keep the source files (as it is without --rm)')
  keep.add_argument('--rm', action='store_true', dest='remove', help='remove each source once its output is sound')


def _compress(arguments: argparse.Namespace) -> int:
  outputs = _outputs(arguments, compressed_name)
  if len(outputs.sources) > 1 and outputs.to_stdout:
    raise ConfigError('standard output: several .lmic files in a row cannot be told apart; compress one at a time')
  level = LEVELS[DEFAULT_LEVEL if arguments.level is None else arguments.level]
  predictor = _load(arguments.model or level.network, arguments)
  if arguments.level is not None and not isinstance(predictor, SegmentPredictor):
    which = arguments.model or 'the packaged model'
    raise ConfigError(f'--level: {which} is a byte model, which has no levels: name a hybrid one with -m, or no level')
  with ChunkCoder(predictor, arguments.lanes) as coder:

    def work(source: str) -> None:
      _compress_one(arguments, source, outputs.target(source), coder, level)

    return _several(arguments, outputs.sources, outputs.are_independent(), work, coder.stop)


def _compress_one(
  arguments: argparse.Namespace, source: str, target: Path | None, coder: ChunkCoder, level: Level
) -> None:
  started = time.monotonic()
  verify = not arguments.no_verify
  with (
    input_file(source) as path,
    output_file(target, source, force=arguments.force, spooled=verify) as file,
  ):
    before = path.stat()
    with _progress(arguments, source, before.st_size) as progress:
      compressed = codec.compress(path, file, coder, progress, level)
    if verify:
      file.flush()
      # The footer has the hash of what was read, so this compares with the source.
      with (
        _progress(arguments, f'{source}, verifying', compressed.header.original_bytes) as progress,
        open(os.devnull, 'wb') as nowhere,
      ):
        codec.decompress(Container(file, compressed.num_bytes), nowhere, coder, progress)
  if arguments.remove:
    remove_source(source, before)
  _say_result(arguments, source, compressed, time.monotonic() - started, verify)


def _decompress(arguments: argparse.Namespace) -> int:
  outputs = _outputs(arguments, without_suffix)
  if _wants_part(arguments):
    if arguments.salvage:
      raise ConfigError('--salvage: it writes the whole file, so it does not go with --start and --end')
    if outputs.output is None and not outputs.to_stdout:
      raise ConfigError('--start, --end: a part is not the file that was compressed: name it with -o')
    if arguments.remove:
      raise ConfigError('--rm: the rest of the file would be lost')

  def work(source: str, before: os.stat_result, container: Container, coder: ChunkCoder) -> None:
    _decompress_one(arguments, source, outputs.target(source), before, container, coder)

  return _each_container(arguments, outputs.sources, outputs.are_independent(), work)


def _decompress_one(
  arguments: argparse.Namespace,
  source: str,
  target: Path | None,
  before: os.stat_result,
  container: Container,
  coder: ChunkCoder,
) -> None:
  started = time.monotonic()
  wrong: list[str] = []
  with (
    output_file(target, source, force=arguments.force, spooled=False) as file,
    _progress(arguments, source, container.header.original_bytes) as progress,
  ):
    if arguments.salvage:
      wrong = codec.salvage(container, file, coder, progress)
    elif _wants_part(arguments):
      start = 0.0 if arguments.start is None else arguments.start
      end = math.inf if arguments.end is None else arguments.end
      codec.decompress_span(container, file, coder, start, end, progress)
    else:
      codec.decompress(container, file, coder, progress)
  _say_damage(source, wrong, 'what is sound was written, with silence in the gaps')
  if arguments.remove:
    remove_source(source, before)
  if not _wants_part(arguments):
    file_read = codec.Compressed(container.header, container.file_bytes, fallback_chunks=0)
    _say_result(arguments, source, file_read, time.monotonic() - started, True)


def _test(arguments: argparse.Namespace) -> int:
  sources = _sources(arguments)

  def work(source: str, before: os.stat_result, container: Container, coder: ChunkCoder) -> None:
    _test_one(arguments, source, container, coder)

  return _each_container(arguments, sources, STANDARD not in sources, work)


def _test_one(arguments: argparse.Namespace, source: str, container: Container, coder: ChunkCoder) -> None:
  with _progress(arguments, source, container.header.original_bytes) as progress:
    wrong = codec.find_damage(container, coder, progress)
  _say_damage(source, wrong, '`lmic decompress --salvage` writes what is sound')
  if not arguments.quiet:
    say(f'{source}: ok')


def _info(arguments: argparse.Namespace) -> int:
  listed: list[dict[str, Any]] = []

  def list_one(source: str) -> None:
    with input_file(source) as path, open(path, 'rb') as file:
      listed.append({'file': source, **facts_of(Container(file, path.stat().st_size))})

  code = each_file(_sources(arguments), list_one)
  if arguments.json:
    print(json.dumps(listed, indent=2))
  elif listed:
    print_table(listed)
  return code if all(facts['problems'] == [] for facts in listed) else 1


def _several(
  arguments: argparse.Namespace,
  sources: Sequence[str],
  are_independent: bool,
  work: Callable[[str], object],
  stop: Callable[[], object],
) -> int:
  """As `each_file`, several at a time where that makes no difference: one of a single segment keeps one core busy."""
  at_a_time = min(usable_cores(), len(sources), arguments.lanes, _MOST_FILES)
  if at_a_time == 1 or not are_independent:
    return each_file(sources, work)
  return several_files(sources, work, stop, at_a_time)


def _each_container(
  arguments: argparse.Namespace,
  sources: Sequence[str],
  are_independent: bool,
  work: Callable[[str, os.stat_result, Container, ChunkCoder], object],
) -> int:
  with contextlib.ExitStack() as coders:
    made: dict[str | bytes | None, ChunkCoder] = {}
    making, stopped = threading.Lock(), threading.Event()

    def coder_of(header: Header) -> ChunkCoder:
      model = arguments.model or header.model_id if any(header.model_id) else None
      with making:
        if stopped.is_set():
          raise StoppedError
        if model not in made:
          predictor = _predictor_of(header, arguments) if model else None
          made[model] = coders.enter_context(ChunkCoder(predictor, arguments.lanes))
        return made[model]

    def work_on(source: str) -> None:
      with input_file(source) as path, open(path, 'rb') as file:
        before = os.fstat(file.fileno())
        container = Container(file, before.st_size)
        work(source, before, container, coder_of(container.header))

    def stop() -> None:
      stopped.set()
      with making:
        for coder in made.values():
          coder.stop()

    return _several(arguments, sources, are_independent, work_on, stop)


def _load(model: str, arguments: argparse.Namespace) -> Predictor | SegmentPredictor:
  # What it imports takes a second, and wrong usage is told at once.
  from language_modeling_is_compression.inference.loading import load_predictor

  return load_predictor(model, arguments.device)


def _predictor_of(header: Header, arguments: argparse.Namespace) -> Predictor | SegmentPredictor:
  """The model that is named, or else the packaged one that wrote the file."""
  if arguments.model:
    return _load(arguments.model, arguments)
  from language_modeling_is_compression.inference.loading import find_predictor

  # Those of levels of its effort are the likeliest.
  levels = sorted(LEVELS.values(), key=lambda level: level.effort != header.effort)
  names = ['bytes'] if header.effort is None else [level.network for level in levels]
  return find_predictor(header.model_id, names, arguments.device)


def _sources(arguments: argparse.Namespace) -> list[str]:
  return find_sources(arguments.files, arguments.folders, arguments.suffix)


def _outputs(arguments: argparse.Namespace, rename: Callable[[str], str]) -> Outputs:
  """Of all sources; raises ConfigError for what cannot be meant."""
  if arguments.to_stdout and arguments.output not in (None, STANDARD):
    raise ConfigError('-c and -o: choose one')
  output = STANDARD if arguments.to_stdout else arguments.output
  outputs = Outputs(sources=_sources(arguments), rename=rename, output=output)
  outputs.check(force=arguments.force, remove=arguments.remove)
  return outputs


def _wants_part(arguments: argparse.Namespace) -> bool:
  return arguments.start is not None or arguments.end is not None


@contextlib.contextmanager
def _progress(arguments: argparse.Namespace, what: str, total_bytes: int) -> Iterator[codec.Progress]:
  hidden = arguments.quiet or arguments.no_progress or not sys.stderr.isatty()
  with tqdm(total=total_bytes, desc=printable(what), unit='B', unit_scale=True, leave=False, disable=hidden) as bar:
    yield bar.update


def _say_result(
  arguments: argparse.Namespace, source: str, compressed: codec.Compressed, seconds: float, verified: bool
) -> None:
  """Chunks that fell back are said if there are any."""
  if arguments.quiet:
    return
  header, compressed_bytes, fallback_chunks = compressed
  samples = header.num_frames * header.num_channels
  figures = [f'{header.original_bytes:,} bytes, {compressed_bytes:,} compressed']
  if header.original_bytes:
    figures.append(f'{compressed_bytes / header.original_bytes:.1%}')
  if samples:
    figures.append(f'{8 * compressed_bytes / samples:.3f} bits per sample')
  if samples and header.sample_rate_hz:
    figures.append(f'{header.num_frames / header.sample_rate_hz / max(seconds, 1e-9):.2f} x real time')
  if fallback_chunks:
    figures.append(f'{fallback_chunks:,} of {header.num_audio_chunks:,} chunks fell back (smaller without the model)')
  figures.append('verified' if verified else 'not verified')
  say(f'{source}: {", ".join(figures)}')


def _say_damage(source: str, wrong: Sequence[str], advice: str) -> None:
  """Raises FormatError if anything is wrong."""
  for line in wrong:
    say(f'lmic: {source}: {line}')
  if wrong:
    raise FormatError(advice)


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
  def terminate(number: int, frame: object) -> NoReturn:
    raise _TerminatedError

  before = signal.signal(signal.SIGTERM, terminate)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)
