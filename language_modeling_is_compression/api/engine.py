"""Compressor and Decompressor: models that are loaded once, for any number of files, from any number of threads."""

import contextlib
import math
import os
import tempfile
import threading
from collections.abc import Callable
from typing import BinaryIO

from language_modeling_is_compression.api import flac_files
from language_modeling_is_compression.audio.raw import raw_format
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.file_codec import Compressed
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.codec.plan import without_header
from language_modeling_is_compression.codec.workers import Workers
from language_modeling_is_compression.errors import ConfigError, FormatError, InputError
from language_modeling_is_compression.format.container import Container
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.format.model_coder import ModelCoder
from language_modeling_is_compression.format.surroundings import UNPACKED
from language_modeling_is_compression.kernels.compilation import require_compiler
from language_modeling_is_compression.linear.presets import effort_of
from language_modeling_is_compression.quantized.loading import find_coder, load_coder
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.files import file_size

# Told of bytes of the original that are done, and of all. An exception that it raises ends the work.
Progress = Callable[[int, int], object]
Packed = BinaryIO | Container  # A .lmic file that can be seeked, or one whose header and table are read.


class Compressor:
  """Compresses with one model. Close it, or use it as a context, to end its threads.

  level: 1 (fast) to 9 (small), default 6; it chooses how segments are made, and the packaged model, unless `model`
  names one (a packaged one's name or a .npz file). device: 'cpu' or 'gpu'. lanes: chunks in work at a time; None for
  as many as keep the threads busy. threads: None for one on each core. cancellation: ends its work with CancelledError.
  Raises InputError for a level or a number that there is not, ConfigError if the model has no levels or cannot run on
  the device, CheckpointError or ModelMismatchError if it cannot be used.
  """

  def __init__(
    self,
    *,
    level: int | None = None,
    model: str | os.PathLike[str] | None = None,
    device: str = 'cpu',
    lanes: int | None = None,
    threads: int | None = None,
    cancellation: Cancellation | None = None,
  ):
    require_compiler()
    chosen = chosen_level(level)
    self.model = load_coder(os.fspath(model or LEVELS[chosen].model), device)
    self.segments = LEVELS[chosen].segments
    if level is not None and not self.model.has_levels:
      raise ConfigError(f'level: {model} is a byte model, which has no levels: name a hybrid model, or no level')
    self._coder = ChunkCoder(
      self.model,
      _checked_or_none(lanes, 'lanes'),
      threads=_checked_or_none(threads, 'threads'),
      cancellation=cancellation,
    )

  def __enter__(self) -> 'Compressor':
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def close(self) -> None:
    """Ends its threads, and work that still runs."""
    self._coder.close()

  def compress(
    self,
    source: BinaryIO,
    target: BinaryIO,
    *,
    progress: Progress | None = None,
    name: str = 'the source',
    verify: bool = False,
    raw: str | None = None,
    decode: bool = False,
  ) -> Compressed:
    """Writes the .lmic form of a file that can be seeked, from its beginning to its end. name: for errors.

    raw: the format of all of the source where it is samples without a header, 's16le,44100,2' for example; a format is
    looked for if none is named. decode: code the sound of a FLAC file instead of its bytes, which then come back only
    where the same version of the program `flac` is installed. verify: decode what has been coded, while the rest is
    coded, and compare; `verify` then only has to look whether it stands in the file. Half of the progress is that of
    coding.
    Raises AudioFormatError if the source changes meanwhile, OSError if it cannot be read or written, CancelledError,
    FormatError if what is decoded is not the source, ConfigError for a raw format that there is not, DependencyError
    if there is no `flac` to decode with.
    """
    if raw is not None and decode:
      raise ConfigError('raw, decode: what is taken as samples is not decoded as FLAC: leave one of them out')
    with contextlib.ExitStack() as stack:
      located = None
      if raw is not None:
        located = without_header(raw_format(raw), file_size(source))
      elif decode and flac_files.is_flac(source):
        unpacked = stack.enter_context(tempfile.TemporaryFile(prefix='lmic_'))
        located = flac_files.unpack(source, unpacked, name)
        source = unpacked
      count = _counted(progress, file_size(source), times=2 if verify else 1)
      return file_codec.compress(
        source, target, self._coder, count, segments=self.segments, name=name, verify=verify, located=located
      )

  def verify(self, packed: BinaryIO, compressed: Compressed, *, progress: Progress | None = None) -> None:
    """Reads back what `compress` has written, and compares it with the source; it must be open for reading.

    What was decoded while it was made is compared as it is, which takes no time; the rest is decoded.
    Raises FormatError if it is not the source.
    """
    container = Container(packed, compressed.num_bytes)
    if compressed.verified is not None:
      file_codec.read_back(container, compressed)
      return
    # The footer has the hash of what was read, so this compares with the source.
    with open(os.devnull, 'wb') as nowhere:
      file_codec.decompress(container, nowhere, self._coder, _counted(progress, container.header.original_bytes))


class Decompressor:
  """Decompresses files of any model. Close it, or use it as a context, to end its threads.

  Its methods take a .lmic file as a binary file object that can be seeked, or as the Container of one.
  model: a packaged model's name or a .npz file; None looks for the packaged one that wrote a file. Other arguments as
  for `Compressor`.
  """

  def __init__(
    self,
    *,
    model: str | os.PathLike[str] | None = None,
    device: str = 'cpu',
    lanes: int | None = None,
    threads: int | None = None,
    cancellation: Cancellation | None = None,
  ):
    require_compiler()
    self._model = model
    self._device = device
    self._lanes = _checked_or_none(lanes, 'lanes')
    self._threads = _checked_or_none(threads, 'threads')
    # Models share the threads; one that runs elsewhere has its own.
    self._workers = Workers(self._threads, at_most=self._lanes) if device == 'cpu' else None
    self._cancellation = Cancellation(cancellation)
    self._lock = threading.Lock()
    self._coders: dict[bytes | None, ChunkCoder] = {}
    self._open = contextlib.ExitStack()

  def __enter__(self) -> 'Decompressor':
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def close(self) -> None:
    """Ends its threads, and work that still runs."""
    self._cancellation.cancel()
    with self._lock:
      self._open.close()
    if self._workers:
      self._workers.close()

  def decompress(self, packed: Packed, target: BinaryIO, *, progress: Progress | None = None) -> None:
    """Writes the original file.

    Raises FormatError (DamageError if one chunk is to blame) if anything is damaged, ModelMismatchError if it was
    written with another model; what is written by then must not be used.
    """
    container = open_container(packed)
    coder, count = self.coder(container.header), self._counted(container, progress)
    self.require_all(container)
    if container.header.container != UNPACKED:
      file_codec.decompress(container, target, coder, count)
      return
    with tempfile.TemporaryFile(prefix='lmic_') as unpacked:
      file_codec.decompress(container, unpacked, coder, count)
      flac_files.pack(unpacked, target)

  def require_all(self, container: Container) -> None:
    """Raises what `decompress` would raise before it writes anything: ModelMismatchError, DependencyError."""
    coder = self.coder(container.header)
    if container.header.container == UNPACKED:
      flac_files.require_program(file_codec.read_beginning(container, coder))

  def decompress_span(
    self,
    packed: Packed,
    target: BinaryIO,
    *,
    start_seconds: float = 0.0,
    end_seconds: float = math.inf,
    progress: Progress | None = None,
  ) -> None:
    """Writes a WAV of a part, decoding only the chunks that it is in. Raises ConfigError if there is no such part."""
    container = open_container(packed)
    coder, count = self.coder(container.header), self._counted(container, progress)
    file_codec.decompress_span(container, target, coder, start_seconds, end_seconds, count)

  def salvage(self, packed: Packed, target: BinaryIO, *, progress: Progress | None = None) -> list[str]:
    """Writes what is sound, silence for the rest; says what was wrong, [] for a sound file."""
    container = open_container(packed)
    return file_codec.salvage(container, target, self.coder(container.header), self._counted(container, progress))

  def find_damage(self, packed: Packed, *, progress: Progress | None = None) -> list[str]:
    """Decodes everything and says all that is wrong; [] for a sound file."""
    container = open_container(packed)
    return file_codec.find_damage(container, self.coder(container.header), self._counted(container, progress))

  def coder(self, header: Header) -> ChunkCoder:
    """The coder of a file, whose model is loaded when it is first needed. Raises as `Compressor` does."""
    with self._lock:
      self._cancellation.check()
      key = header.model_id if any(header.model_id) else None
      if key not in self._coders:
        coder = ChunkCoder(
          self._load(header) if key else None,
          self._lanes,
          threads=self._threads,
          workers=self._workers,
          cancellation=self._cancellation,
        )
        self._coders[key] = self._open.enter_context(coder)
      return self._coders[key]

  def _load(self, header: Header) -> ModelCoder:
    if self._model is not None:
      return load_coder(os.fspath(self._model), self._device, type(header.layout))
    # The models of levels of its effort are the likeliest.
    effort = effort_of(header.layout.effort)
    levels = sorted(LEVELS.values(), key=lambda level: effort_of(level.segments.effort) != effort)
    return find_coder(header, [level.model for level in levels], self._device)

  def _counted(self, container: Container, progress: Progress | None) -> Callable[[int], object]:
    return _counted(progress, container.header.original_bytes)


def chosen_level(level: int | None) -> int:
  """The level that None stands for, or itself. Raises InputError for one that there is not."""
  if level is None:
    return DEFAULT_LEVEL
  if level not in LEVELS:
    raise InputError(f'level: expected {min(LEVELS)} to {max(LEVELS)}, got {level!r}')
  return level


def open_container(packed: Packed) -> Container:
  """Reads the header and the table of a .lmic file. Raises FormatError if it is none."""
  return packed if isinstance(packed, Container) else Container(packed, file_size(packed))


def require_sound(container: Container) -> None:
  """Raises FormatError if a file is damaged beside its chunks."""
  for problem in container.problems:
    raise FormatError(problem)


def _checked_or_none(number: int | None, name: str) -> int | None:
  if number is not None and (not isinstance(number, int) or number < 1):
    raise InputError(f'{name}: expected an integer of 1 or more, got {number!r}')
  return number


def _counted(progress: Progress | None, total: int, times: int = 1) -> Callable[[int], object]:
  """Turns a callback of bytes done and all into one of bytes that have come to be done, each of them several times."""
  if progress is None:
    return lambda count: None
  done = 0

  def count(more: int) -> None:
    nonlocal done
    done += more
    progress(done // times, total)

  return count
