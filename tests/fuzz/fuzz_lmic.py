"""Fuzzes reading .lmic files with atheris: python tests/fuzz/fuzz_lmic.py CORPUS_DIR [libFuzzer options].

An input says how to change a sound file, of any version of the format; often the checksums are put right again, so
that the change gets past them, or it is one body that changes, and all around it is right.
Whatever the file, only the package's own errors may leave, within the memory and time that libFuzzer is told to allow,
and what is called sound must be the file that was compressed.
"""

import io
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

# Numba cannot compile what atheris has instrumented.

with atheris.instrument_imports(include=['language_modeling_is_compression']):
  from language_modeling_is_compression.format import container

from support import lmic_cases, lmic_frames


def test_one_input(data: bytes) -> None:
  provider = atheris.FuzzedDataProvider(data)
  cases = lmic_cases.all_cases()
  original, sound, by = cases[provider.ConsumeIntInRange(0, len(cases) - 1)]
  sealed, in_a_body = provider.ConsumeBool(), provider.ConsumeBool()

  def change(part: bytes) -> bytes:
    changed = bytearray(part)
    for _ in range(provider.ConsumeIntInRange(1, 4)):
      begin = provider.ConsumeIntInRange(0, len(changed))
      end = min(len(changed), begin + provider.ConsumeIntInRange(0, 32))
      changed[begin:end] = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 32))
    return bytes(changed)

  if in_a_body:
    last = container.Container(io.BytesIO(sound), len(sound)).header.num_chunks - 1
    damaged = lmic_cases.with_changed_body(sound, provider.ConsumeIntInRange(0, max(0, last)), change)
  else:
    damaged = lmic_frames.sealed(change(sound)) if sealed else change(sound)
  lmic_cases.check_reading(damaged, original, may_differ=sealed or in_a_body, by=by)


if __name__ == '__main__':
  atheris.Setup(sys.argv, test_one_input)
  atheris.Fuzz()
