"""Samples of every kind, width and byte order: what Python and NumPy make of their bytes, and the same bytes again."""

import itertools
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.audio.pcm import (
  SILENCE,
  WIDTHS,
  PcmFormat,
  SampleKind,
  integers_from_raw,
  patterns_from_raw,
  raw_from_integers,
  raw_from_patterns,
)
from language_modeling_is_compression.audio.planes import (
  patterns_from_planes,
  planes_from_patterns,
  planes_from_samples,
  samples_from_planes,
)
from language_modeling_is_compression.format.layout import ChannelLayout, Layout, SegmentLayout

SAMPLES = [
  PcmFormat(kind=kind, sample_bytes=width, num_channels=channels, sample_rate_hz=8000, is_big_endian=big)
  for kind, widths in WIDTHS.items()
  for width, channels, big in itertools.product(widths, (1, 3), (False, True))
  if kind != SampleKind.NONE
]
INTEGERS = [pcm for pcm in SAMPLES if pcm.is_integer]
POWERS = [pcm for pcm in SAMPLES if pcm.sample_bytes != 3]
LAYOUTS: list[Layout] = [ChannelLayout(), SegmentLayout(effort=0)]


def name(pcm: object) -> str:
  if not isinstance(pcm, PcmFormat):
    return type(pcm).__name__
  return f'{pcm.kind.name} of {8 * pcm.sample_bytes} bits, {pcm.num_channels} channels, {order(pcm)}'


unhurried = settings(deadline=None, max_examples=25)
of_integers = pytest.mark.parametrize('pcm', INTEGERS, ids=name)
of_powers = pytest.mark.parametrize('pcm', POWERS, ids=name)


def order(pcm: PcmFormat) -> Literal['big', 'little']:
  return 'big' if pcm.is_big_endian else 'little'


def frames_of(data: bytes, pcm: PcmFormat) -> np.ndarray:
  """The whole frames in bytes: uint8 [N, C, S]."""
  num_frames = len(data) // pcm.frame_bytes
  used = np.frombuffer(data[: num_frames * pcm.frame_bytes], np.uint8)
  return used.reshape(num_frames, pcm.num_channels, pcm.sample_bytes)


def as_python_has_it(raw: np.ndarray, pcm: PcmFormat) -> list[list[int]]:
  """Signed integers of samples, one by one."""
  middle = 1 << 8 * pcm.sample_bytes - 1 if pcm.kind == SampleKind.UNSIGNED else 0
  signed = pcm.kind == SampleKind.SIGNED
  return [[int.from_bytes(bytes(sample), order(pcm), signed=signed) - middle for sample in frame] for frame in raw]


@of_integers
@unhurried
@given(data=st.binary(max_size=120))
def test_integers_are_what_python_reads(pcm, data):
  raw = frames_of(data, pcm)
  samples = integers_from_raw(raw, pcm)
  assert samples.dtype == np.int32 and samples.tolist() == as_python_has_it(raw, pcm)
  back = raw_from_integers(samples, pcm)
  assert back.dtype == np.uint8 and back.shape == raw.shape and back.tobytes() == raw.tobytes()


@of_integers
def test_extremes_and_silence(pcm):
  half = 1 << 8 * pcm.sample_bytes - 1
  values = [-half, -half + 1, -1, 0, 1, half - 1]
  samples = np.repeat(np.array(values, np.int64).astype(np.int32)[:, None], pcm.num_channels, axis=1)
  middle = half if pcm.kind == SampleKind.UNSIGNED else 0
  raw = raw_from_integers(samples, pcm)
  expected = b''.join(
    (value + middle).to_bytes(pcm.sample_bytes, order(pcm), signed=not middle) * pcm.num_channels for value in values
  )
  assert raw.tobytes() == expected
  np.testing.assert_array_equal(integers_from_raw(np.ascontiguousarray(raw), pcm), samples)


@pytest.mark.parametrize('pcm', [pcm for pcm in INTEGERS if pcm.sample_bytes in (1, 2, 4)], ids=name)
def test_integers_are_what_numpy_reads(pcm):
  """All samples of 8 and 16 bits, and many of 32."""
  letter = 'u' if pcm.kind == SampleKind.UNSIGNED else 'i'
  stored = np.dtype(f'{">" if pcm.is_big_endian else "<"}{letter}{pcm.sample_bytes}')
  limits = np.iinfo(stored)
  steps = 1 << max(0, 8 * pcm.sample_bytes - 16)
  values = np.arange(limits.min, limits.max + 1, steps, dtype=np.int64)
  values = values[: len(values) // pcm.num_channels * pcm.num_channels].reshape(-1, pcm.num_channels)
  raw = values.astype(stored)[:, :, None].view(np.uint8)
  expected = values - (1 << 8 * pcm.sample_bytes - 1 if letter == 'u' else 0)
  np.testing.assert_array_equal(integers_from_raw(raw, pcm), expected)


@of_integers
@unhurried
@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=12))
def test_only_the_low_bits_of_integers_count(pcm, values):
  """What is predicted may leave the range of the samples: it wraps."""
  samples = np.array(values[: len(values) // pcm.num_channels * pcm.num_channels], np.int32)
  samples = samples.reshape(-1, pcm.num_channels)
  found = integers_from_raw(np.ascontiguousarray(raw_from_integers(samples, pcm)), pcm)
  half = 1 << 8 * pcm.sample_bytes - 1
  np.testing.assert_array_equal(found, (samples.astype(np.int64) + half) % (2 * half) - half)


@of_powers
@unhurried
@given(data=st.binary(max_size=120))
def test_patterns_are_the_bits_as_they_stand(pcm, data):
  raw = frames_of(data, pcm)
  patterns = patterns_from_raw(raw, pcm)
  assert patterns.dtype == np.dtype(f'u{pcm.sample_bytes}') and patterns.dtype.isnative
  expected = [[int.from_bytes(bytes(sample), order(pcm)) for sample in frame] for frame in raw]
  assert patterns.tolist() == expected
  assert raw_from_patterns(patterns, pcm).tobytes() == raw.tobytes()
  planes = planes_from_patterns(patterns)
  assert planes.shape == (pcm.num_channels, pcm.sample_bytes, len(raw))
  assert planes.tolist() == [
    [[value >> 8 * place & 255 for value in channel] for place in reversed(range(pcm.sample_bytes))]
    for channel in (patterns.T.tolist() if len(raw) else [[]] * pcm.num_channels)
  ]
  np.testing.assert_array_equal(patterns_from_planes(planes), patterns)


@pytest.mark.parametrize('pcm', SAMPLES, ids=name)
@pytest.mark.parametrize('layout', LAYOUTS, ids=name)
@unhurried
@given(data=st.binary(min_size=24, max_size=120))
def test_spans_come_back_from_their_chunks(layout, pcm, data):
  """What LZMA and checksums see of them is as long as they are, and enough to have them back."""
  raw = frames_of(data, pcm)
  payloads = layout.split(raw, pcm)
  shape = layout.payload_shape(pcm, len(raw))
  assert len(payloads) == layout.chunks_per_span(pcm) and all(payload.shape == shape for payload in payloads)
  again = [shape.parse(payload.to_bytes()) for payload in payloads]
  assert all(len(payload.to_bytes()) == shape.num_bytes for payload in payloads)
  for found in (payloads, again):
    joined = layout.join(found, pcm)
    assert joined.dtype == np.uint8 and joined.shape == raw.shape and joined.tobytes() == raw.tobytes()


@pytest.mark.parametrize('pcm', SAMPLES, ids=name)
@pytest.mark.parametrize('layout', LAYOUTS, ids=name)
def test_silence_of_every_kind(layout, pcm):
  """Offset binary has it in the middle, G.711 where its codes stand for the least values."""
  silent = layout.join([layout.payload_shape(pcm, 5).silence()] * layout.chunks_per_span(pcm), pcm)
  assert silent.shape == (5, pcm.num_channels, pcm.sample_bytes)
  middle = 1 << 8 * pcm.sample_bytes - 1
  pattern = {SampleKind.UNSIGNED: middle, **SILENCE}.get(pcm.kind, 0)
  assert silent.tobytes() == pattern.to_bytes(pcm.sample_bytes, order(pcm)) * (5 * pcm.num_channels)


@of_integers
@unhurried
@given(data=st.binary(max_size=120))
def test_planes_are_offset_binary_whatever_the_file_has(pcm, data):
  samples = integers_from_raw(frames_of(data, pcm), pcm)
  planes = planes_from_samples(samples, pcm.sample_bytes)
  shifted = samples.astype(np.int64).T + (1 << 8 * pcm.sample_bytes - 1)
  for place in range(pcm.sample_bytes):
    np.testing.assert_array_equal(planes[:, place], shifted >> 8 * (pcm.sample_bytes - 1 - place) & 255)
  np.testing.assert_array_equal(samples_from_planes(planes), samples)
