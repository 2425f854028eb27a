"""Makes the golden files of version 5 of the format, once: PYTHONPATH=.:tests python tests/golden/make_v5.py.

It overwrites nothing. Files of a released version stay as they are for ever; another version is another folder.
"""

import sys
from pathlib import Path

from support import golden_v5

FOLDER = Path(__file__).parent / 'v5'


def main() -> None:
  FOLDER.mkdir(exist_ok=True)
  if any(FOLDER.iterdir()):
    sys.exit(f'{FOLDER} has files already; golden files are never made anew')
  for name, original in golden_v5.originals(FOLDER.parent).items():
    (FOLDER / f'{name}.original').write_bytes(original)
    for coder in golden_v5.WRITTEN[name]:
      (FOLDER / f'{name}.{coder}.lmic').write_bytes(golden_v5.compressed(name, original, coder, FOLDER.parent))
  for coder in golden_v5.LONG_WRITTEN:
    data = golden_v5.compressed(golden_v5.LONG, golden_v5.long_original(), coder, FOLDER.parent)
    (FOLDER / f'{golden_v5.LONG}.{coder}.lmic').write_bytes(data)
  for coder in golden_v5.BROKEN_WRITTEN:
    sound = (FOLDER / f'wav_stereo_16.{coder}.lmic').read_bytes()
    for name, data in golden_v5.broken(sound).items():
      (FOLDER / f'broken_{name}.{coder}.lmic').write_bytes(data)


if __name__ == '__main__':
  main()
