"""Every setting: its name, default, meaning and check, once.

A configuration is a frozen dataclass whose fields are made by `setting`. Command-line flags, `--help`, TOML keys and
what a model file stores are all derived from these fields, and building a configuration checks it.
"""

import argparse
import dataclasses
import difflib
import math
import sys
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from language_modeling_is_compression.errors import ConfigError

_MAX_COUNT = 2**31 - 1  # Counts become sizes and loop bounds of 32 bits in compiled code.
_MAX_FLOAT32 = (2 - 2**-23) * 2.0**127


def _positive(name: str, value: int) -> None:
  if not 1 <= value <= _MAX_COUNT:
    raise ConfigError(f'{name}: expected a positive integer up to {_MAX_COUNT}, got {value}')


def _non_negative(name: str, value: float) -> None:
  if not 0 <= value < math.inf:
    raise ConfigError(f'{name}: expected 0 or more, got {value}')


def _positive_finite(name: str, value: float) -> None:
  if not 0 < value <= sys.float_info.max:  # An integer may be finite and still too large for a float.
    raise ConfigError(f'{name}: expected a positive finite number, got {value}')


def _positive_float32(name: str, value: float) -> None:
  _positive_finite(name, value)
  if value > _MAX_FLOAT32:
    raise ConfigError(f'{name}: expected a number up to {_MAX_FLOAT32:.4g}, got {value}')


def _fraction(name: str, value: float) -> None:
  if not 0 < value < 1:
    raise ConfigError(f'{name}: expected a fraction between 0 and 1, got {value}')


def _named(name: str, value: str) -> None:
  if not value:
    raise ConfigError(f'{name}: expected a name, got none')


def _file_stem(name: str, value: str) -> None:
  if not value or value in ('.', '..') or any(character in value for character in '/\\\0\n\r'):
    raise ConfigError(f'{name}: expected a plain file name without a folder, got {value!r}')


def setting(
  default: Any = dataclasses.MISSING,
  *,
  help: str,
  choices: Sequence[str] = (),
  check: Callable[[str, Any], None] | None = None,
) -> Any:
  """A configuration field: its default (none: required), its line in `--help`, and what its values must satisfy."""
  return dataclasses.field(default=default, metadata={'help': help, 'choices': tuple(choices), 'check': check})


@dataclass(frozen=True, kw_only=True)
class Settings:
  """Base of the configurations: types, choices and checks of single fields. Raises ConfigError."""

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      _check_type(field, value)
      choices = field.metadata['choices']
      if choices and value is not None and value not in choices:
        raise ConfigError(f'{field.name}: expected one of {", ".join(choices)}, got {value!r}')
      check = field.metadata['check']
      if check and value is not None:
        check(field.name, value)


AnySettings = typing.TypeVar('AnySettings', bound=Settings)


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
  """How files become tokens. A model file stores it, since a model is of use only for tokens made the same way."""

  use_16bit: bool = setting(False, help='16-bit samples; without it the top 8 bits of each')
  tokenization: str = setting(
    'byte',
    choices=('byte', 'sample'),
    help='one token per byte, high byte first, or one per sample (65,536 tokens at 16 bits)',
  )
  quantization: str = setting(
    'linear', choices=('linear', 'mu-law'), help='how 8-bit samples are made: the top byte, or G.711 mu-law'
  )
  channels: str = setting(
    'mono', choices=('mono', 'stereo'), help='mix down to mono, or lay the channels out in alternating blocks'
  )
  stereo_blocking_n: int = setting(1024, check=_positive, help='samples in a block of one channel')
  chunk_size: int = setting(2048, check=_positive, help='samples that the model reads from a fresh context')

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.use_16bit and self.chunk_size % 2:
      raise ConfigError(f'chunk_size: expected an even number of samples with use_16bit, got {self.chunk_size}')
    if self.use_16bit and self.quantization != 'linear':
      raise ConfigError(f'quantization: {self.quantization} makes 8-bit samples, so it does not go with use_16bit')

  @property
  def sample_bits(self) -> int:
    """Bits of a raw sample, which compression rates are relative to."""
    return 16 if self.use_16bit else 8

  @property
  def tokens_per_sample(self) -> int:
    return self.sample_bits // 8 if self.tokenization == 'byte' else 1

  @property
  def vocab_size(self) -> int:
    return 256 if self.tokenization == 'byte' else 1 << self.sample_bits


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
  """The network's size."""

  embedding_dim: int = setting(64, check=_positive, help='width of the residual stream')
  num_layers: int = setting(4, check=_positive, help='transformer layers')
  num_heads: int = setting(8, check=_positive, help='attention heads per layer')
  widening_factor: int = setting(4, check=_positive, help='hidden width of the feed-forward layers / embedding_dim')
  attention_window: int = setting(
    128, check=_positive, help='tokens that one layer sees, itself included; layers stack, so 4 layers see 4 times that'
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.embedding_dim % self.num_heads:
      raise ConfigError(f'embedding_dim: expected a multiple of num_heads ({self.num_heads}), got {self.embedding_dim}')


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
  """How a model is trained and how much data it may use."""

  training_steps: int = setting(1000, check=_positive, help='optimizer steps')
  batch_size: int = setting(128, check=_positive, help='chunks in a step')
  micro_batch_size: int | None = setting(
    None, check=_positive, help='chunks that one device holds at a time; default: as many as memory allows'
  )
  learning_rate: float = setting(1e-4, check=_positive_float32, help="Adam's step size, the largest one if it varies")
  learning_rate_schedule: str = setting(
    'constant', choices=('constant', 'cosine'), help='or warm up for 5% of the steps and decay to 2%'
  )
  seed: int = setting(42, check=_non_negative, help='of the first parameters and of the order of chunks')
  num_chunks: int = setting(488281, check=_positive, help='train on at most so many chunks, spread over all files')
  valid_fraction: float = setting(0.1, check=_fraction, help='share of the files held out for validation')
  log_every: int = setting(100, check=_positive, help='steps between two lines in the log and the metrics')
  validate_every: int = setting(
    0,
    check=_non_negative,
    help='steps between two validations, on at most 1024 held-out chunks; 0: only at the end, on all',
  )
  save_minutes: float = setting(
    10.0, check=_positive_finite, help='minutes between two saves of the model, so that a killed run leaves one'
  )


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
  """Where a run reads and writes."""

  audio_dir: str = setting(check=_named, help='folder of WAV files, searched with its subfolders')
  output_dir: str = setting('./', check=_named, help='folder for the model and its logs, created if missing')
  model_name: str = setting('audio_model', check=_file_stem, help='base name of what is written: NAME.npz and others')
  wandb_project: str | None = setting(None, help='log to this Weights & Biases project')
  wandb_run_name: str | None = setting(
    None, help='name of the run there; default: from the flags, e.g. 8bit_block1024_chunk2048_steps1000'
  )
  no_progress: bool = setting(False, help='no progress bar')


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Settings):
  """What is evaluated, and with what."""

  audio_dir: str = setting(check=_named, help='folder of WAV files, searched with its subfolders')
  model_path: tuple[str, ...] = setting(
    (), help="a model file, or 'default' for the one in the package; may be given several times"
  )
  split: str = setting(
    'all',
    choices=('all', 'train', 'valid', 'test'),
    help='which files: those of one side, as train_audio.py parts them',
  )
  use_16bit: bool = setting(False, help='the same as --bit_depth 16')
  bit_depth: str | None = setting(
    None,
    choices=('8', '16', '24', 'native'),
    help="top bits of samples that are compressed, or each file's own; default: what the first model predicts, or 8",
  )
  protocol: str = setting(
    'both', choices=('chunked', 'whole', 'both'), help='independent chunks of bytes, whole files, or both'
  )
  chunk_size: int = setting(2048, check=_positive, help='bytes of a chunk')
  num_chunks: int = setting(488281, check=_positive, help='at most so many chunks, evenly spread over all files')
  count_headers: str = setting(
    'once',
    choices=('once', 'every'),
    help='of chunks: count what a compressor writes for nothing once, as published, or every time',
  )
  baselines: str = setting(
    'gzip,bz2,lzma,zstd,flac,wavpack', help="classical compressors, separated by commas; 'all' or 'none'"
  )
  custom_baseline: tuple[str, ...] = setting(
    (), help="'NAME=COMMAND' with {in} and {out}, or 'NAME=COMMAND :: DECODER'; may be given several times"
  )
  time_limit_seconds: float = setting(600.0, check=_positive_finite, help='for one run of a program')
  lanes: int = setting(16, check=_positive, help='chunks that a model works on at a time')
  device: str = setting('cpu', choices=('cpu', 'gpu'), help='where models are computed')
  output_dir: str = setting('evaluation', check=_named, help='folder for results, created if missing')
  resume: bool = setting(False, help='go on with what is in output_dir')
  seed: int = setting(42, check=_non_negative, help='of the bootstrap')
  valid_fraction: float = setting(0.1, check=_fraction, help='share of the files held out, where folders do not say it')
  wandb_project: str | None = setting(None, help='log to this Weights & Biases project')
  wandb_run_name: str | None = setting(None, help='name of the run there')
  no_progress: bool = setting(False, help='no progress bar')

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.use_16bit and self.bit_depth not in (None, '16'):
      raise ConfigError(f'bit_depth: expected 16 with use_16bit, got {self.bit_depth}')


def add_flags(parser: argparse.ArgumentParser, kinds: Sequence[type[Settings]]) -> None:
  """Adds `--config` and one flag per setting. A flag that is not given leaves no attribute behind."""
  parser.add_argument('--config', metavar='FILE.toml', help='read settings from a TOML file; flags override it')
  for kind in kinds:
    group = parser.add_argument_group((kind.__doc__ or '').partition('\n')[0].rstrip('.'))
    for field in dataclasses.fields(kind):
      options: dict[str, Any] = {'default': argparse.SUPPRESS, 'help': _help(field)}
      if field.type is bool:
        options['action'] = 'store_true'
      elif _is_list(field):
        options['action'] = 'append'
      else:
        options['type'] = _scalar_type(field)
        options['metavar'] = '{' + ','.join(field.metadata['choices']) + '}' if field.metadata['choices'] else None
      group.add_argument(f'--{field.name}', **options)


def read_settings(flags: Mapping[str, Any], kinds: Sequence[type[Settings]]) -> dict[type[Settings], Any]:
  """Builds each kind of configuration: defaults, under the TOML file named by flags['config'], under the flags.

  Raises ConfigError for an unknown key (naming the nearest one), a missing one, a wrong type or a failed check.
  """
  names = [field.name for kind in kinds for field in dataclasses.fields(kind)]
  values = {name: value for name, value in flags.items() if name in names}
  if flags.get('config') is not None:
    values = {**_read_toml(Path(flags['config']), names), **values}
  built = {}
  for kind in kinds:
    fields = dataclasses.fields(kind)
    missing = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in values]
    if missing:
      raise ConfigError(f'--{missing[0]} is required')
    given = {field.name: values[field.name] for field in fields if field.name in values}
    lists = {field.name: tuple(given[field.name]) for field in fields if isinstance(given.get(field.name), list)}
    built[kind] = kind(**{**given, **lists})
  return built


def from_mapping(kind: type[AnySettings], values: Any) -> AnySettings:
  """A configuration from what a file stores of it: every field, no other, each of its type. Raises ConfigError."""
  names = {field.name for field in dataclasses.fields(kind)}
  if not isinstance(values, Mapping) or set(values) != names:
    got = sorted(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
    raise ConfigError(f'{kind.__name__}: expected the keys {sorted(names)}, got {got}')
  return kind(**values)


def _read_toml(path: Path, names: Sequence[str]) -> dict[str, Any]:
  try:
    values = tomllib.loads(path.read_text(encoding='utf-8'))
  except OSError as error:
    raise ConfigError(f'{path}: cannot be read: {error.strerror}') from error
  except (ValueError, RecursionError) as error:  # Also what tomllib lets through: endless digits, deep nesting.
    raise ConfigError(f'{path}: not a TOML file: {error}') from error
  for name in values:
    if name not in names:
      nearest = difflib.get_close_matches(name, names, n=1)
      hint = f'; did you mean {nearest[0]}?' if nearest else ''
      raise ConfigError(f'{path}: unknown setting {name}{hint}')
  return values


def _is_list(field: dataclasses.Field) -> bool:
  return typing.get_origin(field.type) is tuple


def _scalar_type(field: dataclasses.Field) -> Any:
  """The type of a field's values, None set aside."""
  kinds: Sequence[Any] = typing.get_args(field.type) or (field.type,)
  return next(kind for kind in kinds if kind is not type(None))


def _check_type(field: dataclasses.Field, value: Any) -> None:
  if _is_list(field):
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
      raise ConfigError(f'{field.name}: expected a list of texts, got {value!r}')
    return
  expected = _scalar_type(field)
  if value is None and field.default is None:
    return
  # bool is an int to Python, and an int is as good as a float to a user.
  accepted = (int, float) if expected is float else (expected,)
  if not isinstance(value, accepted) or (isinstance(value, bool) and expected is not bool):
    raise ConfigError(f'{field.name}: expected {expected.__name__}, got {value!r}')


def _help(field: dataclasses.Field) -> str:
  text = field.metadata['help']
  if field.default is dataclasses.MISSING:
    text += ' (required)'
  elif field.default is not None and field.default is not False and field.default != ():
    text += f' (default: {field.default})'
  return text.replace('%', '%%')  # argparse formats what it is given.
