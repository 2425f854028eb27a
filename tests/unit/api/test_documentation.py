"""Examples of the documentation run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.hybrid_cases import tone
from support.training_runs import REPOSITORY
from support.wav_builder import build_wav, pcm_bytes

import language_modeling_is_compression as lmic

_EXAMPLE = re.compile(r'^```python\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def examples(path: Path, start: str = '') -> list[str]:
  """The examples of a document, from a heading on."""
  text = path.read_text(encoding='utf-8')
  return _EXAMPLE.findall(text[text.index(start) :])


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
  """A working directory with the song that the examples are about."""
  song = build_wav(pcm_bytes(tone(3000, channels=2), 16), channels=2, rate_hz=44_100)
  (tmp_path / 'song.wav').write_bytes(song)
  monkeypatch.chdir(tmp_path)
  return tmp_path


def test_the_interface(folder):
  """All in one program, since they build on one another."""
  found = examples(REPOSITORY / 'docs/API.md')
  assert len(found) >= 8
  names: dict[str, object] = {}
  for example in found:
    exec(compile(example, 'docs/API.md', 'exec'), names)
  assert isinstance(names['part'], np.ndarray) and names['part'].shape == (1024, 2)


def test_the_first_lines_of_the_readme(folder):
  first, second = examples(REPOSITORY / 'README.md', '## Use it from Python')[:2]
  names: dict[str, object] = {}
  exec(compile(first, 'README.md', 'exec'), names)
  exec(compile(second, 'README.md', 'exec'), names)


def test_every_name_is_documented():
  text = (REPOSITORY / 'docs/API.md').read_text(encoding='utf-8')
  for name in lmic.__all__:
    assert name == '__version__' or re.search(rf'\b{name}\b', text), name
