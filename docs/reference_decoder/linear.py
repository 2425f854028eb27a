"""A decoder of segments coded by linear prediction, format version 3, written from docs/FORMAT.md in its order.

What version 2 has as well is segments.py's. NumPy adds and multiplies a stage's taps at once, each operation rounded by
itself; all else is Python's integers and floats.
"""

import bisect
import math
from typing import NamedTuple

import numpy as np

from reference_decoder.segments import (
  BLOCK,
  INTERVAL_BITS,
  LOGISTIC,
  TINY,
  EntropyDecoder,
  LeastSquares,
  Segment,
  Values,
  around,
  decode_groups,
  dot,
  read_group,
  require,
  settled,
)

LEAST_ERROR = 1e-30


# Presets.


class Squares(NamedTuple):
  """Least squares: inputs of the same channel and of the other one, forgetting, frames from solution to solution."""

  own: int
  other: int
  forgetting: float
  every: int


class Preset(NamedTuple):
  """stages, second: taps and step of each stage, of both cascades. lags_every: frames from solution to solution."""

  squares: tuple[Squares, ...]
  stages: tuple[tuple[int, float], ...]
  has_lags: bool
  second: tuple[tuple[int, float], ...] = ()
  lags_every: int = 64


PRESETS = (
  Preset(
    (Squares(16, 8, 0.9985, 64), Squares(16, 8, 0.985, 32)),
    ((256, 0.0005), (32, 0.003), (16, 0.008)),
    has_lags=False,
  ),
  Preset(
    (Squares(32, 16, 0.9985, 64), Squares(16, 8, 0.985, 16)),
    ((1024, 0.0001), (256, 0.0005), (32, 0.004), (16, 0.008)),
    has_lags=False,
  ),
  Preset(
    (Squares(32, 16, 0.9995, 64), Squares(16, 8, 0.98, 8), Squares(24, 8, 0.997, 16)),
    ((1024, 0.0001), (256, 0.0005), (64, 0.002), (32, 0.004), (16, 0.008)),
    has_lags=True,
  ),
  Preset(
    (Squares(32, 16, 0.9995, 32), Squares(16, 8, 0.98, 4), Squares(24, 8, 0.997, 8)),
    ((2048, 0.00004), (512, 0.0002), (256, 0.0004), (64, 0.002), (32, 0.004), (16, 0.008)),
    has_lags=True,
  ),
)


# The body.


def decode(body: bytes, segment: Segment) -> list[list[int]]:
  """Samples [frame][channel]; the segment's effort is the preset. Raises ValueError if the body is not sound."""
  return decode_groups(body, segment, lambda coded, channels: Group(coded, channels).decode())


class Group:
  """Channels that are coded together."""

  def __init__(self, body: bytes, segment: Segment):
    self._read(body, segment)
    self._num_frames = segment.num_frames
    # All indices of each channel, those of a channel of one value being 0.
    self._histories: list[list[float]] = [[] for _ in self._values]
    has_lags = PRESETS[segment.effort].has_lags
    require(has_lags or not any(first for first, _ in self._lags), 'lags of a preset that has none')

  def _read(self, body: bytes, segment: Segment) -> None:
    self._values, self._lags, self._decoder = read_group(body, segment)
    preset, several = PRESETS[segment.effort], segment.num_channels > 1
    self._filters = [Filters(values, preset, several) for values in self._values]
    self._distributions = [Distribution(values) for values in self._values]

  def decode(self) -> list[list[int]]:
    """Samples [frame][channel]."""
    channels = range(len(self._values))
    frames = [[self._sample(t, channel) for channel in channels] for t in range(self._num_frames)]
    self._decoder.finish()
    return frames

  def _sample(self, t: int, channel: int) -> int:
    values, history = self._values[channel], self._histories[channel]
    if values.num_indices == 1:
      history.append(0.0)
      return values.step * values.least + values.offset
    beside = self._histories[channel - 1 if channel > 0 else 1] if len(self._values) > 1 else None
    filters, distribution = self._filters[channel], self._distributions[channel]
    distribution.build(filters.predict(t, self._lags[t // BLOCK], history, beside))
    index = distribution.decode(self._decoder)
    distribution.learn(index)
    filters.learn(t, float(index))
    history.append(float(index))
    return values.step * index + values.offset


# Least squares that learn in blocks.


class BlockSquares(LeastSquares):
  """All inputs are filled up with zeros to a multiple of 8."""

  def __init__(self, num_inputs: int, forgetting: float, ridge: float, relative_ridge: float):
    super().__init__(-(-num_inputs // 8) * 8, forgetting, ridge, relative_ridge)
    self._waiting: list[tuple[list[float], float, float]] = []

  def predict(self, inputs: list[float]) -> float:
    return dot(self.coefficients, self._filled(inputs))

  def wait(self, inputs: list[float], target: float, weight: float) -> None:
    self._waiting.append((self._filled(inputs), target, weight))
    if len(self._waiting) == 32:
      self._take_in()

  def solve(self) -> None:
    if self._waiting:
      self._take_in()
    super().solve()

  def _filled(self, inputs: list[float]) -> list[float]:
    return inputs + [0.0] * (self.size - len(inputs))

  def _take_in(self) -> None:
    faded, scaled = 1.0, []
    for inputs, _, weight in reversed(self._waiting):
      scaled.append([weight * faded * value for value in inputs])
      faded *= self._forgetting
    scaled.reverse()
    for i in range(self.size):
      row = self.matrix[i]
      for j in range(i, self.size):
        row[j] = faded * row[j] + TINY
        for u, (inputs, _, _) in zip(scaled, self._waiting, strict=True):
          row[j] += u[i] * inputs[j]
      self.moments[i] = faded * self.moments[i] + TINY
      for u, (_, target, _) in zip(scaled, self._waiting, strict=True):
        self.moments[i] += target * u[i]
    self._waiting = []


# Stages.


class Stage:
  def __init__(self, taps: int, step: float):
    self._taps, self._step = taps, step
    self._weights = np.zeros(taps, np.float32)
    self._inputs = np.zeros(taps, np.float32)  # Newest first.
    self._power = 0.0
    self._level = 0.0
    self.prediction = 0.0

  def adapt(self, target: float) -> float:
    """Returns what is left for the next stage."""
    target = settled(target)
    error = target - self.prediction
    factor = np.float32(self._step * error / (self._power + self._level * self._level + 1))
    self._power = max(self._power + (target * target - self._power) / self._taps, LEAST_ERROR)
    self._level = max(self._level + (abs(error) - self._level) / 32, LEAST_ERROR)
    with np.errstate(over='ignore', invalid='ignore'):  # Weights that grow beyond measure are reset.
      self._weights = self._weights + factor * self._inputs
      self._inputs = np.concatenate([np.array([target], np.float32), self._inputs[:-1]])
      self.prediction = self._sum()
    if not abs(self.prediction) < 1e12:
      self.prediction = 0.0
      self._weights = np.zeros_like(self._weights)
    return error

  def _sum(self) -> float:
    products = self._weights * self._inputs
    at_once = 64 if self._taps % 64 == 0 else 16
    sums = np.zeros(at_once, np.float32)
    for start in range(0, self._taps, at_once):
      sums = sums + products[start : start + at_once]
    if at_once == 64:
      sums = (sums[:16] + sums[16:32]) + (sums[32:48] + sums[48:])
    total = 0.0
    for value in sums.tolist():
      total += value
    return total


# Filters.


class Filters:
  """Of one channel. several: whether the group has others.

  expected, without, base, errors: d, w, b, and the last errors of the stacking, the newest first.
  """

  def __init__(self, values: Values, preset: Preset, several: bool):
    self.low, self.high = float(values.least), float(values.largest)
    self._preset = preset
    self._squares = [
      BlockSquares(each.own + (each.other if several else 0), each.forgetting, 0.1, 0.0) for each in preset.squares
    ]
    self._running = [0.0] * len(preset.squares)
    self._stages = [Stage(taps, step) for taps, step in preset.stages]
    self._second = [Stage(taps, step) for taps, step in preset.second]
    self._lagged = BlockSquares(48, 0.996, 1.0, 0.0)
    self._lagged_inputs: list[float] = []
    self._lagged_error = 0.0
    self._residuals: list[float] = []  # Of every frame.
    num_stacked = len(preset.squares) + len(preset.stages) + len(preset.second) + 2
    self._stacking = BlockSquares(num_stacked, 0.998, 0.03, 0.03)
    self._stacking_error = 16.0
    self.errors = [0.0] * 16

  def predict(
    self, t: int, lags: tuple[int, int], history: list[float], beside: list[float] | None
  ) -> tuple[float, ...]:
    """Two centres, and of a preset with a second cascade four.

    history, beside: all indices so far of the channel and of its neighbour.
    """
    self._inputs = [
      last(history, each.own) + ([] if beside is None else last(beside, each.other)) for each in self._preset.squares
    ]
    self.expected = self._expected(t, history)
    corrected = self._corrected(self.expected[0], self._stages)
    second = self._corrected(self.expected[-1], self._second)
    self.without = self.base = corrected[-1]
    self._lagged_inputs = []
    if lags[0]:
      self._lagged_inputs = [
        value for lag in lags for value in around(t, lag, self.without, history, beside, self._residuals)
      ]
      self.base = self._limited(self.without + self._lagged.predict(self._lagged_inputs))
    self._stacked = [value - self.base for value in (*self.expected, *corrected, *second)] + self.errors[:2]
    self._centre = self._limited(self.base + self._stacking.predict(self._stacked))
    return (self._centre, self.expected[1], *((second[-1], self.base) if second else ()))

  def _expected(self, _t: int, _history: list[float]) -> list[float]:
    """What each of the least squares expects."""
    return [self._limited(squares.predict(inputs)) for squares, inputs in zip(self._squares, self._inputs, strict=True)]

  def _corrected(self, total: float, stages: list[Stage]) -> list[float]:
    found = []
    for stage in stages:
      total += stage.prediction
      found.append(self._limited(total))
    return found

  def learn(self, t: int, y: float) -> None:
    for k, squares in enumerate(self._squares):
      error = abs(y - self.expected[k])
      self._running[k] = max(self._running[k] + (error - self._running[k]) * 0.5, LEAST_ERROR)
      squares.wait(self._inputs[k], y, self._weight(t, k))
      if self._solves(t, k):
        squares.solve()
    for expected, stages in ((self.expected[0], self._stages), (self.expected[-1], self._second)):
      left = y - expected
      for stage in stages:
        left = stage.adapt(left)
    left = y - self.without
    self._residuals.append(float(np.float32(settled(left))))
    if self._lagged_inputs:
      self._lagged.wait(self._lagged_inputs, left, 1.0 / (self._lagged_error + 1.0))
      self._lagged_error = max(self._lagged_error + (abs(left) - self._lagged_error) * 0.05, LEAST_ERROR)
      if t % self._preset.lags_every == 0:
        self._lagged.solve()
    v = 1.0 / (self._stacking_error + 1.0)
    error = y - self._centre
    self._stacking_error = max(self._stacking_error + (abs(error) - self._stacking_error) * 0.2, LEAST_ERROR)
    self._stacking.wait(self._stacked, y - self.base, v * v)
    if (t + len(self._squares)) % 32 == 0:
      self._stacking.solve()
    self.errors = [error, *self.errors[:-1]]

  def _weight(self, _t: int, k: int) -> float:
    return 1.0 / (self._running[k] + 2.0)

  def _solves(self, t: int, k: int) -> bool:
    return (t + k) % self._preset.squares[k].every == 0

  def _limited(self, value: float) -> float:
    return min(max(value, self.low), self.high)


def last(history: list[float], count: int) -> list[float]:
  """The last values, the newest first, with zeros for those before the first."""
  newest = history[: -count - 1 : -1]
  return newest + [0.0] * (count - len(newest))


# The distribution of an index.

MULTIPLES = (0.4, 0.7)
ERROR_RATES = (1 / 8, 1 / 32, 1 / 128, 1 / 1024)
MOST_BUCKETS = 8192  # On each side of the centre's.
ESCAPE_SIZE = 4096
WHOLE = 1 << INTERVAL_BITS
LOGISTIC_FLOATS = [float(value) for value in (*LOGISTIC, LOGISTIC[-1])]


class Distribution:
  """Of one channel's indices."""

  multiples: tuple[float, ...] = MULTIPLES

  def __init__(self, values: Values):
    self._values = values
    self._num_shapes = 8 * len(self.multiples)
    self.running = [16.0] * 8
    self.posteriors = [1.0 / self._num_shapes] * self._num_shapes
    zone = range(values.zone_start, values.zone_start + len(values.edges) - 1)
    self._unused = [index for index in zone if values.lower_edge(index) == values.lower_edge(index + 1)]

  def build(self, centres: tuple[float, ...], whole: int = 65536) -> None:
    """Takes the centres for the next index. whole: what all shapes share."""
    self._centres = centres
    self._inverses = [
      32.0 / max(self.running[j % 8], 1.0 / 32) * (1.0 / self.multiples[j // 8]) for j in range(self._num_shapes)
    ]
    self._shares = [int(posterior * whole) for posterior in self.posteriors]
    self._shares[9] += whole - sum(self._shares)
    error, centre = self._nearest()
    _, exponent = math.frexp(error)
    self._shift = min(max(exponent - 5, 0), 20)
    lowest, highest = self._bucket_of(self._values.least), self._bucket_of(self._values.largest)
    nearest = self._bucket_near(centre)
    self._first = max(lowest, nearest - MOST_BUCKETS)
    self._last = min(highest, nearest + MOST_BUCKETS)
    self._has_escape = self._first > lowest or self._last < highest
    self._whole = WHOLE - ESCAPE_SIZE if self._has_escape else WHOLE

  def _nearest(self) -> tuple[float, float]:
    """The running error that buckets are as wide as, and the centre that they are around."""
    return self.running[1], self._centres[0]

  def _bucket_near(self, centre: float) -> int:
    return math.floor(centre) >> self._shift

  def _bucket_of(self, index: int) -> int:
    return index >> self._shift

  def _begin(self, bucket: int) -> int:
    """The first index of a bucket, or one before the least."""
    return bucket << self._shift

  def decode(self, decoder: EntropyDecoder) -> int:
    if decoder.slot >= self._whole:
      return self._escaped(decoder)
    bucket, start = self._first, 0
    stop, end = self._last + 1, self._whole
    while stop - bucket > 1:
      middle = (bucket + stop) // 2
      at = self._start(middle)
      if at <= decoder.slot:
        bucket, start = middle, at
      else:
        stop, end = middle, at
    decoder.take(start, end - start)
    return self._place(bucket, decoder)

  def _escaped(self, decoder: EntropyDecoder) -> int:
    decoder.take(self._whole, WHOLE - self._whole)
    value = 0
    for _ in range(4):
      byte = decoder.slot >> 16
      decoder.take(byte << 16, 1 << 16)
      value = value << 8 | byte
    return min(self._values.least + value, self._values.largest)

  def _place(self, bucket: int, decoder: EntropyDecoder) -> int:
    """Which of the bucket's indices it is."""
    start = max(self._begin(bucket), self._values.least)
    end = min(self._begin(bucket + 1), self._values.largest + 1)
    before = self._used_before(start)
    count, place = self._used_before(end) - before, 0
    if count > 1:
      place = ((decoder.slot + 1) * count - 1) >> INTERVAL_BITS
      low = (place << INTERVAL_BITS) // count
      decoder.take(low, ((place + 1) << INTERVAL_BITS) // count - low)
    # The last index before which so many are used is a used one.
    return start + bisect.bisect_right(range(start, end), before + place, key=self._used_before) - 1

  def _used_before(self, index: int) -> int:
    return index - self._values.least - bisect.bisect_left(self._unused, index)

  def _start(self, bucket: int) -> int:
    """Of a bucket after the first."""
    free = self._whole - (self._last - self._first + 1)
    mass = self._mass(self._values.lower_edge(self._begin(bucket)))
    return (((mass >> 8) * free) >> 38) + bucket - self._first

  def _mass(self, x: float) -> int:
    total = 0.0
    for i in range(8):
      lane = 0.0
      for j in range(i, self._num_shapes, 8):
        lane += self._shares[j] * self._logistic(j, x)
      total += self._and_component(lane, i, x)
    return int(total)

  def _logistic(self, j: int, x: float) -> float:
    """F_j(x)."""
    return logistic((x - self._centres[j % 8 // 4]) * self._inverses[j])

  def _and_component(self, mass: float, _i: int, _x: float) -> float:
    """Adds the mass that the network's component i has below x, of which there is none here."""
    return mass

  def learn(self, index: int) -> None:
    bucket = min(max(self._bucket_of(index), self._first), self._last)
    below = self._values.lower_edge(self._begin(bucket))
    above = self._values.lower_edge(self._begin(bucket + 1))
    for j in range(self._num_shapes):
      self.posteriors[j] *= (self._logistic(j, above) - self._logistic(j, below)) * 2.0**-30 + 1e-9
    total = 0.0
    for i in range(8):
      lane = 0.0
      for j in range(i, self._num_shapes, 8):
        lane += self.posteriors[j]
      total += lane
    self._judge_network(below, above, total)
    factor = (1.0 - 0.001) / total
    self.posteriors = [posterior * factor + 0.001 / self._num_shapes for posterior in self.posteriors]
    self._follow(index)

  def _follow(self, index: int) -> None:
    """Has running errors follow."""
    for i in range(8):
      error = abs(index - self._centres[i // 4])
      self.running[i] = max(self.running[i] + (error - self.running[i]) * ERROR_RATES[i % 4], LEAST_ERROR)

  def _judge_network(self, below: float, above: float, mass: float) -> None:
    """Takes in what a network, of which there is none here, gave the index. mass: what the shapes gave it."""


class EndBuckets(Distribution):
  """The least and the largest index are buckets of their own, and the window is around the nearer of two centres."""

  @property
  def _origin(self) -> int:
    return self._values.least + 1 - (1 << self._shift)

  @property
  def _top(self) -> int:
    return ((self._values.largest - 1 - self._origin) >> self._shift) + 1

  def _nearest(self) -> tuple[float, float]:
    if self.running[5] < self.running[1]:
      return self.running[5], self._centres[1]
    return super()._nearest()

  def _bucket_near(self, centre: float) -> int:
    return (math.floor(centre) - self._origin) >> self._shift

  def _bucket_of(self, index: int) -> int:
    return self._top if index == self._values.largest else (index - self._origin) >> self._shift

  def _begin(self, bucket: int) -> int:
    begin = max(self._origin + (bucket << self._shift), self._values.least)
    return min(begin, self._values.largest if bucket <= self._top else self._values.largest + 1)


def logistic(distance: float) -> float:
  """T at a distance from a centre in 32nds of a scale."""
  s = min(max(distance + 640.0, 0.0), 1280.0)
  n = int(s)
  return LOGISTIC_FLOATS[n] + (LOGISTIC_FLOATS[n + 1] - LOGISTIC_FLOATS[n]) * (s - n)
