"""What the codec asks of a model: distributions of tokens, given the tokens before, in integers."""

from typing import Protocol

import numpy as np


class Lanes(Protocol):
  """Several streams of tokens in step, each from its own beginning."""

  def cdfs(self, num_lanes: int) -> np.ndarray:
    """Distributions of the next token in the first num_lanes lanes, which must not become more from call to call.

    Returns uint32 [num_lanes, V + 1], from 0 to 1 << PRECISION_BITS, each symbol at least 1; valid until the next call.
    """

  def push(self, tokens: np.ndarray) -> None:
    """tokens: int64 [L], what came in the lanes that the last call of `cdfs` was about."""


class Predictor(Protocol):
  """A model as the codec sees it. Every figure is a pure function of the model's integers and the tokens before it.

  identity: 32 bytes that stand for the model's integers. vocab_size: V. places: tokens per sample that it knows.
  rows_together: whether `intervals` is faster with many rows at a time than with one.
  """

  identity: bytes
  vocab_size: int
  places: int
  rows_together: bool

  def intervals(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Intervals of known tokens: what `Lanes.cdfs` would say of them.

    tokens: uint8 [L, T]. lengths: int64 [L]; tokens from there on are padding, and so are their intervals.
    Returns uint32 [L, T, 2]: start and size.
    """

  def lanes(self, num_lanes: int) -> Lanes: ...
