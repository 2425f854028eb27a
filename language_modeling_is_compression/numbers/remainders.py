"""What integers leave open of the bit patterns of floats, coded decision by decision.

Each sample has a base, which its integer stands for, and a number of free bits at the end of its mantissa. A pattern
that differs from its base in free bits alone is regular, and these bits are coded, from the lowest one up, since the
low ones of numbers that once had fewer are all 0. Where no bit is free, one may be a step or two beside its base, as
numbers are that were rounded twice. All others are coded whole: sign, exponent, mantissa.

Patterns are in the order of `patterns.py`. Shapes: N samples.
"""

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.numbers import binary_code
from language_modeling_is_compression.numbers.binary_code import POSITION, decode_bit, encode_bit
from language_modeling_is_compression.numbers.patterns import Precision

_ENCODE, _DECODE = range(2)
_ROOM = 64 * 6  # Bytes that a sample's decisions may take, all of them being as unlikely as can be.

NUM_CONTEXTS = 32  # What a caller knows of a sample, as a number below this.

# Models: of regular samples and of steps, by context, the first also by the last two samples; of signs and exponents,
# as a tree; and of mantissas by how many bits are free, which it is, and whether all below are 0.
_REGULAR = 0
_SMALL = _REGULAR + 4 * NUM_CONTEXTS
_UP = _SMALL + NUM_CONTEXTS
_TWO = _UP + 2 * NUM_CONTEXTS
_SIGN = _TWO + 2
_EXPONENT = _SIGN + 1
_MANTISSA = _EXPONENT + 2048
_PLACES = 53
_NUM_MODELS = _MANTISSA + _PLACES * _PLACES * 2


def encode(
  orders: np.ndarray, bases: np.ndarray, free: np.ndarray, contexts: np.ndarray, precision: Precision
) -> bytes:
  """Code of patterns, int64 [N], by their bases, int64 [N], by their free bits, and by contexts, which
  are any that the decoder has, too: int64 [N], below NUM_CONTEXTS."""
  code = np.empty(len(orders) * 2 + 4096, np.uint8)
  while True:
    coder = binary_code.new_coder()
    through = _run(
      coder, binary_code.new_models(_NUM_MODELS), _ENCODE, *_parts(precision), orders, bases, free, contexts, code
    )
    if through:
      return binary_code.finish_encoder(coder, code)
    code = np.empty(2 * len(code), np.uint8)


def decode(
  code: bytes, bases: np.ndarray, free: np.ndarray, contexts: np.ndarray, precision: Precision
) -> np.ndarray | None:
  """Inverse of `encode`; None for what is longer or shorter than its decisions."""
  orders = np.zeros(len(bases), np.int64)
  data = np.frombuffer(bytearray(code), np.uint8)  # Writable, as the encoder's, for one compiled function.
  coder = binary_code.new_coder()
  binary_code.start_decoder(coder, data)
  _run(coder, binary_code.new_models(_NUM_MODELS), _DECODE, *_parts(precision), orders, bases, free, contexts, data)
  return orders if binary_code.is_whole(coder, data) else None


def _parts(precision: Precision) -> tuple[int, int]:
  return precision.mantissa_bits, precision.exponent_bits


@compiled
def _run(coder, models, purpose, mantissa_bits, exponent_bits, orders, bases, free, contexts, code):
  """Codes all samples either way. False where the code has no more room."""
  history = np.int64(3)
  for t in range(len(orders)):
    if purpose == _ENCODE and coder[POSITION] + _ROOM > len(code):
      return False
    base, num_free, order, context = bases[t], free[t], orders[t], contexts[t]
    regular = _decide(
      coder, models, purpose, _REGULAR + 4 * context + history, (order >> num_free) == (base >> num_free), code
    )
    history = ((history << 1) | regular) & 3
    if regular:
      sign = np.int64(-1) if base < 0 else np.int64(0)
      low = _mantissa(coder, models, purpose, num_free, num_free, order ^ sign, code)
      orders[t] = ((((base ^ sign) >> num_free) << num_free) | low) ^ sign
    elif num_free == 0 and _decide(coder, models, purpose, _SMALL + context, base - 2 <= order <= base + 2, code):
      orders[t] = _step(coder, models, purpose, context, base, order, code)
    else:
      orders[t] = _whole(coder, models, purpose, mantissa_bits, exponent_bits, order, code)
  return True


@compiled
def _decide(coder, models, purpose, model, decision, code):
  bit = np.int64(1) if decision else np.int64(0)
  if purpose == _ENCODE:
    encode_bit(coder, models, model, bit, code)
    return bit
  return decode_bit(coder, models, model, code)


@compiled
def _step(coder, models, purpose, context, base, order, code):
  """A pattern at most two steps beside its base."""
  side = np.int64(1) if base < 0 else np.int64(0)
  up = _decide(coder, models, purpose, _UP + 2 * context + side, order > base, code)
  two = _decide(coder, models, purpose, _TWO + up, order == base + 2 or order == base - 2, code)
  return base + (1 + two if up else -1 - two)


@compiled
def _mantissa(coder, models, purpose, num_bits, context, number, code):
  """The low bits of a number, from the lowest one up."""
  low, clear = np.int64(0), np.int64(1)
  for place in range(num_bits):
    model = _MANTISSA + 2 * (_PLACES * context + place) + clear
    bit = _decide(coder, models, purpose, model, (number >> place) & 1 != 0, code)
    low |= bit << place
    if bit:
      clear = np.int64(0)
  return low


@compiled
def _whole(coder, models, purpose, mantissa_bits, exponent_bits, order, code):
  negative = _decide(coder, models, purpose, _SIGN, order < 0, code)
  magnitude = ~order if order < 0 else order
  exponent = np.int64(1)  # Behind a leading 1: the node of the tree.
  for place in range(exponent_bits - 1, -1, -1):
    bit = (magnitude >> (mantissa_bits + place)) & 1
    exponent = (exponent << 1) | _decide(coder, models, purpose, _EXPONENT + exponent, bit != 0, code)
  exponent -= 1 << exponent_bits
  mantissa = _mantissa(coder, models, purpose, mantissa_bits, 0, magnitude, code)
  found = (exponent << mantissa_bits) | mantissa
  return ~found if negative else found
