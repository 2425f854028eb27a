"""Summaries of measurements: every compressor in every scope, and comparisons of pairs.

docs/EVALUATION.md defines each figure.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from language_modeling_is_compression.errors import ResultsError
from language_modeling_is_compression.evaluation.statistics import bootstrap
from language_modeling_is_compression.evaluation.statistics.bootstrap import Estimate, Interval, Sums
from language_modeling_is_compression.evaluation.statistics.measurements import (
  CompressorInfo,
  Measurement,
  sum_fallbacks,
)

DOMAIN, ALL, MEAN = 'domain', 'all', 'mean'
ONCE, EVERY = 'once', 'every'


@dataclass(frozen=True, kw_only=True)
class Summary:
  """One compressor in one scope of one protocol. A figure is None where there is nothing to take it from.

  scope: DOMAIN, ALL (sums over all files) or MEAN (the mean over domains). domain: its name, '' in the other scopes.
  num_files: those that the figures are of; num_failed: those that it could not do. compressed_bytes: headers counted as
  asked for; None for a model that cannot code files. interval: of the compression rate. coder_overhead: relative to the
  code length. Speeds: × real time. fallback_chunk_share, fallback_byte_share: of the sound that `lmic compress` would
  not code by the model; lmic_rate: what it would reach.
  """

  protocol: str
  scope: str
  domain: str
  compressor: str
  num_files: int
  num_failed: int
  num_samples: int
  audio_seconds: float
  raw_bytes: int
  compressed_bytes: int | None
  compression_rate: float | None
  interval: Interval | None
  compression_ratio: float | None
  bits_per_byte: float | None
  bits_per_sample: float | None
  code_length_rate: float | None
  coder_overhead: float | None
  fallback_chunk_share: float | None
  fallback_byte_share: float | None
  lmic_rate: float | None
  encode_speed: float | None
  decode_speed: float | None
  adjusted_rate: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
  """Two compressors on the files that both did, all domains together.

  difference: first_rate - second_rate, with its interval. differs: whether the interval leaves 0 out; None without one.
  first_wins, second_wins: files of which it makes fewer bytes; the others are ties.
  """

  protocol: str
  first: str
  second: str
  num_files: int
  first_rate: float
  second_rate: float
  difference: float
  interval: Interval | None
  differs: bool | None
  first_wins: int
  second_wins: int


def summarize(
  compressors: Sequence[CompressorInfo], measurements: Sequence[Measurement], *, count_headers: str, seed: int
) -> list[Summary]:
  """By protocol, scope (ALL, MEAN, then domains by name) and compressor, as far as there are measurements.

  measurements: by these compressors, each file at most once per compressor and protocol, in any order. count_headers:
  ONCE or EVERY. seed: of the bootstrap. Raises ResultsError if compressors did not get the same bytes of a file.
  """
  summaries = []
  for table in _tables(compressors, measurements, count_headers, seed):
    scopes = [(ALL, '', [table.domains]), (MEAN, '', [[domain] for domain in table.domains])]
    scopes += [(DOMAIN, domain, [[domain]]) for domain in table.domains]
    found = (table.summary(*scope, info) for scope in scopes for info in compressors)
    summaries += [summary for summary in found if summary]
  return summaries


def compare(
  compressors: Sequence[CompressorInfo], measurements: Sequence[Measurement], *, count_headers: str, seed: int
) -> list[Comparison]:
  """Each pair of compressors, by protocol, if there is a file that both compressed.

  Arguments and errors: see `summarize`.
  """
  return [
    table.comparison(first.name, second.name)
    for table in _tables(compressors, measurements, count_headers, seed)
    for first, second in itertools.combinations(compressors, 2)
    if table.common_files(first.name, second.name)
  ]


def counted_bytes(measurements: Sequence[Measurement], count_headers: str) -> int:
  """Sum over chunks of measurements of one compressor; nothing where there are no bytes.

  count_headers: ONCE or EVERY.
  """
  size = sum(each.compressed_bytes or 0 for each in measurements)
  if count_headers == ONCE:
    size -= sum(each.header_bytes * each.num_chunks for each in measurements)
  return size + _once(measurements, count_headers)


def best_first(summaries: Sequence[Summary]) -> list[Summary]:
  """Those of all files, by rate, or by code length where that is all there is; those without either last."""

  def key(each: Summary) -> float:
    found = each.code_length_rate if each.compression_rate is None else each.compression_rate
    return math.inf if found is None else found

  return sorted((summary for summary in summaries if summary.scope == ALL), key=key)


def _once(measurements: Sequence[Measurement], count_headers: str) -> int:
  """The bytes that are counted once for all: the longest header, should they differ by the files' format."""
  return max((each.header_bytes for each in measurements), default=0) if count_headers == ONCE else 0


def _tables(
  compressors: Sequence[CompressorInfo], measurements: Sequence[Measurement], count_headers: str, seed: int
) -> list['_Table']:
  by_protocol: dict[str, list[Measurement]] = {}
  for measurement in measurements:
    by_protocol.setdefault(measurement.protocol, []).append(measurement)
  return [_Table(compressors, by_protocol[protocol], count_headers, seed) for protocol in sorted(by_protocol)]


@dataclass(frozen=True, kw_only=True)
class _Totals:
  """Sums over files. What may be None is so if a file has none."""

  num_samples: int
  audio_seconds: float
  raw_bytes: int
  compressed_bytes: int | None
  code_length_bytes: float | None
  sound_chunks: int
  fallback_chunks: int | None
  fallback_bytes: int | None
  lmic_bytes: int | None
  encode_seconds: float
  decode_seconds: float


class _Table:
  """The measurements of one protocol. domains: all their names, in order."""

  def __init__(
    self, compressors: Sequence[CompressorInfo], measurements: Sequence[Measurement], count_headers: str, seed: int
  ):
    self._protocol = measurements[0].protocol
    self._count_headers = count_headers
    self._seed = seed
    self._columns = {info.name: column for column, info in enumerate(compressors, 1)}
    self._tried: dict[str, dict[str, Measurement]] = {info.name: {} for info in compressors}
    for measurement in measurements:
      tried = self._tried[measurement.compressor]
      if measurement.file in tried:
        raise ValueError(f'{measurement.file}: measured twice with {measurement.compressor}')
      tried[measurement.file] = measurement
    self._done = {
      name: {file: each for file, each in tried.items() if each.error is None} for name, tried in self._tried.items()
    }
    self._sized = {
      name: {file: each for file, each in done.items() if each.compressed_bytes is not None}
      for name, done in self._done.items()
    }
    self._raw_bytes = _same_bytes(self._done)
    self._drawn: dict[frozenset[str], Sums] = {}
    self.domains = sorted({measurement.domain for measurement in measurements})

  def summary(self, scope: str, domain: str, groups: Sequence[Sequence[str]], info: CompressorInfo) -> Summary | None:
    """groups: of domains; figures are sums within them, and means over them. None if no file was tried."""
    tried = [each for each in self._tried[info.name].values() if any(each.domain in group for group in groups)]
    if not tried:
      return None
    done = [each for each in tried if each.error is None]
    parts = [[each for each in done if each.domain in group] for group in groups]
    total, totals = self._totals(done), [self._totals(part) for part in parts]
    # A mean without a hard domain would look better than one with it, so it needs a file of each.
    has_rate = all(parts) and total.compressed_bytes is not None
    estimate = bootstrap.mean([self._rate(info.name, part) for part in parts]) if has_rate else None
    rate = estimate.value if estimate else None
    code_length_rate = _mean_ratio(totals, 'code_length_bytes', 'raw_bytes')
    bytes_per_sample = _mean_ratio(totals, 'compressed_bytes', 'num_samples')
    return Summary(
      protocol=self._protocol,
      scope=scope,
      domain=domain,
      compressor=info.name,
      num_files=len(done),
      num_failed=len(tried) - len(done),
      num_samples=total.num_samples,
      audio_seconds=total.audio_seconds,
      raw_bytes=total.raw_bytes,
      compressed_bytes=total.compressed_bytes,
      compression_rate=rate,
      interval=bootstrap.interval(estimate) if estimate else None,
      compression_ratio=_reciprocal(rate),
      bits_per_byte=None if rate is None else 8 * rate,
      bits_per_sample=None if bytes_per_sample is None else 8 * bytes_per_sample,
      code_length_rate=code_length_rate,
      coder_overhead=rate / code_length_rate - 1 if rate is not None and code_length_rate else None,
      fallback_chunk_share=_mean_ratio(totals, 'fallback_chunks', 'sound_chunks'),
      fallback_byte_share=_mean_ratio(totals, 'fallback_bytes', 'raw_bytes'),
      lmic_rate=_mean_ratio(totals, 'lmic_bytes', 'raw_bytes'),
      encode_speed=_reciprocal(_mean_ratio(totals, 'encode_seconds', 'audio_seconds')),
      decode_speed=_reciprocal(_mean_ratio(totals, 'decode_seconds', 'audio_seconds')),
      adjusted_rate=None if rate is None else rate + info.parameters_bytes / total.raw_bytes,
    )

  def common_files(self, first: str, second: str) -> list[str]:
    return [file for file in self._sized[first] if file in self._sized[second]]

  def comparison(self, first: str, second: str) -> Comparison:
    """There are common files."""
    files = self.common_files(first, second)
    ours, theirs = ([self._sized[name][file] for file in files] for name in (first, second))
    first_rate, second_rate = self._rate(first, ours), self._rate(second, theirs)
    difference = bootstrap.difference(first_rate, second_rate)
    interval = bootstrap.interval(difference)
    sizes = [
      (counted_bytes([one], self._count_headers), counted_bytes([other], self._count_headers))
      for one, other in zip(ours, theirs, strict=True)
    ]
    return Comparison(
      protocol=self._protocol,
      first=first,
      second=second,
      num_files=len(files),
      first_rate=first_rate.value,
      second_rate=second_rate.value,
      difference=difference.value,
      interval=interval,
      differs=interval.excludes(0) if interval else None,
      first_wins=sum(one < other for one, other in sizes),
      second_wins=sum(one > other for one, other in sizes),
    )

  def _rate(self, compressor: str, measurements: Sequence[Measurement]) -> Estimate:
    """Mean over files that it compressed, one or more."""
    files = frozenset(each.file for each in measurements)
    if files not in self._drawn:
      self._drawn[files] = bootstrap.resampled_sums({file: self._row(file) for file in files}, seed=self._seed)
    return bootstrap.ratio(
      self._drawn[files], self._columns[compressor], 0, once=_once(measurements, self._count_headers)
    )

  def _row(self, file: str) -> list[int]:
    """Raw bytes, then each compressor's, without what is counted once; 0 where it failed."""
    row = [self._raw_bytes[file]]
    for sized in self._sized.values():
      each = [sized[file]] if file in sized else []
      row.append(counted_bytes(each, self._count_headers) - _once(each, self._count_headers))
    return row

  def _totals(self, measurements: Sequence[Measurement]) -> _Totals:
    bits = [each.code_length_bits for each in measurements if each.code_length_bits is not None]
    has_bytes = all(each.compressed_bytes is not None for each in measurements)
    compressed_bytes = counted_bytes(measurements, self._count_headers) if has_bytes else None
    written = sum(each.compressed_bytes or 0 for each in measurements)
    fallbacks = [each.fallback for each in measurements if each.fallback]
    fallback = sum_fallbacks(fallbacks) if len(fallbacks) == len(measurements) else None
    return _Totals(
      num_samples=sum(each.num_samples for each in measurements),
      audio_seconds=math.fsum(each.audio_seconds for each in measurements),
      raw_bytes=sum(each.raw_bytes for each in measurements),
      compressed_bytes=compressed_bytes,
      code_length_bytes=math.fsum(bits) / 8 if len(bits) == len(measurements) else None,
      sound_chunks=fallback.sound_chunks if fallback else 0,
      fallback_chunks=fallback.fallback_chunks if fallback else None,
      fallback_bytes=fallback.fallback_bytes if fallback else None,
      # Headers count as they do for the model alone.
      lmic_bytes=None
      if fallback is None or compressed_bytes is None
      else compressed_bytes + fallback.lmic_bytes - written,
      encode_seconds=math.fsum(each.encode_seconds for each in measurements),
      decode_seconds=math.fsum(each.decode_seconds for each in measurements),
    )


def _same_bytes(done: Mapping[str, Mapping[str, Measurement]]) -> dict[str, int]:
  """Raw bytes by file."""
  found: dict[str, Measurement] = {}
  for each in itertools.chain(*(files.values() for files in done.values())):
    other = found.setdefault(each.file, each)
    if (each.raw_bytes, each.num_samples) != (other.raw_bytes, other.num_samples):
      raise ResultsError(
        f'{each.file}, {each.protocol}: {each.compressor} was given {each.num_samples} samples in {each.raw_bytes} '
        f'bytes, {other.compressor} {other.num_samples} in {other.raw_bytes}: they are of different evaluations; '
        'measure again in an empty output_dir'
      )
  return {file: each.raw_bytes for file, each in found.items()}


def _mean_ratio(totals: Sequence[_Totals], over: str, under: str) -> float | None:
  """The mean of one field by another; None if one of them has no value for it."""
  pairs = [(getattr(each, over), getattr(each, under)) for each in totals]
  if any(one is None or not other for one, other in pairs):
    return None
  return sum(one / other for one, other in pairs) / len(pairs)


def _reciprocal(value: float | None) -> float | None:
  return 1 / value if value else None
