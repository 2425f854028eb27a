"""What numba is told before it makes the first code: a processor's features, not its name, and nothing for good."""

import platform
import subprocess
import sys

import pytest

PLAIN = """
import numba
from numba.core import codegen, config

chosen, options_of = [], codegen.JITCPUCodegen._customize_tm_options

def record(generator, options):
  options_of(generator, options)
  chosen.append((options['cpu'], bool(options['features'])))

codegen.JITCPUCodegen._customize_tm_options = record
"""
FIRST = 'from language_modeling_is_compression.kernels import just_in_time\n'
CALL = 'assert numba.njit(lambda number: number + 1)(1) == 2\n'
SAY = 'print(config.CPU_NAME, *chosen)\n'

pytestmark = pytest.mark.skipif(
  platform.machine() not in ('x86_64', 'AMD64'), reason='only there numba is told anything'
)


def said(code: str, monkeypatch: pytest.MonkeyPatch, name: str | None = None) -> str:
  monkeypatch.delenv('NUMBA_CPU_FEATURES', raising=False)
  monkeypatch.delenv('NUMBA_CPU_NAME', raising=False)
  if name:
    monkeypatch.setenv('NUMBA_CPU_NAME', name)
  return subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout.strip()


def test_code_is_for_any_processor_with_the_features_of_this_one(monkeypatch):
  assert said(PLAIN + FIRST + CALL + SAY, monkeypatch) == "None ('generic', True)"


def test_a_processor_that_is_named_is_left(monkeypatch):
  assert said(PLAIN + FIRST + CALL + SAY, monkeypatch, 'nehalem') == "nehalem ('nehalem', True)"


def test_a_generator_that_has_begun_is_left(monkeypatch):
  """By a program that uses numba itself: no second one is made."""
  before, after = (said(PLAIN + CALL + then + SAY, monkeypatch) for then in ('', FIRST))
  assert before == after and before.startswith('None (')
