"""What each level of `lmic compress` gives and takes: python bench/levels.py AUDIO_DIR [--levels 1,6,9].

Some held-out files of each domain, whole, every byte of the .lmic files: bits per sample, mean over domains, and how
long one process takes to compress all of them without verifying and another to decompress them, start-up included, in
times real time and in samples per second.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures every level on held-out files.')
  parser.add_argument('audio_dir', type=Path)
  parser.add_argument('--levels', default='1,2,3,4,5,6,7,8,9')
  parser.add_argument('--files', type=int, default=2, help='of each domain, spread over their sizes')
  arguments = parser.parse_args()
  from held_out import files_by_domain

  from language_modeling_is_compression.audio.parsing import read_pcm_info

  chosen = files_by_domain(arguments.audio_dir, arguments.files)
  infos = {path: read_pcm_info(path) for paths in chosen.values() for path in paths}
  seconds = sum(info.num_frames / info.sample_rate_hz for info in infos.values())
  samples = {path: info.num_frames * info.num_channels for path, info in infos.items()}
  total = sum(samples.values())
  print(f'{len(infos)} files, {total:,} samples, {seconds:.0f} s of sound')
  print(f'{"level":>5} {"bits per sample":>16} {"compress":>22} {"decompress":>22}')
  for level in arguments.levels.split(','):
    with tempfile.TemporaryDirectory() as folder:
      sounds, coded, back = (Path(folder) / name for name in ('sounds', 'coded', 'back'))
      for each in (sounds, coded, back):
        each.mkdir()
      # By numbers, since files of several folders may have the same name.
      links = {path: sounds / f'{index}.wav' for index, path in enumerate(infos)}
      for path, link in links.items():
        link.symlink_to(path.resolve())
      # The first run compiles.
      _lmic('compress', '--level', level, '--no-verify', str(links[next(iter(links))]), '-o', f'{folder}/first.lmic')
      encoding = _lmic('compress', '--level', level, '--no-verify', *map(str, links.values()), '-o', str(coded))
      sizes = {path: (coded / f'{link.name}.lmic').stat().st_size for path, link in links.items()}
      decoding = _lmic('decompress', *(str(coded / f'{link.name}.lmic') for link in links.values()), '-o', str(back))
    rates = [8 * sum(sizes[path] for path in paths) / sum(samples[path] for path in paths) for paths in chosen.values()]
    columns = [f'{seconds / spent:6.2f} × {total / spent:11,.0f}/s' for spent in (encoding, decoding)]
    print(f'{level:>5} {sum(rates) / len(rates):16.4f} {columns[0]:>22} {columns[1]:>22}', flush=True)
  return 0


def _lmic(*arguments: str) -> float:
  """Seconds that a command takes."""
  start = time.perf_counter()
  subprocess.run([sys.executable, '-m', 'language_modeling_is_compression', *arguments, '-q'], check=True)
  return time.perf_counter() - start


if __name__ == '__main__':
  sys.exit(main())
