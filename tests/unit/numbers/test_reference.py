"""Side information of floats decoded anew, from docs/FORMAT.md, one decision after the other."""

import struct

import numpy as np
import pytest

from language_modeling_is_compression.audio.pcm import SampleKind
from language_modeling_is_compression.numbers.conversion import integers_from_patterns

MASK = (1 << 48) - 1
DIVISORS = (32_767, 8_388_607, 2_147_483_647)


class Reader:
  """Numbers and decisions of bytes."""

  def __init__(self, data: bytes):
    self.data, self.at = data, 0

  def number(self) -> int:
    value, shift = 0, 0
    while True:
      byte = self.data[self.at]
      self.at += 1
      value |= (byte & 127) << shift
      shift += 7
      if byte < 128:
        return -(value + 1) // 2 if value & 1 else value // 2

  def begin(self) -> None:
    self.low, self.high = 0, MASK
    self.models: dict[tuple, tuple[int, int]] = {}
    self.value = int.from_bytes(self.data[self.at : self.at + 6].ljust(6, b'\0'), 'big')

  def bit(self, *model) -> int:
    chance, count = self.models.get(model, (1 << 29, 0))
    split = self.low + ((self.high - self.low) >> 22) * min(max(chance >> 8, 1), (1 << 22) - 1)
    bit = int(self.value <= split)
    if bit:
      self.high = split
    else:
      self.low = split + 1
    chance += 2 * ((bit << 30) - chance) // (2 * count + 3)
    self.models[model] = (chance, min(count + 1, 1000))
    while self.low >> 40 == self.high >> 40:
      self.at += 1
      following = self.data[self.at + 5] if self.at + 5 < len(self.data) else 0
      self.low = self.low << 8 & MASK
      self.high = self.high << 8 & MASK | 255
      self.value = self.value << 8 & MASK | following
    return bit

  def mantissa(self, num_bits: int, context: int) -> int:
    found = 0
    for place in range(num_bits):
      found |= self.bit('mantissa', context, place, found == 0) << place
    return found


def order_of(value: float, width: int) -> int:
  bits = int.from_bytes(struct.pack('<f' if width == 4 else '<d', value), 'little')
  top = 1 << (8 * width - 1)
  return bits if bits < top else -1 - (bits - top)


def rounded(value: float, single: bool) -> float:
  return float(np.float32(value)) if single else value


def halves(value: float) -> tuple[float, float]:
  scaled = (2**27 + 1.0) * value
  upper = scaled - (scaled - value)
  return upper, value - upper


def lacking(first: float, second: float) -> float:
  (a1, a2), (b1, b2) = halves(first), halves(second)
  return ((a1 * b1 - first * second) + a1 * b2 + a2 * b1) + a2 * b2


def by_factor(k: int, first: int, flags: int, g: float) -> tuple[float, int]:
  """The value, and its context."""
  single, divides = bool(flags & 2), flags & 1
  x = float(k)
  if first:
    divisor = DIVISORS[(first - 1) // 2]
    x = rounded(k / divisor if first % 2 else k * rounded(1 / divisor, single), single)
  v = rounded(x / g if divides else x * g, single)
  error = ((x - v * g) - lacking(v, g)) / g if divides else lacking(x, g) + (x * g - v)
  kind = np.float32 if single else np.float64
  distance = float(np.nextafter(kind(v), kind(np.copysign(np.inf, v)))) - v
  return v, 13 + round(min(max(24 * error / distance, -12), 12)) if k else 0


def decoded(integers: list[int], side: bytes, width: int) -> list[int]:
  """Orders of one channel."""
  mantissa_bits, exponent_bits, least = (23, 8, -126) if width == 4 else (52, 11, -1022)
  reader = Reader(side)
  assert reader.number() == len(side) - reader.at
  way = side[reader.at]
  reader.at += 1
  if way == 0:
    return [reader.number()] * len(integers)
  if way in (1, 2):
    exponent = reader.number()
  else:
    assert way == 3
    factor = struct.unpack_from('<BBd', side, reader.at)
    reader.at += 10
  is_coded = reader.at < len(side)
  reader.begin()
  history, found = 3, []
  for k in integers:
    free, context = 0, int(k != 0)
    if way == 3:
      value, context = by_factor(k, *factor)
    else:
      value = k * 2.0**exponent
    base = order_of(value, width)
    if way == 2 and k:
      free = min(max(exponent - max(abs(k).bit_length() - 1 + exponent, least) + mantissa_bits, 0), mantissa_bits)
      context += 2 * (free > 0)
    if not is_coded:
      found.append(base)
      continue
    regular = reader.bit('regular', context, history)
    history = (history << 1 | regular) & 3
    if regular:
      magnitude = base if base >= 0 else -1 - base
      order = (magnitude >> free << free) | reader.mantissa(free, free)
      order = order if base >= 0 else -1 - order
    elif free == 0 and reader.bit('small', context):
      up = reader.bit('up', context, base < 0)
      size = 1 + reader.bit('two', up)
      order = base + size if up else base - size
    else:
      negative, exponent_field = reader.bit('negative'), 1
      for _ in range(exponent_bits):
        exponent_field = exponent_field << 1 | reader.bit('exponent', exponent_field)
      order = (exponent_field - (1 << exponent_bits) << mantissa_bits) | reader.mantissa(mantissa_bits, 0)
      order = -1 - order if negative else order
    found.append(order)
  return found


def sounds() -> dict[str, np.ndarray]:
  rng, times = np.random.default_rng(0), np.arange(1500)
  tone = 0.3 * np.sin(0.05 * times) + rng.normal(0, 0.003, len(times))
  whole = np.round(tone * 32768)
  single = whole.astype(np.float32)
  odd = single / np.float32(32768)
  odd[[5, 700, 701]] = [np.nan, -np.inf, 1e-42]
  return {
    'one value': np.full(20, -0.3),
    'exact': odd,
    'scale': tone.astype(np.float32),
    'scale, 64': tone,
    'factor': single / np.float32(32767),
    'rounded twice': single * np.float32(0.7123 / 32768) * np.float32(0.6117),
    'rounded twice, 64': whole * (0.7123 / 32768) * 0.6117,
    'divided and made quieter, 64': whole / 32767 * 0.61,
  }


@pytest.mark.parametrize('name', sounds())
def test_another_decoder_finds_the_same(name):
  values = sounds()[name]
  width = values.itemsize
  patterns = values.view(f'u{width}')[:, np.newaxis]
  integers, _, side = integers_from_patterns(patterns, SampleKind.FLOAT)
  top = 1 << (8 * width - 1)
  expected = [bits if bits < top else -1 - (bits - top) for bits in patterns[:, 0].tolist()]
  assert decoded(integers[:, 0].tolist(), side, width) == expected
