"""Evidence that is extracted while it is trained on, by worker processes, and kept in memory for as long as it is used.

Segments are drawn one after the other by the seed and the files' headers alone. As many as memory allows are a round:
its rows are shuffled and trained on while the segments of the next round are extracted. So the batch of a step is known
from its number, and a run that was interrupted goes on with the rows that would have come.

A row comes from each domain, depth and segment as often as one that `EvidenceRows.draw` draws. Rows of a round are not
independent, though: a segment that is drawn gives all of its rows.
"""

import bisect
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from language_modeling_is_compression.data.draws import generator
from language_modeling_is_compression.data.evidence_batches import EvidenceBatch, batch_of
from language_modeling_is_compression.data.evidence_cache import (
  RECORD,
  Extractor,
  extraction_bytes,
  seconds_per_sample,
)
from language_modeling_is_compression.data.evidence_sources import Group, PartsByGroup, StreamPart
from language_modeling_is_compression.data.evidence_workers import FileState, Workers, file_state
from language_modeling_is_compression.errors import AudioFormatError, CancelledError, ConfigError, TrainingError
from language_modeling_is_compression.system.cores import usable_cores
from language_modeling_is_compression.system.text import duration

_logger = logging.getLogger(__name__)

_PLACES = 1  # Kinds of random numbers.
_ORDERS = 2
_OFFSET = 3
_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)  # Its fraction, of 2^64.
_DRAWS_AT_A_TIME = 1024
_MOST_DRAWS = 1 << 16  # Of a round, where segments are short.
# The first rounds are smaller, so that training begins soon: 1/16, 1/8, 1/4 and half of the others.
_SMALL_ROUNDS = 4
_POLL_SECONDS = 0.1


class _Round(NamedTuple):
  """Draws first_draw:stop_draw, and the rows that they give, counted from the beginning of training."""

  first_draw: int
  stop_draw: int
  first_row: int
  stop_row: int


class StreamPlan:
  """Order of all rows, from sizes alone. round_bytes: what the evidence of a round's segments may take.

  Shapes: P parts.
  """

  def __init__(
    self,
    parts: PartsByGroup,
    weights: Mapping[str, float],
    *,
    length: int,
    seed: int,
    round_bytes: int,
  ):
    self.groups = sorted(group for group in parts if parts[group])
    self.parts = [part for group in self.groups for part in parts[group]]
    self._length, self._seed, self._round_bytes = length, seed, round_bytes
    self._samples = np.array([part.num_samples for part in self.parts], np.int64)
    self._bytes = [part.segment.num_samples * RECORD.itemsize for part in self.parts]
    self._num_rows = np.maximum(1, self._samples // length)
    # A part that is drawn gives all of its rows, so it is drawn the less often the more they are.
    shares = self._samples / self._num_rows
    first = 0
    for group in self.groups:
      of_group = slice(first, first + len(parts[group]))
      depths = sum(other.domain == group.domain for other in self.groups)
      shares[of_group] *= weights[group.domain] / depths / self._samples[of_group].sum()
      first = of_group.stop
    self._ends = np.cumsum(shares)
    self._offset = self._random(_OFFSET, 0).integers(0, 1 << 64, 1, np.uint64)
    self._rounds: list[_Round] = []
    self._drawn_block = functools.lru_cache(2)(self._draw_block)

  def round_of(self, row: int) -> int:
    """Number of the round that a row belongs to."""
    while not self._rounds or self._rounds[-1].stop_row <= row:
      self._rounds.append(self._next_round())
    return bisect.bisect_right(self._rounds, row, key=lambda each: each.first_row) - 1

  def first_row(self, number: int) -> int:
    while len(self._rounds) <= number:
      self._rounds.append(self._next_round())
    return self._rounds[number].first_row

  def rows(self, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a round that is known, in their order: indices of parts [R], and first samples in them [R]."""
    this = self._rounds[number]
    indices, places = self._drawn(this.first_draw, this.stop_draw)
    counts = self._num_rows[indices]
    room = np.maximum(0, self._samples[indices] - counts * self._length)
    begins = (places * (room + 1)).astype(np.int64)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    order = self._random(_ORDERS, number).permutation(counts.sum())
    return np.repeat(indices, counts)[order], (np.repeat(begins, counts) + within * self._length)[order]

  def stop(self, index: int, start: int) -> int:
    """End of a row."""
    return min(start + self._length, int(self._samples[index]))

  def _next_round(self) -> _Round:
    first, first_row = (self._rounds[-1].stop_draw, self._rounds[-1].stop_row) if self._rounds else (0, 0)
    room = self._round_bytes >> max(0, _SMALL_ROUNDS - len(self._rounds))
    draw, row, num_bytes = first, first_row, 0
    while True:
      indices, _ = self._drawn_block(draw // _DRAWS_AT_A_TIME)
      for index in indices[draw % _DRAWS_AT_A_TIME :]:
        num_bytes += self._bytes[index]
        # What does not fit is the next round's: were it left out, long segments would come too seldom.
        if draw > first and (num_bytes > room or draw - first == _MOST_DRAWS):
          return _Round(first, draw, first_row, row)
        row += int(self._num_rows[index])
        draw += 1

  def _drawn(self, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of parts, and numbers in [0, 1), of draws first:stop."""
    blocks = range(first // _DRAWS_AT_A_TIME, (stop - 1) // _DRAWS_AT_A_TIME + 1)
    of_draws = slice(first - blocks[0] * _DRAWS_AT_A_TIME, stop - blocks[0] * _DRAWS_AT_A_TIME)
    indices, places = zip(*map(self._drawn_block, blocks), strict=True)
    return np.concatenate(indices)[of_draws], np.concatenate(places)[of_draws]

  def _draw_block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
    draws = np.arange(block * _DRAWS_AT_A_TIME, (block + 1) * _DRAWS_AT_A_TIME, dtype=np.uint64)
    # Modulo 2^64. Steps of the golden ratio come to each part of an interval as often as it is long, and evenly: of any
    # draws in a row a domain has what it weighs, where independent draws would leave it out of some rounds.
    u = ((self._offset + draws * _GOLDEN_RATIO) >> np.uint64(11)) * 2.0**-53
    places = self._random(_PLACES, block).random(_DRAWS_AT_A_TIME)
    return np.searchsorted(self._ends[:-1], u * self._ends[-1], side='right'), places

  def _random(self, kind: int, number: int) -> np.random.Generator:
    return generator(self._seed, kind, number)


@dataclass(frozen=True, kw_only=True)
class StreamSource:
  """Segments to train on, and what their evidence is made with. max_bytes: of evidence in memory at a time."""

  parts: PartsByGroup
  extractor: Extractor
  max_bytes: int


class _Loaded(NamedTuple):
  """A round: the first of its rows, its rows as in `StreamPlan.rows`, and the evidence of parts, by index."""

  first_row: int
  indices: np.ndarray
  starts: np.ndarray
  evidence: 'Mapping[int, Future[np.ndarray]]'


class EvidenceStream:
  """Batches of `count` rows for steps 0 to num_steps - 1, made by as many workers as there are cores.

  Says first how much memory and time it takes. Raises ConfigError if max_bytes is too little for the longest segment.
  stopped: asked while a batch is waited for.
  """

  def __init__(
    self,
    source: StreamSource,
    weights: Mapping[str, float],
    *,
    length: int,
    count: int,
    seed: int,
    num_steps: int,
  ):
    self._source, self._length, self._count = source, length, count
    self._plan = StreamPlan(source.parts, weights, length=length, seed=seed, round_bytes=source.max_bytes // 2)
    self._last_row = num_steps * count - 1
    self._states = _file_states(self._plan.parts)
    self._workers: Workers | None = None
    self._loaded: dict[int, _Loaded] = {}
    self._lost: set[int] = set()
    self.stopped: Callable[[], bool] = lambda: False
    self._say_what_it_takes()

  @property
  def groups(self) -> list[Group]:
    return self._plan.groups

  def num_samples(self, group: Group) -> int:
    return sum(part.num_samples for part in self._source.parts[group])

  def batch(self, step: int, rows: Sequence[int]) -> EvidenceBatch:
    """Some rows of the batch of a step. One that cannot be read counts for nothing, and its file is named in the log.

    Raises TrainingError if no row can be read or a worker has ended, CancelledError if it was stopped.
    """
    records = np.zeros((len(rows), self._length), RECORD)
    lengths = np.zeros(len(rows), np.int32)
    for place, row in enumerate(rows):
      number = step * self._count + row
      this = self._round(self._plan.round_of(number))
      index, start = (int(each[number - this.first_row]) for each in (this.indices, this.starts))
      evidence = self._evidence(index, this)
      if evidence is not None:
        stop = self._plan.stop(index, start)
        records[place, : stop - start] = evidence[start:stop]
        lengths[place] = stop - start
    if len(rows) and not lengths.any():
      raise TrainingError(
        f'step {step + 1}: none of its {len(rows)} rows can be read any more, see the warnings above: restore the '
        'files; --resume goes on'
      )
    return batch_of(records, np.zeros(len(rows), np.int32), lengths)

  def fingerprint_parts(self) -> list[list[str | int]]:
    """What batches are made of: they are others with other segments, or other room for a round."""
    source = self._source
    parts: list[list[str | int]] = [['stream', source.max_bytes, source.extractor.version, source.extractor.effort]]
    for group in self.groups:
      for part in source.parts[group]:
        segment, info = part.segment, part.segment.sound.info
        headers = [info.num_frames, info.num_channels, info.sample_rate_hz, info.resolution_bits, segment.sound.bits]
        parts.append(['train', group.name, info.path.name, *headers, segment.first, segment.last, part.num_samples])
    return parts

  def _round(self, number: int) -> _Loaded:
    """A round; the one that comes next is asked for too, and all others are dropped."""
    if next(iter(self._loaded), None) != number:
      following = [number + 1] if self._plan.first_row(number + 1) <= self._last_row else []
      before = {index: each for loaded in self._loaded.values() for index, each in loaded.evidence.items()}
      self._loaded = {wanted: self._load(wanted, before) for wanted in (number, *following)}
      kept = {index for loaded in self._loaded.values() for index in loaded.evidence}
      for index, future in before.items():
        if index not in kept:
          future.cancel()
    return self._loaded[number]

  def _load(self, number: int, found: 'dict[int, Future[np.ndarray]]') -> _Loaded:
    """found: evidence of parts that is there or asked for; what is asked for now is added."""
    indices, starts = self._plan.rows(number)
    self._workers = self._workers or Workers(self._source.extractor, usable_cores())
    for index in dict.fromkeys(indices.tolist()):
      if index not in found and index not in self._lost:
        segment = self._plan.parts[index].segment
        found[index] = self._workers.submit(segment, self._states[segment.sound.info.path])
    evidence = {index: found[index] for index in dict.fromkeys(indices.tolist()) if index in found}
    return _Loaded(self._plan.first_row(number), indices, starts, evidence)

  def _evidence(self, index: int, loaded: _Loaded) -> np.ndarray | None:
    """Evidence of a part, waited for; None if it cannot be read."""
    if index in self._lost:
      return None
    while True:
      try:
        return loaded.evidence[index].result(timeout=_POLL_SECONDS)
      except TimeoutError:
        if self.stopped():
          raise CancelledError('stopped while evidence was waited for') from None
      except AudioFormatError as error:
        segment = self._plan.parts[index].segment
        _logger.warning('frames %d to %d are left out: %s', segment.first, segment.last, error)
        self._lost.add(index)
        return None

  def _say_what_it_takes(self) -> None:
    parts = self._plan.parts
    longest = max(parts, key=lambda part: part.segment.num_samples).segment
    most = longest.num_samples * RECORD.itemsize
    if 2 * most > self._source.max_bytes:
      raise ConfigError(
        f'stream_megabytes: the evidence of a segment of {longest.sound.info.path} takes {most / 1e6:.0f} MB, expected '
        f'at least twice as much, {-(-2 * most // 10**6)}, got {self._source.max_bytes // 10**6}; or set fewer '
        '--segment_frames'
      )
    cores = usable_cores()
    total = sum(part.segment.num_samples for part in parts)
    rate = cores / seconds_per_sample(self._source.extractor)
    first_round = set(self._plan.rows(self._plan.round_of(0))[0].tolist())
    sizes = [parts[index].segment.num_samples for index in first_round]
    first = max(sum(sizes), cores * max(sizes))  # A segment is one worker's.
    _logger.info(
      'evidence is streamed: %d segments of %d samples, %.2f GB that are not kept on disk; at most %.2f GB of them in '
      'memory, and about %.2f GB in each of %d process%s, which make about %.0f samples/s: %s for a step; once they '
      'have started, %s before the first one',
      *(len(parts), total, total * RECORD.itemsize / 1e9, self._source.max_bytes / 1e9),
      *(extraction_bytes(longest.num_samples) / 1e9, cores, '' if cores == 1 else 'es', rate),
      *(f'{self._count * self._length / rate:.2f} s', duration(first / rate)),
    )


def _file_states(parts: Sequence[StreamPart]) -> dict[Path, FileState]:
  """States of the parts' files, by path. Of a file that is gone it is one that no file has."""
  states: dict[Path, FileState] = {}
  for path in {part.segment.sound.info.path for part in parts}:
    try:
      states[path] = file_state(path)
    except AudioFormatError:
      states[path] = FileState(-1, 0)
  return states
