"""Bits and time of models that code segments, side by side: python bench/models.py AUDIO_DIR default-v2 default.

Excerpts from the middle of held-out files of each domain, as `bench/presets.py` takes them: bits per sample of whole
segments, nanoseconds of CPU time a sample to encode and to decode, and what the last model takes of the first. Every
segment is decoded and compared. A model is a packaged one or a file; NAME:2 has effort 2.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
from presets import excerpts_of

from language_modeling_is_compression.format.payloads import Segment
from language_modeling_is_compression.quantized.loading import load_coder
from language_modeling_is_compression.system.cancellation import Cancellation


def main() -> int:
  parser = argparse.ArgumentParser(description='Compares models that code segments.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('models', nargs='+')
  parser.add_argument('--files', type=int, default=4, help='of each domain, of its longer two thirds')
  parser.add_argument('--max_frames', type=int, default=60_000, help='of each file, from its middle')
  parser.add_argument('--bits', type=int, choices=(8, 0), default=0, help='8: the top bytes; 0: as they are')
  arguments = parser.parse_args()
  arguments.valid = True
  excerpts = excerpts_of(arguments)
  domains = list(dict.fromkeys(excerpt.domain for excerpt in excerpts))
  bits: dict[str, dict[str, list[float]]] = {name: {domain: [] for domain in domains} for name in arguments.models}
  seconds = {name: np.zeros(2) for name in arguments.models}
  # The first excerpt twice, since the first call may compile. Models take turns, so that all have the same company.
  for index, excerpt in enumerate([excerpts[0], *excerpts]):
    for name in arguments.models:
      model, _, effort = name.partition(':')
      coder, shape = load_coder(model, 'cpu'), dataclasses.replace(excerpt.shape, effort=int(effort or 1))
      start = time.process_time()
      [encoded] = coder.encode([Segment(samples=excerpt.samples, shape=shape)], Cancellation())
      middle = time.process_time()
      assert encoded is not None
      [decoded] = coder.decode([encoded.body], [shape], Cancellation())
      end = time.process_time()
      if not (isinstance(decoded, Segment) and np.array_equal(decoded.samples, excerpt.samples)):
        sys.exit(f'{name}: an excerpt of {excerpt.domain} did not come back')
      if index:
        bits[name][excerpt.domain].append(8 * len(encoded.body) / excerpt.samples.size)
        seconds[name] += middle - start, end - middle
  num_samples = sum(excerpt.samples.size for excerpt in excerpts)
  print(f'{"":20}' + ''.join(f'{domain[:11]:>12}' for domain in [*domains, 'mean']) + '   ns encode, decode')
  means = {name: np.array([np.mean(values) for values in found.values()]) for name, found in bits.items()}
  for name, found in means.items():
    columns = ''.join(f'{value:12.4f}' for value in [*found, found.mean()])
    print(
      f'{name:20}{columns}   {1e9 * seconds[name][0] / num_samples:6.0f} {1e9 * seconds[name][1] / num_samples:6.0f}'
    )
  first, last = arguments.models[0], arguments.models[-1]
  ratios = [*means[last] / means[first] - 1, means[last].mean() / means[first].mean() - 1]
  spent = seconds[last] / seconds[first]
  print(f'{"":20}' + ''.join(f'{100 * value:+11.2f}%' for value in ratios) + f'   {spent[0]:6.3f} {spent[1]:6.3f}')
  return 0


if __name__ == '__main__':
  sys.exit(main())
