"""Bits and time of presets of linear prediction, and of variants of them: python bench/presets.py AUDIO_DIR.

Excerpts from the middle of files of each domain, of the train folders unless `--valid`: presets are chosen with this,
so what is held out stays unseen. Bits per sample of whole segments; nanoseconds a sample of CPU time, of one core, to
encode and to decode, side by side in one process. Every segment is decoded and compared. Variants of a preset, `--of`:
one part taken out or changed.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from language_modeling_is_compression.audio.reading import read_frames, read_info
from language_modeling_is_compression.data.paths import domain_of, get_train_paths, get_valid_paths
from language_modeling_is_compression.format.payloads import Segment, SegmentShape
from language_modeling_is_compression.linear import coder as linear_coder
from language_modeling_is_compression.linear.coder import LinearCoder
from language_modeling_is_compression.linear.presets import PRESETS, Inputs, Preset, Stage
from language_modeling_is_compression.system.cancellation import Cancellation


class Excerpt(NamedTuple):
  domain: str
  samples: np.ndarray  # int32 [N, C]
  shape: SegmentShape


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures presets of linear prediction.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('--valid', action='store_true', help='held-out files instead of those of the train folders')
  parser.add_argument('--files', type=int, default=4, help='of each domain, of its longer two thirds')
  parser.add_argument('--max_frames', type=int, default=200_000, help='of each file, from its middle')
  parser.add_argument('--bits', type=int, choices=(8, 0), default=0, help='8: the top bytes; 0: as they are')
  parser.add_argument('--of', type=int, metavar='PRESET', help='variants of this preset; default: all presets')
  arguments = parser.parse_args()
  excerpts = excerpts_of(arguments)
  rows = {f'preset {number}': preset for number, preset in enumerate(PRESETS)}
  if arguments.of is not None:
    rows = _variants(PRESETS[arguments.of])
  domains = list(dict.fromkeys(excerpt.domain for excerpt in excerpts))
  print(f'{"":24}' + ''.join(f'{domain[:11]:>12}' for domain in [*domains, 'mean']) + '   ns encode, decode')
  for name, preset in rows.items():
    _row(name, preset, excerpts, domains)
  return 0


def excerpts_of(arguments: argparse.Namespace) -> list[Excerpt]:
  by_domain: dict[str, list[Path]] = {}
  for path in get_valid_paths(arguments.audio_dir) if arguments.valid else get_train_paths(arguments.audio_dir):
    by_domain.setdefault(domain_of(path.relative_to(arguments.audio_dir).as_posix()), []).append(path)
  found = []
  for domain, paths in sorted(by_domain.items()):
    paths.sort(key=lambda path: path.stat().st_size)
    places = {round(place) for place in np.linspace(0.3 * len(paths), len(paths) - 1, arguments.files)}
    for path in (paths[min(place, len(paths) - 1)] for place in sorted(places)):
      info = read_info(path)
      count = min(info.num_frames, arguments.max_frames)
      start = (info.num_frames - count) // 2
      samples, sample_bytes = read_frames(info, start, start + count), -(-info.resolution_bits // 8)
      if arguments.bits:
        samples, sample_bytes = samples >> (8 * sample_bytes - 8), 1
      shape = SegmentShape(
        num_frames=count,
        num_channels=info.num_channels,
        sample_bytes=sample_bytes,
        sample_rate_hz=info.sample_rate_hz,
        effort=0,
      )
      found.append(Excerpt(domain, samples.astype(np.int32), shape))
  return found


def _variants(preset: Preset) -> dict[str, Preset]:
  """A preset, and what it is without each of its parts, or with one changed."""

  def every(factor: float) -> tuple[Inputs, ...]:
    return tuple(
      dataclasses.replace(each, solve_every=max(1, round(each.solve_every * factor))) for each in preset.least_squares
    )

  def steps(factor: float) -> tuple[Stage, ...]:
    return tuple(dataclasses.replace(stage, step=stage.step * factor) for stage in preset.stages)

  rows = {'as it is': preset}
  if preset.has_lags:
    rows['no lags'] = dataclasses.replace(preset, has_lags=False)
  for k in range(len(preset.least_squares)):
    if len(preset.least_squares) > 2:
      left = preset.least_squares[:k] + preset.least_squares[k + 1 :]
      rows[f'no least squares {k}'] = dataclasses.replace(preset, least_squares=left)
  for k in range(len(preset.stages)):
    rows[f'no stage of {preset.stages[k].taps}'] = dataclasses.replace(
      preset, stages=preset.stages[:k] + preset.stages[k + 1 :]
    )
  few = tuple(dataclasses.replace(each, own=16, other=8) for each in preset.least_squares)
  rows['16 + 8 inputs'] = dataclasses.replace(preset, least_squares=few)
  for factor in (0.5, 2.0):
    rows[f'solved {1 / factor:g} x as often'] = dataclasses.replace(preset, least_squares=every(factor))
    rows[f'steps x {factor:g}'] = dataclasses.replace(preset, stages=steps(factor))
  return rows


def _row(name: str, preset: Preset, excerpts: list[Excerpt], domains: list[str]) -> None:
  looked_up: Any = linear_coder
  looked_up.PRESETS = (preset,)  # The coder looks presets up by number, and excerpts say 0.
  coder, token = LinearCoder(), Cancellation()
  bits: dict[str, list[float]] = {domain: [] for domain in domains}
  spent, samples = [0.0, 0.0], 0
  # The first excerpt twice, since the first call compiles.
  for index, excerpt in enumerate([excerpts[0], *excerpts]):
    start = time.process_time()
    [encoded] = coder.encode([Segment(samples=excerpt.samples, shape=excerpt.shape)], token)
    middle = time.process_time()
    assert encoded is not None
    [decoded] = coder.decode([encoded.body], [excerpt.shape], token)
    end = time.process_time()
    if not (isinstance(decoded, Segment) and np.array_equal(decoded.samples, excerpt.samples)):
      sys.exit(f'{name}: an excerpt of {excerpt.domain} did not come back')
    if index:
      bits[excerpt.domain].append(8 * len(encoded.body) / excerpt.samples.size)
      spent = [spent[0] + middle - start, spent[1] + end - middle]
      samples += excerpt.samples.size
  means = [float(np.mean(values)) for values in bits.values()]
  columns = ''.join(f'{value:12.4f}' for value in [*means, float(np.mean(means))])
  print(f'{name:24}{columns}   {1e9 * spent[0] / samples:6.0f} {1e9 * spent[1] / samples:6.0f}', flush=True)


if __name__ == '__main__':
  sys.exit(main())
