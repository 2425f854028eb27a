"""Runs compressors over recordings and keeps every measurement on disk, so that work which was interrupted goes on."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from language_modeling_is_compression.errors import AudioFormatError, BaselineError, ConfigError, FormatError, LmicError
from language_modeling_is_compression.evaluation.compressors.code_lengths import CodeLength, TokenModel
from language_modeling_is_compression.evaluation.compressors.compressor import CompressionResult, Compressor, Pcm
from language_modeling_is_compression.evaluation.recordings import (
  Recording,
  check_depth,
  chunk_bytes_of,
  spread_chunks,
  whole_file,
)
from language_modeling_is_compression.evaluation.report.results import measurement_from_json, measurement_to_json
from language_modeling_is_compression.evaluation.statistics.measurements import (
  CHUNKED,
  WHOLE,
  Measurement,
  Span,
  sum_fallbacks,
)
from language_modeling_is_compression.system.files import locked

_logger = logging.getLogger(__name__)

_CHUNKS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class Plan:
  """protocols: of WHOLE and CHUNKED. chunk_bytes: of one chunk. num_chunks: at most, over all recordings."""

  protocols: tuple[str, ...]
  chunk_bytes: int
  num_chunks: int


class Journal:
  """Measurements as they come, a JSON line each, under a key of everything that they depend on.

  Raises ConfigError if the file cannot be written, or if another evaluation is writing it; LmicError if it holds
  something else.
  """

  def __init__(self, path: Path):
    self._found: dict[str, Measurement] = {}
    try:
      self._file = open(path, 'a+', encoding='utf-8', errors='surrogateescape')  # noqa: SIM115 (closed by close)
    except OSError as error:
      raise ConfigError(f'output_dir: {path} cannot be written: {error.strerror}') from error
    if not locked(self._file):
      self._file.close()
      raise ConfigError(f'output_dir: another evaluation is writing {path}; wait for it or name another')
    self._file.seek(0)
    lines = self._file.read().split('\n')
    if lines[-1]:  # The last write was cut off.
      self._file.truncate(len('\n'.join([*lines[:-1], '']).encode('utf-8', 'surrogateescape')))
    for number, line in enumerate(lines[:-1], 1):
      try:
        record = json.loads(line)
        key = record.pop('key')
        self._found[key] = measurement_from_json(record)
      except (ValueError, LookupError, TypeError, AttributeError, LmicError) as error:
        self._file.close()
        raise LmicError(f'{path}: line {number} is no measurement: {error}; name another output_dir') from error

  def get(self, key: str) -> Measurement | None:
    return self._found.get(key)

  def add(self, key: str, measurement: Measurement) -> None:
    """Raises LmicError if the disk does not take it; what was there before is still there."""
    try:
      self._file.write(json.dumps({'key': key, **measurement_to_json(measurement)}) + '\n')
      self._file.flush()
      os.fsync(self._file.fileno())
    except OSError as error:
      raise LmicError(
        f'{self._file.name}: cannot be written: {error.strerror}: free space and go on with --resume'
      ) from error
    self._found[key] = measurement

  def close(self) -> None:
    with contextlib.suppress(OSError):  # A failed write has been reported.
      self._file.close()


@dataclass(frozen=True, kw_only=True)
class Task:
  """A measurement to be made. key: stands for everything that it depends on. chunks: numbers of those taken."""

  recording: Recording
  protocol: str
  compressor: Compressor | TokenModel
  chunks: Sequence[int]
  key: str


def tasks(
  recordings: Sequence[Recording],
  hashes: Mapping[str, str],
  compressors: Sequence[Compressor | TokenModel],
  plan: Plan,
) -> list[Task]:
  """Everything that is to be measured, file by file. hashes: SHA-256 of files, by name."""
  counts = [recording.num_chunks(plan.chunk_bytes) for recording in recordings]
  chosen = spread_chunks(counts, plan.num_chunks)
  return [
    Task(
      recording=recording,
      protocol=protocol,
      compressor=compressor,
      chunks=chunks if protocol == CHUNKED else (),
      key=_key(recording, hashes[recording.name], protocol, compressor, plan, chunks),
    )
    for recording, chunks in zip(recordings, chosen, strict=True)
    for protocol in plan.protocols
    if protocol == WHOLE or len(chunks)
    for compressor in compressors
  ]


def measure_all(
  work: Sequence[Task], plan: Plan, journal: Journal, progress: Callable[[Task], object]
) -> list[Measurement]:
  """Makes the measurements that the journal does not have; failed ones are tried again."""
  measured = []
  for task in work:
    found = journal.get(task.key)
    if found is None or found.error:
      found = _measured(task, plan)
      journal.add(task.key, found)
    measured.append(found)
    progress(task)
  return measured


def _measured(task: Task, plan: Plan) -> Measurement:
  try:
    check_depth(task.recording)
    if isinstance(task.compressor, TokenModel):
      return _code_length(task, task.compressor, plan)
    return _compressed(task, task.compressor, plan)
  except (AudioFormatError, BaselineError, FormatError) as error:
    _logger.warning('%s, %s: %s', task.recording.name, task.compressor.info.name, error)
    return _failure(task, str(error))
  except OSError as error:
    raise LmicError(f'{task.recording.name}, {task.compressor.info.name}: {error}: what is measured is kept') from error


def _compressed(task: Task, compressor: Compressor, plan: Plan) -> Measurement:
  recording = task.recording
  if task.protocol == WHOLE:
    with whole_file(recording) as wav:
      return _measurement(task, recording.num_samples, recording.sample_bytes, 1, compressor.whole(wav))
  outcomes, num_bytes = [], 0
  for chosen in _groups(task.chunks):
    chunks = [chunk_bytes_of(recording, index, plan.chunk_bytes) for index in chosen]
    num_bytes += sum(map(len, chunks))
    pcm = Pcm(chunks=chunks, sample_bytes=recording.chunk_sample_bytes, sample_rate_hz=recording.info.sample_rate_hz)
    outcomes.append(compressor.chunked(pcm))
  sample_bytes = recording.chunk_sample_bytes
  return _measurement(task, num_bytes // sample_bytes, sample_bytes, len(task.chunks), _sum(outcomes))


def _code_length(task: Task, model: TokenModel, plan: Plan) -> Measurement:
  """A measurement without compressed bytes and without seconds."""
  recording = task.recording
  if task.protocol == WHOLE:
    found = [model.whole(recording)]
    size = (recording.num_samples, recording.sample_bytes, 1)
  else:
    found = [model.chunked(recording, chosen, plan.chunk_bytes) for chosen in _groups(task.chunks)]
    frames = recording.chunk_frames(plan.chunk_bytes)
    num_samples = sum(min(frames, recording.info.num_frames - index * frames) for index in task.chunks)
    size = (num_samples, recording.chunk_sample_bytes, len(task.chunks))
  outcome = CompressionResult(
    compressed_bytes=0,
    encode_seconds=0.0,
    decode_seconds=0.0,
    code_length_bits=math.fsum(one.bits for one in found),
    by_position=_sum_spans(found),
  )
  return dataclasses.replace(_measurement(task, *size, outcome), compressed_bytes=None)


def _groups(chunks: Sequence[int]) -> Iterator[Sequence[int]]:
  for start in range(0, len(chunks), _CHUNKS_AT_ONCE):
    yield chunks[start : start + _CHUNKS_AT_ONCE]


def _measurement(
  task: Task, num_samples: int, sample_bytes: int, num_chunks: int, outcome: CompressionResult
) -> Measurement:
  info = task.recording.info
  num_channels = info.num_channels if task.protocol == WHOLE else 1
  return Measurement(
    file=task.recording.name,
    domain=task.recording.domain,
    protocol=task.protocol,
    compressor=task.compressor.info.name,
    num_samples=num_samples,
    audio_seconds=num_samples / num_channels / max(1, info.sample_rate_hz),
    raw_bytes=num_samples * sample_bytes,
    compressed_bytes=outcome.compressed_bytes,
    num_chunks=num_chunks,
    header_bytes=outcome.header_bytes,
    encode_seconds=outcome.encode_seconds,
    decode_seconds=outcome.decode_seconds,
    code_length_bits=outcome.code_length_bits,
    by_position=outcome.by_position,
    fallback=outcome.fallback,
    error=None,
  )


def _failure(task: Task, reason: str) -> Measurement:
  nothing = CompressionResult(compressed_bytes=0, encode_seconds=0.0, decode_seconds=0.0)
  return dataclasses.replace(_measurement(task, 0, 0, 0, nothing), error=reason)


def _sum(outcomes: Sequence[CompressionResult]) -> CompressionResult:
  lengths = [outcome.code_length_bits for outcome in outcomes]
  fallbacks = [outcome.fallback for outcome in outcomes if outcome.fallback]
  return CompressionResult(
    compressed_bytes=sum(outcome.compressed_bytes for outcome in outcomes),
    encode_seconds=sum(outcome.encode_seconds for outcome in outcomes),
    decode_seconds=sum(outcome.decode_seconds for outcome in outcomes),
    header_bytes=outcomes[0].header_bytes,
    code_length_bits=math.fsum(length for length in lengths if length is not None) if None not in lengths else None,
    by_position=_sum_spans(outcomes),
    fallback=sum_fallbacks(fallbacks) if fallbacks else None,
  )


def _sum_spans(found: Sequence[CompressionResult | CodeLength]) -> tuple[Span, ...]:
  spans: dict[int, list[Span]] = {}
  for one in found:
    for span in one.by_position:
      spans.setdefault(span.begin, []).append(span)
  return tuple(
    Span(
      begin=begin,
      num_samples=sum(span.num_samples for span in same),
      bits=math.fsum(span.bits for span in same),
    )
    for begin, same in sorted(spans.items())
  )


def _key(
  recording: Recording,
  sha256: str,
  protocol: str,
  compressor: Compressor | TokenModel,
  plan: Plan,
  chunks: Sequence[int],
) -> str:
  info = compressor.info
  depends_on: list[Any] = [recording.name, recording.domain, sha256, recording.bit_depth, protocol]
  depends_on += [info.name, info.version, info.settings]
  if protocol == CHUNKED:
    depends_on += [plan.chunk_bytes, list(chunks)]
  return hashlib.blake2b(json.dumps(depends_on).encode(), digest_size=16).hexdigest()


@contextlib.contextmanager
def open_journal(folder: Path, *, resume: bool) -> Iterator[Journal]:
  """The journal of an output folder, which is made. Raises ConfigError if it has one already, unless to be resumed."""
  path = folder / 'measurements.jsonl'
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise ConfigError(f'output_dir: {folder} cannot be made: {error.strerror}') from error
  if path.exists() and not resume:
    raise ConfigError(f'output_dir: {folder} holds an evaluation: --resume goes on with it, or name another folder')
  journal = Journal(path)
  try:
    yield journal
  finally:
    journal.close()
