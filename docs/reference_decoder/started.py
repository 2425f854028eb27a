"""A decoder of segments of format version 5, written from docs/FORMAT.md: what they have beside versions 3 and 4."""

import math
import struct
from typing import NamedTuple

from reference_decoder import hybrid, linear
from reference_decoder.linear import EndBuckets
from reference_decoder.segments import (
  BLOCK,
  GROUP_CHANNELS,
  EntropyDecoder,
  Network,
  Segment,
  Values,
  decode_maps,
  number,
  read_lags,
  require,
  require_sound,
)

REFLECTIONS = (
  (1023, -947, -596, -254, 28, 168, 175, 111),
  (1023, -943, -606, -381, -157, 25, 141, 164),
  (1023, -841, -774, -463, -310, -165, -34, 40),
  (1023, -785, -636, -500, -395, -318, -263, -199),
  (1023, -741, -580, -457, -327, -204, -81, 20),
  (1023, -646, -605, -486, -396, -330, -280, -235),
  (1023, -632, -313, -604, -234, -359, -64, -185),
  (1023, -524, -549, -443, -380, -275, -217, -140),
  (1023, -512, -596, -484, -390, -315, -268, -215),
  (1023, -397, -372, -34, -33, -109, -108, -163),
  (1023, -299, -444, -365, -342, -281, -255, -180),
  (1023, -27, -752, -579, -302, -240, -186, -164),
  (1023, 70, -193, -389, -335, -307, -286, -225),
  (1023, 352, 159, -43, -63, -119, -155, -146),
  (1022, -697, 109, -158, 236, -165, 139, -118),
  (1022, 354, -91, -191, -249, -230, -232, -171),
  (1021, -906, 575, -457, -13, -84, -130, 12),
  (1021, -823, 190, 446, 93, -427, 74, 226),
  (1007, -967, 830, -337, -190, 116, 52, -62),
  (1002, -341, -369, -801, 747, -995, -549, 117),
  (999, -167, 433, -44, 326, -69, 206, -92),
  (992, 537, 284, 192, 83, -85, -5, 7),
  (989, -915, 493, -375, 222, -99, 35, -139),
  (982, -949, 71, 157, 25, -130, -60, -132),
  (960, -164, -238, -723, -184, -26, 422, 89),
  (958, -561, 716, -437, 557, -390, 230, -287),
  (957, -740, 318, -390, 43, 75, -187, -480),
  (949, -546, 560, -212, 333, -161, 224, -40),
  (940, -409, -165, -269, -74, -108, 40, -117),
  (883, -258, 717, -112, 482, -88, 364, -88),
  (842, 141, 489, -1, 257, -54, 263, 18),
  (-19, -389, 108, -241, 26, -124, 124, 33),
)
ORDER = 8
LEARNING_FROM = 16
STARTING = 1024
SPREAD = (1.0, 0.6, 1.0, 1.7) * 2


def decode(body: bytes, network: Network | None, segment: Segment) -> list[list[int]]:
  """Samples [frame][channel]. network: None for presets. Raises ValueError if the body is not sound."""
  groups, rest = [], body
  for first in range(0, segment.num_channels, GROUP_CHANNELS):
    channels = segment._replace(num_channels=min(GROUP_CHANNELS, segment.num_channels - first))
    length = len(rest)
    if first + GROUP_CHANNELS < segment.num_channels:
      length, rest = natural(rest)
      require(length <= len(rest), 'a group is longer than the body')
    group = Group(rest[:length], channels) if network is None else HybridGroup(rest[:length], network, channels)
    groups.append(group.decode())
    rest = rest[length:]
  return [[sample for group in frame for sample in group] for frame in zip(*groups, strict=True)]


# Headers.


class Start(NamedTuple):
  """filter: its number. level: λ."""

  filter: int
  level: float


UNKNOWN = Start(14, 16.0)


def natural(data: bytes) -> tuple[int, bytes]:
  """A natural, and what follows it."""
  value, rest = number(data)
  return (2 * value if value >= 0 else -2 * value - 1), rest


def read_group(
  body: bytes, segment: Segment
) -> tuple[list[Values], list[Start], list[tuple[int, int]], EntropyDecoder]:
  """Values and starts of each channel, both lags of each block, and the code, of which the maps have been decoded."""
  headers, starts = [], []
  for _ in range(segment.num_channels):
    values, zone, start, body = _read_channel(body, segment.sample_bytes)
    headers.append((values, zone))
    starts.append(start)
  lags = [(0, 0)] * -(-segment.num_frames // BLOCK)
  if len(lags) > 1 and any(values.num_indices > 1 for values, _ in headers):
    lags, body = read_lags(body, segment.num_frames, natural)
  decoder = CompactDecoder(body)
  return decode_maps(headers, decoder), starts, lags, decoder


def _read_channel(data: bytes, sample_bytes: int) -> tuple[Values, int, Start, bytes]:
  """A channel's values, still without edges; the length of its zone; what it begins with; what follows."""
  head, data = natural(data)
  if head == 0:
    value, data = number(data)
    require_sound(1, 0, value, 0, 0, 0, sample_bytes)
    return Values(1, 0, value, value, value, []), 0, UNKNOWN, data
  step, offset, zone, zone_first = 1, 0, 0, 0
  level, rest = divmod(head - 1, 128)
  require(level < 32, 'a level that there is not')
  if rest % 2:
    step, data = natural(data)
    offset, data = natural(data)
  middle, data = number(data)
  span, data = natural(data)
  require(span > 0, 'one value with a start')
  if rest // 2 % 2:
    zone, data = natural(data)
    zone_first, data = natural(data)
  least = middle - (span >> 1)
  require_sound(step, offset, least, span, zone, zone_first, sample_bytes)
  return (
    Values(step, offset, least, least + span, least + zone_first, []),
    zone,
    Start(rest // 4, 2.0 ** (level - 2)),
    data,
  )


class CompactDecoder(EntropyDecoder):
  def __init__(self, body: bytes):
    size = len(body) if len(body) <= 8 else 5 + (len(body) - 5) % 4
    self._x = int.from_bytes(body[:size], 'little') if body else 1
    shortest = not body or (body[size - 1] > 0 and (len(body) > 8 or self._x != 1))
    require(shortest, 'a state is not as short as it could be')
    self._words = iter(struct.unpack_from(f'<{(len(body) - size) // 4}I', body, size))

  def take(self, start: int, size: int) -> None:
    self._x = size * (self._x >> 24) + self.slot - start
    if self._x < 1 << 32:
      word = next(self._words, None)
      if word is not None:
        self._x = (self._x << 32) + word

  def finish(self) -> None:
    require(self._x == 1 and next(self._words, None) is None, 'a code does not end as it should')


# First filters.


class FirstFilter:
  """coefficients: a of each order. deviations: δ."""

  def __init__(self, of: int):
    correlations, powers = [1.0], [1.0]
    self.coefficients: list[list[float]] = [[]]
    for i, numerator in enumerate(REFLECTIONS[of]):
      k, last = numerator / 1024, self.coefficients[-1]
      value = k * powers[-1]
      for j in range(1, i + 1):
        value += last[j - 1] * correlations[i + 1 - j]
      correlations.append(value)
      self.coefficients.append([last[j - 1] - k * last[i - j] for j in range(1, i + 1)] + [k])
      powers.append(powers[-1] * (1.0 - k * k))
    self.deviations = [math.sqrt(power / powers[ORDER]) for power in powers]
    self._correlations = [value / powers[ORDER] for value in correlations]

  def correlation(self, distance: int) -> float:
    """g at a distance."""
    while len(self._correlations) <= distance:
      value = 0.0
      for j, coefficient in enumerate(self.coefficients[ORDER], 1):
        value += coefficient * self._correlations[-j]
      self._correlations.append(value)
    return self._correlations[distance]


# What versions 3 and 4 have, and what it begins with.


class StartedFilters(linear.Filters):
  def __init__(self, values: Values, preset: linear.Preset, several: bool, start: Start, beside: Start):
    super().__init__(values, preset, several)
    first, other, level = FirstFilter(start.filter), FirstFilter(beside.filter), start.level
    self._first = first
    self._running = [level] * len(self._running)
    self._stacking_error = level
    v = 4.0 / (level + 2.0)
    for squares, each in zip(self._squares, preset.squares, strict=True):
      squares.coefficients[:ORDER] = first.coefficients[ORDER]
      for i in range(each.own):
        squares.moments[i] = v * (level * level * first.correlation(i + 1))
        for j in range(i, each.own):
          squares.matrix[i][j] = v * (level * level * first.correlation(j - i))
      for i in range(each.own, squares.size):
        for j in range(i, squares.size):
          squares.matrix[i][j] = v * (beside.level * beside.level * other.correlation(j - i))

  def _expected(self, t: int, history: list[float]) -> list[float]:
    if t >= ORDER:
      return super()._expected(t, history)
    value = 0.0
    for i, coefficient in enumerate(self._first.coefficients[t], 1):
      value += coefficient * history[-i]
    return [self._limited(value)] * len(self._squares)

  def _weight(self, t: int, k: int) -> float:
    return 0.0 if t < LEARNING_FROM else super()._weight(t, k)

  def _solves(self, t: int, k: int) -> bool:
    if LEARNING_FROM <= t < STARTING and t % (1 << ((t // 16).bit_length() - 1)) == 0:
      return True
    return super()._solves(t, k)


class StartedDistribution(EndBuckets):
  """Also of what comes after it in the order of methods: with a network, its distribution."""

  def start(self, start: Start) -> None:
    self._deviations = FirstFilter(start.filter).deviations
    self._level = start.level
    self._num_seen = 0
    self.running = [start.level * self._deviations[0] * spread for spread in SPREAD]
    for i in (1, 5):
      self.running[i] = max(self.running[i], (self._values.largest - self._values.least) / 4)

  def _follow(self, index: int) -> None:
    t = self._num_seen
    self._num_seen += 1
    if t >= STARTING:
      super()._follow(index)
      return
    if t == 0:
      self.running = [self._level * self._deviations[1] * spread for spread in SPREAD]
      return
    for i in range(8):
      rate = max(linear.ERROR_RATES[i % 4], 1.0 / (t + 6.0))
      error = abs(index - self._centres[i // 4])
      running = self.running[i] + (error - self.running[i]) * rate
      if t < ORDER:
        running *= self._deviations[t + 1] / self._deviations[t]
      self.running[i] = max(running, linear.LEAST_ERROR)


class StartedNetworkDistribution(StartedDistribution, hybrid.NetworkDistribution):
  pass


def _neighbour(starts: list[Start], c: int) -> Start:
  return starts[c - 1 if c > 0 else 1] if len(starts) > 1 else starts[c]


class Group(linear.Group):
  """Channels that are coded together by a preset."""

  def _read(self, body: bytes, segment: Segment) -> None:
    self._values, starts, self._lags, self._decoder = read_group(body, segment)
    preset = linear.PRESETS[segment.effort]
    self._filters, self._distributions = [], []
    for c, values in enumerate(self._values):
      self._filters.append(StartedFilters(values, preset, len(starts) > 1, starts[c], _neighbour(starts, c)))
      distribution = StartedDistribution(values)
      distribution.start(starts[c])
      self._distributions.append(distribution)


class HybridGroup(hybrid.Group):
  """Channels that are coded together by an effort and a network."""

  def _read(self, body: bytes, segment: Segment) -> list[Values]:
    values, starts, self._lags, self._decoder = read_group(body, segment)
    self._starts = starts
    return values

  def _new_channel(self, values: Values, preset: linear.Preset, c: int) -> hybrid.Channel:
    channel, starts = super()._new_channel(values, preset, c), self._starts
    channel.filters = StartedFilters(values, preset, len(starts) > 1, starts[c], _neighbour(starts, c))
    distribution = StartedNetworkDistribution(values)
    distribution.start(starts[c])
    channel.distribution = distribution
    return channel
