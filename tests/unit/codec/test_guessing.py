"""Guesses of samples without a header: right for sound, none for anything else, and the file comes back either way."""

import io
import random
import zlib
from typing import cast

import numpy as np
import pytest

from language_modeling_is_compression.audio.pcm import (
  PcmFormat,
  SampleKind,
  raw_from_integers,
  raw_from_patterns,
)
from language_modeling_is_compression.codec import file_codec
from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.codec.guessing import guess_format
from language_modeling_is_compression.codec.levels import LEVELS
from language_modeling_is_compression.codec.plan import plan_file, without_header
from language_modeling_is_compression.format.container import Container
from language_modeling_is_compression.format.model_coder import ModelCoder
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.numbers.companding import linear_values

RATE = 44_100
_SIGNED, _UNSIGNED, _FLOAT = SampleKind.SIGNED, SampleKind.UNSIGNED, SampleKind.FLOAT


def waves(num_frames: int, num_channels: int, peak: float) -> np.ndarray:
  """Something like music: float64 [N, C]."""
  rng = np.random.default_rng(0)
  t = np.arange(num_frames)[:, None] + 7.0 * np.arange(num_channels)
  steps = np.array([0.031, 0.0733, 0.0117])
  tones = (np.sin(steps * t[:, :, None] + steps) / steps).sum(axis=2) / 150
  return np.asarray(peak * (0.7 * tones + rng.normal(0, 0.004, t.shape)).clip(-1, 1))


def format_of(kind: SampleKind, sample_bytes: int, channels: int, *, big: bool = False, rate: int = 0) -> PcmFormat:
  return PcmFormat(kind=kind, sample_bytes=sample_bytes, num_channels=channels, sample_rate_hz=rate, is_big_endian=big)


def sound_of(pcm: PcmFormat, num_frames: int = 50_000) -> bytes:
  """Sound in a format, as it stands in a file."""
  if pcm.is_integer:
    peak = 2.0 ** (8 * pcm.sample_bytes - 1) - 1
    return raw_from_integers(waves(num_frames, pcm.num_channels, peak).round().astype(np.int32), pcm).tobytes()
  if pcm.kind == _FLOAT:
    values = waves(num_frames, pcm.num_channels, 1.0).astype(f'f{pcm.sample_bytes}')
    return raw_from_patterns(values.view(f'u{pcm.sample_bytes}'), pcm).tobytes()
  linear = linear_values(pcm.kind)
  order = np.argsort(linear)
  wanted = waves(num_frames, pcm.num_channels, float(linear.max()))
  nearest = np.searchsorted(linear[order], wanted).clip(0, 255)
  return order[nearest].astype(np.uint8).tobytes()


def guess(data: bytes) -> tuple[PcmFormat, int] | None:
  return guess_format(io.BytesIO(data), len(data), LinearCoder())


@pytest.mark.parametrize(
  'pcm',
  [
    *(format_of(_SIGNED, width, channels, big=big) for width in (2, 3) for channels in (1, 2) for big in (False, True)),
    format_of(_FLOAT, 4, 2),
    format_of(_FLOAT, 4, 1, big=True),
    format_of(SampleKind.MU_LAW, 1, 1),
    format_of(SampleKind.A_LAW, 1, 1),
    format_of(_UNSIGNED, 1, 1),
  ],
  ids=str,
)
def test_sound_is_found(pcm):
  found = guess(sound_of(pcm))
  assert found is not None
  assert (found[0].kind, found[0].sample_bytes, found[0].is_big_endian) == (
    pcm.kind,
    pcm.sample_bytes,
    pcm.is_big_endian,
  )
  assert found[1] == 0


def test_phase_is_found():
  """After a header of an odd length, high and low bytes are told apart."""
  found = guess(b'x' + sound_of(format_of(_SIGNED, 2, 2)))
  assert found is not None
  assert (found[0].kind, found[0].sample_bytes, found[1]) == (_SIGNED, 2, 1)


def things() -> dict[str, bytes]:
  words = random.Random(0)
  text = ' '.join(words.choice(['lossless', 'audio', 'coding', 'of', 'the', 'a', 'bit']) for _ in range(20_000))
  rng = np.random.default_rng(0)
  return {
    'text': text.encode(),
    'noise': rng.bytes(100_000),
    'zip': zlib.compress(text.encode() * 3 + rng.bytes(60_000)),
    'zeros': bytes(100_000),
    'table': ('1,2.5,abc\n' * 10_000).encode(),
    'short': sound_of(format_of(_SIGNED, 2, 1), 1000),
  }


@pytest.mark.parametrize('name', sorted(things()))
def test_what_is_no_sound_is_left_alone(name):
  assert guess(things()[name]) is None


@pytest.mark.parametrize('num_bytes', [1 << 15, 100_000])
def test_noise_is_told_without_a_model(num_bytes):
  """Which may have to be loaded and compiled first, for a file that takes less time than that."""
  data = np.random.default_rng(num_bytes).bytes(num_bytes)
  assert guess_format(io.BytesIO(data), len(data), cast(ModelCoder, None)) is None


def test_sound_of_even_bytes_is_found():
  """A triangle has all values alike, but not its steps."""
  place = np.arange(100_000) * 311 % (1 << 17)
  noise = np.random.default_rng(0).integers(0, 50, len(place))
  triangle = np.abs(place - (1 << 16)) - (1 << 15) + noise
  found = guess(triangle.clip(-(1 << 15), (1 << 15) - 1).astype('<i2').tobytes())
  assert found is not None and (found[0].kind, found[0].sample_bytes) == (_SIGNED, 2)


@pytest.mark.parametrize('data', [b'x' + sound_of(format_of(_SIGNED, 2, 2)), sound_of(format_of(_FLOAT, 8, 1))])
def test_files_come_back(data):
  coder, target, back = ChunkCoder(LinearCoder()), io.BytesIO(), io.BytesIO()
  compressed = file_codec.compress(io.BytesIO(data), target, coder, segments=LEVELS[1].segments, verify=True)
  assert compressed.header.num_frames and compressed.header.container == 'none'
  file_codec.decompress(Container(target, compressed.num_bytes), back, coder)
  assert back.getvalue() == data


def test_a_format_that_is_named_is_taken():
  pcm = format_of(_UNSIGNED, 3, 2, rate=RATE)
  data = sound_of(pcm, 500) + b'rest'
  header = plan_file(io.BytesIO(data), 'a', LinearCoder(), LEVELS[1].segments, without_header(pcm, len(data)))
  assert (header.pcm, header.num_frames, header.head_bytes, header.tail_bytes) == (pcm, 500, 0, 4)
  assert without_header(pcm, pcm.frame_bytes - 1) is None
