"""Confidence intervals of compression rates: 95% bootstrap over files, paired where compressors are compared.

Files are resampled, neither samples nor chunks: those of one file resemble each other, and the question is what another
set of such files would have given. A rate is a ratio of sums, both of them over the same resampled files.

Intervals are BCa, bias-corrected and accelerated (B. Efron, R. J. Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 14). Files differ in length and in how hard they are, which makes the distribution of a ratio over a few dozen
files skewed; percentiles alone would be off to one side. The acceleration comes from the derivative of the estimate by
each file's weight (B. Efron, Better Bootstrap Confidence Intervals, JASA 82, 1987), which a ratio of sums has in closed
form; the book's jackknife estimates the same.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95
NUM_RESAMPLES = 10_000

# Counts of files in resamples that are in memory at a time, 32 MB of them.
_BLOCK_COUNTS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Interval:
  """Both ends of a 95% interval."""

  low: float
  high: float

  def excludes(self, value: float) -> bool:
    return not self.low <= value <= self.high


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
  """Columns of numbers, a row per file, and their sums over files drawn with replacement.

  values: float64 [N, K], rows in the order of the files' names. resampled: float64 [NUM_RESAMPLES, K].
  """

  values: np.ndarray
  resampled: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
  """A figure of some files, and the same figure of resamples of them.

  resampled: [NUM_RESAMPLES]. influence: [N], its derivative by the weight of each file, where all weigh 1 and their sum
  is kept. num_files: of the smallest group of files that were resampled among each other.
  """

  value: float
  resampled: np.ndarray
  influence: np.ndarray
  num_files: int


def resampled_sums(values: Mapping[str, Sequence[int]], *, seed: int) -> Sums:
  """values: of each file, by its name; not empty.

  What is drawn depends on the names and the seed alone: columns of the same files are paired, whoever they are of and
  whatever else is compared, and other groups of files are drawn independently. Values below 2**53 in sum are added
  exactly, so no result depends on the order or on the machine.
  """
  names = sorted(values)
  table = np.array([values[name] for name in names], np.float64)
  joined = '\0'.join(names).encode('utf-8', 'surrogatepass')
  rng = np.random.default_rng([seed, *hashlib.sha256(joined).digest()])
  count = len(names)
  resampled = np.empty((NUM_RESAMPLES, table.shape[1]))
  block = max(1, _BLOCK_COUNTS // count)
  for begin in range(0, NUM_RESAMPLES, block):
    rows = min(block, NUM_RESAMPLES - begin)
    drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
    weights = np.bincount(drawn.reshape(-1), minlength=rows * count).reshape(rows, count)
    resampled[begin : begin + rows] = weights.astype(np.float64) @ table
  return Sums(values=table, resampled=resampled)


def ratio(sums: Sums, over: int, under: int, once: float = 0) -> Estimate:
  """(The sum of column `over` + `once`) / the sum of column `under`, which is above 0 in every row.

  once: the same whichever files were drawn.
  """
  totals = sums.values.sum(axis=0)
  value = (totals[over] + once) / totals[under]
  influence = (sums.values[:, over] - value * sums.values[:, under]) / totals[under]
  return Estimate(
    value=float(value),
    resampled=(sums.resampled[:, over] + once) / sums.resampled[:, under],
    influence=influence - influence.mean(),
    num_files=len(influence),
  )


def mean(estimates: Sequence[Estimate]) -> Estimate:
  """The unweighted mean of estimates from different files: each was resampled among its own."""
  count = len(estimates)
  return Estimate(
    value=sum(each.value for each in estimates) / count,
    resampled=sum((each.resampled for each in estimates), np.zeros(NUM_RESAMPLES)) / count,
    influence=np.concatenate([each.influence for each in estimates]) / count,
    num_files=min(each.num_files for each in estimates),
  )


def difference(first: Estimate, second: Estimate) -> Estimate:
  """first - second, of the same files."""
  return Estimate(
    value=first.value - second.value,
    resampled=first.resampled - second.resampled,
    influence=first.influence - second.influence,
    num_files=first.num_files,
  )


def interval(estimate: Estimate) -> Interval | None:
  """The 95% BCa interval; None where some file was resampled alone, since nothing is known of others like it then."""
  if estimate.num_files < 2:
    return None
  below = np.mean(estimate.resampled < estimate.value) + np.mean(estimate.resampled == estimate.value) / 2
  normal = NormalDist()
  # No more than the resamples can tell: their median is not infinitely far from the estimate.
  bias = normal.inv_cdf(float(np.clip(below, 0.5 / NUM_RESAMPLES, 1 - 0.5 / NUM_RESAMPLES)))
  acceleration = _acceleration(estimate.influence)
  ends = []
  for tail in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2):
    shifted = bias + normal.inv_cdf(tail)
    ends.append(normal.cdf(bias + shifted / (1 - acceleration * shifted)))
  low, high = np.quantile(estimate.resampled, ends)
  return Interval(low=float(low), high=float(high))


def _acceleration(influence: np.ndarray) -> float:
  """A sixth of the skewness of the estimate. Its absolute value is below 1/6, so nothing is divided by 0 with it."""
  squares = np.sum(influence**2)
  return float(np.sum(influence**3) / squares**1.5 / 6) if squares > 0 else 0.0
