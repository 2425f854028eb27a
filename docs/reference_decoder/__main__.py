"""Restores a .lmic file: python -m reference_decoder [MODEL.npz] FILE.lmic > ORIGINAL.

The model is the one that wrote the file; codings 3 and 5, linear prediction, have none.
"""

import sys
from pathlib import Path

from reference_decoder.container import decode
from reference_decoder.models import read_model


def main() -> int:
  if len(sys.argv) not in (2, 3):
    print(__doc__, file=sys.stderr)
    return 2
  *models, packed = sys.argv[1:]
  sys.stdout.buffer.write(decode(Path(packed).read_bytes(), read_model(models[0]) if models else None))
  return 0


if __name__ == '__main__':
  sys.exit(main())
