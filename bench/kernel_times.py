"""Where a token's or sample's time goes in the compiled network: python bench/kernel_times.py [-m MODEL] [--rounds 7]

Microseconds of the network's parts on one core, with a full window and random numbers, the best of several rounds; and
of matrix products in float64, for comparison.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from language_modeling_is_compression.kernels.compilation import compiled
from language_modeling_is_compression.quantized import cpu, layers
from language_modeling_is_compression.quantized.byte_coder import ByteCoder
from language_modeling_is_compression.quantized.cpu import CpuPredictor
from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
from language_modeling_is_compression.quantized.loading import load_coder
from language_modeling_is_compression.quantized.segments import EnsembleCoder

_REPEATS = 2000


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures the parts of the compiled network.')
  parser.add_argument('-m', dest='model', default='default')
  parser.add_argument('--rounds', type=int, default=7)
  arguments = parser.parse_args()
  coder = load_coder(arguments.model, 'cpu')
  predictor = coder.predictor if isinstance(coder, ByteCoder) else coder
  assert isinstance(predictor, CpuPredictor | HybridCoder | EnsembleCoder), (
    'all models that code files are one of these'
  )
  net = predictor._network
  body, num_outputs = net.layers, len(net.output_bias)
  num_layers, width, window = len(body.scales), body.width, body.slot_bias.shape[2] // 2
  rng = np.random.default_rng(0)
  cache = layers.new_kv_cache(body, 1, num_outputs)
  work = cache.work
  # Half of the squares are 0, as behind a rectified unit.
  for array, largest in ((work.stream, 40_000), (work.normed, 30_000), (work.squares, 30_000), (work.scores, 30_000)):
    array[:] = rng.integers(-largest, largest, len(array))
  np.maximum(work.squares, 0, out=work.squares)
  for array in (cache.keys, cache.values):
    array[:] = rng.integers(-3000, 3000, array.shape)
  normed, stream, scale = work.normed, work.stream, body.scales[0]
  of_lane = (cache.keys[0, 0], cache.values[0, 0])
  rows: list[tuple[str, int, Callable[..., Any], tuple[Any, ...]]] = [
    ('norm', 2 * num_layers + 1, layers.norm, (stream, normed, width, body.width_root)),
    ('attention', num_layers, layers.attend, (body, 0, *of_lane, work, 8 * window, normed, stream)),
    ('  product E x E', 4 * num_layers, layers.multiply, (normed, body.keys[0], scale[1], work.keys)),
    ('  softmax', num_layers * body.num_heads, layers._softmax, (work.scores, body.exp2, work.weights)),
    ('feed-forward', num_layers, layers.feed_forward, (body, 0, work, normed, stream)),
    ('  product E x F', num_layers, layers.multiply, (normed, body.feed_forward_in[0], scale[5], work.wide)),
    ('  product F x E', num_layers, layers.multiply, (work.squares, body.feed_forward_out[0], scale[6], work.sums)),
    ('product E x O', 1, layers.multiply, (normed, net.output, net.output_scale, work.outputs)),
  ]
  if isinstance(predictor, CpuPredictor):
    logits, cdf = np.zeros(num_outputs, np.int32), np.zeros(num_outputs + 1, np.uint32)
    rows.append(('cdf', 1, cpu._cdf, (logits, net.output_bias, body.exp2, cdf)))
  print(f'{"":18} {"µs":>7} {"per token":>10} {"µs per token":>13} {"10^9 multiply-adds/s":>22}')
  for name, count, function, inputs in rows:
    each = _microseconds(function, inputs, arguments.rounds)
    speed = f'{inputs[1].size / each / 1e3:22.1f}' if function is layers.multiply else ''
    print(f'{name:18} {each:7.3f} {count:10} {count * each:13.2f} {speed}')
  floats = (normed[:width].astype(float), rng.normal(size=(width, width)), np.zeros(width))
  each = _microseconds(_float_product, floats, arguments.rounds)
  print(f'{"E x E in float64":18} {each:7.3f} {"":24} {width * width / each / 1e3:22.1f}')
  return 0


def _microseconds(function: Callable[..., Any], inputs: tuple[Any, ...], rounds: int) -> float:
  _repeated(function, inputs, 1)
  best = float('inf')
  for _ in range(rounds):
    begin = time.perf_counter()
    _repeated(function, inputs, _REPEATS)
    best = min(best, time.perf_counter() - begin)
  return best / _REPEATS * 1e6


@numba.njit
def _repeated(function: Any, inputs: Any, count: int) -> None:
  for _ in range(count):
    function(*inputs)


@compiled
def _float_product(x: Any, weights: Any, products: Any) -> None:
  products[:] = 0
  for k in range(weights.shape[0]):
    for n in range(weights.shape[1]):
      products[n] += weights[k, n] * x[k]


if __name__ == '__main__':
  sys.exit(main())
