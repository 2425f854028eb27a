"""Sound that a model generates, in blocks, as arrays.

Shapes: S sequences, N frames, C channels.
"""

import logging
import numbers
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from language_modeling_is_compression.api.arrays import ArrayKind, Samples, array_kind, from_frames, to_frames
from language_modeling_is_compression.audio.pcm import PcmFormat, integers_from_raw, raw_from_integers, wav_integers
from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.config import defaults
from language_modeling_is_compression.entropy.sampling import MAX_SEED, Sampler
from language_modeling_is_compression.errors import AudioFormatError, InputError
from language_modeling_is_compression.generation.generator import (
  Request,
  Wanted,
  generated_blocks,
  make_generator,
  model_rate_hz,
  output_format,
)
from language_modeling_is_compression.kernels.compilation import require_compiler
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.quantized.loading import model_path
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.files import STANDARD

_logger = logging.getLogger(__name__)

_MAX_CHANNELS = 64
_DEPTHS = (8, 16, 24, 32)
_MAX_SECONDS = 1_000_000
_MAX_TEMPERATURE = 65_536.0

# Told of frames that are done, those of the seed included, and of all. An exception that it raises ends the work.
Progress = Callable[[int, int], object]


class Generation:
  """Sequences of sound that are generated while they are read: `for block in generation`, each [S, N, C].

  Close it, or use it as a context, to end its threads. pcm: format. num_frames, num_sequences, temperatures: of what is
  generated. seed_samples: what the sequences go on with, [N, C] as blocks have it; empty without a seed.
  """

  def __init__(self, model: Model, request: Request, *, progress: Progress | None, cancellation: Cancellation | None):
    self.pcm = request.pcm
    self.num_frames, self.num_sequences = request.num_frames, request.num_sequences
    self.seed_samples = _as_array(request.known_frames(), request.pcm)
    self._progress, self._done = progress, 0
    self._num_seed_frames = len(request.seed)
    self._cancellation = Cancellation(cancellation)
    self.temperatures = request.sampler.temperatures
    self._generator = make_generator(model, request)
    self._blocks = self._generate()
    self._failure: BaseException | None = None

  @property
  def sample_rate_hz(self) -> int:
    return self.pcm.sample_rate_hz

  @property
  def num_channels(self) -> int:
    return self.pcm.num_channels

  @property
  def bit_depth(self) -> int:
    return 8 * self.pcm.sample_bytes

  @property
  def total_frames(self) -> int:
    """Frames that `progress` counts: those of the seed, and those that are generated."""
    return self._num_seed_frames + self.num_frames

  def __enter__(self) -> 'Generation':
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def __iter__(self) -> Iterator[Samples]:
    """Blocks [S, N, C] as they are drawn: uint8 (128 is silence) for 8 bits, int16 for 16, else int32.

    Raises CancelledError; what was raised once is raised again, since the rest will not come.
    """
    if self._failure is not None:
      raise self._failure
    return self._blocks

  def read(self) -> Samples:
    """All that has not been read yet, [S, N, C]. Raises CancelledError."""
    empty = np.zeros((self.num_sequences, 0, self.num_channels), self.seed_samples.dtype)
    return np.concatenate([empty, *self], axis=1)

  def close(self) -> None:
    """Ends its threads, and work that still runs."""
    self._cancellation.cancel()
    self._generator.close()

  def _generate(self) -> Iterator[Samples]:
    try:
      for drawn in generated_blocks(self._generator, self.num_frames, self._count, self._cancellation):
        yield np.stack([_as_array(sequence, self.pcm) for sequence in drawn])
    except BaseException as error:
      self._failure = error
      raise

  def _count(self, frames: int) -> None:
    self._done += frames
    if self._progress is not None:
      self._progress(self._done, self.total_frames)


def generate(
  model: Model | str | os.PathLike[str],
  *,
  duration: float = 3.0,
  sample_rate: int | None = None,
  num_channels: int | None = None,
  bit_depth: int | None = None,
  num_sequences: int = 1,
  temperature: float | Sequence[float] | np.ndarray = defaults.TEMPERATURE,
  top_p: float = defaults.TOP_P,
  seed: int = 0,
  seed_audio: Samples | str | os.PathLike[str] | None = None,
  seed_offset: float = 0.0,
  seed_duration: float | None = None,
  threads: int | None = None,
  progress: Progress | None = None,
  cancellation: Cancellation | None = None,
) -> Generation:
  """Generates sound by a model. The same arguments give the same samples on every machine.

  model: as `load_model` gives it, a packaged model's name or a .npz file. duration: seconds. sample_rate: in Hz;
  default the seed audio's, or else what the model was trained on. num_channels, bit_depth: default the seed audio's, or
  else what the model makes. temperature: 0 (always the likeliest) or more, one for all sequences or one each; it and
  top_p, the share of the likeliest symbols that are drawn from, apply to each byte (or sample-level token). seed: of
  the random numbers. seed_audio: sound that all sequences go on with, a file or an array as `compress` takes it;
  without it they begin as files do. seed_offset, seed_duration: seconds of it that count, default all. threads: default
  one on each core. progress: called with frames done and frames in all, those of the seed included.
  Raises InputError and ConfigError for what cannot be generated or read, CheckpointError.
  """
  require_compiler()
  num_sequences = _count('num_sequences', num_sequences, 1, defaults.MAX_SEQUENCES)
  temperatures = _temperatures(temperature, num_sequences)
  sampler = Sampler(_count('seed', seed, 0, MAX_SEED), temperatures, _top_p(top_p))
  num_threads = usable_cores() if threads is None else _count('threads', threads, 1, None)
  wanted = _wanted(sample_rate, num_channels, bit_depth)
  audio = None if seed_audio is None else _read_seed(seed_audio, sample_rate, bit_depth, seed_offset, seed_duration)
  if audio is None and (seed_offset or seed_duration is not None):
    raise InputError('seed_offset, seed_duration: there is no seed audio that they could be of')
  loaded = _loaded(model)
  pcm = output_format(loaded, wanted, audio.pcm if audio else None)
  request = Request(
    seed=audio.frames if audio else np.zeros((0, pcm.num_channels), np.int32),
    seed_bits=8 * audio.pcm.sample_bytes if audio else 8 * pcm.sample_bytes,
    pcm=pcm,
    num_frames=_frames('duration', duration, pcm.sample_rate_hz),
    num_sequences=num_sequences,
    sampler=sampler,
    num_threads=num_threads,
  )
  if audio is None and wanted.sample_rate_hz is None and model_rate_hz(loaded) is None:
    _logger.info('the model does not say on what sample rate it was trained: %d Hz are assumed', pcm.sample_rate_hz)
  return Generation(loaded, request, progress=progress, cancellation=cancellation)


class _SeedAudio(NamedTuple):
  """frames: int32 [N, C], signed."""

  frames: np.ndarray
  pcm: PcmFormat


def _loaded(model: Model | str | os.PathLike[str]) -> Model:
  if isinstance(model, Model):
    return model
  with model_path(os.fspath(model)) as path:
    return load_model(path)


def _read_seed(
  source: Samples | str | os.PathLike[str],
  sample_rate: int | None,
  bit_depth: int | None,
  offset: float,
  duration: float | None,
) -> _SeedAudio:
  """The part of a file or an array that counts. Raises InputError if there is none."""
  if not isinstance(source, str | os.PathLike):
    if sample_rate is None:
      raise InputError('sample_rate: name it, since an array given as seed_audio has none')
    pcm, raw = to_frames(source, sample_rate, bit_depth)
    start, stop = _span('seed_audio', len(raw), sample_rate, offset, duration)
    return _SeedAudio(integers_from_raw(np.ascontiguousarray(raw[start:stop]), pcm), pcm)
  if os.fspath(source) == STANDARD:
    raise InputError('seed_audio: expected a file, got standard input: save it first')
  try:
    info = read_info(Path(source))
    if info.encoding == 'float':
      raise InputError(f'{info.path}: expected a seed of integer samples, got floats: convert it first')
    rate = info.sample_rate_hz or sample_rate
    if not rate:
      raise InputError(f'{info.path}: it does not say its sample rate: name it with sample_rate')
    if rate > defaults.MAX_RATE_HZ:
      raise InputError(
        f'{info.path}: expected a sample rate of at most {defaults.MAX_RATE_HZ} Hz, got {rate}: export it again'
      )
    start, stop = _span(str(info.path), info.num_frames, rate, offset, duration)
    pcm = wav_integers(sample_bytes=info.resolution_bits // 8, num_channels=info.num_channels, sample_rate_hz=rate)
    return _SeedAudio(read_frames(info, start, stop), pcm)
  except AudioFormatError as error:
    raise InputError(str(error)) from error


def _span(name: str, num_frames: int, rate: int, offset: float, duration: float | None) -> tuple[int, int]:
  """First and last frame of what counts of a seed. Raises InputError if it is empty."""
  if not num_frames:
    raise InputError(f'{name}: expected sound to go on with, got no samples')
  start = _frames('seed_offset', offset, rate, least=0)
  if start >= num_frames:
    raise InputError(f'seed_offset: expected less than the {num_frames / rate:.3f} s of {name}, got {offset:g}')
  length = num_frames if duration is None else _frames('seed_duration', duration, rate)
  return start, min(num_frames, start + length)


def _wanted(sample_rate: int | None, num_channels: int | None, bit_depth: int | None) -> Wanted:
  """What is wanted, where there can be such sound. Raises InputError."""
  if sample_rate is not None:
    _count('sample_rate', sample_rate, 1, defaults.MAX_RATE_HZ)
  if num_channels is not None:
    _count('num_channels', num_channels, 1, _MAX_CHANNELS)
  if bit_depth is not None and bit_depth not in _DEPTHS:
    raise InputError(f'bit_depth: expected 8, 16, 24 or 32, got {bit_depth!r}')
  return Wanted(
    sample_bytes=bit_depth // 8 if bit_depth else None, num_channels=num_channels, sample_rate_hz=sample_rate
  )


def _temperatures(temperature: Any, num_sequences: int) -> list[float]:
  """A temperature for each sequence. Raises InputError."""
  several = list(temperature) if isinstance(temperature, Sequence | np.ndarray) else [temperature] * num_sequences
  if len(several) == 1:
    several *= num_sequences
  if len(several) != num_sequences:
    raise InputError(f'temperature: expected one, or one for each of {num_sequences} sequences, got {len(several)}')
  for each in several:
    if not _is_number(each) or not 0 <= each <= _MAX_TEMPERATURE:
      raise InputError(f'temperature: expected a number from 0 to {_MAX_TEMPERATURE:g}, got {each!r}')
  return [float(each) for each in several]


def _top_p(top_p: Any) -> float:
  if not _is_number(top_p) or not 0 < top_p <= 1:
    raise InputError(f'top_p: expected a number above 0 and at most 1, got {top_p!r}')
  return float(top_p)


def _frames(name: str, seconds: Any, rate: int, *, least: int = 1) -> int:
  """Frames of a time. Raises InputError if these are too few, or no number."""
  if not _is_number(seconds) or not 0 <= seconds <= _MAX_SECONDS:
    raise InputError(f'{name}: expected seconds, from 0 to {_MAX_SECONDS:,}, got {seconds!r}')
  frames = round(float(seconds) * rate)
  if frames < least:
    raise InputError(f'{name}: expected at least {1 / rate:.3g} s, one sample at {rate} Hz, got {seconds:g}')
  return frames


def _count(name: str, number: Any, least: int, most: int | None) -> int:
  is_integer = isinstance(number, numbers.Integral) and not isinstance(number, bool)
  if not is_integer or number < least or (most is not None and number > most):
    limits = f'of {least} or more' if most is None else f'from {least} to {most}'
    raise InputError(f'{name}: expected an integer {limits}, got {number!r}')
  return int(number)


def _is_number(value: Any) -> bool:
  return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _as_array(frames: np.ndarray, pcm: PcmFormat) -> Samples:
  """Signed samples, int32 [N, C], in the dtype that a reader of such a WAV file gets."""
  kind = ArrayKind(dtype=array_kind(pcm).dtype, num_dimensions=2)
  return from_frames(raw_from_integers(frames, pcm), pcm, kind)
