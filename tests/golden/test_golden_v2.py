"""Files of format version 2 that this and every later version must decode, and what it must say of broken ones."""

import functools
import io
from pathlib import Path

import hybrid_golden
import lmic_cases
import numpy as np
import pytest

from language_modeling_is_compression import codec
from language_modeling_is_compression.chunk_coder import ChunkCoder
from language_modeling_is_compression.container import MODEL, Container
from language_modeling_is_compression.errors import DamageError, FormatError
from language_modeling_is_compression.inference.loading import load_predictor

FOLDER = Path(__file__).parent / 'v2'
IDENTITY = 'bd5d9383f7e7e694fa9befdad8a1acd4028bbce12a11363a4e1acfb0cdc435c7'
ORIGINALS = [
  'mono_8',
  'stereo_16',
  'louder_16',
  'one_channel_silent_16',
  'stereo_24',
  'mono_16_in_24',
  'mono_32',
  'ten_channels_16',
]
SEGMENT = 'chunk 1 (all channels, 0.00 to 0.07 s) is damaged: '
NOT_WHAT_WAS_ENCODED = SEGMENT + 'what it decodes to is not what was encoded'
BROKEN = {
  'cut_in_the_segment': 'its end, with the table of chunks, is damaged or cut off; '
  'chunk 2 (bytes after the samples) is the first that is not there',
  'flipped_bit_in_a_body': SEGMENT + 'its checksum is wrong',
  'flipped_bit_in_a_body_its_check_put_right': NOT_WHAT_WAS_ENCODED,
  'flipped_bit_in_the_values_its_check_put_right': NOT_WHAT_WAS_ENCODED,
  **dict.fromkeys(
    ('plain_head_of_another_length', 'unknown_effort', 'unknown_flag'),
    'its header contradicts itself: no program of this version wrote it',
  ),
}


@functools.cache
def coder() -> ChunkCoder:
  return ChunkCoder(load_predictor(str(FOLDER / 'model.npz'), 'cpu'))


def golden(name: str) -> bytes:
  return (FOLDER / name).read_bytes()


def test_nothing_is_left_out():
  files = {'model.npz', *(f'{name}.original' for name in ORIGINALS), *(f'broken_{name}.lmic' for name in BROKEN)}
  files |= {f'{name}.{effort}.lmic' for name in ORIGINALS for effort in hybrid_golden.LEVELS}
  assert {path.name for path in FOLDER.iterdir()} == files


def test_the_network_codes_all_of_them():
  for path in FOLDER.glob('*.effort_*.lmic'):
    container = Container(io.BytesIO(path.read_bytes()), path.stat().st_size)
    header = container.header
    spans = range(header.num_head_chunks, header.num_head_chunks + header.num_spans)
    assert len(spans) and {container.chunk(index).method for index in spans} == {MODEL}, path.name


def test_plain_heads():
  """Of both lengths, and heads that are not plain."""
  heads = {}
  for name in ORIGINALS:
    data = golden(f'{name}.effort_1.lmic')
    header = Container(io.BytesIO(data), len(data)).header
    heads[name] = header.head_bytes if header.plain_head else None
  plain = {'mono_8': 44, 'louder_16': 44, 'one_channel_silent_16': 44, 'ten_channels_16': 68}
  assert heads == dict.fromkeys(ORIGINALS) | plain


def test_identity():
  predictor = coder().predictor
  assert predictor is not None and predictor.identity.hex() == IDENTITY


@pytest.mark.parametrize('effort', hybrid_golden.LEVELS)
@pytest.mark.parametrize('name', ORIGINALS)
def test_decodes(name, effort):
  assert lmic_cases.decompressed(golden(f'{name}.{effort}.lmic'), coder()) == golden(f'{name}.original')


@pytest.mark.parametrize('effort', hybrid_golden.LEVELS)
@pytest.mark.parametrize('name', ORIGINALS)
def test_compresses_to_the_same_bytes(name, effort):
  """Other bytes, even if they decode, are a new version of the format."""
  level = hybrid_golden.LEVELS[effort]
  assert lmic_cases.compressed(golden(f'{name}.original'), coder(), level) == golden(f'{name}.{effort}.lmic')


@pytest.mark.parametrize('name', BROKEN)
def test_broken(name):
  with pytest.raises(FormatError) as caught:
    lmic_cases.decompressed(golden(f'broken_{name}.lmic'), coder())
  assert str(caught.value) == BROKEN[name]
  assert isinstance(caught.value, DamageError) == BROKEN[name].startswith('chunk')


@pytest.mark.parametrize('name', BROKEN)
def test_salvage_of_broken_ones(name):
  """It names the same, and puts silence where the segment was."""
  data, target = golden(f'broken_{name}.lmic'), io.BytesIO()
  try:
    container = Container(io.BytesIO(data), len(data))
  except FormatError as error:
    assert str(error) == BROKEN[name]
    return
  assert codec.salvage(container, target, coder())[0] == BROKEN[name]
  samples = 4 * hybrid_golden.NUM_FRAMES
  written, original = target.getvalue(), golden('stereo_16.original')
  start = original.index(b'data') + 8
  assert written[:start] == original[:start]
  assert not np.frombuffer(written[start : start + samples], np.uint8).any()
