"""The report is one page that needs nothing else, says what was measured, and believes no name in it."""

import dataclasses
import re

import pytest
from support import evaluation_cases, report_cases
from support.page import Page
from support.report_cases import FLAC, MODEL

from language_modeling_is_compression.evaluation.report.page import report_html
from language_modeling_is_compression.evaluation.report.pictures import pictures
from language_modeling_is_compression.evaluation.report.results import Results
from language_modeling_is_compression.evaluation.statistics.measurements import CHUNKED, CompressorInfo, Fallback
from language_modeling_is_compression.evaluation.statistics.summary import ONCE

HOSTILE = '</title></style><script src="http://x/">alert(1)</script>\'" onload=\'x\' --><img src=x>&amp;\udcff\x00\n'
ESCAPED = HOSTILE[:-3] + r'\udcff\x00\n'
INFOS = [evaluation_cases.compressor('gzip -9'), evaluation_cases.compressor(FLAC)]


def written(results: Results, title: str = 'Evaluation') -> str:
  found = pictures(results, reference=FLAC, count_headers=ONCE)
  return report_html(results, found, title=title)


@pytest.fixture(scope='module')
def text() -> str:
  """Of an evaluation as it usually is."""
  results = report_cases.results(num_domains=3, files_per_domain=4)
  return written(dataclasses.replace(results, missing={'mac -c5000': 'no program mac on PATH'}))


def small(**fields) -> Results:
  sizes = [('gzip -9', 'a/1.wav', 500), ('gzip -9', 'b/2.wav', 900), (FLAC, 'a/1.wav', 400)]
  measurements = [evaluation_cases.measured(name, file, 1000, size) for name, file, size in sizes]
  failure = evaluation_cases.failed(FLAC, 'b/2.wav', 'flac failed: ERROR: no space')
  return report_cases.of_measurements(INFOS, [*measurements, failure], **fields)


def rows(html: str, title: str) -> list[list[str]]:
  """The cells of the table below a heading."""
  table = html[html.index(title) :].partition('</table>')[0]
  found = re.findall('<tr>(.*?)</tr>', table)
  return [re.findall('<t[hd] .*?>(.*?)</t[hd]>', row) for row in found]


def test_the_page_is_well_formed(text):
  page = Page(text)
  assert text.startswith('<!DOCTYPE html>\n<html lang="en">') and page.problems == []
  assert page.tags.count('title') == page.tags.count('h1') == 1
  assert page.tags.count('svg') == page.tags.count('figure') == page.tags.count('figcaption') == 10
  assert len(page.ids) == len(set(page.ids)) > 1000


def test_the_page_needs_nothing_else(text):
  page = Page(text)
  assert {'script', 'link', 'img', 'iframe', 'object', 'base'}.isdisjoint(page.tags)
  assert '@import' not in text and '@font-face' not in text
  references = page.references
  assert len(references) > 100
  assert {each for each in references if not each.startswith('#')} == set()
  assert {each.removeprefix('#') for each in references} <= set(page.ids)
  policies = [value for tag, name, value in page.attributes if tag == 'meta' and name == 'content']
  assert any(each.startswith("default-src 'none'; ") for each in policies)


def test_what_when_and_how(text):
  page = Page(text)
  words = ' '.join(page.texts)
  results = report_cases.results(num_domains=1)
  for expected in (results.command_line, results.created, '12 files in 3 domains', 'python 3.11.7', 'machine x86_64'):
    assert expected in words
  assert 'docs/EVALUATION.md' in words


def test_figures_of_all_files():
  [head, *body] = rows(written(small()), 'All files, whole files')
  found = {row[0]: dict(zip(head, row, strict=True)) for row in body}
  assert list(found) == [FLAC, 'gzip -9']  # The best one first.
  assert found['gzip -9'] | {'95% interval': ''} == {
    'compressor': 'gzip -9',
    'rate, %': '70.00',
    '95% interval': '',
    'bits per sample': '11.200',
    'ratio': '1.429',
    'adjusted rate, %': '70.00',
    'code length, %': '–',
    'fell back, % of chunks / bytes': '–',
    'rate of lmic, %': '–',
    'encode, × real time': '0.500',
    'decode, × real time': '0.250',
    'files': '2',
    'failed': '0',
  }
  assert (found[FLAC]['rate, %'], found[FLAC]['files'], found[FLAC]['failed']) == ('40.00', '1', '1')


def test_figures_by_domain():
  assert rows(written(small()), 'Rates in % by domain, whole files') == [
    ['domain', 'gzip -9', FLAC],
    ['a', '50.00', '40.00'],
    ['b', '90.00', '–*'],
    ['mean of domains', '70.00', '–*'],
  ]


def test_pairs():
  [head, row] = rows(written(small()), 'Each pair of compressors, whole files')
  assert dict(zip(head, row, strict=True)) == {
    'first': 'gzip -9',
    'second': FLAC,
    'do they differ?': '–',
    'first − second, % points': '10.00',
    '95% interval': '–',
    'files': '1',
    'first wins': '0',
    'second wins': '1',
  }


def test_what_is_missing_is_listed_with_its_reason():
  html = written(small(missing={'mac': 'no program mac on PATH'}, unreadable={'a/bad.wav': 'it is empty'}))
  assert rows(html, 'Compressors that could not run: 1')[1:] == [['mac', 'no program mac on PATH']]
  assert rows(html, 'Files left out: 1')[1:] == [['a/bad.wav', 'it is empty']]
  assert rows(html, 'Failures: 1')[1:] == [['b/2.wav', FLAC, 'whole', 'flac failed: ERROR: no space']]


def test_a_thousand_failures_do_not_bury_the_rest():
  failures = [evaluation_cases.failed(FLAC, f'a/{index}.wav') for index in range(1101)]
  html = written(report_cases.of_measurements(INFOS, failures))
  assert len(rows(html, 'Failures: 1,101')) == 101
  assert '1,001 more are in results.json.' in html


def test_nothing_is_said_of_what_is_not_there():
  html = written(report_cases.of_measurements(INFOS[:1], [evaluation_cases.measured('gzip -9', 'a/1.wav', 100, 50)]))
  for word in ('could not run', 'left out', 'Failures', 'by domain', 'Each pair', 'independent chunks'):
    assert word not in html
  assert '1 file in 1 domain<' in html and Page(html).problems == []


def test_an_evaluation_of_nothing():
  page = Page(written(report_cases.of_measurements([], [])))
  assert page.problems == [] and 'svg' not in page.tags


def test_names_and_messages_are_text_and_nothing_else():
  info = CompressorInfo(name=HOSTILE, is_model=True, version=HOSTILE, settings=HOSTILE, parameters_bytes=1)
  file = f'{HOSTILE}/x.wav'
  measurements = [
    evaluation_cases.measured(name, file, 1000, 500, domain=HOSTILE, protocol=protocol)
    for protocol in ('whole', CHUNKED)
    for name in (HOSTILE, FLAC)
  ]
  measurements.append(evaluation_cases.failed(HOSTILE, f'{HOSTILE}/y.wav', HOSTILE))
  results = report_cases.of_measurements(
    [info, INFOS[1]],
    measurements,
    command_line=HOSTILE,
    created=HOSTILE,
    platform={HOSTILE: HOSTILE},
    versions={HOSTILE: HOSTILE},
    missing={HOSTILE: HOSTILE},
    unreadable={HOSTILE: HOSTILE},
    traces=[dataclasses.replace(report_cases.trace(10), file=file, bits={HOSTILE: (1.0,) * 10})],
  )
  html = written(results, title=HOSTILE)
  assert html.encode()
  page = Page(html)
  assert page.problems == [] and {'script', 'img'}.isdisjoint(page.tags)
  assert all(each.startswith('#') for each in page.references)
  assert not any(name.startswith('on') for _, name, _ in page.attributes)
  shown = sum(text.count(ESCAPED) for text in page.texts)
  assert shown > 20  # In headings, in tables, above figures.


def test_the_same_results_give_the_same_page():
  assert written(small()) == written(small())


def test_a_model_has_its_size_and_code_length():
  info = evaluation_cases.compressor(MODEL, parameters_bytes=421_888)
  fallback = Fallback(sound_chunks=8, fallback_chunks=1, fallback_bytes=100, lmic_bytes=450_000)
  measured = evaluation_cases.measured(
    MODEL, 'a/1.wav', 1_000_000, 500_000, code_length_bits=3_200_000.0, fallback=fallback
  )
  html = written(report_cases.of_measurements([info], [measured]))
  assert [MODEL, '1.0', 'default -9', '421,888'] in rows(html, '>Compressors<')
  [head, row] = rows(html, 'All files, whole files')
  found = dict(zip(head, row, strict=True))
  assert (found['code length, %'], found['rate, %'], found['adjusted rate, %']) == ('40.00', '50.00', '92.19')
  fell_back = (found['fell back, % of chunks / bytes'], found['rate of lmic, %'])
  assert fell_back == ('12.5 / &lt;0.1', '45.00')
  assert 'writes without the model, since that is smaller' in html


def test_nothing_is_said_of_falling_back_where_nothing_did():
  info = evaluation_cases.compressor(MODEL, parameters_bytes=1)
  fallback = Fallback(sound_chunks=8, fallback_chunks=0, fallback_bytes=0, lmic_bytes=500)
  html = written(
    report_cases.of_measurements([info], [evaluation_cases.measured(MODEL, 'a/1.wav', 1000, 500, fallback=fallback)])
  )
  [head, row] = rows(html, 'All files, whole files')
  assert dict(zip(head, row, strict=True))['fell back, % of chunks / bytes'] == '0'
  assert 'without the model' not in html


def test_a_model_without_bytes_has_its_code_length():
  info = evaluation_cases.compressor(MODEL, parameters_bytes=1)
  fields = {'encode_seconds': 0.0, 'decode_seconds': 0.0, 'code_length_bits': 3200.0}
  measured = evaluation_cases.measured(MODEL, 'a/1.wav', 1000, None, **fields)
  html = written(report_cases.of_measurements([info, INFOS[1]], [measured, *small().measurements[2:3]]))
  [head, *body] = rows(html, 'All files, whole files')
  found = {row[0]: dict(zip(head, row, strict=True)) for row in body}
  assert found[MODEL]['code length, %'] == '40.00' and found[MODEL]['files'] == '1'
  others = set(head) - {'compressor', 'code length, %', 'files', 'failed'}
  assert {found[MODEL][name] for name in others} == {'–'}
  assert 'Each pair' not in html and Page(html).problems == []


def test_the_figure_of_files_fits_a_phone(text):
  kinds = dict(re.findall('<figure id="(.*?)">.*?<div class="(.*?)"', text, re.DOTALL))
  narrow = {figure for figure, kind in kinds.items() if kind.split()[-1] == 'narrow'}
  assert len(kinds) == 10 and narrow == {'extremes-whole', 'extremes-chunked'}
  assert '.plot.narrow svg { max-width: 30rem; min-width: 0; }' in text
