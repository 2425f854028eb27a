"""Batches of evidence. What a training step reads depends on the seed, the step and the evidence, and on nothing else.

Shapes: B rows, T samples, F features, Q centres.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from language_modeling_is_compression.data.draws import generator
from language_modeling_is_compression.data.evidence_cache import RECORD, EvidenceSpan, read_records
from language_modeling_is_compression.data.evidence_sources import Group
from language_modeling_is_compression.errors import AudioFormatError

_logger = logging.getLogger(__name__)


class EvidenceBatch(NamedTuple):
  """Rows of consecutive samples, zero where there is none; prediction/evidence.py says what the arrays are.

  features: int8 [B, T, F]. below: float32 [B, T, Q]. width, experts_log2: float32 [B, T].
  begins, lengths: int32 [B]; samples begins[b] to lengths[b] - 1 of row b count, those before them are context.
  """

  features: np.ndarray
  below: np.ndarray
  width: np.ndarray
  experts_log2: np.ndarray
  begins: np.ndarray
  lengths: np.ndarray

  @property
  def counted(self) -> Any:
    """Mask of the samples that count: bool [B, T]."""
    places = np.arange(self.width.shape[-1])
    return (places >= self.begins[..., None]) & (places < self.lengths[..., None])

  @property
  def num_counted(self) -> Any:
    """Number of samples that count."""
    return (self.lengths - self.begins).sum()


class Row(NamedTuple):
  """Samples start:stop of a span, those before `first` as context."""

  span: EvidenceSpan
  start: int
  first: int
  stop: int


class EvidenceRows:
  """Spans by group, and rows of `length` samples drawn from them: it holds one small record per span."""

  def __init__(self, spans: Mapping[Group, Sequence[EvidenceSpan]], length: int):
    self._length = length
    self._spans = {group: spans[group] for group in sorted(spans) if spans[group]}
    self._ends = {
      group: np.cumsum([span.num_samples for span in each], dtype=np.int64) for group, each in self._spans.items()
    }
    # Rows that a group can be cut into, up to and including each span.
    self._row_ends = {
      group: np.cumsum([-(-span.num_samples // length) for span in each], dtype=np.int64)
      for group, each in self._spans.items()
    }

  @property
  def groups(self) -> list[Group]:
    return list(self._spans)

  @property
  def domains(self) -> list[str]:
    return sorted({group.domain for group in self._spans})

  def num_samples(self, group: Group) -> int:
    return int(self._ends[group][-1])

  def draw(self, weights: Mapping[str, float], *, count: int, seed: int, step: int) -> list[Row]:
    """The rows of a training step, counted from 0.

    Each is drawn by itself: a domain by its weight (of those that there are), one of the domain's depths, a span in
    proportion to its length, and a place in it.
    """
    rng = generator(seed, step)
    domains = self.domains
    shares = np.cumsum([weights[domain] for domain in domains])
    return [
      self._drawn(domains[int(np.searchsorted(shares[:-1], u[0] * shares[-1], side='right'))], u[1:])
      for u in rng.random((count, 4))
    ]

  def spread(self, group: Group, limit: int, context: int) -> list[Row]:
    """At most `limit` rows of a group, evenly spread over all that it can be cut into, each after so much context."""
    total = int(self._row_ends[group][-1])
    count = min(limit, total)
    return [self._cut(group, index * total // count, context) for index in range(count)]

  def _drawn(self, domain: str, u: np.ndarray) -> Row:
    """u: three numbers in [0, 1)."""
    groups = [group for group in self._spans if group.domain == domain]
    group = groups[int(u[0] * len(groups))]
    ends = self._ends[group]
    span = self._spans[group][int(np.searchsorted(ends, int(u[1] * ends[-1]), side='right'))]
    start = span.first + int(u[2] * max(1, span.num_samples - self._length + 1))
    return Row(span, start, start, min(start + self._length, span.last))

  def _cut(self, group: Group, index: int, context: int) -> Row:
    ends = self._row_ends[group]
    number = int(np.searchsorted(ends, index, side='right'))
    span = self._spans[group][number]
    before = int(ends[number - 1]) if number else 0
    first = span.first + (index - before) * self._length
    # Samples of the segment before the span are context too.
    return Row(span, max(0, first - context), first, min(first + self._length, span.last))


def read_batch(rows: Sequence[Row], *, num_rows: int, length: int) -> EvidenceBatch:
  """Reads rows into arrays of num_rows rows of `length` samples; those that are added count for nothing.

  A row that can no longer be read counts for nothing either and is named in the log.
  """
  records = np.zeros((num_rows, length), RECORD)
  begins, lengths = np.zeros(num_rows, np.int32), np.zeros(num_rows, np.int32)
  for index, row in enumerate(rows):
    try:
      records[index, : row.stop - row.start] = read_records(row.span, row.start, row.stop)
    except AudioFormatError as error:
      _logger.warning('a row is left out: %s', error)
      continue
    begins[index], lengths[index] = row.first - row.start, row.stop - row.start
  return batch_of(records, begins, lengths)


def batch_of(records: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> EvidenceBatch:
  """records: RECORD [B, T]."""
  fields = {name: np.ascontiguousarray(records[name]) for name in RECORD.names or ()}
  return EvidenceBatch(begins=begins, lengths=lengths, **fields)


def in_batches(rows: Sequence[Row], *, num_rows: int, length: int) -> Iterator[EvidenceBatch]:
  """All rows once, in order, num_rows at a time."""
  for first in range(0, len(rows), num_rows):
    yield read_batch(rows[first : first + num_rows], num_rows=num_rows, length=length)
