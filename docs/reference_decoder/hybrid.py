"""A decoder of segments coded by linear prediction and a network, format version 4, written from docs/FORMAT.md.

What version 3 has as well is linear.py's, and the network is segments.py's.
"""

import math

from reference_decoder.linear import EndBuckets, Filters, Preset, Squares, last, logistic
from reference_decoder.segments import (
  BLOCK,
  COMPONENT_CENTRES,
  EXP2,
  Context,
  Network,
  Segment,
  Values,
  decode_groups,
  log2,
  power,
  read_group,
)

EFFORTS = (
  Preset(
    (Squares(16, 8, 0.9995, 64), Squares(16, 8, 0.98, 16), Squares(16, 8, 0.996, 32)),
    ((256, 0.0004), (16, 0.006)),
    has_lags=True,
    second=((32, 0.008), (16, 0.016)),
    lags_every=64,
  ),
  Preset(
    (Squares(16, 8, 0.9995, 64), Squares(16, 8, 0.98, 16), Squares(32, 8, 0.996, 16)),
    ((2048, 0.00004), (512, 0.0002), (128, 0.001), (16, 0.006)),
    has_lags=True,
    second=((256, 0.004), (32, 0.008), (16, 0.016)),
    lags_every=16,
  ),
  Preset(
    (Squares(32, 16, 0.9995, 64), Squares(16, 8, 0.98, 2), Squares(32, 16, 0.996, 4)),
    ((4096, 0.00002), (1024, 0.0001), (256, 0.0004), (64, 0.002), (16, 0.006)),
    has_lags=True,
    second=((256, 0.003), (64, 0.006), (32, 0.008), (16, 0.016)),
    lags_every=8,
  ),
  # In coding 6 alone.
  Preset(
    (Squares(24, 8, 0.9995, 64), Squares(16, 8, 0.98, 16), Squares(32, 8, 0.996, 32)),
    ((2048, 0.00005), (16, 0.001), (512, 0.0002), (128, 0.001), (16, 0.006)),
    has_lags=True,
    second=((128, 0.005), (32, 0.008), (16, 0.016)),
    lags_every=16,
  ),
  Preset(
    (Squares(24, 8, 0.9997, 64), Squares(16, 8, 0.98, 4), Squares(32, 16, 0.996, 8)),
    ((4096, 0.000025), (16, 0.001), (1024, 0.0001), (256, 0.0004), (64, 0.002), (16, 0.006)),
    has_lags=True,
    second=((128, 0.004), (64, 0.006), (32, 0.008), (16, 0.016)),
    lags_every=8,
  ),
)


# The body.


def decode(body: bytes, network: Network, segment: Segment) -> list[list[int]]:
  """Samples [frame][channel]. Raises ValueError if the body is not sound."""
  return decode_groups(body, segment, lambda coded, channels: Group(coded, network, channels).decode())


class Channel:
  """What a channel of a group has. unit, errors: what they were last."""

  def __init__(self, values: Values, preset: Preset, several: bool):
    self.values = values
    self.history: list[float] = []  # All indices, those of a channel of one value being 0.
    self.filters = Filters(values, preset, several)
    self.distribution = NetworkDistribution(values)
    self.equal_rate = 0.0
    self.unit = 1.0

  def follow(self, index: int) -> None:
    equal = 1.0 if index == last(self.history, 1)[0] else 0.0
    self.equal_rate += (equal - self.equal_rate) / 32


class Group:
  """Channels that are coded together."""

  def __init__(self, body: bytes, network: Network, segment: Segment):
    self._segment = segment
    values = self._read(body, segment)
    self._channels = [self._new_channel(each, EFFORTS[segment.effort], c) for c, each in enumerate(values)]
    self._context = Context(network)
    step = min([each.step for each in values if each.num_bytes], default=1)
    self._bytes_in_use = max(1, segment.sample_bytes - (step.bit_length() - 1) // 8)

  def _read(self, body: bytes, segment: Segment) -> list[Values]:
    values, self._lags, self._decoder = read_group(body, segment)
    return values

  def _new_channel(self, values: Values, preset: Preset, _c: int) -> Channel:
    return Channel(values, preset, self._segment.num_channels > 1)

  def decode(self) -> list[list[int]]:
    """Samples [frame][channel]."""
    frames = [[self._sample(t, c) for c in range(len(self._channels))] for t in range(self._segment.num_frames)]
    self._decoder.finish()
    return frames

  def _sample(self, t: int, c: int) -> int:
    channel = self._channels[c]
    values, filters, distribution = channel.values, channel.filters, channel.distribution
    if values.num_indices == 1:
      channel.history.append(0.0)
      return values.step * values.least + values.offset
    neighbour = self._channels[c - 1 if c > 0 else 1] if len(self._channels) > 1 else None
    centres = filters.predict(t, self._lags[t // BLOCK], channel.history, neighbour.history if neighbour else None)
    features = _features(channel, neighbour, centres, t, c, self._bytes_in_use, self._segment.sample_rate_hz)
    distribution.build_with_network(centres, channel.unit, self._context.outputs(features))
    index = distribution.decode(self._decoder)
    distribution.learn(index)
    channel.follow(index)
    filters.learn(t, float(index))
    channel.history.append(float(index))
    return values.step * index + values.offset


# Features.


def _features(
  channel: Channel,
  neighbour: Channel | None,
  centres: tuple[float, ...],
  t: int,
  c: int,
  bytes_in_use: int,
  sample_rate_hz: int,
) -> list[int]:
  """Also sets the channel's unit."""
  filters, values, found = channel.filters, channel.values, [0] * 48
  r, m = channel.distribution.running, channel.distribution.posteriors
  channel.unit = unit = max(0.75 * r[1], 1 / 64)
  centre = centres[0]
  found[0] = _fixed(log2(unit) / 4 - 1)
  for place, i in ((1, 0), (2, 2), (3, 3)):
    found[place] = _fixed(log2(r[i] / r[1] + 0.001))
  found[4] = _fixed(log2((abs(filters.errors[0]) + 0.25 * unit) / unit))
  found[5:21] = [_squashed(error, unit) for error in filters.errors]
  others = (*filters.expected, centres[2], filters.without, filters.base)
  found[21:27] = [_squashed(other - centre, 0.25 * unit) for other in others]
  if neighbour:
    error, other_unit = neighbour.filters.errors[0], neighbour.unit
    found[27] = _squashed(error, other_unit)
    found[28] = _fixed(log2((abs(error) + 0.1 * other_unit) / other_unit))
    found[29] = 32 if c > 0 else -32
  found[30] = _fixed(bytes_in_use - 2)
  found[31] = _fixed(log2(max(1, sample_rate_hz) / 16000))
  found[32] = _fixed(4 * (centre - math.floor(centre) - 0.5))
  found[33] = _fixed(4 / (1 + unit))
  newest = last(channel.history, 3)
  found[34:36] = [_squashed(y - centre, unit) for y in newest[:2]]
  found[36] = _fixed(4 * channel.equal_rate)
  found[37] = 64 if newest[0] == newest[1] == newest[2] else 0
  wide, first = 0.0, 0.0
  for j in range(24):
    wide += m[j] * (j // 8)
    if j % 8 < 4:
      first += m[j]
  found[38] = _fixed(2 * wide - 2)
  found[39] = _fixed(4 * first - 2)
  for n in range(4):
    share = 0.0
    for h in range(3):
      share += m[8 * h + n] + m[8 * h + 4 + n]
    found[40 + n] = _fixed(4 * share - 1)
  found[44] = _squashed(filters.high - centre, 8 * unit)
  found[45] = _squashed(centre - filters.low, 8 * unit)
  found[46] = _fixed(log2(t + 1) / 4 - 2)
  nearest = math.floor(centre + 0.5)
  found[47] = _fixed(log2(values.lower_edge(nearest + 1) - values.lower_edge(nearest) + 1 / 64))
  return found


def _fixed(x: float) -> int:
  return int(min(max(x * 32, -127.0), 127.0) + 128.5) - 128


def _squashed(x: float, s: float) -> int:
  return _fixed(2 * x / (abs(x) + s))


# The distribution of an index.


class NetworkDistribution(EndBuckets):
  """With eight components of the network."""

  multiples = (0.4, 0.7, 2.0)

  def __init__(self, values: Values):
    super().__init__(values)
    self._posterior = 0.5

  def build_with_network(self, centres: tuple[float, ...], unit: float, outputs: list[int]) -> None:
    top = max(outputs[:9])
    masses = [power(top - logit) for logit in outputs[:9]]
    factor = 1.0 / sum(masses)
    self._chances = [mass * factor for mass in masses]
    self._components = []  # Centre and inverse of each.
    for k, number in enumerate(COMPONENT_CENTRES):
      offset = min(max(outputs[9 + k], -32 << 10), 32 << 10)
      log2_scale = min(max(outputs[17 + k], -12 << 10), 12 << 10)
      scale = math.ldexp(EXP2[-log2_scale % 1024], (log2_scale + 1023 >> 10) - 15)
      self._components.append((centres[number] + unit * (offset / 1024), 32 / (unit * scale)))
    self._component_shares = [int(chance * (self._posterior * 65536)) for chance in self._chances[:8]]
    super().build(centres, 65536 - sum(self._component_shares))

  def _and_component(self, mass: float, i: int, x: float) -> float:
    return mass + self._component_shares[i] * self._component(i, x)

  def _component(self, k: int, x: float) -> float:
    """F'_k(x)."""
    centre, inverse = self._components[k]
    return logistic((x - centre) * inverse)

  def _judge_network(self, below: float, above: float, mass: float) -> None:
    total = 0.0
    for k in range(8):
      total += self._chances[k] * ((self._component(k, above) - self._component(k, below)) * 2.0**-30)
    total += self._chances[8] * mass
    v = self._posterior * total
    self._posterior = v / (v + (1 - self._posterior) * mass) * (1 - 2 / 1024) + 1 / 1024
