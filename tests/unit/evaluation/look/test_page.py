"""The page of a sound: whole, self-contained, with the figures that there are findings for, and no name believed."""

import re
from pathlib import Path

import numpy as np
import pytest
from support import look_cases
from support.look_cases import byte_findings, findings, hybrid_findings, residuals, sound_of, write_wav
from support.page import Page
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.errors import InputError
from language_modeling_is_compression.evaluation.look.findings import Findings
from language_modeling_is_compression.evaluation.look.page import look, look_html
from language_modeling_is_compression.evaluation.look.sources import Sound

LEVELS = np.linspace(-90, 0, 12).reshape(3, 4)
OF_ALL = ['time', 'calibration']
OF_HYBRID, OF_BYTES = ['weights', 'repetition'], ['bytes', 'embedding', 'attention']


@pytest.fixture
def sound(tmp_path) -> Sound:
  return sound_of(write_wav(tmp_path / 'a.wav', 600))


def hybrid(name: str = 'h', rank: int = 0, **fields) -> Findings:
  return findings(name, rank, hybrid=hybrid_findings(**fields))


def of_bytes(name: str = 'b', rank: int = 0) -> Findings:
  return findings(name, rank, by_byte=byte_findings(), residuals=(residuals('byte 1'), residuals('byte 2')))


def figures(page: str) -> list[str]:
  return re.findall('<figure id="(.*?)">', page)


@pytest.mark.parametrize(
  ('models', 'expected'),
  [
    ([hybrid()], OF_ALL + OF_HYBRID),
    ([hybrid(lags=False)], OF_ALL + OF_HYBRID),
    ([hybrid(lags=False, copies=0.0)], [*OF_ALL, 'weights']),
    ([of_bytes()], OF_ALL + OF_BYTES),
    ([hybrid(), hybrid('i', 1)], ['time', 'difference', 'calibration', *OF_HYBRID]),
    ([of_bytes(), of_bytes('c', 1)], ['time', 'difference', 'calibration', *OF_BYTES]),
    ([of_bytes(), hybrid('h', 1)], ['time', 'difference', 'calibration', *OF_HYBRID, *OF_BYTES]),
  ],
)
def test_figures_are_those_that_there_are_findings_for(sound, models, expected):
  text = look_html(sound, LEVELS, models)
  page = Page(text)
  assert page.problems == [] and figures(text) == expected
  assert page.tags.count('figcaption') == len(expected) and len(page.ids) == len(set(page.ids))
  assert ('Nothing repeats' in text) == ('weights' in expected and 'repetition' not in expected)
  # A figure of one of two models says which.
  assert ('What is believed: h' in text) == (expected[3:] == [*OF_HYBRID, *OF_BYTES])


def test_the_page_needs_nothing_else(sound):
  page = Page(look_html(sound, LEVELS, [hybrid(), of_bytes('b', 1)]))
  assert {'script', 'link', 'img', 'iframe', 'object', 'base'}.isdisjoint(page.tags)
  references = [each for each in page.references if not each.startswith('#')]
  assert references and all(each.startswith('data:image/png;base64,') for each in references)
  policies = [value for tag, name, value in page.attributes if tag == 'meta' and name == 'content']
  assert any(each.startswith("default-src 'none'; ") for each in policies)


def test_totals(sound):
  text = look_html(sound, LEVELS, [hybrid('first'), of_bytes('second', 1)])
  rows = [re.findall('<td .*?>(.*?)</td>', row) for row in re.findall('<tr>(.*?)</tr>', text)]
  assert rows[1:] == [
    ['first', 'hybrid', '5.000', '130', '150', '33.33', '1 of 4'],
    ['second', 'bytes', '5.000', '130', '150', '33.33', '1 of 4'],
  ]
  assert '0.075 s, mono, 8,000 Hz, 16 bits' in text


def test_names_are_text_and_nothing_else(tmp_path):
  hostile = '<script>alert(1)<"\' onload=$x^2$ &amp;\udcff\n'
  model = Path(look_cases.byte_model(tmp_path)).rename(tmp_path / f'{hostile}.npz')
  text = look(write_wav(tmp_path / hostile, 300), [str(model), 'default'])
  page = Page(text)
  assert text.encode() and page.problems == [] and 'script' not in page.tags
  assert not any(name.startswith('on') for _, name, _ in page.attributes)
  shown = [text for text in page.texts if text.startswith(hostile[:20])]
  assert len(shown) >= 5 and hostile[:-2] + r'\udcff\n' in shown  # The heading; names of models may be cut.


def test_the_same_file_gives_the_same_page(tmp_path):
  path = write_wav(tmp_path / 'a.wav', 3000, 2)
  done: list[tuple[int, int]] = []
  first = look(path, ['default'], progress=lambda *counts: done.append(counts))
  assert first == look(path, ['default'], threads=1)
  assert done[0] == (0, 12_000) and done[-1] == (12_000, 12_000)
  assert figures(first)[:3] == ['time', 'calibration', 'weights'] and '>a.wav<' in first


def test_a_page_under_two_models(tmp_path):
  path = write_wav(tmp_path / 'a.wav', 300, 1, 24)
  model = look_cases.byte_model(tmp_path)
  text = look(path, [model, 'default'])
  assert figures(text)[1] == 'difference' and 'byte 3,' in text and 'counted' in text
  assert f'default less {Path(model).stem}' in text


@pytest.mark.parametrize('samples', [np.zeros((900, 2)), np.array([[5]]), np.array([[5, 7], [5, 6]])])
def test_sounds_that_there_is_little_to_say_of(tmp_path, samples):
  path = tmp_path / 'a.wav'
  path.write_bytes(build_wav(pcm_bytes(samples.astype(np.int64), 24), channels=samples.shape[1], bits=24))
  text = look(path, ['default', look_cases.byte_model(tmp_path)])
  assert Page(text).problems == [] and figures(text)[:3] == ['time', 'difference', 'calibration']
  assert 'nan' not in text


@pytest.mark.parametrize('models', [['a', 'b', 'c'], ['default', 'default']])
def test_models_that_cannot_be_compared(tmp_path, models):
  with pytest.raises(InputError, match='-m: expected up to 2 different models'):
    look(tmp_path / 'a.wav', models)
