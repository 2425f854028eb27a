"""Compiles what most tests call: python tests/warm_up.py. Otherwise each of their processes would, at the same time."""

import numpy as np

from language_modeling_is_compression.experts.observation import observe
from language_modeling_is_compression.inference.loading import load_predictor
from language_modeling_is_compression.inference.predictor import SegmentPredictor, SegmentShape


def main() -> None:
  shape = SegmentShape(num_frames=64, num_channels=1, sample_bytes=2, sample_rate_hz=8000, effort=1)
  samples = np.arange(shape.num_frames, dtype=np.int32)[:, np.newaxis]
  observe(samples, sample_bytes=shape.sample_bytes, sample_rate_hz=shape.sample_rate_hz, effort=shape.effort)
  hybrid = load_predictor('default', 'cpu')
  assert isinstance(hybrid, SegmentPredictor)
  hybrid.encode(samples, shape, lambda: False)
  tokens = load_predictor('bytes', 'cpu')
  assert not isinstance(tokens, SegmentPredictor)
  tokens.intervals(np.zeros((1, 2), np.uint8), np.array([2]))


if __name__ == '__main__':
  main()
