"""Buckets: every index has its intervals, they fill the whole without gaps, and decoding finds the index again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from language_modeling_is_compression.entropy import rans
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.linear import buckets, distribution
from language_modeling_is_compression.linear.distribution import LANES, MULTIPLES, Mixture
from language_modeling_is_compression.prediction import value_map
from language_modeling_is_compression.prediction.value_map import ChannelValues

WHOLE = 1 << PRECISION_BITS
NUM_SHAPES = LANES * len(MULTIPLES)
ESCAPE = 1 << 12
INT32 = (-(1 << 31), (1 << 31) - 1)


@compiled
def build(mixture, channel, centres):
  distribution.build(mixture, channel, centres)


@compiled
def window_of(mixture, bins, channel, centre):
  return buckets.window_of(mixture, bins, channel, centre)


@compiled
def keep(mixture, low, high, found):
  for j in range(found.shape[1]):
    found[0, j], found[1, j] = mixture.found[low, j], mixture.found[high, j]


@compiled
def encode(mixture, bins, ranks, channel, centre, indices, intervals, counts, found):
  """Of every index the intervals, [*, 5, 2], their number, and what shapes have at its bucket's edges, [*, 2, J]."""
  for k in range(len(indices)):
    window = buckets.window_of(mixture, bins, channel, centre)
    counts[k] = buckets.encode_index(mixture, bins, ranks, channel, window, indices[k], intervals[k], 0)
    keep(mixture, 0, 1, found[k])


@compiled
def decode(mixture, bins, ranks, channel, centre, code, indices, found):
  for k in range(len(indices)):
    window = buckets.window_of(mixture, bins, channel, centre)
    index, low, high = buckets.decode_index(mixture, bins, ranks, channel, centre, window, code)
    indices[k] = index
    keep(mixture, low, high, found[k])


def values(least: int, largest: int, zone_start: int = 0, used: np.ndarray | None = None) -> ChannelValues:
  used = np.zeros(0, bool) if used is None else used
  return ChannelValues(
    step=1, offset=0, least=least, largest=largest, zone_start=zone_start if len(used) else least, used=used
  )


class Coding:
  """A channel, the second of two, whose next sample is expected at `centre`, about `error` off.

  second_error: of the second centre, beside a network that has an opinion, too; None without one.
  """

  def __init__(
    self,
    channel: ChannelValues,
    centre: float,
    error: float,
    seed: int = 0,
    *,
    second_error: float | None = None,
    second_centre: float | None = None,
  ):
    channels = [values(-5, 5), channel]
    rng = np.random.default_rng(seed)
    self.bins, self.ranks, self.centre = value_map.edges(channels), buckets.ranks_of(channels), centre
    self.mixture: Mixture = distribution.new_mixture(2, has_network=second_error is not None)
    self.mixture.running[1] = error * rng.uniform(0.5, 2, LANES)
    self.mixture.running[1, 1] = error
    self.mixture.weights[1] = rng.dirichlet(np.ones(self.mixture.weights.shape[1]))
    other = min(max(centre + rng.normal() * error, channel.least), channel.largest)
    if second_error is not None:
      self.mixture.running[1, LANES // 2 :] = second_error * rng.uniform(0.5, 2, LANES // 2)
      self.mixture.running[1, LANES // 2 + 1] = second_error
      other = other if second_centre is None else second_centre
      self.mixture.chances[:] = rng.dirichlet(np.ones(len(self.mixture.chances)))
      self.mixture.component_centres[:] = centre + rng.normal(size=LANES) * error
      self.mixture.component_inverse_scales[:] = 32 / (error * rng.uniform(0.1, 3, LANES))
    build(self.mixture, 1, np.array([centre, other]))

  @property
  def window(self) -> tuple[int, ...]:
    return window_of(self.mixture, self.bins, 1, self.centre)

  def encoded(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(indices)
    intervals, counts = np.zeros((count, buckets.MAX_SYMBOLS, 2), np.int64), np.zeros(count, np.int64)
    found = np.zeros((count, 2, self.mixture.found.shape[1]))
    encode(self.mixture, self.bins, self.ranks, 1, self.centre, indices, intervals, counts, found)
    return intervals, counts, found

  def check(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encodes and decodes indices, all of them expected alike. Returns their intervals and how many each has."""
    intervals, counts, found = self.encoded(indices)
    there = np.arange(buckets.MAX_SYMBOLS) < counts[:, None]
    assert (intervals[there][:, 1] >= 1).all() and (intervals[there][:, 0] >= 0).all()
    assert (intervals[there].sum(axis=1) <= WHOLE).all()
    decoder = rans.Decoder([rans.encode(intervals[there].astype(np.uint32))])
    decoded, found_again = np.zeros_like(indices), np.zeros_like(found)
    decode(self.mixture, self.bins, self.ranks, 1, self.centre, decoder.arrays, decoded, found_again)
    np.testing.assert_array_equal(decoded, indices)
    assert decoder.sound()[0]
    np.testing.assert_array_equal(found_again, found)  # What the weights are learned from.
    return intervals, counts

  def check_all(self, channel: ChannelValues) -> None:
    """Encodes and decodes all used indices of a small channel, whose intervals leave nothing out."""
    indices = np.arange(channel.least, channel.largest + 1)
    inside = (indices >= channel.zone_start) & (indices < channel.zone_start + len(channel.used))
    used = np.ones(len(indices), bool)
    used[inside] = channel.used
    indices = indices[used]
    intervals, counts = self.check(indices)
    shift, origin, top, first, last, whole, free = self.window
    assert whole == WHOLE and free == whole - (last - first + 1)
    bucket_of = np.where((indices == channel.largest) & (top <= last), top, (indices - origin) >> shift)
    end: int | None = 0
    for bucket in range(first, last + 1):
      inside = bucket_of == bucket
      if not inside.any():  # A map may leave a bucket without an index; it keeps its interval.
        end = None
        continue
      of_bucket = intervals[inside, 0]
      assert (of_bucket == of_bucket[0]).all()
      assert end is None or of_bucket[0, 0] == end
      end = int(of_bucket[0].sum())
      assert (counts[inside] == (2 if inside.sum() > 1 else 1)).all()
      if inside.sum() > 1:
        places = intervals[inside, 1]
        assert places[0, 0] == 0 and places[-1].sum() == WHOLE
        np.testing.assert_array_equal(places[1:, 0], places[:-1].sum(axis=1))
    assert end is None or end == whole


@settings(max_examples=60, deadline=None)
@given(
  least=st.integers(-40_000, 40_000),
  span=st.integers(1, 3000),
  place=st.floats(0, 1),
  error=st.floats(1e-30, 5000),
  seed=st.integers(0, 1 << 32),
)
def test_all_indices_of_a_small_channel(least, span, place, error, seed):
  channel = values(least, least + span)
  Coding(channel, least + place * span, error, seed).check_all(channel)


@settings(max_examples=60, deadline=None)
@given(
  least=st.integers(-9000, 9000),
  span=st.integers(3, 2000),
  zone=st.tuples(st.floats(0, 1), st.floats(0, 1)),
  density=st.floats(0, 1),
  error=st.floats(0.01, 3000),
  seed=st.integers(0, 1 << 32),
)
def test_all_indices_of_a_channel_with_a_map(least, span, zone, density, error, seed):
  """Of which a zone of any size has gaps that may be wider than buckets."""
  begin, end = sorted(round(part * span) for part in zone)
  used = np.random.default_rng(seed).uniform(size=end - begin + 1) < density
  used[0] = used[-1] = True
  channel = values(least, least + span, least + begin, used)
  Coding(channel, least + 0.4 * span, error, seed).check_all(channel)


def test_buckets_of_several_indices_follow_the_error():
  channel = values(-3000, 3000)
  shifts = [Coding(channel, 7.5, error).window[0] for error in (1e-30, 1, 16, 32, 500, 1e6, 1e12)]
  assert shifts == [0, 0, 0, 1, 4, 15, 20]


@pytest.mark.parametrize('centre', [INT32[0], -1.5, 0.0, INT32[1]])
@pytest.mark.parametrize('error', [1e-30, 1.0, 1e3, 1e6, 4e9])
def test_indices_of_32_bits(centre, error):
  """With what escapes on both sides, also right beside the window."""
  coding = Coding(values(*INT32), float(centre), error)
  shift, _, _, first, last, whole, _ = coding.window
  edges = np.array([first << shift, (last + 1) << shift])[:, None] + np.arange(-3, 4)
  near = int(centre) + np.arange(-300, 300)
  drawn = np.random.default_rng(0).integers(*INT32, 300, endpoint=True)
  indices = np.concatenate([edges.ravel(), near, drawn, [*INT32, 0, -1]]).clip(*INT32)
  intervals, counts = coding.check(indices)
  outside = (indices >> shift < first) | (indices >> shift > last)
  assert outside.any() == (whole < WHOLE)
  assert (counts[outside] == buckets.MAX_SYMBOLS).all() and (counts[~outside] <= 2).all()
  assert (intervals[outside, 0] == [WHOLE - ESCAPE, ESCAPE]).all()
  assert (intervals[~outside, 0].sum(axis=1) <= whole).all()


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=8, max_size=400), st.sampled_from([1e-3, 1.0, 300.0, 1e7]), st.booleans())
def test_any_code_is_decoded_to_indices_within_limits(code, error, mapped):
  """A damaged one may say buckets that hold nothing, and escapes to what is near, or too far."""
  channel = values(-50_000, 1_500_000)
  if mapped:
    used = np.arange(40_000) % 977 == 0
    used[-1] = True
    channel = values(-50_000, 1_500_000, -20_000, used)
  coding, indices = Coding(channel, 1234.5, error), np.zeros(300, np.int64)
  decoder = rans.Decoder([code])
  decode(
    coding.mixture, coding.bins, coding.ranks, 1, coding.centre, decoder.arrays, indices, np.zeros((300, 2, NUM_SHAPES))
  )
  assert (indices >= channel.least).all() and (indices <= channel.largest).all()


def test_an_escape_to_beyond_the_limits_is_the_largest_index():
  coding = Coding(values(-50_000, 1_500_000), 1234.5, 1.0)
  assert coding.window[5] == WHOLE - ESCAPE
  last_byte = (255 << (PRECISION_BITS - 8), 1 << (PRECISION_BITS - 8))
  code = rans.encode(np.array([(WHOLE - ESCAPE, ESCAPE), *[last_byte] * 4], np.uint32))
  indices = np.zeros(1, np.int64)
  arrays, found = rans.Decoder([code]).arrays, np.zeros((1, 2, NUM_SHAPES))
  decode(coding.mixture, coding.bins, coding.ranks, 1, coding.centre, arrays, indices, found)
  assert indices.tolist() == [1_500_000]


@settings(max_examples=60, deadline=None)
@given(
  least=st.integers(-40_000, 40_000),
  span=st.integers(1, 3000),
  place=st.floats(0, 1),
  errors=st.tuples(st.floats(1e-30, 5000), st.floats(1e-30, 5000)),
  seed=st.integers(0, 1 << 32),
)
def test_all_indices_beside_a_network(least, span, place, errors, seed):
  coding = Coding(values(least, least + span), least + place * span, errors[0], seed, second_error=errors[1])
  coding.check_all(values(least, least + span))


@pytest.mark.parametrize(('error', 'second_error', 'bucket_log'), [(5e6, 900.0, 5), (900.0, 5e6, 5), (900.0, 900.0, 5)])
def test_beside_a_network_buckets_follow_the_nearer_centre(error, second_error, bucket_log):
  """Also where it is at another place altogether: what is near it does not escape."""
  channel = values(-(1 << 23), (1 << 23) - 1)
  coding = Coding(channel, -6e6, error, second_error=second_error, second_centre=6e6)
  shift, origin, _, first, last, _, _ = coding.window
  assert shift == bucket_log
  middle = ((6e6 if second_error < error else -6e6) - origin) / (1 << shift)
  assert (first + last) / 2 == pytest.approx(middle, abs=1)
  nearby = np.arange(-500, 500) * 9 + int(6e6 if second_error < error else -6e6)
  assert (coding.check(nearby)[1] == 2).all()
  coding.check(np.array([channel.least, -6_000_000, 0, 6_000_000, channel.largest]))


def test_beside_a_network_the_ends_are_buckets_of_their_own():
  """Which what is cut off there takes no place in."""
  coding = Coding(values(-3000, 3000), 0.0, 900.0, second_error=900.0)
  shift, *_ = coding.window
  intervals, counts = coding.check(np.array([-3000, -2999, -2990, 2990, 2999, 3000]))
  assert shift > 3 and counts.tolist() == [1, 2, 2, 2, 2, 1]
  assert intervals[0, 0, 0] == 0 and intervals[5, 0].sum() == WHOLE
  assert (intervals[1, 0] == intervals[2, 0]).all() and intervals[1, 0, 0] == intervals[0, 0].sum()


def test_without_a_network_buckets_follow_the_first_centre():
  """As files of version 3 have it."""
  coding = Coding(values(-(1 << 23), (1 << 23) - 1), -6e6, 5e6)
  coding.mixture.running[1, LANES // 2 :] = 1.0
  assert coding.window[0] == 18


def test_ranks_count_used_indices():
  ranks = buckets.ranks_of([values(0, 9, 2, np.array([True, False, True])), values(0, 9)])
  np.testing.assert_array_equal(ranks, [[0, 1, 1, 2], [0, 0, 0, 0]])
