"""NLMS stages: what the formula says, in single precision, with sums in one order."""

import numpy as np

from language_modeling_is_compression.prediction import nlms

TAPS = 64


def test_recency_falls_as_a_power():
  lags = 1.0 + np.arange(2048)
  np.testing.assert_allclose(nlms.recency(2048), lags**-0.75, rtol=1e-6)
  assert nlms.recency(5).dtype == np.float32


def test_follows_the_formula_in_double_precision():
  """A stage that learns a filter, beside the same in float64: apart by no more than single precision makes."""
  rng = np.random.default_rng(0)
  recent, work = nlms.recency(TAPS), np.zeros(100, np.float32)
  step = 0.1 / TAPS * float(recent.sum())
  weights, reference = np.zeros(TAPS, np.float32), np.zeros(TAPS)
  sound = rng.normal(0, 50, 3000).astype(np.float32)
  wanted = rng.normal(0, 0.2, TAPS)
  errors = []
  for t in range(TAPS, len(sound)):
    inputs = np.ascontiguousarray(sound[t - TAPS : t][::-1])
    target = float(inputs.astype(np.float64) @ wanted)
    found, expected = nlms.predict(weights, inputs, work), float(inputs.astype(np.float64) @ reference)
    assert abs(found - expected) < 1e-3
    nlms.update(weights, inputs, recent, step, target - found, work)
    doubles = inputs.astype(np.float64)
    factor = step * (target - expected) / (1 + float(recent.astype(np.float64) @ doubles**2))
    reference = np.clip(reference + factor * doubles, -10, 10)
    errors.append(abs(target - found))
  np.testing.assert_allclose(weights, reference, atol=1e-5)
  assert np.mean(errors[-100:]) < 0.5 * np.mean(errors[:100])


def test_sums_are_halved_in_single_precision():
  rng = np.random.default_rng(1)
  weights, inputs = (
    rng.normal(size=TAPS).astype(np.float32) * np.float32(10) ** rng.integers(-3, 4, TAPS) for _ in '12'
  )
  weights, inputs = weights.astype(np.float32), inputs.astype(np.float32)
  terms = list(weights * inputs)
  while len(terms) > 16:
    half = len(terms) // 2
    terms = [np.float32(a + b) for a, b in zip(terms[:half], terms[half:], strict=True)]
  total = 0.0
  for term in terms:
    total += float(term)
  assert nlms.predict(weights, inputs, np.zeros(100, np.float32)) == total
  assert total != float((weights * inputs).astype(np.float64).sum())


def test_weights_stay_within_their_limits():
  weights, work = np.zeros(TAPS, np.float32), np.zeros(TAPS, np.float32)
  inputs = np.tile(np.array([1, -1], np.float32), TAPS // 2)
  for _ in range(5):
    nlms.update(weights, inputs, nlms.recency(TAPS), 1.0, 1e6, work)
  np.testing.assert_array_equal(weights, 10 * inputs)


def test_inputs_too_large_to_square_change_nothing():
  weights, work = np.ones(TAPS, np.float32), np.zeros(TAPS, np.float32)
  nlms.update(weights, np.full(TAPS, 1e25, np.float32), nlms.recency(TAPS), 0.1, 1e30, work)
  np.testing.assert_array_equal(weights, np.ones(TAPS))
