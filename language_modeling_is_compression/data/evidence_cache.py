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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from language_modeling_is_compression.audio.wav import WavInfo, read_frames
from language_modeling_is_compression.cores import usable_cores
from language_modeling_is_compression.errors import AudioFormatError, ConfigError, TrainingError
from language_modeling_is_compression.experts.evidence import NUM_CENTRES, NUM_FEATURES, Evidence
from language_modeling_is_compression.files import replacing

_logger = logging.getLogger(__name__)

RECORD = np.dtype(
  [
    ('features', np.int8, (NUM_FEATURES,)),
    ('below', '<f4', (NUM_CENTRES,)),
    ('width', '<f4'),
    ('experts_log2', '<f4'),
  ]
)

_ABANDONED_SECONDS = 24 * 3600  # A temporary file that is older than that belongs to a run that was killed.


@dataclass(frozen=True, kw_only=True)
class Experts:
  """What makes evidence. observe: as in experts/observation.py. version: changes with what observe gives."""

  observe: Callable[..., Evidence]
  version: int
  effort: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
  """The top `bits` of a file's samples: 8, 16 or 24, and no more than the file has."""

  info: WavInfo
  bits: int


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


def cached_evidence(
  sounds: Sequence[Sound], experts: Experts, *, folder: Path, segment_frames: int, show_progress: bool
) -> list[list[EvidenceSpan]]:
  """The segments of each sound, computed where the folder does not have them, on all cores.

  What cannot be read is left out with a warning. A signal ends it when the segments that are being computed are done.
  Raises ConfigError if the folder cannot be used, TrainingError if it cannot be written.
  """
  _open_folder(folder)
  segments = [
    (index, first, min(first + segment_frames, sound.info.num_frames))
    for index, sound in enumerate(sounds)
    for first in range(0, sound.info.num_frames, segment_frames)
  ]
  started, made = time.monotonic(), 0
  found: dict[int, EvidenceSpan] = {}
  executor = concurrent.futures.ThreadPoolExecutor(usable_cores())
  total = sum((last - first) * sounds[index].info.num_channels for index, first, last in segments)
  bar = tqdm(
    total=total, unit='sample', unit_scale=True, desc='evidence', disable=not show_progress, dynamic_ncols=True
  )
  try:
    futures = {
      executor.submit(_segment, sounds[index], first, last, experts, folder): number
      for number, (index, first, last) in enumerate(segments)
    }
    for future in concurrent.futures.as_completed(futures):
      index, first, last = segments[futures[future]]
      try:
        found[futures[future]], is_new = future.result()
        made += is_new
      except AudioFormatError as error:
        _logger.warning('frames %d to %d are left out: %s', first, last, error)
      bar.update((last - first) * sounds[index].info.num_channels)
  except OSError as error:
    raise TrainingError(
      f'{folder}: cannot be written: {error.strerror or error}: free space or name another --cache_dir'
    ) from error
  finally:
    executor.shutdown(cancel_futures=True)
    bar.close()
  num_bytes = sum(span.num_samples for span in found.values()) * RECORD.itemsize
  _logger.info(
    'evidence of %d segments, %.2f GB: %d computed in %.0f s, the others were in %s',
    *(len(found), num_bytes / 1e9, made, time.monotonic() - started, folder),
  )
  spans: list[list[EvidenceSpan]] = [[] for _ in sounds]
  for number in sorted(found):
    spans[segments[number][0]].append(found[number])
  return spans


def _open_folder(folder: Path) -> None:
  """Makes the folder if it is missing, and removes what runs that were killed have left in it."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    partial = list(folder.glob('.*.partial'))
  except OSError as error:
    raise ConfigError(f'cache_dir: {folder} cannot be used: {error.strerror}') from error
  for path in partial:
    with contextlib.suppress(OSError):
      if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
        path.unlink()


def _segment(sound: Sound, first: int, last: int, experts: Experts, folder: Path) -> tuple[EvidenceSpan, bool]:
  """The evidence of frames first:last, and whether it had to be computed. Raises AudioFormatError and OSError."""
  samples = read_frames(sound.info, first, last) >> (sound.info.resolution_bits - sound.bits)
  path = folder / f'{_key(sound, samples, experts)}.evidence'
  span = EvidenceSpan(path=path, first=0, last=samples.size)
  if _is_whole(span):
    return span, False
  evidence = experts.observe(
    samples, sample_bytes=sound.bits // 8, sample_rate_hz=sound.info.sample_rate_hz, effort=experts.effort
  )
  records = np.empty(samples.size, RECORD)
  for name in RECORD.names or ():
    records[name] = getattr(evidence, name)
  with replacing(path) as file:
    file.write(records.view(np.uint8).data)
  return span, True


def _is_whole(span: EvidenceSpan) -> bool:
  try:
    num_bytes = span.path.stat().st_size
  except FileNotFoundError:
    return False
  if num_bytes == span.num_samples * RECORD.itemsize:
    return True
  _logger.warning('%s is damaged and is computed again', span.path)
  return False


def _key(sound: Sound, samples: np.ndarray, experts: Experts) -> str:
  """What evidence depends on, in 32 hexadecimal digits."""
  about = {
    'record': RECORD.descr,
    'experts': experts.version,
    'effort': experts.effort,
    'bits': sound.bits,
    'sample_rate_hz': sound.info.sample_rate_hz,
    'shape': samples.shape,
  }
  digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
  digest.update(np.ascontiguousarray(samples, '<i4').data)
  return digest.hexdigest()
