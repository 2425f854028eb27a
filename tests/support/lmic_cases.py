"""Small .lmic files, ways to damage them, and what must hold whatever is read: for tests and fuzzers."""

import contextlib
import dataclasses
import functools
import hashlib
import io
import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.errors import LmicError
from language_modeling_is_compression.format.container import Container, ContainerWriter
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.quantize import quantize_byte_model
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from support import hybrid_cases
from support.tiny_models import random_params
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes

_HEADER_BYTES = 100
_RECORD_BYTES = 21
_SHORT_SEGMENTS = SegmentSettings(frames=500, effort=0)


class Case(NamedTuple):
  """A file, what it is compressed to, and the coder that does it."""

  original: bytes
  data: bytes
  by: ChunkCoder


def tiny_model(*, use_16bit: bool, seed: int = 0) -> ByteModel:
  """A model whose distributions are far from uniform, and cheap."""
  model = ModelConfig(embedding_dim=8, num_layers=2, num_heads=2, widening_factor=2, attention_window=4)
  data = DataConfig(use_16bit=use_16bit, chunk_size=16)
  drawn = random_params(build_transformer(model, data), seed)
  params = {module: {name: np.asarray(array) for name, array in arrays.items()} for module, arrays in drawn.items()}
  return ByteModel(params=params, spec=ByteSpec(network=model, data=data), provenance={})


def tiny_coder(*, use_16bit: bool = True, lanes: int = 4) -> ChunkCoder:
  return ChunkCoder(ByteCoder(CpuPredictor(quantize_byte_model(tiny_model(use_16bit=use_16bit)))), lanes)


def compressed(original: bytes, by: ChunkCoder, level: SegmentSettings = LEVELS[DEFAULT_LEVEL].segments) -> bytes:
  target = io.BytesIO()
  file_codec.compress(io.BytesIO(original), target, by, segments=level)
  return target.getvalue()


def decompressed(data: bytes, by: ChunkCoder) -> bytes:
  target = io.BytesIO()
  file_codec.decompress(Container(io.BytesIO(data), len(data)), target, by)
  return target.getvalue()


def small_originals() -> dict[str, bytes]:
  """Files of a few hundred bytes, of every kind that the format knows."""
  rng = np.random.default_rng(0)
  waves = np.round(6000 * np.sin(0.1 * np.arange(60)[:, None] + [0, 1]) + rng.normal(0, 50, (60, 2))).astype(np.int64)
  return {
    'mono 16': build_wav(pcm_bytes(waves[:, :1], 16), channels=1),
    'stereo 24': build_wav(pcm_bytes(waves * 256 + 7, 24), channels=2, bits=24) + b'trailing junk',
    'mono 8': build_wav(pcm_bytes(waves[:, :1] >> 8, 8), channels=1, bits=8),
    'float 32': build_wav((waves / 32768).astype('<f4').tobytes(), channels=2, bits=32, tag=IEEE_FLOAT),
    'no WAV': b'This is not audio. ' * 20,
    'empty': b'',
  }


def segment_originals() -> dict[str, bytes]:
  """Small files of all that a segment's headers tell apart: widths, steps, maps, groups, channels of one value."""
  rng = np.random.default_rng(1)
  # Segments are of so many frames at most that what is longer has two.
  sines = 6000 * np.sin(0.07 * np.arange(600)[:, None] + [0, 0.4]) + rng.normal(0, 30, (600, 2))
  long = np.round(sines).astype(np.int64)
  waves = long[:60]
  louder = np.round(1.9968 * rng.laplace(0, 30, (500, 1)).round()).astype(np.int64)
  many = np.concatenate([waves // (index + 1) for index in range(5)], axis=1)
  return {
    'mono 8': build_wav(pcm_bytes(long[:, :1] >> 8, 8), channels=1, bits=8),
    'stereo 16': build_wav(pcm_bytes(waves, 16), channels=2, trailer=b'odd'),
    'stereo 24, one silent': build_wav(pcm_bytes(waves * np.array([256, 0]), 24), channels=2, bits=24),
    'mono 32': build_wav(pcm_bytes(waves[:, :1] * 65_536 + rng.integers(0, 999, (60, 1)), 32), bits=32),
    'few values 16': build_wav(pcm_bytes(louder, 16)),
    'ten channels 16': build_wav(pcm_bytes(many, 16), channels=10),
  }


def check_reading(data: bytes, original: bytes, *, may_differ: bool, by: ChunkCoder) -> None:
  """Reads a file in every way. Raises AssertionError if anything but our errors leaves, or a wrong file passes.

  may_differ: somebody put the checksums right, so that only the SHA-256 of the whole says what it was.
  """
  try:
    container = Container(io.BytesIO(data), len(data))
  except LmicError:
    return
  try:
    wrong = file_codec.find_damage(container, by)
    salvaged = io.BytesIO()
    assert file_codec.salvage(container, salvaged, by) == wrong
  except LmicError:
    wrong = ['another model']
  target = io.BytesIO()
  try:
    file_codec.decompress(container, target, by)
  except LmicError:
    assert wrong, 'a test finds nothing, and yet it cannot be decompressed'
  else:
    assert not wrong
    assert target.getvalue() == salvaged.getvalue()
    assert hashlib.sha256(target.getvalue()).digest() == container.sha256
    assert may_differ or target.getvalue() == original
  with contextlib.suppress(LmicError):
    file_codec.decompress_span(container, io.BytesIO(), by, 0.001, 0.002)


def sealed(data: bytes) -> bytes:
  """The same file with the checks of header, chunks and footer put right, as far as they can be found."""
  if len(data) < _HEADER_BYTES:
    return bytes(data)
  changed = bytearray(data)
  changed[92:100] = _check(b'', bytes(changed[:92]))
  key, header = bytes(changed[92:100]), bytes(changed[:_HEADER_BYTES])
  position = _HEADER_BYTES
  while position + _RECORD_BYTES <= len(changed) and changed[position : position + 8] != b'LMICtabl':
    size = struct.unpack_from('<I', changed, position + 5)[0]
    body = position + _RECORD_BYTES
    if body + size > len(changed):
      break
    changed[position + 13 : body] = _check(key, bytes(changed[position : position + 13] + changed[body : body + size]))
    position = body + size
  if changed[position : position + 8] == b'LMICtabl' and len(changed) >= position + 164:
    changed[position + 8 : position + 108] = header
    changed[-16:-8] = _check(key, bytes(changed[position:-16]))
  return bytes(changed)


def with_changed_body(data: bytes, index: int, change: Callable[[bytes], bytes]) -> bytes:
  """A sound file with another body in one of its chunks, and all sizes and checks as if that were right."""
  container, target = Container(io.BytesIO(data), len(data)), io.BytesIO()
  assert container.sha256, 'not a sound file'
  writer = ContainerWriter(target, container.header)
  for number in range(container.header.num_chunks):
    chunk = container.chunk(number)
    writer.add(dataclasses.replace(chunk, body=change(chunk.body)) if number == index else chunk)
  writer.finish(container.sha256)
  return target.getvalue()


def _check(key: bytes, data: bytes) -> bytes:
  return hashlib.blake2b(data, digest_size=8, key=key).digest()


@functools.cache
def coder() -> ChunkCoder:
  """The coder of `cases`."""
  return tiny_coder()


@functools.cache
def cases() -> list[Case]:
  """Of format version 1."""
  return [Case(original, compressed(original, coder()), coder()) for original in small_originals().values()]


@functools.cache
def segment_cases() -> list[Case]:
  """Of format version 2; its first use compiles for half a minute when the package has changed."""
  by = ChunkCoder(EnsembleCoder(hybrid_cases.random_network()), lanes=4)
  return [Case(original, compressed(original, by, _SHORT_SEGMENTS), by) for original in segment_originals().values()]


@functools.cache
def linear_cases() -> list[Case]:
  """Of format version 3, each of another preset than the one before it; its first use compiles, too."""
  by = ChunkCoder(LinearCoder(), lanes=4)
  return [
    Case(original, compressed(original, by, dataclasses.replace(_SHORT_SEGMENTS, preset=index % 4)), by)
    for index, original in enumerate(segment_originals().values())
  ]


@functools.cache
def network_cases() -> list[Case]:
  """Of format version 4, each of another effort than the one before it; its first use compiles, too."""
  by = ChunkCoder(HybridCoder(hybrid_cases.random_network(experts=LINEAR_EXPERTS)), lanes=4)
  return [
    Case(original, compressed(original, by, dataclasses.replace(_SHORT_SEGMENTS, effort=index % 3)), by)
    for index, original in enumerate(segment_originals().values())
  ]


@functools.cache
def all_cases() -> list[Case]:
  """Of every format version."""
  return [*cases(), *segment_cases(), *linear_cases(), *network_cases()]
