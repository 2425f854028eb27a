"""Figures of byte models as people read them."""

from types import SimpleNamespace
from typing import Any

from language_modeling_is_compression.config.options import DataConfig, ModelConfig
from language_modeling_is_compression.data.chunks import Chunks
from language_modeling_is_compression.network.byte_model import ByteSpec
from language_modeling_is_compression.training.byte_task import ByteTask, ByteValidation


def test_what_costs_nothing_has_no_sign():
  """Rounding leaves a few nats less than none where every token is sure, as in silence."""
  task: Any = SimpleNamespace(spec=ByteSpec(network=ModelConfig(), data=DataConfig()))
  assert ByteTask.format_loss(task, -1e-9) == '0.0000 bits per byte'
  validation = ByteValidation(Chunks([], DataConfig()), 8)
  batch: Any = SimpleNamespace(num_counted=8)
  validation.add(batch, -1e-9)
  result = validation.result()
  assert result is not None
  text = result.text
  assert text.startswith('0.0000 bits per byte, 0.0000 bits per sample, compression rate 0.0000 ('), text
