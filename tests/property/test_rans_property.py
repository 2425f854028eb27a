"""The entropy coder on any intervals, and decoding of any bytes; both kinds of codes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.entropy import rans

TOTAL = 1 << rans.PRECISION_BITS
PLACES = st.sampled_from([0, 1, 2, TOTAL // 2, TOTAL - 2, TOTAL - 1]) | st.integers(0, TOTAL - 1)


@st.composite
def coded(draw) -> tuple[np.ndarray, list[int]]:
  """Cdfs uint32 [N, 4] of three symbols each, and N symbols; an interval may have any size from 1 up."""
  ends = draw(st.lists(st.lists(PLACES.filter(bool), min_size=2, max_size=2, unique=True).map(sorted), max_size=40))
  cdfs = np.array([[0, *inner, TOTAL] for inner in ends], np.uint32).reshape(-1, 4)
  return cdfs, draw(st.lists(st.integers(0, 2), min_size=len(ends), max_size=len(ends)))


def decode(body: bytes, cdfs: np.ndarray, *, is_compact: bool = False) -> tuple[list[int], bool]:
  decoder = rans.Decoder.of_compact(body) if is_compact else rans.Decoder([body])
  symbol, symbols = np.zeros(1, np.int64), []
  for row in range(len(cdfs)):
    decoder.decode(cdfs[row : row + 1], symbol)
    symbols.append(int(symbol[0]))
  return symbols, bool(decoder.sound()[0])


def encode(cdfs: np.ndarray, symbols: list[int], *, is_compact: bool = False) -> bytes:
  row, symbol = np.arange(len(cdfs)), np.array(symbols, np.int64)
  start = cdfs[row, symbol]
  intervals = np.stack([start, cdfs[row, symbol + 1] - start], axis=1)
  return rans.encode_compact(intervals) if is_compact else rans.encode(intervals)


@pytest.mark.parametrize('is_compact', [False, True])
@settings(deadline=None)
@given(case=coded())
def test_round_trip(is_compact, case):
  cdfs, symbols = case
  body = encode(cdfs, symbols, is_compact=is_compact)
  assert decode(body, cdfs, is_compact=is_compact) == (symbols, True)
  sizes = np.diff(cdfs.astype(np.int64))[np.arange(len(cdfs)), np.array(symbols, np.int64)]
  # 32 bits of the first state, up to 32 of a word that is not full, and what the state's coarseness costs; of a compact
  # code the 24 that the first symbol has at most, and a byte that is not full.
  assert 8 * len(body) <= (32 if is_compact else 96) + 1.001 * -np.log2(sizes / TOTAL).sum()


@pytest.mark.parametrize('is_compact', [False, True])
@settings(deadline=None)
@given(case=coded(), body=st.binary(max_size=60))
def test_any_bytes_decode_to_something(is_compact, case, body):
  """And if they are called sound, they are what the encoder writes for it."""
  cdfs, _ = case
  symbols, sound = decode(body, cdfs, is_compact=is_compact)
  assert len(symbols) == len(cdfs) and set(symbols) <= {0, 1, 2}
  if sound:
    assert encode(cdfs, symbols, is_compact=is_compact) == body


@pytest.mark.parametrize('is_compact', [False, True])
@settings(deadline=None)
@given(case=coded(), data=st.data())
def test_damage_is_not_taken_for_the_same(is_compact, case, data):
  cdfs, symbols = case
  body = bytearray(encode(cdfs, symbols, is_compact=is_compact))
  if not body:
    return
  position = data.draw(st.integers(0, len(body) - 1))
  body[position] ^= data.draw(st.integers(1, 255))
  assert decode(bytes(body), cdfs, is_compact=is_compact) != (symbols, True)
