"""Figures of byte models as people read them."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.data.chunks import Chunks
from language_modeling_is_compression.network.byte_model import ByteSpec
from language_modeling_is_compression.training.byte_task import ByteTask, ByteValidation


def test_what_costs_nothing_has_no_sign():
  """Rounding leaves a few nats less than none where every token is sure, as in silence."""
  task: Any = SimpleNamespace(spec=ByteSpec(network=ModelConfig(), data=DataConfig()))
  assert ByteTask.format_loss(task, -1e-9) == '0.0000 bits per byte'
  validation = ByteValidation(Chunks([], DataConfig()), 8)
  batch: Any = SimpleNamespace(num_counted=8, lengths=[0])
  validation.add(batch, -1e-9, np.zeros((1, 1)))
  result = validation.result()
  assert result is not None
  text = result.text
  assert text.startswith('0.0000 bits per byte, 0.0000 bits per sample, compression rate 0.0000 ('), text


@pytest.mark.parametrize(('settings', 'names'), [({'use_16bit': True}, ['high', 'low']), ({}, [])])
def test_bytes_of_a_sample_are_told_apart(settings, names):
  validation = ByteValidation(Chunks([], DataConfig(**settings)), 8)
  places = max(1, len(names))
  for factor in (1, 3):
    batch: Any = SimpleNamespace(num_counted=4 * places, lengths=[0, 0])
    # Two rows of two samples; the first byte takes one bit, the second two.
    by_row = factor * 2 * math.log(2) * np.tile(np.arange(1, places + 1), (2, 1))
    validation.add(batch, float(by_row.sum()), by_row)
  result = validation.result()
  assert result is not None
  each = [result.metrics[f'bits_per_byte/{name}'] for name in names]
  assert each == pytest.approx([2, 4][: len(names)])
  assert result.metrics['bits_per_byte'] == pytest.approx(np.mean(each or [2]))
  assert result.text.endswith('; of the bytes: high 2.0000, low 4.0000' if names else ' tokens)')
  assert len(result.metrics) == 3 + len(names)
