"""Every error that the package raises for something outside of it.

A front end catches `LmicError`, prints its one line and exits; anything else that escapes is a bug of ours. A message
says what, where, what was expected, what came, and what to do.
"""


class LmicError(Exception):
  """Base of the package's errors."""


class ConfigError(LmicError):
  """A flag, a configuration file or a combination of settings cannot be used."""


class AudioFormatError(LmicError):
  """A file is not audio that the package reads."""


class CheckpointError(LmicError):
  """A model file is missing, damaged, hostile or of another kind."""


class FormatError(LmicError):
  """A file is not a compressed file of this package, of another version, or damaged."""


class DamageError(FormatError):
  """One chunk of a compressed file is damaged; the others need not be."""


class ModelMismatchError(LmicError):
  """A compressed file was written with another model, or a model cannot code files."""


class TrainingError(LmicError):
  """Training cannot go on: the loss is not finite, memory or disk ran out."""


class BaselineError(LmicError):
  """Another compressor, run for comparison, failed or lost a bit."""


class ResultsError(LmicError):
  """Results of an evaluation cannot be read, or do not belong together."""


class CancelledError(LmicError):
  """Work was stopped on request; its result so far is incomplete and must be discarded."""


class InputError(LmicError, ValueError):
  """An argument of a function cannot be used."""


class OutputExistsError(ConfigError):
  """A file that would be written exists, and was not to be overwritten."""


class DependencyError(LmicError, ImportError):
  """An optional dependency is not installed."""
