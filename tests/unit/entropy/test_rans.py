"""The entropy coder: what goes in comes out, at the length that the intervals say, and damage shows."""

import numpy as np
import pytest

from language_modeling_is_compression.entropy import rans

TOTAL = 1 << rans.PRECISION_BITS
FLAT = np.arange(257, dtype=np.uint32) * (TOTAL // 256)
# Symbols 0 and 2 have the smallest interval that there is, symbol 1 of the last one the largest.
EDGES = np.array([0, 1, TOTAL - 1, TOTAL], np.uint32)
ALMOST_ALL = np.array([0, TOTAL - 1, TOTAL], np.uint32)


def intervals_of(cdfs: np.ndarray, symbols: np.ndarray) -> np.ndarray:
  """cdfs: [N, V + 1] or one for all, [V + 1]."""
  cdfs = np.broadcast_to(cdfs, (len(symbols), cdfs.shape[-1]))
  row = np.arange(len(symbols))
  start = cdfs[row, symbols]
  return np.stack([start, cdfs[row, symbols + 1] - start], axis=1)


def random_cdfs(num_symbols: int, vocab_size: int, seed: int) -> np.ndarray:
  """uint32 [N, V + 1]: every symbol at least 1, some of them likely."""
  rng = np.random.default_rng(seed)
  sizes = 1 + np.floor(rng.dirichlet(np.full(vocab_size, 0.1), num_symbols) * (TOTAL - vocab_size)).astype(np.int64)
  sizes[:, -1] += TOTAL - sizes.sum(axis=1)
  return np.concatenate([np.zeros((num_symbols, 1)), sizes.cumsum(axis=1)], axis=1).astype(np.uint32)


def decode_one(body: bytes, cdfs: np.ndarray, num_symbols: int) -> tuple[list[int], bool]:
  cdfs = np.broadcast_to(cdfs, (num_symbols, cdfs.shape[-1]))
  decoder, symbol, symbols = rans.Decoder([body]), np.zeros(1, np.int64), []
  for row in range(num_symbols):
    decoder.decode(np.ascontiguousarray(cdfs[row : row + 1]), symbol)
    symbols.append(int(symbol[0]))
  return symbols, bool(decoder.sound()[0])


@pytest.mark.parametrize(('cdf', 'vocab_size'), [(FLAT, 256), (EDGES, 3), (ALMOST_ALL, 2)])
def test_round_trip(cdf, vocab_size):
  symbols = np.random.default_rng(0).integers(0, vocab_size, 400)
  body = rans.encode(intervals_of(cdf, symbols))
  assert decode_one(body, cdf, 400) == (symbols.tolist(), True)


def test_round_trip_with_a_distribution_of_its_own_for_each_symbol():
  cdfs = random_cdfs(500, 17, 1)
  symbols = np.random.default_rng(2).integers(0, 17, 500)
  assert decode_one(rans.encode(intervals_of(cdfs, symbols)), cdfs, 500) == (symbols.tolist(), True)


def test_nothing_coded_is_the_first_state_alone():
  assert rans.encode(np.zeros((0, 2), np.uint32)) == (1 << 32).to_bytes(8, 'little')
  assert decode_one(rans.encode(np.zeros((0, 2), np.uint32)), FLAT, 0) == ([], True)


def test_bytes_are_as_the_format_says():
  """By hand: from 2**32, a symbol of [2**23, 2**24) and then one of [0, 2**23); decoded, they come the other way."""
  state = (1 << 32) // (1 << 23) * TOTAL + (1 << 23)  # The symbol that is decoded last.
  state = state // (1 << 23) * TOTAL + state % (1 << 23)
  halves = np.array([[0, 1 << 23], [1 << 23, 1 << 23]], np.uint32)
  assert rans.encode(halves) == state.to_bytes(8, 'little')


def test_words_stand_in_the_order_of_decoding():
  """Symbols of size 1 move 24 bits each; the state needs no word before it would exceed 64 bits."""
  starts = np.array([5, 6, 7], np.uint32)
  body = rans.encode(np.stack([starts, np.ones(3, np.uint32)], axis=1))
  state = 1 << 32
  words: list[int] = []
  for start in (7, 6, 5):
    if state >= 1 << 40:
      words.insert(0, state % 2**32)
      state >>= 32
    state = state * TOTAL + start
  assert len(words) == 2
  assert body == state.to_bytes(8, 'little') + b''.join(word.to_bytes(4, 'little') for word in words)


def test_lanes_of_different_lengths_do_not_disturb_each_other():
  lengths = [70, 41, 41, 3]
  rng = np.random.default_rng(3)
  rows = [rng.integers(0, 256, length) for length in lengths]
  cdfs = random_cdfs(max(lengths), 256, 4)
  decoder = rans.Decoder([rans.encode(intervals_of(cdfs[: len(row)], row)) for row in rows])
  found: list[list[int]] = [[] for _ in rows]
  symbols = np.zeros(4, np.int64)
  for step in range(max(lengths)):
    active = sum(length > step for length in lengths)
    decoder.decode(np.repeat(cdfs[step : step + 1], active, axis=0), symbols[:active])
    for lane in range(active):
      found[lane].append(symbols[lane])
  assert decoder.sound().all()
  for row, decoded in zip(rows, found, strict=True):
    np.testing.assert_array_equal(decoded, row)


def test_a_damaged_lane_leaves_the_others_sound():
  symbols = np.random.default_rng(5).integers(0, 256, 50)
  body = rans.encode(intervals_of(FLAT, symbols))
  decoder, found = rans.Decoder([b'', body, body[:-4], body]), np.zeros(4, np.int64)
  for symbol in symbols:
    decoder.decode(np.repeat(FLAT[None], 4, axis=0), found)
    assert found[1] == found[3] == symbol
  assert decoder.sound().tolist() == [False, True, False, True]


@pytest.mark.parametrize('vocab_size', [2, 256])
@pytest.mark.parametrize('sharpness', [0.02, 1.0])
def test_code_length_is_what_the_intervals_say(vocab_size, sharpness):
  rng = np.random.default_rng(6)
  sizes = 1 + np.floor(rng.dirichlet(np.full(vocab_size, sharpness)) * (TOTAL - vocab_size)).astype(np.int64)
  sizes[-1] += TOTAL - sizes.sum()
  symbols = rng.choice(vocab_size, 50_000, p=sizes / TOTAL)
  body = rans.encode(intervals_of(np.concatenate([[0], sizes.cumsum()]).astype(np.uint32), symbols))
  bits = -np.log2(sizes[symbols] / TOTAL).sum()
  assert bits / 8 < len(body) <= 1.001 * bits / 8 + 16


@pytest.mark.parametrize(
  'damage',
  [
    pytest.param(lambda body: b'', id='empty'),
    pytest.param(lambda body: body[:7], id='no whole state'),
    pytest.param(lambda body: bytes(8) + body[8:], id='state below the smallest'),
    pytest.param(lambda body: body[:-4], id='last word missing'),
    pytest.param(lambda body: body[:-1], id='last byte missing'),
    pytest.param(lambda body: body[:8], id='all words missing'),
    pytest.param(lambda body: body + bytes(4), id='a word too many'),
    pytest.param(lambda body: body + b'x', id='a byte too many'),
    pytest.param(lambda body: body[:8] + body[12:16] + body[8:12] + body[16:], id='words swapped'),
    pytest.param(lambda body: b'\xff' * len(body), id='largest state'),
  ],
)
def test_damage_is_not_sound(damage):
  cdfs, symbols = random_cdfs(60, 256, 7), np.random.default_rng(7).integers(0, 256, 60)
  body = rans.encode(intervals_of(cdfs, symbols))
  assert decode_one(body, cdfs, 60) == (symbols.tolist(), True)
  assert decode_one(damage(body), cdfs, 60)[1] is False


def test_hardly_any_flipped_bit_is_sound():
  """A flip near the end may only change the last symbols into others whose intervals end as well."""
  cdfs, symbols = random_cdfs(40, 256, 8), np.random.default_rng(9).integers(0, 256, 40)
  body = rans.encode(intervals_of(cdfs, symbols))
  num_sound = 0
  for bit in range(8 * len(body)):
    flipped = bytearray(body)
    flipped[bit // 8] ^= 1 << bit % 8
    found, sound = decode_one(bytes(flipped), cdfs, 40)
    assert not (sound and found == symbols.tolist())
    num_sound += sound
  assert num_sound < 8 * len(body) / 10


def test_one_symbol_fewer_or_more_is_not_sound():
  symbols = np.random.default_rng(10).integers(0, 256, 60)
  body = rans.encode(intervals_of(FLAT, symbols))
  assert decode_one(body, FLAT, 59)[1] is False
  assert decode_one(body, FLAT, 61)[1] is False


# Compact codes.


def decode_compact(body: bytes, cdf: np.ndarray, num_symbols: int) -> tuple[list[int], bool, bool]:
  """Symbols, and whether the code was sound, and exhausted."""
  decoder, symbol, symbols = rans.Decoder.of_compact(body), np.zeros(1, np.int64), []
  for _ in range(num_symbols):
    decoder.decode(cdf[np.newaxis], symbol)
    symbols.append(int(symbol[0]))
  return symbols, bool(decoder.sound()[0]), decoder.exhausted()


def test_nothing_coded_is_no_bytes():
  assert rans.encode_compact(np.zeros((0, 2), np.uint32)) == b''
  assert decode_compact(b'', FLAT, 0) == ([], True, False)


def test_compact_bytes_are_as_the_format_says():
  """By hand: from 2**12, the symbols that are decoded last are coded first; each of 8 bits."""
  state = 1 << 12
  for symbol in (7, 200):
    state = state // (1 << 16) * TOTAL + state % (1 << 16) + (symbol << 16)
  assert rans.encode_compact(intervals_of(FLAT, np.array([200, 7]))) == state.to_bytes(4, 'little')


@pytest.mark.parametrize('num_symbols', range(14))
def test_compact_codes_of_any_length(num_symbols):
  """With and without words, and with each number of bytes that a state may have."""
  for seed in range(30):
    symbols = np.random.default_rng(seed).integers(0, 256, num_symbols)
    body = rans.encode_compact(intervals_of(FLAT, symbols))
    assert len(body) <= num_symbols + 3
    assert decode_compact(body, FLAT, num_symbols) == (symbols.tolist(), True, False)


@pytest.mark.parametrize(
  'body', [b'\0\x10', b'\0', bytes(8), b'\5\0', bytes(9), b'\1' * 4 + bytes(5), b'\1' * 8 + bytes(1)]
)
def test_there_is_one_way_to_write_a_state(body):
  assert not decode_compact(body, FLAT, 0)[1]


def test_a_compact_code_that_ends_early_is_exhausted():
  """Of a state nothing is left in the end, where the first symbols are as unlikely as can be."""
  cdf = np.concatenate([np.arange(1000), np.linspace(1000, TOTAL, 50)]).astype(np.uint32)
  symbols = np.random.default_rng(0).integers(0, 1049, 2000)
  body = rans.encode_compact(intervals_of(cdf, symbols))
  assert decode_compact(body, cdf, 2000) == (symbols.tolist(), True, False)
  for kept in (0, 5, 9):
    _, sound, exhausted = decode_compact(body[:kept], cdf, 2000)
    assert exhausted and not sound


def test_a_code_that_ends_early_is_exhausted():
  decoder, symbol = rans.Decoder([rans.encode(intervals_of(FLAT, np.arange(100)))[:-4]]), np.zeros(1, np.int64)
  assert not decoder.exhausted()
  for _ in range(100):
    decoder.decode(FLAT[np.newaxis], symbol)
  assert decoder.exhausted()
