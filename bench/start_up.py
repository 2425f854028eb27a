"""What commands take before and beside their work: python bench/start_up.py [--python PYTHON] [--rounds 5] [--first]

--version, info, and one second of sound at 16 kHz compressed (and verified) and restored, by turns: with the code that
was compiled ahead of time, and with numba's, compiled before and kept. Medians of CPU seconds and of the largest
resident size. PYTHON: of an environment that the package is installed in. --first: the same of first commands, for
which nothing is kept; each compiles if numba has to.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.kernels import native

_RATE_HZ = 16_000


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures what commands take before and beside their work.')
  parser.add_argument('--python', default=sys.executable)
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--first', action='store_true')
  parser.add_argument('--code', nargs='+', default=['', native.JUST_IN_TIME], help=f'values of {native.VARIABLE}')
  arguments = parser.parse_args()
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    _write_sound(folder / 'one.wav')
    commands = {
      '--version': ['--version'],
      'compress': ['compress', '-qf', 'one.wav', '-o', 'one.lmic'],
      'info': ['info', 'one.lmic'],
      'decompress': ['decompress', '-qf', 'one.lmic', '-o', 'two.wav'],
    }
    figures: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for number in range(arguments.rounds):
      for code in arguments.code:
        kept = folder / (f'kept {number}' if arguments.first else 'kept')
        for what, flags in commands.items():
          if number == 0 and not arguments.first:
            _run(arguments.python, flags, folder, code, kept)
          figures.setdefault((what, code), []).append(_run(arguments.python, flags, folder, code, kept))
  for (what, code), found in figures.items():
    cpu, wall, size = map(statistics.median, zip(*found, strict=True))
    print(f'{what:12} {code or "ahead of time":14} CPU {cpu:6.3f} s, wall {wall:6.3f} s, {size / 1024:4.0f} MB')
  return 0


def _write_sound(path: Path) -> None:
  """One second: a tone that comes and goes, in noise."""
  times = np.arange(_RATE_HZ) / _RATE_HZ
  sound = 6000 * np.sin(2 * np.pi * 220 * times) * np.sin(7 * times) ** 2
  sound += 300 * np.random.default_rng(0).normal(size=_RATE_HZ)
  samples = np.round(sound).astype('<i2')
  header = wav_header(encoding='int', sample_bytes=2, num_channels=1, sample_rate_hz=_RATE_HZ, num_frames=len(samples))
  path.write_bytes(header + samples.tobytes())


def _run(python: str, flags: list[str], folder: Path, code: str, kept: Path) -> tuple[float, float, float]:
  """CPU and wall seconds, and the largest resident size in KB, of a command."""
  environment = {**os.environ, native.VARIABLE: code, 'NUMBA_CACHE_DIR': str(kept)}
  begun = os.times()
  process = subprocess.Popen(
    [python, '-m', 'language_modeling_is_compression', *flags],
    cwd=folder,
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  _, status, used = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  if process.returncode:
    sys.exit(f'{" ".join(flags)} ended with {process.returncode}')
  return used.ru_utime + used.ru_stime, os.times().elapsed - begun.elapsed, used.ru_maxrss


if __name__ == '__main__':
  sys.exit(main())
