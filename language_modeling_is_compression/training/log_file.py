"""Log file of a run."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.system.files import GrowingFile
from language_modeling_is_compression.training.run_files import RunFiles

_logger = logging.getLogger(__name__)


class LogFile(logging.Handler):
  """A log file whose loss, said once, ends no run. Raises OSError."""

  def __init__(self, path: Path, *, append: bool = False):
    super().__init__()
    self._file = GrowingFile(path, append=append)
    self._lost = False

  def emit(self, record: logging.LogRecord) -> None:
    if self._lost:
      return
    try:
      self._file.write(self.format(record))
    except OSError as error:
      self._lost = True
      _logger.warning('%s: cannot be written, the log is lost: %s', self._file.path, error.strerror)

  def rename(self, path: Path) -> None:
    """Gives the file another name. Raises OSError."""
    with self.lock or contextlib.nullcontext():
      self._file.rename(path)

  def close(self) -> None:
    self._file.close()
    super().close()


@contextlib.contextmanager
def log_to_file(files: RunFiles) -> Iterator[None]:
  """Keeps everything that is logged within the block. Raises ConfigError if the file cannot be written."""
  try:
    handler = LogFile(files.log, append=files.goes_on)
  except OSError as error:
    raise ConfigError(f'output_dir: {files.log} cannot be written: {error.strerror}') from error
  files.when_renamed(log=handler.rename)
  handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
  logging.getLogger().addHandler(handler)
  try:
    yield
  finally:
    logging.getLogger().removeHandler(handler)
    handler.close()
