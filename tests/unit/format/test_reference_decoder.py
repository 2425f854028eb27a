"""docs/FORMAT.md suffices for the frame of version 5: a decoder written from it gives back what the package wrote."""

import dataclasses
import hashlib
import io
from typing import Any

import numpy as np
import pytest
from reference_decoder import container as independent_decoder
from reference_decoder import samples as independent_samples
from reference_decoder.models import read_model
from support import hybrid_cases, lmic_cases, tiny_models
from support.reference_networks import as_lists

from language_modeling_is_compression.audio.pcm import WIDTHS, PcmFormat, SampleKind, raw_from_integers
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.reading import read_payloads
from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.errors import LmicError
from language_modeling_is_compression.format.container import ContainerWriter
from language_modeling_is_compression.format.header import MODEL_ID_BYTES, NO_MODEL, Gap, Header
from language_modeling_is_compression.format.layout import (
  ChannelLayout,
  HybridLayout,
  LinearLayout,
  SegmentLayout,
  StartedHybridLayout,
  StartedLinearLayout,
)
from language_modeling_is_compression.format.surroundings import USUAL_TEXT, canonical
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.numbers.companding import linear_values
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.loading import load_coder
from language_modeling_is_compression.quantized.segments import EnsembleCoder

COMPANDED = [SampleKind.A_LAW, SampleKind.MU_LAW]
SECOND = hybrid_cases.random_network()
FOURTH = hybrid_cases.random_network(2, width=4, num_heads=1, num_layers=1, window=2, experts=LINEAR_EXPERTS)
INTEGERS = [
  (kind, sample_bytes, is_big_endian)
  for kind in (SampleKind.SIGNED, SampleKind.UNSIGNED)
  for sample_bytes in WIDTHS[kind]
  for is_big_endian in (False, True)
]


def _in_pairs(kind: SampleKind, sample_bytes: int, is_big_endian: bool, preset: int) -> bool:
  """One preset of four for each kind, width and order, so that each of these meets all presets."""
  return preset == (sample_bytes + 2 * is_big_endian + (kind == SampleKind.UNSIGNED)) % 4


def pcm_of(kind: SampleKind, sample_bytes: int, channels: int = 1, *, is_big_endian: bool = False) -> PcmFormat:
  return PcmFormat(
    kind=kind,
    sample_bytes=sample_bytes,
    num_channels=channels,
    sample_rate_hz=8000,
    is_big_endian=is_big_endian,
  )


def frames_of(pcm: PcmFormat, num_frames: int) -> bytes:
  """Frames as a file has them: a tone that no other method codes as well as linear prediction does."""
  tone = hybrid_cases.tone(num_frames, channels=pcm.num_channels)
  if pcm.is_integer:
    scaled = (tone.astype(np.int64) << 8 * pcm.sample_bytes >> 16).astype(np.int32)
    return raw_from_integers(scaled, pcm).tobytes()
  if pcm.kind == SampleKind.FLOAT:
    return (tone / 32768).astype(pcm.stored_type('f')).tobytes()
  values = linear_values(pcm.kind)
  nearest = np.abs(values[None, None] - tone[:, :, None] // 4).argmin(axis=2)
  return nearest.astype(np.uint8).tobytes()


def header_of(pcm: PcmFormat, num_frames: int, **changes) -> Header:
  """Of frames alone, in segments that linear prediction codes."""
  header = Header(
    pcm=pcm,
    chunk_frames=num_frames,
    head_bytes=0,
    num_frames=num_frames,
    tail_bytes=0,
    model_id=LinearLayout.model_id[:MODEL_ID_BYTES],
    source_id=b'abcd',
    layout=LinearLayout(effort=0),
  )
  return dataclasses.replace(header, **changes)


def packed(original: bytes, header: Header, coder: ChunkCoder) -> bytes:
  target, sha256 = io.BytesIO(), hashlib.sha256()
  writer = ContainerWriter(target, header)
  for chunk in coder.encode(read_payloads(io.BytesIO(original), 'the original', header, sha256.update)):
    writer.add(chunk)
  writer.finish(sha256.digest())
  assert sha256.digest() == hashlib.sha256(original).digest()
  return target.getvalue()


def linear() -> ChunkCoder:
  return ChunkCoder(LinearCoder(LinearLayout))


def started_of(pcm: PcmFormat, num_frames: int, preset: int = 0, **changes) -> Header:
  """The same of linear prediction that begins as side information says."""
  layout = StartedLinearLayout(effort=preset)
  return header_of(pcm, num_frames, model_id=layout.model_id[:MODEL_ID_BYTES], layout=layout, **changes)


def started() -> ChunkCoder:
  return ChunkCoder(LinearCoder())


def methods(data: bytes) -> list[int]:
  return [chunk.method for chunk in independent_decoder.parse(data).chunks]


@pytest.mark.parametrize(('kind', 'sample_bytes', 'is_big_endian'), INTEGERS)
def test_decodes_integers(kind, sample_bytes, is_big_endian):
  pcm = pcm_of(kind, sample_bytes, 2, is_big_endian=is_big_endian)
  original = frames_of(pcm, 200)
  data = packed(original, header_of(pcm, 200), linear())
  assert methods(data) == [independent_decoder.MODEL]
  assert independent_decoder.decode(data, None) == original


@pytest.mark.parametrize(('kind', 'sample_bytes', 'is_big_endian'), [*INTEGERS, (SampleKind.FLOAT, 8, True)])
def test_decodes_channels_without_a_model(kind, sample_bytes, is_big_endian):
  pcm = pcm_of(kind, sample_bytes, 3, is_big_endian=is_big_endian)
  original = frames_of(pcm, 50)
  header = header_of(pcm, 50, chunk_frames=20, model_id=NO_MODEL, layout=ChannelLayout())
  assert independent_decoder.decode(packed(original, header, ChunkCoder(None)), None) == original


@pytest.mark.parametrize('kind', COMPANDED)
def test_decodes_companded_samples(kind):
  """All 256 characters among them."""
  pcm = pcm_of(kind, 1)
  original = frames_of(pcm, 400) + bytes(range(256))
  data = packed(original, header_of(pcm, 656), linear())
  assert methods(data) == [independent_decoder.MODEL]
  assert independent_decoder.decode(data, None) == original


@pytest.mark.parametrize(('sample_bytes', 'is_big_endian'), [(2, False), (2, True), (4, False), (4, True), (8, True)])
def test_decodes_floats_in_segments(sample_bytes, is_big_endian):
  """Integers of 16 bits divided, and one that is no number."""
  pcm = pcm_of(SampleKind.FLOAT, sample_bytes, 2, is_big_endian=is_big_endian)
  values = np.frombuffer(frames_of(pcm, 300), pcm.stored_type('f')).copy()
  values[77] = np.nan
  data = packed(values.tobytes(), header_of(pcm, 300, chunk_frames=200), linear())
  assert methods(data) == [independent_decoder.MODEL] * 2
  assert independent_decoder.decode(data, None) == values.tobytes()


# Of all combinations each two of their values meet in those that are not slow.
@pytest.mark.parametrize(
  ('kind', 'sample_bytes', 'is_big_endian', 'preset'),
  [
    pytest.param(*integers, preset, marks=[] if _in_pairs(*integers, preset) else pytest.mark.slow)
    for integers in INTEGERS
    for preset in range(4)
  ],
)
def test_decodes_integers_in_coding_5(kind, sample_bytes, is_big_endian, preset):
  pcm = pcm_of(kind, sample_bytes, 2, is_big_endian=is_big_endian)
  original = frames_of(pcm, 100)
  data = packed(original, started_of(pcm, 100, preset, chunk_frames=70), started())
  assert methods(data) == [independent_decoder.MODEL] * 2
  assert independent_decoder.decode(data, None) == original


@pytest.mark.parametrize('kind', COMPANDED)
def test_decodes_companded_samples_in_coding_5(kind):
  pcm = pcm_of(kind, 1)
  original = frames_of(pcm, 400) + bytes(range(256))
  data = packed(original, started_of(pcm, 656), started())
  assert methods(data) == [independent_decoder.MODEL]
  assert independent_decoder.decode(data, None) == original


@pytest.mark.parametrize(('sample_bytes', 'is_big_endian'), [(2, False), (2, True), (4, False), (4, True), (8, True)])
def test_decodes_floats_in_coding_5(sample_bytes, is_big_endian):
  pcm = pcm_of(SampleKind.FLOAT, sample_bytes, 2, is_big_endian=is_big_endian)
  values = np.frombuffer(frames_of(pcm, 300), pcm.stored_type('f')).copy()
  values[77] = np.nan
  data = packed(values.tobytes(), started_of(pcm, 300, 1, chunk_frames=200), started())
  assert methods(data) == [independent_decoder.MODEL] * 2
  assert independent_decoder.decode(data, None) == values.tobytes()


@pytest.mark.parametrize('coding', [5, 6])
@pytest.mark.parametrize(
  'change',
  [
    pytest.param(lambda body: body[:-1], id='an end cut off'),
    pytest.param(lambda body: body + b'word', id='a word more'),
    pytest.param(lambda body: bytes([body[0] ^ 1]) + body[1:], id='another header'),
    pytest.param(lambda body: body[:-6] + bytes([body[-6] ^ 16]) + body[-5:], id='another code'),
  ],
)
def test_refuses_damaged_bodies_of_codings_5_and_6(coding, change):
  """In a frame whose checks are right."""
  pcm = pcm_of(SampleKind.SIGNED, 2)
  original, header, coder = frames_of(pcm, 60), started_of(pcm, 60), started()
  if coding == 6:
    model = HybridCoder(FOURTH)
    layout, coder = StartedHybridLayout(effort=0), ChunkCoder(model)
    header = header_of(pcm, 60, model_id=model.identity[:MODEL_ID_BYTES], layout=layout)
  data = packed(original, header, coder)
  assert independent_decoder.decode(data, None, as_lists(FOURTH)) == original
  changed = lmic_cases.with_changed_body(data, 0, change)
  with pytest.raises(ValueError, match=r'\w'):
    independent_decoder.decode(changed, None, as_lists(FOURTH))
  with pytest.raises(LmicError):
    lmic_cases.decompressed(changed, coder)


@pytest.mark.parametrize('kind', COMPANDED)
def test_companded_values_are_those_of_the_package(kind):
  assert [independent_samples.companded_value(byte, kind) for byte in range(256)] == linear_values(kind).tolist()


@pytest.mark.parametrize('kind', [SampleKind.SIGNED, SampleKind.A_LAW])
@pytest.mark.parametrize(
  ('coder', 'layout', 'network'),
  [
    pytest.param(EnsembleCoder(SECOND), SegmentLayout(effort=1), SECOND, id='coding 2'),
    pytest.param(HybridCoder(FOURTH, HybridLayout), HybridLayout(effort=2), FOURTH, id='coding 4'),
    pytest.param(HybridCoder(FOURTH), StartedHybridLayout(effort=0), FOURTH, id='coding 6, effort 0'),
    pytest.param(HybridCoder(FOURTH), StartedHybridLayout(effort=2), FOURTH, id='coding 6, effort 2'),
  ],
)
def test_decodes_segments_of_networks(coder, layout, network, kind):
  pcm = pcm_of(kind, 2 if kind == SampleKind.SIGNED else 1)
  num_frames = 150 * (1 if kind == SampleKind.SIGNED else 4)  # It takes more to be below 8 bits a sample.
  original = frames_of(pcm, num_frames)
  model_id = coder.identity[:MODEL_ID_BYTES]
  header = header_of(pcm, num_frames, chunk_frames=num_frames - 50, model_id=model_id, layout=layout)
  data = packed(original, header, ChunkCoder(coder))
  assert independent_decoder.MODEL in methods(data)
  assert independent_decoder.decode(data, None, as_lists(network)) == original


def test_decodes_channels_of_a_byte_model(tmp_path):
  """It is sure of the first byte of every sample, and does not know the second."""
  sizes = ModelConfig(embedding_dim=1, num_layers=1, num_heads=1, widening_factor=1, attention_window=1)
  params: Any = tiny_models.random_params(build_transformer(sizes, DataConfig()), scale=0.0)
  params['~']['output_bias'] = np.where(np.arange(256) == 128, np.float32(10), np.float32(0))
  path = tmp_path / 'model.npz'
  save_model(path, ByteModel(params=params, spec=ByteSpec(network=sizes, data=DataConfig()), provenance={}))
  coder = load_coder(str(path), 'cpu')
  pcm = pcm_of(SampleKind.SIGNED, 2, 2, is_big_endian=True)
  original = np.random.default_rng(0).integers(0, 256, 200).astype('>i2').tobytes()
  header = header_of(pcm, 100, chunk_frames=50, model_id=coder.identity[:MODEL_ID_BYTES], layout=ChannelLayout())
  data = packed(original, header, ChunkCoder(coder, model_only=True))
  assert methods(data) == [independent_decoder.MODEL] * 4
  model = read_model(path)
  assert independent_decoder.decode(data, model) == original
  other = model._replace(params={**model.params, '~': {**model.params['~'], 'output_bias': np.zeros(256, np.float32)}})
  with pytest.raises(ValueError, match='needs model'):
    independent_decoder.decode(data, other)


def wav_around(pcm: PcmFormat, num_frames: int) -> tuple[bytes, Header]:
  """A canonical WAV and its header."""
  head, tail = canonical('WAV', pcm, num_frames)
  header = header_of(
    pcm,
    num_frames,
    model_id=NO_MODEL,
    layout=ChannelLayout(),
    container='WAV',
    has_canonical_head=True,
    head_bytes=len(head),
    tail_bytes=len(tail),
  )
  return head + frames_of(pcm, num_frames) + tail, header


@pytest.mark.parametrize(
  ('kind', 'sample_bytes', 'channels'),
  [
    pytest.param(SampleKind.UNSIGNED, 1, 1, id='pad byte'),
    pytest.param(SampleKind.UNSIGNED, 1, 3, id='pad byte, extended'),
    pytest.param(SampleKind.SIGNED, 2, 2, id='16 bits'),
    pytest.param(SampleKind.SIGNED, 3, 1, id='pad byte, 24 bits'),
    pytest.param(SampleKind.SIGNED, 3, 2, id='24 bits'),
    pytest.param(SampleKind.FLOAT, 4, 2, id='floats'),
    pytest.param(SampleKind.FLOAT, 8, 3, id='floats, extended'),
  ],
)
def test_makes_canonical_surroundings(kind, sample_bytes, channels):
  original, header = wav_around(pcm_of(kind, sample_bytes, channels), 31)
  data = packed(original, header, ChunkCoder(None))
  assert len(methods(data)) == channels
  assert independent_decoder.decode(data, None) == original


def test_decodes_a_canonical_wav_with_a_table():
  pcm = pcm_of(SampleKind.SIGNED, 2)
  head, _ = canonical('WAV', pcm, 1 << 17)
  header = header_of(pcm, 1 << 17, head_bytes=len(head), container='WAV', has_canonical_head=True, chunk_frames=1 << 16)
  original = head + bytes(1 << 18)
  data = packed(original, header, linear())
  assert b'LMICtabl' in data
  assert independent_decoder.decode(data, None) == original


@pytest.mark.parametrize('original_bytes', [(1 << 18) - 1, 1 << 18])
def test_a_file_has_a_table_from_256_kib_on(original_bytes):
  original = bytes(original_bytes - 3) + b'end'
  header = header_of(pcm_of(SampleKind.NONE, 0, 0), 0, head_bytes=len(original), model_id=NO_MODEL)
  header = dataclasses.replace(header, layout=ChannelLayout(), pcm=dataclasses.replace(header.pcm, sample_rate_hz=0))
  data = packed(original, header, ChunkCoder(None))
  assert (b'LMICtabl' in data) == (original_bytes >= 1 << 18)
  assert independent_decoder.decode(data, None) == original


def test_decodes_several_pieces():
  """Of 2^24 bytes; the gap stands in the second one, behind the rest of the head."""
  pcm = pcm_of(SampleKind.SIGNED, 2)
  head, gap, tail = bytes((1 << 24) + 5), b'gap', bytes((1 << 24) + 1)
  frames = frames_of(pcm, 20)
  header = header_of(pcm, 20, head_bytes=len(head), tail_bytes=len(tail), gaps=(Gap(7, 3),))
  original = head + frames[:14] + gap + frames[14:] + tail
  data = packed(original, header, linear())
  assert len(methods(data)) == 5
  assert independent_decoder.decode(data, None) == original


@pytest.mark.parametrize('head', [b'', b'the head'])
@pytest.mark.parametrize('layout', [ChannelLayout(), LinearLayout(effort=0)])
def test_decodes_gaps(layout, head):
  """Within a span, two of them, and where one span ends and the next one begins."""
  pcm = pcm_of(SampleKind.SIGNED, 2, 2)
  frames = frames_of(pcm, 90)
  gaps = (Gap(1, 2), Gap(17, 1), Gap(18, 5), Gap(30, 3), Gap(89, 4))
  original, first = head, 0
  for gap in gaps:
    original += frames[4 * first : 4 * gap.frame] + bytes([gap.frame]) * gap.num_bytes
    first = gap.frame
  original += frames[4 * first :] + b'the tail'
  header = header_of(pcm, 90, chunk_frames=30, head_bytes=len(head), tail_bytes=8, gaps=gaps, layout=layout)
  if isinstance(layout, ChannelLayout):
    header = dataclasses.replace(header, model_id=NO_MODEL)
  assert independent_decoder.decode(packed(original, header, linear()), None) == original


@pytest.mark.parametrize('container', ['none', 'WAV'])
def test_decodes_pieces_that_resemble_the_dictionary(container):
  """The head is nearly that of a WAV, which is in the dictionary; the tail has usual text."""
  pcm = pcm_of(SampleKind.SIGNED, 3)
  frames = frames_of(pcm, 31)
  head, pad = canonical('WAV', pcm, 31)
  tail = pad + b'LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf58.76.100\0'
  header = header_of(pcm, 31, head_bytes=len(head) + 2, tail_bytes=len(tail), container=container)
  original = head[:36] + b'\1\2' + head[36:] + frames + tail
  data = packed(original, header, linear())
  assert methods(data)[0] == methods(data)[-1] == independent_decoder.PRIMED
  assert independent_decoder.decode(data, None) == original


def test_usual_text_is_that_of_the_package():
  assert independent_samples.USUAL == USUAL_TEXT


def test_decodes_no_frames_between_head_and_tail():
  pcm = pcm_of(SampleKind.SIGNED, 2)
  header = header_of(pcm, 0, chunk_frames=5, head_bytes=3, tail_bytes=4)
  data = packed(b'abcdefg', header, linear())
  assert independent_decoder.decode(data, None) == b'abcdefg'


def damaged_files() -> dict[str, bytes]:
  pcm = pcm_of(SampleKind.SIGNED, 2)
  gaps = header_of(pcm, 60, chunk_frames=40, head_bytes=4, tail_bytes=4, gaps=(Gap(9, 1),))
  frames = frames_of(pcm, 60)
  original, canonical_header = wav_around(pcm_of(SampleKind.UNSIGNED, 1), 31)
  table = header_of(pcm, 1 << 17, chunk_frames=1 << 16)
  return {
    'gaps': packed(b'head' + frames[:18] + b'g' + frames[18:] + b'tail', gaps, linear()),
    'canonical': packed(original, canonical_header, ChunkCoder(None)),
    'table': packed(bytes(1 << 18), table, linear()),
  }


@pytest.mark.parametrize('name', ['gaps', 'canonical', 'table'])
def test_refuses_every_damaged_byte(name):
  data = damaged_files()[name]
  damaged = [data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :] for at in range(len(data))]
  for each in [*damaged, data[:-1], data + b'x', b'']:
    with pytest.raises(ValueError, match=r'\w'):
      independent_decoder.parse(each)
