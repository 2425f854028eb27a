"""Arguments of compression that contradict each other."""

import io

import pytest

from language_modeling_is_compression.api.engine import Compressor
from language_modeling_is_compression.cli import main
from language_modeling_is_compression.errors import ConfigError


def test_samples_without_a_header_are_not_decoded_as_flac(tmp_path, capsys):
  with Compressor(level=1) as compressor, pytest.raises(ConfigError, match=r'^raw, decode: '):
    compressor.compress(io.BytesIO(b'fLaC' * 9), io.BytesIO(), raw='u8,8000,1', decode=True)
  (tmp_path / 'a.raw').write_bytes(b'fLaC' * 9)
  assert main.main(['compress', '--raw', 'u8,8000,1', '--decode', str(tmp_path / 'a.raw')]) != 0
  assert '--raw, --decode: ' in capsys.readouterr().err
  assert not (tmp_path / 'a.raw.lmic').exists()
