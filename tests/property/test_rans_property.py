"""The entropy coder on any intervals, and decoding of any bytes."""

import numpy as np
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


def decode(body: bytes, cdfs: np.ndarray) -> tuple[list[int], bool]:
  decoder, symbol, symbols = rans.Decoder([body]), np.zeros(1, np.int64), []
  for row in range(len(cdfs)):
    decoder.decode(cdfs[row : row + 1], symbol)
    symbols.append(int(symbol[0]))
  return symbols, bool(decoder.sound()[0])


def encode(cdfs: np.ndarray, symbols: list[int]) -> bytes:
  row, symbol = np.arange(len(cdfs)), np.array(symbols, np.int64)
  start = cdfs[row, symbol]
  return rans.encode(np.stack([start, cdfs[row, symbol + 1] - start], axis=1))


@settings(deadline=None)
@given(coded())
def test_round_trip(case):
  cdfs, symbols = case
  body = encode(cdfs, symbols)
  assert decode(body, cdfs) == (symbols, True)
  sizes = np.diff(cdfs.astype(np.int64))[np.arange(len(cdfs)), np.array(symbols, np.int64)]
  # 32 bits of the first state, up to 32 of a word that is not full, and what the state's coarseness costs.
  assert 8 * len(body) <= 64 + 1.001 * -np.log2(sizes / TOTAL).sum() + 32


@settings(deadline=None)
@given(coded(), st.binary(max_size=60))
def test_any_bytes_decode_to_something(case, body):
  """And if they are called sound, they are what the encoder writes for it."""
  cdfs, _ = case
  symbols, sound = decode(body, cdfs)
  assert len(symbols) == len(cdfs) and set(symbols) <= {0, 1, 2}
  if sound:
    assert encode(cdfs, symbols) == body


@settings(deadline=None)
@given(coded(), st.data())
def test_damage_is_not_taken_for_the_same(case, data):
  cdfs, symbols = case
  body = bytearray(encode(cdfs, symbols))
  position = data.draw(st.integers(0, len(body) - 1))
  body[position] ^= data.draw(st.integers(1, 255))
  assert decode(bytes(body), cdfs) != (symbols, True)
