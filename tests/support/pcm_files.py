"""What tests of files of samples have in common: files that are written, read whole, or refused."""

from pathlib import Path

import numpy as np
import pytest

from language_modeling_is_compression.audio.frames import read_pcm_frames
from language_modeling_is_compression.audio.parsing import read_pcm_info
from language_modeling_is_compression.errors import AudioFormatError


def read_all(path: Path) -> np.ndarray:
  """All frames, int32 [N, C]."""
  info = read_pcm_info(path)
  return read_pcm_frames(info, 0, info.num_frames)


def assert_rejected(path: Path, *words: str) -> str:
  """The one line that names the file, and says these words."""
  with pytest.raises(AudioFormatError) as caught:
    read_pcm_info(path)
  message = str(caught.value)
  assert message.startswith(f'{path}: ') and '\n' not in message
  for word in words:
    assert word in message
  return message
