"""Compiles what most tests call; otherwise each of their processes would, at the same time.

`warm_up.py coding` compiles what codes, `warm_up.py drawing` what draws sound or traces codes, each in a process.
"""

import sys

import numpy as np

from language_modeling_is_compression.api.generation import generate
from language_modeling_is_compression.format.payloads import Channel, Segment, SegmentShape
from language_modeling_is_compression.linear.extraction import extract_evidence
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.loading import LINEAR, load_coder
from language_modeling_is_compression.system.cancellation import Cancellation

SHAPE = SegmentShape(num_frames=64, num_channels=1, sample_bytes=2, sample_rate_hz=8000, effort=1)
SAMPLES = np.arange(SHAPE.num_frames, dtype=np.int32)[:, np.newaxis]


def coding() -> None:
  extract_evidence(SAMPLES, sample_bytes=SHAPE.sample_bytes, sample_rate_hz=SHAPE.sample_rate_hz, effort=SHAPE.effort)
  for model in (LINEAR, 'default'):
    load_coder(model, 'cpu').encode([Segment(samples=SAMPLES, shape=SHAPE)], Cancellation())
  load_coder('bytes', 'cpu').encode([Channel(tokens=np.zeros((1, 2), np.uint8))], Cancellation())


def drawing() -> None:
  for model in ('bytes', 'default'):
    with generate(model, duration=0.001, seed_audio=SAMPLES.astype(np.int16), sample_rate=8000) as generation:
      generation.read()
  coder = load_coder('default', 'cpu')
  assert isinstance(coder, HybridCoder)
  coder.trace_segment(Segment(samples=SAMPLES, shape=SHAPE), Cancellation(), step=1, offset=0)


if __name__ == '__main__':
  {'coding': coding, 'drawing': drawing}[sys.argv[1]]()
