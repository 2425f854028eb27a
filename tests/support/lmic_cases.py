"""Small .lmic files, ways to damage them, and what must hold whatever is read: for tests and fuzzers."""

import contextlib
import dataclasses
import functools
import hashlib
import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.levels import DEFAULT_LEVEL, LEVELS
from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.errors import LmicError
from language_modeling_is_compression.format.container import Container
from language_modeling_is_compression.format.division import SegmentSettings
from language_modeling_is_compression.format.layout import (
  HybridLayout,
  LinearLayout,
  StartedHybridLayout,
  StartedLinearLayout,
)
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.network.byte_model import ByteModel, ByteSpec
from language_modeling_is_compression.network.transformer import build_transformer
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.quantize import quantize_byte_model
from language_modeling_is_compression.quantized.segments import EnsembleCoder
from support import fixed_files, hybrid_cases, lmic_frames
from support.tiny_models import random_params
from support.wav_builder import IEEE_FLOAT, build_wav, pcm_bytes

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
    assert container.sha256 and hashlib.sha256(target.getvalue()).digest().startswith(container.sha256)
    assert may_differ or target.getvalue() == original
  with contextlib.suppress(LmicError):
    file_codec.decompress_span(container, io.BytesIO(), by, 0.001, 0.002)


def with_changed_body(data: bytes, index: int, change: Callable[[bytes], bytes], method: int | None = None) -> bytes:
  """A sound file with another body in one of its chunks, and all sizes and checks as if that were right.

  method: another one of that chunk, too.
  """
  container, target = Container(io.BytesIO(data), len(data)), io.BytesIO()
  assert container.sha256, 'not a sound file'
  writer = lmic_frames.frame_of(data).writer(target, container.header)
  for number in range(container.header.num_chunks):
    chunk = container.chunk(number)
    if number == index:
      chunk = dataclasses.replace(chunk, body=change(chunk.body), method=chunk.method if method is None else method)
    writer.add(chunk)
  writer.finish(container.sha256)
  return target.getvalue()


@functools.cache
def coder() -> ChunkCoder:
  """The coder of `cases`."""
  return tiny_coder()


def _network_coder(layout: type[HybridLayout]) -> ChunkCoder:
  return ChunkCoder(HybridCoder(hybrid_cases.random_network(experts=LINEAR_EXPERTS), layout), lanes=4)


def _written(compress: Callable[[bytes, ChunkCoder, SegmentSettings], bytes], coding: int) -> list[Case]:
  """Small files of a coding. Each is of another preset, or effort, than the one before it, where a coding has any."""
  if coding == 1:
    level = LEVELS[DEFAULT_LEVEL].segments
    return [Case(original, compress(original, coder(), level), coder()) for original in small_originals().values()]
  by = _SEGMENT_CODERS[coding]()
  found = []
  for index, original in enumerate(segment_originals().values()):
    effort = index % {4: 3, 6: 5}.get(coding, 1)
    settings = dataclasses.replace(_SHORT_SEGMENTS, effort=effort, preset=index % 4)
    found.append(Case(original, compress(original, by, settings), by))
  return found


@functools.cache
def cases(coding: int) -> list[Case]:
  """Of format version 5, and one of its codings.

  The first use of codings 2 to 6 compiles for half a minute when the package has changed.
  """
  return _written(compressed, coding)


@functools.cache
def fixed_cases(version: int) -> list[Case]:
  """The same of format version 1, 2, 3 or 4."""
  return _written(fixed_files.compressed, version)


@functools.cache
def all_cases() -> list[Case]:
  """Of every format version and coding."""
  return [
    case for which, codings in ((cases, CODINGS), (fixed_cases, FIXED)) for coding in codings for case in which(coding)
  ]


CODINGS = (1, 2, 3, 4, 5, 6)
FIXED = (1, 2, 3, 4)  # Those that had versions of their own.
_SEGMENT_CODERS: dict[int, Callable[[], ChunkCoder]] = {
  2: lambda: ChunkCoder(EnsembleCoder(hybrid_cases.random_network()), lanes=4),
  3: lambda: ChunkCoder(LinearCoder(LinearLayout), lanes=4),
  4: lambda: _network_coder(HybridLayout),
  5: lambda: ChunkCoder(LinearCoder(StartedLinearLayout), lanes=4),
  6: lambda: _network_coder(StartedHybridLayout),
}
