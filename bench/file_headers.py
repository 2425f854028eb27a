"""Time until a folder's files are known: python bench/file_headers.py [--files 20000] [--flac 2000]

Makes so many short WAV files, and FLAC files of 2 to 20 seconds, in a temporary folder, and reads their headers twice:
without an index, and with the one that the first time has left. The files are in the system's cache, so what a disk
that is far away adds is not seen.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from language_modeling_is_compression.audio.containers.wav_header import wav_header
from language_modeling_is_compression.data.header_index import read_headers
from language_modeling_is_compression.data.paths import get_all_paths

_RATE_HZ = 16_000


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures how soon the files of a folder are known.')
  parser.add_argument('--files', type=int, default=20_000)
  parser.add_argument('--flac', type=int, default=2_000)
  parser.add_argument('--folder', type=Path, help='only time this folder, once, as the command does in a new process')
  arguments = parser.parse_args()
  if arguments.folder:
    _time(arguments.folder)
    return 0
  with tempfile.TemporaryDirectory() as folder:
    _make(Path(folder), arguments.files, arguments.flac)
    for kind in ('wav', 'flac'):
      for start in ('first', 'second'):
        print(f'{kind}, {start} start: ', end='', flush=True)
        command = [sys.executable, __file__, '--folder', str(Path(folder, kind))]
        subprocess.run(command, check=True, env={**os.environ, 'XDG_CACHE_HOME': str(Path(folder, 'cache'))})
  return 0


def _make(folder: Path, num_wav: int, num_flac: int) -> None:
  rng = np.random.default_rng(0)
  for kind in ('wav', 'flac'):
    for number in range(100):
      Path(folder, kind, str(number)).mkdir(parents=True)
  header = wav_header(encoding='int', sample_bytes=2, num_channels=1, sample_rate_hz=_RATE_HZ, num_frames=100)
  for number in range(num_wav):
    Path(folder, 'wav', str(number % 100), f'{number}.wav').write_bytes(header + rng.bytes(200))
  walk = np.cumsum(rng.normal(0, 50, 20 * _RATE_HZ)).clip(-32768, 32767).astype(np.int16)
  for number in range(num_flac):
    samples = walk[: int(rng.integers(2 * _RATE_HZ, 20 * _RATE_HZ))]
    soundfile.write(Path(folder, 'flac', str(number % 100), f'{number}.flac'), samples, _RATE_HZ)


def _time(folder: Path) -> None:
  paths = get_all_paths(folder)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  started, cpu = time.monotonic(), time.process_time()
  num_read = len(read_headers(folder, paths))
  wall, cpu = time.monotonic() - started, time.process_time() - cpu
  memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  print(f'{num_read} headers in {wall:.2f} s, CPU {cpu:.2f} s, {1024 * memory / num_read:.0f} bytes a file')


if __name__ == '__main__':
  sys.exit(main())
