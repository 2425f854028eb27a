"""Fixtures of tests of files of samples."""

from pathlib import Path

import pytest


@pytest.fixture
def write(tmp_path):
  def write_bytes(contents: bytes, name: str = 'a.wav') -> Path:
    path = tmp_path / name
    path.write_bytes(contents)
    return path

  return write_bytes
