"""Files of format version 3 that this and every later version must decode, and what it must say of broken ones."""

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference_decoder import container as independent_decoder
from support import fixed_files, golden_cases, hybrid_cases, hybrid_golden, linear_golden, lmic_cases, segment_bodies
from support.training_runs import REPOSITORY

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.format.container import MODEL, Container
from language_modeling_is_compression.format.layout import LinearLayout
from language_modeling_is_compression.format.payloads import Segment
from language_modeling_is_compression.linear import groups as linear_groups
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.system.cancellation import Cancellation

FOLDER = Path(__file__).parent / 'v3'
# Originals of version 2 are not stored again.
SHARED = Path(__file__).parent / 'v2'
IDENTITY = '27a6de73deefe5fa20db3986614a656ba3fd987d9e02585b419614c1d91855b5'
ORIGINALS = ['clicks_24', 'few_values_16', 'five_times_as_loud_16', 'repeats_in_noise_8']
SHARED_ORIGINALS = [
  'mono_8',
  'stereo_16',
  'one_channel_silent_16',
  'stereo_24',
  'mono_16_in_24',
  'mono_32',
  'ten_channels_16',
]
ALL = ORIGINALS + SHARED_ORIGINALS
BROKEN = golden_cases.BROKEN_SEGMENTS | {
  'another_model': 'its header contradicts itself: no program of this version wrote it'
}
# SHA-256 of bodies of what `sounds` gives, by preset.
BODIES = {
  'mono': [
    '414cae121b3c73d50e28314d3fa4e49ca692bcf6ba5759cbf3898ab352243fd0',
    'fd2dc3304c0e71ffe943179d77e5c31fa3cc2b32036c71af3df3f37837f3256c',
    '5d3577d9f59f2a4e222b91c0d3815b3d1d9d2177fb354a9370ba024cfe951a3d',
    'a78e06ad27c4ba201afb10c70146bf44d49a5099ee48b39f91eb011fc933a4b8',
  ],
  'stereo': [
    'dccac96461796034a33afb50a4b370874e1032511413e03935a0c892812b3389',
    'd91c5a78586058da6a5288c7f38cad04a22672a4c8c7a02e1d4f0fe10084fc53',
    'e0e24e385dd79cf36bcffb940cec2e710bf3794632ad195492c3371f9e513de0',
    '0b68badbd1b9320249bde91768350d8d583168dccad8dd38081092a5b47f7ee8',
  ],
  'stereo, 24 bits': [
    '28f32c438901300a9852f9870e628bcdef9250f6785b21fc02a98136bd596f2a',
    '3d88835e6baeaa7c366e758e99eac85ba3e93c9de7faf276b08db50368312e7e',
    '46838c00b400952b8d369c410eb7879475a9c3bbaf3333a2d278af6fd43c2628',
    '960e077549833e5bcb0ef65cce86307fe7afbaef21aeab5c6f5723f7bea4900f',
  ],
}


def coder() -> ChunkCoder:
  return ChunkCoder(LinearCoder(LinearLayout))


def golden(name: str) -> bytes:
  return (FOLDER / name).read_bytes()


def original(name: str) -> bytes:
  return ((FOLDER if name in ORIGINALS else SHARED) / f'{name}.original').read_bytes()


def container(data: bytes) -> Container:
  return Container(io.BytesIO(data), len(data))


def test_nothing_is_left_out():
  written = linear_golden.LEVELS
  golden_cases.check_names(
    FOLDER, models=[], originals=ORIGINALS, shared=SHARED_ORIGINALS, written=written, broken=BROKEN
  )


def test_linear_prediction_codes_all_of_them():
  for path in FOLDER.glob('*.preset_*.lmic'):
    file = container(path.read_bytes())
    header = file.header
    assert f'.preset_{header.layout.effort}.' in path.name
    assert header.layout.coding == 3
    spans = range(header.num_head_chunks, header.num_head_chunks + header.num_spans)
    assert len(spans) and {file.chunk(index).method for index in spans} == {MODEL}, path.name


@pytest.mark.parametrize('preset', [2, 3])
def test_lags(preset):
  """Two, in the second block of what repeats."""
  file = container(golden(f'repeats_in_noise_8.preset_{preset}.lmic'))
  [group] = segment_bodies.groups_of(file.chunk(file.header.num_head_chunks).body, 1)
  assert group.lags == [1, 1, 1000, 1300]


@pytest.mark.parametrize('name', ['few_values_16', 'five_times_as_loud_16'])
def test_maps(name):
  file = container(golden(f'{name}.preset_3.lmic'))
  [group] = segment_bodies.groups_of(file.chunk(file.header.num_head_chunks).body, 1)
  assert group.channels[0][4] > 2


def test_identity():
  assert LinearCoder(LinearLayout).identity.hex() == IDENTITY
  assert container(golden('mono_8.preset_0.lmic')).header.model_id.hex() == IDENTITY


@pytest.mark.parametrize('preset', linear_golden.LEVELS)
@pytest.mark.parametrize('name', ALL)
def test_decodes(name, preset):
  assert lmic_cases.decompressed(golden(f'{name}.{preset}.lmic'), coder()) == original(name)


@pytest.mark.parametrize('preset', linear_golden.LEVELS)
@pytest.mark.parametrize('name', ALL)
def test_compresses_to_the_same_bytes(name, preset):
  """Other bytes, even if they decode, are a new version of the format; a frame of version 3 around them is no other."""
  level, expected = linear_golden.LEVELS[preset], golden(f'{name}.{preset}.lmic')
  golden_cases.check_sound(original(name), expected, coder(), level)
  assert fixed_files.compressed(original(name), coder(), level) == expected


@pytest.mark.parametrize('name', BROKEN)
def test_broken(name):
  golden_cases.check_broken(golden(f'broken_{name}.lmic'), coder(), BROKEN[name])


@pytest.mark.parametrize('name', BROKEN)
def test_salvage_of_broken_ones(name):
  """It names the same, and puts silence where the segment was."""
  found = golden_cases.salvaged(golden(f'broken_{name}.lmic'), coder(), BROKEN[name])
  golden_cases.check_silence(found, original('stereo_16'), 4 * hybrid_golden.NUM_FRAMES)


@pytest.mark.parametrize('name', BROKEN)
def test_the_reference_decoder_refuses_broken_ones(name):
  with pytest.raises(ValueError, match=r'\w'):
    independent_decoder.decode(golden(f'broken_{name}.lmic'), None)


@pytest.mark.parametrize('preset', linear_golden.LEVELS)
@pytest.mark.parametrize('name', ['clicks_24', 'stereo_16'])
def test_the_reference_decoder_restores_them(name, preset):
  assert independent_decoder.decode(golden(f'{name}.{preset}.lmic'), None) == original(name)


def test_the_reference_decoder_needs_no_model_file(tmp_path):
  """As anybody would call it."""
  command: list[str | Path] = [sys.executable, '-m', 'reference_decoder', FOLDER / 'mono_8.preset_0.lmic']
  env = {**os.environ, 'PYTHONPATH': str(REPOSITORY / 'docs')}
  assert subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True).stdout == original('mono_8')


def sounds() -> dict[str, tuple[np.ndarray, int]]:
  """Speech that comes again in a later block: int32 [N, C], and bytes of a sample."""
  info = read_pcm_info(REPOSITORY / 'examples/audio/valid/ru_0017.wav')
  speech = read_pcm_frames(info, 20_000, 27_000)
  left = np.concatenate([speech, speech[::-1] >> 3, speech])
  right = (left + np.roll(left, 5)) >> 1
  stereo = np.concatenate([left, right], axis=1)
  return {
    'mono': (left, 2),
    'stereo': (stereo, 2),
    'stereo, 24 bits': (stereo * 256 + stereo * 167 % 251, 3),
  }


@pytest.mark.parametrize('preset', range(4))
@pytest.mark.parametrize('name', BODIES)
def test_codes_sounds_of_several_blocks_to_the_same_bytes(name, preset, monkeypatch):
  """With lags where the preset has any, which here are given, since how they are found may change."""
  samples, sample_bytes = sounds()[name]
  lags = np.array([[0, 0], [0, 0], [32, 8192], [9904, 100], [14_000, 0], [14_000, 7000]])
  monkeypatch.setattr(linear_groups, 'find_lags', lambda indices, cancellation: lags)
  shape = hybrid_cases.shape_of(samples, sample_bytes=sample_bytes, effort=preset)
  [found] = LinearCoder(LinearLayout).encode([Segment(samples=samples, shape=shape)], Cancellation())
  assert found is not None
  [restored] = LinearCoder(LinearLayout).decode([found.body], [shape], Cancellation())
  assert isinstance(restored, Segment) and np.array_equal(restored.samples, samples)
  assert hashlib.sha256(found.body).hexdigest() == BODIES[name][preset]
