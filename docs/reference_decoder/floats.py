"""Floats from integers and side information: "Floats" in the part "Samples that are no integers" of docs/FORMAT.md."""

import itertools
import lzma
import struct
from typing import Any, NamedTuple

import numpy as np

from reference_decoder.models import require
from reference_decoder.segments import read_number

DIVISORS = (32_767, 8_388_607, 2_147_483_647)
MASK = (1 << 48) - 1
SEPARATE_CHANNELS = 64
LIST = [{'id': lzma.FILTER_LZMA1, 'dict_size': 1 << 20, 'lc': 0, 'lp': 2, 'pb': 2}]


class Precision(NamedTuple):
  """sample_bytes and NumPy's type; bits of mantissa and exponent, and the least normal exponent."""

  width: int
  floats: type
  mantissa_bits: int
  exponent_bits: int
  least: int

  def order(self, value: np.float64) -> int:
    """Of the value, rounded."""
    bits = int.from_bytes(self.floats(value).astype(f'<f{self.width}').tobytes(), 'little')
    top = 1 << (8 * self.width - 1)
    return bits if bits < top else -1 - (bits - top)

  def pattern(self, order: int) -> int:
    top = 1 << (8 * self.width - 1)
    return order % top if order >= 0 else top + (-1 - order) % top


PRECISIONS = {
  2: Precision(2, np.float16, 10, 5, -14),
  4: Precision(4, np.float32, 23, 8, -126),
  8: Precision(8, np.float64, 52, 11, -1022),
}


class Base(NamedTuple):
  """What is known of a sample before its decisions: an order, free bits at its end, a context."""

  order: int
  free: int
  context: int


class Factor(NamedTuple):
  f: int
  divides: bool
  is_single: bool
  g: np.float64

  @property
  def divisor(self) -> int:
    return DIVISORS[(self.f - 1) // 2] if self.f else 1

  @property
  def unit(self) -> np.float64:
    return np.float64(1.0) / self.divisor / self.g if self.divides else self.g / self.divisor

  def base(self, k: int, precision: Precision) -> Base:
    q = np.float32 if self.is_single else np.float64
    x = np.float64(k)
    if self.f % 2:
      x = np.float64(q(x / self.divisor))
    elif self.f:
      x = np.float64(q(x * np.float64(q(1.0 / self.divisor))))
    v = np.float64(q(x / self.g if self.divides else x * self.g))
    divided = ((x - v * self.g) - _lacking(v, self.g)) / self.g
    error = divided if self.divides else _lacking(x, self.g) + (x * self.g - v)
    distance = 24 * error / np.float64(np.spacing(q(v)))
    d = int(np.rint(np.clip(distance, -12, 12))) if np.isfinite(distance) else 0
    return Base(precision.order(v), 0, 13 + d if k else 0)


def _lacking(a: np.float64, b: np.float64) -> np.float64:
  """What rounding took from the product a b."""
  (a1, a2), (b1, b2) = _halves(a), _halves(b)
  return ((a1 * b1 - a * b) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: np.float64) -> tuple[np.float64, np.float64]:
  c = np.float64(2**27 + 1) * a
  upper = c - (c - a)
  return upper, a - upper


def patterns_of_floats(frames: list[list[int]], side: bytes, width: int) -> list[list[int]]:
  """Patterns [frame][channel] of integers. Raises ValueError if the side information is not sound."""
  precision, num_channels = PRECISIONS[width], len(frames[0])
  together = num_channels > SEPARATE_CHANNELS
  columns = (
    [[k for frame in frames for k in frame]] if together else [list(column) for column in zip(*frames, strict=True)]
  )
  found = []
  with np.errstate(all='ignore'):
    for column in columns:
      size, side = read_number(side)
      require(0 < size <= len(side), 'a description is longer than the side information')
      orders = _orders(column, side[:size], precision, alone=not together)
      found.append([precision.pattern(order) for order in orders])
      side = side[size:]
  require(not side, 'something follows the last description')
  if together:
    return [found[0][start : start + num_channels] for start in range(0, len(found[0]), num_channels)]
  return [list(frame) for frame in zip(*found, strict=True)]


def _orders(integers: list[int], description: bytes, precision: Precision, *, alone: bool) -> list[int]:
  """Of the samples of one description."""
  way, rest = description[0], description[1:]
  if way == 0:
    order, rest = read_number(rest)
    require(not rest and not any(integers), 'one pattern, and more than that')
    return [order] * len(integers)
  if way == 4:
    return _orders_of_list(integers, rest, precision)
  if way in (1, 2):
    exponent, rest = read_number(rest)
    require(-1100 <= exponent <= 1100, 'an exponent that is out of range')
    bases = [_scaled(k, exponent, precision, has_free=way == 2) for k in integers]
  elif way == 3:
    factor, rest = _read_factor(rest)
    bases = [factor.base(k, precision) for k in integers]
  else:
    require(way == 5 and alone, f'way {way}')
    bases, rest = _bases_of_two(integers, rest, precision)
  return Decisions(rest, precision).orders(bases) if rest else [base.order for base in bases]


def _scaled(k: int, exponent: int, precision: Precision, *, has_free: bool) -> Base:
  order, m = precision.order(np.ldexp(np.float64(k), exponent)), precision.mantissa_bits
  free = (
    min(max(exponent - max(abs(k).bit_length() - 1 + exponent, precision.least) + m, 0), m) if has_free and k else 0
  )
  return Base(order, free, (k != 0) + 2 * (free > 0))


def _read_factor(data: bytes) -> tuple[Factor, bytes]:
  require(len(data) >= 10, 'no room for a factor')
  f, flags, g = struct.unpack_from('<BBd', data)
  require(f <= 6 and flags <= 3 and 0.0 < g < np.inf, 'no factor')
  return Factor(f, bool(flags & 1), bool(flags & 2), np.float64(g)), data[10:]


def _bases_of_two(integers: list[int], data: bytes, precision: Precision) -> tuple[list[Base], bytes]:
  quiet, data = _read_factor(data)
  loud, data = _read_factor(data)
  ratio = quiet.unit / loud.unit
  require(bool(0 < ratio <= 1), 'the quiet factor is the louder one')
  count, data = read_number(data)
  require(1 <= count <= len(integers) + 1, 'too many stretches')
  bases: list[Base] = []
  for stretch in range(count):
    length, data = read_number(data)
    require(0 <= length <= len(integers) - len(bases), 'stretches are longer than the segment')
    for k in integers[len(bases) : len(bases) + length]:
      if stretch % 2:
        bases.append(loud.base(int(np.rint(k * ratio)), precision)._replace(context=30))
      else:
        bases.append(quiet.base(k, precision))
  require(len(bases) == len(integers), 'stretches are shorter than the segment')
  return bases, data


def _orders_of_list(integers: list[int], data: bytes, precision: Precision) -> list[int]:
  count, data = read_number(data)
  require(1 <= count <= min(65_536, len(integers)), 'a list of too many values')
  width, size = precision.width, count * (precision.width + 4)
  decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=LIST)
  try:
    planes = decompressor.decompress(data, size + 1)
  except (lzma.LZMAError, EOFError) as error:
    raise ValueError(f'not an LZMA stream: {error}') from error
  require(len(planes) == size and not decompressor.unused_data, 'a list that is too long or too short')
  orders = _summed(planes[: count * width], width)
  places = _summed(planes[count * width :], 4)
  rising = all(before < after for before, after in itertools.pairwise(places))
  require(rising and max(abs(places[0]), abs(places[-1])) <= 524_288, 'places that do not rise')
  values = dict(zip(places, orders, strict=True))
  require(all(k in values for k in integers), 'an integer that is not in the list')
  return [values[k] for k in integers]


def _summed(planes: bytes, width: int) -> list[int]:
  """Integers of so many bytes, from planes of their differences."""
  found, last, count = [], 0, len(planes) // width
  for number in range(count):
    step = int.from_bytes(planes[number::count], 'little')
    last = (last + step + (1 << (8 * width - 1))) % (1 << (8 * width)) - (1 << (8 * width - 1))
    found.append(last)
  return found


class Decisions:
  """A code that is not empty."""

  def __init__(self, code: bytes, precision: Precision):
    self._code, self._precision = code, precision
    self._taken, self._low, self._high = 0, 0, MASK
    self._value = int.from_bytes(code[:6].ljust(6, b'\0'), 'big')
    self._models: dict[Any, tuple[int, int]] = {}

  def orders(self, bases: list[Base]) -> list[int]:
    history, found = 3, []
    for base in bases:
      regular = self._bit('regular', base.context, history)
      history = (2 * history + regular) % 4
      found.append(self._regular(base) if regular else self._other(base))
    self._finish()
    return found

  def _regular(self, base: Base) -> int:
    magnitude = base.order if base.order >= 0 else -1 - base.order
    magnitude = (magnitude >> base.free << base.free) | self._mantissa(base.free, base.free)
    return magnitude if base.order >= 0 else -1 - magnitude

  def _other(self, base: Base) -> int:
    if base.free == 0 and self._bit('small', base.context):
      up = self._bit('up', base.context, base.order < 0)
      distance = 1 + self._bit('two', up)
      return base.order + distance if up else base.order - distance
    negative, exponent = self._bit('negative'), 1
    for _ in range(self._precision.exponent_bits):
      exponent = 2 * exponent + self._bit('exponent', exponent)
    exponent -= 1 << self._precision.exponent_bits
    mantissa = self._mantissa(self._precision.mantissa_bits, 0)
    magnitude = (exponent << self._precision.mantissa_bits) | mantissa
    return -1 - magnitude if negative else magnitude

  def _mantissa(self, num_bits: int, context: int) -> int:
    found = 0
    for place in range(num_bits):
      found |= self._bit('mantissa', context, place, found == 0) << place
    return found

  def _bit(self, *model: Any) -> int:
    chance, count = self._models.get(model, (1 << 29, 0))
    split = self._low + ((self._high - self._low) >> 22) * min(max(chance >> 8, 1), (1 << 22) - 1)
    bit = int(self._value <= split)
    self._low, self._high = (self._low, split) if bit else (split + 1, self._high)
    chance += 2 * ((bit << 30) - chance) // (2 * count + 3)
    self._models[model] = chance, min(count + 1, 1000)
    while self._low >> 40 == self._high >> 40:
      following = self._code[self._taken + 6 : self._taken + 7] or b'\0'
      self._taken += 1
      self._low = self._low << 8 & MASK
      self._high = self._high << 8 & MASK | 255
      self._value = self._value << 8 & MASK | following[0]
    return bit

  def _finish(self) -> None:
    for num_bytes in range(1, 7):
      unit = 48 - 8 * num_bytes
      last = -(-self._low >> unit)
      if last << unit <= self._high:
        break
    require(self._code[self._taken :] == last.to_bytes(num_bytes, 'big'), 'a code does not end as it should')
