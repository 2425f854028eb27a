"""Where a user's files go that can be made again."""

import os
import platform
from pathlib import Path


def user_folder() -> list[Path]:
  """The user's folder for files that can be made again, if there is a user."""
  try:
    home = Path.home()
  except RuntimeError:
    return []
  if platform.system() == 'Windows':
    caches = Path(os.environ.get('LOCALAPPDATA') or home / 'AppData' / 'Local')
  elif platform.system() == 'Darwin':
    caches = home / 'Library' / 'Caches'
  else:
    caches = Path(os.environ.get('XDG_CACHE_HOME') or home / '.cache')
  return [caches / 'language_modeling_is_compression']
