"""Speed of generation, and of decoding the same sound in the same lanes.

  python bench/generation_speed.py SEED.wav [--models bytes tiny default] [--sequences 1 16] [--seconds 1] [--rounds 3]

Tokens are the bytes of samples. By turns: each model generates a continuation of SEED.wav's last second, at the default
temperature and drawn from all symbols; then the byte models' lanes decode as many tokens. After a warm-up, without
start-up, on all cores; medians over the rounds.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np

import language_modeling_is_compression as lmic
from language_modeling_is_compression.format.payloads import Channel, ChannelShape
from language_modeling_is_compression.quantized.loading import load_coder
from language_modeling_is_compression.system.cancellation import Cancellation
from language_modeling_is_compression.system.cores import usable_cores

_DRAWINGS: dict[str, dict[str, Any]] = {
  'default': {},
  'all, temperature 1': {'temperature': 1.0, 'top_p': 1.0},
  'likeliest': {'temperature': 0.0},
}


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures the speed of generation.')
  parser.add_argument('seed_audio')
  parser.add_argument('--models', nargs='+', default=['bytes', 'tiny', 'default'])
  parser.add_argument('--sequences', type=int, nargs='+', default=[1, 16])
  parser.add_argument('--seconds', type=float, default=1.0)
  parser.add_argument('--rounds', type=int, default=3)
  arguments = parser.parse_args()
  print(f'{usable_cores()} cores; {"model":<10} {"sequences":>9}  {"drawn":<20} {"tokens/s":>10} {"a CPU second":>13}')
  for model in arguments.models:
    for count in arguments.sequences:
      for name, drawing in _DRAWINGS.items():
        runs = [_generated(arguments, model, count, drawing) for _ in range(arguments.rounds + 1)][1:]
        speed, share = (statistics.median(each) for each in zip(*runs, strict=True))
        print(f'{"":8} {model:<10} {count:>9}  {name:<20} {speed:>10,.0f} {share:>13,.0f}', flush=True)
      if model == 'bytes':
        runs = [_decoded(count, round(16_000 * arguments.seconds)) for _ in range(arguments.rounds + 1)][1:]
        speed, share = (statistics.median(each) for each in zip(*runs, strict=True))
        print(f'{"":8} {model:<10} {count:>9}  {"(decoding)":<20} {speed:>10,.0f} {share:>13,.0f}', flush=True)
  return 0


def _generated(arguments: argparse.Namespace, model: str, count: int, drawing: dict[str, Any]) -> tuple[float, float]:
  """Tokens a second, and a CPU second, without what the seed takes."""
  with lmic.generate(
    model,
    duration=arguments.seconds,
    num_sequences=count,
    seed_audio=arguments.seed_audio,
    seed_duration=1.0,
    **drawing,
  ) as generation:
    blocks = iter(generation)
    size = next(blocks).nbytes  # With the seed.
    begun, used = time.perf_counter(), time.process_time()
    tokens = sum(block.nbytes for block in blocks)
    assert size and tokens, 'ask for more seconds'
    return tokens / (time.perf_counter() - begun), tokens / (time.process_time() - used)


def _decoded(count: int, num_samples: int) -> tuple[float, float]:
  from concurrent.futures import ThreadPoolExecutor

  coder = load_coder('bytes', 'cpu')
  rng = np.random.default_rng(0)
  walks = np.cumsum(rng.normal(0, 300, (count, num_samples)), axis=1).astype(np.int16).astype(np.int64) + 32768
  channels = [Channel(tokens=np.stack([walk >> 8, walk & 255], axis=1).astype(np.uint8)) for walk in walks]
  bodies = [encoded.body for encoded in coder.encode(channels, Cancellation()) if encoded]
  shapes = [ChannelShape(num_samples=num_samples, sample_bytes=2)] * count
  batches = coder.decode_batches(shapes, count, usable_cores())
  begun, used = time.perf_counter(), time.process_time()
  with ThreadPoolExecutor(usable_cores()) as pool:
    list(
      pool.map(
        lambda batch: coder.decode([bodies[i] for i in batch], [shapes[i] for i in batch], Cancellation()), batches
      )
    )
  tokens = 2 * num_samples * count
  return tokens / (time.perf_counter() - begun), tokens / (time.process_time() - used)


if __name__ == '__main__':
  raise SystemExit(main())
