"""A decoder of a hybrid model's segments written from docs/FORMAT.md, in the order of the document.

It takes nothing from the package, and is Python's integers and floats alone, which are IEEE 754 doubles; NumPy's
float32 stands for single precision. It says things as the document says them rather than fast: a few hundred
samples per second.

Shapes: F 48 features, E embedding_dim, H heads, O 25 outputs, K 8 components of the network, J 32 of the experts.
"""

import math
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from numpy import float32 as single

INTERVAL_BITS = 24
GROUP_CHANNELS = 8
BLOCK = 4096  # Frames that have the same lags.
FAR = 1e30


class Matrix(NamedTuple):
  """weights: [inputs][outputs]."""

  weights: list[list[int]]
  shift: int


class Layer(NamedTuple):
  queries: Matrix
  keys: Matrix
  values: Matrix
  attention_output: Matrix
  feed_forward_in: Matrix
  feed_forward_out: Matrix
  lag_bias: list[list[int]]  # [H][W]
  score_shift: int


class Network(NamedTuple):
  num_heads: int
  input: Matrix
  input_bias: list[int]
  layers: list[Layer]
  output: Matrix
  output_bias: list[int]


class Segment(NamedTuple):
  """What is known of one, or of a group of its channels, beside its body."""

  num_frames: int
  num_channels: int
  sample_bytes: int
  sample_rate_hz: int
  effort: int


class Values(NamedTuple):
  """Of one channel: sample = step * index + offset; edges: of the cells in the zone, [Z + 1], from its start."""

  step: int
  offset: int
  least: int
  largest: int
  zone_start: int
  edges: list[float]

  @property
  def num_indices(self) -> int:
    return self.largest - self.least + 1

  @property
  def num_bytes(self) -> int:
    """Of a coded index."""
    return ((self.largest - self.least).bit_length() + 7) // 8

  def lower_edge(self, index: int) -> float:
    if index <= self.least:
      return -FAR
    if index > self.largest:
      return FAR
    if self.edges and 0 <= index - self.zone_start < len(self.edges):
      return self.zone_start + self.edges[index - self.zone_start]
    return index - 0.5


# The body.


def decode(body: bytes, network: Network, segment: Segment) -> list[list[int]]:
  """Samples [frame][channel]. Raises ValueError if the body is not sound."""
  return decode_groups(body, segment, lambda coded, channels: Group(coded, network, channels).decode())


def decode_groups(
  body: bytes, segment: Segment, decode_group: Callable[[bytes, Segment], list[list[int]]]
) -> list[list[int]]:
  """Samples [frame][channel], each group's bytes decoded to its own by `decode_group`."""
  groups, rest = [], body
  for first in range(0, segment.num_channels, GROUP_CHANNELS):
    length, rest = read_number(rest)
    require(0 <= length <= len(rest), 'a group is longer than the body')
    channels = segment._replace(num_channels=min(GROUP_CHANNELS, segment.num_channels - first))
    groups.append(decode_group(rest[:length], channels))
    rest = rest[length:]
  require(not rest, 'something follows the last group')
  return [[sample for group in frame for sample in group] for frame in zip(*groups, strict=True)]


def read_number(data: bytes) -> tuple[int, bytes]:
  """A number, and what follows it."""
  value = 0
  for place, byte in enumerate(data[:10]):
    value |= (byte & 127) << 7 * place
    if byte < 128:
      require(value < 1 << 64, 'a number has more than 64 bits')
      return (value // 2 if value % 2 == 0 else -(value + 1) // 2), data[place + 1 :]
  raise ValueError('a number has no end')


class EntropyDecoder:
  def __init__(self, body: bytes):
    require(len(body) >= 8 and len(body) % 4 == 0, 'a code is not a u64 and words')
    (self._x,) = struct.unpack_from('<Q', body)
    require(self._x >= 1 << 32, 'a code begins below 2^32')
    self._words: Iterator[int] = iter(struct.unpack_from(f'<{len(body) // 4 - 2}I', body, 8))

  @property
  def slot(self) -> int:
    return self._x % (1 << INTERVAL_BITS)

  def take(self, start: int, size: int) -> None:
    self._x = size * (self._x >> INTERVAL_BITS) + self.slot - start
    if self._x < 1 << 32:
      word = next(self._words, None)
      require(word is not None, 'a code ends too early')
      self._x = (self._x << 32) + (word or 0)

  def finish(self) -> None:
    require(self._x == 1 << 32 and next(self._words, None) is None, 'a code does not end as it should')


# Values and maps.


def read_group(body: bytes, segment: Segment) -> tuple[list[Values], list[tuple[int, int]], EntropyDecoder]:
  """Values of each channel, both lags of each block, and the code, of which the maps have been decoded."""
  headers = []
  for _ in range(segment.num_channels):
    values, zone, body = _read_values(body, segment.sample_bytes)
    headers.append((values, zone))
  lags, body = read_lags(body, segment.num_frames)
  decoder = EntropyDecoder(body)
  return decode_maps(headers, decoder), lags, decoder


def decode_maps(headers: list[tuple[Values, int]], decoder: EntropyDecoder) -> list[Values]:
  """Values with their edges, of those without and the lengths of their zones."""
  edges = [_edges(_read_map(zone, decoder)) if zone else [] for _, zone in headers]
  return [values._replace(edges=each) for (values, _), each in zip(headers, edges, strict=True)]


def _read_values(data: bytes, sample_bytes: int) -> tuple[Values, int, bytes]:
  """A channel's values, still without edges; the length of its zone; what follows."""
  step, data = read_number(data)
  offset, data = read_number(data)
  least, data = read_number(data)
  span, data = read_number(data)
  zone, data = read_number(data)
  start, data = read_number(data) if zone else (0, data)
  require_sound(step, offset, least, span, zone, start, sample_bytes)
  return Values(step, offset, least, least + span, least + start, []), zone, data


def require_sound(step: int, offset: int, least: int, span: int, zone: int, start: int, sample_bytes: int) -> None:
  limit = 1 << (8 * sample_bytes - 1)
  sound = (
    0 < step <= 2 * limit
    and 0 <= offset < step
    and 0 <= span < 2 * limit
    and -limit <= step * least + offset
    and step * (least + span) + offset < limit
    and 0 <= zone <= min(1 << 17, span + 1)
    and 0 <= start <= span + 1 - zone
  )
  require(sound, 'the values of a channel contradict each other')


def read_lags(
  data: bytes, num_frames: int, read: Callable[[bytes], tuple[int, bytes]] = read_number
) -> tuple[list[tuple[int, int]], bytes]:
  """Both lags of each block, and what follows them. read: of what kind the numbers are."""
  num_blocks = -(-num_frames // BLOCK)
  lags = [(0, 0)] * num_blocks
  count, data = read(data)
  require(count >= 0, 'a negative number of changes')
  block = 0
  for change in range(count):
    blocks, data = read(data)
    require(blocks > 0 or (blocks == 0 and change == 0), 'changes of lags do not follow each other')
    block += blocks
    require(block < num_blocks, 'lags of a block that does not exist')
    first, data = read(data)
    second, data = read(data) if first else (0, data)
    require(all(lag == 0 or 32 <= lag <= BLOCK * block for lag in (first, second)), 'a lag out of reach')
    lags[block:] = [(first, second)] * (num_blocks - block)
  return lags, data


def _read_map(zone: int, decoder: EntropyDecoder) -> list[bool]:
  counts: dict[int, list[int]] = {}
  context = _count(counts, 0, 1)
  used = [True]
  for _ in range(zone - 2):
    no, yes = counts.get(context, [0, 0])
    chance = (((2 * yes + 1) << 15) // (yes + no + 1)) << 8
    bit = 1 if decoder.slot < chance else 0
    decoder.take(*((0, chance) if bit else (chance, (1 << INTERVAL_BITS) - chance)))
    used.append(bool(bit))
    context = _count(counts, context, bit)
  return [*used, True][:zone]


def _count(counts: dict[int, list[int]], context: int, bit: int) -> int:
  pair = counts.setdefault(context, [0, 0])
  pair[bit] += 1
  if pair[bit] > 255:
    pair[0] >>= 1
    pair[1] >>= 1
  return (2 * context + bit) % (1 << 16)


def _edges(used: list[bool]) -> list[float]:
  places = [place for place in range(len(used)) if used[place]]
  edges = [-0.5]
  for before, after in pairwise(places):
    edges += [(before + after) / 2] * (after - before)
  return [*edges, len(used) - 0.5]


# Least squares.

TINY = 1e-200


def dot(a: list[float], b: list[float]) -> float:
  sums = [0.0] * 8
  for i in range(len(a)):
    sums[i % 8] += a[i] * b[i]
  total = sums[0]
  for value in sums[1:]:
    total += value
  return total


class LeastSquares:
  def __init__(self, size: int, forgetting: float, ridge: float, relative_ridge: float):
    self.size = size
    self.coefficients = [0.0] * size
    self._forgetting, self._ridge, self._relative_ridge = forgetting, ridge, relative_ridge
    self.matrix = [[0.0] * size for _ in range(size)]
    self.moments = [0.0] * size

  def accumulate(self, inputs: list[float], target: float, weight: float) -> None:
    for i in range(self.size):
      factor = weight * inputs[i]
      row = self.matrix[i]
      for j in range(i, self.size):
        row[j] = self._forgetting * row[j] + (factor * inputs[j] + TINY)
    factor = weight * target
    for i in range(self.size):
      self.moments[i] = self._forgetting * self.moments[i] + (factor * inputs[i] + TINY)

  def solve(self) -> None:
    size, rows, inverses = self.size, [list(row) for row in self.matrix], []
    scaled = [[0.0] * size for _ in range(size)]
    for k in range(size):
      pivot = rows[k][k] + (self._ridge + self._relative_ridge * self.matrix[k][k])
      if not pivot > 1e-12:
        return
      inverses.append(1.0 / pivot)
      for j in range(k + 1, size):
        scaled[k][j] = rows[k][j] * inverses[k]
      for i in range(k + 1, size):
        for j in range(i, size):
          rows[i][j] -= rows[k][i] * scaled[k][j]
    left, solution = list(self.moments), []
    for k in range(size):
      solution.append(left[k] * inverses[k])
      for j in range(k + 1, size):
        left[j] -= scaled[k][j] * left[k]
    total = 0.0
    for end in range(size, 0, -8):
      for i in range(end - 8, end):
        solution[i] -= dot(scaled[i][end:], solution[end:])
      for i in range(end - 1, end - 9, -1):
        for j in range(end - 1, i, -1):
          solution[i] -= scaled[i][j] * solution[j]
        total += abs(solution[i])
    if total < 1e5:
      self.coefficients = solution


# Cascades.


class Stage:
  def __init__(self, taps: int, rate: float):
    lags = [float(k + 1) for k in range(taps)]
    self._recency = [single(1.0 / (math.sqrt(lag) * math.sqrt(math.sqrt(lag)))) for lag in lags]
    total = 0.0
    for value in self._recency:
      total += float(value)
    self._step = rate / taps * total
    self._weights = [single(0)] * taps
    self._inputs = [single(0)] * taps  # Newest first.
    self.prediction = 0.0

  def predict(self) -> None:
    self.prediction = _halved([w * x for w, x in zip(self._weights, self._inputs, strict=True)])

  def adapt(self, target: float) -> float:
    """Returns what is left for the next stage."""
    target = settled(target)
    error = settled(target - self.prediction)
    squares = [p * (x * x) for p, x in zip(self._recency, self._inputs, strict=True)]
    factor = single(self._step * error / (1.0 + _halved(squares)))
    self._weights = [
      min(max(w + factor * x, single(-10)), single(10)) for w, x in zip(self._weights, self._inputs, strict=True)
    ]
    self._inputs = [single(target), *self._inputs[:-1]]
    return error


def _halved(terms: list[single]) -> float:
  while len(terms) > 16:
    half = len(terms) // 2
    terms = [front + back for front, back in zip(terms[:half], terms[half:], strict=True)]
  total = 0.0
  for term in terms:
    total += float(term)
  return total


# Long-term prediction.


def around(
  t: int, lag: int, base: float, history: list[float], beside: list[float] | None, residuals: list[float]
) -> list[float]:
  """The 24 inputs of one lag. history, beside: all indices of the channel and of its neighbour; None without one."""
  if not lag:
    return [0.0] * 24
  found = [_at(history, t - lag) - base]
  found += [_at(history, t - lag - i) - _at(history, t - i) for i in range(1, 16 if beside is None else 8)]
  if beside is not None:
    newest = len(beside) - 1
    found += [_at(beside, newest - lag - i) - _at(beside, newest - i) for i in range(8)]
  return found + [_at(residuals, frame) for frame in range(t - lag + 4, t - lag - 4, -1)]


def _at(values: list[float], frame: int) -> float:
  return values[frame] if frame >= 0 else 0.0


def settled(value: float) -> float:
  return value if abs(value) > 2.0**-20 else 0.0


# The logistic function.


def _logistic_table() -> list[int]:
  series = sum(Fraction((-1) ** n, 32**n * math.factorial(n)) for n in range(32))
  step = math.floor(series * 2**128)
  upper, power = [], 1 << 128
  for _ in range(641):
    upper.append((1 << 158) // ((1 << 128) + power))
    power = (power * step) >> 128
  table = [(1 << 30) - value for value in reversed(upper[1:])] + upper
  table[0], table[-1] = 0, 1 << 30
  return table


LOGISTIC = _logistic_table()


def _logistic(distance: float) -> int:
  shifted = distance + 640.0
  if not shifted > 0.0:
    return 0
  if shifted >= 1280.0:
    return 1 << 30
  place = int(shifted * 2.0**28)
  index, within = place >> 28, place % (1 << 28)
  return LOGISTIC[index] + (((LOGISTIC[index + 1] - LOGISTIC[index]) * within) >> 28)


# The experts.

OWN = ((16, 16, 8), (32, 32, 16), (32, 32, 16))
OTHER = ((8, 8, 8), (16, 16, 8), (16, 16, 8))
SOLVE_EVERY = ((32, 32, 8), (8, 8, 2), (1, 1, 1))
TAPS = ((256, 64, 32, 16, 64, 32, 16), (1024, 256, 32, 16, 256, 32, 16), (2048, 512, 32, 16, 256, 32, 16))
STAGE_RATES = (0.1, 0.12, 0.06, 0.05, 0.12, 0.06, 0.05)
FORGETTING = (0.997, 0.9995, 0.985)
BLEND_FORGETTING = (0.9985, 0.99)
ERROR_RATES = (1 / 8, 1 / 32, 1 / 128, 1 / 1024)
MULTIPLES = (0.25, 0.4375, 0.75, 1.1875)


class Experts:
  """Of one channel."""

  def __init__(self, values: Values, num_channels: int, effort: int):
    self.low, self.high = float(values.least), float(values.largest)
    self.own = OWN[effort]
    self.other = OTHER[effort] if num_channels > 1 else (0, 0, 0)
    self.solve_every = SOLVE_EVERY[effort]
    self.squares = [LeastSquares(self.own[k] + self.other[k], FORGETTING[k], 0.1, 0.0) for k in range(3)]
    self.weighting = [0.0] * 3
    self.inputs: list[list[float]] = [[], [], []]
    self.stages = [Stage(taps, rate) for taps, rate in zip(TAPS[effort], STAGE_RATES, strict=True)]
    self.blends = [LeastSquares(16, forgetting, 0.03, 0.03) for forgetting in BLEND_FORGETTING]
    self.blend_inputs = [0.0] * 16
    self.blend_error = 16.0
    self.repeats = LeastSquares(48, 0.996, 1.0, 0.0)
    self.solve_long_term_every = (32, 8, 4)[effort]
    self.repeat_inputs: list[float] = []
    self.repeat_error = 0.0
    self.residuals: list[float] = []  # Of every frame,
    self.history: list[float] = []  # and every sample.
    self.samples = [0.0] * 32  # Newest first.
    self.errors = [0.0] * 16
    self.running = [16.0] * 8
    self.weights = [1.0 / 32] * 32
    self.equal_rate = 0.0
    self.unit = 1.0

  def expect(self, t: int, lags: tuple[int, int], neighbour: 'Experts | None') -> None:
    for k in range(3):
      beside = neighbour.samples[: self.other[k]] if neighbour else []
      self.inputs[k] = self.samples[: self.own[k]] + beside
    predictions = [
      self._limited(dot(squares.coefficients, inputs))
      for squares, inputs in zip(self.squares, self.inputs, strict=True)
    ]
    for stage in self.stages:
      stage.predict()
    for first, last, start in ((4, 7, predictions[0]), (0, 4, predictions[1])):
      total = start
      for stage in self.stages[first:last]:
        total += stage.prediction
        predictions.append(self._limited(total))
    base = predictions[9]
    predictions.insert(6, self._limited(base + self._repeated(t, lags, base, neighbour)))
    blended = [predictions[6], predictions[6]]
    for k in range(11):
      self.blend_inputs[k] = predictions[k] - predictions[6]
      for b, blend in enumerate(self.blends):
        blended[b] += blend.coefficients[k] * self.blend_inputs[k]
    self.predictions = predictions
    self.centres = [self._limited(blended[0]), self._limited(blended[1]), predictions[0], predictions[1]]
    self.inverse_scales = [32 / max(self.running[j // 4] * MULTIPLES[j % 4], 1 / 64) for j in range(32)]
    self.unit = max(0.75 * self.running[1], 1 / 64)

  def _repeated(self, t: int, lags: tuple[int, int], base: float, neighbour: 'Experts | None') -> float:
    if not lags[0]:
      self.repeat_inputs = []
      return 0.0
    beside = neighbour.history if neighbour else None
    self.repeat_inputs = [value for lag in lags for value in around(t, lag, base, self.history, beside, self.residuals)]
    return dot(self.repeats.coefficients, self.repeat_inputs)

  def _limited(self, value: float) -> float:
    return min(max(value, self.low), self.high)

  def learn(self, t: int, sample: float, below: float, above: float) -> float:
    """Returns the mass that the experts' mixture gave the sample."""
    mass = self._weigh(below, above)
    for j in range(8):
      error = abs(sample - self.centres[j // 4])
      self.running[j] = max(self.running[j] + (error - self.running[j]) * ERROR_RATES[j % 4], 1e-30)
    for k, squares in enumerate(self.squares):
      root = math.sqrt(self.weighting[k] + 2.0)
      squares.accumulate(self.inputs[k], sample, 1.0 / (root * math.sqrt(root)))
      self.weighting[k] = 0.5 * (self.weighting[k] + abs(sample - self.predictions[k]))
      if (t + k) % self.solve_every[k] == 0:
        squares.solve()
    for first, last, start in ((0, 4, self.predictions[1]), (4, 7, self.predictions[0])):
      left = sample - start
      for stage in self.stages[first:last]:
        left = stage.adapt(left)
    left = sample - self.predictions[10]
    self.residuals.append(float(single(settled(left))))
    if self.repeat_inputs:
      self.repeats.accumulate(self.repeat_inputs, left, 1.0 / (self.repeat_error + 1.0))
      self.repeat_error += (abs(left) - self.repeat_error) * 0.05
      if t % self.solve_long_term_every == 0:
        self.repeats.solve()
    error = sample - self.centres[0]
    inverse = 1.0 / (self.blend_error + 1.0)
    self.blend_error += (abs(error) - self.blend_error) * 0.2
    for b, blend in enumerate(self.blends):
      blend.accumulate(self.blend_inputs, sample - self.predictions[6], inverse * inverse)
      if (t + b) % 8 == 0:
        blend.solve()
    self.errors = [error, *self.errors[:-1]]
    equal = 1.0 if sample == self.samples[0] else 0.0
    self.equal_rate += (equal - self.equal_rate) / 32
    self.samples = [sample, *self.samples[:-1]]
    self.history.append(sample)
    return mass

  def _weigh(self, below: float, above: float) -> float:
    masses, total = [], 0.0
    for j in range(32):
      centre, inverse = self.centres[j // 16], self.inverse_scales[j]
      mass = _logistic((above - centre) * inverse) - _logistic((below - centre) * inverse)
      masses.append(float(mass) * 2.0**-30 + 1e-9)
      total += self.weights[j] * masses[j]
    factor = (1.0 - 0.001) / total
    self.weights = [weight * mass * factor + 0.001 / 32 for weight, mass in zip(self.weights, masses, strict=True)]
    return total


# Features.


def _features(
  experts: list[Experts], values: Values, channel: int, t: int, bytes_in_use: int, sample_rate_hz: int
) -> list[int]:
  self, found = experts[channel], [0] * 48
  unit, centre, running = self.unit, self.centres[0], self.running
  found[0] = _fixed(log2(unit) / 4.0 - 1.0)
  for place, j in ((1, 0), (2, 2), (3, 3)):
    found[place] = _fixed(log2(running[j] / running[1] + 1e-3))
  found[4] = _fixed(log2((abs(self.errors[0]) + 0.25 * unit) / unit))
  for k in range(16):
    found[5 + k] = _squashed(self.errors[k], unit)
  for place, k in zip(range(21, 27), (0, 1, 2, 5, 7, 10), strict=True):
    found[place] = _squashed(self.predictions[k] - centre, 0.25 * unit)
  if len(experts) > 1:
    other = experts[channel - 1 if channel > 0 else 1]
    found[27] = _squashed(other.errors[0], other.unit)
    found[28] = _fixed(log2((abs(other.errors[0]) + 0.1 * other.unit) / other.unit))
    found[29] = _fixed(1.0 if channel > 0 else -1.0)
  found[30] = _fixed(bytes_in_use - 2.0)
  fraction, exponent = math.frexp(max(1, sample_rate_hz) / 16000)
  found[31] = _fixed(exponent - 2 + 2 * fraction)
  found[32] = _fixed(4.0 * (centre - math.floor(centre) - 0.5))
  found[33] = _fixed(4.0 / (1.0 + unit))
  found[34] = _squashed(self.samples[0] - centre, unit)
  found[35] = _squashed(self.samples[1] - centre, unit)
  found[36] = _fixed(4.0 * self.equal_rate)
  found[37] = _fixed(2.0 if self.samples[0] == self.samples[1] == self.samples[2] else 0.0)
  scale, first = 0.0, 0.0
  for j in range(32):
    scale += self.weights[j] * (j % 4)
    if j < 16:
      first += self.weights[j]
  found[38] = _fixed(2.0 * scale - 3.0)
  found[39] = _fixed(4.0 * first - 2.0)
  for rate in range(4):
    share = 0.0
    for j in range(4):
      share += self.weights[4 * rate + j]
      share += self.weights[16 + 4 * rate + j]
    found[40 + rate] = _fixed(4.0 * share - 1.0)
  found[44] = _squashed(self.high - centre, 8.0 * unit)
  found[45] = _squashed(centre - self.low, 8.0 * unit)
  found[46] = _fixed(log2(t + 1.0) / 4.0 - 2.0)
  nearest = math.floor(centre + 0.5)
  found[47] = _fixed(log2(values.lower_edge(nearest + 1) - values.lower_edge(nearest) + 1 / 64))
  return found


def _fixed(value: float) -> int:
  return math.floor(min(max(value * 32, -127.0), 127.0) + 0.5)


def _squashed(value: float, unit: float) -> int:
  return _fixed(2.0 * value / (abs(value) + unit))


def log2(value: float) -> float:
  fraction, exponent = math.frexp(value)
  return exponent - 2.0 + 2.0 * fraction


# The network.


class Context:
  """What the network remembers: of each layer, keys and values of the last W positions, the newest first."""

  def __init__(self, network: Network):
    self._network = network
    width, window = len(network.input_bias), len(network.layers[0].lag_bias[0])
    self._position = -1
    self._keys = [[[0] * width for _ in range(window)] for _ in network.layers]
    self._values = [[[0] * width for _ in range(window)] for _ in network.layers]

  def outputs(self, features: list[int]) -> list[int]:
    self._position += 1
    for memory in (*self._keys, *self._values):
      memory.insert(0, [0] * len(memory.pop()))
    network = self._network
    x = _limited(_sum(_limited(_product(features, network.input), 2**26 - 1), network.input_bias), 2**25 - 1)
    for index, layer in enumerate(network.layers):
      mixed = self._attention(index, layer, _norm(x))
      x = _limited(_sum(x, _product(mixed, layer.attention_output)), 2**25 - 1)
      u = _limited(_product(_norm(x), layer.feed_forward_in), 32767)
      z = [min(_round(max(value, 0) ** 2, 15), 32767) for value in u]
      x = _limited(_sum(x, _product(z, layer.feed_forward_out)), 2**25 - 1)
    return _sum(_limited(_product(_norm(x), network.output), 2**26 - 1), network.output_bias)

  def _attention(self, index: int, layer: Layer, a: list[int]) -> list[int]:
    heads = self._network.num_heads
    depth = len(a) // heads
    most = min(math.isqrt((2**31 - 1) // depth), 32767)
    queries = _limited(_product(a, layer.queries), most)
    keys, values = self._keys[index], self._values[index]
    keys[0] = _limited(_product(a, layer.keys), most)
    values[0] = _limited(_product(a, layer.values), 32767)
    lags = range(min(self._position + 1, len(keys)))
    mixed = []
    for head in range(heads):
      dimensions = range(head * depth, (head + 1) * depth)
      sums = [sum(queries[i] * keys[lag][i] for i in dimensions) for lag in lags]
      scores = _limited([_round(value, layer.score_shift) for value in sums], 2**26 - 1)
      scores = _sum(scores, layer.lag_bias[head][: len(scores)])
      masses = [power(max(scores) - score) for score in scores]
      reciprocal = 2**45 // sum(masses)
      weights = [min(_round(mass * reciprocal, 30), 32767) for mass in masses]
      mixed += [_round(sum(weights[lag] * values[lag][i] for lag in lags), 15) for i in dimensions]
    return _limited(mixed, 32767)


def _exp2_table() -> list[int]:
  s = 1 << 127
  for _ in range(10):
    s = math.isqrt(s << 128)
  table, p = [], 1 << 128
  for _ in range(1024):
    table.append((p + (1 << 112)) >> 113)
    p = (p * s) >> 128
  return table


EXP2 = _exp2_table()


def power(d: int) -> int:
  return EXP2[d % 1024] >> min(d >> 10, 31)


def _round(x: int, n: int) -> int:
  return (x + (1 << (n - 1))) >> n if n > 0 else x << -n


def _limited(vector: list[int], m: int) -> list[int]:
  return [min(max(x, -m), m) for x in vector]


def _sum(a: list[int], b: list[int]) -> list[int]:
  return [x + y for x, y in zip(a, b, strict=True)]


def _product(x: list[int], matrix: Matrix) -> list[int]:
  sums = [0] * len(matrix.weights[0])
  for factor, row in zip(x, matrix.weights, strict=True):
    if factor:
      sums = [total + factor * weight for total, weight in zip(sums, row, strict=True)]
  return [_round(total, matrix.shift) for total in sums]


def _norm(x: list[int]) -> list[int]:
  root = math.isqrt(sum(value * value for value in x) + 268 * len(x))
  reciprocal = (math.isqrt(len(x) << 44) << 20) // root
  return _limited([_round(value * reciprocal, 31) for value in x], 32767)


# The distribution of an index.

COMPONENT_CENTRES = (0, 0, 0, 0, 0, 1, 2, 3)


class Mixer:
  """Of one channel."""

  def __init__(self, values: Values):
    self._values = values
    self._trust = 0.5
    self._quantiles = [q / 64 for q in range(65)]
    self._floor = max(1, 2**31 // values.num_indices)
    self.whole = 2**45 + values.num_indices * self._floor
    self._copying = [1 / 4096, 1 / 4096]
    self._run = 0

  def compose(self, experts: Experts, outputs: list[int]) -> None:
    top = max(outputs[:9])
    self._shares = shares = [power(top - logit) for logit in outputs[:9]]
    trusted = min(max(int(self._trust * 2**15), 1), 2**15 - 1)
    components, left = [], 2**15
    for k in range(8):
      weight = shares[k] * trusted // sum(shares)
      left -= weight
      offset = min(max(outputs[9 + k], -32 << 10), 32 << 10)
      log2_scale = min(max(outputs[17 + k], -12 << 10), 12 << 10)
      scale = math.ldexp(EXP2[-log2_scale % 1024], (log2_scale + 1023 >> 10) - 15)
      centre = experts.centres[COMPONENT_CENTRES[k]] + experts.unit * (offset / 1024)
      components.append((centre, 32 / (experts.unit * scale), weight))
    self._network_components = tuple(components)
    for_experts = left
    weights = [int(weight * for_experts) for weight in experts.weights]
    heaviest = max(range(32), key=lambda j: experts.weights[j])  # The first of several.
    weights[heaviest] += for_experts - sum(weights)
    components += [(experts.centres[j // 16], experts.inverse_scales[j], weights[j]) for j in range(32)]
    self._components = components

  def build_copy(self, before: int | None, last: int | None) -> None:
    """before: the index a lag ago, None without a lag; last: the one before this, None at first."""
    self._before, self._last = before, last
    self._copied, likelihood = 0, 0.0
    if before is not None:
      self._copied, likelihood = before, self._copying[0]
    if last is not None and self._run >= 16 and self._copying[1] >= likelihood:
      self._copied, likelihood = last, self._copying[1]
    self._copy_share = int(likelihood * 65536)

  def below(self, index: int) -> int:
    """The mass of all indices below one."""
    floors = min(max(index - self._values.least, 0), self._values.num_indices) * self._floor
    mass = self._recalibrated(self._mass_below(self._values.lower_edge(index))) + floors
    copy = (self.whole * self._copy_share) >> 16 if index > self._copied else 0
    return mass - ((mass * self._copy_share) >> 16) + copy

  def _mass_below(self, edge: float) -> int:
    return sum(weight * _logistic((edge - centre) * inverse) for centre, inverse, weight in self._components)

  def _recalibrated(self, mass: int) -> int:
    if mass >= 2**45:
      return 2**45
    q, within = mass >> 39, mass % 2**39
    low = int(self._quantiles[q] * (2**22 - 1024)) + 16 * q
    high = int(self._quantiles[q + 1] * (2**22 - 1024)) + 16 * (q + 1)
    return (low << 23) + (((high - low) * within) >> 16)

  def review(self, index: int, below: float, above: float, experts_mass: float) -> None:
    shares, mass = self._shares, 0.0
    for share, (centre, inverse, _) in zip(shares, self._network_components, strict=False):
      inside = _logistic((above - centre) * inverse) - _logistic((below - centre) * inverse)
      mass += float(share) * float(inside)
    network_mass = (mass * 2.0**-30 + float(shares[8]) * experts_mass) / float(sum(shares))
    trusted = self._trust * network_mass
    trust = trusted / (trusted + (1.0 - self._trust) * experts_mass)
    self._trust = trust * (1.0 - 2.0 / 1024) + 1 / 1024
    low, high = self._mass_below(below), self._mass_below(above)
    slope = 1.0 / float(max(high - low, 1))
    for q in range(1, 64):
      reached = (float(q << 39) - float(low)) * slope
      self._quantiles[q] += (min(max(reached, 0.0), 1.0) - self._quantiles[q]) / 8192
    mixed = float(max(high - low, 1)) * 2.0**-45
    if self._before is not None:
      self._copying[0] = _followed(self._copying[0], index == self._before, mixed)
    if self._run >= 16:
      self._copying[1] = _followed(self._copying[1], index == self._last, mixed)
    self._run = self._run + 1 if index == self._last else 0


def _followed(copying: float, equal: bool, mixed: float) -> float:
  copying = copying / (copying + (1.0 - copying) * mixed) if equal else 0.0
  return copying * (1.0 - 2.0 / 4096) + 1 / 4096


# A group.


class Group:
  """Channels that are coded together."""

  def __init__(self, body: bytes, network: Network, segment: Segment):
    self._values, self._lags, self._decoder = read_group(body, segment)
    self._segment = segment
    self._indices: list[list[int]] = [[] for _ in self._values]
    step = min([values.step for values in self._values if values.num_bytes], default=1)
    self._bytes_in_use = max(1, segment.sample_bytes - (step.bit_length() - 1) // 8)
    self._context = Context(network)
    self._experts = [Experts(values, segment.num_channels, segment.effort) for values in self._values]
    self._blends = [Mixer(values) for values in self._values]

  def decode(self) -> list[list[int]]:
    """Samples [frame][channel]."""
    times = range(self._segment.num_frames)
    if not any(values.num_bytes for values in self._values):
      frames = [[values.step * values.least + values.offset for values in self._values] for _ in times]
    else:
      frames = [[self._sample(t, channel) for channel in range(len(self._values))] for t in times]
    self._decoder.finish()
    return frames

  def _sample(self, t: int, channel: int) -> int:
    values, experts, blend = self._values[channel], self._experts[channel], self._blends[channel]
    neighbour = None
    if len(self._values) > 1:
      neighbour = self._experts[channel - 1 if channel > 0 else 1]
    lags, before = self._lags[t // BLOCK], self._indices[channel]
    experts.expect(t, lags, neighbour)
    index = values.least
    features = _features(self._experts, values, channel, t, self._bytes_in_use, self._segment.sample_rate_hz)
    blend.compose(experts, self._context.outputs(features))
    blend.build_copy(before[t - lags[0]] if lags[0] else None, before[-1] if before else None)
    if values.num_bytes:
      index = self._index(values, blend.below, blend.whole)
    below, above = values.lower_edge(index), values.lower_edge(index + 1)
    mass = experts.learn(t, float(index), below, above)
    if values.num_bytes:
      blend.review(index, below, above, mass)
    before.append(index)
    return values.step * index + values.offset

  def _index(self, values: Values, mass_below: Callable[[int], int], whole: int) -> int:
    known, below, above = 0, 0, whole
    for place in reversed(range(values.num_bytes)):
      unit = 256**place
      cut = max(0, (above - below).bit_length() - 38)
      mass = max(above - below, 1) >> cut
      byte, low, start = 0, below, 0
      stop, high, end = 256, above, 1 << INTERVAL_BITS
      while stop - byte > 1:
        middle = (byte + stop) // 2
        at = mass_below(values.least + known + middle * unit)
        place_of_middle = (((at - below) >> cut) * ((1 << INTERVAL_BITS) - 256)) // mass + middle
        if place_of_middle <= self._decoder.slot:
          byte, low, start = middle, at, place_of_middle
        else:
          stop, high, end = middle, at, place_of_middle
      self._decoder.take(start, end - start)
      known += byte * unit
      below, above = low, high
    return min(values.least + known, values.largest)


def require(condition: bool, message: str) -> None:
  if not condition:
    raise ValueError(message)
