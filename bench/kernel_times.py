"""Where the time of a token goes in the compiled network: python bench/kernel_times.py [-m MODEL.npz] [--rounds 7]

Microseconds of the network's parts on one core, with a full window and random numbers, the best of several rounds; and
of matrix products in float64, for comparison.
"""

import argparse
import sys
import time
from collections.abc import Callable

import numba
import numpy as np

from language_modeling_is_compression.compilation import compiled
from language_modeling_is_compression.inference import compiled as tokens_code
from language_modeling_is_compression.inference import layers
from language_modeling_is_compression.inference.loading import load_predictor

_REPEATS = 2000


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures the parts of the compiled network.')
  parser.add_argument('-m', dest='model', default='bytes')
  parser.add_argument('--rounds', type=int, default=7)
  arguments = parser.parse_args()
  predictor = load_predictor(arguments.model, 'cpu')
  if not isinstance(predictor, tokens_code.CompiledPredictor):
    parser.error('the model is not a byte model')
  net = predictor._network
  body = net.layers
  num_layers, width, wide = body.feed_forward_in.shape
  window, vocab_size = body.slot_bias.shape[2] // 2, predictor.vocab_size
  rng = np.random.default_rng(0)

  def random(shape: int | tuple[int, ...], largest: int, dtype: type) -> np.ndarray:
    return rng.integers(-largest, largest, shape).astype(dtype)

  stream, normed, squares = (
    random(width, 40_000, np.int32),
    random(width, 30_000, np.int16),
    random(wide, 30_000, np.int16),
  )
  squares = np.maximum(squares, 0)  # Half of them are 0, as behind a rectified unit.
  narrow, broad, logits = (np.zeros(size, np.int32) for size in (width, wide, vocab_size))
  ring = random((width, window), 3000, np.int16)
  scores, weights = random(window, 30_000, np.int32), np.zeros(window, np.int16)
  cdf = np.zeros(vocab_size + 1, np.uint32)
  scale, work = body.scales[0], layers.new_work(body, vocab_size)
  rows: list[tuple[str, int, Callable, tuple]] = [
    ('norm', 2 * num_layers + 1, layers.norm, (stream, normed)),
    ('attention', num_layers, layers.attend, (body, 0, ring, ring.copy(), work, 8 * window, normed, stream)),
    ('  product E x E', 4 * num_layers, layers.multiply, (normed, body.keys[0], scale[1], narrow)),
    ('  softmax', num_layers * body.num_heads, layers._softmax, (scores, body.exp2, weights)),
    ('feed-forward', num_layers, layers.feed_forward, (body, 0, work, normed, stream)),
    ('  product E x F', num_layers, layers.multiply, (normed, body.feed_forward_in[0], scale[5], broad)),
    ('  product F x E', num_layers, layers.multiply, (squares, body.feed_forward_out[0], scale[6], narrow)),
    ('product E x V', 1, layers.multiply, (normed, net.output, net.output_scale, logits)),
    ('cdf', 1, tokens_code._cdf, (logits, net.output_bias, body.exp2, cdf)),
  ]
  print(f'{"":18} {"µs":>7} {"per token":>10} {"µs per token":>13} {"10^9 multiply-adds/s":>22}')
  for name, count, function, inputs in rows:
    each = _microseconds(function, inputs, arguments.rounds)
    speed = f'{inputs[1].size / each / 1e3:22.1f}' if function is layers.multiply else ''
    print(f'{name:18} {each:7.2f} {count:10} {count * each:13.1f} {speed}')
  floats = (normed.astype(float), body.keys[0].astype(float), np.zeros(width))
  each = _microseconds(_float_product, floats, arguments.rounds)
  print(f'{"E x E in float64":18} {each:7.2f} {"":24} {width * width / each / 1e3:22.1f}')
  tokens = rng.integers(0, vocab_size, (1, 4096)).astype(np.uint8)
  begin = time.perf_counter()
  predictor.intervals(tokens, np.array([tokens.shape[1]]))
  print(f'a token in all: {(time.perf_counter() - begin) / tokens.shape[1] * 1e6:.1f} µs')
  return 0


def _microseconds(function: Callable, inputs: tuple, rounds: int) -> float:
  _repeated(function, inputs, 1)
  best = float('inf')
  for _ in range(rounds):
    begin = time.perf_counter()
    _repeated(function, inputs, _REPEATS)
    best = min(best, time.perf_counter() - begin)
  return best / _REPEATS * 1e6


@numba.njit
def _repeated(function, inputs, count):
  for _ in range(count):
    function(*inputs)


@compiled
def _float_product(x, weights, products):
  products[:] = 0
  for k in range(weights.shape[0]):
    for n in range(weights.shape[1]):
      products[n] += weights[k, n] * x[k]


if __name__ == '__main__':
  sys.exit(main())
