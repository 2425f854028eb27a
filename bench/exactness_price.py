"""Bits that exact integers cost: python bench/exactness_price.py --audio_dir DIR [-m MODEL.npz] [--chunks 80]

Code lengths of held-out chunks below DIR, under the float model and under the integers made from it.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np

from language_modeling_is_compression import load_model
from language_modeling_is_compression.audio.reading import read_info
from language_modeling_is_compression.data.chunks import Chunks, whole_stream
from language_modeling_is_compression.data.paths import get_valid_paths
from language_modeling_is_compression.entropy.rans import PRECISION_BITS
from language_modeling_is_compression.network.byte_model import ByteModel
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.loading import load_coder, model_path


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures what exact integers cost in bits.')
  parser.add_argument('--audio_dir', type=Path, required=True)
  parser.add_argument('-m', dest='model', default='bytes')
  parser.add_argument('--chunks', type=int, default=80)
  arguments = parser.parse_args()
  with model_path(arguments.model) as path:
    model = load_model(path)
  if not isinstance(model, ByteModel):
    parser.error('the model is not a byte model')
  infos = [read_info(path) for path in get_valid_paths(arguments.audio_dir)]
  chunks = Chunks([whole_stream(info, model.spec.data) for info in infos], model.spec.data)
  chunks = chunks.limited(arguments.chunks)
  coder = load_coder(arguments.model, 'cpu')
  if not isinstance(coder, ByteCoder):
    parser.error('the model is not a byte model')
  float_bits = exact_bits = num_tokens = 0.0
  for index in range(len(chunks)):
    tokens = chunks[index]
    padded = np.pad(tokens, (0, chunks.max_tokens - len(tokens)))[None]
    log_probs = model.log_probs(padded)[0, : len(tokens)]
    float_bits -= float(np.take_along_axis(log_probs, tokens[:, None].astype(int), axis=1).sum(dtype=float)) / math.log(
      2
    )
    sizes = coder.predictor.intervals(padded, np.array([len(tokens)]))[0, : len(tokens), 1]
    exact_bits += float((PRECISION_BITS - np.log2(sizes.astype(float))).sum())
    num_tokens += len(tokens)
  print(
    f'{len(chunks)} chunks, {num_tokens:,.0f} tokens: float {float_bits / num_tokens:.5f} bits per token, '
    f'exact {exact_bits / num_tokens:.5f}, {exact_bits / float_bits - 1:+.4%}'
  )
  return 0


if __name__ == '__main__':
  sys.exit(main())
