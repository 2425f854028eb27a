"""Functions of the package's interface: arrays and files to .lmic and back, and code lengths.

Shapes: N frames, C channels.
"""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from language_modeling_is_compression.api.arrays import Samples, to_frames, wav_parts
from language_modeling_is_compression.api.engine import Compressor, Decompressor, Progress
from language_modeling_is_compression.api.sound import Sound
from language_modeling_is_compression.audio.frames import linear_samples
from language_modeling_is_compression.codec.halving import halved
from language_modeling_is_compression.errors import InputError, OutputExistsError
from language_modeling_is_compression.format.model_coder import Encoded
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.files import STANDARD, input_file, output_file

PathOrFile = str | os.PathLike[str] | BinaryIO
ModelPath = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class CompressedFile:
  """Outcome of `compress_file`. fallback_chunks: of num_sound_chunks, those that were smaller without the model."""

  original_bytes: int
  compressed_bytes: int
  num_sound_chunks: int
  fallback_chunks: int


def compress(
  samples: Samples,
  sample_rate_hz: int,
  *,
  bit_depth: int | None = None,
  level: int | None = None,
  model: ModelPath | None = None,
  threads: int | None = None,
  progress: Progress | None = None,
  cancellation: Cancellation | None = None,
) -> bytes:
  """Compresses an array of samples.

  samples: int8, int16, int32, uint8 (128 is silence), float16, float32 or float64, [N] or [N, C]. sample_rate_hz:
  an integer; 0 if unknown. bit_depth: 8, 16, 24 or 32, where it is not the dtype's; 24 bits stand in int32. level: 1
  (fast) to 9 (small), default 6. model: a packaged model's name or a .npz file; default: the level's. threads: default
  one on each core.
  progress: called with bytes done and bytes in all. cancellation: ends the work from another thread.
  Returns a .lmic file, whose original is a WAV file.
  Raises InputError for what cannot be compressed, CheckpointError, ModelMismatchError, ConfigError, CancelledError.
  """
  header, frames, tail = wav_parts(samples, sample_rate_hz, bit_depth)
  source, target = io.BytesIO(header + frames.tobytes() + tail), io.BytesIO()
  with Compressor(level=level, model=model, threads=threads, cancellation=cancellation) as compressor:
    compressor.compress(source, target, progress=progress)
  return target.getvalue()


def decompress(
  blob: bytes,
  *,
  model: ModelPath | None = None,
  threads: int | None = None,
  cancellation: Cancellation | None = None,
) -> tuple[Samples, int]:
  """The samples of a .lmic file, and their rate in Hz.

  What `compress` was given comes back with its dtype and shape; of a WAV file that was compressed, see `Sound.read`.
  Raises AudioFormatError if it holds no sound, FormatError (DamageError if one chunk is to blame) if it is damaged,
  ModelMismatchError if another model wrote it.
  """
  with open_sound(io.BytesIO(blob), model=model, threads=threads, cancellation=cancellation) as sound:
    return sound.read(), sound.sample_rate_hz


def compress_file(
  source: PathOrFile,
  target: PathOrFile,
  *,
  level: int | None = None,
  model: ModelPath | None = None,
  overwrite: bool = False,
  verify: bool = True,
  raw: str | None = None,
  decode: bool = False,
  threads: int | None = None,
  progress: Progress | None = None,
  cancellation: Cancellation | None = None,
) -> CompressedFile:
  """Compresses a file of any kind; `decompress_file` restores it byte for byte.

  source, target: paths, or binary files; a source is read from its position on. A target that is a path appears whole,
  with the source's date and permissions, or not at all. overwrite: whether it may exist. verify: decode the output
  and compare it with the source. raw, decode: as `Compressor.compress` has them. Other arguments as for `compress`.
  Raises OutputExistsError, InputError, AudioFormatError if the source changes meanwhile, OSError, others as `compress`.
  """
  with (
    Compressor(level=level, model=model, threads=threads, cancellation=cancellation) as compressor,
    _readable(source) as (original, path),
    _writable(target, path, overwrite=overwrite) as packed,
  ):
    name = str(path or 'the source')
    compressed = compressor.compress(
      original, packed, progress=progress, name=name, verify=verify, raw=raw, decode=decode
    )
    if verify:
      packed.flush()
      compressor.verify(packed, compressed)
  return CompressedFile(
    original_bytes=compressed.header.original_bytes,
    compressed_bytes=compressed.num_bytes,
    num_sound_chunks=compressed.header.num_audio_chunks,
    fallback_chunks=compressed.fallback_chunks,
  )


def decompress_file(
  source: PathOrFile,
  target: PathOrFile,
  *,
  model: ModelPath | None = None,
  overwrite: bool = False,
  threads: int | None = None,
  progress: Progress | None = None,
  cancellation: Cancellation | None = None,
) -> None:
  """Restores a compressed file, byte for byte, checked against the hash of the original.

  source, target, overwrite: as `compress_file` has them. What has been written to a target that is a file object when
  an error is raised must not be used. Raises OutputExistsError, others as `decompress`.
  """
  with (
    Decompressor(model=model, threads=threads, cancellation=cancellation) as decompressor,
    _readable(source) as (packed, path),
    _writable(target, path, overwrite=overwrite, spooled=False) as original,
  ):
    decompressor.decompress(packed, original, progress=progress)


def open_sound(
  source: PathOrFile,
  *,
  model: ModelPath | None = None,
  threads: int | None = None,
  cancellation: Cancellation | None = None,
) -> Sound:
  """Opens a .lmic file to read its samples, from a path or a binary file that can be seeked.

  Raises as `decompress`, OSError if it cannot be read.
  """
  with contextlib.ExitStack() as stack:
    decompressor = stack.enter_context(Decompressor(model=model, threads=threads, cancellation=cancellation))
    if isinstance(source, str | os.PathLike):
      sound = Sound(stack.enter_context(open(source, 'rb')), decompressor, owns_file=True)
    else:
      sound = Sound(_binary(source), decompressor, owns_file=False)
    stack.pop_all()
  return sound


def code_length(
  samples: Samples,
  sample_rate_hz: int,
  *,
  bit_depth: int | None = None,
  level: int | None = None,
  model: ModelPath | None = None,
  threads: int | None = None,
  progress: Progress | None = None,
  cancellation: Cancellation | None = None,
) -> npt.NDArray[np.float64]:
  """Code lengths of samples under a model, in bits, without writing anything.

  Arguments as `compress` has them; segments are those of the level. What the model's side information takes, a few
  bytes a segment, is not counted.
  Returns float64 of the samples' shape. Raises as `compress`; InputError for more channels than any division suits.
  """
  pcm, frames = to_frames(samples, sample_rate_hz, bit_depth)
  bits = np.zeros((len(frames), pcm.num_channels))
  with Compressor(level=level, model=model, threads=threads, cancellation=cancellation) as compressor:
    if not len(frames):
      return bits.reshape(samples.shape)
    model_coder, segments = compressor.model, compressor.segments
    division = model_coder.division(pcm, len(frames), segments)
    if division is None:
      raise InputError(f'samples: {pcm.num_channels} channels are too many for {len(frames)} frames')
    division = halved(division, len(frames), segments, lambda: linear_samples(frames, pcm))
    token = Cancellation(cancellation)
    starts = range(0, len(frames), division.span_frames)

    def measure(start: int) -> np.ndarray:
      payloads = division.layout.split(frames[start : start + division.span_frames], pcm)
      return np.concatenate([_bits(model_coder.encode([payload], token)) for payload in payloads], axis=1)

    def _bits(encoded: Sequence[Encoded | None]) -> np.ndarray:
      [one] = encoded
      assert one is not None, 'models code all payloads of their own layout'
      return one.sample_bits()

    with ThreadPoolExecutor(threads or usable_cores()) as pool:
      try:
        for start, found in zip(starts, pool.map(measure, starts), strict=True):
          bits[start : start + len(found)] = found
          if progress:
            progress(min(start + len(found), len(frames)) * pcm.frame_bytes, frames.nbytes)
      finally:
        token.cancel()
  return bits.reshape(samples.shape)


@contextlib.contextmanager
def _readable(source: PathOrFile) -> Iterator[tuple[BinaryIO, Path | None]]:
  """A source as a file that can be seeked, at its beginning, and its path if it has one."""
  if isinstance(source, str | os.PathLike):
    name = os.fspath(source)
    with input_file(name if name != STANDARD else f'./{name}') as path, open(path, 'rb') as opened:
      yield opened, Path(source)
    return
  file = _binary(source)
  if file.seekable() and file.tell() == 0:
    yield file, None
    return
  with tempfile.TemporaryFile(prefix='lmic_') as copy:
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    yield copy, None


@contextlib.contextmanager
def _writable(target: PathOrFile, source: Path | None, *, overwrite: bool, spooled: bool = True) -> Iterator[BinaryIO]:
  """A target as a file that can be written, and read back if it is spooled."""
  if isinstance(target, str | os.PathLike):
    try:
      with output_file(Path(target), str(source or STANDARD), force=overwrite, spooled=spooled) as file:
        yield file
    except OutputExistsError as error:
      raise OutputExistsError(f'{error}; pass overwrite=True to replace it') from None
    return
  if isinstance(target, io.TextIOBase) or not hasattr(target, 'write'):
    raise InputError(f'target: expected a path or a binary file, got {type(target).__name__}')
  if not spooled:
    yield target
    return
  with tempfile.TemporaryFile(prefix='lmic_') as copy:
    yield copy
    copy.seek(0)
    shutil.copyfileobj(copy, target)


def _binary(file: BinaryIO) -> BinaryIO:
  if isinstance(file, io.TextIOBase) or not hasattr(file, 'read'):
    raise InputError(f'source: expected a path or a binary file, got {type(file).__name__}')
  return file
