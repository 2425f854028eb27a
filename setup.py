"""Adds the kernels' machine code to what is built; all else is in pyproject.toml."""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithObjects(build_py):
  """Copies the package, then compiles the copy's kernels ahead of time: code is good for its own sources alone."""

  def run(self) -> None:
    super().run()
    if self.editable_mode:  # Sources are about to change.
      return
    root = Path(self.build_lib).resolve()
    # What an isolated build has installed for itself is in sys.path.
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(root), *filter(None, sys.path)])}
    subprocess.run(
      [sys.executable, '-m', 'language_modeling_is_compression.cli.objects'], cwd=root, env=environment, check=True
    )


setup(cmdclass={'build_py': BuildWithObjects})
