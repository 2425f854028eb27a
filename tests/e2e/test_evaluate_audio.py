"""evaluate_audio.py as a user runs it, on sounds whose answer is known, with tiny models."""

import csv
import errno
import gzip
import json
import math
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import lmic_cases, tiny_models
from support.wav_builder import build_wav, pcm_bytes

import evaluate_audio
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.config.options import DataConfig
from language_modeling_is_compression.errors import FormatError
from language_modeling_is_compression.evaluation.report import pictures
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.system import progress

_FRAMES = 6000


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> Path:
  folder = tmp_path_factory.mktemp('x') / 'models'
  folder.mkdir()
  save_model(folder / 'eight.npz', lmic_cases.tiny_model(use_16bit=False))
  save_model(folder / 'sixteen.npz', lmic_cases.tiny_model(use_16bit=True))
  save_model(folder / 'mu_law.npz', _token_model(DataConfig(quantization='mu-law')))
  save_model(folder / 'samples.npz', _token_model(DataConfig(use_16bit=True, tokenization='sample')))
  return folder


def _token_model(data: DataConfig) -> Model:
  drawn = tiny_models.random_params(build_transformer(tiny_models.MODEL, data))
  params = {module: {name: np.asarray(array) for name, array in arrays.items()} for module, arrays in drawn.items()}
  return ByteModel(params=params, spec=ByteSpec(network=tiny_models.MODEL, data=data), provenance={})


@pytest.fixture
def audio(tmp_path) -> Path:
  """Three domains: noise of 8 bits, of 4, and silence; each has a file to train on and one held out."""
  folder = tmp_path / 'audio'
  rng = np.random.default_rng(0)
  for index, side in enumerate(('train', 'valid')):
    _write(folder / f'white/{side}/{index}.wav', rng.integers(-(2**15), 2**15, (_FRAMES, 1)))
    _write(folder / f'sparse/{side}/{index}.wav', rng.integers(0, 16, (_FRAMES, 1)) << 12)
    _write(folder / f'silent/{side}/{index}.wav', np.zeros((_FRAMES, 2), int))
  return folder


@pytest.fixture
def no_pictures(monkeypatch) -> None:
  """Drawing takes most of an evaluation's time."""
  monkeypatch.setattr(pictures, 'pictures', lambda *_, **__: [])


@pytest.fixture
def run(audio, tmp_path, capsys):
  """Evaluates and returns exit code, results.json (or None), stdout and stderr."""

  def evaluate(*flags: object, output: str = 'out', folder: Path = audio) -> tuple[int, Any, str, str]:
    arguments = ['--audio_dir', folder, '--output_dir', tmp_path / output, '--no_progress', *flags]
    try:
      exit_code: Any = evaluate_audio.main([str(argument) for argument in arguments])
    except SystemExit as exit:
      exit_code = exit.code
    captured = capsys.readouterr()
    path = tmp_path / output / 'results.json'
    results = json.loads(path.read_text()) if path.exists() else None
    return exit_code, results, captured.out, captured.err

  return evaluate


def _write(path: Path, samples: np.ndarray, bits: int = 16) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(build_wav(pcm_bytes(samples, bits), channels=samples.shape[1], bits=bits))


def _summary(results: dict, protocol: str, scope: str, compressor: str) -> dict:
  (found,) = (
    row
    for row in results['summaries']
    if (row['protocol'], row['domain'] or row['scope'], row['compressor']) == (protocol, scope, compressor)
  )
  return found


def _sizes(results: dict) -> dict[tuple[str, str, str], tuple[int, int, float | None]]:
  return {
    (row['file'], row['protocol'], row['compressor']): (
      row['raw_bytes'],
      row['compressed_bytes'],
      row['code_length_bits'],
    )
    for row in results['measurements']
  }


@pytest.mark.usefixtures('no_pictures')
class TestKnownAnswers:
  def test_noise_of_eight_bits_costs_eight_bits(self, run, models):
    exit_code, results, _, err = run(
      '--model_path', models / 'eight.npz', '--baselines', 'gzip,lzma', '--chunk_size', 6000
    )
    assert exit_code == 0, err
    for protocol in ('chunked', 'whole'):
      # Headers, too; the random model believes in other bytes.
      for compressor, most in (('gzip -9', 1.07), ('eight', 1.2)):
        assert 0.99 < _summary(results, protocol, 'white', compressor)['compression_rate'] < most
      assert 0.99 < _summary(results, protocol, 'white', 'eight')['lmic_rate'] < 1.07

  def test_noise_of_sixteen_values_costs_four_bits_at_least(self, run):
    exit_code, results, _, _ = run('--baselines', 'lzma', '--bit_depth', '8', '--protocol', 'whole')
    assert exit_code == 0
    (rate,) = (row['compression_rate'] for row in results['summaries'] if row['domain'] == 'sparse')
    assert 0.5 < rate < 0.7  # What LZMA makes of four bits of noise.

  def test_silence_costs_nothing_at_whole_files(self, run, models):
    _, results, _, _ = run('--model_path', models / 'eight.npz', '--baselines', 'gzip', '--protocol', 'whole')
    for row in results['summaries']:
      if row['domain'] == 'silent':
        # Headers, mostly. It is LZMA's doing, and the random model has no part in it.
        rate = row['compression_rate'] if row['compressor'] == 'gzip -9' else row['lmic_rate']
        assert rate < 0.04
        if row['compressor'] == 'eight':
          assert row['compression_rate'] > 0.9 and row['fallback_byte_share'] == row['fallback_chunk_share'] == 1

  def test_no_rate_of_a_model_is_below_its_code_length(self, run, models):
    """Of a random one, which is worse than LZMA everywhere, and is not let off for that."""
    flags = ('--model_path', models / 'eight.npz', '--baselines', 'none', '--chunk_size', 1500)
    for count_headers in ('once', 'every'):
      _, results, _, _ = run(*flags, '--count_headers', count_headers, output=count_headers)
      for row in results['summaries']:
        assert 0 < row['coder_overhead'] < 0.1, row
        assert row['lmic_rate'] < row['compression_rate']

  def test_what_a_model_says_is_what_is_written(self, run, models):
    """The code length is the sum of -log2 p, and the coder adds a few bytes a chunk."""
    _, results, _, _ = run('--model_path', models / 'eight.npz', '--baselines', 'none', '--chunk_size', 1500)
    for row in results['measurements']:
      if row['domain'] == 'white' and row['protocol'] == 'chunked':
        coded = row['compressed_bytes'] - row['num_chunks'] * row['header_bytes']
        assert row['code_length_bits'] / 8 < coded <= row['code_length_bits'] / 8 + 12 * row['num_chunks']
        assert coded > row['raw_bytes'] > row['fallback']['lmic_bytes'] - row['num_chunks'] * row['header_bytes'] - 1
        assert sum(span['bits'] for span in row['by_position']) == pytest.approx(row['code_length_bits'])
        assert sum(span['num_samples'] for span in row['by_position']) == row['num_samples'] == _FRAMES

  def test_files_compressed_by_hand(self, run, audio):
    _, results, _, _ = run('--baselines', 'gzip', '--use_16bit', '--chunk_size', 700)
    sizes = _sizes(results)
    for name in ('white/train/0.wav', 'sparse/valid/1.wav'):
      data = (audio / name).read_bytes()
      pcm = data[44:]
      chunks = [gzip.compress(pcm[start : start + 700]) for start in range(0, len(pcm), 700)]
      assert sizes[name, 'whole', 'gzip -9'][:2] == (len(pcm), len(gzip.compress(data)))
      assert sizes[name, 'chunked', 'gzip -9'][:2] == (len(pcm), sum(map(len, chunks)))

  def test_a_tail_is_measured(self, run):
    _, results, _, _ = run('--baselines', 'gzip', '--bit_depth', '16', '--protocol', 'chunked', '--chunk_size', 5000)
    for row in results['measurements']:
      assert (row['num_chunks'], row['raw_bytes']) == (math.ceil(2 * _FRAMES / 5000), 2 * _FRAMES)

  def test_so_many_chunks(self, run):
    _, results, _, _ = run('--baselines', 'gzip', '--protocol', 'chunked', '--chunk_size', 1000, '--num_chunks', 7)
    assert sum(row['num_chunks'] for row in results['measurements']) == 7
    assert len(results['measurements']) > 3

  def test_headers_once_or_every_time(self, run):
    flags = ('--baselines', 'gzip', '--protocol', 'chunked', '--chunk_size', 1000)
    _, once, _, _ = run(*flags)
    _, every, _, _ = run(*flags, '--count_headers', 'every', output='every')
    (header,) = {row['header_bytes'] for row in once['measurements']}
    difference = [_summary(results, 'chunked', 'all', 'gzip -9')['compressed_bytes'] for results in (every, once)]
    assert header > 0 and difference[0] - difference[1] == header * (36 - 1)


@pytest.mark.usefixtures('no_pictures')
class TestWhatIsCompressed:
  def test_the_top_bits(self, run, models, tmp_path):
    """16-bit noise that is a whole number of top bytes, and the same as an 8-bit file, are the same at 8 bits."""
    top = np.random.default_rng(1).integers(-20, 20, (_FRAMES, 1))
    _write(tmp_path / 'two/a/wide.wav', top * 256 + 7, 16)
    _write(tmp_path / 'two/b/narrow.wav', top, 8)
    _, results, _, _ = run('--model_path', models / 'eight.npz', '--baselines', 'gzip', folder=tmp_path / 'two')
    sizes = _sizes(results)
    for protocol in ('chunked', 'whole'):
      for name in ('gzip -9', 'eight'):
        assert sizes['a/wide.wav', protocol, name] == sizes['b/narrow.wav', protocol, name]

  def test_every_depth_as_it_is(self, run, tmp_path):
    for bits in (8, 16, 24):
      _write(tmp_path / f'depths/{bits}.wav', np.random.default_rng(bits).integers(-100, 100, (_FRAMES, 2)), bits)
    exit_code, results, _, _ = run('--bit_depth', 'native', '--baselines', 'gzip', folder=tmp_path / 'depths')
    assert exit_code == 0
    assert {row['raw_bytes'] for row in results['measurements'] if row['protocol'] == 'whole'} == {
      2 * _FRAMES * width for width in (1, 2, 3)
    }

  def test_a_side(self, run):
    for side in ('train', 'valid'):
      _, results, _, _ = run('--split', side, '--baselines', 'gzip', output=side)
      assert all(f'/{side}/' in file['name'] for file in results['files']) and len(results['files']) == 3

  def test_fewer_bits_than_asked_for(self, run, tmp_path):
    _write(tmp_path / 'mixed/a.wav', np.zeros((100, 1), int), 8)
    _write(tmp_path / 'mixed/b.wav', np.zeros((100, 1), int), 16)
    exit_code, results, _, err = run('--use_16bit', '--baselines', 'gzip', folder=tmp_path / 'mixed')
    assert exit_code == 1
    assert 'a.wav: expected samples of 16 bits or more, got 8' in err
    assert {row['file'] for row in results['measurements'] if not row['error']} == {'b.wav'}


@pytest.mark.usefixtures('no_pictures')
class TestSameResults:
  def test_with_other_lanes(self, run, models):
    flags = ('--model_path', models / 'eight.npz', '--baselines', 'none', '--chunk_size', 1000)
    _, few, _, _ = run(*flags, '--lanes', 1)
    _, many, _, _ = run(*flags, '--lanes', 8, output='many')
    assert _sizes(few) == _sizes(many)
    assert [row['compression_rate'] for row in few['summaries']] == [
      row['compression_rate'] for row in many['summaries']
    ]

  def test_of_models_side_by_side(self, run, models, tmp_path):
    """The same model under two names, one file name in two folders: two rows with the same sizes."""
    (tmp_path / 'again').mkdir()
    for path in (tmp_path / 'again/eight.npz', tmp_path / 'again/copy.npz'):
      path.write_bytes((models / 'eight.npz').read_bytes())
    paths = (models / 'eight.npz', tmp_path / 'again/eight.npz', tmp_path / 'again/copy.npz')
    flags = [flag for path in paths for flag in ('--model_path', path)]
    _, results, _, _ = run(*flags, '--baselines', 'none', '--protocol', 'whole')
    assert [info['name'] for info in results['compressors']] == ['models/eight', 'again/eight', 'copy']
    sizes = _sizes(results)
    for file in results['files']:
      assert len({sizes[file['name'], 'whole', name] for name in ('models/eight', 'again/eight', 'copy')}) == 1
    assert {(pair['difference'], pair['differs']) for pair in results['comparisons']} == {(0, False)}

  def test_when_resumed(self, run, models, tmp_path):
    flags = ('--model_path', models / 'eight.npz', '--baselines', 'gzip', '--chunk_size', 2000)
    _, whole, _, _ = run(*flags)
    journal = tmp_path / 'out/measurements.jsonl'
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(''.join(lines[:5]) + lines[5][:40])  # As a kill in the middle of a write leaves it.
    exit_code, resumed, _, _ = run(*flags, '--resume')
    assert exit_code == 0
    assert _sizes(resumed) == _sizes(whole)
    assert journal.read_text().splitlines(keepends=True)[:5] == lines[:5]
    assert len(journal.read_text().splitlines()) == len(lines)
    timed = [row['encode_seconds'] for row in resumed['measurements']]
    assert sum(a == row['encode_seconds'] for a, row in zip(timed, whole['measurements'], strict=True)) >= 5

  def test_what_has_changed_is_measured_again(self, run, audio):
    run('--baselines', 'gzip')
    _write(audio / 'white/train/0.wav', np.zeros((_FRAMES, 1), int))
    _, results, _, _ = run('--baselines', 'gzip', '--resume')
    sizes = {row['file']: row['compressed_bytes'] for row in results['measurements'] if row['protocol'] == 'whole'}
    assert sizes['white/train/0.wav'] < 200 < sizes['white/valid/1.wav']


@pytest.mark.usefixtures('no_pictures')
class TestOneLineAndTheRestKept:
  def test_an_evaluation_that_is_there(self, run):
    run('--baselines', 'gzip')
    exit_code, _, _, err = run('--baselines', 'gzip')
    assert exit_code == 2 and '--resume' in err and err.count('\n') == 1

  def test_a_missing_model(self, run, models, tmp_path):
    exit_code, results, out, err = run(
      '--model_path', tmp_path / 'no.npz', '--model_path', models / 'eight.npz', '--baselines', 'gzip'
    )
    assert exit_code == 1 and 'no.npz: cannot be read' in err and 'Traceback' not in err
    assert {row['compressor'] for row in results['measurements']} == {'eight', 'gzip -9'}
    assert 'no.npz: cannot be read' in out

  def test_a_model_of_another_depth(self, run, models):
    exit_code, results, out, _ = run('--model_path', models / 'sixteen.npz', '--bit_depth', '8', '--baselines', 'gzip')
    assert exit_code == 1 and 'it predicts samples of 16 bits' in out
    assert {row['compressor'] for row in results['measurements']} == {'gzip -9'}

  def test_the_models_own_depth(self, run, models):
    exit_code, results, _, _ = run('--model_path', models / 'sixteen.npz', '--baselines', 'none', '--protocol', 'whole')
    assert exit_code == 0
    assert {row['raw_bytes'] for row in results['measurements']} == {2 * _FRAMES, 4 * _FRAMES}

  def test_a_model_given_twice(self, run, models):
    flags = ('--model_path', models / 'eight.npz', '--model_path', f'{models}/../models/eight.npz')
    exit_code, results, _, err = run(*flags, '--baselines', 'none')
    assert (exit_code, results) == (2, None)
    assert 'eight.npz is given twice: name each model once' in err and err.count('\n') == 1

  def test_no_compiler(self, run, models, monkeypatch):
    """Not before anything is measured, and only where a model is to be."""
    monkeypatch.setenv('NUMBA_DISABLE_JIT', '1')
    exit_code, results, _, err = run('--model_path', models / 'eight.npz', '--baselines', 'gzip')
    assert (exit_code, results) == (2, None)
    assert err.startswith('evaluate_audio.py: error: NUMBA_DISABLE_JIT is set') and err.count('\n') == 1
    assert run('--baselines', 'gzip', '--protocol', 'whole')[0] == 0

  def test_nothing_to_measure_with(self, run, tmp_path):
    exit_code, results, _, err = run('--model_path', tmp_path / 'no.npz', '--baselines', 'none')
    assert (exit_code, results) == (2, None) and err.splitlines()[-1].startswith('evaluate_audio.py: error: nothing')

  def test_a_full_disk(self, run, monkeypatch):
    def full(descriptor):
      raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    exit_code, results, _, err = run('--baselines', 'gzip')
    assert (exit_code, results) == (1, None)
    assert 'No space left on device: free space and go on with --resume' in err and err.count('\n') == 1

  def test_a_journal_of_something_else(self, run, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/measurements.jsonl').write_bytes(b'\xff\xfe\n\xff')
    exit_code, _, _, err = run('--baselines', 'gzip', '--resume')
    assert exit_code == 1 and 'line 1 is no measurement' in err and 'Traceback' not in err

  def test_a_file_that_does_not_decode_is_one_failure(self, run, models, monkeypatch):
    def broken(*_):
      raise FormatError('every chunk is sound')

    monkeypatch.setattr(file_codec, 'decompress', broken)
    exit_code, results, _, _ = run('--model_path', models / 'eight.npz', '--baselines', 'gzip', '--protocol', 'whole')
    assert exit_code == 1
    errors = {(row['compressor'], row['error']) for row in results['measurements']}
    assert errors == {('eight', 'every chunk is sound'), ('gzip -9', None)}

  def test_an_empty_folder(self, run, tmp_path):
    (tmp_path / 'empty').mkdir()
    exit_code, _, _, err = run('--baselines', 'gzip', folder=tmp_path / 'empty')
    assert exit_code == 2 and 'expected audio files with samples, found none' in err
    assert run('--split', 'test', '--baselines', 'gzip')[0] == 2

  def test_an_unreadable_file(self, run, audio):
    (audio / 'white/train/broken.wav').write_bytes(b'RIFF')
    exit_code, results, out, err = run('--baselines', 'gzip')
    assert exit_code == 1 and 'broken.wav' in err and 'broken.wav' in out
    assert len(results['files']) == 6 and 'white/train/broken.wav' in results['unreadable']

  @pytest.mark.parametrize(
    ('body', 'message'),
    [
      ('import sys; sys.exit("no more paper")', 'no more paper'),
      ('import time; time.sleep(60)', 'time'),
      ('import sys; open(sys.argv[2], "wb").write(b"x")', ''),
    ],
    ids=['fails', 'hangs', 'loses everything'],
  )
  def test_a_program_that_is_of_no_use(self, run, tmp_path, body, message):
    script = tmp_path / 'program'
    script.write_text(f'#!{sys.executable}\n{body}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    both = f'own={script} {{in}} {{out}} :: {script} {{in}} {{out}}'
    flags = ('--custom_baseline', both, '--baselines', 'gzip', '--time_limit_seconds', 2, '--split', 'valid')
    exit_code, results, _, _ = run(*flags, '--protocol', 'whole')
    assert exit_code == 1
    errors = {row['error'] for row in results['measurements'] if row['compressor'] == 'own'}
    assert all(error and message in error for error in errors)
    assert all(row['error'] is None for row in results['measurements'] if row['compressor'] == 'gzip -9')

  @pytest.mark.parametrize(
    ('flags', 'message'),
    [
      (['--baselines', 'gzp'], 'gzip'),
      (['--bit_depth', '12'], 'bit_depth'),
      (['--use_16bit', '--bit_depth', '8'], 'bit_depth'),
      (['--chunk_size', '0'], 'chunk_size'),
      (['--custom_baseline', 'name only'], 'NAME=COMMAND'),
      (['--protocol', 'some'], 'protocol'),
    ],
  )
  def test_wrong_usage(self, run, flags, message):
    exit_code, results, _, err = run(*flags)
    assert (exit_code, results) == (2, None) and message in err and 'Traceback' not in err


def test_every_output(run, models, tmp_path):
  exit_code, results, out, _ = run(
    '--model_path', models / 'eight.npz', '--baselines', 'gzip,flac', '--chunk_size', 1000
  )
  assert exit_code == 0
  assert results['schema_version'] == 2 and 'evaluate_audio.py' in results['command_line']
  assert all(len(file['sha256']) == 64 for file in results['files'])
  page = (tmp_path / 'out/report.html').read_text()
  assert page.count('<svg') >= 5 and 'eight' in page and '<script' not in page
  tables = [list(csv.DictReader(path.read_text().splitlines())) for path in sorted((tmp_path / 'out').glob('*.csv'))]
  assert [len(rows) for rows in tables] == [len(results['measurements']), len(results['summaries'])]
  assert 'eight' in out and 'gzip -9' in out


def test_models_of_tokens_have_code_lengths_beside_the_others(run, models, tmp_path, monkeypatch):
  """In every output: tables, CSV, JSON, figures and the report."""
  exit_code, results, out, _ = run(
    *('--model_path', models / 'mu_law.npz', '--model_path', models / 'eight.npz', '--baselines', 'gzip'),
    *('--chunk_size', 1000),
  )
  assert exit_code == 0
  for row in results['measurements']:
    if row['compressor'] == 'mu_law':
      assert (row['error'], row['compressed_bytes'], row['fallback']) == (None, None, None)
      assert row['code_length_bits'] > 0 and bool(row['by_position']) == (row['protocol'] == 'chunked')
  for protocol in ('chunked', 'whole'):
    row = _summary(results, protocol, 'white', 'mu_law')
    # Of random parameters, on noise that is companded.
    assert 0.8 < row['code_length_rate'] < 1.3 and row['compression_rate'] is row['encode_speed'] is None
  assert {(pair['first'], pair['second']) for pair in results['comparisons']} == {('gzip -9', 'eight')}
  lines = [line.split() for line in out.splitlines() if line.startswith('mu_law')]
  assert [line[1:3] for line in lines[::2]] == [['–', '–'], ['–', '–']] and '.' in lines[0][3]
  cells = [
    row
    for row in csv.DictReader((tmp_path / 'out/summary.csv').read_text().splitlines())
    if row['compressor'] == 'mu_law'
  ]
  assert {(row['compressed_bytes'], row['compression_rate'], row['low']) for row in cells} == {('', '', '')}
  assert 'mu_law' in (tmp_path / 'out/report.html').read_text()


@pytest.mark.usefixtures('no_pictures')
def test_a_model_of_whole_samples_has_its_depth(run, models):
  exit_code, results, _, _ = run('--model_path', models / 'samples.npz', '--baselines', 'none', '--protocol', 'whole')
  assert exit_code == 0
  assert {row['raw_bytes'] for row in results['measurements']} == {2 * _FRAMES, 4 * _FRAMES}
  # Of 65,536 that are hardly told apart.
  for row in results['summaries']:
    assert 0.9 < row['code_length_rate'] < 1.1
  exit_code, results, out, _ = run(
    *('--model_path', models / 'samples.npz', '--baselines', 'gzip', '--bit_depth', 8), output='other'
  )
  assert exit_code == 1 and 'it predicts samples of 16 bits, and --bit_depth is 8' in out


@pytest.mark.usefixtures('no_pictures')
def test_progress_is_said_in_lines_where_nobody_sees_a_bar(audio, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(progress, '_SECONDS_BETWEEN_LINES', 0.0)
  flags = [
    '--audio_dir',
    str(audio),
    '--baselines',
    'gzip',
    '--protocol',
    'whole',
    '--output_dir',
    str(tmp_path / 'out'),
  ]
  assert evaluate_audio.main(flags) == 0
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 6
  assert lines[-1].startswith('100%, 48.0k of 48.0k samples, ') and lines[-1].endswith('gzip -9, white/valid/1.wav')


def test_an_evaluation_that_heeds_no_signal_ends_all_the_same(tmp_path):
  """It waits for what never comes, in code that is not Python's, as a compiler would keep it waiting."""
  body = """
    import ctypes, sys, evaluate_audio
    from language_modeling_is_compression.cli import evaluate
    def stuck(*_):
      lock, mutex = ctypes.CDLL(None).pthread_mutex_lock, ctypes.create_string_buffer(64)
      lock(mutex)
      print('stuck', flush=True)
      lock(mutex)
    evaluate._evaluate = stuck
    sys.exit(evaluate_audio.main(['--audio_dir', 'x']))
  """
  root = str(Path(evaluate_audio.__file__).parent)
  process = subprocess.Popen(
    [sys.executable, '-W', 'error', '-c', textwrap.dedent(body)],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, 'PYTHONPATH': root},
  )
  try:
    assert process.stdout is not None and process.stdout.readline() == 'stuck\n'
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
  finally:
    process.kill()
    process.wait()
  assert process.returncode == 130
  assert err == 'evaluate_audio.py: interrupted; --resume goes on with what is measured\n'


@pytest.mark.slow
@pytest.mark.parametrize('kind', [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_evaluation_goes_on(audio, tmp_path, kind):
  """In the middle of a program that hangs: what was measured is kept, and the program does not outlive a Ctrl-C."""
  program, started = tmp_path / 'program', tmp_path / 'started'
  program.write_text(f'#!{sys.executable}\nimport sys, time\nopen({str(started)!r}, "w")\ntime.sleep(600)\n')
  program.chmod(program.stat().st_mode | stat.S_IXUSR)
  flags = ['--audio_dir', audio, '--output_dir', tmp_path / 'out', '--baselines', 'gzip', '--protocol', 'whole']
  hanging = ['--custom_baseline', f'slow={program} {{in}} {{out}}']
  command = [sys.executable, '-W', 'error', evaluate_audio.__file__, *map(str, [*flags, *hanging])]
  process = subprocess.Popen(
    command,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  try:
    while not started.exists():
      assert process.poll() is None
      time.sleep(0.05)
    process.send_signal(kind)
    _, err = process.communicate(timeout=60)
  finally:
    process.kill()
    process.wait()
  kept = (tmp_path / 'out/measurements.jsonl').read_text()
  assert kept.count('\n') == 1 and '"gzip -9"' in kept
  if kind == signal.SIGINT:
    assert process.returncode == 130 and '--resume' in err and 'Traceback' not in err
    assert subprocess.run(['pgrep', '-f', str(program)], capture_output=True, check=False).returncode == 1
  else:
    subprocess.run(['pkill', '-f', str(program)], check=True)
  command = [sys.executable, '-W', 'error', evaluate_audio.__file__, *map(str, flags), '--resume']
  done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'out/measurements.jsonl').read_text().startswith(kept)
  assert len(json.loads((tmp_path / 'out/results.json').read_text())['measurements']) == 6


def test_audio_that_is_no_wav_is_counted(tmp_path, capsys):
  for name in ('a.ogg', 'sub/b.mp3'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  flags = ['--audio_dir', str(tmp_path), '--baselines', 'gzip', '--no_progress', '--protocol', 'whole', '--output_dir']
  assert evaluate_audio.main([*flags, str(tmp_path / 'out')]) == 2
  said = '2 audio files not used, since only PCM and FLAC are read (1 .ogg, 1 .mp3): convert them first'
  assert f'expected audio files with samples, found none; {said}' in capsys.readouterr().err
  (tmp_path / 'c.wav').write_bytes(build_wav(bytes(2000)))
  assert evaluate_audio.main([*flags, str(tmp_path / 'out')]) == 0
  assert said in capsys.readouterr().err
