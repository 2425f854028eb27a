"""Sound: a .lmic file that is read like an audio file, a part at a time, decoding only the segments that it needs."""

import io
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from language_modeling_is_compression.api.arrays import ArrayKind, Samples, array_kind, from_frames
from language_modeling_is_compression.api.engine import Decompressor, open_container, require_sound
from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.parsing import parse_info
from language_modeling_is_compression.audio.pcm import PcmFormat
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.errors import AudioFormatError, InputError
from language_modeling_is_compression.format.container import Container

_NO_SOUND = 'it holds no sound: decompress_file restores the file that was compressed'
_MAX_MEMORY_BYTES = 1 << 24  # Larger files are restored on disk.


class Sound:
  """An open .lmic file, at a position. Several threads may use one; each read is a whole.

  sample_rate_hz, num_channels, num_frames: as the WAV header that was compressed says. bit_depth: of the samples as
  they stand in the WAV, 8 to 64. dtype: NumPy's name of what is read: uint8, int16, int32 (24 bits too) or int8, or
  float16, float32 or float64 where the WAV has floating-point samples.
  """

  def __init__(self, file: BinaryIO, decompressor: Decompressor, *, owns_file: bool):
    self._file = file
    self._owns_file = owns_file
    self._decompressor = decompressor
    self._container = open_container(file)
    self._coder = decompressor.coder(self._container.header)
    require_sound(self._container)
    file_codec.require_model(self._container.header, self._coder)
    header = self._container.header
    self._restored: _RestoredFile | None = None
    if not header.pcm.num_channels:
      self._restored = _restored_file(self._container, self._coder)
      self._pcm, self._num_frames = self._restored.pcm, self._restored.num_frames
      self._kind = array_kind(self._pcm, self._restored.tail())
    else:
      self._pcm, self._num_frames = header.pcm, header.num_frames
      self._kind = array_kind(self._pcm, file_codec.read_tail(self._container, self._coder))
    self._position = 0
    self._lock = threading.RLock()
    self._span: tuple[int, np.ndarray] | None = None  # The frames of the span that was decoded last.
    self._closed = False

  def __enter__(self) -> 'Sound':
    return self

  def __exit__(self, *_: object) -> None:
    self.close()

  def close(self) -> None:
    """Ends its threads, and closes the file if it was opened by name."""
    with self._lock:
      self._closed = True
      self._span = None
      self._decompressor.close()
      if self._restored:
        self._restored.file.close()
      if self._owns_file:
        self._file.close()

  @property
  def sample_rate_hz(self) -> int:
    return self._pcm.sample_rate_hz

  @property
  def num_channels(self) -> int:
    return self._pcm.num_channels

  @property
  def num_frames(self) -> int:
    return self._num_frames

  @property
  def bit_depth(self) -> int:
    return 8 * self._pcm.sample_bytes

  @property
  def dtype(self) -> str:
    return self._kind.dtype

  def __len__(self) -> int:
    return self._num_frames

  def __repr__(self) -> str:
    return (
      f'<Sound: {self.num_frames:,} frames x {self.num_channels} channels, {self.bit_depth} bits, '
      f'{self.sample_rate_hz:,} Hz>'
    )

  def tell(self) -> int:
    """The frame that is read next."""
    return self._position

  def seek(self, frames: int, whence: int = os.SEEK_SET) -> int:
    """Moves to a frame, from the beginning, the position (SEEK_CUR) or the end (SEEK_END). Returns the new position.

    Raises InputError for a frame before the beginning or behind the end.
    """
    with self._lock:
      origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._num_frames}
      if whence not in origins:
        raise InputError(f'whence: expected 0, 1 or 2, got {whence!r}')
      position = origins[whence] + frames
      if not 0 <= position <= self._num_frames:
        raise InputError(f'frames: expected a position from 0 to {self._num_frames}, got {position}')
      self._position = position
      return position

  def read(self, frames: int = -1, *, always_2d: bool = False) -> Samples:
    """The next frames, at most so many and all that are left for -1; an empty array at the end.

    Returns dtype [N] for one channel, [N, C] for several, or as the array had it that was compressed; [N, C] if
    always_2d. Raises DamageError if a chunk that it needs is damaged, FormatError, OSError, CancelledError.
    """
    with self._lock:
      if self._closed:
        raise InputError('the sound is closed')
      left = self._num_frames - self._position
      count = left if frames < 0 else min(frames, left)
      raw = self._frames(self._position, self._position + count)
      self._position += count
    kind = ArrayKind(dtype=self._kind.dtype, num_dimensions=2) if always_2d else self._kind
    return from_frames(raw, self._pcm, kind)

  def blocks(self, frames: int, *, always_2d: bool = False) -> Iterator[Samples]:
    """Blocks of so many frames, from the position to the end; the last one may be shorter."""
    if frames < 1:
      raise InputError(f'frames: expected 1 or more, got {frames}')
    while self._position < self._num_frames:
      yield self.read(frames, always_2d=always_2d)

  def _frames(self, start: int, stop: int) -> np.ndarray:
    """Frames uint8 [N, C, S]; the span that they end in is kept, since most readers go on from there."""
    if self._restored:
      return self._restored.frames(start, stop)
    parts = [np.zeros((0, self._pcm.num_channels, self._pcm.sample_bytes), np.uint8)]
    while start < stop:
      if self._span and self._span[0] <= start < self._span[0] + len(self._span[1]):
        first, frames = self._span
        part = frames[start - first : stop - first]
        parts.append(part)
        start += len(part)
        continue
      # Whole spans, several of them at a time, each on its thread.
      step = self._container.header.chunk_frames
      first, last = start - start % step, min(stop + -stop % step, self._num_frames)
      position = first
      for frames in file_codec.decode_frames(self._container, self._coder, first, last):
        part = frames[max(0, start - position) : max(0, stop - position)]
        parts.append(part)
        self._span = position, frames
        position += len(frames)
      start = stop
    return np.concatenate(parts)


@dataclass(frozen=True, kw_only=True)
class _RestoredFile:
  """A file of samples that was compressed as bytes, since it has no samples, or more channels than its length suits."""

  file: BinaryIO
  info: PcmInfo

  @property
  def pcm(self) -> PcmFormat:
    return self.info.pcm

  @property
  def num_frames(self) -> int:
    return self.info.num_frames

  def frames(self, start: int, stop: int) -> np.ndarray:
    """Frames uint8 [N, C, S]."""
    first, parts = 0, []
    for region in self.info.regions:
      begin, end = max(start, first), min(stop, first + region.num_frames)
      if begin < end:
        self.file.seek(region.offset + (begin - first) * self.info.frame_bytes)
        parts.append(self.file.read((end - begin) * self.info.frame_bytes))
      first += region.num_frames
    return np.frombuffer(b''.join(parts), np.uint8).reshape(-1, self.info.num_channels, self.info.sample_bytes)

  def tail(self) -> bytes:
    region = self.info.regions[-1]
    self.file.seek(region.offset + region.num_frames * self.info.frame_bytes)
    return self.file.read()


def _restored_file(container: Container, coder: ChunkCoder) -> _RestoredFile:
  """Raises AudioFormatError for a file without samples."""
  head = file_codec.read_beginning(container, coder)
  try:
    parse_info(io.BytesIO(head), len(head), Path('the original'))  # What begins as no such file is none.
  except AudioFormatError as error:
    raise AudioFormatError(f'{_NO_SOUND} ({error})') from None
  file = cast(BinaryIO, tempfile.SpooledTemporaryFile(_MAX_MEMORY_BYTES, prefix='lmic_'))  # noqa: SIM115
  try:
    file_codec.decompress(container, file, coder)
    info = parse_info(file, container.header.original_bytes, Path('the original'))
  except AudioFormatError as error:
    file.close()
    raise AudioFormatError(f'{_NO_SOUND} ({error})') from None
  except BaseException:
    file.close()
    raise
  return _RestoredFile(file=file, info=info)
