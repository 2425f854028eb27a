"""Makes the golden files of version 3 of the format, once: PYTHONPATH=.:tests python tests/golden/make_v3.py.

It overwrites nothing. Files of a released version stay as they are for ever; another version is another folder.
"""

import sys
from pathlib import Path

from support import fixed_files, linear_golden

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.format.layout import LinearLayout
from language_modeling_is_compression.linear.coder import LinearCoder

FOLDER = Path(__file__).parent / 'v3'
SHARED = Path(__file__).parent / 'v2'


def main() -> None:
  FOLDER.mkdir(exist_ok=True)
  if any(FOLDER.iterdir()):
    sys.exit(f'{FOLDER} has files already; golden files are never made anew')
  own = linear_golden.originals()
  for name, original in own.items():
    (FOLDER / f'{name}.original').write_bytes(original)
  with ChunkCoder(LinearCoder(LinearLayout)) as coder:
    for name, original in (own | linear_golden.shared_originals(SHARED)).items():
      for preset, level in linear_golden.LEVELS.items():
        (FOLDER / f'{name}.{preset}.lmic').write_bytes(fixed_files.compressed(original, coder, level))
  for name, data in linear_golden.broken((FOLDER / 'stereo_16.preset_1.lmic').read_bytes()).items():
    (FOLDER / f'broken_{name}.lmic').write_bytes(data)


if __name__ == '__main__':
  main()
