"""Fuzzes what goes in, with atheris: python tests/fuzz/fuzz_wav.py CORPUS_DIR [libFuzzer options].

An input is a file. Whatever it holds, reading its headers gives a place within the file or an AudioFormatError, and the
file comes back from compression as it was.
"""

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

# Numba cannot compile what atheris has instrumented.

with atheris.instrument_imports(include=['language_modeling_is_compression']):
  from language_modeling_is_compression.audio.frames import read_pcm_frames
  from language_modeling_is_compression.audio.parsing import read_pcm_info

from support import lmic_cases
from support.regions import assert_well_formed

from language_modeling_is_compression.errors import AudioFormatError

_SOURCE = tempfile.NamedTemporaryFile(suffix='.wav')  # noqa: SIM115 (as long as the process)


def test_one_input(data: bytes) -> None:
  _SOURCE.seek(0)
  _SOURCE.truncate()
  _SOURCE.write(data)
  _SOURCE.flush()
  try:
    info = read_pcm_info(Path(_SOURCE.name))
  except AudioFormatError:
    pass
  else:
    assert_well_formed(info, len(data))
    read_pcm_frames(info, 0, info.num_frames)
  compressed = lmic_cases.compressed(data, lmic_cases.coder())
  assert lmic_cases.decompressed(compressed, lmic_cases.coder()) == data


if __name__ == '__main__':
  atheris.Setup(sys.argv, test_one_input)
  atheris.Fuzz()
