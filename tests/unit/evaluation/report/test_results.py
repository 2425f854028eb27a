"""Results on disk: a schema that holds, the same bytes for the same results, and journals that are not believed."""

import csv
import dataclasses
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evaluation_cases import compressor, failed, measured

from language_modeling_is_compression.errors import ResultsError
from language_modeling_is_compression.evaluation.report.results import (
  Results,
  measurement_from_json,
  measurement_to_json,
  serialize_results,
  write_measurements_csv,
  write_results,
  write_summaries_csv,
)
from language_modeling_is_compression.evaluation.statistics.measurements import (
  CHUNKED,
  Fallback,
  Measurement,
  Span,
  Trace,
)
from language_modeling_is_compression.evaluation.statistics.summary import ONCE, compare, summarize

COMPRESSORS = [compressor('flac'), compressor('model', parameters_bytes=600)]
SPANS = (Span(begin=0, num_samples=2, bits=16.0), Span(begin=1, num_samples=2, bits=7.5))
FALLBACK = Fallback(sound_chunks=4, fallback_chunks=1, fallback_bytes=250, lmic_bytes=390)
MEASUREMENTS = [
  measured('flac', 'a/1', 1000, 500),
  measured('model', 'a/1', 1000, 400, code_length_bits=3100.5, by_position=SPANS, fallback=FALLBACK),
  measured('flac', 'a/2', 1000, 600),
  failed('model', 'a/2', 'exit code 1: "no, thanks"\nand more'),
]
SUMMARIES = summarize(COMPRESSORS, MEASUREMENTS, count_headers=ONCE, seed=0)
RESULTS = Results(
  command_line='evaluate_audio.py --audio_dir corpus',
  created='2026-11-21T18:00:00+00:00',
  platform={'machine': 'x86_64', 'cores': 2},
  versions={'python': '3.11.2', 'numpy': '2.4.0'},
  settings={'seed': 42, 'bit_depth': None},
  compressors=COMPRESSORS,
  missing={'ofr': 'not on PATH'},
  files=[
    {'name': 'a/2', 'domain': 'a', 'sha256': 'ef', 'sample_rate_hz': 8000},
    {'name': 'a/1', 'domain': 'a', 'sha256': 'cd', 'sample_rate_hz': 8000},
  ],
  unreadable={'a/3': 'no WAV'},
  summaries=SUMMARIES,
  comparisons=compare(COMPRESSORS, MEASUREMENTS, count_headers=ONCE, seed=0),
  measurements=MEASUREMENTS,
  traces=[Trace(file='a/1', seconds=(0.0, 0.5), low=(-0.5, 0.0), high=(0.5, 1.0), bits={'model': (3.0, 4.0)})],
)


def parsed(results: Results = RESULTS) -> dict:
  return json.loads(serialize_results(results))


# results.json.


def test_keys_and_their_order():
  assert list(parsed()) == [
    'schema_version',
    'command_line',
    'created',
    'platform',
    'versions',
    'settings',
    'compressors',
    'missing',
    'files',
    'unreadable',
    'summaries',
    'comparisons',
    'measurements',
    'traces',
  ]


def test_everything_is_in_it():
  found = parsed()
  assert found['schema_version'] == 2
  for key in ('command_line', 'created', 'platform', 'versions', 'settings', 'missing', 'unreadable'):
    assert found[key] == getattr(RESULTS, key)
  assert found['compressors'][1] == {
    'name': 'model', 'is_model': True, 'version': '1.0', 'settings': 'model -9', 'parameters_bytes': 600,
  }  # fmt: skip
  assert found['files'] == [RESULTS.files[1], RESULTS.files[0]]
  assert found['traces'][0]['bits'] == {'model': [3.0, 4.0]}
  assert found['comparisons'][0]['interval'] is None and found['comparisons'][0]['difference'] == 0.5 - 0.4
  [flac] = [each for each in found['summaries'] if (each['compressor'], each['scope']) == ('flac', 'all')]
  [expected] = [each for each in SUMMARIES if (each.compressor, each.scope) == ('flac', 'all')]
  assert expected.interval is not None
  assert flac['interval'] == {'low': expected.interval.low, 'high': expected.interval.high}
  assert flac['compression_rate'] == 0.55 and flac['code_length_rate'] is None


def test_measurements_come_back_from_it():
  assert [measurement_from_json(each) for each in parsed()['measurements']] == MEASUREMENTS


def test_order_of_measurements_and_files_changes_no_byte():
  shuffled = dataclasses.replace(RESULTS, measurements=MEASUREMENTS[::-1], files=RESULTS.files[::-1])
  assert serialize_results(shuffled) == serialize_results(RESULTS)


def test_an_entry_of_a_list_has_a_line_of_its_own():
  lines = serialize_results(RESULTS).decode().splitlines()
  assert sum(line.startswith('{"file": "a/') for line in lines) == len(MEASUREMENTS) + len(RESULTS.traces)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_what_is_not_finite_is_null(value):
  trace = dataclasses.replace(RESULTS.traces[0], low=(value, 0.0))
  assert parsed(dataclasses.replace(RESULTS, traces=[trace]))['traces'][0]['low'] == [None, 0.0]


def test_text_is_readable_and_names_that_are_no_text_come_back():
  names = ['a/шум.wav', 'a/\udcff.wav', 'a/"\n\\.wav']
  data = serialize_results(dataclasses.replace(RESULTS, files=[{'name': name} for name in names]))
  assert 'шум'.encode() in data and data.decode('utf-8')
  assert {file['name'] for file in json.loads(data)['files']} == set(names)


def test_the_file_appears_whole_or_not_at_all(tmp_path):
  path = tmp_path / 'results.json'
  write_results(path, RESULTS)
  before = path.read_bytes()
  assert before == serialize_results(RESULTS)
  with pytest.raises(TypeError):
    write_results(path, dataclasses.replace(RESULTS, settings={'folder': tmp_path}))
  assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# CSV.


def rows_of(path) -> list[dict[str, str]]:
  return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline='')))


def test_a_row_per_measurement(tmp_path):
  path = tmp_path / 'measurements.csv'
  write_measurements_csv(path, MEASUREMENTS[::-1])
  rows = rows_of(path)
  assert [row['file'] for row in rows] == ['a/1', 'a/1', 'a/2', 'a/2']
  model = {row['file']: row for row in rows if row['compressor'] == 'model'}
  assert model['a/1']['code_length_bits'] == '3100.5' and model['a/1']['error'] == ''
  assert model['a/2']['error'] == MEASUREMENTS[3].error
  of_fallback = {'sound_chunks': '4', 'fallback_chunks': '1', 'fallback_bytes': '250', 'lmic_bytes': '390'}
  assert {name: model['a/1'][name] for name in of_fallback} == of_fallback
  assert {model['a/2'][name] for name in of_fallback} == {''}
  names = {field.name for field in dataclasses.fields(Measurement)}
  assert rows[0].keys() == (names - {'by_position', 'fallback'}) | of_fallback.keys()


def test_no_bytes_are_an_empty_cell_and_null(tmp_path):
  unsized = measured('model', 'a/1', 1000, None, code_length_bits=3100.5)
  write_measurements_csv(tmp_path / 'm.csv', [unsized])
  summaries = summarize(COMPRESSORS, [unsized], count_headers=ONCE, seed=0)
  write_summaries_csv(tmp_path / 's.csv', summaries)
  for path in ('m.csv', 's.csv'):
    assert {row['compressed_bytes'] for row in rows_of(tmp_path / path)} == {''}
  found = parsed(dataclasses.replace(RESULTS, measurements=[unsized], summaries=summaries))
  assert {each['compressed_bytes'] for each in (*found['measurements'], *found['summaries'])} == {None}
  assert measurement_from_json(found['measurements'][0]) == unsized


def test_a_row_per_summary(tmp_path):
  path = tmp_path / 'summaries.csv'
  write_summaries_csv(path, SUMMARIES)
  rows = rows_of(path)
  assert len(rows) == len(SUMMARIES)
  for row, summary in zip(rows, SUMMARIES, strict=True):
    assert (row['scope'], row['compressor']) == (summary.scope, summary.compressor)
    assert row['compression_rate'] == ('' if summary.compression_rate is None else str(summary.compression_rate))
    ends = (str(summary.interval.low), str(summary.interval.high)) if summary.interval else ('', '')
    assert (row['low'], row['high']) == ends


# Journals.

sizes = st.integers(0, 2**60)
figures = st.floats(0, 1e300)
measurements = st.builds(
  Measurement,
  file=st.text(),
  domain=st.text(),
  protocol=st.sampled_from(['whole', 'chunked']),
  compressor=st.text(),
  num_samples=st.integers(1, 2**60),
  audio_seconds=figures,
  raw_bytes=st.integers(1, 2**60),
  compressed_bytes=st.none() | sizes,
  num_chunks=st.integers(1, 2**60),
  header_bytes=sizes,
  encode_seconds=figures,
  decode_seconds=figures,
  code_length_bits=st.none() | figures,
  by_position=st.lists(st.builds(Span, begin=sizes, num_samples=sizes, bits=figures), max_size=3).map(tuple),
  fallback=st.none()
  | st.builds(Fallback, sound_chunks=sizes, fallback_chunks=sizes, fallback_bytes=sizes, lmic_bytes=sizes),
  error=st.none() | st.text(),
)


@given(measurements)
def test_a_measurement_comes_back_as_it_was(measurement):
  line = json.dumps(measurement_to_json(measurement))
  assert '\n' not in line
  assert measurement_from_json(json.loads(line)) == measurement


def test_a_failure_comes_back_too():
  assert measurement_from_json(measurement_to_json(MEASUREMENTS[3])) == MEASUREMENTS[3]


SOUND = measurement_to_json(measured('model', 'a/1', 1000, 400, protocol=CHUNKED, by_position=SPANS))


@pytest.mark.parametrize(
  ('record', 'message'),
  [
    (None, 'expected a measurement with file, domain, .*, got None'),
    ([SOUND], 'expected a measurement with'),
    ({'file': 'a/1'}, 'expected a measurement with'),
    ({**SOUND, 'more': 1}, 'expected a measurement with'),
    ({**SOUND, 'file': 1}, "^file: expected str, got '1'$"),
    ({**SOUND, 'raw_bytes': 1.5}, "^raw_bytes: expected int, got '1.5'$"),
    ({**SOUND, 'raw_bytes': True}, '^raw_bytes: expected int'),
    ({**SOUND, 'raw_bytes': -1}, '^raw_bytes: expected a number from 0 on, got -1$'),
    ({**SOUND, 'encode_seconds': float('nan')}, '^encode_seconds: expected a number from 0 on, got nan$'),
    ({**SOUND, 'encode_seconds': float('inf')}, '^encode_seconds: expected a number'),
    ({**SOUND, 'encode_seconds': None}, '^encode_seconds: expected int'),
    ({**SOUND, 'protocol': 'half'}, "^protocol: expected chunked or whole, got 'half'$"),
    ({**SOUND, 'by_position': 3}, '^by_position: expected list'),
    ({**SOUND, 'by_position': [3]}, 'expected a span with begin, num_samples, bits, got 3'),
    ({**SOUND, 'by_position': [{'begin': 0, 'num_samples': 1, 'bits': '7'}]}, '^bits: expected'),
    ({**SOUND, 'fallback': 3}, '^fallback: expected dict'),
    ({**SOUND, 'fallback': {}}, 'expected a fallback with sound_chunks, .*, got {}'),
    ({**SOUND, 'raw_bytes': 0}, 'expected samples or an error'),
    ({**SOUND, 'num_samples': 0}, 'expected samples or an error'),
    ({**SOUND, 'num_chunks': 0}, 'expected samples or an error'),
  ],
)
def test_what_is_no_measurement(record, message):
  with pytest.raises(ResultsError, match=message):
    measurement_from_json(record)
