"""What encoding takes beside decoding: python bench/encoding.py FILE.wav... [--levels 1,2,3,4,5,6] [--rounds 3]

CPU time of one process, of one thread, nanoseconds a sample, all channels counted, without verifying; medians over the
rounds, after one that is not counted. What comes back is compared.
"""

import argparse
import io
import statistics
import sys
import time
from pathlib import Path

from language_modeling_is_compression.api.engine import Compressor, Decompressor
from language_modeling_is_compression.audio.parsing import read_pcm_info


def main() -> int:
  parser = argparse.ArgumentParser(description='Measures encoding against decoding.')
  parser.add_argument('files', type=Path, nargs='+')
  parser.add_argument('--levels', default='1,2,3,4,5,6')
  parser.add_argument('--rounds', type=int, default=3)
  arguments = parser.parse_args()
  print(f'{"level":>5} {"encode":>7} {"decode":>7} {"ratio":>6} {"bytes":>9}  file')
  for level in map(int, arguments.levels.split(',')):
    for path in arguments.files:
      info = read_pcm_info(path)
      rounds = [_round(path, level) for _ in range(arguments.rounds + 1)]
      encode, decode = (
        1e9 * statistics.median(spent[k] for spent in rounds[1:]) / (info.num_frames * info.num_channels)
        for k in (0, 1)
      )
      print(f'{level:5} {encode:7.0f} {decode:7.0f} {encode / decode:6.2f} {rounds[0][2]:9,}  {path.name}', flush=True)
  return 0


def _round(path: Path, level: int) -> tuple[float, float, int]:
  """CPU seconds to encode and to decode a file, and the bytes that it takes."""
  original, packed, restored = path.read_bytes(), io.BytesIO(), io.BytesIO()
  begin = time.process_time()
  with Compressor(level=level, threads=1) as compressor:
    compressor.compress(io.BytesIO(original), packed, name=path.name, verify=False)
  between = time.process_time()
  packed.seek(0)
  with Decompressor(threads=1) as decompressor:
    decompressor.decompress(packed, restored)
  end = time.process_time()
  if restored.getvalue() != original:
    raise SystemExit(f'{path}: what was decoded is not what was encoded')
  return between - begin, end - between, len(packed.getvalue())


if __name__ == '__main__':
  sys.exit(main())
