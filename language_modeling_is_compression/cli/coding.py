"""`lmic compress`, `decompress` and `test`, on top of api/engine.py."""

import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from language_modeling_is_compression.api.engine import Compressor, Decompressor
from language_modeling_is_compression.audio.raw import raw_format
from language_modeling_is_compression.cli import options
from language_modeling_is_compression.cli.info import opened
from language_modeling_is_compression.cli.jobs import each_file, say, several_files
from language_modeling_is_compression.cli.selection import (
  Outputs,
  Sources,
  compressed_name,
  find_sources,
  without_suffix,
)
from language_modeling_is_compression.cli.summaries import Result, Totals, why_not_sound
from language_modeling_is_compression.errors import ConfigError, FormatError
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.files import STANDARD, input_file, output_file, remove_source
from language_modeling_is_compression.system.text import printable

_logger = logging.getLogger(__name__)

_FILES_PER_THREAD = 2  # In work at a time: one is read or waits for the disk while another one is coded.
_MAX_FILES = 128  # In work at a time: each is two open files.


def run(chosen: options.Compress | options.Decompress | options.Test) -> int:
  """Returns 0 when all is done, 1 if a file failed. Raises ConfigError for what cannot be meant."""
  match chosen:
    case options.Compress():
      return _compress(chosen)
    case options.Decompress():
      return _decompress(chosen)
    case options.Test():
      return _test(chosen)


def _compress(chosen: options.Compress) -> int:
  work, cancellation = chosen.work, Cancellation()
  outputs = _outputs(chosen.selection, chosen.destination, compressed_name, compressed=False)
  if len(outputs.sources.names) > 1 and outputs.to_stdout:
    raise ConfigError('standard output: several .lmic files in a row cannot be told apart; compress one at a time')
  if chosen.raw is not None:
    raw_format(chosen.raw)  # Raises before anything is done.
    if chosen.decode:
      raise ConfigError('--raw, --decode: what is taken as samples is not decoded as FLAC: leave one of them out')
  totals = Totals()
  with Compressor(
    level=chosen.level,
    model=work.model,
    device=work.device,
    lanes=work.lanes,
    threads=work.threads,
    cancellation=cancellation,
  ) as compressor:
    _logger.debug('model %s, %d threads', compressor.model.identity.hex()[:16], work.threads or usable_cores())

    def compress_one(source: str) -> None:
      started = time.monotonic()
      target = outputs.target(source)
      outputs.make_folder(target)
      with (
        input_file(source) as path,
        output_file(target, source, force=chosen.destination.force, spooled=chosen.verify) as file,
      ):
        before = path.stat()
        with _progress(work, source, before.st_size) as progress, open(path, 'rb') as original:
          compressed = compressor.compress(
            original,
            file,
            progress=progress,
            name=str(path),
            verify=chosen.verify,
            raw=chosen.raw,
            decode=chosen.decode,
          )
        coded = time.monotonic()
        if chosen.verify:
          file.flush()
          compressor.verify(file, compressed)
        note = why_not_sound(path, compressed.header)
      if chosen.destination.remove:
        remove_source(source, before)
      ended = time.monotonic()
      result = Result(
        header=compressed.header,
        original_bytes=before.st_size,
        compressed_bytes=compressed.num_bytes,
        fallback_chunks=compressed.fallback_chunks,
        seconds=ended - started,
        checked='verified' if chosen.verify else 'not verified',
        note=note,
      )
      totals.add(result)
      _say_result(work, source, result)
      if work.verbose:
        what = 'code and decode' if chosen.verify else 'code'
        say(
          f'{source}: {compressed.chunk_counts()}; {coded - started:.2f} s to {what}, {ended - coded:.2f} s to finish'
        )

    code = _several(work, outputs.sources.names, outputs.are_independent(), compress_one, cancellation)
  _say_totals(work, totals, outputs.sources)
  return code


def _decompress(chosen: options.Decompress) -> int:
  work, cancellation = chosen.work, Cancellation()
  outputs = _outputs(chosen.selection, chosen.destination, without_suffix, compressed=True)
  if chosen.wants_part:
    if chosen.salvage:
      raise ConfigError('--salvage: it writes the whole file, so it does not go with --start and --end')
    if not outputs.has_names and not outputs.to_stdout:
      raise ConfigError('--start, --end: a part is not the file that was compressed: name it with -o')
    if chosen.destination.remove:
      raise ConfigError('--rm: the rest of the file would be lost')
  totals = Totals()
  with Decompressor(
    model=work.model, device=work.device, lanes=work.lanes, threads=work.threads, cancellation=cancellation
  ) as decompressor:

    def decompress_one(source: str) -> None:
      with opened(source) as (container, before):
        started = time.monotonic()
        # Raises before an output is made.
        if chosen.wants_part or chosen.salvage:
          decompressor.coder(container.header)
        else:
          decompressor.require_all(container)
        target = outputs.target(source)
        outputs.make_folder(target)
        wrong: list[str] = []
        with (
          output_file(target, source, force=chosen.destination.force, spooled=False) as file,
          _progress(work, source, container.header.original_bytes) as progress,
        ):
          if chosen.salvage:
            wrong = decompressor.salvage(container, file, progress=progress)
          elif chosen.wants_part:
            start = 0.0 if chosen.start is None else chosen.start
            end = math.inf if chosen.end is None else chosen.end
            decompressor.decompress_span(container, file, start_seconds=start, end_seconds=end, progress=progress)
          else:
            decompressor.decompress(container, file, progress=progress)
        _report_damage(source, wrong, 'what is sound was written, with silence in the gaps')
        if chosen.destination.remove:
          remove_source(source, before)
        if not chosen.wants_part:
          result = Result(
            header=container.header,
            original_bytes=container.header.original_bytes,
            compressed_bytes=container.file_bytes,
            seconds=time.monotonic() - started,
            checked='verified',
          )
          totals.add(result)
          _say_result(work, source, result)

    code = _several(work, outputs.sources.names, outputs.are_independent(), decompress_one, cancellation)
  if not chosen.wants_part:
    _say_totals(work, totals, outputs.sources)
  return code


def _test(chosen: options.Test) -> int:
  work, cancellation = chosen.work, Cancellation()
  sources = find_sources(chosen.selection, compressed=True).names
  with Decompressor(
    model=work.model, device=work.device, lanes=work.lanes, threads=work.threads, cancellation=cancellation
  ) as decompressor:

    def test_one(source: str) -> None:
      with opened(source) as (container, _):
        with _progress(work, source, container.header.original_bytes) as progress:
          wrong = decompressor.find_damage(container, progress=progress)
        _report_damage(source, wrong, '`lmic decompress --salvage` writes what is sound')
        if not work.quiet:
          say(f'{source}: ok')

    return _several(work, sources, STANDARD not in sources, test_one, cancellation)


def _several(
  work: options.Work,
  sources: Sequence[str],
  are_independent: bool,
  job: Callable[[str], object],
  cancellation: Cancellation,
) -> int:
  """As `each_file`, several at a time where that makes no difference: one of a single segment keeps one core busy."""
  at_a_time = files_at_a_time(work.threads or usable_cores(), len(sources), work.lanes)
  if at_a_time == 1 or not are_independent:
    return each_file(sources, job)
  return several_files(sources, job, cancellation, at_a_time)


def files_at_a_time(num_threads: int, num_files: int, lanes: int | None) -> int:
  """Files in work at a time: for one thread each of them in its turn, else enough to keep all threads busy."""
  return 1 if num_threads == 1 else min(_FILES_PER_THREAD * num_threads, num_files, lanes or _MAX_FILES, _MAX_FILES)


def _outputs(
  selection: options.Selection, destination: options.Destination, rename: Callable[[str], str], *, compressed: bool
) -> Outputs:
  """Outputs of all sources; raises ConfigError for what cannot be meant."""
  sources = find_sources(selection, compressed=compressed)
  outputs = Outputs(sources=sources, rename=rename, destination=destination)
  outputs.check()
  return outputs


@contextlib.contextmanager
def _progress(work: options.Work, what: str, total_bytes: int) -> Iterator[Callable[[int, int], object]]:
  if work.quiet or work.no_progress or not sys.stderr.isatty():
    yield lambda done, total: None
    return
  from tqdm import tqdm  # Most of the time that small files take is imports.

  with tqdm(total=total_bytes, desc=printable(what), unit='B', unit_scale=True, leave=False) as bar:

    def advance(done: int, total: int) -> None:
      bar.update(done - bar.n)

    yield advance


def _say_result(work: options.Work, source: str, result: Result) -> None:
  if not work.quiet:
    say(f'{source}: {result.line()}')


def _say_totals(work: options.Work, totals: Totals, sources: Sources) -> None:
  if work.quiet:
    return
  if len(sources.names) > 1:
    say(totals.line(len(sources.names)))
  if left_out := sources.left_out_text():
    say(f'lmic: {left_out}')


def _report_damage(source: str, wrong: Sequence[str], advice: str) -> None:
  """Prints what is wrong with a file; raises FormatError if anything is."""
  for line in wrong:
    say(f'lmic: {source}: {line}')
  if wrong:
    raise FormatError(advice)
