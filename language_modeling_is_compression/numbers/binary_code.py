"""Adaptive binary arithmetic coding in integers, forward in both directions, so that nothing is kept per decision.

The code is a binary fraction; the interval that is left is [low, high] of its next 48 bits, and a decision divides it
in proportion to the probability of a 1 (Rissanen and Langdon, 1979). Bytes leave when both ends agree on them. An
interval that straddles a byte's boundary for long becomes narrow; with 48 bits that costs less than a millionth.

A probability begins at a half and moves towards each decision by 1 / (n + 1.5), n the number of decisions before it, at
most LIMIT.
"""

import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled

LIMIT = 1000
LOW, HIGH, POSITION, VALUE = range(4)  # Places in a coder's state, int64 [4].
_BITS = 48
_BYTES = _BITS // 8
_MASK = (1 << _BITS) - 1
_ONE_BITS = 30  # Of probabilities as they are kept,
_SPLIT_BITS = 22  # and as intervals are divided by them.


def new_models(num: int) -> np.ndarray:
  """Models of decisions: int64 [num, 2], the probability of a 1 of 1 << 30, and the number of decisions so far."""
  models = np.zeros((num, 2), np.int64)
  models[:, 0] = 1 << (_ONE_BITS - 1)
  return models


def new_coder() -> np.ndarray:
  """State of an encoder or, after `start_decoder`, of a decoder."""
  return np.array([0, _MASK, 0, 0], np.int64)


def finish_encoder(coder: np.ndarray, code: np.ndarray) -> bytes:
  """The code, with as few more bytes as tell the interval that is left, 1 to 6. code: uint8, what was written."""
  return code[: coder[POSITION]].tobytes() + _last_bytes(coder)


def start_decoder(coder: np.ndarray, code: np.ndarray) -> None:
  """Reads the first bytes of a code, uint8."""
  first = code[:_BYTES].tobytes().ljust(_BYTES, b'\0')
  coder[VALUE] = int.from_bytes(first, 'big')


def is_whole(coder: np.ndarray, code: np.ndarray) -> bool:
  """Whether a decoder that is through has come to the end of its code, and that is as an encoder writes it."""
  return code[coder[POSITION] :].tobytes() == _last_bytes(coder)


def _last_bytes(coder: np.ndarray) -> bytes:
  low, high = int(coder[LOW]), int(coder[HIGH])
  for num_bytes in range(1, _BYTES + 1):
    unit = _BITS - 8 * num_bytes
    last = (low + (1 << unit) - 1) >> unit
    if last << unit <= high:
      break
  return last.to_bytes(num_bytes, 'big')


@compiled
def encode_bit(coder, models, model, bit, code):
  """Writes a decision. code: uint8, with room for 6 more bytes at least."""
  _narrow(coder, models, model, bit, _split(coder, models, model))
  while (coder[LOW] ^ coder[HIGH]) >> (_BITS - 8) == 0:
    code[coder[POSITION]] = coder[LOW] >> (_BITS - 8)
    _shift(coder)


@compiled
def decode_bit(coder, models, model, code):
  """Inverse of `encode_bit`: the decision. Past the end of a damaged code come zeros."""
  split = _split(coder, models, model)
  bit = np.int64(1) if coder[VALUE] <= split else np.int64(0)
  _narrow(coder, models, model, bit, split)
  while (coder[LOW] ^ coder[HIGH]) >> (_BITS - 8) == 0:
    _shift(coder)
    place = coder[POSITION] + _BYTES - 1
    byte = np.int64(code[place]) if place < len(code) else np.int64(0)
    coder[VALUE] = ((coder[VALUE] << 8) & _MASK) | byte
  return bit


@compiled
def _split(coder, models, model):
  """The last value of the part for a 1, below the interval's end."""
  chance = min(max(models[model, 0] >> (_ONE_BITS - _SPLIT_BITS), np.int64(1)), np.int64((1 << _SPLIT_BITS) - 1))
  return coder[LOW] + ((coder[HIGH] - coder[LOW]) >> _SPLIT_BITS) * chance


@compiled
def _narrow(coder, models, model, bit, split):
  """Takes the part of a decision, and learns of it."""
  if bit:
    coder[HIGH] = split
  else:
    coder[LOW] = split + 1
  _learn(models, model, bit)


@compiled
def _learn(models, model, bit):
  target = np.int64(1 << _ONE_BITS) if bit else np.int64(0)
  models[model, 0] += 2 * (target - models[model, 0]) // (2 * models[model, 1] + 3)
  if models[model, 1] < LIMIT:
    models[model, 1] += 1


@compiled
def _shift(coder):
  coder[LOW] = (coder[LOW] << 8) & _MASK
  coder[HIGH] = ((coder[HIGH] << 8) & _MASK) | 255
  coder[POSITION] += 1
