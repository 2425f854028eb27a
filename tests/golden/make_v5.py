"""Makes what is missing of the golden files of format version 5: PYTHONPATH=.:tests python tests/golden/make_v5.py.

It overwrites nothing. Files of a released version stay as they are for ever; another version is another folder.
"""

from pathlib import Path

from support import golden_v5

FOLDER = Path(__file__).parent / 'v5'


def main() -> None:
  FOLDER.mkdir(exist_ok=True)
  for name, original in golden_v5.originals(FOLDER.parent).items():
    _write(f'{name}.original', original)
    for coder in golden_v5.WRITTEN[name]:
      _write(f'{name}.{coder}.lmic', golden_v5.compressed(name, original, coder, FOLDER.parent))
  for coder in golden_v5.LONG_WRITTEN:
    data = golden_v5.compressed(golden_v5.LONG, golden_v5.long_original(), coder, FOLDER.parent)
    _write(f'{golden_v5.LONG}.{coder}.lmic', data)
  for coder in golden_v5.BROKEN_WRITTEN:
    sound = (FOLDER / f'wav_stereo_16.{coder}.lmic').read_bytes()
    for name, data in golden_v5.broken(sound).items():
      _write(f'broken_{name}.{coder}.lmic', data)


def _write(name: str, data: bytes) -> None:
  path = FOLDER / name
  if not path.exists():
    path.write_bytes(data)


if __name__ == '__main__':
  main()
