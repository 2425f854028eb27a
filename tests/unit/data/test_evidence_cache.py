"""Evidence is computed once, belongs to what it was made of, and survives kills, damage and company."""

import dataclasses
import logging
import os
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest
from support.evidence_cases import VERSION, Counting, extract_evidence, write_sound
from support.regions import span_of

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.data import evidence_cache
from language_modeling_is_compression.data.evidence_cache import (
  RECORD,
  EvidenceSpan,
  Extractor,
  Sound,
  cached_evidence,
  read_records,
)
from language_modeling_is_compression.errors import AudioFormatError, ConfigError, TrainingError
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.text import duration

SEGMENT = 100


@pytest.fixture
def sounds(tmp_path) -> list[Sound]:
  """250 frames of one channel and 130 of two, the latter also at 8 bits."""
  mono = write_sound(tmp_path / 'audio/a.wav', 250)
  stereo = write_sound(tmp_path / 'audio/b.wav', 130, channels=2, seed=1)
  return [Sound(info=mono, bits=16), Sound(info=stereo, bits=16), Sound(info=stereo, bits=8)]


def make(folder, sounds, extract=extract_evidence, *, version: int = VERSION, effort: int = 1, segment: int = SEGMENT):
  extractor = Extractor(extract=extract, version=version, effort=effort)
  return cached_evidence(sounds, extractor, folder=folder / 'cache', segment_frames=segment, show_progress=False)


def calls_of(folder, sounds, **settings) -> list[int]:
  """Samples of the segments that had to be computed."""
  counting = Counting()
  make(folder, sounds, counting, **settings)
  return sorted(counting.calls)


def test_segments_are_what_the_experts_say_of_them(tmp_path, sounds):
  spans = make(tmp_path, sounds)
  assert [[span.num_samples for span in each] for each in spans] == [[100, 100, 50], [200, 60], [200, 60]]
  for sound, each in zip(sounds, spans, strict=True):
    for number, span in enumerate(each):
      frames = read_pcm_frames(sound.info, SEGMENT * number, min(SEGMENT * (number + 1), sound.info.num_frames))
      evidence = extract_evidence(
        frames >> (16 - sound.bits), sample_bytes=sound.bits // 8, sample_rate_hz=8000, effort=1
      )
      records = read_records(span, span.first, span.last)
      assert RECORD.names
      for name in RECORD.names:
        np.testing.assert_array_equal(records[name], getattr(evidence, name))
      np.testing.assert_array_equal(read_records(span, 7, 19), records[7:19])


def test_what_is_there_is_not_computed_again(tmp_path, sounds):
  everything = [50, 60, 60, 100, 100, 200, 200]
  assert calls_of(tmp_path, sounds) == everything
  before = {path.name: path.read_bytes() for path in (tmp_path / 'cache').iterdir()}
  assert calls_of(tmp_path, sounds) == []
  assert {path.name: path.read_bytes() for path in (tmp_path / 'cache').iterdir()} == before
  assert calls_of(tmp_path, sounds, version=VERSION + 1) == everything
  assert calls_of(tmp_path, sounds, effort=2) == everything
  assert calls_of(tmp_path, sounds, segment=60) == [10, 20, 20, 60, 60, 60, 60, 120, 120, 120, 120]
  assert calls_of(tmp_path, sounds) == []


def test_other_samples_and_other_rates_are_other_sound(tmp_path, sounds):
  make(tmp_path, sounds)
  (path, info) = (sounds[0].info.path, sounds[0].info)
  faster = dataclasses.replace(info, pcm=dataclasses.replace(info.pcm, sample_rate_hz=16000))
  assert calls_of(tmp_path, [Sound(info=faster, bits=16)]) == [50, 100, 100]
  contents = bytearray(path.read_bytes())
  contents[span_of(info)[0] + 2 * 120] ^= 1
  path.write_bytes(contents)
  assert calls_of(tmp_path, sounds) == [100], 'one segment of three has changed'
  assert calls_of(tmp_path, [Sound(info=write_sound(tmp_path / 'moved.wav', 130, channels=2, seed=1), bits=16)]) == []


@pytest.mark.parametrize('length', [0, 71, 72 * 100 - 1, 72 * 100 + 1])
def test_a_damaged_file_is_made_again(tmp_path, sounds, caplog, length):
  (span, *_), *_ = make(tmp_path, sounds)
  sound = span.path.read_bytes()
  span.path.write_bytes((sound + bytes(1))[:length])
  assert calls_of(tmp_path, sounds) == [100]
  assert span.path.read_bytes() == sound
  assert f'{span.path} is damaged and is computed again' in caplog.messages


def test_what_ends_in_between_is_there_the_next_time(tmp_path, sounds, monkeypatch):
  class Interrupting(Counting):
    def __call__(self, samples, **settings):
      if samples.size == 60:
        raise KeyboardInterrupt
      return super().__call__(samples, **settings)

  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0})
  interrupting = Interrupting()
  with pytest.raises(KeyboardInterrupt):
    make(tmp_path, sounds, interrupting)
  left = list((tmp_path / 'cache').iterdir())
  assert len(left) == len(interrupting.calls) >= 4 and all(path.suffix == '.evidence' for path in left)
  assert len(calls_of(tmp_path, sounds)) == 7 - len(left)


def test_scraps_of_runs_that_were_killed_go_and_those_of_runs_that_live_stay(tmp_path, sounds):
  folder = tmp_path / 'cache'
  folder.mkdir()
  for name, age in (('.old.partial', 90_000), ('.young.partial', 60)):
    (folder / name).touch()
    os.utime(folder / name, (time.time() - age, time.time() - age))
  make(tmp_path, sounds)
  assert [path.name for path in folder.iterdir() if path.suffix != '.evidence'] == ['.young.partial']


def test_files_that_can_no_longer_be_read_are_left_out(tmp_path, sounds, caplog):
  path = sounds[0].info.path
  path.write_bytes(path.read_bytes()[:-150])
  spans = make(tmp_path, sounds)
  assert [[span.num_samples for span in each] for each in spans] == [[100], [200, 60], [200, 60]]
  assert [message for message in caplog.messages if 'are left out' in message and str(path) in message]


def test_a_folder_that_cannot_be_used(tmp_path, sounds):
  (tmp_path / 'cache').touch()
  with pytest.raises(ConfigError, match=r'^cache_dir: .*/cache cannot be used: File exists$'):
    make(tmp_path, sounds)


def test_a_disk_that_is_full(tmp_path, sounds, monkeypatch):
  def full(_):
    raise OSError(28, os.strerror(28))

  monkeypatch.setattr(os, 'fsync', full)
  with pytest.raises(TrainingError, match=r'cannot be written: No space left on device: free space or name another'):
    make(tmp_path, sounds)
  assert list((tmp_path / 'cache').iterdir()) == []


def test_records_that_are_gone(tmp_path, sounds):
  (span, *_), *_ = make(tmp_path, sounds)
  with pytest.raises(AudioFormatError, match='expected samples 90 to 110, got 10: it was cut off'):
    read_records(span, 90, 110)
  with pytest.raises(AudioFormatError, match='cannot be read: No such file'):
    read_records(EvidenceSpan(path=tmp_path / 'none', first=0, last=9), 0, 9)


def test_what_there_is_to_do_is_said_before_it_is_done(tmp_path, sounds, caplog):
  caplog.set_level(logging.INFO)
  free = SimpleNamespace(free=10**9)

  def watched(samples, **settings):
    if samples.size != evidence_cache._TRIED_FRAMES:
      assert any('are to be computed' in message for message in caplog.messages)
    return extract_evidence(samples, **settings)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(shutil, 'disk_usage', lambda _: free)
    patch.setattr(evidence_cache, 'seconds_per_sample', lambda _: 10.0)
    make(tmp_path, sounds, watched)
  # 770 samples of 72 bytes.
  (said,) = [message for message in caplog.messages if 'are to be computed' in message]
  cores = usable_cores()
  assert said == (
    f'evidence: 7 of 7 segments are to be computed: 0.00 GB in {tmp_path}/cache, where 1.00 GB are free, in about '
    f'{duration(7700 / min(cores, 7))} on {cores} core{"" if cores == 1 else "s"}, with 0.00 GB '
    'of memory'
  )
  caplog.clear()
  make(tmp_path, sounds)
  assert not [message for message in caplog.messages if 'are to be computed' in message]


@pytest.mark.parametrize(('free', 'fits'), [(770 * 72 + (64 << 20), True), (770 * 72 + (64 << 20) - 1, False)])
def test_what_cannot_fit_is_not_begun_and_leaves_nothing(tmp_path, sounds, monkeypatch, free, fits):
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=free))
  counting, folder = Counting(), tmp_path / 'new' / 'folder'
  if fits:
    make(folder, sounds, counting)
    return
  with pytest.raises(TrainingError, match=rf'takes 55,440 bytes, and {free:,} are free, of which 67,108,864 stay'):
    make(folder, sounds, counting)
  assert counting.calls == [] and not (tmp_path / 'new').exists()


def test_a_folder_that_was_there_stays(tmp_path, sounds, monkeypatch):
  (tmp_path / 'cache').mkdir()
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=0))
  with pytest.raises(TrainingError):
    make(tmp_path, sounds)
  assert (tmp_path / 'cache').is_dir()


def test_the_same_sound_is_computed_once(tmp_path, sounds):
  assert calls_of(tmp_path, [sounds[0], sounds[0]]) == [50, 100, 100]


def test_a_new_folder_that_another_run_uses_stays(tmp_path, sounds, monkeypatch):
  def full(folder):
    (folder / 'of_another_run.evidence').touch()
    return SimpleNamespace(free=0)

  monkeypatch.setattr(shutil, 'disk_usage', full)
  with pytest.raises(TrainingError, match='are free'):
    make(tmp_path, sounds)
  assert (tmp_path / 'cache/of_another_run.evidence').exists()


def test_a_disk_that_fills_up_keeps_what_is_done(tmp_path, sounds, monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0})
  left = [2]

  def fills_up(_):
    left[0] -= 1
    if left[0] < 0:
      raise OSError(28, os.strerror(28))

  monkeypatch.setattr(os, 'fsync', fills_up)
  with pytest.raises(TrainingError, match='2 of 7 segments are computed and stay there for the next run'):
    make(tmp_path, sounds)
  assert [path.suffix for path in (tmp_path / 'cache').iterdir()] == ['.evidence', '.evidence']
  monkeypatch.setattr(os, 'fsync', lambda _: None)
  assert len(calls_of(tmp_path, sounds)) == 5


def changing(path, change):
  """Extractor in whose first call a file changes: when its segments were found and are not computed yet."""
  calls: list[int] = []

  def changed(samples, **settings):
    if not calls:
      path.write_bytes(change(path.read_bytes()))
    calls.append(samples.size)
    return extract_evidence(samples, **settings)

  return changed


@pytest.mark.parametrize(
  ('change', 'kept'),
  [
    (lambda contents: contents[:-150], [100]),  # The last 75 frames.
    (lambda contents: contents[:-1] + bytes([contents[-1] ^ 1]), [100, 100]),
  ],
)
def test_files_that_change_between_the_search_and_the_work(tmp_path, sounds, caplog, change, kept):
  path = sounds[0].info.path
  (spans,) = make(tmp_path, sounds[:1], changing(path, change))
  assert [span.num_samples for span in spans] == kept
  assert len(list((tmp_path / 'cache').iterdir())) == len(kept)
  assert [message for message in caplog.messages if 'are left out' in message and str(path) in message]


def test_the_time_that_is_said_is_that_of_the_second_try(monkeypatch):
  clock, takes = [0.0], iter((100.0, 8.192))
  monkeypatch.setattr(time, 'monotonic', lambda: clock[0])

  def slow(samples, **settings):
    clock[0] += next(takes)
    return extract_evidence(samples, **settings)

  experts = Extractor(extract=slow, version=VERSION, effort=1)
  assert evidence_cache.seconds_per_sample(experts) == pytest.approx(0.001)


@pytest.mark.parametrize(
  ('error', 'expected'),
  [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(5, 'Input/output error'), TrainingError)],
)
def test_what_ends_before_anything_is_computed_leaves_nothing(tmp_path, sounds, monkeypatch, error, expected):
  def fail(_):
    raise error

  monkeypatch.setattr(shutil, 'disk_usage', fail)
  with pytest.raises(expected):
    make(tmp_path / 'new', sounds)
  assert not (tmp_path / 'new').exists()
