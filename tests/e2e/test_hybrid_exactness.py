"""Experts and filters compute in floats: golden files, by code that other processors and compilers would get."""

import sys

import pytest
from support.training_runs import REPOSITORY, environment, finish

_GOLDEN = [
  REPOSITORY / 'tests/golden' / name
  for name in ('test_golden_v2.py', 'test_golden_v3.py', 'test_golden_v4.py', 'test_golden_v5.py', 'test_generated.py')
]


@pytest.mark.slow
@pytest.mark.parametrize(
  'variables',
  [
    pytest.param({'NUMBA_CPU_NAME': 'generic', 'NUMBA_CPU_FEATURES': ''}, id='SSE2 alone'),
    pytest.param({'NUMBA_CPU_NAME': 'haswell'}, id='AVX2 with fused multiply-add'),
    pytest.param({'NUMBA_OPT': '0'}, id='not optimized'),
    pytest.param({'NUMBA_OPT': '1', 'NUMBA_SLP_VECTORIZE': '1'}, id='optimized otherwise'),
    pytest.param({'NUMBA_LOOP_VECTORIZE': '0'}, id='not vectorized'),
  ],
)
def test_golden_files_whatever_the_compiler_does(tmp_path, variables):
  env = environment(tmp_path, LMIC_CODE='jit', NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=str(REPOSITORY), **variables)
  # What is not optimized calls functions by address, and numba says that it will not keep such code.
  quietly = ['-W', 'ignore:Cannot cache']
  all_tests = ['-m', '']  # Slow ones, too.
  command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *all_tests, *quietly, *map(str, _GOLDEN)]
  done = finish(command, env)
  assert done.returncode == 0, done.stdout + done.stderr
