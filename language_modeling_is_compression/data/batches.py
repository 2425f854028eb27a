"""Batches of chunks. What a training step reads depends on the seed, the step and the chunks, and on nothing else."""

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from language_modeling_is_compression.config.options import AugmentationConfig
from language_modeling_is_compression.data.augmentation import Change, drawn_change
from language_modeling_is_compression.data.chunks import Chunks
from language_modeling_is_compression.data.draws import generator
from language_modeling_is_compression.errors import AudioFormatError

_logger = logging.getLogger(__name__)


class Batch(NamedTuple):
  """tokens: uint8 or uint16 [B, T], zero where there is none. lengths: int32 [B], how many tokens of a row count."""

  tokens: np.ndarray
  lengths: np.ndarray

  @property
  def num_counted(self) -> Any:
    """Number of tokens that count."""
    return self.lengths.sum()


class Domains:
  """Chunks by domain, and how often a row comes from each.

  indices: of each domain's chunks, at least one. weights: in any unit, also of domains that there are not.
  """

  def __init__(self, indices: Mapping[str, np.ndarray], weights: Mapping[str, float]):
    self._indices = list(indices.values())
    self._shares = np.cumsum([weights[domain] for domain in indices])

  def draw(self, *, count: int, seed: int, step: int) -> list[int]:
    """The chunks of a step, counted from 0, a function of the seed, the step and the place in the batch.

    Each is drawn by itself: a domain by its weight, and one of its chunks, all of them equally likely.
    """
    drawn = generator(seed, step).random((count, 2))
    domains = np.searchsorted(self._shares[:-1], drawn[:, 0] * self._shares[-1], side='right')
    return [
      int(self._indices[domain][int(u * len(self._indices[domain]))])
      for domain, u in zip(domains, drawn[:, 1], strict=True)
    ]


def training_batch(
  chunks: Chunks,
  rows: Sequence[int],
  *,
  num_tokens: int,
  batch_size: int,
  seed: int,
  step: int,
  domains: Domains | None = None,
  augmentation: AugmentationConfig | None = None,
) -> Batch:
  """Rows of the batch of a step, both counted from 0, of num_tokens each.

  domains: rows are drawn by their weights; None: every epoch goes through all chunks once, in an order of its own.
  augmentation: what chunks are changed by.
  """
  if domains is not None:
    drawn = domains.draw(count=batch_size, seed=seed, step=step)
    indices = [drawn[row] for row in rows]
  else:
    positions = [step * batch_size + row for row in rows]
    indices = [int(_order(seed, p // len(chunks), len(chunks))[p % len(chunks)]) for p in positions]
  changes: list[Change | None] = [None] * len(rows)
  if augmentation is not None and not augmentation.changes_nothing:
    changes = [drawn_change(augmentation, seed=seed, step=step, row=row) for row in rows]
  return _read(chunks, num_tokens, indices, changes)


def validation_batches(
  chunks: Chunks, indices: Sequence[int] | np.ndarray, *, num_tokens: int, batch_size: int
) -> Iterator[tuple[list[int], Batch]]:
  """Chunks by their indices, with the indices of each batch; the last one is filled up with rows of length 0."""
  for first in range(0, len(indices), batch_size):
    some = [int(index) for index in indices[first : first + batch_size]]
    batch = _read(chunks, num_tokens, some, [None] * len(some))
    missing = batch_size - len(some)
    yield some, Batch(np.pad(batch.tokens, ((0, missing), (0, 0))), np.pad(batch.lengths, (0, missing)))


@functools.lru_cache(maxsize=2)  # A batch may lie across the end of an epoch.
def _order(seed: int, epoch: int, num_chunks: int) -> np.ndarray:
  """A permutation of the chunks."""
  return np.argsort(generator(seed, epoch).random(num_chunks), kind='stable')


def _read(chunks: Chunks, num_tokens: int, indices: Sequence[int], changes: Sequence[Change | None]) -> Batch:
  """Reads chunks into one array. One that can no longer be read counts for nothing and is named in the log."""
  dtype = np.uint16 if chunks.config.vocab_size > 256 else np.uint8
  batch = Batch(np.zeros((len(indices), num_tokens), dtype), np.zeros(len(indices), np.int32))
  for row, (index, change) in enumerate(zip(indices, changes, strict=True)):
    try:
      tokens = chunks.changed(index, change)
    except AudioFormatError as error:
      _logger.warning('chunk %d is left out: %s', index, error)
      continue
    batch.tokens[row, : len(tokens)] = tokens
    batch.lengths[row] = len(tokens)
  return batch
