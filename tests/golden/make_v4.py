"""Makes the golden files of version 4 of the format, once: PYTHONPATH=.:tests python tests/golden/make_v4.py.

It overwrites nothing. Files of a released version stay as they are for ever; another version is another folder.
"""

import sys
from pathlib import Path

from support import fixed_files, golden_cases, hybrid_golden, hybrid_golden_v4

from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.prediction.evidence import LINEAR_EXPERTS

FOLDER = Path(__file__).parent / 'v4'
SHARED = [FOLDER.parent / 'v2', FOLDER.parent / 'v3']


def main() -> None:
  FOLDER.mkdir(exist_ok=True)
  if any(FOLDER.iterdir()):
    sys.exit(f'{FOLDER} has files already; golden files are never made anew')
  own = hybrid_golden_v4.originals()
  for name, original in own.items():
    (FOLDER / f'{name}.original').write_bytes(original)
  save_model(FOLDER / 'model.npz', hybrid_golden.model(LINEAR_EXPERTS))
  with golden_cases.coder(FOLDER / 'model.npz') as coder:
    for name, original in (own | hybrid_golden_v4.shared_originals(SHARED)).items():
      for effort, level in hybrid_golden.LEVELS.items():
        (FOLDER / f'{name}.{effort}.lmic').write_bytes(fixed_files.compressed(original, coder, level))
  for name, data in hybrid_golden.broken((FOLDER / 'stereo_16.effort_1.lmic').read_bytes()).items():
    (FOLDER / f'broken_{name}.lmic').write_bytes(data)


if __name__ == '__main__':
  main()
