"""Files of format version 5 that this and every later version must decode, and what it must say of broken ones."""

import functools
import hashlib
import io
from pathlib import Path

import pytest
from reference_decoder import container as independent_decoder
from reference_decoder.models import read_model
from support import golden_cases, golden_v5, lmic_cases

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.entropy.varints import NumberReader
from language_modeling_is_compression.format.container import LZMA, MODEL, PRIMED, STORED, Container
from language_modeling_is_compression.linear.coder import LinearCoder

FOLDER = Path(__file__).parent / 'v5'
WRITTEN = [(name, coder) for name, coders in golden_v5.WRITTEN.items() for coder in coders]
WRITTEN += [(golden_v5.LONG, coder) for coder in golden_v5.LONG_WRITTEN]
IDENTITIES = {
  'preset_0': '052dbc3d8eb67b0caa34a80c511e82c81d690b5dca53ef8279bfc943887e5511',
  'effort_0': '24fe8ea3c912961e50639dc3dee1e940cf4f5b613cdf1297be9ca239d4100396',
  'bytes': '96e22686d4fac3d86839853464b76f025418a2dd80565e15d11697b8596e5d45',
}
# A list of values is an LZMA stream, which another version of liblzma may make shorter.
BY_LZMA = {'float_32_list'}
WAYS = {'exact': 1, 'scale': 2, 'factor': 3, 'list': 4, 'two_factors': 5}
_SEGMENT = 'chunk 0 (all channels, 0.00 to 0.05 s) is damaged: '
_HEADER = 'its header contradicts itself: no program of this version wrote it'
BROKEN = {
  'flipped_bit_in_a_body': _SEGMENT + 'its checksum is wrong',
  'flipped_bit_in_a_body_its_check_put_right': _SEGMENT + 'what it decodes to is not what was encoded',
  'flipped_bit_in_the_values_its_check_put_right': _SEGMENT + 'what it decodes to is not what was encoded',
  **dict.fromkeys(('unknown_effort', 'unknown_coding', 'unknown_kind'), _HEADER),
  'cut_in_the_segment': 'its end, with the hash of the original, is damaged or cut off',
}


def coder(name: str) -> ChunkCoder:
  return golden_v5.coder(name, FOLDER.parent)


def golden(name: str) -> bytes:
  return (FOLDER / name).read_bytes()


@functools.cache
def original(name: str) -> bytes:
  return golden_v5.long_original() if name == golden_v5.LONG else golden(f'{name}.original')


def container(data: bytes) -> Container:
  return Container(io.BytesIO(data), len(data))


def test_nothing_is_left_out():
  files = {f'{name}.original' for name in golden_v5.WRITTEN} | {f'{name}.{by}.lmic' for name, by in WRITTEN}
  files |= {f'broken_{name}.{by}.lmic' for name in BROKEN for by in golden_v5.BROKEN_WRITTEN}
  assert {path.name for path in FOLDER.iterdir()} == files


def test_every_method_is_there():
  found = set()
  for name, by in WRITTEN:
    file = container(golden(f'{name}.{by}.lmic'))
    found |= {file.chunk(index).method for index in range(file.header.num_chunks)}
  assert found == {STORED, LZMA, MODEL, PRIMED}


@pytest.mark.parametrize(('name', 'by'), [each for each in WRITTEN if each[1] != 'none'])
def test_models_code_all_sound(name, by):
  file = container(golden(f'{name}.{by}.lmic'))
  header = file.header
  kind, _, number = by.partition('_')
  assert header.layout.coding == {'preset': 5, 'effort': 6, 'bytes': 1}[kind]
  assert header.layout.effort == int(number or 0)
  spans = range(header.num_head_chunks, header.num_head_chunks + header.num_audio_chunks)
  assert len(spans) and {file.chunk(index).method for index in spans} == {MODEL}


def test_what_is_around_samples():
  """Canonical surroundings, gaps, and a table of chunks are there, and what has none of them."""
  headers = {name: container(golden(f'{name}.preset_1.lmic')).header for name in ('wav_stereo_16', 'aiff_8', 'gaps_16')}
  assert [header.has_canonical_head for header in headers.values()] == [True, True, False]
  assert [len(header.gaps) for header in headers.values()] == [0, 0, 2]
  assert b'LMICtabl' in golden('long.preset_1.lmic')
  assert b'LMICtabl' not in golden('wav_stereo_16.preset_1.lmic')


@pytest.mark.parametrize('way', WAYS)
def test_ways_of_floats(way):
  file = container(golden(f'float_32_{way}.preset_1.lmic'))
  body = file.chunk(file.header.num_head_chunks).body
  reader = NumberReader(body)
  for _ in range(3):  # Bytes of a sample, of side information, and of the first channel's description.
    reader.read()
  assert body[reader.position] == WAYS[way]


@pytest.mark.parametrize('name', IDENTITIES)
def test_identities(name):
  model = coder(name).model
  assert model is not None and model.identity.hex() == IDENTITIES[name]


def test_the_identity_of_linear_prediction_is_of_its_name():
  assert LinearCoder().identity == hashlib.sha256(b'lmic linear prediction 2').digest()


@pytest.mark.parametrize(('name', 'by'), WRITTEN)
def test_decodes(name, by):
  assert lmic_cases.decompressed(golden(f'{name}.{by}.lmic'), coder(by)) == original(name)


@pytest.mark.parametrize(('name', 'by'), WRITTEN)
def test_compresses_to_the_same_bytes(name, by):
  """Other bytes, even if they decode, are a new version of the format, but for those of DEFLATE and LZMA."""
  expected = container(golden(f'{name}.{by}.lmic'))
  found = container(golden_v5.compressed(name, original(name), by, FOLDER.parent))
  assert found.header == expected.header and found.sha256 == expected.sha256
  for index in range(expected.header.num_chunks):
    one, other = expected.chunk(index), found.chunk(index)
    assert (other.method, other.crc32) == (one.method, one.crc32)
    if one.method not in (LZMA, PRIMED) and name not in BY_LZMA:
      assert other == one


@pytest.mark.parametrize('by', golden_v5.BROKEN_WRITTEN)
@pytest.mark.parametrize('name', BROKEN)
def test_broken(name, by):
  golden_cases.check_broken(golden(f'broken_{name}.{by}.lmic'), coder(by), BROKEN[name])


@pytest.mark.parametrize('by', golden_v5.BROKEN_WRITTEN)
@pytest.mark.parametrize('name', BROKEN)
def test_salvage_of_broken_ones(name, by):
  """It names the same, and puts silence where the segment was."""
  found = golden_cases.salvaged(golden(f'broken_{name}.{by}.lmic'), coder(by), BROKEN[name])
  golden_cases.check_silence(found, original('wav_stereo_16'), 4 * 400)


@pytest.mark.parametrize('by', golden_v5.BROKEN_WRITTEN)
@pytest.mark.parametrize('name', BROKEN)
def test_the_reference_decoder_refuses_broken_ones(name, by):
  model = read_model(FOLDER.parent / 'v4' / 'model.npz')
  with pytest.raises(ValueError, match=r'\w'):
    independent_decoder.decode(golden(f'broken_{name}.{by}.lmic'), model)


@pytest.mark.parametrize(
  'file',
  [
    'wav_stereo_16.preset_0',
    'wav_ten_channels_16.preset_2',
    'wav_primed_head_16.preset_3',
    'aiff_24.preset_1',
    'caf_32.preset_1',
    'au_a_law.preset_1',
    'wav_mu_law.preset_1',
    'gaps_16.preset_1',
    'unpacked_flac.preset_1',
    'float_16_scale.preset_1',
    'float_16_factor.effort_1',
    'float_32_scale.preset_1',
    'float_32_list.preset_1',
    'float_64_factor.preset_1',
    'drawn_8.bytes',
    'text.none',
    'empty.none',
    'aiff_8.effort_1',
    'sphere_16.effort_1',
    'wav_stereo_16.effort_2',
  ],
)
def test_the_reference_decoder_restores_them(file):
  name, by = file.split('.')
  model = read_model(FOLDER.parent / ('v1/model-8.npz' if by == 'bytes' else 'v4/model.npz'))
  assert independent_decoder.decode(golden(f'{file}.lmic'), model) == original(name)
