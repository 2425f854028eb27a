"""Measures compression rates on a folder of audio files: python evaluate_audio.py --audio_dir DIR [flags]."""

import sys
from collections.abc import Sequence

import data_paths
from language_modeling_is_compression.cli import evaluate


def main(argv: Sequence[str] | None = None) -> int:
  """As `evaluate.main`, with folders as data_paths.py reads them."""
  return evaluate.main(argv, paths=data_paths, prog='evaluate_audio.py')


if __name__ == '__main__':
  sys.exit(main())
