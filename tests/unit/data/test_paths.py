"""Which files are found, on which side they stand, and what they are said to hold."""

import logging
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.flac_files import write_flac
from support.wav_builder import build_wav

import data_paths
from data_paths import (
  describe_other_audio,
  detect_audio_format,
  get_all_paths,
  get_audio_files_with_format,
  get_other_audio_paths,
  get_train_paths,
  get_valid_paths,
  partition_names,
  partition_paths,
)
from language_modeling_is_compression.data import paths as paths_module
from language_modeling_is_compression.errors import ConfigError

TRAIN, VALID, IGNORED = frozenset({'train'}), frozenset({'valid'}), frozenset({'ignored'})
FOLDERS = st.sampled_from(['', 'a/', 'b/', 'a/b/', 'b/a/'])
NAMES = st.sets(st.builds('{}{}.wav'.format, FOLDERS, st.integers(0, 999)), min_size=2, max_size=12)
# Small sets meet the exceptions only where the fraction is near 0 or 1.
FRACTIONS = st.floats(0.001, 0.999)
# A busy machine is no failure.
unhurried = settings(deadline=None)


def make_tree(root: Path, *names: str, contents: bytes = b'') -> Path:
  for name in names:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
  return root


def relative(paths: list[Path], root: Path) -> list[str]:
  return [path.relative_to(root).as_posix() for path in paths]


def fraction_of(name: str) -> float:
  return int.from_bytes(blake2b(os.fsencode(name), digest_size=8).digest(), 'big') / 2**64


# Finding files.


def test_all_paths_are_sorted_wavs(tmp_path):
  make_tree(tmp_path, 'b.wav', 'a/z.WAV', 'a/b/c.Wav', 'a.wav', 'c.mp3', 'd.wav.txt', 'wav', '.wav', 'e.wave', 'f.BWF')
  (tmp_path / 'folder.wav').mkdir()
  make_tree(tmp_path, 'folder.wav/f.wav')
  os.mkfifo(tmp_path / 'pipe.wav')
  paths = get_all_paths(tmp_path)
  assert relative(paths, tmp_path) == [
    'a.wav',
    'a/b/c.Wav',
    'a/z.WAV',
    'b.wav',
    'e.wave',
    'f.BWF',
    'folder.wav/f.wav',
  ]
  folder: Any = str(tmp_path)
  assert get_all_paths(folder) == paths


def test_links_are_followed_without_loops(tmp_path):
  root = make_tree(tmp_path / 'root', 'real/a.wav', 'b.wav')
  outside = make_tree(tmp_path / 'outside', 'c.wav', 'deep/d.wav')
  (root / 'link').symlink_to(outside)
  (root / 'alias').symlink_to(root / 'real')
  (root / 'real' / 'up').symlink_to('..')
  (outside / 'deep' / 'back').symlink_to(outside)
  (root / 'linked.wav').symlink_to(outside / 'c.wav')
  (root / 'broken.wav').symlink_to('nowhere.wav')
  assert relative(get_all_paths(root), root) == ['b.wav', 'link/c.wav', 'link/deep/d.wav', 'linked.wav', 'real/a.wav']


def test_link_to_itself_is_skipped(tmp_path, caplog):
  make_tree(tmp_path, 'a.wav')
  (tmp_path / 'loop.wav').symlink_to('loop.wav')
  assert relative(get_all_paths(tmp_path), tmp_path) == ['a.wav']
  assert 'loop.wav' in caplog.text


def test_undecodable_names(tmp_path):
  name = os.fsdecode(b'\xff\xfe.wav')
  make_tree(tmp_path, name, 'a.wav')
  assert {path.name for path in get_all_paths(tmp_path)} == {name, 'a.wav'}
  partition = partition_paths(tmp_path, 0.5)
  assert len(partition.train + partition.valid) == 2


def test_folder_that_cannot_be_listed_is_skipped(tmp_path, caplog, monkeypatch):
  make_tree(tmp_path, 'a.wav', 'locked/b.wav', 'open/c.wav')
  scandir = os.scandir

  def locked_scandir(folder):
    if Path(folder).name == 'locked':
      raise PermissionError(13, 'Permission denied', str(folder))
    return scandir(folder)

  monkeypatch.setattr(os, 'scandir', locked_scandir)
  assert relative(get_all_paths(tmp_path), tmp_path) == ['a.wav', 'open/c.wav']
  assert [record.levelno for record in caplog.records] == [logging.WARNING]
  assert 'locked: Permission denied' in caplog.text


@pytest.mark.parametrize('function', [get_all_paths, partition_paths, detect_audio_format, get_audio_files_with_format])
def test_no_directory(tmp_path, function):
  with pytest.raises(ConfigError, match=r'nowhere: expected a folder .*No such file'):
    function(tmp_path / 'nowhere')
  make_tree(tmp_path, 'a.wav')
  with pytest.raises(ConfigError, match=r'a\.wav: expected a folder .*got a file'):
    function(tmp_path / 'a.wav')


def test_empty_directory(tmp_path):
  assert get_all_paths(tmp_path) == get_train_paths(tmp_path) == get_valid_paths(tmp_path) == []


# Partitioning.


def test_partition_by_hash(tmp_path):
  names = sorted(f'{folder}/{number}.wav' for folder in 'ab' for number in range(100))
  make_tree(tmp_path, *names)
  partition = partition_paths(tmp_path, 0.25)
  assert relative(partition.valid, tmp_path) == [name for name in names if fraction_of(name) < 0.25]
  assert relative(partition.train, tmp_path) == [name for name in names if fraction_of(name) >= 0.25]
  assert partition.ignored == []
  assert get_train_paths(tmp_path, 0.25) == partition.train
  assert get_valid_paths(tmp_path, valid_fraction=0.25) == partition.valid
  assert get_valid_paths(tmp_path) == [
    path for path in partition.valid if fraction_of(relative([path], tmp_path)[0]) < 0.1
  ]


def test_same_names_elsewhere_are_on_the_same_side(tmp_path):
  names = [f'{number}.wav' for number in range(30)]
  sides = [partition_paths(make_tree(tmp_path / root, *names)) for root in ('one', 'two')]
  assert relative(sides[0].valid, tmp_path / 'one') == relative(sides[1].valid, tmp_path / 'two')


@pytest.mark.parametrize('valid_fraction', [-0.1, 1, 1.5, float('nan'), float('inf')])
def test_fraction_out_of_range(tmp_path, valid_fraction):
  with pytest.raises(ValueError, match='valid_fraction'):
    partition_paths(tmp_path, valid_fraction)


def test_one_file_is_on_both_sides(tmp_path):
  make_tree(tmp_path, 'only.wav')
  assert get_train_paths(tmp_path) == get_valid_paths(tmp_path) == [tmp_path / 'only.wav']
  assert get_train_paths(tmp_path, 0) == [tmp_path / 'only.wav']
  assert get_valid_paths(tmp_path, 0) == []


def test_fraction_zero_has_no_valid_files():
  assert set(partition_names(['a.wav', 'b.wav', 'c/d.wav'], 0).values()) == {TRAIN}


@unhurried
@given(NAMES, FRACTIONS)
def test_both_sides_have_files(names, valid_fraction):
  sides = partition_names(names, valid_fraction)
  assert sides.keys() == names
  assert set(sides.values()) == {TRAIN, VALID}


@unhurried
@given(NAMES, FRACTIONS)
def test_sides_are_by_hash_but_for_one_name(names, valid_fraction):
  sides = partition_names(names, valid_fraction)
  by_hash = {name: VALID if fraction_of(name) < valid_fraction else TRAIN for name in names}
  moved = [name for name in names if sides[name] != by_hash[name]]
  if len(set(by_hash.values())) == 2:
    assert moved == []
  else:
    extreme = min if TRAIN in by_hash.values() else max
    assert moved == [extreme(names, key=fraction_of)]


@unhurried
@given(NAMES, NAMES, FRACTIONS)
def test_added_names_move_nothing_from_train_to_valid(names, added, valid_fraction):
  before = partition_names(names, valid_fraction)
  after = partition_names(names | added, valid_fraction)
  moved = {name for name in names if before[name] == TRAIN and after[name] == VALID}
  if moved:
    # The one exception: every name was below the fraction, so one had been kept back for training.
    assert moved == {max(names, key=fraction_of)}
    assert all(fraction_of(name) < valid_fraction for name in names)


@unhurried
@given(NAMES, st.floats(0, 0.999))
def test_order_of_names_does_not_matter(names, valid_fraction):
  assert partition_names(sorted(names), valid_fraction) == partition_names(sorted(names, reverse=True), valid_fraction)


@pytest.mark.parametrize(
  ('train', 'valid'),
  [('train', 'valid'), ('Train', 'VAL'), ('TRAIN', 'validation'), ('train', 'test'), ('train', 'Test')],
)
@pytest.mark.parametrize('above', ['', 'corpus/', 'a/b/'])
def test_split_folders_are_used_as_they_are(above, train, valid):
  names = {
    f'{above}{train}/1.wav': TRAIN,
    f'{above}{train}/deep/2.wav': TRAIN,
    f'{above}{valid}/3.wav': VALID,
    f'{above}{valid}/train/4.wav': VALID,
    f'{above}other/5.wav': IGNORED,
    f'{above}6.wav': IGNORED,
  }
  for valid_fraction in (0, 0.1, 0.9):
    assert partition_names(names, valid_fraction) == names


def test_valid_is_preferred_over_test():
  names = {'train/1.wav': TRAIN, 'valid/2.wav': VALID, 'val/3.wav': VALID, 'test/4.wav': IGNORED, 'Test/5.wav': IGNORED}
  assert partition_names(names, 0.5) == names


def test_outermost_split_folder_wins():
  inner = {f'train/{side}/{side}.wav': TRAIN for side in ('train', 'valid', 'test')}
  names = inner | {'valid/train/1.wav': VALID, 'valid/valid/2.wav': VALID}
  assert partition_names(names, 0.5) == names


def test_split_folders_beside_hashed_files():
  loose = [f'loose/{number}.wav' for number in range(40)] + ['train.wav', 'valid.wav', 'corpus/train.wav/x.wav']
  corpus = {'set/train/1.wav': TRAIN, 'set/valid/2.wav': VALID, 'set/test/3.wav': IGNORED}
  sides = partition_names([*loose, *corpus], 0.3)
  assert {name: sides[name] for name in corpus} == corpus
  assert {name: sides[name] for name in loose} == {name: VALID if fraction_of(name) < 0.3 else TRAIN for name in loose}


def test_single_hashed_file_beside_a_split_folder_has_one_side():
  sides = partition_names(['a.wav', 'set/train/1.wav', 'set/valid/2.wav'], 1e-9)
  assert sides['a.wav'] == TRAIN


@pytest.mark.parametrize(
  'names', [['train/1.wav', 'train/2.wav'], ['valid/1.wav', 'test/2.wav'], ['train.wav', 'valid/2.wav']]
)
def test_half_a_split_is_none(names):
  assert IGNORED not in partition_names(names, 0.5).values()
  assert partition_names(names, 0) == dict.fromkeys(names, TRAIN)


def test_split_folders_without_wavs_do_not_count(tmp_path):
  make_tree(tmp_path, 'train/1.wav', 'valid/notes.txt', 'test/2.wav', 'other/3.wav')
  partition = partition_paths(tmp_path)
  assert relative(partition.train, tmp_path) == ['train/1.wav']
  assert relative(partition.valid, tmp_path) == ['test/2.wav']
  assert relative(partition.ignored, tmp_path) == ['other/3.wav']


# Formats.


@pytest.mark.parametrize(
  ('channels', 'recommended'),
  [([], 'mono'), ([1, 1], 'mono'), ([2, 6], 'stereo'), ([1, 2], 'mixed'), ([255], 'stereo')],
)
def test_detect_audio_format(tmp_path, channels, recommended):
  for number, count in enumerate(channels):
    make_tree(tmp_path, f'{number}.WAV', contents=build_wav(bytes(2 * count), channels=count))
  paths = [tmp_path / f'{number}.WAV' for number in range(len(channels))]
  mono_files = [path for path, count in zip(paths, channels, strict=True) if count == 1]
  stereo_files = [path for path, count in zip(paths, channels, strict=True) if count > 1]
  assert detect_audio_format(tmp_path) == {
    'has_stereo': bool(stereo_files),
    'has_mono': bool(mono_files),
    'stereo_files': stereo_files,
    'mono_files': mono_files,
    'recommended_format': recommended,
  }
  assert get_audio_files_with_format(tmp_path) == (paths, 'mono')


def test_unreadable_files_are_skipped_with_a_reason(tmp_path, caplog):
  make_tree(tmp_path, 'good.wav', contents=build_wav(bytes(4)))
  make_tree(tmp_path, 'bad.wav', contents=build_wav(bytes(4), tag=0x55))
  make_tree(tmp_path, 'worse.wav', contents=b'nothing of the kind')
  assert detect_audio_format(tmp_path)['mono_files'] == [tmp_path / 'good.wav']
  assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
  assert 'bad.wav' in caplog.text and 'MP3' in caplog.text and 'worse.wav' in caplog.text
  assert get_audio_files_with_format(tmp_path) == ([tmp_path / 'good.wav'], 'mono')


def test_thousands_of_files(tmp_path):
  names = sorted(f'{number % 20}/{number}.wav' for number in range(2000))
  make_tree(tmp_path, *names, contents=build_wav(bytes(64), channels=2, before=[(b'LIST', b'INFOabcd')]))
  found: Any = detect_audio_format(tmp_path)
  assert relative(found['stereo_files'], tmp_path) == names


def test_audio_that_is_not_read_is_found_and_described(tmp_path):
  make_tree(tmp_path, 'a.wav', 'b.ogg', 'c/d.OGG', 'c/e.mp3', 'f.flac', 'notes.txt', 'ogg')
  paths = get_other_audio_paths(tmp_path)
  assert relative(paths, tmp_path) == ['b.ogg', 'c/d.OGG', 'c/e.mp3']
  assert describe_other_audio(paths) == (
    '3 audio files not used, since only PCM and FLAC are read (2 .ogg, 1 .mp3): convert them first, e.g. '
    f'ffmpeg -i {tmp_path}/b.ogg {tmp_path}/b.wav'
  )
  assert describe_other_audio(paths[:1]).startswith('1 audio file not used')
  assert describe_other_audio([]) == ''


def test_flac_stands_beside_wav_unless_it_is_the_same_recording(tmp_path):
  make_tree(tmp_path, 'a.wav', 'a.flac', 'b.flac', 'c/a.FLAC', 'c/d.flac', 'c/d.WAVE', 'c/e.flac', 'e.wav')
  assert relative(get_all_paths(tmp_path), tmp_path) == ['a.wav', 'b.flac', 'c/a.FLAC', 'c/d.WAVE', 'c/e.flac', 'e.wav']
  partition = partition_paths(tmp_path, 0.3)
  assert sorted([*partition.train, *partition.valid]) == sorted(get_all_paths(tmp_path))
  write_flac(tmp_path / 'b.flac', np.zeros((100, 2), np.int64))
  found: Any = detect_audio_format(tmp_path)
  assert relative(found['stereo_files'], tmp_path) == ['b.flac']


def test_the_script_beside_the_package_has_all_of_it():
  assert all(getattr(data_paths, name) is getattr(paths_module, name) for name in data_paths.__all__)
