"""Decisions come back from their code, which is hardly longer than their entropy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.numbers.binary_code import (
  POSITION,
  decode_bit,
  encode_bit,
  finish_encoder,
  is_whole,
  new_coder,
  new_models,
  start_decoder,
)


@compiled
def _encode_all(coder, models, bits, which, code):
  for t in range(len(bits)):
    encode_bit(coder, models, which[t], bits[t], code)


@compiled
def _decode_all(coder, models, bits, which, code):
  for t in range(len(bits)):
    bits[t] = decode_bit(coder, models, which[t], code)


def coded(bits: np.ndarray, which: np.ndarray) -> bytes:
  code, coder = np.zeros(4 * len(bits) + 8, np.uint8), new_coder()
  _encode_all(coder, new_models(4), bits, which, code)
  return finish_encoder(coder, code)


def decoded(code: bytes, which: np.ndarray) -> tuple[np.ndarray, bool]:
  data, bits, coder = np.frombuffer(bytearray(code), np.uint8), np.zeros(len(which), np.int64), new_coder()
  start_decoder(coder, data)
  _decode_all(coder, new_models(4), bits, which, data)
  return bits, is_whole(coder, data)


def check(bits: np.ndarray, which: np.ndarray) -> bytes:
  code = coded(bits, which)
  found, whole = decoded(code, which)
  np.testing.assert_array_equal(found, bits)
  assert whole and code
  return code


@settings(max_examples=80, deadline=None)
@given(num=st.integers(0, 400), chance=st.floats(0, 1), seed=st.integers(0, 1 << 32))
def test_any_decisions_come_back(num, chance, seed):
  rng = np.random.default_rng(seed)
  check((rng.uniform(size=num) < chance).astype(np.int64), rng.integers(0, 4, num))


@pytest.mark.parametrize('chance', [0.5, 0.1, 0.001])
def test_length_is_about_the_entropy(chance):
  num = 400_000
  bits = (np.random.default_rng(0).uniform(size=num) < chance).astype(np.int64)
  share = bits.mean()
  entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
  code = check(bits, np.zeros(num, np.int64))
  assert entropy < 8 * len(code) / num < entropy + 0.0006


@pytest.mark.parametrize('bit', [0, 1])
def test_what_never_changes_costs_a_few_bytes(bit):
  num = 3_000_000
  assert len(check(np.full(num, bit), np.zeros(num, np.int64))) <= 5


def test_the_unlikely_comes_back_too():
  bits = np.zeros(50_000, np.int64)
  bits[[20_000, 20_001, 49_999]] = 1
  check(bits, np.zeros(len(bits), np.int64))


def test_a_code_that_goes_on_is_not_whole():
  rng = np.random.default_rng(0)
  bits, which = rng.integers(0, 2, 400), np.zeros(400, np.int64)
  code = coded(bits, which)
  assert not decoded(code + b'\0', which)[1]
  assert not decoded(code + bytes(8), which)[1]


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=12), num=st.integers(0, 60))
def test_what_is_whole_is_as_the_encoder_writes_it(data, num):
  which = np.zeros(num, np.int64)
  bits, whole = decoded(data, which)
  assert whole == (coded(bits, which) == data)


def test_models_are_apart():
  """Two that go opposite ways cost next to nothing each."""
  which = np.arange(20_000) % 2
  assert len(check(which.copy(), which)) < 12


def test_an_encoder_tells_how_far_it_is():
  code, coder = np.zeros(100, np.uint8), new_coder()
  _encode_all(coder, new_models(4), np.arange(160) % 2, np.zeros(160, np.int64), code)
  assert 18 <= coder[POSITION] <= 22
