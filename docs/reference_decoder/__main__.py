"""Restores a .lmic file: python -m reference_decoder MODEL.npz FILE.lmic > ORIGINAL."""

import sys
from pathlib import Path

from reference_decoder.container import decode
from reference_decoder.models import read_model


def main() -> int:
  if len(sys.argv) != 3:
    print(__doc__, file=sys.stderr)
    return 2
  model, packed = sys.argv[1:]
  sys.stdout.buffer.write(decode(Path(packed).read_bytes(), read_model(model)))
  return 0


if __name__ == '__main__':
  sys.exit(main())
