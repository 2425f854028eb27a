"""Levels on the command line, and which model a file is read with; stand-ins take the place of packaged models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import lmic_cases, lmic_frames
from support.segment_stand_in import StandIn
from support.training_runs import REPOSITORY
from support.wav_builder import build_wav

from language_modeling_is_compression.api import engine
from language_modeling_is_compression.cli import main as lmic_main
from language_modeling_is_compression.codec.levels import LEVELS
from language_modeling_is_compression.errors import ModelMismatchError
from language_modeling_is_compression.format.container import MODEL, Container
from language_modeling_is_compression.format.header import MODEL_ID_BYTES, Header
from language_modeling_is_compression.format.layout import (
  ChannelLayout,
  HybridLayout,
  Layout,
  LinearLayout,
  SegmentLayout,
)
from language_modeling_is_compression.network.checkpoint import save_model

NUM_FRAMES = (1 << 17) + 1000
SEEDS = {'default': 1, 'tiny': 2, 'linear': 3}


class Asked:
  """What the command asked of inference/loading.py: names of models, and of those that may have written a file."""

  def __init__(self):
    self.loaded: list[str] = []
    self.tried: list[list[str]] = []

  def load(self, path: str, device: str, layout: type[Layout] | None = None) -> StandIn:
    self.loaded.append(path)
    return StandIn(SEEDS[path])

  def find(self, header: Header, likely: list[str], device: str) -> StandIn:
    self.tried.append(list(dict.fromkeys(likely)))
    for name in likely:
      if (found := StandIn(SEEDS[name])).identity.startswith(header.model_id):
        return found
    raise ModelMismatchError('not packaged')


@pytest.fixture
def asked(monkeypatch) -> Asked:
  models = Asked()
  monkeypatch.setattr(engine, 'load_coder', models.load)
  monkeypatch.setattr(engine, 'find_coder', models.find)
  return models


@pytest.fixture
def song(tmp_path) -> Path:
  """Slow waves of 8 bits, longer than a segment of level 1."""
  waves = np.round(128 + 90 * np.sin(0.002 * np.arange(NUM_FRAMES))).astype(np.uint8)
  (tmp_path / 'song.wav').write_bytes(build_wav(waves.tobytes(), bits=8, rate_hz=44_100))
  return tmp_path / 'song.wav'


def short(folder: Path, name: str) -> Path:
  (folder / name).write_bytes(build_wav(bytes(range(100, 150)) * 4, bits=8))
  return folder / name


def header_of(path: Path):
  with open(path, 'rb') as file:
    return Container(file, path.stat().st_size).header


@pytest.mark.parametrize(
  ('flags', 'network', 'chunk_frames', 'effort'),
  [
    ([], 'default', NUM_FRAMES, 1),
    (['--level', '1'], 'linear', NUM_FRAMES // 2, 0),
    (['--level', '4'], 'linear', NUM_FRAMES, 1),
    (['--level', '9'], 'default', NUM_FRAMES, 2),
    (['--level', '9', '-m', 'tiny'], 'tiny', NUM_FRAMES, 2),
  ],
)
def test_a_level_says_network_segments_and_effort(asked, song, flags, network, chunk_frames, effort):
  assert lmic_main.main(['compress', '-q', '--no-verify', *flags, str(song)]) == 0
  header = header_of(song.with_name('song.wav.lmic'))
  assert asked.loaded == [network]
  assert (header.chunk_frames, header.layout.effort) == (chunk_frames, effort)
  assert header.model_id == StandIn(SEEDS[network]).identity[:MODEL_ID_BYTES]


@pytest.mark.parametrize(('level', 'order'), [('2', ['linear', 'default']), ('9', ['default', 'linear'])])
def test_a_file_finds_the_model_that_wrote_it(asked, tmp_path, level, order):
  song = short(tmp_path, 'a.wav')
  original = song.read_bytes()
  assert lmic_main.main(['compress', '-q', '--rm', '--level', level, str(song)]) == 0
  asked.loaded.clear()
  assert lmic_main.main(['test', '-q', f'{song}.lmic']) == 0
  assert lmic_main.main(['decompress', '-q', f'{song}.lmic']) == 0
  assert song.read_bytes() == original
  assert (asked.loaded, asked.tried) == ([], [order, order])


def test_each_model_is_built_once(asked, tmp_path):
  packed = []
  for index, level in enumerate(('1', '6', '2', '7')):
    song = short(tmp_path, f'{index}.wav')
    assert lmic_main.main(['compress', '-q', '--level', level, str(song)]) == 0
    packed.append(f'{song}.lmic')
  assert lmic_main.main(['test', '-q', *packed]) == 0
  assert len(asked.tried) == 2
  asked.loaded.clear()
  assert lmic_main.main(['test', '-q', '-m', 'linear', packed[0], packed[2]]) == 0
  assert asked.loaded == ['linear'] and len(asked.tried) == 2


def test_a_model_that_is_missing_is_said_of_its_file_alone(asked, tmp_path, capsys):
  for name, level in (('a.wav', '1'), ('b.wav', '6')):
    assert lmic_main.main(['compress', '-q', '--level', level, str(short(tmp_path, name))]) == 0
  data = bytearray((tmp_path / 'a.wav.lmic').read_bytes())
  data[15:23] = bytes(range(50, 58))  # Behind coding, container and samples, and the source.
  (tmp_path / 'a.wav.lmic').write_bytes(lmic_frames.sealed(bytes(data)))
  assert lmic_main.main(['test', str(tmp_path / 'a.wav.lmic'), str(tmp_path / 'b.wav.lmic')]) == 1
  assert capsys.readouterr().err.splitlines() == [
    f'lmic: {tmp_path}/a.wav.lmic: not packaged',
    f'{tmp_path}/b.wav.lmic: ok',
  ]


def test_a_byte_model_has_no_levels(tmp_path, capsys):
  song, model = short(tmp_path, 'a.wav'), tmp_path / 'model.npz'
  save_model(model, lmic_cases.tiny_model(use_16bit=False))
  assert lmic_main.main(['compress', '-m', str(model), '--level', '6', str(song)]) == 2
  reason = f'{model} is a byte model, which has no levels: name a hybrid model, or no level'
  assert capsys.readouterr().err == f'lmic: error: level: {reason}\n'
  assert sorted(tmp_path.iterdir()) == [song, model]


@pytest.mark.parametrize('level', ['0', '10', 'best'])
def test_levels_that_are_not_there(capsys, level):
  with pytest.raises(SystemExit) as end:
    lmic_main.main(['compress', 'x', '--level', level])
  assert end.value.code == 2
  assert 'error: argument --level: invalid ' in capsys.readouterr().err


def test_only_compress_has_levels(capsys):
  with pytest.raises(SystemExit):
    lmic_main.main(['decompress', 'x', '--level', '6'])
  assert 'unrecognized arguments: --level 6' in capsys.readouterr().err


def test_help_says_the_default_level(capsys):
  with pytest.raises(SystemExit):
    lmic_main.main(['compress', '--help'])
  said = ' '.join(capsys.readouterr().out.split())
  assert '--level {1,2,3,4,5,6,7,8,9} from 1, short segments' in said and '(default: 6)' in said


def test_info(asked, song, capsys):
  assert lmic_main.main(['compress', '-q', '--no-verify', '--level', '1', str(song)]) == 0
  packed = song.with_name('song.wav.lmic')
  assert lmic_main.main(['info', '--json', str(packed)]) == 0
  [facts] = json.loads(capsys.readouterr().out)
  expected = {'format_version': 5, 'effort': 0, 'model_kind': 'hybrid', 'segment_seconds': NUM_FRAMES / 2 / 44_100}
  assert {name: facts[name] for name in expected} == expected
  assert lmic_main.main(['info', str(packed)]) == 0
  _, line = capsys.readouterr().out.splitlines()
  identity = StandIn(SEEDS['linear']).identity.hex()[:8]
  assert line.split()[-9:] == ['3.0', 's', '5', '1.5', 's', '0', 'hybrid', identity, str(packed)]


def test_info_without_a_rate(asked, tmp_path, capsys):
  (tmp_path / 'a.wav').write_bytes(build_wav(bytes(100), bits=8, rate_hz=0))
  assert lmic_main.main(['compress', '-q', str(tmp_path / 'a.wav')]) == 0
  assert lmic_main.main(['info', '--json', str(tmp_path / 'a.wav.lmic')]) == 0
  [facts] = json.loads(capsys.readouterr().out)
  assert (facts['segment_seconds'], facts['effort']) == (None, 1)


@pytest.mark.parametrize('command', ['compress', 'decompress', 'test', 'info'])
@pytest.mark.parametrize('flag', ['-0', '-0.5', '-x', '--levels', '-9.wav'])
def test_what_begins_with_a_dash_is_no_file(asked, song, capsys, command, flag):
  with pytest.raises(SystemExit) as ended:
    lmic_main.main([command, flag, str(song)])
  said = capsys.readouterr().err
  assert (ended.value.code, said.count('\n')) == (2, 1) and said.startswith('lmic') and ': error: ' in said
  assert asked.loaded == [] and not Path(f'{song}.lmic').exists()


def test_a_level_for_short(asked, song):
  assert lmic_main.main(['compress', '-1', str(song), '-o', os.devnull]) == 0
  assert asked.loaded == ['linear']


def test_names_behind_two_dashes_are_those_of_files(asked, song, monkeypatch):
  monkeypatch.chdir(song.parent)
  song.rename('-5')
  assert lmic_main.main(['compress', '--', '-5']) == 0
  assert Path('-5.lmic').exists()


def test_alone_it_says_how_it_is_used(capsys):
  assert lmic_main.main([]) == 2
  assert 'compress' in capsys.readouterr().out


def test_without_a_compiler_it_says_so(song, monkeypatch, capsys):
  monkeypatch.setenv('NUMBA_DISABLE_JIT', '1')
  for command in ('compress', 'decompress', 'test'):
    assert lmic_main.main([command, str(song)]) == 2
    assert capsys.readouterr().err.startswith('lmic: error: NUMBA_DISABLE_JIT is set')


@pytest.fixture
def mixed(tmp_path) -> Path:
  """Two segments of level 1: waves, which suit the model, and a noise that repeats, which suits LZMA."""
  half, rng = LEVELS[1].segments.frames, np.random.default_rng(0)
  waves = np.round(128 + 90 * np.sin(0.002 * np.arange(half)) + rng.normal(0, 3, half)).astype(np.uint8)
  noise = np.tile(rng.integers(0, 256, 1 << 10).astype(np.uint8), half >> 10)
  samples = np.concatenate([waves, noise])
  (tmp_path / 'mixed.wav').write_bytes(build_wav(samples.tobytes(), bits=8, trailer=b'no sound'))
  return tmp_path / 'mixed.wav'


def test_chunks_that_fell_back_are_said(asked, mixed, capsys):
  assert lmic_main.main(['compress', '--level', '1', str(mixed)]) == 0
  said = capsys.readouterr().err
  packed = mixed.with_name('mixed.wav.lmic')
  with open(packed, 'rb') as file:
    container = Container(file, packed.stat().st_size)
    methods = [container.chunk(index).method for index in range(container.header.num_chunks)]
  # What stands before the sound, waves, noise, and what follows the sound.
  assert [method == MODEL for method in methods] == [False, True, False, False]
  assert ', 1 of 2 chunks fell back (smaller without the model), verified' in said
  assert lmic_main.main(['info', '--json', str(packed)]) == 0
  assert json.loads(capsys.readouterr().out)[0]['fallback_chunks'] == 1
  assert lmic_main.main(['info', str(packed)]) == 0
  head, line = capsys.readouterr().out.splitlines()
  assert head.split()[:3] == ['chunks', 'fell', 'back'] and line.split()[:2] == ['4', '1']
  assert lmic_main.main(['decompress', '-f', str(packed)]) == 0
  assert 'fell back' not in capsys.readouterr().err


def test_nothing_is_said_where_no_chunk_fell_back(asked, tmp_path, capsys):
  half, rng = 1 << 15, np.random.default_rng(0)
  waves = np.round(128 + 90 * np.sin(0.002 * np.arange(half)) + rng.normal(0, 3, half)).astype(np.uint8)
  (tmp_path / 'waves.wav').write_bytes(build_wav(waves.tobytes(), bits=8))
  assert lmic_main.main(['compress', str(tmp_path / 'waves.wav')]) == 0
  assert 'fell back' not in capsys.readouterr().err
  assert lmic_main.main(['info', '--json', str(tmp_path / 'waves.wav.lmic')]) == 0
  assert json.loads(capsys.readouterr().out)[0]['fallback_chunks'] == 0


def test_nothing_falls_back_without_a_model(asked, tmp_path, capsys):
  (tmp_path / 'words').write_bytes(b'words ' * 99)
  assert lmic_main.main(['compress', str(tmp_path / 'words')]) == 0
  assert 'fell back' not in capsys.readouterr().err
  assert lmic_main.main(['info', '--json', str(tmp_path / 'words.lmic')]) == 0
  assert json.loads(capsys.readouterr().out)[0]['fallback_chunks'] is None


def test_chunks_of_a_damaged_file_that_are_not_found_do_not_count(asked, mixed, capsys):
  """Cut off in the record of its first chunk."""
  assert lmic_main.main(['compress', '-q', '--level', '1', str(mixed)]) == 0
  packed = mixed.with_name('mixed.wav.lmic')
  data = packed.read_bytes()
  packed.write_bytes(data[: lmic_frames.starts(data)[0] + 5])
  assert lmic_main.main(['info', '--json', str(packed)]) == 1
  assert json.loads(capsys.readouterr().out)[0]['fallback_chunks'] == 0


def imported_by(*arguments: str) -> tuple[set[str], str]:
  """Names of all modules that a command imports, and what it prints."""
  command = [sys.executable, '-X', 'importtime', '-m', 'language_modeling_is_compression', *arguments]
  found = subprocess.run(command, capture_output=True, text=True, check=True)
  names = {line.rpartition('|')[2].strip() for line in found.stderr.splitlines()}
  assert 'language_modeling_is_compression.cli.parser' in names
  return names, found.stdout


def test_who_asks_what_a_file_is_waits_for_no_numpy():
  packed = REPOSITORY / 'tests/golden/v2/stereo_16.effort_1.lmic'
  names, printed = imported_by('info', str(packed))
  assert not names & {'numpy', 'numba', 'llvmlite', 'tqdm'} and packed.name in printed


def test_who_asks_for_a_version_waits_for_no_numpy():
  """Nor for anything else that takes longer than the rest of the command."""
  names, printed = imported_by('--version')
  assert not names & {'numpy', 'numba', 'tqdm', 'jax', 'language_modeling_is_compression.config.options'}
  codings = [layout.coding for layout in (ChannelLayout, SegmentLayout, LinearLayout, HybridLayout)]
  assert codings == [1, 2, 3, 4] and printed.strip().endswith('file formats 1, 2, 3, 4 and 5')
