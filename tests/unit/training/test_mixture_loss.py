"""The mixture's code length against sums in float64 that are written another way, and that nothing overflows."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from language_modeling_is_compression.data.evidence_batches import EvidenceBatch
from language_modeling_is_compression.prediction.evidence import (
  COMPONENT_CENTRES,
  LOG2_SCALES,
  LOGITS,
  MAX_LOG2_SCALE,
  MAX_OFFSET,
  NUM_CENTRES,
  NUM_COMPONENTS,
  NUM_FEATURES,
  NUM_OUTPUTS,
  OFFSETS,
)
from language_modeling_is_compression.training.mixture_loss import mixture_code_length

pytestmark = pytest.mark.usefixtures('unoptimized')


def logistic_mass(a: float, b: float) -> float:
  """Of a standard logistic between a < b, in float64: no difference of numbers that are almost the same."""
  if a > 0:
    a, b = -b, -a  # It is symmetric, and small numbers have more digits than those near 1.
  if b - a < 1e-3:
    # The density in the middle, and Taylor's next term.
    middle = (a + b) / 2
    density = 1 / (4 * math.cosh(min(abs(middle), 1400) / 2) ** 2)
    return density * (b - a) * (1 + (b - a) ** 2 / 24 * (1 - 6 * density))
  sigmoid = [math.exp(x) / (1 + math.exp(x)) if x < 30 else 1.0 for x in (max(a, -740), b)]
  return sigmoid[1] - sigmoid[0] if b > -30 else math.exp(b) - math.exp(max(a, -740))


def expected_mass(outputs: np.ndarray, below: np.ndarray, width: float, experts_log2: float) -> float:
  logits = outputs[LOGITS].astype(np.float64)
  weights = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
  total = weights[-1] * 2.0**experts_log2
  for weight, centre, offset, log2_scale in zip(
    weights[:-1], COMPONENT_CENTRES, outputs[OFFSETS], outputs[LOG2_SCALES], strict=True
  ):
    scale = 2.0 ** float(np.clip(log2_scale, -MAX_LOG2_SCALE, MAX_LOG2_SCALE))
    edge = float(below[centre]) - float(np.clip(offset, -MAX_OFFSET, MAX_OFFSET))
    lower, upper = (edge, edge + width) if width > 0 else (edge + width, edge)
    total += weight * logistic_mass(lower / scale, upper / scale)
  return total


def batch_of(below, width, experts_log2, *, begins=None, lengths=None) -> EvidenceBatch:
  shape = np.shape(width)
  return EvidenceBatch(
    features=np.zeros((*shape, NUM_FEATURES), np.int8),
    below=np.asarray(below, np.float32),
    width=np.asarray(width, np.float32),
    experts_log2=np.asarray(experts_log2, np.float32),
    begins=np.zeros(shape[0], np.int32) if begins is None else np.array(begins, np.int32),
    lengths=np.full(shape[0], shape[1], np.int32) if lengths is None else np.array(lengths, np.int32),
  )


def random_outputs(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
  outputs = rng.normal(0, 1, (*shape, NUM_OUTPUTS))
  outputs[..., LOG2_SCALES] *= 2
  return outputs.astype(np.float32)


LOSS = jax.jit(jax.value_and_grad(mixture_code_length))


def nats_of_each(outputs: np.ndarray, batch: EvidenceBatch) -> np.ndarray:
  """Of rows of a single sample, each by itself."""
  rows = [jax.tree.map(lambda array, row=row: array[row : row + 1], batch) for row in range(len(outputs))]
  return np.array([LOSS(outputs[row : row + 1], rows[row])[0] for row in range(len(outputs))])


@pytest.mark.parametrize('width', [1e-6, 1e-4, 0.01, 0.5, 1.0, 7.0, 1e3, 1e6])
def test_equals_sums_in_double_precision(width):
  rng = np.random.default_rng(0)
  num_rows = 12
  below = rng.normal(0, 3, (num_rows, 1, NUM_CENTRES)) - width / 2 * rng.random((num_rows, 1, 1))
  batch = batch_of(below, np.full((num_rows, 1), width), -rng.random((num_rows, 1)) * 30)
  outputs = random_outputs((num_rows, 1), rng)
  outputs[:, 0, LOGITS.stop - 1] = -20  # Else the experts' own would hide the rest.
  wanted = [
    -math.log(
      expected_mass(outputs[row, 0], batch.below[row, 0], float(batch.width[row, 0]), float(batch.experts_log2[row, 0]))
    )
    for row in range(num_rows)
  ]
  np.testing.assert_allclose(nats_of_each(outputs, batch), wanted, rtol=2e-5, atol=2e-5)


def test_far_from_every_centre_the_tails_count():
  """Where both edges are so far out that their sigmoids are 0 or 1 in float32."""
  rng = np.random.default_rng(1)
  below = np.array([40.0, 300.0, -60.0, -300.0])[:, None, None] + np.zeros(NUM_CENTRES)
  batch = batch_of(below, np.full((4, 1), 0.5), np.full((4, 1), -1000.0))
  outputs = random_outputs((4, 1), rng)
  outputs[..., LOG2_SCALES] = 0
  wanted = [-math.log(expected_mass(outputs[row, 0], batch.below[row, 0], 0.5, -1000.0)) for row in range(4)]
  np.testing.assert_allclose(nats_of_each(outputs, batch), wanted, rtol=1e-5)
  assert min(wanted) > 30


def test_cells_without_an_end():
  """The least sample's reaches down for ever, and `below` is its upper edge; the largest one's reaches up."""
  outputs = np.zeros((2, 1, NUM_OUTPUTS), np.float32)
  outputs[..., LOGITS.stop - 1] = -1e4
  below = np.full((2, 1, NUM_CENTRES), [[[-1.25]], [[2.0]]])
  batch = batch_of(below, [[-2e9], [2e9]], np.zeros((2, 1)))
  sigmoid = 1 / (1 + np.exp([1.25, 2.0]))
  np.testing.assert_allclose(nats_of_each(outputs, batch), -np.log(sigmoid), rtol=1e-6)


def test_offsets_and_scales_end_where_inference_ends_them():
  outputs = np.zeros((1, 1, NUM_OUTPUTS), np.float32)
  outputs[..., LOGITS.stop - 1] = -50
  batch = batch_of(np.full((1, 1, NUM_CENTRES), -0.5), [[1.0]], [[-100.0]])

  def nats(offset: float, log2_scale: float) -> float:
    outputs[..., OFFSETS], outputs[..., LOG2_SCALES] = offset, log2_scale
    return float(LOSS(outputs, batch)[0])

  assert nats(1e3, 0) == nats(32, 0) > nats(31, 0)
  assert nats(0, 1e3) == nats(0, 12) > nats(0, 11)
  just_outside = 0.501
  assert nats(just_outside, -1e3) == nats(just_outside, -12) > nats(just_outside, -11) + 1


def test_the_experts_own_mixture_is_the_last_component():
  outputs = np.zeros((1, 1, NUM_OUTPUTS), np.float32)
  outputs[..., LOGITS.stop - 1] = 1e4
  batch = batch_of(np.full((1, 1, NUM_CENTRES), -0.5), [[1.0]], [[-7.5]])
  assert float(LOSS(outputs, batch)[0]) == pytest.approx(7.5 * math.log(2))
  assert LOGITS.stop - 1 == NUM_COMPONENTS


def test_only_what_counts_is_summed():
  rng = np.random.default_rng(2)
  batch = batch_of(rng.normal(size=(3, 6, NUM_CENTRES)), np.ones((3, 6)), -np.ones((3, 6)))
  outputs = random_outputs((3, 6), rng)
  some = batch._replace(begins=np.array([2, 0, 0], np.int32), lengths=np.array([6, 3, 0], np.int32))
  places = [(0, t) for t in range(2, 6)] + [(1, t) for t in range(3)]
  wanted = -sum(math.log(expected_mass(outputs[place], batch.below[place], 1.0, -1.0)) for place in places)
  nats, gradient = LOSS(outputs, some)
  assert float(nats) == pytest.approx(wanted, rel=1e-5)
  np.testing.assert_array_equal(np.asarray(gradient).any(axis=-1), some.counted)
  assert int(some.num_counted) == 7


@pytest.mark.parametrize('scale', [1.0, 1e3, 1e9])
def test_loss_and_gradient_are_finite_whatever_comes(scale):
  rng = np.random.default_rng(3)
  widths = 10.0 ** rng.uniform(-8, 9, (4, 30)) * rng.choice([-1, 1], (4, 30))
  widths[3] = 0  # Of a row that is only there to fill a batch.
  batch = batch_of(
    rng.normal(0, scale, (4, 30, NUM_CENTRES)), widths, -rng.random((4, 30)) * 100, lengths=[30, 30, 30, 0]
  )
  outputs = (random_outputs((4, 30), rng) * 1e3).astype(np.float32)
  nats, gradient = LOSS(outputs, batch)
  assert np.isfinite(nats) and jnp.isfinite(gradient).all()
