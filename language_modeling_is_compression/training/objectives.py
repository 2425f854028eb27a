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
from language_modeling_is_compression.training.loss import code_length
from language_modeling_is_compression.training.mixture_loss import mixture_code_length


class Rows(Protocol):
  """A batch: a named tuple of arrays whose first axis is the row."""

  @property
  def lengths(self) -> Any: ...

  @property
  def num_counted(self) -> Any: ...


class Objective(NamedTuple):
  """init: parameters from a key.

  code_length: nats of all that counts in the rows of a batch, given parameters and the batch, and keys [R] where there
  is dropout.
  """

  init: Callable[[jax.Array], hk.Params]
  code_length: Callable[..., jax.Array]


def byte_objective(transformer: hk.Transformed) -> Objective:
  """Objective of a network from tokens [R, T] to `Hidden`, on batches of data/batches.py."""

  def nats(params: hk.Params, batch: Any, *keys: jax.Array) -> jax.Array:
    return code_length(transformer.apply(params, batch.tokens, *keys), batch.tokens, batch.lengths)

  return Objective(lambda key: transformer.init(key, jnp.zeros((1, 1), jnp.int32)), nats)


def hybrid_objective(network: hk.Transformed) -> Objective:
  """Objective of a network from features [R, T, NUM_FEATURES] to the outputs that prediction/evidence.py describes."""

  def nats(params: hk.Params, batch: EvidenceBatch, *keys: jax.Array) -> jax.Array:
    return mixture_code_length(network.apply(params, batch.features, *keys), batch)

  return Objective(lambda key: network.init(key, jnp.zeros((1, 1, NUM_FEATURES), jnp.int8)), nats)
