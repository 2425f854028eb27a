"""A channel is traced as it is coded, and its quantiles and residuals are those of the model's distributions."""

import numpy as np
import pytest
from support import lmic_cases

from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.evaluation.look.by_byte import ByteObserver, quantiles_of
from language_modeling_is_compression.format.payloads import Channel
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.quantize import quantize_byte_model
from language_modeling_is_compression.system.cancellation import Cancellation

NUM_SAMPLES = 200


@pytest.mark.parametrize('use_16bit', [False, True])
@pytest.mark.parametrize('sample_bytes', [1, 2, 3])
def test_a_traced_channel_is_coded_as_any_other(use_16bit, sample_bytes):
  model = lmic_cases.tiny_model(use_16bit=use_16bit)
  tokens = np.random.default_rng(0).integers(100, 140, (NUM_SAMPLES, sample_bytes)).astype(np.uint8)
  [expected] = ByteCoder(CpuPredictor(quantize_byte_model(model))).encode([Channel(tokens=tokens)], Cancellation())
  observer = ByteObserver(model, CpuPredictor(quantize_byte_model(model)), NUM_SAMPLES, sample_bytes)
  code, bits, _ = observer.code(Channel(tokens=tokens), 0, Cancellation())
  assert expected and code.body == expected.body
  np.testing.assert_array_equal(bits, expected.sample_bits())


def test_residuals_are_of_every_64th_sample():
  """By the float model's own distributions, to which the integers are close."""
  model = lmic_cases.tiny_model(use_16bit=True)
  tokens = np.random.default_rng(0).integers(0, 256, (NUM_SAMPLES, 2)).astype(np.uint8)
  observer = ByteObserver(model, CpuPredictor(quantize_byte_model(model)), NUM_SAMPLES, 2)
  observer.add(0, observer.code(Channel(tokens=tokens), 0, Cancellation())[2])
  masses = np.exp(model.log_probs(tokens.reshape(1, -1).astype(np.int64))[0]).reshape(NUM_SAMPLES, 2, 256)
  for place, found in enumerate(observer.residuals()):
    expected, observed = np.zeros(49), np.zeros(49)
    for sample in range(0, NUM_SAMPLES, 64):
      likeliest = int(masses[sample, place].argmax())
      for value in range(256):
        expected[min(max(value - likeliest, -24), 24) + 24] += masses[sample, place, value]
      observed[min(max(int(tokens[sample, place]) - likeliest, -24), 24) + 24] += 1
    np.testing.assert_array_equal(found.observed, observed)
    np.testing.assert_allclose(found.expected, expected, atol=0.01)


def test_quantiles_of_samples_of_two_bytes():
  """A sample's own mass is the product of its bytes', and stands above that of all smaller ones."""
  one = 1 << PRECISION_BITS
  # From 0.5 to 0.75 by the first byte, and of that the first fifth: 0.5 to 0.55, which is one bin of twenty.
  inside = [[one // 2, one // 4], [0, one // 5]]
  # From 0.25 to 0.5, and of that all but nothing: five bins, a fifth of the sample each.
  wide = [[one // 4, one // 4], [0, one]]
  found = quantiles_of(np.array([inside, wide], np.uint32))
  expected = np.zeros(20)
  expected[10] = 1
  expected[5:10] = 0.2
  np.testing.assert_allclose(found, expected, atol=1e-5)
