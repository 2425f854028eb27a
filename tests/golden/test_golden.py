"""Files that this and every later version must decode, and what it must say of broken ones."""

import io
from pathlib import Path

import pytest
from reference_decoder import container as independent_decoder
from reference_decoder.models import read_model
from support import golden_cases, lmic_cases

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.format.container import LZMA, MODEL, STORED, Container

FOLDER = Path(__file__).parent / 'v1'
MODELS = {
  'model-8': '96e22686d4fac3d86839853464b76f025418a2dd80565e15d11697b8596e5d45',
  'model-16': 'd1ebfa353749ebce7d4c2c05c0974f2e98d2332ac01ff7013fa44beffacca5be',
}
ORIGINALS = [
  'drawn_8',
  'drawn_16',
  'drawn_24',
  'mono_8',
  'mono_16',
  'stereo_24',
  'float_32',
  'no_WAV',
  'empty',
]
FIRST_CHANNEL = 'chunk 1 (channel 0, 0.00 to 0.02 s) is damaged: '
NO_END = 'its end, with the table of chunks, is damaged or cut off'
BROKEN = {
  'another_version': 'it is of format version 257, this program reads versions 1, 2, 3, 4 and 5: update it',
  'bytes_appended': '8 bytes follow its end',
  'bytes_inserted': 'it has 8 bytes more than its table of chunks says, '
  'chunk 3 (bytes after the samples) is the first that is not in its place',
  'contradicting_header': 'its header contradicts itself: no program of this version wrote it',
  'cut_in_the_header': 'its header is damaged or cut off, and so is the copy at the end: '
  'nothing can be decoded without it',
  'cut_in_the_middle': f'{NO_END}; chunk 2 (channel 1, 0.00 to 0.02 s) is the first that is not there',
  'empty': 'not a .lmic file: it is empty',
  'flipped_bit_at_the_end': NO_END,
  'flipped_bit_in_a_body': FIRST_CHANNEL + 'its checksum is wrong',
  'flipped_bit_in_a_body_its_check_put_right': FIRST_CHANNEL + 'what it decodes to is not what was encoded',
  'flipped_bit_in_a_record': FIRST_CHANNEL + 'its checksum is wrong',
  'flipped_bit_in_the_hash_its_check_put_right': 'every chunk is sound, but together they are not the file that was '
  'compressed',
  'flipped_bit_in_the_header': 'its header is damaged (a copy of it at the end is not)',
  'the_original': r"not a .lmic file: it begins with b'RIFF\x8a\x02\x00\x00'",
}


def coder(model: str) -> ChunkCoder:
  return golden_cases.coder(FOLDER / f'{model}.npz')


def golden(name: str) -> bytes:
  return (FOLDER / name).read_bytes()


def test_nothing_is_left_out():
  golden_cases.check_names(FOLDER, models=MODELS, originals=ORIGINALS, written=MODELS, broken=BROKEN)


def test_every_method_is_there():
  methods = set()
  for path in FOLDER.glob('*.model-*.lmic'):
    container = Container(io.BytesIO(path.read_bytes()), path.stat().st_size)
    methods |= {container.chunk(index).method for index in range(container.header.num_chunks)}
  assert methods == {STORED, LZMA, MODEL}


@pytest.mark.parametrize('model', MODELS)
def test_identity(model):
  found = coder(model).model
  assert found is not None and found.identity.hex() == MODELS[model]


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('name', ORIGINALS)
def test_decodes(name, model):
  assert lmic_cases.decompressed(golden(f'{name}.{model}.lmic'), coder(model)) == golden(f'{name}.original')


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('name', ORIGINALS)
def test_compresses_sound_to_the_same_bytes(name, model):
  """Other bytes, even if they decode, are a new version of the format."""
  level = LEVELS[DEFAULT_LEVEL].segments
  golden_cases.check_sound(golden(f'{name}.original'), golden(f'{name}.{model}.lmic'), coder(model), level)


@pytest.mark.parametrize(('name', 'model'), [('drawn_8', 'model-8'), ('drawn_24', 'model-16')])
def test_the_independent_decoder_agrees(name, model):
  data = golden(f'{name}.{model}.lmic')
  assert independent_decoder.decode(data, read_model(FOLDER / f'{model}.npz')) == golden(f'{name}.original')


@pytest.mark.parametrize('name', BROKEN)
def test_broken(name):
  golden_cases.check_broken(golden(f'broken_{name}.lmic'), coder('model-16'), BROKEN[name])


@pytest.mark.parametrize('name', BROKEN)
def test_salvage_of_broken_ones(name):
  """Where it says anything of the file at all, it names the same, and what it writes is sound but for the gap."""
  found = golden_cases.salvaged(golden(f'broken_{name}.lmic'), coder('model-16'), BROKEN[name])
  if found is None:
    return
  original = golden('drawn_16.original')
  if name not in ('cut_in_the_middle', 'bytes_inserted') and 'flipped_bit_in_a' not in name:
    assert found == original
  elif name != 'cut_in_the_middle':
    different = [index for index, both in enumerate(zip(found, original, strict=True)) if len({*both}) > 1]
    assert different and len(different) <= 2 * 150  # One channel.
