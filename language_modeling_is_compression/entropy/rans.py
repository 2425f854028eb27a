"""Entropy coding with integers: range asymmetric numeral systems (Duda, arXiv 1311.2540), a word at a time.

The state is an integer of 64 bits, at least 2**32. Coding a symbol whose interval is [start, start + size) of
2**PRECISION_BITS takes the state x to (x // size) * 2**PRECISION_BITS + x % size + start, and moves its low 32 bits out
first where the result would not fit. Decoding does the same backwards, so the encoder begins with the last symbol, and
the decoder must end with the state that the encoder began with: damage rarely leaves it so, but it may, so checksums
stand around the code.

A compact code begins with the state 2**12 instead, for short codes: fewer of its bits tell of damage. Its first states
are below 2**32, and no word has left them: the decoder, when all words are taken, lets the state become as small again.

Shapes: N symbols, L lanes, V vocabulary.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled

PRECISION_BITS = 24  # Intervals lie in [0, 1 << PRECISION_BITS).

_FIRST_STATE = 1 << 32
_STATE_BYTES = 8
# A state below the size of an interval leaves no bits in it, so this costs next to nothing; but smaller ones are often
# within an interval that begins at 0, where states stay what they are, so that damage would end at them.
_FIRST_COMPACT_STATE = 1 << 12
_LEAST_STATE_BYTES = 5  # Of a state that words have left.
_WORD_BYTES = 4


def encode(*blocks: np.ndarray) -> bytes:
  """Code of the symbols of all blocks of intervals: uint32 [N, 2], start and size of each symbol's.

  Sizes are at least 1 and below 1 << PRECISION_BITS.
  Returns the final state and then the words that left it, the last one first, little-endian: 8 + 4 * n bytes.
  """
  state, words = _code(blocks, _FIRST_STATE)
  return state.to_bytes(_STATE_BYTES, 'little') + words


def encode_compact(*blocks: np.ndarray) -> bytes:
  """Compact code of the symbols of all blocks: the final state in as few bytes as it has, and then the words.

  That is what the intervals say and up to 32 bits, since the symbol that is coded first takes 24 where it should take
  fewer, and a byte may not be full; none for a state that is still the first. How many bytes the state has follows from
  how many there are: 5 to 8, or all, where there are no words.
  """
  state, words = _code(blocks, _FIRST_COMPACT_STATE)
  if state == _FIRST_COMPACT_STATE:
    return b''
  return state.to_bytes(-(-state.bit_length() // 8), 'little') + words


def _code(blocks: Sequence[np.ndarray], first: int) -> tuple[int, bytes]:
  """The final state, and the words that left it; first: the state that coding begins with."""
  state, words = np.uint64(first), []
  for intervals in reversed(blocks):
    left = np.empty(len(intervals) + 1, np.uint32)
    state, count = _encode(intervals, left, np.uint64(state))
    words.append(left[:count][::-1])
  return int(state), np.concatenate(words[::-1]).astype('<u4').tobytes()


def code_lengths(intervals: np.ndarray) -> np.ndarray:
  """Ideal code lengths of symbols, in bits: float64 [...] of intervals uint32 [..., 2], start and size."""
  return PRECISION_BITS - np.log2(intervals[..., 1])


class Decoder:
  """Decodes lanes in step, each from its own bytes, as `encode` wrote them. Damage never stops it; see `sound`."""

  _is_compact = False

  def __init__(self, lanes: Sequence[bytes]):
    self._well_formed = np.array([len(body) >= _STATE_BYTES and len(body) % 4 == 0 for body in lanes], bool)
    bodies = [body if fine else bytes(_STATE_BYTES) for body, fine in zip(lanes, self._well_formed, strict=True)]
    states = np.array([int.from_bytes(body[:_STATE_BYTES], 'little') for body in bodies], np.uint64)
    self._well_formed &= states >= _FIRST_STATE
    self._states = np.maximum(states, np.uint64(_FIRST_STATE))
    self._words = np.frombuffer(b''.join(body[_STATE_BYTES:] for body in bodies), '<u4').astype(np.uint32)
    self._ends = np.cumsum([(len(body) - _STATE_BYTES) // 4 for body in bodies], dtype=np.int64)
    self._next = np.concatenate([[0], self._ends[:-1]]).astype(np.int64)

  @classmethod
  def of_compact(cls, body: bytes) -> Self:
    """The decoder of one lane that `encode_compact` wrote."""
    few = len(body) <= _STATE_BYTES
    num_bytes = len(body) if few else _LEAST_STATE_BYTES + (len(body) - _LEAST_STATE_BYTES) % _WORD_BYTES
    state = int.from_bytes(body[:num_bytes], 'little') if body else _FIRST_COMPACT_STATE
    # There is one way to write a state: without bytes of 0 at its end, and the first one in none.
    is_shortest = not body or (body[num_bytes - 1] > 0 and not (few and state == _FIRST_COMPACT_STATE))
    decoder = cls([max(state, _FIRST_STATE).to_bytes(_STATE_BYTES, 'little') + body[num_bytes:]])
    decoder._is_compact = True
    decoder._well_formed[0] = is_shortest and (few or state >= _FIRST_STATE)
    decoder._states[0] = state
    return decoder

  @property
  def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """First arguments of `decode_symbols`, for loops that are compiled themselves."""
    return self._states, self._words, self._next, self._ends

  def decode(self, cdfs: np.ndarray, symbols: np.ndarray) -> None:
    """Writes the next symbol of each of the first lanes to symbols, int64 [L]; cdfs: uint32 [L, V + 1]."""
    decode_symbols(*self.arrays, cdfs, symbols)

  def exhausted(self) -> bool:
    """Whether a lane is damaged for sure, since it went on beyond its end: what is left need not be decoded.

    A compact code that goes on beyond it may also stay at a state above 0, in the first interval.
    """
    return bool((self._states == 0).any() if self._is_compact else (self._next > self._ends).any())

  def sound(self) -> np.ndarray:
    """Whether each lane has come to the end of its code, and to the state that the encoder began with: bool [L]."""
    if self._is_compact:
      return self._well_formed & (self._states == _FIRST_COMPACT_STATE) & (self._next >= self._ends)
    return self._well_formed & (self._states == _FIRST_STATE) & (self._next == self._ends)


@compiled
def _encode(intervals, words, state):
  count = 0
  for index in range(len(intervals) - 1, -1, -1):
    start, size = np.uint64(intervals[index, 0]), np.uint64(intervals[index, 1])
    if state >> np.uint64(64 - PRECISION_BITS) >= size:
      words[count] = state & np.uint64(0xFFFFFFFF)
      count += 1
      state >>= np.uint64(32)
    state = ((state // size) << np.uint64(PRECISION_BITS)) + state % size + start
  return state, count


@compiled
def decode_symbols(states, words, following, ends, cdfs, symbols):
  """`Decoder.decode` on its arrays."""
  for lane in range(len(symbols)):
    here = slot(states, lane)
    low, high = 0, cdfs.shape[1] - 1
    while high - low > 1:
      middle = (low + high) >> 1
      if np.int64(cdfs[lane, middle]) <= here:
        low = middle
      else:
        high = middle
    start = np.int64(cdfs[lane, low])
    pop(states, words, following, ends, lane, start, np.int64(cdfs[lane, low + 1]) - start)
    symbols[lane] = low


@compiled
def slot(states, lane):
  """Slot of the next symbol: a number in its interval, of 1 << PRECISION_BITS."""
  return np.int64(states[lane] & np.uint64((1 << PRECISION_BITS) - 1))


@compiled
def pop(states, words, following, ends, lane, start, size):
  """Takes the symbol out whose interval holds the slot."""
  state = states[lane]
  inside = (state & np.uint64((1 << PRECISION_BITS) - 1)) - np.uint64(start)
  state = np.uint64(size) * (state >> np.uint64(PRECISION_BITS)) + inside
  if state < np.uint64(_FIRST_STATE):
    # Past the end of a lane the state gets smaller; of one that is damaged, or compact, and `sound` tells them apart.
    if following[lane] < ends[lane]:
      state = (state << np.uint64(32)) | np.uint64(words[following[lane]])
    following[lane] += 1
  states[lane] = state
