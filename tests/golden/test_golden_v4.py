"""Files of format version 4 that this and every later version must decode, and what it must say of broken ones."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import fixed_files, golden_cases, hybrid_golden, lmic_cases, segment_bodies
from support.training_runs import REPOSITORY

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.format.container import MODEL, Container
from language_modeling_is_compression.format.layout import HybridLayout

FOLDER = Path(__file__).parent / 'v4'
IDENTITY = '4a0b3ad23f841d61792e9871d921261e739bca8fa5f6aa82095961d1067fa504'
ORIGINALS = ['clipped_16', 'nearly_silent_8']
# Originals of versions 2 and 3 are not stored again.
SHARED = {
  **dict.fromkeys(['clicks_24', 'few_values_16', 'five_times_as_loud_16', 'repeats_in_noise_8'], 'v3'),
  **dict.fromkeys(['mono_8', 'stereo_16', 'louder_16', 'one_channel_silent_16', 'stereo_24', 'mono_16_in_24'], 'v2'),
  **dict.fromkeys(['mono_32', 'ten_channels_16'], 'v2'),
}
ALL = [*ORIGINALS, *SHARED]


def coder() -> ChunkCoder:
  return golden_cases.coder(FOLDER / 'model.npz', HybridLayout)


def golden(name: str) -> bytes:
  return (FOLDER / name).read_bytes()


def original(name: str) -> bytes:
  return (FOLDER.parent / SHARED.get(name, FOLDER.name) / f'{name}.original').read_bytes()


def test_nothing_is_left_out():
  golden_cases.check_names(
    FOLDER,
    models=['model'],
    originals=ORIGINALS,
    shared=SHARED,
    written=hybrid_golden.LEVELS,
    broken=golden_cases.BROKEN_SEGMENTS,
  )


def test_the_network_codes_all_of_them():
  for path in FOLDER.glob('*.effort_*.lmic'):
    container = Container(io.BytesIO(path.read_bytes()), path.stat().st_size)
    header = container.header
    spans = range(header.num_head_chunks, header.num_head_chunks + header.num_spans)
    assert header.layout.coding == 4
    assert len(spans) and {container.chunk(index).method for index in spans} == {MODEL}, path.name


@pytest.mark.parametrize('effort', ['effort_1', 'effort_2'])
def test_lags(effort):
  """Two, in the second block of what repeats; the least effort's segments are shorter than a block."""
  data = golden(f'repeats_in_noise_8.{effort}.lmic')
  [group] = segment_bodies.groups_of(Container(io.BytesIO(data), len(data)).chunk(0).body, 1)
  assert group.lags == [1, 1, 1000, 1300]


def test_identity():
  model = coder().model
  assert model is not None and model.identity.hex() == IDENTITY


@pytest.mark.parametrize('effort', hybrid_golden.LEVELS)
@pytest.mark.parametrize('name', ALL)
def test_decodes(name, effort):
  assert lmic_cases.decompressed(golden(f'{name}.{effort}.lmic'), coder()) == original(name)


@pytest.mark.parametrize('effort', hybrid_golden.LEVELS)
@pytest.mark.parametrize('name', ALL)
def test_compresses_to_the_same_bytes(name, effort):
  """Other bytes, even if they decode, are a new version of the format; a frame of version 4 around them is no other."""
  level, expected = hybrid_golden.LEVELS[effort], golden(f'{name}.{effort}.lmic')
  golden_cases.check_sound(original(name), expected, coder(), level)
  assert fixed_files.compressed(original(name), coder(), level) == expected


@pytest.mark.parametrize('name', golden_cases.BROKEN_SEGMENTS)
def test_broken(name):
  golden_cases.check_broken(golden(f'broken_{name}.lmic'), coder(), golden_cases.BROKEN_SEGMENTS[name])


@pytest.mark.parametrize('name', golden_cases.BROKEN_SEGMENTS)
def test_salvage_of_broken_ones(name):
  """It names the same, and puts silence where the segment was."""
  found = golden_cases.salvaged(golden(f'broken_{name}.lmic'), coder(), golden_cases.BROKEN_SEGMENTS[name])
  golden_cases.check_silence(found, original('stereo_16'), 4 * hybrid_golden.NUM_FRAMES)


def test_the_reference_decoder_restores_files_of_segments(tmp_path):
  """As anybody would call it, from the model file alone."""
  packed, expected = FOLDER / 'mono_8.effort_0.lmic', original('mono_8')
  command: list[str | Path] = [sys.executable, '-m', 'reference_decoder', FOLDER / 'model.npz', packed]
  env = {**os.environ, 'PYTHONPATH': str(REPOSITORY / 'docs')}
  assert subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=True).stdout == expected
