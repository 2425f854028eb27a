"""Trains a language model on a folder of WAV files: python train_audio.py --audio_dir DIR [flags]."""

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import data_paths
from language_modeling_is_compression.audio.wav import read_wav_info
from language_modeling_is_compression.config import (
  DataConfig,
  ModelConfig,
  RunConfig,
  TrainingConfig,
  add_flags,
  read_settings,
)
from language_modeling_is_compression.data.chunks import Stream, split_stream, whole_stream
from language_modeling_is_compression.errors import AudioFormatError, ConfigError, LmicError
from language_modeling_is_compression.training.stopper import Stopper

_logger = logging.getLogger('train_audio')

_KINDS = (RunConfig, DataConfig, ModelConfig, TrainingConfig)


class _Parser(argparse.ArgumentParser):
  """Reports wrong usage in one line, like every other error."""

  def error(self, message: str) -> NoReturn:
    self.exit(2, f'{self.prog}: error: {message}; see --help\n')


def main(argv: Sequence[str] | None = None) -> int:
  """Returns 0 when done, 1 if the data or the run failed, 2 for wrong usage, 128 + N if signal N ended it."""
  parser = _Parser(prog='train_audio.py', description='Trains a language model on a folder of WAV files.')
  add_flags(parser, _KINDS)
  arguments = parser.parse_args(argv)
  _log_to_stderr()
  stopper = Stopper()
  try:
    with stopper.installed():
      return _train(stopper, *read_settings(vars(arguments), _KINDS).values())
  except LmicError as error:
    print(f'train_audio.py: error: {error}', file=sys.stderr)
    return 2 if isinstance(error, ConfigError) else 1
  except KeyboardInterrupt:
    print('train_audio.py: interrupted; a model that is saved already stays', file=sys.stderr)
    return 128 + (stopper.signal or signal.SIGINT)


def _train(stopper: Stopper, run: RunConfig, data: DataConfig, model: ModelConfig, training: TrainingConfig) -> int:
  partition = data_paths.partition_paths(Path(run.audio_dir), training.valid_fraction)
  if not partition.train:
    raise ConfigError(f'audio_dir: {run.audio_dir}: expected WAV files to train on, found none')
  # JAX takes seconds to import, and wrong flags are told at once.
  from language_modeling_is_compression.training.run import claimed_outputs, train_model

  with claimed_outputs(run) as outputs, _log_to_file(outputs.log):
    try:
      _warn(partition, data)
      train_streams, valid_streams = _streams(partition, data, training.valid_fraction)
      _use_all_cores()
      outcome = train_model(
        run,
        data,
        model,
        training,
        train_streams=train_streams,
        valid_streams=valid_streams,
        outputs=outputs,
        stopper=stopper,
      )
    except LmicError as error:
      _logger.debug('ended by an error: %s', error)
      raise
  print(outputs.model)
  return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


def _warn(partition: data_paths.Partition, data: DataConfig) -> None:
  """Says what is allowed but perhaps not meant."""
  if 2 * data.stereo_blocking_n < data.chunk_size:
    _logger.warning(
      'stereo_blocking_n: two blocks of %d samples are shorter than a chunk of %d: '
      'chunks will not hold complete left/right block pairs only',
      data.stereo_blocking_n,
      data.chunk_size,
    )
  if partition.ignored:
    _logger.warning(
      '%d files beside the train and validation folders are not used, e.g. %s',
      len(partition.ignored),
      partition.ignored[0],
    )


def _streams(
  partition: data_paths.Partition, data: DataConfig, valid_fraction: float
) -> tuple[list[Stream], list[Stream]]:
  """Streams to train on and to hold out, from the headers of the files.

  Raises AudioFormatError if no file to train on can be read.
  """
  streams = {path: _stream(path, data) for path in sorted({*partition.train, *partition.valid})}
  readable = {path: stream for path, stream in streams.items() if stream is not None}
  if len(readable) < len(streams):
    _logger.warning('%d of %d files cannot be read and are skipped', len(streams) - len(readable), len(streams))
  train = [readable[path] for path in partition.train if path in readable]
  valid = [readable[path] for path in partition.valid if path in readable]
  if not train:
    raise AudioFormatError(f'none of the {len(partition.train)} files to train on can be read, see the warnings above')
  if train == valid or not valid:
    _logger.warning('too few files to hold some out whole: the last %g of each is held out', valid_fraction)
    parts = [split_stream(stream, valid_fraction) for stream in train]
    train, valid = [part[0] for part in parts], [part[1] for part in parts]
  return train, valid


def _stream(path: Path, data: DataConfig) -> Stream | None:
  try:
    return whole_stream(read_wav_info(path), data)
  except AudioFormatError as error:
    _logger.warning('skipped: %s', error)
    return None


def _use_all_cores() -> None:
  """Makes each processor core a JAX device, unless the user's environment says how many; accelerators are not touched.

  Rows of a batch are independent, and on a CPU one thread per row beats many threads in one row.
  """
  import jax

  if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]
    jax.config.update('jax_num_cpu_devices', len(os.sched_getaffinity(0)))


def _log_to_stderr() -> None:
  handler = logging.StreamHandler()
  handler.setFormatter(logging.Formatter('%(message)s'))
  handler.setLevel(logging.INFO)
  logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
  for name in ('train_audio', 'data_paths', 'language_modeling_is_compression'):
    logging.getLogger(name).setLevel(logging.DEBUG)


class _LogFile(logging.FileHandler):
  """A log that cannot be written any more is said to be so, once, and ends no run."""

  def __init__(self, path: Path):
    super().__init__(path, encoding='utf-8')
    self._lost = False

  def emit(self, record: logging.LogRecord) -> None:
    if not self._lost:
      super().emit(record)

  def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
      super().handleError(record)
      return
    self._lost = True
    _logger.warning('%s: cannot be written, the log is lost: %s', self.baseFilename, error.strerror)


@contextlib.contextmanager
def _log_to_file(path: Path) -> Iterator[None]:
  try:
    handler = _LogFile(path)
  except OSError as error:
    raise ConfigError(f'output_dir: {path} cannot be written: {error.strerror}') from error
  handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
  logging.getLogger().addHandler(handler)
  try:
    yield
  finally:
    logging.getLogger().removeHandler(handler)
    with contextlib.suppress(OSError):
      handler.close()


if __name__ == '__main__':
  sys.exit(main())
