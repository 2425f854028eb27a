"""Predictors of byte models: distributions of the next token, in integers alone, on CPUs (cpu.py) or XLA (xla.py)."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from language_modeling_is_compression.entropy import byte_counts, rans


@dataclass(frozen=True, kw_only=True)
class Decoding:
  """Lanes of samples that are being decoded; N, the longest lane's samples; S, bytes of one.

  decoder: their codes. counts: of the bytes of a sample that the model does not know, [L, S - P, 256].
  tokens: uint8 [L, N, S], to be written. lengths: int64 [L], samples in each lane, not rising.
  """

  decoder: rans.Decoder
  counts: byte_counts.ByteCounts
  tokens: np.ndarray
  lengths: np.ndarray


class Lanes(Protocol):
  """Several streams of tokens in step, each from its own beginning."""

  def cdfs(self, num_lanes: int) -> np.ndarray:
    """Distributions of the next token in the first num_lanes lanes, which must not become more from call to call.

    Returns uint32 [num_lanes, V + 1], from 0 to 1 << PRECISION_BITS, each symbol at least 1; valid until the next call.
    """

  def push(self, tokens: np.ndarray) -> None:
    """tokens: int64 [L], what came in the lanes that the last call of `cdfs` was about."""

  def decode(self, work: Decoding, begin: int, end: int) -> None:
    """Decodes samples begin to end of lanes whose samples up to begin it has decoded; end <= lengths[0]."""


class Predictor(Protocol):
  """A byte model that predicts. Every figure is a pure function of the model's integers and the tokens before it.

  identity: 32 bytes that stand for the model's integers. vocab_size: V. places: tokens per sample that it knows.
  rows_together: whether `intervals` is faster with many rows at a time than with one.
  """

  identity: bytes
  vocab_size: int
  places: int
  rows_together: bool

  def intervals(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Intervals of known tokens: what `Lanes.cdfs` would say of them.

    tokens: uint8 [L, T], T a multiple of places. lengths: int64 [L]; tokens from there on are padding, and so are their
    intervals.
    Returns uint32 [L, T, 2]: start and size.
    """

  def lanes(self, num_lanes: int) -> Lanes: ...


def decode_stepwise(lanes: Lanes, places: int, work: Decoding, begin: int, end: int) -> None:
  """`Lanes.decode` for a model of so many places, by `cdfs` and `push`."""
  tokens = work.tokens
  num_lanes, _, sample_bytes = tokens.shape
  symbols, silence = np.zeros(num_lanes, np.int64), np.zeros(num_lanes, np.int64)
  for sample in range(begin, end):
    active = int((work.lengths > sample).sum())
    for place in range(places):
      cdfs = lanes.cdfs(active)
      if place < sample_bytes:
        work.decoder.decode(cdfs, symbols[:active])
        tokens[:active, sample, place] = symbols[:active]
        lanes.push(symbols[:active])
      else:
        lanes.push(silence[:active])
    for place in range(places, sample_bytes):
      work.decoder.decode(work.counts.cdfs(place - places, active), symbols[:active])
      tokens[:active, sample, place] = symbols[:active]
      work.counts.push(place - places, symbols[:active])
