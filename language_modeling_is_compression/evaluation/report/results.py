"""Results of an evaluation on disk: results.json (its schema is in docs/EVALUATION.md), and CSV for spreadsheets."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from language_modeling_is_compression.errors import ResultsError
from language_modeling_is_compression.evaluation.statistics.measurements import (
  CHUNKED,
  WHOLE,
  CompressorInfo,
  Fallback,
  Measurement,
  Span,
  Trace,
)
from language_modeling_is_compression.evaluation.statistics.summary import Comparison, Summary
from language_modeling_is_compression.system.files import replacing

SCHEMA_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Results:
  """Everything that results.json has, field by field.

  created: ISO 8601. platform, versions: of the machine, of Python and packages, by name. settings: of the evaluation.
  missing: why compressors that were asked for could not run, by name. files: of each its name, domain, sha256, format.
  unreadable: why files were left out, by name.
  """

  command_line: str
  created: str
  platform: Mapping[str, Any]
  versions: Mapping[str, str]
  settings: Mapping[str, Any]
  compressors: Sequence[CompressorInfo]
  missing: Mapping[str, str]
  files: Sequence[Mapping[str, Any]]
  unreadable: Mapping[str, str]
  summaries: Sequence[Summary]
  comparisons: Sequence[Comparison]
  measurements: Sequence[Measurement]
  traces: Sequence[Trace]


def serialize_results(results: Results) -> bytes:
  """JSON in UTF-8, one entry of a list a line. Keys come in a fixed order, files and measurements sorted.

  A number that is not finite is null. Half a character, as in the name of a file that is not UTF-8, is escaped.
  """
  order = {info.name: index for index, info in enumerate(results.compressors)}
  document: dict[str, Any] = {'schema_version': SCHEMA_VERSION}
  document |= {field.name: getattr(results, field.name) for field in dataclasses.fields(results)}
  document['files'] = sorted(results.files, key=lambda file: file['name'])
  document['measurements'] = sorted(
    results.measurements, key=lambda each: (each.protocol, each.file, order[each.compressor])
  )
  entries = ',\n'.join(f'{json.dumps(key)}: {_json_lines(value)}' for key, value in document.items())
  return f'{{\n{entries}\n}}\n'.encode('utf-8', 'backslashreplace')


def write_results(path: Path, results: Results) -> None:
  """Writes results.json, whole or not at all. Raises OSError."""
  with replacing(path) as file:
    file.write(serialize_results(results))


def write_measurements_csv(path: Path, measurements: Iterable[Measurement]) -> None:
  """A row per measurement, without by_position; no value is an empty cell. Whole or not at all. Raises OSError."""
  names = [field.name for field in dataclasses.fields(Measurement) if field.name not in ('by_position', 'fallback')]
  of_fallback = [field.name for field in dataclasses.fields(Fallback)]
  rows = (
    [*(getattr(each, name) for name in names), *(getattr(each.fallback, name, None) for name in of_fallback)]
    for each in sorted(measurements, key=lambda each: (each.protocol, each.file))
  )
  _write_csv(path, [*names, *of_fallback], rows)


def write_summaries_csv(path: Path, summaries: Iterable[Summary]) -> None:
  """A row per summary; its interval in the columns low and high. Otherwise as `write_measurements_csv`."""
  names = [field.name for field in dataclasses.fields(Summary)]
  place = names.index('interval')
  rows = []
  for each in summaries:
    row = [getattr(each, name) for name in names]
    row[place : place + 1] = [each.interval.low, each.interval.high] if each.interval else [None, None]
    rows.append(row)
  _write_csv(path, [*names[:place], 'low', 'high', *names[place + 1 :]], rows)


def measurement_to_json(measurement: Measurement) -> dict[str, Any]:
  """For a journal: the fields by name, as `json` takes them."""
  return dataclasses.asdict(measurement)


def measurement_from_json(record: object) -> Measurement:
  """The inverse of `measurement_to_json`, after `json` has read it. Raises ResultsError for anything else."""
  fields = _checked(record, _MEASUREMENT_TYPES, 'a measurement')
  spans = tuple(Span(**_checked(span, _SPAN_TYPES, 'a span')) for span in fields['by_position'])
  fallback = fields['fallback']
  if fallback is not None:
    fallback = Fallback(**_checked(fallback, _FALLBACK_TYPES, 'a fallback'))
  measurement = Measurement(**{**fields, 'by_position': spans, 'fallback': fallback})
  if measurement.protocol not in (CHUNKED, WHOLE):
    raise ResultsError(f'protocol: expected {CHUNKED} or {WHOLE}, got {measurement.protocol!r}')
  if measurement.error is None and not (measurement.raw_bytes and measurement.num_samples and measurement.num_chunks):
    raise ResultsError('expected samples or an error, got neither')
  return measurement


# As `json` reads them; a float without a fraction may be written as an integer.
_FLOAT = (int, float)
_MEASUREMENT_TYPES: Mapping[str, tuple[type, ...]] = {
  'file': (str,),
  'domain': (str,),
  'protocol': (str,),
  'compressor': (str,),
  'num_samples': (int,),
  'audio_seconds': _FLOAT,
  'raw_bytes': (int,),
  'compressed_bytes': (int, type(None)),
  'num_chunks': (int,),
  'header_bytes': (int,),
  'encode_seconds': _FLOAT,
  'decode_seconds': _FLOAT,
  'code_length_bits': (*_FLOAT, type(None)),
  'by_position': (list, tuple),
  'fallback': (dict, type(None)),
  'error': (str, type(None)),
}
_SPAN_TYPES: Mapping[str, tuple[type, ...]] = {'begin': (int,), 'num_samples': (int,), 'bits': _FLOAT}
_FALLBACK_TYPES: Mapping[str, tuple[type, ...]] = {field.name: (int,) for field in dataclasses.fields(Fallback)}


def _checked(record: object, types: Mapping[str, tuple[type, ...]], what: str) -> dict[str, Any]:
  if not isinstance(record, dict) or record.keys() != types.keys():
    raise ResultsError(f'expected {what} with {", ".join(types)}, got {str(record)[:100]}')
  for name, value in record.items():
    if not isinstance(value, types[name]) or isinstance(value, bool):
      raise ResultsError(f'{name}: expected {types[name][0].__name__}, got {str(value)[:100]!r}')
    if isinstance(value, _FLOAT) and not 0 <= value < math.inf:
      raise ResultsError(f'{name}: expected a number from 0 on, got {value}')
  return record


def _json_lines(value: object) -> str:
  plain = _plain(value)
  if not isinstance(plain, list) or not plain:
    return _dump(plain)
  return '[\n' + ',\n'.join(map(_dump, plain)) + '\n]'


def _dump(plain: object) -> str:
  return json.dumps(plain, ensure_ascii=False, allow_nan=False)


def _plain(value: object) -> Any:
  """JSON values of data classes and tuples: dictionaries and lists; None for numbers that are not finite."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
  if isinstance(value, Mapping):
    return {key: _plain(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [_plain(item) for item in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
  text = io.StringIO(newline='')
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(names)
  writer.writerows(rows)
  with replacing(path) as file:
    file.write(text.getvalue().encode('utf-8', 'backslashreplace'))
