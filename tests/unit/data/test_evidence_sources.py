"""Which depths are made of which files, and what is held out."""

import dataclasses
import functools
from typing import Any

import pytest
from support.evidence_cases import VERSION, extract_evidence, write_sound
from support.regions import span_of

from language_modeling_is_compression.audio.info import PcmInfo
from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.config.options import HybridConfig
from language_modeling_is_compression.data import evidence_sources
from language_modeling_is_compression.data.evidence_cache import Extractor
from language_modeling_is_compression.data.evidence_sources import (
  DomainFile,
  Group,
  check_samples,
  evidence_of,
  is_streamed,
  planned_evidence,
  streamed_evidence_of,
)
from language_modeling_is_compression.errors import AudioFormatError

EXPERTS = Extractor(extract=extract_evidence, version=VERSION, effort=1)


@pytest.fixture
def files(tmp_path) -> dict[int, DomainFile]:
  """By depth."""
  return {
    bits: DomainFile(domain=f'd{bits}', info=write_sound(tmp_path / f'{bits}.wav', 20, bits=bits))
    for bits in (8, 16, 24)
  }


def made(folder, train, valid=(), *, valid_fraction: float = 0.25, **settings):
  """Samples of each group, to train on and to hold out."""
  sides = gathered(evidence_of, folder, train, valid, valid_fraction=valid_fraction, **settings)
  cached = [{group: sum(span.num_samples for span in each) for group, each in side.items()} for side in sides]
  planned = planned_evidence(train, valid, HybridConfig(**settings), valid_fraction=valid_fraction)
  assert cached == [
    {group: sum(span.num_samples for span in each) for group, each in side.items()} for side in planned
  ], 'what is planned is not what is made'
  return cached


@pytest.mark.parametrize(
  ('depths', 'expected'),
  [
    ('native', {('d8', 'native'), ('d16', 'native'), ('d24', 'native')}),
    ('8', {('d8', '8'), ('d16', '8'), ('d24', '8')}),
    ('16', {('d16', '16'), ('d24', '16')}),
    ('8,native', {('d8', 'native'), ('d16', 'native'), ('d24', 'native'), ('d16', '8'), ('d24', '8')}),
  ],
)
def test_a_file_has_each_depth_once_and_none_that_is_more_than_its_own(tmp_path, files, depths, expected):
  train, valid = made(tmp_path, list(files.values()), [files[16]], bit_depths=depths)
  assert set(train) == expected
  assert set(valid) == {group for group in expected if group[0] == 'd16'}
  assert set(train.values()) == {20}


def test_without_files_to_hold_out_the_end_of_each_segment_is(tmp_path, files, caplog):
  train, valid = made(tmp_path, [files[16]], bit_depths='native', segment_frames=12)
  group = Group('d16', 'native')
  assert (train[group], valid[group]) == (9 + 6, 3 + 2)
  assert [message for message in caplog.messages if 'the last 0.25 of each segment is held out' in message]


def test_what_is_skipped_is_in_no_segment(tmp_path, files):
  late = dataclasses.replace(files[16], first_frame=7)
  train, valid = made(tmp_path, [late], [files[24]], bit_depths='native', segment_frames=5)
  assert (list(train.values()), list(valid.values())) == ([13], [20])
  kept = write_sound(tmp_path / 'kept.wav', 13)
  offset, _ = span_of(late.info)
  sound = late.info.path.read_bytes()[offset + 14 : offset + 40]
  kept.path.write_bytes(kept.path.read_bytes()[: span_of(kept)[0]] + sound)
  cached = set((tmp_path / 'cache').iterdir())
  made(tmp_path, [DomainFile(domain='d', info=kept)], [files[24]], bit_depths='native', segment_frames=5)
  assert set((tmp_path / 'cache').iterdir()) == cached, 'the same sound begins the same segments'


def gathered(make, folder, train, valid=(), *, valid_fraction: float = 0.25, **settings):
  """What one of the two ways to gather evidence makes of files."""
  return make(
    train,
    valid,
    HybridConfig(**settings),
    EXPERTS,
    valid_fraction=valid_fraction,
    folder=folder / 'cache',
    show_progress=False,
  )


streamed = functools.partial(gathered, streamed_evidence_of)
in_cache = functools.partial(gathered, evidence_of)


@pytest.mark.parametrize('held_out', [True, False])
def test_what_is_streamed_and_what_is_held_out_is_what_the_cache_has(tmp_path, files, held_out):
  train, valid = [files[16], files[24]], [files[24]] if held_out else []
  parts, found = streamed(tmp_path, train, valid, segment_frames=7)
  # Some are equal, so that they are one file.
  assert set((tmp_path / 'cache').iterdir()) == {span.path for each in found.values() for span in each}
  expected_train, expected_valid = in_cache(tmp_path, train, valid, segment_frames=7)
  sizes = {group: [part.num_samples for part in each] for group, each in parts.items()}
  assert sizes == {group: [span.num_samples for span in each] for group, each in expected_train.items()}
  assert found == expected_valid


def test_of_much_that_is_held_out_a_part_is_evenly_spread_over_all(tmp_path, files, monkeypatch):
  monkeypatch.setattr(evidence_sources, '_HELD_OUT_SAMPLES', 9)
  settings: Any = {'segment_frames': 4, 'bit_depths': 'native'}
  _, found = streamed(tmp_path, [files[16]], [files[24]], **settings)
  _, everything = in_cache(tmp_path, [files[16]], [files[24]], **settings)
  (group,) = everything
  # Of five segments of 4 samples those that 9 samples have room for.
  assert found == {group: [everything[group][0], everything[group][2]]}
  monkeypatch.setattr(evidence_sources, '_HELD_OUT_SAMPLES', 1)
  assert streamed(tmp_path, [files[16]], [files[24]], **settings)[1] == {group: everything[group][:1]}


def test_evidence_is_streamed_if_that_is_asked_for_or_it_is_large(files, monkeypatch):
  def of(train, valid, **settings):
    return is_streamed(train, valid, HybridConfig(**settings))

  train, valid = [files[8], files[16]], [files[24]]
  assert of(train, valid, evidence='stream') and not of(train, valid, evidence='cache')
  # 20 samples of each file, at one depth of the first one, and at two of the others.
  monkeypatch.setattr(evidence_sources, '_AUTO_CACHE_BYTES', 100 * 72)
  assert not of(train, valid)
  monkeypatch.setattr(evidence_sources, '_AUTO_CACHE_BYTES', 100 * 72 - 1)
  assert of(train, valid) and not of(train, [])
  assert not of(train, valid, bit_depths='native')
  assert not of(train, valid, cache_dir='kept') and of(train, valid, cache_dir='kept', evidence='stream')


def test_a_single_sample_is_for_training(tmp_path):
  file = DomainFile(domain='d', info=write_sound(tmp_path / 'a.wav', 1))
  train, valid = made(tmp_path, [file], bit_depths='native', valid_fraction=0.9)
  assert (list(train.values()), list(valid.values())) == ([1], [0])


def test_names_tell_the_depth_where_it_is_not_the_files_own():
  assert (Group('a', 'native').name, Group('a', '8').name) == ('a', 'a_8bit')


def with_format(info: PcmInfo, **fields: Any) -> PcmInfo:
  return dataclasses.replace(info, pcm=dataclasses.replace(info.pcm, **fields))


def test_floats_and_32_bits_cannot_be_trained_on(files):
  info = files[16].info
  assert isinstance(info, PcmInfo)
  check_samples(info)
  check_samples(with_format(info, kind=SampleKind.MU_LAW, sample_bytes=1))
  with pytest.raises(AudioFormatError, match=r'16\.wav: expected integer samples of 8 to 24 bits .*, got floats$'):
    check_samples(with_format(info, kind=SampleKind.FLOAT, sample_bytes=4))
  with pytest.raises(AudioFormatError, match=r'got 32 bits$'):
    check_samples(with_format(info, sample_bytes=4))
