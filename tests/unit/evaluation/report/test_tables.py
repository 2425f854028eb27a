"""The tables of a terminal: what stands in them, in which order, and that they fit."""

import dataclasses

import pytest
from support.evaluation_cases import compressor, failed, measured

from language_modeling_is_compression.evaluation.report.tables import WIDTH, table
from language_modeling_is_compression.evaluation.statistics.measurements import CHUNKED, WHOLE, Fallback
from language_modeling_is_compression.evaluation.statistics.summary import ONCE, compare, summarize

MEASUREMENTS = [
  measured('gzip', 'a/1', 1000, 700),
  measured('gzip', 'b/2', 3000, 2100, encode_seconds=0.001),
  measured('flac', 'a/1', 1000, 400),
  measured('flac', 'b/2', 3000, 1000),
  measured('model', 'a/1', 1000, 390),
  measured('model', 'b/2', 3000, 1020),
]
COMPRESSORS = [compressor('gzip'), compressor('flac'), compressor('model', parameters_bytes=40)]


def text_of(measurements=MEASUREMENTS, compressors=COMPRESSORS, missing=None) -> str:
  summaries = summarize(compressors, measurements, count_headers=ONCE, seed=0)
  return table(summaries, compare(compressors, measurements, count_headers=ONCE, seed=0), missing or {})


def rows_of(text: str, title: str) -> dict[str, list[str]]:
  """The cells of the table below a title, by the name of the row."""
  lines = text[text.index(title) :].split('\n\n')[0].splitlines()[1:]
  return {line.split()[0]: line.split()[1:] for line in lines}


def grid(num_domains: int, num_compressors: int) -> list[str]:
  """The table by domain, of domains and compressors with names of ten characters."""
  compressors = [compressor(f'compress{index:02}') for index in range(num_compressors)]
  measurements = [
    measured(each.name, f'folder{domain:04}/1', 1000, 500 + index)
    for domain in range(num_domains)
    for index, each in enumerate(compressors)
  ]
  return text_of(measurements, compressors).split('\n\n')[-1].splitlines()


def test_figures_of_all_files_best_first():
  rows = rows_of(text_of(), 'whole: compressed bytes')
  assert list(rows) == ['rate', 'flac', 'model', 'gzip']
  rate, low, to, high, *others = rows['model']
  # 1410 of 4000 bytes, 2000 samples, 2 s of sound in 2 s and in 4 s; 40 bytes of parameters.
  assert (rate, to) == ('35.25', 'to') and float(low) < 35.25 < float(high)
  assert others == ['–', '–', '5.640', '36.25', '1.00', '0.500', '2']
  assert rows['gzip'][-3] == '2.00'


def model_of(*fallbacks: tuple[int, int], **fields) -> list:
  """The model's measurements of a/1 and b/2, 1000 bytes each: so many of eight chunks fell back, with these bytes."""
  return [
    measured(
      'model', f'{"ab"[index]}/{index + 1}', 1000, 400, code_length_bits=3120.0,
      fallback=Fallback(sound_chunks=8, fallback_chunks=chunks, fallback_bytes=size, lmic_bytes=390), **fields,
    )
    for index, (chunks, size) in enumerate(fallbacks)
  ]  # fmt: skip


@pytest.mark.parametrize(
  ('fallbacks', 'expected'),
  [
    ([(0, 0), (0, 0)], ['0']),
    ([(1, 10), (3, 90)], ['25.0', '/', '5.0']),
    ([(8, 1000), (8, 1000)], ['100', '/', '100']),
    ([(1, 1), (0, 0)], ['6.2', '/', '0.1']),
  ],
)
def test_what_fell_back(fallbacks, expected):
  text = text_of([*MEASUREMENTS[:4:2], *model_of(*fallbacks)])
  row = rows_of(text, 'whole: compressed bytes')['model']
  # After rate, interval and code length.
  assert row[4:-5] == ['39.00', *expected]
  assert ('`lmic compress` writes without the model' in text) == (expected != ['0'])
  assert max(map(len, text.splitlines())) <= WIDTH


def test_a_model_without_bytes_stands_by_its_code_length():
  unsized = measured('model', 'a/1', 1000, None, code_length_bits=4000.0, encode_seconds=0.0, decode_seconds=0.0)
  text = text_of([*MEASUREMENTS[:4:2], unsized])
  rows = rows_of(text, 'whole: compressed bytes')
  assert list(rows) == ['rate', 'flac', 'model', 'gzip'] and rows['model'] == ['–', '–', '50.00', *'–––––', '1']


def test_a_line_of_figures_for_each_compressor():
  """Names give way to figures, also the one of the library that stands in for flac."""
  names = ['wavpack -hh -x6', 'ofr --preset max', 'speech', "libsndfile's FLAC (no flac program here)"]
  fallback = Fallback(sound_chunks=800, fallback_chunks=799, fallback_bytes=999, lmic_bytes=390)
  measurements = [
    measured(name, f'{domain}/1', 1000, size, code_length_bits=3120.0, fallback=fallback, encode_seconds=1e-5)
    for name in names
    for domain, size in (('a', 500), ('b', 900))
  ]
  lines = text_of(measurements, [compressor(name) for name in names]).splitlines()
  assert lines[1].endswith('files') and max(map(len, lines)) <= WIDTH
  assert [line[:6] for line in lines[2:6]] == ['wavpac', 'ofr --', 'speech', 'libsnd']
  assert {line.split()[-1] for line in lines[2:6]} == {'2'}
  assert any(line.startswith('ofr --preset max ') for line in lines[2:6])


def test_fast_ones_are_given_in_whole_numbers():
  fast = [dataclasses.replace(each, encode_seconds=1e-4) for each in MEASUREMENTS]
  assert rows_of(text_of(fast), 'whole: compressed bytes')['flac'][-3] == '10,000'


def test_rates_by_domain_and_their_mean():
  rows = rows_of(text_of(), 'whole: rates in % by domain')
  assert rows == {
    'a': ['b', 'mean'],
    'flac': ['40.00', '33.33', '36.67'],
    'model': ['39.00', '34.00', '36.50'],
    'gzip': ['70.00', '70.00', '70.00'],
  }


def test_one_domain_needs_no_table_of_its_own():
  assert 'by domain' not in text_of([each for each in MEASUREMENTS if each.domain == 'a'])


def test_neighbours_that_may_have_come_so_by_chance():
  """flac and model win a file each; both are surely better than gzip."""
  assert 'May be chance (the interval of the difference has 0 in it): flac and model.' in text_of()
  alike = [
    dataclasses.replace(each, compressor=name) for each in MEASUREMENTS[:2] for name in ('gzip', 'flac', 'model')
  ]
  assert 'in it): gzip and flac; flac and model.' in text_of(alike)
  sure = [each for each in MEASUREMENTS if each.compressor != 'model']
  assert 'chance' not in text_of(sure)
  assert 'chance' not in text_of([each for each in MEASUREMENTS if each.domain == 'a'])  # One file says nothing.


def test_what_is_missing_has_a_row_that_says_why():
  text = text_of(missing={'ofr': 'not on PATH', 'sac': 'it says ' + 'no ' * 100})
  assert '\nofr    not measured: not on PATH\n' in text
  assert text.split().count('no') == 100
  assert max(map(len, text.splitlines())) <= WIDTH


def test_what_failed_is_counted_and_marked():
  text = text_of([*MEASUREMENTS[:-1], failed('model', 'b/2'), measured('model', 'b/3', 1000, 500)])
  assert rows_of(text, 'whole: compressed bytes')['model'][-3:] == ['2', 'of', '3']
  assert rows_of(text, 'whole: rates')['model'] == ['39.00', '50.00*', '44.50*']
  assert rows_of(text, 'whole: rates')['flac'] == ['40.00', '33.33', '36.67']
  assert text.endswith('\n* without the files that it failed on')
  assert '*' not in text_of()


def test_what_failed_everywhere_comes_last():
  text = text_of([failed('gzip', 'a/1'), failed('gzip', 'b/2'), *MEASUREMENTS[2:]])
  rows = rows_of(text, 'whole: compressed bytes')
  assert list(rows)[-1] == 'gzip' and rows['gzip'] == ['–'] * 8 + ['0', 'of', '2']


def test_one_file_has_no_interval():
  rows = rows_of(text_of(MEASUREMENTS[::2]), 'whole: compressed bytes')
  assert rows['gzip'][:5] == ['70.00', '–', '–', '–', '11.200']


def test_a_table_for_each_protocol():
  both = [*MEASUREMENTS, *(dataclasses.replace(each, protocol=CHUNKED) for each in MEASUREMENTS)]
  text = text_of(both)
  titles = [line for line in text.splitlines() if ': ' in line and not line.startswith('May')]
  assert [title.split(':')[0] for title in titles] == [CHUNKED, CHUNKED, WHOLE, WHOLE]


@pytest.mark.parametrize(
  ('num_domains', 'num_compressors', 'rows_are', 'num_tables'),
  [(8, 30, 'compress', 1), (30, 8, 'folder', 1), (2, 2, 'compress', 1), (30, 30, 'compress', 4)],
)
def test_what_fits_is_beside_each_other(num_domains, num_compressors, rows_are, num_tables):
  lines = grid(num_domains, num_compressors)
  assert max(map(len, lines)) <= WIDTH
  assert lines[2].startswith(rows_are)
  assert sum(line.startswith(' ') for line in lines) == num_tables
  cells = ' '.join(lines).split()
  assert sum(cell[0] in '56' and '.' in cell for cell in cells) == (num_domains + 1) * num_compressors


def test_long_names_are_cut_in_the_middle():
  names = [f'default (trained on {"x" * 90} {end})' for end in ('one', 'two')]
  measurements = [measured(name, f'{"y" * 200}{domain}/1', 1000, 500) for name in names for domain in 'ab']
  text = text_of(measurements, [compressor(name) for name in names], {'z' * 300: 'not on PATH'})
  tables = [part for part in text.split('\n\n') if 'chance' not in part]
  assert all(len(line) <= WIDTH for part in tables for line in part.splitlines())
  assert 'default (train…xxxxxxxx one)' in text and 'xxxxxxxx two)' in text


def test_names_steer_no_terminal():
  names = ['\x1b[2J', 'two\nlines', '\udcff', 'шум']
  text = text_of([measured(name, 'a/1', 1000, 500) for name in names], [compressor(name) for name in names])
  assert text.encode()
  assert '\x1b' not in text and '\\x1b[2J' in text and 'two\\nlines' in text and 'шум' in text
