"""Floats made of integers and side information by the reference decoder, which was written from docs/FORMAT.md."""

import numpy as np
import pytest
from reference_decoder.floats import patterns_of_floats
from reference_decoder.segments import read_number

from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.numbers.conversion import integers_from_patterns


def sounds() -> dict[str, np.ndarray]:
  rng, times = np.random.default_rng(0), np.arange(1500)
  tone = 0.3 * np.sin(0.05 * times) + rng.normal(0, 0.003, len(times))
  whole = np.round(tone * 32768)
  single = whole.astype(np.float32)
  odd = single / np.float32(32768)
  odd[[5, 700, 701]] = [np.nan, -np.inf, 1e-42]
  return {
    'one value': np.full(20, -0.3),
    'exact': odd,
    'scale': tone.astype(np.float32),
    'scale, 64': tone,
    'half': tone.astype(np.float16),
    'half of integers': odd.astype(np.float16),
    'half by a factor': (whole / 32767 * 0.61).astype(np.float16),
    'half of few values': np.exp(rng.integers(-9, 9, 600)).astype(np.float16),
    'factor': single / np.float32(32767),
    'rounded twice': single * np.float32(0.7123 / 32768) * np.float32(0.6117),
    'rounded twice, 64': whole * (0.7123 / 32768) * 0.6117,
    'divided and made quieter, 64': whole / 32767 * 0.61,
    'few values': np.exp(rng.integers(0, 7, 600)).astype(np.float32),
    'few values, 64': np.exp(rng.integers(-9, 9, 600)) * rng.choice([-1, 1], 600),
    'of two converters': np.concatenate(
      [rng.integers(-90_000, 90_000, 4000) * 2.0**-21 / 90.5, rng.integers(-(1 << 22), 1 << 22, 4000) * 2.0**-21]
    ).astype(np.float32),
    'two channels': np.stack([odd, tone.astype(np.float32)], axis=1),
    'many channels': (rng.integers(-200, 200, (30, 65)) / 256).astype(np.float32),
  }


def converted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, bytes]:
  """Patterns [N, C], the integers that stand for them, and side information."""
  patterns = values.view(f'u{values.itemsize}').reshape(len(values), -1)
  integers, _, side = integers_from_patterns(patterns, SampleKind.FLOAT)
  return patterns, integers, side


@pytest.mark.parametrize('name', sounds())
def test_another_decoder_finds_the_same(name):
  patterns, integers, side = converted(sounds()[name])
  assert patterns_of_floats(integers.tolist(), side, patterns.itemsize) == patterns.tolist()


def test_each_way_is_among_them():
  sides = [converted(values)[2] for values in sounds().values()]
  assert {read_number(side)[1][0] for side in sides} == set(range(6))


@pytest.mark.parametrize('name', ['exact', 'scale'])
def test_a_code_that_no_encoder_wrote_is_refused(name):
  patterns, integers, side = converted(sounds()[name])
  length, description = read_number(side)
  assert length == len(description) < 8191
  number = bytes([2 * (length + 1) & 127 | 128, 2 * (length + 1) >> 7])
  with pytest.raises(ValueError, match='does not end as it should'):
    patterns_of_floats(integers.tolist(), number + description + b'\0', patterns.itemsize)
  with pytest.raises(ValueError, match='something follows'):
    patterns_of_floats(integers.tolist(), side + b'\0', patterns.itemsize)
