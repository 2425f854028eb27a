"""Bootstrap intervals: against exact enumeration, against scipy, by their coverage, and whatever the order."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from language_modeling_is_compression.evaluation.statistics import bootstrap
from language_modeling_is_compression.evaluation.statistics.bootstrap import (
  NUM_RESAMPLES,
  Interval,
  difference,
  interval,
  mean,
  ratio,
  resampled_sums,
)


def files(table: np.ndarray | list[list[int]], prefix: str = 'file') -> dict[str, list[int]]:
  return {f'{prefix}{index:05}': row for index, row in enumerate(np.asarray(table).tolist())}


def skewed(num_files: int, seed: int = 0) -> np.ndarray:
  """Raw and compressed bytes of files whose lengths and rates vary much."""
  rng = np.random.default_rng(seed)
  raw = np.exp(rng.normal(10, 1, num_files)).astype(int) + 1
  return np.stack([raw, (raw * rng.beta(2, 5, num_files)).astype(int)], axis=1)


def test_a_rate_is_a_ratio_of_sums():
  sums = resampled_sums(files([[100, 50], [300, 60]]), seed=0)
  assert ratio(sums, 1, 0).value == 110 / 400
  assert ratio(sums, 1, 0, once=10).value == 120 / 400


def test_resamples_are_all_draws_of_as_many_files_with_replacement():
  """Three files give ten different sums, each as often as there are orders of drawing it."""
  table = np.array([[1, 1], [10, 5], [100, 7]])
  drawn = resampled_sums(files(table), seed=0).resampled
  expected: dict[tuple[float, ...], int] = {}
  for choice in itertools.product(range(3), repeat=3):
    key = tuple(table[list(choice)].sum(axis=0).tolist())
    expected[key] = expected.get(key, 0) + 1
  found, counts = np.unique(drawn, axis=0, return_counts=True)
  assert {tuple(row) for row in found.tolist()} == expected.keys()
  for row, count in zip(found.tolist(), counts.tolist(), strict=True):
    share = expected[tuple(row)] / 27
    assert abs(count / NUM_RESAMPLES - share) < 5 * np.sqrt(share * (1 - share) / NUM_RESAMPLES)


def test_many_files_are_drawn_in_blocks(monkeypatch):
  table = files(skewed(50))
  whole = resampled_sums(table, seed=0).resampled
  monkeypatch.setattr(bootstrap, '_BLOCK_COUNTS', 50 * 999)
  assert np.array_equal(resampled_sums(table, seed=0).resampled, whole)


def scipys_interval(statistic, *columns, method: str):
  """scipy takes the acceleration from the jackknife, and draws otherwise."""
  return stats.bootstrap(
    columns, statistic, paired=True, n_resamples=40_000, method=method, rng=np.random.default_rng(0)
  ).confidence_interval


def test_the_interval_is_the_one_that_scipy_finds():
  def rate(raw, compressed, axis=-1):
    return compressed.sum(axis=axis) / raw.sum(axis=axis)

  table = skewed(40)
  theirs = scipys_interval(rate, *table.T, method='BCa')
  ours = interval(ratio(resampled_sums(files(table), seed=0), 1, 0))
  assert ours is not None
  width = theirs.high - theirs.low
  assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)
  # Files so unlike each other tell this method from the simpler one.
  assert abs(ours.high - scipys_interval(rate, *table.T, method='percentile').high) > 0.03 * width


def test_the_interval_of_a_difference_is_the_one_that_scipy_finds():
  def rates_apart(raw, first, second, axis=-1):
    return (first.sum(axis=axis) - second.sum(axis=axis)) / raw.sum(axis=axis)

  table = skewed(40)
  # One file in ten is much worse with the second, the others a little better.
  factors = np.where(np.arange(40) % 10, 0.97, 1.6)
  table = np.column_stack([table, (table[:, 1] * factors).astype(int)])
  theirs = scipys_interval(rates_apart, *table.T, method='BCa')
  sums = resampled_sums(files(table), seed=0)
  ours = interval(difference(ratio(sums, 1, 0), ratio(sums, 2, 0)))
  assert ours is not None
  width = theirs.high - theirs.low
  assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)
  simpler = scipys_interval(rates_apart, *table.T, method='percentile')
  assert abs(ours.low - simpler.low) > 0.03 * width


def test_draws_that_come_to_the_rate_itself_lie_on_both_sides_of_it():
  """Twenty files, half of them at 0.4 and half at 0.6, are symmetric around their rate, which a draw in six has."""
  found = interval(ratio(resampled_sums(files([[100, 40], [100, 60]] * 10), seed=0), 1, 0))
  assert found is not None
  assert found.low + found.high == pytest.approx(1, abs=0.005)


def test_the_interval_has_the_true_rate_in_it_as_often_as_it_says():
  """Of 200 sets of 60 files about 190 do; what a wrong quantile or one tail only would give is far below."""
  rng = np.random.default_rng(1)
  hits = 0
  for trial in range(200):
    raw = rng.integers(1000, 20_000, 60)
    table = np.stack([raw, rng.binomial(raw, rng.uniform(0.3, 0.5, 60))], axis=1)
    found = interval(ratio(resampled_sums(files(table, f'{trial}_'), seed=0), 1, 0))
    assert found is not None
    hits += found.low <= 0.4 <= found.high
  assert 178 <= hits <= 199


def test_the_influence_is_the_derivative_by_each_files_weight():
  table = skewed(5).astype(float)
  influence = ratio(resampled_sums(files(table), seed=0), 1, 0, once=500).influence
  step = 1e-6
  for index in range(5):
    weights = np.full(5, 1 - step / 5)
    weights[index] += step
    raw, compressed = weights @ table
    value = (table[:, 1].sum() + 500) / table[:, 0].sum()
    assert ((compressed + 500) / raw - value) / step == pytest.approx(influence[index], rel=1e-3, abs=1e-9)


def test_one_file_has_no_interval_and_neither_has_a_mean_with_it():
  alone = ratio(resampled_sums(files([[100, 50]]), seed=0), 1, 0)
  several = ratio(resampled_sums(files(skewed(9)), seed=0), 1, 0)
  assert interval(alone) is None
  assert interval(mean([several, alone])) is None
  assert interval(difference(alone, alone)) is None


def test_files_of_the_same_rate_have_an_interval_without_width():
  assert interval(ratio(resampled_sums(files([[100, 50], [300, 150], [8, 4]]), seed=0), 1, 0)) == Interval(
    low=0.5, high=0.5
  )


def test_a_mean_of_groups_is_as_sure_as_groups_drawn_independently():
  """The variance of a mean of four independent estimates is the mean of theirs by four."""
  estimates = [ratio(resampled_sums(files(skewed(30, seed), f'{seed}/'), seed=0), 1, 0) for seed in range(4)]
  pooled = mean(estimates)
  assert pooled.value == pytest.approx(sum(each.value for each in estimates) / 4)
  assert np.var(pooled.resampled) == pytest.approx(sum(np.var(each.resampled) for each in estimates) / 16, rel=0.05)
  assert pooled.influence == pytest.approx(np.concatenate([each.influence for each in estimates]) / 4)


def test_a_difference_of_pairs_is_surer_than_its_two_rates():
  """What makes a file hard is hard for both: one that is always 1% better is better, whatever the spread."""
  table = skewed(30)
  better = np.column_stack([table, table[:, 1] * 0.99])
  sums = resampled_sums(files(better), seed=0)
  first, second = ratio(sums, 1, 0), ratio(sums, 2, 0)
  of_first, found = interval(first), interval(difference(first, second))
  assert of_first is not None and found is not None
  assert of_first.low < second.value < of_first.high
  assert found.excludes(0) and found.low < 0.01 * first.value < found.high


@given(order=st.permutations(range(12)), others=st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_neither_order_nor_what_else_is_compared_changes_a_bit(order, others):
  table = skewed(12)
  wide = np.column_stack([table, *[table[:, 1] + other for other in range(others)]])
  named = list(files(wide).items())
  shuffled = dict(named[index] for index in order)
  found = interval(ratio(resampled_sums(shuffled, seed=0), 1, 0))
  assert found == interval(ratio(resampled_sums(files(table), seed=0), 1, 0))


def test_seeds_and_names_give_other_draws():
  table = skewed(12)
  one = resampled_sums(files(table), seed=0).resampled
  assert not np.array_equal(resampled_sums(files(table), seed=1).resampled, one)
  assert not np.array_equal(resampled_sums(files(table, 'other'), seed=0).resampled, one)


def test_names_that_are_no_text_can_be_drawn_by():
  assert resampled_sums({'\udcff.wav': [1, 2], '\ud800': [3, 4]}, seed=0).values.tolist() == [[3, 4], [1, 2]]


def test_an_end_belongs_to_an_interval():
  assert not Interval(low=0.0, high=1.0).excludes(0)
  assert Interval(low=0.1, high=1.0).excludes(0)
  assert Interval(low=-1.0, high=-0.1).excludes(0)
