"""Trains a language model on folders of audio files: python train_audio.py --audio_dir DIR [flags]."""

import sys
from collections.abc import Sequence

import data_paths
from language_modeling_is_compression.cli import train


def main(argv: Sequence[str] | None = None) -> int:
  """As `train.main`, with folders as data_paths.py reads them."""
  return train.main(argv, paths=data_paths, prog='train_audio.py')


if __name__ == '__main__':
  sys.exit(main())
