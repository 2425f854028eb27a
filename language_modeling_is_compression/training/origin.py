"""Commit of the sources that a model was trained with."""

import functools
import subprocess
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_SECONDS = 10.0  # For a command of git; a repository on a slow disk is no reason to wait longer.


@functools.cache
def source_commit() -> str | None:
  """The commit that the package's sources are of, with '+changes' if some are changed; None if git knows none.

  A package that was installed into somebody else's repository is not part of it, so its files have to be tracked.
  """
  if _git('ls-files', '--error-unmatch', '__init__.py') is None:
    return None
  commit = _git('rev-parse', 'HEAD')
  changes = _git('status', '--porcelain', '--untracked-files=no', '--', '.')
  return f'{commit}{"+changes" if changes else ""}' if commit else None


def _git(*arguments: str) -> str | None:
  """Output of git in the package's folder; None if it fails or is not installed."""
  try:
    done = subprocess.run(
      # A status writes the index otherwise, under a lock that a commit at the same time would meet.
      ['git', '--no-optional-locks', *arguments],
      cwd=_PACKAGE,
      stdin=subprocess.DEVNULL,
      capture_output=True,
      text=True,
      timeout=_SECONDS,
    )
  except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
    return None
  return done.stdout.strip() if done.returncode == 0 else None
