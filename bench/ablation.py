"""What parts of the hybrid model are worth: python bench/ablation.py AUDIO_DIR [--set MODULE.NAME=VALUE …].

Bits per sample of held-out files, per domain: of the experts' own mixture, and of the whole coder, every byte of the
segments. `--set` changes a constant of the package before anything is compiled, e.g.

  --set linear.distribution._NETWORK_SHARED=0.01    a network that may be for it sooner
  --set linear.predictor._BLEND_FORGETTING=0.999    a stacking with a longer memory

so that any part can be taken out or changed; `--effort`, `--segment_frames` and `--model` do what they say. Code is
compiled anew in a folder of its own, so that neither this nor other runs' constants are mixed up.
"""

import argparse
import ast
import importlib
import math
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_PACKAGE = 'language_modeling_is_compression'


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures the hybrid model with parts of it changed.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('--model', default='default', help='a hybrid model file or a packaged one')
  parser.add_argument('--effort', type=int, default=1)
  parser.add_argument('--segment_frames', type=int, default=3 << 18)
  parser.add_argument('--files', type=int, default=4, help='of each domain, spread over their sizes')
  parser.add_argument('--max_frames', type=int, default=150_000, help='of each file, from its beginning')
  parser.add_argument(
    '--bits', type=int, choices=(8, 0), default=0, help='8: the top bytes of all samples; 0: as they are'
  )
  parser.add_argument('--set', action='append', default=[], metavar='MODULE.NAME=VALUE')
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as cache:
    os.environ['LMIC_CODE'] = 'jit'  # What was compiled ahead of time has the constants as they were.
    os.environ['NUMBA_CACHE_DIR'] = cache
    for change in arguments.set:
      _change(change)
    _measure(arguments)
  return 0


def _change(change: str) -> None:
  name, _, value = change.partition('=')
  module_name, _, attribute = name.rpartition('.')
  module = importlib.import_module(f'{_PACKAGE}.{module_name}')
  if not hasattr(module, attribute):
    sys.exit(f'{module_name} has no {attribute}')
  setattr(module, attribute, ast.literal_eval(value))


def _measure(arguments: argparse.Namespace) -> None:
  from held_out import files_by_domain

  from language_modeling_is_compression.system.cores import usable_cores

  print(f'{"":20} {"samples":>10} {"experts":>9} {"all":>9} {"":>7}')
  rates = []
  with ThreadPoolExecutor(usable_cores()) as pool:
    for domain, paths in files_by_domain(arguments.audio_dir, arguments.files).items():
      found = list(pool.map(lambda path: _bits(path, arguments), paths))
      samples, experts, coded = (math.fsum(column) for column in zip(*found, strict=True))
      rates.append((experts / samples, coded / samples))
      print(f'{domain:20} {samples:10,.0f} {experts / samples:9.4f} {coded / samples:9.4f} {coded / experts - 1:+7.2%}')
  means = [sum(column) / len(rates) for column in zip(*rates, strict=True)]
  print(f'{"mean":20} {"":10} {means[0]:9.4f} {means[1]:9.4f} {means[1] / means[0] - 1:+7.2%}')


def _bits(path: Path, arguments: argparse.Namespace) -> tuple[int, float, float]:
  """Samples of a file, and bits that the experts' mixture and the coder take for them."""
  import numpy as np

  from language_modeling_is_compression.audio.frames import read_pcm_frames
  from language_modeling_is_compression.audio.parsing import read_pcm_info
  from language_modeling_is_compression.format.payloads import Segment, SegmentShape
  from language_modeling_is_compression.linear.extraction import extract_evidence
  from language_modeling_is_compression.quantized.hybrid_coder import HybridCoder
  from language_modeling_is_compression.quantized.loading import load_coder
  from language_modeling_is_compression.system.cancellation import Cancellation

  info = read_pcm_info(path)
  coder = load_coder(arguments.model, 'cpu')
  if not isinstance(coder, HybridCoder):
    sys.exit(f'{arguments.model} is not a hybrid model on linear prediction')
  sample_bytes = 1 if arguments.bits else info.sample_bytes
  samples, experts, coded = 0, 0.0, 0.0
  for start in range(0, min(info.num_frames, arguments.max_frames), arguments.segment_frames):
    stop = min(start + arguments.segment_frames, info.num_frames, arguments.max_frames)
    frames = read_pcm_frames(info, start, stop).astype(np.int32) >> 8 * (info.sample_bytes - sample_bytes)
    shape = SegmentShape(
      num_frames=len(frames),
      num_channels=info.num_channels,
      sample_bytes=sample_bytes,
      sample_rate_hz=info.sample_rate_hz,
      effort=arguments.effort,
    )
    [encoded] = coder.encode([Segment(samples=frames, shape=shape)], Cancellation())
    assert encoded is not None
    evidence = extract_evidence(
      frames, sample_bytes=sample_bytes, sample_rate_hz=info.sample_rate_hz, effort=arguments.effort
    )
    samples += frames.size
    coded += 8 * len(encoded.body)
    experts -= float(evidence.experts_log2.sum(dtype=np.float64))
  return samples, experts, coded


if __name__ == '__main__':
  sys.exit(main())
