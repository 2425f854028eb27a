"""Objectives: for each family of models, first parameters and the code length of a batch.

Shapes: R rows, T tokens or samples.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import haiku as hk
import jax
import jax.numpy as jnp

from language_modeling_is_compression.data.evidence_batches import EvidenceBatch
from language_modeling_is_compression.prediction.evidence import NUM_FEATURES
from language_modeling_is_compression.training.loss import Loss, code_length, code_lengths_by_row
from language_modeling_is_compression.training.mixture_loss import mixture_code_length, mixture_code_lengths_by_row


class Rows(Protocol):
  """A batch: a named tuple of arrays whose first axis is the row."""

  @property
  def lengths(self) -> Any: ...

  @property
  def num_counted(self) -> Any: ...


class CodeLengths(NamedTuple):
  """total: nats of a batch. by_row: the same by row and byte of a sample, [R, P]; P is 1 where samples are tokens."""

  total: Any
  by_row: Any


class Objective(NamedTuple):
  """init: parameters from a key.

  code_length: nats of all that counts in the rows of a batch, or another loss, given parameters and the batch, and keys
  [R] where there is dropout. code_lengths: the code length in detail, for validations; its total is that of a
  code_length without dropout to the bit.
  """

  init: Callable[[jax.Array], hk.Params]
  code_length: Callable[..., jax.Array]
  code_lengths: Callable[[hk.Params, Any], CodeLengths]


def byte_objective(transformer: hk.Transformed, places: int = 1, loss: Loss = code_length) -> Objective:
  """Objective of a network from tokens [R, T] to `Hidden`, on batches of data/batches.py.

  places: tokens of a sample. loss: what is trained on, of which code_length is then the sum.
  """

  def nats(params: hk.Params, batch: Any, *keys: jax.Array) -> jax.Array:
    return loss(transformer.apply(params, batch.tokens, *keys), batch.tokens, batch.lengths)

  def in_detail(params: hk.Params, batch: Any) -> CodeLengths:
    outputs = transformer.apply(params, batch.tokens)
    return CodeLengths(*code_lengths_by_row(outputs, batch.tokens, batch.lengths, places=places))

  return Objective(lambda key: transformer.init(key, jnp.zeros((1, 1), jnp.int32)), nats, in_detail)


def hybrid_objective(network: hk.Transformed) -> Objective:
  """Objective of a network from features [R, T, NUM_FEATURES] to the outputs that prediction/evidence.py describes."""

  def nats(params: hk.Params, batch: EvidenceBatch, *keys: jax.Array) -> jax.Array:
    return mixture_code_length(network.apply(params, batch.features, *keys), batch)

  def in_detail(params: hk.Params, batch: EvidenceBatch) -> CodeLengths:
    total, by_row = mixture_code_lengths_by_row(network.apply(params, batch.features), batch)
    return CodeLengths(total, by_row[:, None])

  return Objective(lambda key: network.init(key, jnp.zeros((1, 1, NUM_FEATURES), jnp.int8)), nats, in_detail)
