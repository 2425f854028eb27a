import numpy as np
import pytest

from language_modeling_is_compression.codec.repeats import has_repeats
from language_modeling_is_compression.errors import CancelledError
from language_modeling_is_compression.system.cancellation import Cancellation

_LENGTH = 1 << 18


def _noise(num_bytes: int = _LENGTH, seed: int = 0) -> bytes:
  return np.random.default_rng(seed).bytes(num_bytes)


def test_noise_has_none() -> None:
  assert not has_repeats(_noise(), Cancellation())


@pytest.mark.parametrize('distance', [100_001, 65_536, 1_000])
def test_a_piece_that_stood_before_is_one_wherever_it_stands(distance: int) -> None:
  data = bytearray(_noise())
  size = min(distance, _LENGTH // 16)
  repeated = 0
  while repeated < _LENGTH // 16:
    at = distance + repeated
    data[at : at + size] = data[at - distance : at - distance + size]
    repeated += size
  assert has_repeats(bytes(data), Cancellation())


def test_less_than_a_hundredth_is_none() -> None:
  data = _noise()
  assert not has_repeats(data + data[1000 : 1000 + _LENGTH // 100], Cancellation())


@pytest.mark.parametrize('period', [1, 2, 7, 48])
def test_a_short_period_is_one(period: int) -> None:
  for seed in range(5):
    assert has_repeats((_noise(period, seed) * _LENGTH)[:_LENGTH], Cancellation())


def test_silence_before_noise_is_none() -> None:
  assert not has_repeats(bytes(_LENGTH // 8) + _noise(), Cancellation())


@pytest.mark.parametrize('num_bytes', [0, 1, 31])
def test_too_little_to_tell_may_have_some(num_bytes: int) -> None:
  assert has_repeats(_noise(num_bytes), Cancellation())


def test_it_ends_when_it_is_told_to() -> None:
  cancelled = Cancellation()
  cancelled.cancel()
  with pytest.raises(CancelledError):
    has_repeats(_noise(), cancelled)
