"""The `lmic` command: compress, decompress, test and info."""

import argparse
import contextlib
import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from language_modeling_is_compression.cli.info import facts_of, print_table
from language_modeling_is_compression.cli.jobs import each_file, printable, say, several_files
from language_modeling_is_compression.cli.parser import parse
from language_modeling_is_compression.cli.selection import (
  Outputs,
  Sources,
  compressed_name,
  find_sources,
  standard_name,
  without_suffix,
)
from language_modeling_is_compression.cli.summaries import Result, Totals, why_not_sound
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder, StoppedError
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS, Level
from language_modeling_is_compression.errors import ConfigError, FormatError, LmicError
from language_modeling_is_compression.format.container import Container
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.kernels.compilation import require_compiler
from language_modeling_is_compression.quantized.predictor import Predictor, SegmentPredictor
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.files import STANDARD, input_file, output_file, remove_source
from language_modeling_is_compression.system.interrupts import ended_soon

_INTERRUPTED = 'lmic: interrupted; unfinished output was removed'
_MOST_FILES = 4  # In work at a time: each has its own chunks in memory.


class _TerminatedError(BaseException):
  """SIGTERM came: unfinished output is removed on the way out, as for Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
  """Returns 0 when all is done, 1 if a file failed, 2 for wrong usage, 128 + N if signal N ended it."""
  _open_closed_streams()
  arguments = parse(sys.argv[1:] if argv is None else argv)
  if arguments.command is None:
    return 2
  try:
    with _sigterm_raises(), ended_soon(_INTERRUPTED), _package_log_shown(quiet=getattr(arguments, 'quiet', False)):
      code = _COMMANDS[arguments.command](arguments)
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
    print(_INTERRUPTED, file=sys.stderr)
    return 128 + signal.SIGINT
  except _TerminatedError:
    print(_INTERRUPTED, file=sys.stderr)
    return 128 + signal.SIGTERM


class _ShownLog(logging.Handler):
  """Shows what the package logs beside progress bars, at once, also while lines about files wait for their turn."""

  def emit(self, record: logging.LogRecord) -> None:
    tqdm.write(f'lmic: {printable(record.getMessage())}', file=sys.stderr)


@contextlib.contextmanager
def _package_log_shown(*, quiet: bool) -> Iterator[None]:
  logger, handler = logging.getLogger('language_modeling_is_compression'), _ShownLog()
  before = logger.level
  logger.addHandler(handler)
  logger.setLevel(logging.ERROR if quiet else logging.INFO)
  try:
    yield
  finally:
    logger.removeHandler(handler)
    logger.setLevel(before)


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


def _compress(arguments: argparse.Namespace) -> int:
  require_compiler()
  outputs = _outputs(arguments, compressed_name)
  if len(outputs.sources.names) > 1 and outputs.to_stdout:
    raise ConfigError('standard output: several .lmic files in a row cannot be told apart; compress one at a time')
  level = LEVELS[DEFAULT_LEVEL if arguments.level is None else arguments.level]
  predictor = _load(arguments.model or level.network, arguments)
  if arguments.level is not None and not isinstance(predictor, SegmentPredictor):
    which = arguments.model or 'the packaged model'
    raise ConfigError(f'--level: {which} is a byte model, which has no levels: name a hybrid one with -m, or no level')
  totals = Totals()
  with ChunkCoder(predictor, arguments.lanes) as coder:

    def work(source: str) -> None:
      target = outputs.target(source)
      outputs.make_folder(target)
      result = _compress_one(arguments, source, target, coder, level)
      totals.add(result)
      _say_result(arguments, source, result)

    code = _several(arguments, outputs.sources.names, outputs.are_independent(), work, coder.stop)
  _say_totals(arguments, totals, outputs.sources)
  return code


def _compress_one(
  arguments: argparse.Namespace, source: str, target: Path | None, coder: ChunkCoder, level: Level
) -> Result:
  started = time.monotonic()
  verify = not arguments.no_verify
  with (
    input_file(source) as path,
    output_file(target, source, force=arguments.force, spooled=verify) as file,
  ):
    before = path.stat()
    with _progress(arguments, source, before.st_size) as progress:
      compressed = file_codec.compress(path, file, coder, progress, level)
    if verify:
      file.flush()
      # The footer has the hash of what was read, so this compares with the source.
      with (
        _progress(arguments, f'{source}, verifying', compressed.header.original_bytes) as progress,
        open(os.devnull, 'wb') as nowhere,
      ):
        file_codec.decompress(Container(file, compressed.num_bytes), nowhere, coder, progress)
    note = why_not_sound(path, compressed.header)
  if arguments.remove:
    remove_source(source, before)
  return Result(
    header=compressed.header,
    compressed_bytes=compressed.num_bytes,
    fallback_chunks=compressed.fallback_chunks,
    seconds=time.monotonic() - started,
    checked='verified' if verify else 'not verified',
    note=note,
  )


def _decompress(arguments: argparse.Namespace) -> int:
  require_compiler()
  outputs = _outputs(arguments, without_suffix)
  if _wants_part(arguments):
    if arguments.salvage:
      raise ConfigError('--salvage: it writes the whole file, so it does not go with --start and --end')
    if outputs.output is None and not outputs.to_stdout:
      raise ConfigError('--start, --end: a part is not the file that was compressed: name it with -o')
    if arguments.remove:
      raise ConfigError('--rm: the rest of the file would be lost')

  totals = Totals()

  def work(source: str, before: os.stat_result, container: Container, coder: ChunkCoder) -> None:
    target = outputs.target(source)
    outputs.make_folder(target)
    started = time.monotonic()
    _decompress_one(arguments, source, target, before, container, coder)
    if _wants_part(arguments):
      return
    result = Result(
      header=container.header,
      compressed_bytes=container.file_bytes,
      seconds=time.monotonic() - started,
      checked='verified',
    )
    totals.add(result)
    _say_result(arguments, source, result)

  code = _each_container(arguments, outputs.sources.names, outputs.are_independent(), work)
  if not _wants_part(arguments):
    _say_totals(arguments, totals, outputs.sources)
  return code


def _decompress_one(
  arguments: argparse.Namespace,
  source: str,
  target: Path | None,
  before: os.stat_result,
  container: Container,
  coder: ChunkCoder,
) -> None:
  wrong: list[str] = []
  with (
    output_file(target, source, force=arguments.force, spooled=False) as file,
    _progress(arguments, source, container.header.original_bytes) as progress,
  ):
    if arguments.salvage:
      wrong = file_codec.salvage(container, file, coder, progress)
    elif _wants_part(arguments):
      start = 0.0 if arguments.start is None else arguments.start
      end = math.inf if arguments.end is None else arguments.end
      file_codec.decompress_span(container, file, coder, start, end, progress)
    else:
      file_codec.decompress(container, file, coder, progress)
  _say_damage(source, wrong, 'what is sound was written, with silence in the gaps')
  if arguments.remove:
    remove_source(source, before)


def _test(arguments: argparse.Namespace) -> int:
  require_compiler()
  sources = _sources(arguments).names

  def work(source: str, before: os.stat_result, container: Container, coder: ChunkCoder) -> None:
    _test_one(arguments, source, container, coder)

  return _each_container(arguments, sources, STANDARD not in sources, work)


def _test_one(arguments: argparse.Namespace, source: str, container: Container, coder: ChunkCoder) -> None:
  with _progress(arguments, source, container.header.original_bytes) as progress:
    wrong = file_codec.find_damage(container, coder, progress)
  _say_damage(source, wrong, '`lmic decompress --salvage` writes what is sound')
  if not arguments.quiet:
    say(f'{source}: ok')


def _info(arguments: argparse.Namespace) -> int:
  listed: list[dict[str, Any]] = []

  def list_one(source: str) -> None:
    with input_file(source) as path, open(path, 'rb') as file:
      listed.append({'file': source, **facts_of(Container(file, path.stat().st_size))})

  code = each_file(_sources(arguments).names, list_one)
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
  from language_modeling_is_compression.quantized.loading import load_predictor

  return load_predictor(model, arguments.device)


def _predictor_of(header: Header, arguments: argparse.Namespace) -> Predictor | SegmentPredictor:
  """The model that is named, or else the packaged one that wrote the file."""
  if arguments.model:
    return _load(arguments.model, arguments)
  from language_modeling_is_compression.quantized.loading import find_predictor

  # Those of levels of its effort are the likeliest.
  levels = sorted(LEVELS.values(), key=lambda level: level.effort != header.effort)
  names = ['bytes'] if header.effort is None else [level.network for level in levels]
  return find_predictor(header.model_id, names, arguments.device)


def _sources(arguments: argparse.Namespace) -> Sources:
  return find_sources(arguments.files, arguments.folders, arguments.lists, compressed=arguments.command != 'compress')


def _outputs(arguments: argparse.Namespace, rename: Callable[[str], str]) -> Outputs:
  """Of all sources; raises ConfigError for what cannot be meant."""
  output = standard_name(arguments.output)
  if arguments.to_stdout and output not in (None, STANDARD):
    raise ConfigError('-c and -o: choose one')
  outputs = Outputs(sources=_sources(arguments), rename=rename, output=STANDARD if arguments.to_stdout else output)
  outputs.check(force=arguments.force, remove=arguments.remove)
  return outputs


def _wants_part(arguments: argparse.Namespace) -> bool:
  return arguments.start is not None or arguments.end is not None


@contextlib.contextmanager
def _progress(arguments: argparse.Namespace, what: str, total_bytes: int) -> Iterator[file_codec.Progress]:
  hidden = arguments.quiet or arguments.no_progress or not sys.stderr.isatty()
  with tqdm(total=total_bytes, desc=printable(what), unit='B', unit_scale=True, leave=False, disable=hidden) as bar:
    yield bar.update


def _say_result(arguments: argparse.Namespace, source: str, result: Result) -> None:
  if not arguments.quiet:
    say(f'{source}: {result.line()}')


def _say_totals(arguments: argparse.Namespace, totals: Totals, sources: Sources) -> None:
  if arguments.quiet:
    return
  if len(sources.names) > 1:
    say(totals.line(len(sources.names)))
  if left_out := sources.left_out_text():
    say(f'lmic: {left_out}')


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


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
  'compress': _compress,
  'decompress': _decompress,
  'test': _test,
  'info': _info,
}
