"""Scripts beside the package start from anywhere, and find what they import."""

import subprocess
import sys

import pytest
from support.training_runs import REPOSITORY, environment

SCRIPTS = sorted([*REPOSITORY.glob('bench/*.py'), *REPOSITORY.glob('examples/*.py'), *REPOSITORY.glob('*_audio.py')])
# Of a script what stands below its main guard is left out.
_IMPORT = 'import runpy, sys; sys.path.insert(0, sys.argv[2]); runpy.run_path(sys.argv[1], run_name="imported")'


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.name)
def test_a_script_finds_what_it_imports(script, tmp_path):
  env = environment(tmp_path)
  env.pop('PYTHONPATH', None)
  command = [sys.executable, '-W', 'error', '-c', _IMPORT, str(script), str(script.parent)]
  done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
