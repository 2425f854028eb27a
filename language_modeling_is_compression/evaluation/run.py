"""One evaluation: compressors are found, everything is measured, and results are written."""

import contextlib
import dataclasses
import datetime
import hashlib
import logging
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
from tqdm.contrib.logging import logging_redirect_tqdm

from language_modeling_is_compression.config.options import EvaluationConfig
from language_modeling_is_compression.errors import (
  CheckpointError,
  ConfigError,
  LmicError,
  ModelMismatchError,
)
from language_modeling_is_compression.evaluation.compressors.code_lengths import TokenModel
from language_modeling_is_compression.evaluation.compressors.compressor import Compressor, Missing, find_compressors
from language_modeling_is_compression.evaluation.compressors.models import ModelCompressor
from language_modeling_is_compression.evaluation.measure import Plan, Task, measure_all, open_journal, tasks
from language_modeling_is_compression.evaluation.recordings import Recording, chunk_bytes_of, samples_of
from language_modeling_is_compression.evaluation.report import results
from language_modeling_is_compression.evaluation.report.tables import table
from language_modeling_is_compression.evaluation.statistics.measurements import CHUNKED, WHOLE, Measurement, Trace
from language_modeling_is_compression.evaluation.statistics.summary import compare, summarize
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.network.checkpoint import load_model
from language_modeling_is_compression.quantized.loading import PACKAGED, model_path
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.files import replacing
from language_modeling_is_compression.system.progress import progress_bar
from language_modeling_is_compression.system.text import printable
from language_modeling_is_compression.version import __version__

_logger = logging.getLogger(__name__)

_TRACE_SECONDS = 3
_TRACE_COLUMNS = 600
_PACKAGES = ('jax', 'matplotlib', 'numba', 'numpy', 'scipy', 'soundfile', 'zstandard')


def evaluate(
  settings: EvaluationConfig, recordings: Sequence[Recording], unreadable: Mapping[str, str], command_line: str
) -> tuple[str, bool]:
  """Measures, and writes results.json, two CSV files, report.html and its figures to output_dir.

  recordings: as the files are; unreadable: why others are left out, by name. Returns the tables for the terminal, and
  whether everything asked for could be measured, but for classical compressors that are not installed.
  Raises ConfigError for settings that do not go together, LmicError if the disk fails.
  """
  models, missing = _models(settings)
  depth = _bit_depth(settings, models)
  baselines, absent = _baselines(settings)
  compressors: list[Compressor | TokenModel] = [*baselines]
  for model in models:
    if depth is None or model.sample_bits in (None, depth):
      compressors.append(model)
    else:
      missing[model.info.name] = f'it predicts samples of {model.sample_bits} bits, and --bit_depth is {depth}'
  names = [compressor.info.name for compressor in compressors]
  if twice := {name for name in names if names.count(name) > 1}:
    raise ConfigError(f'two compressors are called {min(twice)}: give one of them another name')
  if not compressors:
    reasons = '; '.join(f'{name}: {reason}' for name, reason in {**missing, **absent}.items())
    raise ConfigError(f'nothing to measure with: {reasons or "name a model or a baseline"}')
  recordings = [dataclasses.replace(recording, bit_depth=depth) for recording in recordings]
  plan = Plan(
    protocols=(CHUNKED, WHOLE) if settings.protocol == 'both' else (settings.protocol,),
    chunk_bytes=settings.chunk_size,
    num_chunks=settings.num_chunks,
  )
  with open_journal(Path(settings.output_dir), resume=settings.resume) as journal, logging_redirect_tqdm():
    hashes = {recording.name: _sha256(recording) for recording in recordings}
    work = tasks(recordings, hashes, compressors, plan)
    with _progress(work, settings) as advance:
      measurements = measure_all(work, plan, journal, advance)
    infos = [compressor.info for compressor in compressors]
    measured = results.Results(
      command_line=command_line,
      created=datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
      platform={'system': platform.platform(), 'processor': _processor(), 'cores': usable_cores()},
      versions={'python': platform.python_version(), 'package': __version__} | _versions(),
      settings=dataclasses.asdict(settings),
      compressors=infos,
      missing={**missing, **absent},
      files=[_file_record(recording, hashes[recording.name]) for recording in recordings],
      unreadable=unreadable,
      summaries=summarize(infos, measurements, count_headers=settings.count_headers, seed=settings.seed),
      comparisons=compare(infos, measurements, count_headers=settings.count_headers, seed=settings.seed),
      measurements=measurements,
      traces=_traces(recordings, measurements, [each for each in compressors if isinstance(each, ModelCompressor)]),
    )
    _write(settings, measured)
  failed = [each for each in measurements if each.error]
  return _text(measured, len(failed)), not (missing or unreadable or failed)


def _write(settings: EvaluationConfig, measured: results.Results) -> None:
  """Everything that people look at, and wandb."""
  # Drawing takes a second to import.
  from language_modeling_is_compression.evaluation.report.page import report_html
  from language_modeling_is_compression.evaluation.report.pictures import pictures
  from language_modeling_is_compression.evaluation.report.style import svg

  reference = next((info.name for info in measured.compressors if 'flac' in info.name.lower()), None)
  found = pictures(measured, reference=reference, count_headers=settings.count_headers)
  page = report_html(measured, found, title=f'Compression rates: {settings.audio_dir}')
  folder = Path(settings.output_dir)
  try:
    results.write_results(folder / 'results.json', measured)
    results.write_measurements_csv(folder / 'measurements.csv', measured.measurements)
    results.write_summaries_csv(folder / 'summary.csv', measured.summaries)
    with replacing(folder / 'report.html') as file:
      file.write(page.encode('utf-8'))
    (folder / 'figures').mkdir(exist_ok=True)
    for picture in found:
      with replacing(folder / 'figures' / f'{picture.name}.svg') as file:
        file.write(svg(picture.figure, picture.name).encode('utf-8'))
  except OSError as error:
    raise LmicError(
      f'{folder}: results cannot be written: {error.strerror}: free space and go on with --resume'
    ) from error
  if settings.wandb_project:
    from language_modeling_is_compression.evaluation.report.wandb_log import log_to_wandb

    log_to_wandb(settings, measured, found)


def _text(results: results.Results, num_failed: int) -> str:
  parts = [table(results.summaries, results.comparisons, results.missing)]
  if results.unreadable:
    names = [f'  {printable(reason)}' for reason in results.unreadable.values()]
    parts.append('\n'.join([f'{len(names)} files could not be read:', *names[:20], *['  …'][: len(names) > 20]]))
  if num_failed:
    parts.append(f'{num_failed} measurements failed; the report says why.')
  return '\n\n'.join(parts)


def _models(settings: EvaluationConfig) -> tuple[list[ModelCompressor | TokenModel], dict[str, str]]:
  """Models that can be loaded, and why others cannot, by name."""
  models: list[ModelCompressor | TokenModel] = []
  missing: dict[str, str] = {}
  for path, name in model_names(settings.model_path).items():
    try:
      models.append(_model(path, name, settings))
    except (CheckpointError, ModelMismatchError) as error:
      _logger.warning('%s', error)
      missing[name] = str(error)
  return models, missing


def _model(path: str, name: str, settings: EvaluationConfig) -> ModelCompressor | TokenModel:
  with model_path(path) as found:
    model = load_model(found)
    if not model.codes_files:
      assert isinstance(model, ByteModel), 'models of other families code files'
      return TokenModel(name, found, model, device=settings.device)
  return ModelCompressor(name, path, device=settings.device, lanes=settings.lanes)


def model_names(paths: Sequence[str]) -> dict[str, str]:
  """Names of models by their paths: those of their files, after as many folders as distinguish them.

  Raises ConfigError if two paths are the same file's.
  """
  files = {path: Path(path) if path in PACKAGED else Path(os.path.abspath(path)) for path in paths}
  for path, file in files.items():
    if [files[other] for other in paths].count(file) > 1:
      raise ConfigError(f'model_path: {path} is given twice: name each model once')
  parts = {path: (*file.parent.parts, file.stem) for path, file in files.items()}
  # The suffix is part of the name where files differ in it alone.
  whole = list(parts.values())
  parts = {path: files[path].parts if whole.count(found) > 1 else found for path, found in parts.items()}
  return {path: Path(*_distinct_tail(path, parts)).as_posix() for path in paths}


def _distinct_tail(path: str, parts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
  ours = parts[path]
  others = [found for other, found in parts.items() if other != path]
  for length in range(1, len(ours)):
    if all(other[-length:] != ours[-length:] for other in others):
      return ours[-length:]
  return ours


def _baselines(settings: EvaluationConfig) -> tuple[list[Compressor], dict[str, str]]:
  """Classical compressors, and why some are not there, by name."""
  names = [name.strip() for name in settings.baselines.split(',') if name.strip() not in ('', 'none')]
  found = find_compressors(names, settings.custom_baseline, time_limit_seconds=settings.time_limit_seconds)
  absent = {each.name: each.reason for each in found if isinstance(each, Missing)}
  return [each for each in found if not isinstance(each, Missing)], absent


def _bit_depth(settings: EvaluationConfig, models: Sequence[ModelCompressor | TokenModel]) -> int | None:
  """None for every file's own."""
  if settings.use_16bit:
    return 16
  if settings.bit_depth:
    return None if settings.bit_depth == 'native' else int(settings.bit_depth)
  return models[0].sample_bits if models else 8


def _sha256(recording: Recording) -> str:
  try:
    with open(recording.info.path, 'rb') as file:
      return hashlib.file_digest(file, 'sha256').hexdigest()
  except OSError as error:
    raise LmicError(f'{recording.info.path}: cannot be read any more: {error.strerror}') from error


@contextlib.contextmanager
def _progress(work: Sequence[Task], settings: EvaluationConfig) -> Iterator[Callable[[Task], None]]:
  """Shows progress in samples, since files differ in length. Yields a function to call with every finished task."""
  total = sum(task.recording.num_samples for task in work)
  with progress_bar(total=total, unit='sample', shown=not settings.no_progress) as bar:

    def advance(task: Task) -> None:
      bar.set_postfix_str(f'{task.compressor.info.name}, {task.recording.name[-40:]}', refresh=False)
      bar.update(task.recording.num_samples)

    yield advance


def _traces(
  recordings: Sequence[Recording], measurements: Sequence[Measurement], models: Sequence[ModelCompressor]
) -> list[Trace]:
  """The beginning of the file whose bits per sample are the median, under the first model."""
  if not models:
    return []
  name = models[0].info.name
  rates = sorted(
    (one.compressed_bytes / one.raw_bytes, one.file)
    for one in measurements
    if one.compressor == name and one.compressed_bytes is not None and not one.error
  )
  if not rates:
    return []
  recording = next(one for one in recordings if one.name == rates[len(rates) // 2][1])
  rate_hz = max(1, recording.info.sample_rate_hz)
  chunk = chunk_bytes_of(recording, 0, _TRACE_SECONDS * rate_hz * recording.chunk_sample_bytes)
  bits = {model.info.name: model.sample_bits_of(chunk, recording.chunk_sample_bytes, rate_hz) for model in models}
  samples = samples_of(chunk, recording.chunk_sample_bytes)
  columns = np.array_split(np.arange(len(samples)), min(_TRACE_COLUMNS, len(samples)))
  return [
    Trace(
      file=recording.name,
      seconds=tuple(float(column[0] / rate_hz) for column in columns),
      low=tuple(float(samples[column].min()) for column in columns),
      high=tuple(float(samples[column].max()) for column in columns),
      bits={model: tuple(float(found[column].mean()) for column in columns) for model, found in bits.items()},
    )
  ]


def _file_record(recording: Recording, sha256: str) -> dict[str, object]:
  info = recording.info
  return {
    'name': recording.name,
    'domain': recording.domain,
    'sha256': sha256,
    'file_bytes': info.file_bytes,
    'encoding': info.encoding,
    'sample_bits': 8 * info.sample_bytes,
    'num_channels': info.num_channels,
    'sample_rate_hz': info.sample_rate_hz,
    'num_frames': info.num_frames,
  }


def _versions() -> dict[str, str]:
  return {name: metadata.version(name) for name in _PACKAGES}


def _processor() -> str:
  """The processor's name, where the system tells it."""
  try:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    return platform.processor()
  return next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), platform.processor())
