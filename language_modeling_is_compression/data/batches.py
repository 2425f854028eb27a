"""Batches of chunks. What a training step reads depends on the seed, the step and the chunks, and on nothing else."""

import functools
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from language_modeling_is_compression.data.chunks import Chunks
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


def training_batch(chunks: Chunks, positions: Sequence[int], *, num_tokens: int, seed: int) -> Batch:
  """Rows of num_tokens, by their positions in a run: row r of step s, both counted from 0, is at s * batch size + r.

  Every epoch goes through all chunks once, in an order of its own.
  """
  return _read(
    chunks, num_tokens, [int(_order(seed, p // len(chunks), len(chunks))[p % len(chunks)]) for p in positions]
  )


def validation_batches(chunks: Chunks, *, num_tokens: int, batch_size: int) -> Iterator[Batch]:
  """All chunks once, in order; the last batch is filled up with rows of length 0."""
  for first in range(0, len(chunks), batch_size):
    batch = _read(chunks, num_tokens, list(range(first, min(first + batch_size, len(chunks)))))
    missing = batch_size - len(batch.lengths)
    yield Batch(np.pad(batch.tokens, ((0, missing), (0, 0))), np.pad(batch.lengths, (0, missing)))


@functools.lru_cache(maxsize=2)  # A batch may lie across the end of an epoch.
def _order(seed: int, epoch: int, num_chunks: int) -> np.ndarray:
  """A permutation of the chunks. Philox is a counter-based generator, specified and stable across NumPy versions."""
  rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
  return np.argsort(rng.random(num_chunks), kind='stable')


def _read(chunks: Chunks, num_tokens: int, indices: list[int]) -> Batch:
  """Reads chunks into one array. One that can no longer be read counts for nothing and is named in the log."""
  dtype = np.uint16 if chunks.config.vocab_size > 256 else np.uint8
  batch = Batch(np.zeros((len(indices), num_tokens), dtype), np.zeros(len(indices), np.int32))
  for row, index in enumerate(indices):
    try:
      tokens = chunks[index]
    except AudioFormatError as error:
      _logger.warning('chunk %d is left out: %s', index, error)
      continue
    batch.tokens[row, : len(tokens)] = tokens
    batch.lengths[row] = len(tokens)
  return batch
