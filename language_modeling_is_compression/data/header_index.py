"""Headers of many files, read by several threads and kept, so that the next start only asks for sizes and dates.

An index is one file per folder of recordings, in the user's folder for files that can be made again: what it says of a
file counts as long as the file's size and time of modification are the same. It appears whole or not at all; one that
is damaged, or of another version of the package, is made anew. Folders of few files have none: they are read as fast.
Files whose samples stand in several regions, which are few, are read anew at every start.
"""

import concurrent.futures
import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.audio.flac import FlacInfo
from language_modeling_is_compression.audio.info import ContainerKind, PcmInfo, Region
from language_modeling_is_compression.audio.pcm import PcmFormat, SampleKind
from language_modeling_is_compression.audio.reading import AudioInfo, read_info
from language_modeling_is_compression.errors import AudioFormatError
from language_modeling_is_compression.kernels.user_folder import user_folder
from language_modeling_is_compression.system.files import replacing
from language_modeling_is_compression.system.progress import progress_bar
from language_modeling_is_compression.version import __version__

_logger = logging.getLogger(__name__)

_FEW_FILES = 1000  # Fewer are read in less than a second where the disk is not far away.
_THREADS = 4  # Little is gained where the disk is near, and much of the time where it is not is waiting.
_FILES_AT_ONCE = 128
_FORMAT = 2
_MAGIC = b'lmic headers '
_DIGEST_BYTES = 16
_CONTAINERS = tuple(ContainerKind)
_FLAC = len(_CONTAINERS)
_ROW = np.dtype(
  [
    ('container', 'u1'),  # Index into _CONTAINERS, or _FLAC.
    ('sample_kind', 'u1'),
    ('is_big_endian', 'u1'),
    ('sample_bytes', 'u1'),
    ('num_channels', '<u2'),
    ('sample_rate_hz', '<u4'),
    ('offset', '<u8'),
    ('num_frames', '<u8'),
    ('file_bytes', '<u8'),
    ('mtime_ns', '<i8'),
  ]
)

# A file's row, as a tuple of the fields of _ROW.
_Row = tuple[int, int, int, int, int, int, int, int, int, int]


class _Header(NamedTuple):
  """What is known of a file. row: what is kept of it; None if it cannot be read."""

  info: AudioInfo | AudioFormatError
  row: _Row | None


def read_headers(
  folder: Path, paths: Sequence[Path], *, show_progress: bool = False
) -> list[AudioInfo | AudioFormatError]:
  """Headers of files below a folder, in the order of the paths, or why one cannot be read.

  Raises DependencyError as `read_info`.
  """
  if len(paths) < _FEW_FILES:
    return [_read(path, None).info for path in paths]
  place = _place(folder)
  known = _load(place) if place else {}
  prefix = os.path.join(folder, '')
  names = [_name(str(path), folder, prefix) for path in paths]
  found = _read_all(paths, [known.get(name) for name in names], show_progress)
  rows = {name: header.row for name, header in zip(names, found, strict=True) if header.row is not None}
  if place and any(known.get(name) != row for name, row in rows.items()):
    asked = set(names)
    # Another command may ask for other files of the folder.
    others = {
      name: row for name, row in known.items() if name not in asked and os.path.exists(folder / os.fsdecode(name))
    }
    _save(place, {**others, **rows})
  return [header.info for header in found]


def _name(path: str, folder: Path, prefix: str) -> bytes:
  # Cutting is several times faster than `relpath`, which is asked where a path is spelt otherwise.
  return os.fsencode(path[len(prefix) :] if path.startswith(prefix) else os.path.relpath(path, folder))


def _read_all(paths: Sequence[Path], rows: Sequence[_Row | None], show_progress: bool) -> list[_Header]:
  def read_some(first: int) -> list[_Header]:
    last = first + _FILES_AT_ONCE
    return [_read(path, row) for path, row in zip(paths[first:last], rows[first:last], strict=True)]

  found: list[_Header] = []
  executor = concurrent.futures.ThreadPoolExecutor(_THREADS)
  try:
    with progress_bar(total=len(paths), unit='file', description='headers', leave=False, shown=show_progress) as bar:
      for headers in executor.map(read_some, range(0, len(paths), _FILES_AT_ONCE)):
        found += headers
        bar.update(len(headers))
  finally:
    executor.shutdown(cancel_futures=True)
  return found


def _read(path: Path, row: _Row | None) -> _Header:
  """Header of one file, which is read unless the row is of the file as it is."""
  try:
    # Before the header is read: what is written meanwhile makes the row one of another file.
    status = os.stat(path)
    if row is not None and row[-2:] == (status.st_size, status.st_mtime_ns):
      return _Header(_info(path, row), row)
  except OSError:
    status = None  # The reader says why.
  try:
    info = read_info(path)
  except AudioFormatError as error:
    return _Header(error, None)
  return _Header(info, _row(info, status.st_mtime_ns) if status else None)


def _row(info: AudioInfo, mtime_ns: int) -> _Row | None:
  """What is kept of a file; None if it does not fit a row."""
  sizes = (info.sample_bytes, info.num_channels, info.sample_rate_hz)
  if isinstance(info, FlacInfo):
    return (_FLAC, SampleKind.SIGNED, False, *sizes, 0, info.num_frames, info.file_bytes, mtime_ns)
  if len(info.regions) > 1:
    return None
  [region] = info.regions
  samples = (_CONTAINERS.index(info.container), info.pcm.kind, info.pcm.is_big_endian)
  return (*samples, *sizes, region.offset, region.num_frames, info.file_bytes, mtime_ns)


def _info(path: Path, row: _Row) -> AudioInfo:
  container, kind, is_big_endian, sample_bytes, num_channels, sample_rate_hz, offset, num_frames, file_bytes, _ = row
  if container == _FLAC:
    return FlacInfo(
      path=path,
      resolution_bits=8 * sample_bytes,
      num_channels=num_channels,
      sample_rate_hz=sample_rate_hz,
      num_frames=num_frames,
      file_bytes=file_bytes,
    )
  return PcmInfo(
    path=path,
    container=_CONTAINERS[container],
    pcm=PcmFormat(
      kind=SampleKind(kind),
      sample_bytes=sample_bytes,
      num_channels=num_channels,
      sample_rate_hz=sample_rate_hz,
      is_big_endian=bool(is_big_endian),
    ),
    regions=(Region(offset, num_frames),),
    file_bytes=file_bytes,
  )


def _place(folder: Path) -> Path | None:
  """File of a folder's index; None if there is no user to keep it for."""

  digest = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=16).hexdigest()
  return next((each / 'headers' / f'{digest}.index' for each in user_folder()), None)


def _load(place: Path) -> dict[bytes, _Row]:
  """Rows by name, as `_save` has written them; none if there are none that can be used."""
  try:
    data = place.read_bytes()
  except FileNotFoundError:
    return {}
  except OSError as error:
    _logger.warning('%s: cannot be read: %s: the headers of all files are read again', place, error.strerror)
    return {}
  first, _, body = data.partition(b'\n')
  if first.startswith(_MAGIC) and first != _version():
    return {}
  payload = body[_DIGEST_BYTES:]
  if first != _version() or body[:_DIGEST_BYTES] != _digest(payload):
    _logger.warning('%s: is damaged: the headers of all files are read again', place)
    return {}
  count = int.from_bytes(payload[:8], 'little')
  rows = np.frombuffer(payload, _ROW, count, offset=8).tolist()
  return dict(zip(payload[8 + count * _ROW.itemsize :].split(b'\0'), rows, strict=True)) if count else {}


def _save(place: Path, rows: Mapping[bytes, _Row]) -> None:
  table = np.array(list(rows.values()), _ROW)
  payload = len(rows).to_bytes(8, 'little') + table.tobytes() + b'\0'.join(rows)
  try:
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as file:
      file.write(_version() + b'\n' + _digest(payload) + payload)
  except OSError as error:
    _logger.warning('%s: cannot be written: %s: the next start reads all headers again', place, error.strerror or error)


def _version() -> bytes:
  """First line of an index, without its end: another version of the package may read headers otherwise."""
  return _MAGIC + f'{_FORMAT} {__version__}'.encode()


def _digest(payload: bytes) -> bytes:
  return hashlib.blake2b(payload, digest_size=_DIGEST_BYTES).digest()
