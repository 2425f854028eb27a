"""Makes the golden files of version 2 of the format, once: PYTHONPATH=.:tests python tests/golden/make_v2.py.

It overwrites nothing. Files of a released version stay as they are for ever; another version is another folder.
"""

import sys
from pathlib import Path

from support import fixed_files, hybrid_golden

from language_modeling_is_compression.codec.chunk_coder import ChunkCoder
from language_modeling_is_compression.network.checkpoint import save_model
from language_modeling_is_compression.prediction.evidence import ENSEMBLE_EXPERTS
from language_modeling_is_compression.quantized.loading import load_coder

FOLDER = Path(__file__).parent / 'v2'


def main() -> None:
  FOLDER.mkdir(exist_ok=True)
  if any(FOLDER.iterdir()):
    sys.exit(f'{FOLDER} has files already; golden files are never made anew')
  save_model(FOLDER / 'model.npz', hybrid_golden.model(ENSEMBLE_EXPERTS))
  with ChunkCoder(load_coder(str(FOLDER / 'model.npz'), 'cpu')) as coder:
    for name, original in hybrid_golden.originals().items():
      (FOLDER / f'{name}.original').write_bytes(original)
      for effort, level in hybrid_golden.LEVELS.items():
        data = fixed_files.compressed(original, coder, level)
        (FOLDER / f'{name}.{effort}.lmic').write_bytes(data)
  for name, data in hybrid_golden.broken((FOLDER / 'stereo_16.effort_1.lmic').read_bytes()).items():
    (FOLDER / f'broken_{name}.lmic').write_bytes(data)


if __name__ == '__main__':
  main()
