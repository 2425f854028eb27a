"""Evidence of sound, computed once and kept on disk.

A file of the cache holds the evidence of one segment, a record per sample. Its name is a hash of the samples and of
everything else that evidence depends on, so nothing has to be kept in step: what has changed has another name. It
appears whole or not at all, so runs may be killed, and several may share a folder.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.reading import AudioInfo, read_frames
from language_modeling_is_compression.errors import AudioFormatError, ConfigError, TrainingError
from language_modeling_is_compression.prediction.evidence import NUM_CENTRES, NUM_FEATURES, Evidence
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.files import replacing
from language_modeling_is_compression.system.progress import progress_bar
from language_modeling_is_compression.system.text import duration

_logger = logging.getLogger(__name__)

RECORD = np.dtype(
  [
    ('features', np.int8, (NUM_FEATURES,)),
    ('below', '<f4', (NUM_CENTRES,)),
    ('width', '<f4'),
    ('experts_log2', '<f4'),
  ]
)

_RESERVE_BYTES = 64 << 20  # Free space that is left to the model and its logs, which may lie there as well.
_TRIED_FRAMES = 1 << 13
_ABANDONED_SECONDS = 24 * 3600  # A temporary file that is older than that belongs to a run that was killed.


@dataclass(frozen=True, kw_only=True)
class Extractor:
  """Extractor of evidence. extract: as in prediction/extraction.py. version: changes with its results."""

  extract: Callable[..., Evidence]
  version: int
  effort: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
  """The top `bits` of a file's samples from a frame on: 8, 16 or 24, and no more than the file has."""

  info: AudioInfo
  bits: int
  first_frame: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceSpan:
  """Samples first:last of a file of the cache, in coding order."""

  path: Path
  first: int
  last: int

  @property
  def num_samples(self) -> int:
    return self.last - self.first


def read_records(span: EvidenceSpan, start: int, stop: int) -> np.ndarray:
  """Evidence of samples start:stop of a span's file: RECORD [stop - start].

  Raises AudioFormatError if the file is no longer there or no longer whole.
  """
  try:
    records = np.fromfile(span.path, RECORD, stop - start, offset=start * RECORD.itemsize)
  except OSError as error:
    raise AudioFormatError(f'{span.path}: cannot be read: {error.strerror}') from error
  if len(records) < stop - start:
    raise AudioFormatError(f'{span.path}: expected samples {start} to {stop}, got {len(records)}: it was cut off')
  return records


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
  """Frames first:last of one of the sounds, before which the experts begin anew."""

  index: int
  sound: Sound
  first: int
  last: int

  @property
  def num_samples(self) -> int:
    return (self.last - self.first) * self.sound.info.num_channels

  def samples(self) -> np.ndarray:
    """int32 [N, C]. Raises AudioFormatError."""
    return read_frames(self.sound.info, self.first, self.last) >> (self.sound.info.resolution_bits - self.sound.bits)


def segments_of(sounds: Sequence[Sound], segment_frames: int) -> list[Segment]:
  """All segments of all sounds, in order."""
  return [
    Segment(index=index, sound=sound, first=first, last=min(first + segment_frames, sound.info.num_frames))
    for index, sound in enumerate(sounds)
    for first in range(sound.first_frame, sound.info.num_frames, segment_frames)
  ]


def cached_evidence(
  sounds: Sequence[Sound], extractor: Extractor, *, folder: Path, segment_frames: int, show_progress: bool
) -> list[list[EvidenceSpan]]:
  """The segments of each sound, as `cached_spans`."""
  segments = segments_of(sounds, segment_frames)
  found = cached_spans(segments, extractor, folder=folder, show_progress=show_progress)
  spans: list[list[EvidenceSpan]] = [[] for _ in sounds]
  for segment in segments:
    if segment in found:
      spans[segment.index].append(found[segment])
  return spans


def cached_spans(
  segments: Sequence[Segment], extractor: Extractor, *, folder: Path, show_progress: bool
) -> dict[Segment, EvidenceSpan]:
  """The evidence of each segment, computed where the folder does not have it, on all cores.

  Before that it is said how much there is to compute, how long that takes and how much room it needs. What cannot be
  read is left out with a warning. A signal ends it when the segments that are being computed are done.
  Raises ConfigError if the folder cannot be used, TrainingError if it has no room for what is missing, or is full.
  """
  made_folders = _open_folder(folder)
  found = _on_all_cores(
    segments, lambda segment: _find(segment, extractor, folder), 'looking for evidence', show_progress
  )
  # One of several equal segments is enough.
  missing = list({span.path: segment for segment, span in found.items() if not _is_whole(span)}.values())
  if missing:
    try:
      _check_room(missing, len(found), extractor, folder)
    except BaseException:  # Ctrl-C during the try counts as well.
      with contextlib.suppress(OSError):  # Another run may have put something there meanwhile.
        for made in made_folders:
          made.rmdir()
      raise
  started = time.monotonic()
  try:
    computed = _on_all_cores(
      missing, lambda segment: _compute(segment, extractor, found[segment].path), 'evidence', show_progress
    )
  except OSError as error:
    kept = sum(_is_whole(found[segment]) for segment in missing)
    raise TrainingError(
      f'{folder}: cannot be written: {error.strerror or error}: free space or name another --cache_dir; '
      f'{kept} of {len(missing)} segments are computed and stay there for the next run'
    ) from error
  # Files may have become unreadable meanwhile.
  lost = {found[segment].path for segment in missing if segment not in computed}
  found = {segment: span for segment, span in found.items() if span.path not in lost}
  num_bytes = sum(span.num_samples for span in found.values()) * RECORD.itemsize
  _logger.info(
    'evidence of %d segments, %.2f GB: %d computed in %.0f s, the others were in %s',
    *(len(found), num_bytes / 1e9, len(computed), time.monotonic() - started, folder),
  )
  return found


def _on_all_cores(
  segments: Sequence[Segment], work: Callable[[Segment], EvidenceSpan], what: str, show_progress: bool
) -> dict[Segment, EvidenceSpan]:
  """Results of work on each segment that can be read. Raises OSError."""
  done: dict[Segment, EvidenceSpan] = {}
  executor = concurrent.futures.ThreadPoolExecutor(usable_cores())
  total = sum(segment.num_samples for segment in segments)
  bar = progress_bar(total=total, unit='sample', description=what, shown=show_progress)
  try:
    futures = {executor.submit(work, segment): segment for segment in segments}
    for future in concurrent.futures.as_completed(futures):
      segment = futures[future]
      try:
        done[segment] = future.result()
      except AudioFormatError as error:
        _logger.warning('frames %d to %d are left out: %s', segment.first, segment.last, error)
      bar.update(segment.num_samples)
  finally:
    executor.shutdown(cancel_futures=True)
    bar.close()
  return done


def _check_room(missing: Sequence[Segment], num_segments: int, extractor: Extractor, folder: Path) -> None:
  """Logs what will be computed. Raises TrainingError if the folder has no room for it."""
  num_samples = sum(segment.num_samples for segment in missing)
  try:
    needed, free = num_samples * RECORD.itemsize, shutil.disk_usage(folder).free
  except OSError as error:
    raise TrainingError(f'{folder}: cannot read its free space: {error.strerror}: name another --cache_dir') from error
  if needed > free - _RESERVE_BYTES:
    raise TrainingError(
      f'{folder}: the evidence of {num_samples:,} samples takes {needed:,} bytes, and {free:,} are free, of which '
      f'{_RESERVE_BYTES:,} stay so for the model and its logs: name another --cache_dir, train on less audio, or at '
      "fewer --bit_depths (native alone takes half of the default's)"
    )
  cores = usable_cores()
  seconds = num_samples * seconds_per_sample(extractor) / min(cores, len(missing))
  _logger.info(
    'evidence: %d of %d segments are to be computed: %.2f GB in %s, where %.2f GB are free, in about %s on %d core%s, '
    'with %.2f GB of memory',
    *(len(missing), num_segments, needed / 1e9, folder, free / 1e9),
    *(duration(seconds), cores, '' if cores == 1 else 's'),
    min(cores, len(missing)) * extraction_bytes(max(segment.num_samples for segment in missing)) / 1e9,
  )


def extraction_bytes(num_samples: int) -> int:
  """What the extraction of a segment takes beside the experts: the evidence, and its records."""
  return 2 * num_samples * RECORD.itemsize


def seconds_per_sample(extractor: Extractor) -> float:
  """Time per sample, from a trial; the first call compiles, and is not counted."""
  noise = np.random.default_rng(0).integers(-1000, 1000, (_TRIED_FRAMES, 1)).astype(np.int32)
  for _ in range(2):
    started = time.monotonic()
    extractor.extract(noise, sample_bytes=2, sample_rate_hz=16_000, effort=extractor.effort)
  return (time.monotonic() - started) / len(noise)


def _open_folder(folder: Path) -> list[Path]:
  """Makes the folder if it is missing, and removes what runs that were killed have left in it.

  Returns the folders that were made, the innermost first.
  """
  missing = [each for each in (folder, *folder.parents) if not each.exists()]
  try:
    folder.mkdir(parents=True, exist_ok=True)
    partial = list(folder.glob('.*.partial'))
  except OSError as error:
    raise ConfigError(f'cache_dir: {folder} cannot be used: {error.strerror}') from error
  for path in partial:
    with contextlib.suppress(OSError):
      if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
        path.unlink()
  return missing


def _find(segment: Segment, extractor: Extractor, folder: Path) -> EvidenceSpan:
  """Place of a segment's evidence, there or to be made. Raises AudioFormatError."""
  samples = segment.samples()
  return EvidenceSpan(path=folder / _name(segment.sound, samples, extractor), first=0, last=samples.size)


def _compute(segment: Segment, extractor: Extractor, path: Path) -> EvidenceSpan:
  """Writes the evidence of a segment. Raises AudioFormatError and OSError."""
  samples, sound = segment.samples(), segment.sound
  if _name(sound, samples, extractor) != path.name:  # Evidence under the name of other samples would stay for good.
    raise AudioFormatError(f'{sound.info.path}: it changed while it was in use: start again once nothing writes to it')
  records = records_of(samples, sound, extractor)
  with replacing(path) as file:
    file.write(records.view(np.uint8).data)
  return EvidenceSpan(path=path, first=0, last=samples.size)


def records_of(samples: np.ndarray, sound: Sound, extractor: Extractor) -> np.ndarray:
  """Evidence of a segment's samples, int32 [N, C]: RECORD [N * C]."""
  evidence = extractor.extract(
    samples, sample_bytes=sound.bits // 8, sample_rate_hz=sound.info.sample_rate_hz, effort=extractor.effort
  )
  records = np.empty(samples.size, RECORD)
  for name in RECORD.names or ():
    records[name] = getattr(evidence, name)
  return records


def _is_whole(span: EvidenceSpan) -> bool:
  try:
    num_bytes = span.path.stat().st_size
  except FileNotFoundError:
    return False
  if num_bytes == span.num_samples * RECORD.itemsize:
    return True
  _logger.warning('%s is damaged and is computed again', span.path)
  return False


def _name(sound: Sound, samples: np.ndarray, extractor: Extractor) -> str:
  """A file's name: what evidence depends on, in 32 hexadecimal digits."""
  about = {
    'record': RECORD.descr,
    'experts': extractor.version,
    'effort': extractor.effort,
    'bits': sound.bits,
    'sample_rate_hz': sound.info.sample_rate_hz,
    'shape': samples.shape,
  }
  digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
  digest.update(np.ascontiguousarray(samples, '<i4').data)
  return f'{digest.hexdigest()}.evidence'
