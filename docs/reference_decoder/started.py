"""A decoder of segments of codings 5 and 6, written from docs/FORMAT.md: what they have beside codings 3 and 4."""

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
  read_lags,
  read_number,
  require,
  require_sound,
)

REFLECTIONS = (
  (1023, -966, -570, -144, 133, 226, 180, 76),
  (1023, -882, -650, -492, -370, -265, -166, -70),
  (1023, -850, -652, -492, -376, -277, -187, -99),
  (1023, -826, -829, -398, -87, 76, 200, 175),
  (1023, -820, -463, -239, -127, -158, -122, -129),
  (1023, -767, -633, -500, -377, -311, -252, -195),
  (1023, -605, -595, -480, -397, -334, -279, -238),
  (1023, -593, -544, -416, -300, -200, -106, -68),
  (1023, -555, -583, -467, -374, -307, -248, -188),
  (1023, -539, -204, -538, -121, -331, -49, -212),
  (1023, -495, -537, -454, -371, -273, -203, -129),
  (1023, -378, -484, -480, -365, -325, -249, -244),
  (1023, -268, -787, -528, -318, -215, -177, -152),
  (1023, 25, -387, -389, -376, -301, -279, -232),
  (1023, 31, 4, -545, -220, -407, -59, -269),
  (1023, 337, -22, -164, -213, -244, -217, -200),
  (1021, -979, 640, 295, -157, -192, -10, 44),
  (1017, -807, 632, -524, 289, -267, -87, 10),
  (1014, -967, 439, -161, 254, -49, 151, -97),
  (1010, 505, 288, 167, 69, -52, 2, -40),
  (992, -590, -173, -549, 176, 7, 386, -106),
  (992, 83, 158, 62, 160, 84, 219, 98),
  (988, -602, 598, -187, 295, -126, 182, -48),
  (970, -940, 540, 53, -239, -259, 59, -123),
  (967, -755, 245, -409, -49, 17, 4, -329),
  (961, -602, -298, -203, -44, -60, 38, -153),
  (961, -11, -275, -755, -287, -31, 426, 22),
  (902, -346, 688, -195, 505, -109, 297, -168),
  (871, -411, 281, -166, 108, -134, 64, -66),
  (703, 104, 592, -105, 365, -64, 371, 12),
  (311, -591, 133, -226, 6, -57, 88, -48),
  (19, 523, 508, 316, 380, 125, 59, -21),
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


UNKNOWN = Start(16, 16.0)


def natural(data: bytes) -> tuple[int, bytes]:
  """A natural, and what follows it."""
  value, rest = read_number(data)
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
    value, data = read_number(data)
    require_sound(1, 0, value, 0, 0, 0, sample_bytes)
    return Values(1, 0, value, value, value, []), 0, UNKNOWN, data
  step, offset, zone, zone_first = 1, 0, 0, 0
  level, rest = divmod(head - 1, 128)
  require(level < 32, 'a level that there is not')
  if rest % 2:
    step, data = natural(data)
    offset, data = natural(data)
  middle, data = read_number(data)
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
    self._x = int.from_bytes(body[:size], 'little') if body else 4096
    shortest = not body or (body[size - 1] > 0 and (len(body) > 8 or self._x != 4096))
    require(shortest, 'a state is not as short as it could be')
    self._words = iter(struct.unpack_from(f'<{(len(body) - size) // 4}I', body, size))

  def take(self, start: int, size: int) -> None:
    self._x = size * (self._x >> 24) + self.slot - start
    if self._x < 1 << 32:
      word = next(self._words, None)
      if word is not None:
        self._x = (self._x << 32) + word

  def finish(self) -> None:
    require(self._x == 4096 and next(self._words, None) is None, 'a code does not end as it should')


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


# What codings 3 and 4 have, and what it begins with.


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
