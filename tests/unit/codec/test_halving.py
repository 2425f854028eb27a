"""Halving: two segments for two cores, but where the second half needs the first."""

import io

import numpy as np
import pytest
from support.segment_stand_in import StandIn
from support.wav_builder import build_wav, pcm_bytes

from language_modeling_is_compression.audio import parsing
from language_modeling_is_compression.codec import plan
from language_modeling_is_compression.codec.halving import may_be_halved
from language_modeling_is_compression.codec.levels import LEVELS
from language_modeling_is_compression.errors import AudioFormatError

HALF = 40_000


def noise(num_frames: int = HALF, channels: int = 1, seed: int = 0) -> np.ndarray:
  samples = np.random.default_rng(seed).normal(0, 3000, (num_frames, channels))
  return np.clip(np.rint(samples), -32768, 32767).astype(np.int32)


@pytest.mark.parametrize('channels', [1, 2, 3])
def test_what_does_not_repeat_may_be_halved(channels):
  assert may_be_halved(noise(2 * HALF, channels))


@pytest.mark.parametrize('channels', [1, 2])
def test_a_half_that_repeats_the_other_one_needs_it(channels):
  half = noise(channels=channels)
  assert not may_be_halved(np.concatenate([half, half]))
  # A part of it suffices, and what else there is does not hide it.
  part = np.concatenate([noise(3 * HALF // 4, channels, 1), half[: HALF // 4]])
  assert not may_be_halved(np.concatenate([half, part + noise(channels=channels, seed=2) // 100]))


def test_a_half_that_repeats_itself_needs_no_other_one():
  bar = noise(HALF // 8, seed=1)
  assert may_be_halved(np.concatenate([noise(), *[bar] * 8]))
  assert not may_be_halved(np.concatenate([*[bar] * 8, noise(HALF // 2, seed=2), *[bar] * 4]))


def test_silence_may_be_halved():
  assert may_be_halved(np.zeros((2 * HALF, 2), np.int32))


def spans(samples: np.ndarray, level: int) -> int:
  """Segments of a file, which is left at its beginning."""
  source = io.BytesIO(build_wav(pcm_bytes(samples, 16), channels=samples.shape[1]))
  header = plan.plan_file(source, 'a.wav', StandIn(), LEVELS[level].segments)
  assert source.tell() == 0
  return header.num_spans


def test_the_default_level_halves_files_of_some_seconds():
  halve_from = LEVELS[6].segments.halve_from
  assert halve_from is not None and halve_from <= 441_000
  long = noise(halve_from)
  assert spans(long, 6) == 2
  assert spans(long[:-1], 6) == 1
  assert spans(np.concatenate([long[: halve_from // 2]] * 2), 6) == 1
  assert [spans(long, level) for level in (7, 8, 9)] == [1, 1, 1]


def test_a_file_that_becomes_shorter_while_it_is_looked_at(monkeypatch):
  original = build_wav(pcm_bytes(noise(1 << 18), 16))
  source = io.BytesIO(original)

  def and_cut(*arguments):
    info = parsing.parse_info(*arguments)
    source.truncate(len(original) - 2)
    return info

  monkeypatch.setattr(plan, 'parse_info', and_cut)
  with pytest.raises(AudioFormatError, match=r'a\.wav: changed while it was read'):
    plan.plan_file(source, 'a.wav', StandIn(), LEVELS[6].segments)
