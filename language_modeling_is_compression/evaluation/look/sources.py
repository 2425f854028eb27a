"""Sounds that are looked at: a WAV of integers, whatever file they come from, and the model that wrote a .lmic file."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from language_modeling_is_compression.api.engine import Decompressor
from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.audio.frames import read_raw_frames
from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.audio.reading import AudioInfo, read_info
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.errors import AudioFormatError, InputError
from language_modeling_is_compression.evaluation.recordings import Recording, whole_file
from language_modeling_is_compression.format.container import Container, is_packed
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.header import Header
from language_modeling_is_compression.format.layout import LinearLayout, SegmentLayout
from language_modeling_is_compression.quantized.loading import PACKAGED, find_model
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.files import file_size, scratch_folder

_FRAMES_AT_ONCE = 1 << 18
_CONVERT = 'convert it, for example with `ffmpeg -i IN -c:a pcm_s24le OUT.wav`'


@dataclass(frozen=True, kw_only=True)
class Sound:
  """name: of the file that was named. info: a WAV of its samples, or of a part of them. start_seconds: of the part.

  segments: how a hybrid model is to divide it: as in the .lmic file that it comes from, else as the default level does.
  model: the name of the model that wrote it, or None.
  """

  name: str
  info: PcmInfo
  start_seconds: float
  segments: SegmentSettings
  model: str | None

  @property
  def seconds(self) -> float:
    return self.info.num_frames / self.info.sample_rate_hz


@contextlib.contextmanager
def opened_sound(
  path: Path,
  *,
  models: Sequence[str] = (),
  start: float | None = None,
  end: float | None = None,
  threads: int | None = None,
  cancellation: Cancellation | None = None,
) -> Iterator[Sound]:
  """The sound of a WAV, FLAC or .lmic file, or a part of it, for as long as the context lasts.

  models: names of models, among which a .lmic file's may be. start, end: seconds, None for the file's.
  Raises InputError if it holds no sound that models code, or not at that time; FormatError, ModelMismatchError,
  CheckpointError, CancelledError, OSError.
  """
  with contextlib.ExitStack() as stack:
    folder = stack.enter_context(scratch_folder())
    segments, model, original = LEVELS[DEFAULT_LEVEL].segments, None, path
    if _is_packed(path):
      original = folder / 'original.wav'
      header, model = _decompressed(path, original, models, threads, cancellation)
      if isinstance(header.layout, SegmentLayout) and model:
        segments = SegmentSettings(frames=header.chunk_frames, effort=header.layout.effort)
    try:
      info = read_info(original)
      _check(path, info)
      recording = Recording(name=str(path), domain='', info=info, bit_depth=None)
      whole = read_pcm_info(stack.enter_context(whole_file(recording)))
      first, last = _span(path, whole, start, end)
      if (first, last) != (0, whole.num_frames):
        whole = _part(whole, first, last, folder / 'part.wav')
    except AudioFormatError as error:
      raise InputError(f'{path}: {str(error).removeprefix(f"{original}: ")}') from error
    yield Sound(name=str(path), info=whole, start_seconds=first / info.sample_rate_hz, segments=segments, model=model)


def _is_packed(path: Path) -> bool:
  """Whether a file is a .lmic file, by its name or its first bytes."""
  if not path.is_file():  # Opening a pipe would wait for its writer.
    return False
  if path.suffix.lower() == '.lmic':
    return True
  with contextlib.suppress(OSError), open(path, 'rb') as file:
    return is_packed(file.read(64))
  return False


def _decompressed(
  path: Path, target: Path, models: Sequence[str], threads: int | None, cancellation: Cancellation | None
) -> tuple[Header, str | None]:
  """Writes the original of a .lmic file. Returns its header, and the model that wrote it, if there was one.

  Linear prediction is none: such a file is looked at as its original is.
  """
  with open(path, 'rb') as packed, open(target, 'wb') as file:
    container = Container(packed, file_size(packed))
    header = container.header
    has_model = any(header.model_id) and not isinstance(header.layout, LinearLayout)
    model = find_model(header, [*models, *PACKAGED], 'cpu') if has_model else None
    with Decompressor(model=model, threads=threads, cancellation=cancellation) as decompressor:
      decompressor.decompress(container, file)
  return header, model


def _check(path: Path, info: AudioInfo) -> None:
  """Raises InputError for samples that no model codes."""
  if info.encoding == 'float':
    raise InputError(f'{path}: expected integer samples, got {8 * info.sample_bytes}-bit floats: {_CONVERT}')
  if not info.num_frames:
    raise InputError(f'{path}: expected samples, got none: it is empty')
  if not info.sample_rate_hz:
    raise InputError(f'{path}: expected a sample rate, got 0 Hz in its header: export it again')


def _span(path: Path, info: PcmInfo, start: float | None, end: float | None) -> tuple[int, int]:
  """Frames of a part. Raises InputError if there are none."""
  rate, num_frames = info.sample_rate_hz, info.num_frames
  start, end = 0.0 if start is None else start, math.inf if end is None else end
  # A NaN fails the first comparison.
  first = math.floor(min(start * rate, num_frames)) if start >= 0 else -1
  last = math.ceil(min(end * rate, num_frames)) if end > 0 else 0
  if not 0 <= first < last:
    raise InputError(
      f'--start, --end: expected a part of {path}, which has {num_frames / rate:g} seconds, got {start:g} to {end:g}'
    )
  return first, last


def _part(info: PcmInfo, first: int, last: int, path: Path) -> PcmInfo:
  """Writes a WAV of the frames from first to last."""
  header = wav_header(
    encoding='int',
    sample_bytes=info.sample_bytes,
    num_channels=info.num_channels,
    sample_rate_hz=info.sample_rate_hz,
    num_frames=last - first,
  )
  with open(path, 'wb') as file:
    file.write(header)
    for start in range(first, last, _FRAMES_AT_ONCE):
      file.write(read_raw_frames(info, start, min(start + _FRAMES_AT_ONCE, last)).tobytes())
  return read_pcm_info(path)
