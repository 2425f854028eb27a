"""How folders of recordings are read: which files there are, which train and which validate, and what they hold.

`train_audio.py` and `evaluate_audio.py` ask this module alone, so another layout of folders is a change here.
"""

from language_modeling_is_compression.data.paths import (
  Partition,
  describe_other_audio,
  detect_audio_format,
  domain_of,
  get_all_paths,
  get_audio_files_with_format,
  get_other_audio_paths,
  get_test_paths,
  get_train_paths,
  get_valid_paths,
  partition_names,
  partition_paths,
)

__all__ = [
  'Partition',
  'describe_other_audio',
  'detect_audio_format',
  'domain_of',
  'get_all_paths',
  'get_audio_files_with_format',
  'get_other_audio_paths',
  'get_test_paths',
  'get_train_paths',
  'get_valid_paths',
  'partition_names',
  'partition_paths',
]
