"""`lmic look` on the command line: one page, whole or not at all, and one clear line for what cannot be."""

import os

import pytest
from support.look_cases import write_wav
from support.wav_builder import IEEE_FLOAT, build_wav

from language_modeling_is_compression.cli import main as lmic_main
from language_modeling_is_compression.cli import options
from language_modeling_is_compression.cli.parser import parse
from language_modeling_is_compression.evaluation.look import page
from language_modeling_is_compression.system.files import STANDARD


@pytest.fixture
def song(tmp_path):
  return write_wav(tmp_path / 'song.wav', 600)


def test_flags():
  flags = 'look a.wav -m one -m two.npz -o - -f --start 1 --end 2.5 -T 3 -q --no-progress'
  chosen = parse(flags.split(' '))
  assert chosen == options.Look(
    file='a.wav',
    models=('one', 'two.npz'),
    output=STANDARD,
    force=True,
    start=1.0,
    end=2.5,
    threads=3,
    quiet=True,
    no_progress=True,
  )
  plain = parse(['look', '--', '-a.wav'])
  assert isinstance(plain, options.Look) and plain.file == '-a.wav'
  assert (plain.models, plain.output, plain.threads, plain.start) == ((), None, None, None)


def test_the_page_stands_beside_the_file(song, capsys):
  assert lmic_main.main(['look', str(song), '-m', 'default', '-T', '1']) == 0
  target = song.with_name('song.wav.html')
  assert target.read_text(encoding='utf-8').startswith('<!DOCTYPE html>')
  assert f'{song}: pictures in {target}' in capsys.readouterr().err
  os.utime(target, ns=(1, 1))
  assert lmic_main.main(['look', str(song), '-m', 'default']) == 2
  assert f'{target} exists; use -f to overwrite it' in capsys.readouterr().err
  assert target.stat().st_mtime_ns == 1
  assert lmic_main.main(['look', str(song), '-m', 'default', '-f', '-q']) == 0
  assert target.stat().st_mtime_ns != 1 and capsys.readouterr().err == ''


def test_standard_output(song, capfdbinary):
  assert lmic_main.main(['look', str(song), '-m', 'default', '-o', '-', '-q']) == 0
  out, error = capfdbinary.readouterr()
  assert out.startswith(b'<!DOCTYPE html>') and error == b''
  assert list(song.parent.iterdir()) == [song]


def test_what_goes_wrong_leaves_nothing(song, monkeypatch, capsys):
  def fail(*_, **__):
    raise OSError(28, 'No space left on device', 'somewhere')

  monkeypatch.setattr(page, 'measure', fail)
  assert lmic_main.main(['look', str(song)]) == 1
  assert 'somewhere: No space left on device' in capsys.readouterr().err
  assert list(song.parent.iterdir()) == [song]


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    ([], 'expected one FILE, got 0'),
    (['a.wav', 'b.wav'], 'expected one FILE, got 2'),
    (['-'], 'got standard input: save it first'),
    (['SONG', '-o', 'SONG', '-f'], 'is the source itself'),
    (['SONG', '-m', 'tiny', '-m', 'bytes', '-m', 'default'], 'expected up to 2 different models, got tiny, bytes, def'),
    (['SONG', '--start', '1'], 'has 0.075 seconds, got 1 to inf'),
    (['FLOAT'], 'expected integer samples, got 32-bit floats'),
    (['TEXT'], 'not a file of samples'),
    (['MISSING'], 'No such file'),
  ],
)
def test_wrong_usage_is_one_line(song, tmp_path, flags, message, capsys):
  (tmp_path / 'float.wav').write_bytes(build_wav(bytes(80), bits=32, tag=IEEE_FLOAT))
  (tmp_path / 'text').write_bytes(b'no sound at all')
  names = {'SONG': song, 'FLOAT': tmp_path / 'float.wav', 'TEXT': tmp_path / 'text', 'MISSING': tmp_path / 'no.wav'}
  before = sorted(tmp_path.iterdir())
  assert lmic_main.main(['look', *(str(names.get(flag, flag)) for flag in flags)]) == 2
  error = capsys.readouterr().err
  assert message in error and error.startswith('lmic: error: ') and error.count('\n') == 1
  assert sorted(tmp_path.iterdir()) == before


def test_what_is_missing_to_draw_is_named(song, monkeypatch, capsys):
  monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
  assert lmic_main.main(['look', str(song)]) == 1
  assert 'pip install "language-modeling-is-compression[evaluate]"' in capsys.readouterr().err
