"""Compiles what most tests call; otherwise each of their processes would, at the same time."""

import numpy as np

from language_modeling_is_compression.api.generation import generate
from language_modeling_is_compression.format.payloads import Channel, Segment, SegmentShape
from language_modeling_is_compression.linear.extraction import extract_evidence
from language_modeling_is_compression.quantized.loading import LINEAR, load_coder
from language_modeling_is_compression.system.cancellation import Cancellation


def main() -> None:
  shape = SegmentShape(num_frames=64, num_channels=1, sample_bytes=2, sample_rate_hz=8000, effort=1)
  samples = np.arange(shape.num_frames, dtype=np.int32)[:, np.newaxis]
  extract_evidence(samples, sample_bytes=shape.sample_bytes, sample_rate_hz=shape.sample_rate_hz, effort=shape.effort)
  for model in (LINEAR, 'default'):
    load_coder(model, 'cpu').encode([Segment(samples=samples, shape=shape)], Cancellation())
  load_coder('bytes', 'cpu').encode([Channel(tokens=np.zeros((1, 2), np.uint8))], Cancellation())
  for model in ('default', 'bytes'):
    with generate(model, duration=0.001, seed_audio=samples.astype(np.int16), sample_rate=8000) as generation:
      generation.read()


if __name__ == '__main__':
  main()
