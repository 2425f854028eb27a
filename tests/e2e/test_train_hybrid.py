"""The command with several folders and domains, with experts that stand in for the real ones."""

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.evidence_cases import extract_evidence, write_sound
from support.wav_builder import IEEE_FLOAT, build_wav

import train_audio
from language_modeling_is_compression import load_model
from language_modeling_is_compression.training import run as training_run
from language_modeling_is_compression.training.loop import RunOutcome

_EXTRACTION = 'language_modeling_is_compression.linear.extraction'
_TINY = (
  '--no_progress',
  *('--embedding_dim', '8', '--num_layers', '1', '--num_heads', '2', '--attention_window', '8'),
  *('--training_steps', '2', '--batch_size', '4'),
)
_HYBRID = (*_TINY, '--model', 'hybrid', '--sequence_length', '16')


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
  module = types.ModuleType(_EXTRACTION)
  module.__dict__.update(extract_evidence=extract_evidence)
  monkeypatch.setitem(sys.modules, _EXTRACTION, module)


@pytest.fixture
def corpus(tmp_path) -> Path:
  """Two domains, and what nothing can be learnt from."""
  folder = tmp_path / 'corpus'
  for number, domain in enumerate(('speech', 'drums')):
    for side in ('train', 'valid'):
      write_sound(folder / domain / side / 'a.wav', 200, channels=number + 1, seed=number)
  (folder / 'speech/train/broken.wav').write_bytes(b'no audio')
  floats = np.linspace(-1, 1, 50, dtype='<f4').tobytes()
  (folder / 'speech/train/floats.wav').write_bytes(build_wav(floats, tag=IEEE_FLOAT, bits=32))
  return folder


def run(tmp_path: Path, *arguments: object) -> tuple[int, Path]:
  """The exit code, and the model file as it would be."""
  out = tmp_path / 'out'
  return train_audio.main([str(each) for each in (*arguments, '--output_dir', out)]), out / 'audio_model.npz'


@pytest.fixture
def handed_over(monkeypatch) -> list:
  """The task of each run, which then ends without having trained."""
  handed: list = []

  def train_model(settings, task, *, files, stopper, checkpoint, processes, dry):
    assert checkpoint is None and processes.count == 1 and not dry
    handed.append(task)
    state: Any = None
    return RunOutcome(state, None, None, is_saved=False)

  monkeypatch.setattr(training_run, 'train_model', train_model)
  return handed


def test_a_run_on_the_folder_above_several_domains(corpus, tmp_path, capsys):
  code, path = run(tmp_path, '--audio_dir', corpus, *_HYBRID)
  stderr = capsys.readouterr().err
  assert code == 0, stderr
  model = load_model(path)
  assert model.spec.family == 'hybrid'
  assert model.provenance['domains'] == {'speech': 1.0, 'drums': 1.0}
  assert model.provenance['settings']['audio_dir'] == [str(corpus)]
  domains = {'speech', 'drums', 'speech_8bit', 'drums_8bit'}
  assert set(model.provenance['held_out']['domains']) == domains
  figures = json.loads(path.with_name('audio_model_metrics.jsonl').read_text().splitlines()[-1])
  assert {name for name in figures if name.endswith('/bits_per_sample')} >= {
    f'held_out/{domain}/bits_per_sample' for domain in domains
  }
  assert 'held-out at step 2: bits per sample, and of the experts alone: ' in stderr
  assert re.search(r'skipped: .*broken\.wav: ', stderr)
  assert re.search(r'skipped: .*floats\.wav: expected integer samples of 8 to 24 bits .*, got floats', stderr)
  assert '2 of 6 files cannot be read and are skipped' in stderr


def test_folders_have_weights_and_a_second_run_finds_the_evidence(corpus, tmp_path, capsys, handed_over):
  audio = ('--audio_dir', corpus / 'speech', '--audio_dir', corpus / 'drums', '--audio_weights', '3,0.5')
  flags = (*audio, *_HYBRID, '--cache_dir', tmp_path / 'kept', '--bit_depths', 'native')
  assert run(tmp_path, *flags)[0] == 0
  assert handed_over[0].provenance['domains'] == {'speech': 3.0, 'drums': 0.5}
  assert handed_over[0].facts == {
    'train_samples/drums': 400,
    'train_samples/speech': 200,
    'valid_samples/drums': 400,
    'valid_samples/speech': 200,
  }
  before = capsys.readouterr().err
  assert run(tmp_path, *flags)[0] == 0
  assert not (tmp_path / 'out/evidence_cache').exists()
  assert ': 0 computed in' not in before and ': 0 computed in' in capsys.readouterr().err


def refused(capsys, tmp_path, *arguments: object) -> str:
  code, path = run(tmp_path, *arguments)
  captured = capsys.readouterr()
  assert code == 2 and captured.err.count('\n') == 1 and not path.parent.exists()
  return captured.err


def test_weights_that_do_not_fit_the_folders(corpus, tmp_path, capsys):
  line = refused(capsys, tmp_path, '--audio_dir', corpus, '--audio_weights', '1,2', *_HYBRID)
  assert 'audio_weights: expected 1 numbers, one for each audio_dir, got 2' in line


def test_domains_of_the_same_name(corpus, tmp_path, capsys):
  write_sound(tmp_path / 'more/drums/a.wav', 20)
  folders = ('--audio_dir', corpus / 'drums', '--audio_dir', tmp_path / 'more/drums')
  assert 'audio_dir: two folders are called drums: rename one' in refused(capsys, tmp_path, *folders, *_HYBRID)


def test_a_folder_without_files_to_train_on(corpus, tmp_path, capsys):
  (tmp_path / 'empty').mkdir()
  folders = ('--audio_dir', corpus / 'drums', '--audio_dir', tmp_path / 'empty')
  assert f'audio_dir: {tmp_path}/empty: expected audio files to train on' in refused(capsys, tmp_path, *folders, *_TINY)


def test_nothing_but_floats(tmp_path, capsys):
  (tmp_path / 'audio').mkdir()
  (tmp_path / 'audio/a.wav').write_bytes(build_wav(bytes(400), tag=IEEE_FLOAT, bits=32))
  code, _ = run(tmp_path, '--audio_dir', tmp_path / 'audio', *_HYBRID)
  assert code == 1
  assert 'error: none of the 1 files to train on can be read, see the warnings above' in capsys.readouterr().err


def test_byte_models_take_the_files_of_all_folders(corpus, tmp_path, handed_over):
  folders = ('--audio_dir', corpus / 'speech', '--audio_dir', corpus / 'drums', '--chunk_size', 32)
  assert run(tmp_path, *folders, *_TINY)[0] == 0
  (task,) = handed_over
  assert (task.facts['num_train_files'], task.facts['num_valid_files']) == (3, 2)


@pytest.mark.parametrize('flags', [('--chunk_size', '32'), ('--model', 'hybrid', '--sequence_length', '16')])
def test_a_dry_run_says_what_is_ahead_and_writes_nothing(tmp_path, corpus, capfd, flags):
  before = sorted(tmp_path.rglob('*'))
  code, _ = run(tmp_path, '--audio_dir', corpus, *_TINY, *flags, '--validate_every', '1', '--dry_run')
  said = capfd.readouterr()
  assert code == 0 and said.out == ''
  assert sorted(tmp_path.rglob('*')) == before
  for begin in (
    'num_parameters: ',
    'a step: 4 rows of up to ',
    'disk: model ',
    'figures: ',
    'memory: ',
    'time: a step ',
  ):
    assert re.search(f'^{begin}', said.err, re.MULTILINE), (begin, said.err)
  assert ('\nevidence: 2,400 samples, at most 173 kB in ' in said.err) == ('hybrid' in flags)
  assert 'step 1 of 2' not in said.err


def test_a_dry_run_of_a_run_that_cannot_be_is_refused_like_one(tmp_path, corpus, capfd):
  code, _ = run(tmp_path, '--audio_dir', corpus, *_TINY, '--dry_run', '--resume')
  assert code == 1 and 'checkpoint' in capfd.readouterr().err
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('flag', ['output_dir', 'cache_dir'])
def test_a_dry_run_refuses_a_folder_that_cannot_be_made(tmp_path, corpus, capfd, flag):
  (tmp_path / 'file').touch()
  hybrid = ('--model', 'hybrid', '--sequence_length', '16')
  folders = {'output_dir': tmp_path / 'out', flag: tmp_path / 'file' / 'a'}
  flags = ('--audio_dir', corpus, *_TINY, *hybrid, '--dry_run', *(each for at in folders.items() for each in at))
  assert train_audio.main([f'--{each}' if each in folders else str(each) for each in flags]) == 2
  assert f'error: {flag}: {tmp_path / "file" / "a"} cannot be ' in capfd.readouterr().err
