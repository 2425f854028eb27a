"""How folders scale with cores, and what memory they take: python bench/all_cores.py FOLDER... [--levels 1,3,6].

Measured: `lmic compress` (verified) and `lmic decompress` of each folder of WAV files, with -T 1 and -T 2 by turns,
medians: CPU seconds, wall seconds, and the peak of memory beyond that of a process that has only imported what is
needed. Simulated: `--cores` cores, by the code that schedules as it is, files and segments, with a model that sleeps as
long as a core would take (`--microseconds` a sample): the share of the cores' time in which they were busy. What is not
the model's, in Python, takes the time that it takes here.
"""

import argparse
import functools
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_LMIC = [sys.executable, '-m', 'language_modeling_is_compression']
_IMPORTS = 'import language_modeling_is_compression.cli.coding, language_modeling_is_compression.quantized.segments'
# A process of its own, since the highest peak of all children that a process ever had is what the system tells.
_MEASURE = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


class Cost(NamedTuple):
  """Cost of a command. mb: peak of resident memory, MiB."""

  wall_s: float
  cpu_s: float
  mb: float


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures and simulates how folders scale with cores.')
  parser.add_argument('folders', type=Path, nargs='+')
  parser.add_argument('--levels', default='1,3')
  parser.add_argument('--rounds', type=int, default=3, help='0 simulates only')
  parser.add_argument('--cores', type=int, default=64)
  parser.add_argument('--microseconds', type=float, nargs='+', default=[1.0, 3.0])
  arguments = parser.parse_args()
  for folder in arguments.folders:
    paths = sorted(map(str, folder.rglob('*.wav')))
    print(f'{folder}: {len(paths):,} files, {sum(os.path.getsize(path) for path in paths):,} bytes')
    if arguments.rounds:
      _measure(folder, list(map(int, arguments.levels.split(','))), arguments.rounds)
    for microseconds in arguments.microseconds:
      busy, wall_s = _simulate(paths, arguments.cores, microseconds * 1e-6)
      print(
        f'  {arguments.cores} cores, {microseconds:g} us a sample: {busy:.0%} busy, {wall_s:.2f} s',
        flush=True,
      )
  return 0


def _measure(folder: Path, levels: Sequence[int], rounds: int) -> None:
  base = _median([_cost([sys.executable, '-c', _IMPORTS]) for _ in range(3)])
  print(f'  imports alone: {base.cpu_s:.2f} s of CPU, {base.mb:.0f} MiB')
  print(f'  {"level":>5} {"command":<10}' + ''.join(f' {f"-T {n}: wall":>12} {"CPU":>7} {"MiB":>6}' for n in (1, 2)))
  for level in levels:
    costs: dict[tuple[str, int], list[Cost]] = {}
    for turn in range(rounds):
      for threads in (1, 2)[:: 1 if turn % 2 else -1]:
        with tempfile.TemporaryDirectory() as made:
          flags = ['-q', '-T', str(threads)]
          packing = [*_LMIC, 'compress', *flags, f'-{level}', '-r', str(folder), '-o', made]
          costs.setdefault(('compress', threads), []).append(_cost(packing))
          unpacking = [*_LMIC, 'decompress', *flags, '-r', made, '-o', made]
          costs.setdefault(('decompress', threads), []).append(_cost(unpacking))
    for command in ('compress', 'decompress'):
      columns = (_median(costs[command, threads]) for threads in (1, 2))
      text = ''.join(f' {cost.wall_s:>12.2f} {cost.cpu_s:>7.2f} {cost.mb - base.mb:>+6.0f}' for cost in columns)
      print(f'  {level:>5} {command:<10}{text}', flush=True)


def _cost(command: Sequence[str]) -> Cost:
  done = subprocess.run([sys.executable, '-c', _MEASURE, *command], stdout=subprocess.PIPE, check=True, text=True)
  return Cost(*map(float, done.stdout.split()))


def _median(costs: Sequence[Cost]) -> Cost:
  return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


class _Sleeper:
  """A `ModelCoder` that sleeps as long as a core would take, and remembers what it is to decode to."""

  sample_bits: int | None = None
  has_levels = True
  identity = bytes(range(32))

  def __init__(self, seconds_per_sample: float):
    self._seconds_per_sample = seconds_per_sample
    self._lock = threading.Lock()
    self._known: dict[bytes, Any] = {}
    self.slept = 0.0

  def division(self, pcm: Any, num_frames: int, segments: Any) -> Any:
    from language_modeling_is_compression.format.division import segment_division
    from language_modeling_is_compression.format.layout import SegmentLayout

    return segment_division(pcm, num_frames, segments.frames, SegmentLayout(effort=0))

  def encode_batch_size(self, lanes: int) -> int:
    return 1

  def decode_batches(self, shapes: Sequence[Any], lanes: int, num_threads: int) -> list[list[int]]:
    return [[index] for index in range(len(shapes))]

  def encode(self, payloads: Sequence[Any], cancellation: Any) -> list[Any]:
    from language_modeling_is_compression.format.model_coder import Encoded
    from language_modeling_is_compression.format.payloads import Segment

    [payload] = payloads
    if not isinstance(payload, Segment):
      return [None]
    body = hashlib.blake2b(payload.samples.tobytes(), digest_size=16).digest()
    with self._lock:
      self._known[body] = payload
    self._sleep(payload.shape)
    return [Encoded(body, functools.partial(np.zeros, payload.samples.shape))]

  def decode(self, bodies: Sequence[bytes], shapes: Sequence[Any], cancellation: Any) -> list[Any]:
    self._sleep(shapes[0])
    return [self._known[bodies[0]]]

  def _sleep(self, shape: Any) -> None:
    seconds = shape.num_frames * shape.num_channels * self._seconds_per_sample
    with self._lock:
      self.slept += seconds
    time.sleep(seconds)


def _simulate(paths: Sequence[str], cores: int, seconds_per_sample: float) -> tuple[float, float]:
  """Share of the cores' time that is used to compress and verify files, and seconds in all."""
  from language_modeling_is_compression.cli.coding import files_at_a_time
  from language_modeling_is_compression.cli.jobs import several_files
  from language_modeling_is_compression.codec import file_codec
  from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
  from language_modeling_is_compression.codec.levels import LEVELS
  from language_modeling_is_compression.format.container import Container
  from language_modeling_is_compression.system.cancellation import Cancellation
  from language_modeling_is_compression.system.files import output_file

  sleeper = _Sleeper(seconds_per_sample)
  with ChunkCoder(sleeper, threads=cores) as coder, tempfile.TemporaryDirectory() as made:

    def compress(path: str) -> None:
      target = Path(made, hashlib.blake2b(path.encode(), digest_size=8).hexdigest())
      with open(path, 'rb') as source, output_file(target, path, force=False, spooled=True) as file:
        compressed = file_codec.compress(source, file, coder, segments=LEVELS[3].segments, verify=True)
        file.flush()
        file_codec.read_back(Container(file, compressed.num_bytes), compressed)

    started = time.perf_counter()
    code = several_files(paths, compress, Cancellation(), files_at_a_time(cores, len(paths), None))
    wall_s = time.perf_counter() - started
  assert code == 0
  return sleeper.slept / (cores * wall_s), wall_s


if __name__ == '__main__':
  sys.exit(main())
