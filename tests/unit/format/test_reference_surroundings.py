"""docs/FORMAT.md says what is canonical around samples: the independent decoder makes what the package makes."""

import itertools

import pytest
from reference_decoder import surroundings as independent_surroundings

from language_modeling_is_compression.audio.pcm import WIDTHS, PcmFormat, SampleKind
from language_modeling_is_compression.format.surroundings import CONTAINERS, can_hold, canonical

SAMPLES = [
  (kind, sample_bytes, is_big_endian)
  for kind in SampleKind
  for sample_bytes in WIDTHS[kind]
  for is_big_endian in ((False, True) if kind else (False,))
]


def both(kind: SampleKind, sample_bytes: int, channels: int, rate: int, *, is_big_endian: bool):
  """Samples as the package and as the independent decoder describe them."""
  pcm = PcmFormat(
    kind=kind, sample_bytes=sample_bytes, num_channels=channels, sample_rate_hz=rate, is_big_endian=is_big_endian
  )
  return pcm, independent_surroundings.Samples(int(kind), sample_bytes, channels, rate, is_big_endian)


@pytest.mark.parametrize('number', range(len(CONTAINERS)))
def test_the_same_samples_can_be_held(number):
  for (kind, sample_bytes, is_big_endian), channels in itertools.product(SAMPLES, (1, 3, 8191, 8192, 65535)):
    num_channels = channels if kind else 0
    pcm, samples = both(kind, sample_bytes, num_channels, 8000 if kind else 0, is_big_endian=is_big_endian)
    assert independent_surroundings.can_hold(number, samples) == can_hold(CONTAINERS[number], pcm), (pcm, number)


@pytest.mark.parametrize('number', range(len(CONTAINERS)))
def test_the_same_bytes_are_canonical(number):
  """Sizes that are too large for their fields among them, and rates of all lengths."""
  rates, counts = (0, 1, 8000, 44_100, (1 << 32) - 1), (0, 1, 31, 1 << 32)
  for (kind, sample_bytes, is_big_endian), channels, rate in itertools.product(SAMPLES, (1, 2, 3), rates):
    pcm, samples = both(kind, sample_bytes, channels, rate, is_big_endian=is_big_endian)
    if independent_surroundings.can_hold(number, samples):
      for num_frames in counts:
        found = independent_surroundings.canonical(number, samples, num_frames)
        assert found == canonical(CONTAINERS[number], pcm, num_frames), (pcm, num_frames)


def test_all_containers_but_two_hold_something():
  pcm, samples = both(SampleKind.MU_LAW, 1, 1, 8000, is_big_endian=False)
  held = [number for number in range(len(CONTAINERS)) if independent_surroundings.can_hold(number, samples)]
  assert held == [*range(1, 8)] and all(can_hold(CONTAINERS[number], pcm) for number in held)
