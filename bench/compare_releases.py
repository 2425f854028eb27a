"""Compares two releases, whole processes by turns: bytes, CPU seconds and memory of lmic.

    python bench/compare_releases.py BEFORE FILE... [--levels 1 6] [--rounds 3]

BEFORE is a checkout of the release before, which runs in this environment; the release after is this checkout. All
outputs must be the same to the byte, and each release restores what the other one wrote.
"""

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_AFTER = Path(__file__).resolve().parents[1]


class Cost(NamedTuple):
  cpu_seconds: float
  peak_mb: float


def main() -> int:
  parser = argparse.ArgumentParser(description='Compares two releases of lmic: bytes, CPU seconds, memory.')
  parser.add_argument('before', type=Path)
  parser.add_argument('files', type=Path, nargs='+')
  parser.add_argument('--levels', type=int, nargs='+', default=[1, 6])
  parser.add_argument('--rounds', type=int, default=3)
  arguments = parser.parse_args()
  arguments.files = [path.resolve() for path in arguments.files]
  if len({path.name for path in arguments.files}) < len(arguments.files):
    parser.error('two files have the same name')
  roots = {'before': arguments.before.resolve(), 'after': _AFTER}
  different = 0
  print(f'{"level":>5} {"command":<10} {"CPU s":>8} {"after":>8} {"ratio":>6} {"MB":>8} {"after":>8} {"ratio":>6}')
  for level in arguments.levels:
    costs: dict[tuple[str, str], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as name:
      folder = Path(name)
      for turn in range(arguments.rounds + 1):
        order = list(roots)[:: 1 if turn % 2 else -1]
        for release in order:
          made = folder / release
          made.mkdir(exist_ok=True)
          flags = ['--no-verify', '--level', str(level), '-o', str(made)]
          cost = _run(roots[release], 'compress', arguments.files, flags)
          packed = [made / f'{path.name}.lmic' for path in arguments.files]
          back = _run(roots[release], 'test', packed, [])
          if turn:  # The first round compiles.
            costs.setdefault((release, 'compress'), []).append(cost)
            costs.setdefault((release, 'test'), []).append(back)
      different += _differences(folder, arguments.files)
      _run(roots['after'], 'test', sorted((folder / 'before').iterdir()), [])
      _run(roots['before'], 'test', sorted((folder / 'after').iterdir()), [])
    for command in ('compress', 'test'):
      before, after = (costs[release, command] for release in roots)
      cpu = [statistics.median(cost.cpu_seconds for cost in each) for each in (before, after)]
      memory = [statistics.median(cost.peak_mb for cost in each) for each in (before, after)]
      print(
        f'{level:5} {command:<10} {cpu[0]:8.2f} {cpu[1]:8.2f} {cpu[1] / cpu[0]:6.3f} '
        f'{memory[0]:8.0f} {memory[1]:8.0f} {memory[1] / memory[0]:6.3f}'
      )
  print(f'{len(arguments.files) * len(arguments.levels)} outputs, {different} of them different')
  return 1 if different else 0


def _run(root: Path, command: str, files: Sequence[Path], flags: Sequence[str]) -> Cost:
  """One process; it is this one's only child, so its peak is found by another process in between."""
  script = (
    'import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; '
    'used = resource.getrusage(resource.RUSAGE_CHILDREN); '
    'print(used.ru_utime + used.ru_stime, used.ru_maxrss); sys.exit(code)'
  )
  call = (
    [sys.executable, '-m', 'language_modeling_is_compression', command, '-q', '-f']
    if command == 'compress'
    else [sys.executable, '-m', 'language_modeling_is_compression', command, '-q']
  )
  done = subprocess.run(
    [sys.executable, '-c', script, *call, *flags, *map(str, files)],
    cwd=root,
    env={**os.environ, 'PYTHONPATH': str(root)},
    check=True,
    capture_output=True,
    text=True,
  )
  cpu, peak = done.stdout.split()[-2:]
  return Cost(float(cpu), float(peak) / 1024)


def _differences(folder: Path, files: Sequence[Path]) -> int:
  different = 0
  for path in files:
    digests = {
      hashlib.sha256((folder / release / f'{path.name}.lmic').read_bytes()).digest() for release in ('before', 'after')
    }
    if len(digests) > 1:
      print(f'{path}: the outputs differ', file=sys.stderr)
      different += 1
  return different


if __name__ == '__main__':
  sys.exit(main())
