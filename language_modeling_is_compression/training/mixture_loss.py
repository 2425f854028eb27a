"""Code length of samples under the mixtures that a hybrid model's network gives, in nats.

Shapes: B rows, T samples, Q centres, K components, O outputs; prediction/evidence.py says what they are.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from language_modeling_is_compression.data.evidence_batches import EvidenceBatch
from language_modeling_is_compression.prediction.evidence import (
  COMPONENT_CENTRES,
  LOG2_SCALES,
  LOGITS,
  MAX_LOG2_SCALE,
  MAX_OFFSET,
  OFFSETS,
)


def mixture_code_length(outputs: jax.Array, batch: EvidenceBatch) -> jax.Array:
  """Sum of -log mass over the samples of a batch that count, in nats: a scalar.

  outputs: [B, T, O]. The mass of a sample is what its cell has under a mixture of logistic distributions and of the
  experts' own mixture.
  """
  return -jnp.sum(_log_masses(outputs, batch))


def mixture_code_lengths_by_row(outputs: jax.Array, batch: EvidenceBatch) -> tuple[jax.Array, jax.Array]:
  """The same, and by row: [B]."""
  log_masses = _log_masses(outputs, batch)
  return -jnp.sum(log_masses), -jnp.sum(log_masses, axis=1)


def _log_masses(outputs: jax.Array, batch: EvidenceBatch) -> jax.Array:
  """Logarithm of each sample's mass, 0 where it does not count: [B, T]."""
  counted = batch.counted
  log_weights = jax.nn.log_softmax(outputs[..., LOGITS])
  log_masses = _log_logistic_masses(outputs, jnp.asarray(batch.below), jnp.where(counted, batch.width, 1.0))
  experts = batch.experts_log2[..., None] * math.log(2)
  log_mass = jax.nn.logsumexp(log_weights + jnp.concatenate([log_masses, experts], axis=-1), axis=-1)
  return jnp.where(counted, log_mass, 0.0)


def _log_logistic_masses(outputs: jax.Array, below: jax.Array, width: jax.Array) -> jax.Array:
  """Logarithm of the mass that each component gives a sample's cell: [B, T, K].

  A logistic distribution's mass between a and b is S(b) - S(a) = S(b) S(-a) (1 - exp(a - b)), S the sigmoid. As a sum
  of logarithms it stays exact where both of them are almost 0 or almost 1, or almost the same.
  """
  offsets = jnp.clip(outputs[..., OFFSETS], -MAX_OFFSET, MAX_OFFSET)
  inverse_scales = jnp.exp2(-jnp.clip(outputs[..., LOG2_SCALES], -MAX_LOG2_SCALE, MAX_LOG2_SCALE))
  edge = (below[..., np.array(COMPONENT_CENTRES)] - offsets) * inverse_scales
  widths = width[..., None] * inverse_scales
  lower, upper = edge + jnp.minimum(widths, 0.0), edge + jnp.maximum(widths, 0.0)
  inside = jnp.log(-jnp.expm1(-jnp.abs(widths)))
  return jax.nn.log_sigmoid(upper) + jax.nn.log_sigmoid(-lower) + inside
