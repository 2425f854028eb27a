"""The `lmic` command as a user meets it: what it writes, what it refuses, what it says and how it ends."""

import contextlib
import hashlib
import io
import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from support import lmic_cases, lmic_frames
from support.training_runs import REPOSITORY, Running, environment, finish, tone, write_tone
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.cli import main as lmic_main
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.quantized.quantize import quantize_byte_model

SPEECH = sorted((REPOSITORY / 'examples/audio/valid').glob('*.wav'))[0]
_HYBRID = REPOSITORY / 'tests/golden/v2/model.npz'
_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason='root may read and write everything')
# The system refuses to let any file grow further, much as a full disk does.
_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
os.execv(sys.argv[1], sys.argv[1:])
"""


class Done(NamedTuple):
  """How a run ended."""

  code: int
  stdout: bytes
  stderr: str


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> list[Path]:
  """Two model files."""
  folder = tmp_path_factory.mktemp('models')
  paths = [folder / 'model.npz', folder / 'other.npz']
  for seed, path in enumerate(paths):
    save_model(path, lmic_cases.tiny_model(use_16bit=True, seed=seed))
  return paths


@pytest.fixture
def lmic(models, capsysbinary, monkeypatch):
  """Runs the command in this process: lmic(*arguments, stdin=b'') with the tiny model where a model is taken."""

  def run(command: str, *arguments: object, stdin: bytes = b'', model: Path | None = models[0]) -> Done:
    with_model = ['-m', str(model)] if model and command != 'info' else []
    monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(stdin)))
    try:
      code: Any = lmic_main.main([command, *with_model, *map(str, arguments)])
    except SystemExit as end:
      code = end.code
    captured = capsysbinary.readouterr()
    stderr = captured.err.decode()
    assert 'Traceback' not in stderr
    return Done(code, captured.out, stderr)

  return run


@pytest.fixture
def song(tmp_path) -> Path:
  """Stereo: chunks 0 and 1 are the channels; the header goes without saying."""
  write_tone(tmp_path / 'song.wav', 1000, 1, channels=2)
  return tmp_path / 'song.wav'


@pytest.fixture
def packed(lmic, song) -> Path:
  """The song, compressed; the song itself is gone."""
  assert lmic('compress', song, '--rm').code == 0
  return song.with_name('song.wav.lmic')


@pytest.fixture(scope='module')
def long_compressed(models, tmp_path_factory) -> tuple[bytes, bytes]:
  """A file of several chunks of samples, and its samples."""
  path = tmp_path_factory.mktemp('long') / 'long.wav'
  samples = write_tone(path, 33_768, 3)
  assert lmic_main.main(['compress', '-q', '--no-verify', '-m', str(models[0]), str(path)]) == 0
  return path.with_name('long.wav.lmic').read_bytes(), pcm_bytes(samples, 16)


@pytest.fixture(scope='module')
def env(tmp_path_factory) -> dict[str, str]:
  return environment(tmp_path_factory.mktemp('home'))


def _command(*arguments: object) -> list[str]:
  return [sys.executable, '-W', 'error', '-m', 'language_modeling_is_compression', *map(str, arguments)]


def _names(folder: Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


def _song_bytes() -> bytes:
  return build_wav(pcm_bytes(tone(1000, 1, 2), 16), channels=2)


def _damage(path: Path, chunk: int) -> None:
  """Flips a bit of a chunk's body."""
  path.write_bytes(lmic_frames.damaged_in(path.read_bytes(), chunk))


class TestWhatItWrites:
  def test_a_file_and_back(self, lmic, song, tmp_path):
    original = song.read_bytes()
    done = lmic('compress', song)
    assert done == (0, b'', done.stderr)
    assert done.stderr.startswith(f'{song}: {len(original):,} bytes, ') and done.stderr.endswith(' verified\n')
    assert 'bits per sample' in done.stderr and 'x real time' in done.stderr and done.stderr.count('\n') == 1
    assert song.read_bytes() == original
    song.unlink()
    done = lmic('decompress', tmp_path / 'song.wav.lmic')
    assert (done.code, done.stdout) == (0, b'')
    assert song.read_bytes() == original
    assert _names(tmp_path) == ['song.wav', 'song.wav.lmic']

  @pytest.mark.parametrize('lanes', [1, 3])
  def test_the_same_bytes_with_any_number_of_lanes(self, lmic, song, lanes):
    plain = lmic('compress', '-c', '--lanes', 16, song).stdout
    assert lmic('compress', '-c', '--lanes', lanes, song).stdout == plain
    assert lmic('decompress', '-c', '--lanes', lanes, '-', stdin=plain).stdout == song.read_bytes()

  @pytest.mark.parametrize(
    'original',
    [
      pytest.param(b'', id='empty'),
      pytest.param(b'no audio', id='no WAV'),
      pytest.param(build_wav(b''), id='no samples'),
      pytest.param(build_wav(bytes(range(90)) * 4, bits=24, channels=3, trailer=b'more'), id='24 bits'),
      pytest.param(build_wav(np.arange(99, dtype='<f4').tobytes(), tag=IEEE_FLOAT, bits=32), id='floats'),
    ],
  )
  def test_any_file_through_standard_streams(self, lmic, original):
    compressed = lmic('compress', '-', stdin=original)
    assert compressed.code == 0
    restored = lmic('decompress', '-', stdin=compressed.stdout)
    assert (restored.code, restored.stdout) == (0, original)

  def test_many_files_into_a_folder(self, lmic, song, tmp_path):
    (tmp_path / 'notes.txt').write_text('words')
    (tmp_path / 'out').mkdir()
    assert lmic('compress', song, tmp_path / 'notes.txt', '-o', tmp_path / 'out').code == 0
    assert _names(tmp_path / 'out') == ['notes.txt.lmic', 'song.wav.lmic']
    (tmp_path / 'back').mkdir()
    files = sorted((tmp_path / 'out').iterdir())
    assert lmic('decompress', *files, '-o', tmp_path / 'back').code == 0
    assert (tmp_path / 'back/song.wav').read_bytes() == song.read_bytes()
    assert (tmp_path / 'back/notes.txt').read_text() == 'words'

  def test_files_of_one_name_do_not_overwrite_each_other(self, lmic, tmp_path):
    """Though several are in work at a time."""
    sources = [tmp_path / folder / 'song.wav' for folder in 'abc']
    for frames, source in zip((700, 20, 300), sources, strict=True):
      write_tone(source, frames, 1)
    (tmp_path / 'out').mkdir()
    done = lmic('compress', '--rm', *sources, '-o', tmp_path / 'out')
    assert done.code == 1 and done.stderr.count('song.wav.lmic exists; use -f to overwrite it') == 2
    assert [source.exists() for source in sources] == [False, True, True]
    assert _names(tmp_path / 'out') == ['song.wav.lmic']
    assert lmic('decompress', tmp_path / 'out/song.wav.lmic', '-c').code == 0

  def test_many_files_are_in_work_at_a_time(self, lmic, tmp_path, monkeypatch):
    """Two, even on one core; each waits for the other, in each of the commands."""
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: {0, 1})
    for frames, name in ((40, 'a.wav'), (50, 'b.wav')):
      write_tone(tmp_path / name, frames, 1)
    originals = {name: (tmp_path / name).read_bytes() for name in ('a.wav', 'b.wav')}
    for function in ('compress', 'decompress', 'find_damage'):
      together, plain = threading.Barrier(2, timeout=60), getattr(file_codec, function)
      monkeypatch.setattr(file_codec, function, _after(together, plain))
      command = 'test' if function == 'find_damage' else function
      assert lmic(command, '--no-verify' if command == 'compress' else '-q', '-r', tmp_path).code == 0
      monkeypatch.setattr(file_codec, function, plain)
      if command == 'compress':
        for name in originals:
          (tmp_path / name).unlink()
    assert {name: (tmp_path / name).read_bytes() for name in originals} == originals

  def test_a_name_of_ones_own(self, lmic, song, tmp_path):
    assert lmic('compress', song, '-o', tmp_path / 'a').code == 0
    assert lmic('decompress', tmp_path / 'a', '-o', tmp_path / 'b').code == 0
    assert (tmp_path / 'b').read_bytes() == song.read_bytes()

  @pytest.mark.parametrize('flags', [('-c',), ('-o', '-')])
  def test_standard_output(self, lmic, song, tmp_path, flags):
    compressed = lmic('compress', song, *flags).stdout
    assert lmic('decompress', '-', stdin=compressed).stdout == song.read_bytes()
    assert _names(tmp_path) == ['song.wav']

  def test_a_folder_and_all_below_it(self, lmic, tmp_path):
    write_tone(tmp_path / 'top.WAV', 50, 1)
    write_tone(tmp_path / 'a/b/deep.wav', 50, 2)
    (tmp_path / 'a/other.txt').write_text('not asked for')
    originals = {path: path.read_bytes() for path in tmp_path.rglob('*.[wW][aA][vV]')}
    assert len(originals) == 2
    assert lmic('compress', '--rm', '-r', tmp_path).code == 0
    assert sorted(path.name for path in tmp_path.rglob('*.*')) == ['deep.wav.lmic', 'other.txt', 'top.WAV.lmic']
    assert lmic('test', '-r', tmp_path).code == 0
    assert lmic('decompress', '--rm', '-r', tmp_path).code == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob('*.[wW][aA][vV]')} == originals
    assert not list(tmp_path.rglob('*.lmic'))

  def test_the_sources_date_and_permissions(self, lmic, song):
    os.utime(song, (10**9, 10**9 + 5))
    song.chmod(0o640)
    assert lmic('compress', song, '--rm').code == 0
    packed = song.with_name('song.wav.lmic')
    assert lmic('decompress', packed).code == 0
    for path in (packed, song):
      assert (path.stat().st_mtime, path.stat().st_mode & 0o777) == (10**9 + 5, 0o640)

  def test_keeps_or_removes_the_source(self, lmic, song, tmp_path):
    assert lmic('compress', song, '-k').code == 0
    assert _names(tmp_path) == ['song.wav', 'song.wav.lmic']
    assert lmic('decompress', tmp_path / 'song.wav.lmic', '-f', '--rm').code == 0
    assert _names(tmp_path) == ['song.wav']

  def test_quiet(self, lmic, song):
    assert lmic('compress', '-q', song) == (0, b'', '')
    assert lmic('test', '-q', f'{song}.lmic') == (0, b'', '')
    assert lmic('decompress', '-q', '-f', f'{song}.lmic') == (0, b'', '')

  def test_unverified_files_are_the_same(self, lmic, song):
    verified = lmic('compress', '-c', song)
    done = lmic('compress', '-c', '--no-verify', song)
    assert done.stdout == verified.stdout
    assert done.stderr.endswith(', not verified\n')

  @pytest.mark.parametrize('channels', [1, 2])
  @pytest.mark.parametrize('bits', [8, 16, 24])
  def test_segments_and_back(self, lmic, tmp_path, bits, channels):
    """With a head that goes without saying, and with one that does not."""
    samples = pcm_bytes(tone(300, 1, channels) << bits >> 16, bits)
    head = wav_header(
      encoding='int', sample_bytes=bits // 8, num_channels=channels, sample_rate_hz=8000, num_frames=300
    )
    other = build_wav(samples, channels=channels, bits=bits, before=[(b'LIST', b'word')])
    for original, chunks in ((head + samples, 1), (other, 2)):
      source, packed = tmp_path / 'a.wav', tmp_path / 'a.wav.lmic'
      source.write_bytes(original)
      assert lmic('compress', '--rm', source, model=_HYBRID).code == 0
      (facts,) = json.loads(lmic('info', '--json', packed).stdout)
      assert (facts['format_version'], facts['chunks'], facts['original_bytes']) == (5, chunks, len(original))
      assert lmic('test', packed, model=_HYBRID).code == 0
      data = packed.read_bytes()
      assert lmic('decompress', '-', stdin=data, model=_HYBRID).stdout == original
      assert lmic('compress', '-', stdin=original, model=_HYBRID).stdout == data
      assert lmic('decompress', '--rm', packed, model=_HYBRID).code == 0
      assert source.read_bytes() == original

  def test_the_packaged_model(self, lmic, tmp_path, env):
    clip = build_wav(SPEECH.read_bytes()[20_044:23_244], rate_hz=16_000)
    (tmp_path / 'clip.wav').write_bytes(clip)
    done = finish(_command('compress', '--rm', tmp_path / 'clip.wav'), env)
    assert (done.returncode, done.stdout) == (0, ''), done.stderr
    packed = tmp_path / 'clip.wav.lmic'
    assert packed.stat().st_size < 0.75 * len(clip)
    assert lmic('decompress', packed, model=None).code == 0
    assert (tmp_path / 'clip.wav').read_bytes() == clip


class TestVerifying:
  @pytest.fixture
  def damaged_writing(self, monkeypatch):
    """What is written is not what is found on the disk afterwards."""
    compress = file_codec.compress

    def and_damage(source, target, *rest, **options):
      compressed = compress(source, target, *rest, **options)
      target.seek(compressed.num_bytes // 2)
      byte = target.read(1)[0]
      target.seek(compressed.num_bytes // 2)
      target.write(bytes([byte ^ 1]))
      return compressed

    monkeypatch.setattr(file_codec, 'compress', and_damage)

  def test_a_file_that_does_not_decode_is_removed(self, lmic, song, tmp_path, damaged_writing):
    done = lmic('compress', song, '--rm')
    assert done.code == 1
    assert done.stderr.startswith(f'lmic: {song}: chunk 1 (channel 1, 0.00 to 0.12 s) is damaged')
    assert _names(tmp_path) == ['song.wav']

  def test_nothing_of_it_gets_to_standard_output(self, lmic, song, damaged_writing):
    assert lmic('compress', song, '-c')[:2] == (1, b'')

  def test_not_verified_is_not_found(self, lmic, song, damaged_writing):
    assert lmic('compress', song, '--no-verify').code == 0
    assert lmic('test', f'{song}.lmic').code == 1


class TestSources:
  """What a command works on, and where what it makes of it goes."""

  @pytest.fixture
  def folder(self, tmp_path) -> Path:
    folder = tmp_path / 'music'
    (folder / 'a' / 'b').mkdir(parents=True)
    for name in ('x.wav', 'a/x.wav', 'a/b/x.bwf', 'a/y.amb'):
      (folder / name).write_bytes(_song_bytes())
    (folder / 'z.flac').write_bytes(b'fLaC' + bytes(60))
    (folder / 'a/z.mp3').write_bytes(b'ID3' + bytes(60))
    (folder / 'a/z.flac').write_bytes(b'fLaC' + bytes(60))
    (folder / 'notes.txt').write_text('not audio')
    (folder / 'done.wav.lmic').write_bytes(b'LMIC')
    return folder

  def test_what_is_audio_counts_and_what_is_left_out_is_said(self, lmic, folder):
    done = lmic('compress', '-r', folder)
    assert done.code == 0
    packed = sorted(str(path.relative_to(folder)) for path in folder.rglob('*.lmic'))
    assert packed == ['a/b/x.bwf.lmic', 'a/x.wav.lmic', 'a/y.amb.lmic', 'done.wav.lmic', 'x.wav.lmic']
    assert done.stderr.splitlines()[-1] == (
      'lmic: -r: left out 2 FLAC, 1 MP3, compressed already and 1 that hold no audio; name them to compress them all '
      'the same'
    )
    assert done.stderr.splitlines()[-2].startswith('4 files: ')

  def test_a_folder_without_audio(self, lmic, tmp_path):
    (tmp_path / 'z.flac').write_bytes(b'fLaC' + bytes(60))
    assert lmic('compress', '-r', tmp_path) == (
      2,
      b'',
      'lmic: error: -r: left out 1 FLAC, compressed already; name them to compress them all the same\n',
    )

  def test_outputs_lie_as_their_sources_do(self, lmic, folder, tmp_path):
    for command, source, target in (('compress', folder, 'packed'), ('decompress', tmp_path / 'packed', 'restored')):
      (tmp_path / target).mkdir()
      assert lmic(command, '-r', source, '-o', tmp_path / target).code == 0
    for name in ('x.wav', 'a/x.wav', 'a/b/x.bwf', 'a/y.amb'):
      assert (tmp_path / 'restored' / name).read_bytes() == _song_bytes()
    # With -f the two files of one name are no obstacle either.
    assert lmic('compress', '-f', '-r', folder, '-o', tmp_path / 'packed').code == 0

  def test_bits_per_sample_of_all(self, lmic, song, tmp_path):
    shutil.copy(song, tmp_path / 'other.wav')
    done = lmic('compress', song, tmp_path / 'other.wav')
    one, _, both = done.stderr.splitlines()
    assert both.startswith(f'2 files: {2 * len(_song_bytes()):,} bytes, ')
    of_one, of_both = (re.search(r'[\d.]+ bits per sample', line) for line in (one, both))
    assert of_one is not None and of_both is not None and of_both[0] == of_one[0]
    assert lmic('decompress', '-f', f'{song}.lmic', tmp_path / 'other.wav.lmic').stderr.splitlines()[-1] == both

  @pytest.mark.parametrize('separator', ['\n', '\0'])
  def test_lists_of_files(self, lmic, song, tmp_path, separator):
    names = [song, tmp_path / '-5.wav', tmp_path / 'with blank.wav']
    for name in names[1:]:
      shutil.copy(song, name)
    text = separator.join(map(str, names)) + separator
    (tmp_path / 'list').write_text(text)
    assert lmic('compress', '--filelist', tmp_path / 'list').code == 0
    for name in names:
      assert Path(f'{name}.lmic').exists()
    assert lmic('test', '--filelist', '-', stdin=text.replace('.wav', '.wav.lmic').encode()).code == 0
    done = lmic('compress', '--filelist', tmp_path / 'missing')
    assert done == (2, b'', f'lmic: error: --filelist: {tmp_path}/missing: No such file or directory\n')

  def test_pipes_and_devices(self, lmic, song, tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    writer = threading.Thread(target=(tmp_path / 'pipe').write_bytes, args=(_song_bytes(),))
    writer.start()
    assert lmic('compress', tmp_path / 'pipe', '-o', tmp_path / 'out').code == 0
    writer.join()
    assert lmic('decompress', tmp_path / 'out', '-o', '/dev/stdout').stdout == _song_bytes()
    assert lmic('decompress', '/dev/stdin', stdin=(tmp_path / 'out').read_bytes()).stdout == _song_bytes()
    assert lmic('compress', song, song, '-o', '/dev/null').code == 0
    assert stat.S_ISCHR(os.stat('/dev/null').st_mode)
    assert lmic('compress', '--rm', song, '-o', '/dev/null').code == 2 and song.exists()

  @pytest.mark.parametrize('head', [b'FORM....AIFF', b'caff\0\1\0\0', b'RIFX....WAVE'])
  def test_audio_that_is_not_treated_as_sound_is_said_to_be_so(self, lmic, tmp_path, head):
    (tmp_path / 'song').write_bytes(head + bytes(1000))
    done = lmic('compress', tmp_path / 'song')
    missing = {b'F': 'COMM', b'c': 'desc', b'R': 'fmt '}[head[:1]]
    assert f"verified, not coded as sound: expected a '{missing}' chunk" in done.stderr
    done = lmic('compress', tmp_path / 'song', tmp_path / 'song', '-o', '/dev/null')
    assert done.stderr.splitlines()[-1].endswith(', 2 not coded as sound')

  @pytest.mark.parametrize(
    ('contents', 'why'),
    [
      (b'fLaC' + bytes(99), 'FLAC, which is compressed already'),
      (b'Dear reader', 'it holds none that is known'),
      (build_wav(bytes(4000), tag=17), 'expected '),
    ],
  )
  def test_other_files_that_are_not_treated_as_sound(self, lmic, tmp_path, contents, why):
    (tmp_path / 'file').write_bytes(contents)
    done = lmic('compress', tmp_path / 'file')
    assert f'not coded as sound: {why}' in done.stderr


class TestRefusals:
  @pytest.mark.parametrize('flags', [[], ['--rm']])
  def test_force_among_files_of_one_command(self, lmic, song, tmp_path, flags):
    """What one file has just become is no other one's to overwrite."""
    folders = [tmp_path / name for name in ('a', 'b', 'out')]
    for folder in folders:
      folder.mkdir()
      shutil.copy(song, folder / 'x.wav')
    (folders[2] / 'x.wav').unlink()
    packed = song.with_name('song.wav.lmic')
    packed.write_bytes(b'precious')
    for inputs in ([folders[0] / 'x.wav', folders[1] / 'x.wav', '-o', folders[2]], [song, packed], [song, song]):
      done = lmic('compress', '-f', *flags, *inputs)
      assert done.code == 2 and 'one file would overwrite another of these' in done.stderr
    assert _names(folders[2]) == [] and packed.read_bytes() == b'precious'
    assert all((folder / 'x.wav').exists() for folder in folders[:2])

  def test_to_remove_what_has_changed(self, lmic, song, monkeypatch):
    read_back = file_codec.read_back

    def and_grow(*arguments):
      read_back(*arguments)
      with open(song, 'ab') as file:
        file.write(b'precious')

    monkeypatch.setattr(file_codec, 'read_back', and_grow)
    done = lmic('compress', song, '--rm')
    assert done.code == 1 and 'source changed after compression; not removed' in done.stderr
    assert song.read_bytes().endswith(b'precious')

  def test_several_compressed_files_in_a_row(self, lmic, song):
    done = lmic('compress', '-c', song, song)
    assert done[:2] == (2, b'') and 'cannot be told apart' in done.stderr

  @pytest.mark.parametrize(
    ('arguments', 'closed', 'code', 'message'),
    [
      ('compress -c song.wav', 1, 2, 'lmic: error: standard output is closed; name a file with -o'),
      ('compress - -o out', 0, 1, 'lmic: -: standard input is closed'),
      ('compress song.wav', 0, 0, 'verified'),
      ('compress song.wav', 1, 0, 'verified'),
      ('compress song.wav', 2, 0, ''),
      ('compress missing', 2, 1, ''),
    ],
  )
  def test_streams_that_are_closed(self, song, models, env, arguments, closed, code, message):
    """By a shell's >&-, or by whatever started us."""
    done = subprocess.run(
      ['sh', '-c', f'exec "$@" {closed}>&-', 'sh', *_command(*arguments.split(), '-m', models[0])],
      cwd=song.parent,
      env=env,
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
    )
    assert done.returncode == code, done.stderr
    assert message in done.stderr and done.stderr.count('\n') == (message != '')

  def test_a_listing_that_cannot_be_written(self, packed, env):
    with open('/dev/full', 'wb') as full:
      done = subprocess.run(_command('info', packed), env=env, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b'lmic: error: standard output: No space left on device\n')

  @pytest.mark.parametrize('output', ['', 'nowhere/'])
  def test_outputs_that_name_nothing(self, lmic, song, tmp_path, output):
    done = lmic('compress', song, '-o', output and f'{tmp_path}/{output}')
    assert done.code == 2 and '-o: expected a file or an existing folder' in done.stderr
    assert _names(tmp_path) == ['song.wav']

  def test_starts_beyond_all_numbers(self, lmic, packed, tmp_path):
    for start in ('1e308', 'inf', 'nan'):
      done = lmic('decompress', packed, '-o', tmp_path / 'part.wav', f'--start={start}')
      assert done.code == 1 and 'start, end: expected a span within' in done.stderr

  def test_names_are_shown_in_one_line(self, lmic, tmp_path):
    name = tmp_path / 'two\nlines\x1b[31m\udcff.lmic'
    done = lmic('info', name)
    assert done.stderr == f'lmic: {tmp_path}/two\\nlines\\x1b[31m\\udcff.lmic: No such file or directory\n'

  def test_to_overwrite(self, lmic, song, tmp_path):
    target = tmp_path / 'song.wav.lmic'
    target.write_bytes(b'precious')
    done = lmic('compress', song, '--rm')
    assert done == (1, b'', f'lmic: {song}: {target} exists; use -f to overwrite it\n')
    assert target.read_bytes() == b'precious'
    assert song.read_bytes() == _song_bytes()
    assert lmic('compress', song, '--rm', '-f').code == 0
    song.write_bytes(b'precious')
    done = lmic('decompress', target)
    assert done == (1, b'', f'lmic: {target}: {song} exists; use -f to overwrite it\n')
    assert song.read_bytes() == b'precious'
    assert lmic('decompress', target, '-f').code == 0
    assert song.read_bytes() == _song_bytes()

  def test_to_overwrite_the_source(self, lmic, song, tmp_path):
    (tmp_path / 'link').symlink_to(song)
    for target in (song, tmp_path / 'link'):
      done = lmic('compress', song, '-f', '-o', target)
      assert done == (1, b'', f'lmic: {song}: {target} is the source itself; name another output\n')
    assert song.read_bytes() == _song_bytes()

  def test_a_bad_file_does_not_stop_the_others(self, lmic, song, tmp_path):
    done = lmic('compress', tmp_path / 'missing.wav', tmp_path, song)
    assert done.code == 1
    *lines, totals = done.stderr.splitlines()  # In the order in which the files are done.
    third, second, first = sorted(lines)
    assert first == f'lmic: {tmp_path}: expected a file, got a folder; -r takes folders'
    assert second == f'lmic: {tmp_path}/missing.wav: No such file or directory'
    assert third.startswith(f'{song}: ')
    assert totals.startswith('1 file: ') and totals.endswith(', 2 failed')
    (tmp_path / 'bad.lmic').write_bytes(b'bad')
    song.unlink()
    for command in ('decompress', 'test', 'info'):
      done = lmic(command, tmp_path / 'bad.lmic', f'{song}.lmic')
      assert done.code == 1
      assert f"lmic: {tmp_path}/bad.lmic: not a .lmic file: it begins with b'bad'" in done.stderr.splitlines()
    assert song.read_bytes() == _song_bytes()

  def test_sources_that_cannot_be_read(self, lmic, tmp_path):
    done = lmic('compress', '/dev/zero', '-o', tmp_path / 'out')
    assert done == (1, b'', 'lmic: /dev/zero: expected a file, got a device or socket\n')
    done = lmic('compress', '/proc/self/mem', '-o', tmp_path / 'out')
    assert done == (1, b'', 'lmic: /proc/self/mem: input or output: Input/output error\n')
    assert _names(tmp_path) == []

  def test_outputs_that_cannot_be_written(self, lmic, song, packed, tmp_path):
    for target, reason in (
      (tmp_path / 'missing/x', 'No such file or directory'),
      (packed / 'x', 'Not a directory'),
    ):
      for source in (packed, tmp_path / 'song.wav'):
        song.write_bytes(_song_bytes())
        done = lmic('compress' if source == song else 'decompress', source, '-o', target)
        assert done.code == 1
        assert done.stderr.startswith(f'lmic: {source}: {target.parent}/') and done.stderr.endswith(f': {reason}\n')
    assert _names(tmp_path) == ['song.wav', 'song.wav.lmic']

  @_ROOT
  def test_what_permissions_forbid(self, lmic, song, tmp_path):
    song.chmod(0)
    done = lmic('compress', song)
    assert done == (1, b'', f'lmic: {song}: Permission denied\n')
    song.chmod(0o600)
    (tmp_path / 'locked').mkdir(mode=0o500)
    assert lmic('compress', song, '-o', tmp_path / 'locked').code == 1

  def test_another_model(self, lmic, packed, models, tmp_path):
    names = [
      quantize_byte_model(lmic_cases.tiny_model(use_16bit=True, seed=seed)).identity().hex()[:16] for seed in (0, 1)
    ]
    for command in ('decompress', 'test'):
      done = lmic(command, packed, model=models[1])
      assert done.code == 1
      assert done.stderr == (
        f'lmic: {packed}: it was written with model {names[0]}, this is model {names[1]}: '
        'name the model file that wrote it with -m\n'
      )
    assert _names(tmp_path) == ['song.wav.lmic']

  def test_a_model_file_that_is_none(self, lmic, song, tmp_path):
    (tmp_path / 'bad.npz').write_bytes(b'bad')
    for model in (tmp_path / 'bad.npz', tmp_path / 'missing.npz', tmp_path):
      done = lmic('compress', song, model=model)
      assert (done.code, done.stdout) == (1, b'')
      assert done.stderr.startswith(f'lmic: error: {model}: ') and done.stderr.count('\n') == 1
    assert _names(tmp_path) == ['bad.npz', 'song.wav']

  @pytest.mark.parametrize(
    ('arguments', 'message'),
    [
      ('compress', 'no files to work on; see --help'),
      ('compress -r {0}/missing', '-r: {0}/missing: no such folder'),
      ('compress x --lanes 0', "argument --lanes: expected an integer from 1 to 65536, got '0'; see --help"),
      ('decompress x --lanes many', "argument --lanes: expected an integer from 1 to 65536, got 'many'; see --help"),
      ('compress x -c -o y', '-c and -o: choose one'),
      ('compress x y -o z', '-o: z: expected an existing folder for 2 files'),
      ('compress x -c --rm', '--rm: only for files that become files'),
      ('compress - --rm -o y', '--rm: only for files that become files'),
      ('compress x -k --rm', 'argument --rm: not allowed with argument -k/--keep; see --help'),
      ('compress x --lvl 9', 'unrecognized arguments: --lvl 9; see --help'),
      ('decompress x --start 1', '--start, --end: a part is not the file that was compressed: name it with -o'),
      ('decompress x --start 1 -o y --rm', '--rm: the rest of the file would be lost'),
      ('decompress x --end 1 -o y --salvage', '--salvage: it writes the whole file, so it does not go with'),
      ('decompress x --start soon', "argument --start: invalid float value: 'soon'; see --help"),
      ('test x --device tpu', "argument --device: invalid choice: 'tpu' (choose from "),
    ],
  )
  def test_wrong_usage(self, lmic, tmp_path, arguments, message):
    done = lmic(*arguments.format(tmp_path).split())
    assert (done.code, done.stdout) == (2, b'')
    assert f'error: {message.format(tmp_path)}' in done.stderr
    assert done.stderr.count('\n') == 1
    assert _names(tmp_path) == []

  def test_an_unknown_command_is_taken_for_a_file(self, lmic):
    """As zstd and gzip do: without a command, files are compressed."""
    done = lmic('squeeze')
    assert (done.code, done.stderr) == (1, 'lmic: squeeze: No such file or directory\n')

  @pytest.mark.parametrize('command', ['compress', 'decompress'])
  def test_a_terminal_gets_no_bytes(self, lmic, song, packed, monkeypatch, command):
    song.write_bytes(_song_bytes())
    ours, theirs = pty.openpty()
    with open(theirs, 'w') as terminal:
      monkeypatch.setattr(sys, 'stdout', terminal)
      done = lmic(command, '-c', song if command == 'compress' else packed)
    os.close(ours)
    assert done.code == 2
    assert done.stderr == 'lmic: error: standard output is a terminal; redirect it, or name a file with -o\n'

  def test_a_name_that_says_nothing_of_the_output(self, lmic, packed):
    other = packed.rename(packed.with_name('song.xyz'))
    done = lmic('decompress', other)
    assert done == (1, b'', f'lmic: {other}: its name is not one that ends in .lmic; name the output with -o\n')

  def test_a_gpu_that_is_not_there(self, lmic, song):
    with contextlib.suppress(RuntimeError):
      pytest.skip(f'there is {jax.devices("gpu")[0]}')
    done = lmic('compress', song, '--device', 'gpu')
    assert done.code == 2
    assert done.stderr.startswith('lmic: error: --device gpu: JAX finds no GPU here')


class TestDamage:
  def test_is_named(self, lmic, packed, tmp_path):
    assert lmic('test', packed) == (0, b'', f'{packed}: ok\n')
    _damage(packed, 1)
    where = 'chunk 1 (channel 1, 0.00 to 0.12 s) is damaged'
    done = lmic('test', packed)
    assert done.code == 1
    assert done.stderr.splitlines() == [
      f'lmic: {packed}: {where}: its checksum is wrong',
      f'lmic: {packed}: `lmic decompress --salvage` writes what is sound',
    ]
    done = lmic('decompress', packed, '--rm')
    assert done.code == 1
    assert done.stderr.startswith(f'lmic: {packed}: {where}') and done.stderr.count('\n') == 1
    assert _names(tmp_path) == ['song.wav.lmic']

  def test_a_cut_is_named(self, lmic, packed):
    packed.write_bytes(packed.read_bytes()[:-300])
    done = lmic('test', packed)
    assert done.code == 1
    assert 'its end, with the hash of the original, is damaged or cut off' in done.stderr

  def test_salvage_writes_what_is_sound(self, lmic, song, packed, tmp_path):
    _damage(packed, 1)
    done = lmic('decompress', packed, '--salvage', '--rm')
    assert done.code == 1
    assert done.stderr.splitlines()[-1] == (f'lmic: {packed}: what is sound was written, with silence in the gaps')
    assert _names(tmp_path) == ['song.wav', 'song.wav.lmic']
    expected = tone(1000, 1, 2)
    expected[:, 1] = 0
    assert song.read_bytes() == build_wav(pcm_bytes(expected, 16), channels=2)

  def test_salvage_of_a_sound_file_is_the_file(self, lmic, song, packed):
    assert lmic('decompress', packed, '--salvage').code == 0
    assert song.read_bytes() == _song_bytes()


class TestParts:
  """Mono at 8,000 Hz, 33,768 frames: two chunks of samples."""

  @pytest.fixture
  def long(self, long_compressed, tmp_path) -> tuple[Path, bytes]:
    path = tmp_path / 'long.wav.lmic'
    path.write_bytes(long_compressed[0])
    return path, long_compressed[1]

  def test_across_two_chunks(self, lmic, long, tmp_path):
    path, samples = long
    part = tmp_path / 'part.wav'
    assert lmic('decompress', path, '--start', 4, '--end', 4.125, '-o', part).code == 0
    assert part.read_bytes() == build_wav(samples[2 * 32_000 : 2 * 33_000])

  def test_without_the_damaged_rest(self, lmic, long):
    path, samples = long
    _damage(path, 0)
    done = lmic('decompress', path, '--start', 4.1, '-c')
    assert (done.code, done.stdout) == (0, build_wav(samples[2 * 32_800 :]))
    assert lmic('decompress', path, '--end', 0.5, '-c').code == 1

  @pytest.mark.parametrize('span', [(5, 6), (2, 1), (-1, 1), ('nan', 1), (0, 'nan'), ('inf', 'inf'), ('-inf', 1)])
  def test_outside_of_the_file(self, lmic, long, span):
    done = lmic('decompress', long[0], f'--start={span[0]}', f'--end={span[1]}', '-c')
    assert (done.code, done.stdout) == (1, b'')
    assert 'expected a span within 4.221 seconds' in done.stderr

  def test_of_a_file_without_samples(self, lmic):
    compressed = lmic('compress', '-', stdin=b'words').stdout
    done = lmic('decompress', '-', '--end', 1, stdin=compressed)
    assert (done.code, done.stdout) == (1, b'')
    assert 'the file has no samples' in done.stderr


class TestInfo:
  def test_json(self, lmic, packed):
    done = lmic('info', '--json', packed)
    assert done.code == 0 and done.stderr == ''
    (facts,) = json.loads(done.stdout)
    size = packed.stat().st_size
    assert facts.pop('sha256') == hashlib.sha256(_song_bytes()).hexdigest()[:32]  # Of a small file the first half.
    assert facts == {
      'file': str(packed),
      'format_version': 5,
      'compressed_bytes': size,
      'original_bytes': 4044,
      'chunks': 2,
      'fallback_chunks': 2,
      'container': 'WAV',
      'samples': 'int16',
      'channels': 2,
      'sample_rate_hz': 8000,
      'frames': 1000,
      'seconds': 0.125,
      'bits_per_sample': 8 * size / 2000,
      'segment_seconds': None,
      'effort': None,
      'model_kind': 'bytes',
      'model': quantize_byte_model(lmic_cases.tiny_model(use_16bit=True)).identity().hex()[:16],
      'problems': [],
    }

  def test_table(self, lmic, packed, tmp_path):
    (tmp_path / 'words').write_text('words')
    assert lmic('compress', tmp_path / 'words').code == 0
    done = lmic('info', packed, tmp_path / 'words.lmic')
    assert done.code == 0
    head, first, second, both = done.stdout.decode().splitlines()
    names = 'chunks fell back compressed original rate bits/sample format length version segment effort kind model file'
    assert re.sub(' +', ' ', head.strip()) == names
    model = quantize_byte_model(lmic_cases.tiny_model(use_16bit=True)).identity().hex()[:8]
    size = packed.stat().st_size
    assert first.split() == [
      *('2', '2', f'{size:,}', '4,044', f'{size / 4044:.1%}', f'{size / 250:.3f}'),
      *('8000', 'Hz', 'int16x2', '0.1', 's', '5', 'bytes', model, str(packed)),
    ]
    assert second.split()[-5:] == ['bytes', '5', 'none', 'none', f'{tmp_path}/words.lmic']
    total = size + (tmp_path / 'words.lmic').stat().st_size
    # Of the words there is neither a count of chunks that fell back nor of samples.
    assert both.split() == ['3', f'{total:,}', '4,049', f'{total / 4049:.1%}', '2', 'files']
    assert lmic('info', packed, packed).stdout.decode().splitlines()[-1].split() == [
      *('4', '4', f'{2 * size:,}', '8,088', f'{size / 4044:.1%}', f'{size / 250:.3f}', '2', 'files')
    ]

  def test_problems(self, lmic, packed):
    with packed.open('ab') as file:
      file.write(b'rubbish')
    done = lmic('info', packed)
    assert done.code == 1
    assert done.stdout.decode().splitlines()[-1].strip() == '7 bytes follow its end'
    assert json.loads(lmic('info', '--json', packed).stdout)[0]['problems'] == ['7 bytes follow its end']


class TestProcesses:
  """What only a process of its own shows: pipes, signals, limits."""

  def test_a_pipeline(self, env, models, song):
    arguments = _command('compress', '-m', models[0], '-q', '-')
    with (
      song.open('rb') as source,
      subprocess.Popen(arguments, env=env, stdin=source, stdout=subprocess.PIPE) as compress,
    ):
      restored = subprocess.run(
        _command('decompress', '-m', models[0], '-q', '-'), env=env, stdin=compress.stdout, capture_output=True
      )
    assert (compress.returncode, restored.returncode, restored.stderr) == (0, 0, b'')
    assert restored.stdout == song.read_bytes()

  def test_a_reader_that_leaves(self, env, tmp_path, lmic):
    """More than a pipe holds, and less than Python's own buffer."""
    (tmp_path / 'noise').write_bytes(np.random.default_rng(0).bytes(300_000))
    assert lmic('compress', tmp_path / 'noise', '--no-verify').code == 0
    for arguments in (('decompress', '-q', '-c'), ('info',)):
      with subprocess.Popen(
        _command(*arguments, tmp_path / 'noise.lmic'), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
      ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b''
      assert process.returncode == 1

  def test_a_full_disk(self, env, tmp_path):
    (tmp_path / 'noise').write_bytes(np.random.default_rng(0).bytes(50_000))
    # What it calls is compiled now: code, too, would be too large to be kept under the limit.
    assert finish(_command('compress', '-q', tmp_path / 'noise', '-o', tmp_path / 'whole'), env).returncode == 0
    (tmp_path / 'whole').unlink()
    done = finish([sys.executable, '-c', _LIMITED, *_command('compress', '--rm', tmp_path / 'noise')], env)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == f'lmic: {tmp_path}/noise: {tmp_path}/noise.lmic: File too large\n'
    assert _names(tmp_path) == ['noise']

  @pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
  def test_a_signal_does_not_wait_for_the_compiler(self, env, song, tmp_path, number, code):
    kept = tmp_path / 'kept'
    arguments = _command('compress', song, '-o', tmp_path / 'out')
    with Running(arguments, {**env, 'LMIC_CODE': 'jit', 'NUMBA_CACHE_DIR': str(kept)}, tmp_path / 'stderr') as run:
      run.wait_until('it compiles', lambda: 'compiling for this processor, once' in run.stderr)
      run.process.send_signal(number)
      assert run.wait() == code
    assert run.stderr.splitlines()[-1] == 'lmic: interrupted; unfinished output was removed'
    assert not list(kept.glob('hybrid._run-*')), 'it went on until all was compiled'
    assert _names(tmp_path) == ['kept', 'song.wav', 'stderr']

  @pytest.mark.slow
  @pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
  @pytest.mark.parametrize('command', ['compress', 'decompress'])
  def test_a_signal_leaves_nothing_unfinished(self, env, models, long_song, tmp_path, command, number, code):
    source = long_song(command)
    with _started(command, models[0], source, env, tmp_path) as run:
      run.process.send_signal(number)
      assert run.wait() == code
    assert 'Traceback' not in run.stderr
    assert run.stderr.count('\n') <= 1
    assert _names(tmp_path) == sorted([source.name, 'stderr'])

  @pytest.mark.slow
  @pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
  @pytest.mark.parametrize('command', ['compress', 'decompress'])
  def test_a_signal_ends_several_files(self, env, models, long_song, tmp_path, command, number, code):
    source = long_song(command)
    sources = [source, *(tmp_path / f'{index}{source.name}' for index in range(3))]
    for copy in sources[1:]:
      shutil.copy(source, copy)
    arguments = _command(command, '-m', models[0], *sources)
    with Running(arguments, env, tmp_path / 'stderr') as run:
      run.wait_until('it writes', lambda: sum(path.stat().st_size > 0 for path in tmp_path.glob('.*.partial')) > 1)
      run.process.send_signal(number)
      assert run.wait() == code
    assert 'Traceback' not in run.stderr and run.stderr.count('\n') <= 1
    assert _names(tmp_path) == sorted([*(path.name for path in sources), 'stderr'])

  @pytest.mark.slow
  def test_a_killed_run_harms_nothing(self, env, models, song, long_song, tmp_path):
    source = long_song('compress')
    original = source.read_bytes()
    with _started('compress', models[0], source, env, tmp_path) as run:
      run.process.kill()
      run.wait()
    assert source.read_bytes() == original
    assert not source.with_name('long.wav.lmic').exists()
    source.write_bytes(_song_bytes())
    done = finish(_command('compress', '-m', models[0], '--rm', source), env)
    assert done.returncode == 0, done.stderr
    assert source.with_name('long.wav.lmic').exists() and not source.exists()

  @pytest.fixture
  def long_song(self, tmp_path, tmp_path_factory, models):
    """A source that takes far longer than the signal needs."""

    def make(command: str) -> Path:
      path = tmp_path / 'long.wav'
      if command == 'compress':
        write_tone(path, 8_000_000, 1)
        return path
      # What is to be decoded has to be coded first: a shorter one, in one lane.
      elsewhere = tmp_path_factory.mktemp('long') / 'long.wav'
      write_tone(elsewhere, 1_000_000, 1)
      assert lmic_main.main(['compress', '-q', '-m', str(models[0]), '--no-verify', str(elsewhere)]) == 0
      return Path(shutil.move(f'{elsewhere}.lmic', tmp_path))

    return make


def _after(together: threading.Barrier, function: Callable) -> Callable:
  def run(*arguments: object, **options: object) -> object:
    together.wait()
    return function(*arguments, **options)

  return run


@contextlib.contextmanager
def _started(command: str, model: Path, source: Path, env: dict[str, str], folder: Path) -> Iterator[Running]:
  """A run that is in the middle of its output."""
  arguments = _command(command, '-m', model, '--lanes', 2, source)
  with Running(arguments, env, folder / 'stderr') as run:
    run.wait_until('it writes', lambda: any(path.stat().st_size for path in folder.glob('.*.partial')))
    yield run
