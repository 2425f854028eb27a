"""Every setting: its name, default, meaning and check, once. settings.py makes flags and all else of them."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

from language_modeling_is_compression.config import defaults
from language_modeling_is_compression.config.families import FAMILIES
from language_modeling_is_compression.config.registry import Registry
from language_modeling_is_compression.config.settings import Settings, configs_of, given_settings, setting
from language_modeling_is_compression.errors import ConfigError

_MAX_COUNT = 2**31 - 1  # Counts become sizes and loop bounds of 32 bits in compiled code.
_MAX_FLOAT32 = (2 - 2**-23) * 2.0**127
_MIN_FLOAT32 = 2.0**-126  # The smallest that compiled code does not take for 0.
_BELOW_ONE = 1 - 2.0**-24  # The largest float32 below 1.
DEFAULT_STEPS = 1000
_MAX_GAIN_DB = 60  # So that a sample of 32 bits times the gain is an integer of 64.
_WARM_UP_FRACTION = 0.05
_FINAL_FRACTION = 0.02
_DECAY_FRACTION = 0.2
DEFAULT_STREAM_MEGABYTES = 2048
_PLATEAU_FACTOR = 0.5
_PLATEAU_PATIENCE = 5
_FIND_FROM, _FIND_TO, _FIND_STEPS = 1e-6, 1.0, 100
_GENERATED_SECONDS, _MAX_GENERATED_SECONDS = 3.0, 3600  # A sound is held in memory until it is written.
_GENERATED_SOUNDS, _MAX_GENERATED_SOUNDS = 4, 64
# Settings that each optimizer and each schedule heeds, beside those that all do.
OPTIMIZERS: Registry[Sequence[str]] = Registry(
  'optimizer',
  {
    'adam': ('beta1', 'beta2', 'epsilon'),
    'adamw': ('beta1', 'beta2', 'epsilon', 'weight_decay'),
    'sgd': ('momentum',),
    'rmsprop': ('beta2', 'epsilon', 'momentum'),
    'lion': ('beta1', 'beta2', 'weight_decay'),
    'muon': ('beta1', 'beta2', 'epsilon', 'momentum', 'weight_decay'),
  },
)
SCHEDULES: Registry[Sequence[str]] = Registry(
  'learning rate schedule',
  {
    'constant': (),
    'linear': ('final_fraction',),
    'cosine': ('final_fraction', 'cycles'),
    'exponential': ('final_fraction',),
    'warmup_stable_decay': ('final_fraction', 'decay_fraction'),
    'plateau': ('final_fraction', 'plateau_factor', 'plateau_patience'),
  },
)
LOSSES: Registry[None] = Registry('loss', {'code_length': None, 'z_loss': None})
EQUAL_WEIGHTS = 'equal'
NATIVE_DEPTH = 'native'
_BIT_DEPTHS = (NATIVE_DEPTH, '8', '16', '24')
WANDB = 'wandb'
TENSORBOARD = 'tensorboard'
LOGGER_NAMES: Registry[None] = Registry('logger', dict.fromkeys(('jsonl', 'csv', TENSORBOARD, WANDB)))
VALIDATION = 'valid/'  # Begins the names of figures of validations that are made while training.
_LONGEST_TAG = 64  # wandb refuses longer ones.


def _positive(name: str, value: int) -> None:
  """1 or more."""
  if not 1 <= value <= _MAX_COUNT:
    raise ConfigError(f'{name}: expected a positive integer up to {_MAX_COUNT}, got {value}')


def _non_negative(name: str, value: float) -> None:
  """0 or more."""
  if not 0 <= value < math.inf:
    raise ConfigError(f'{name}: expected 0 or more, got {value}')


def _positive_finite(name: str, value: float) -> None:
  """More than 0."""
  if not 0 < value <= sys.float_info.max:  # An integer may be finite and still too large for a float.
    raise ConfigError(f'{name}: expected a positive finite number, got {value}')


def _positive_float32(name: str, value: float) -> None:
  """More than 0, and a float32."""
  _positive_finite(name, value)
  if value > _MAX_FLOAT32:
    raise ConfigError(f'{name}: expected a number up to {_MAX_FLOAT32:.4g}, got {value}')


def _fraction(name: str, value: float) -> None:
  """More than 0, less than 1."""
  if not 0 < value < 1:
    raise ConfigError(f'{name}: expected a fraction between 0 and 1, got {value}')


def _count_or_zero(name: str, value: int) -> None:
  """0 or more."""
  if not 0 <= value <= _MAX_COUNT:
    raise ConfigError(f'{name}: expected 0 to {_MAX_COUNT}, got {value}')


def _non_negative_float32(name: str, value: float) -> None:
  """0 or more, and a float32."""
  if not 0 <= value <= _MAX_FLOAT32:
    raise ConfigError(f'{name}: expected 0 to {_MAX_FLOAT32:.4g}, got {value}')


def _generated_seconds(name: str, value: float) -> None:
  """More than 0, up to an hour."""
  if not 0 < value <= _MAX_GENERATED_SECONDS:
    raise ConfigError(f'{name}: expected more than 0 and at most {_MAX_GENERATED_SECONDS} seconds, got {value}')


def _generated_sounds(name: str, value: int) -> None:
  """1 to 64."""
  if not 1 <= value <= _MAX_GENERATED_SOUNDS:
    raise ConfigError(f'{name}: expected 1 to {_MAX_GENERATED_SOUNDS}, got {value}')


def _temperature(name: str, value: float) -> None:
  """0 or more."""
  if not 0 <= value <= sys.float_info.max:
    raise ConfigError(f'{name}: expected a finite number of 0 or more, got {value}')


def _normal_float32(name: str, value: float) -> None:
  """More than 0, and a normal float32."""
  if not _MIN_FLOAT32 <= value <= _MAX_FLOAT32:
    raise ConfigError(f'{name}: expected {_MIN_FLOAT32:.4g} to {_MAX_FLOAT32:.4g}, got {value}')


def _below_one(name: str, value: float) -> None:
  """0 or more, less than 1."""
  if not 0 <= value <= _BELOW_ONE:
    raise ConfigError(f'{name}: expected 0 or more, and less than 1 in float32 (at most 1 - 2^-24), got {value!r}')


def _refuse_unheeded(config: Settings, choice: str, heeded: Mapping[str, Sequence[str]]) -> None:
  """Raises ConfigError for a setting that was given and that the chosen optimizer or schedule does not heed."""
  chosen = getattr(config, choice)
  for name in dict.fromkeys(name for names in heeded.values() for name in names):
    if getattr(config, name) is not None and name not in heeded[chosen]:
      others = ', '.join(other for other, names in heeded.items() if name in names)
      raise ConfigError(f'{name}: expected --{choice} to be one of {others}, got {chosen}; choose one, or leave it out')


def _sample_depth(name: str, value: int) -> None:
  """8, 16 or 24."""
  if value not in (8, 16, 24):
    raise ConfigError(f'{name}: expected 8, 16 or 24, got {value}')


def _gain_db(name: str, value: float) -> None:
  """-60 to 60."""
  if not -_MAX_GAIN_DB <= value <= _MAX_GAIN_DB:
    raise ConfigError(f'{name}: expected -{_MAX_GAIN_DB} to {_MAX_GAIN_DB}, got {value}')


def _share(name: str, value: float) -> None:
  """0 to 1."""
  if not 0 <= value <= 1:
    raise ConfigError(f'{name}: expected 0 to 1, got {value}')


def _named(name: str, value: str) -> None:
  """Not empty."""
  if not value:
    raise ConfigError(f'{name}: expected a name, got none')
  if '\0' in value:  # No system has such files.
    raise ConfigError(f'{name}: expected a name without NUL, got {value!r}')


def _all_named(name: str, values: Sequence[str]) -> None:
  """Not empty."""
  if not values:
    raise ConfigError(f'{name}: expected a name, got none')
  for value in values:
    _named(name, value)


def _weights(name: str, value: str) -> tuple[float, ...] | None:
  """`equal`, or numbers above 0 with commas between them. Returns the numbers, None for EQUAL_WEIGHTS."""
  if value == EQUAL_WEIGHTS:
    return None
  try:
    numbers = tuple(float(text) for text in value.split(','))
  except ValueError:
    numbers = ()
  if not numbers or not all(0 < number < math.inf for number in numbers):
    raise ConfigError(f"{name}: expected 'equal' or positive numbers separated by commas, got {value!r}")
  return numbers


def _effort(name: str, value: int) -> None:
  """0 to 2."""
  if not 0 <= value <= defaults.MAX_EFFORT:
    raise ConfigError(f'{name}: expected 0 to {defaults.MAX_EFFORT}, got {value}')


def _bit_depths(name: str, value: str) -> tuple[str, ...]:
  """Some of `native`, `8`, `16`, `24`, with commas between them. Returns them."""
  texts = tuple(value.split(','))
  if not set(texts) <= set(_BIT_DEPTHS) or len(set(texts)) < len(texts):
    raise ConfigError(f'{name}: expected some of {", ".join(_BIT_DEPTHS)}, separated by commas, got {value!r}')
  return texts


def _logger_names(name: str, value: str) -> tuple[str, ...]:
  """Some of `jsonl`, `csv`, `tensorboard`, `wandb`, with commas between them. Returns them."""
  names = tuple(value.split(','))
  if not set(names) <= LOGGER_NAMES.keys() or len(set(names)) < len(names):
    raise ConfigError(f'{name}: expected some of {", ".join(LOGGER_NAMES)}, separated by commas, got {value!r}')
  return names


def _tags(name: str, value: str) -> tuple[str, ...]:
  """Tags with commas between them. Returns them."""
  tags = tuple(value.split(','))
  if not all(0 < len(tag) <= _LONGEST_TAG for tag in tags):
    raise ConfigError(f'{name}: expected tags of 1 to {_LONGEST_TAG} characters, separated by commas, got {value!r}')
  return tags


def _address(name: str, value: str) -> None:
  """HOST:PORT."""
  host, _, port = value.rpartition(':')
  if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
    raise ConfigError(f'{name}: expected HOST:PORT, got {value!r}')


class Improvement(NamedTuple):
  """By how much a figure has to become lower to count as better."""

  absolute: float = 0.0
  share: float = 0.0

  def amount(self, best: float) -> float:
    """The least difference to the best value so far."""
    return self.absolute + self.share * abs(best)


ANY_IMPROVEMENT = Improvement()


def _improvement(name: str, value: str) -> Improvement:
  """A number of 0 or more, or one with `%` behind it, below 100. Returns what it asks for."""
  percent = value.endswith('%')
  try:
    number = float(value.removesuffix('%'))
  except ValueError:
    number = math.nan
  if not 0 <= number < (100 if percent else math.inf):
    raise ConfigError(
      f"{name}: expected a number of 0 or more such as '0.01', or a share such as '0.5%', got {value!r}"
    )
  return Improvement(share=number / 100) if percent else Improvement(absolute=number)


def _finite(name: str, value: float) -> None:
  """Any finite number."""
  if not abs(value) <= sys.float_info.max:
    raise ConfigError(f'{name}: expected a finite number, got {value}')


def _file_stem(name: str, value: str) -> None:
  """A file name without a folder."""
  if not value or value in ('.', '..') or any(character in value for character in '/\\\0\n\r'):
    raise ConfigError(f'{name}: expected a plain file name without a folder, got {value!r}')


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
  """Conversion of files to the tokens of a byte model.

  A model file stores it, since a model is of use only for tokens made the same way.
  """

  section: ClassVar[str] = 'data'

  use_16bit: bool = setting(False, help='16-bit samples; without it the top 8 bits of each', model='bytes', fixed=True)
  bit_depth: int | None = setting(
    None,
    check=_sample_depth,
    help='top bits of each sample that are kept, 8, 16 or 24, a byte token each; 16 is the same as use_16bit; '
    'default: 8',
    model='bytes',
    fixed=True,
  )
  tokenization: str = setting(
    'byte',
    choices=('byte', 'sample'),
    help='one token per byte, high byte first, or one per sample (65,536 tokens at 16 bits)',
    model='bytes',
    fixed=True,
  )
  quantization: str = setting(
    'linear',
    choices=('linear', 'mu-law'),
    help='how 8-bit samples are made: the top byte, or G.711 mu-law (mu-law files: their own bytes; -0 becomes 0)',
    model='bytes',
    fixed=True,
  )
  channels: str = setting(
    'mono',
    choices=('mono', 'stereo'),
    help='mix down to mono, or lay the channels out in alternating blocks',
    model='bytes',
    fixed=True,
  )
  stereo_blocking_n: int = setting(
    1024, check=_positive, help='samples in a block of one channel', model='bytes', fixed=True
  )
  chunk_size: int = setting(
    2048,
    check=_positive,
    help='samples that the model reads from a fresh context',
    model='bytes',
    fixed=True,
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.bit_depth is not None:
      if self.use_16bit and self.bit_depth != 16:
        raise ConfigError(f'bit_depth: expected 16 with use_16bit, got {self.bit_depth}')
      # One form of each depth, that of all files so far.
      object.__setattr__(self, 'use_16bit', self.bit_depth == 16)
      object.__setattr__(self, 'bit_depth', self.bit_depth if self.bit_depth == 24 else None)
    if self.bit_depth and self.tokenization != 'byte':
      raise ConfigError(f'tokenization: expected byte with bit_depth {self.bit_depth}, got {self.tokenization}')
    if self.bit_depth and self.quantization != 'linear':
      raise ConfigError(f'quantization: {self.quantization} makes 8-bit samples, got bit_depth {self.bit_depth}')
    if self.use_16bit and self.chunk_size % 2:
      raise ConfigError(f'chunk_size: expected an even number of samples with use_16bit, got {self.chunk_size}')
    if self.use_16bit and self.quantization != 'linear':
      raise ConfigError(f'quantization: {self.quantization} makes 8-bit samples, so it does not go with use_16bit')

  @property
  def codes_files(self) -> bool:
    """Whether a model of these tokens can code files: their bytes as they are, 256 kinds of token."""
    return self.vocab_size == 256 and self.quantization == 'linear'

  @property
  def sample_bits(self) -> int:
    """Bits of a raw sample, which compression rates are relative to."""
    return self.bit_depth or (16 if self.use_16bit else 8)

  @property
  def tokens_per_sample(self) -> int:
    return self.sample_bits // 8 if self.tokenization == 'byte' else 1

  @property
  def vocab_size(self) -> int:
    return 256 if self.tokenization == 'byte' else 1 << self.sample_bits


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig(Settings):
  """Changes of the chunks that a byte model is trained on; what is held out stays as it is."""

  section: ClassVar[str] = 'data'

  min_gain_db: float | None = setting(
    None,
    check=_gain_db,
    help='each chunk that is trained on gets a gain of its own between this and max_gain_db; default: 0, if the other '
    'is given',
    model='bytes',
    fixed=True,
  )
  max_gain_db: float | None = setting(
    None,
    check=_gain_db,
    help='the largest gain; samples that it makes too large are clipped',
    model='bytes',
    fixed=True,
  )
  invert_polarity: float | None = setting(
    None,
    check=_share,
    help='share of the chunks that are trained on with all samples negated; default: none',
    model='bytes',
    fixed=True,
  )
  reverse_time: float | None = setting(
    None,
    check=_share,
    help='share of the chunks that are trained on from their last sample to their first; default: none',
    model='bytes',
    fixed=True,
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    low, high = self.gains_db
    if low > high:
      raise ConfigError(f'min_gain_db: expected at most max_gain_db ({high:g}), got {low:g}; give both')

  @property
  def gains_db(self) -> tuple[float, float]:
    """Smallest and largest gain."""
    return self.min_gain_db or 0.0, self.max_gain_db or 0.0

  @property
  def changes_nothing(self) -> bool:
    return self.gains_db == (0, 0) and not self.invert_polarity and not self.reverse_time


@dataclass(frozen=True, kw_only=True)
class FamilyConfig(Settings):
  """The model's family."""

  section: ClassVar[str] = 'model'

  model: str = setting(
    'bytes',
    choices=FAMILIES,
    help='predict bytes from bytes, or samples from what adaptive experts say of them',
    fixed=True,
  )


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
  """The network's size."""

  section: ClassVar[str] = 'model'

  embedding_dim: int = setting(64, check=_positive, help='width of the residual stream', fixed=True)
  num_layers: int = setting(4, check=_positive, help='transformer layers', fixed=True)
  num_heads: int = setting(8, check=_positive, help='attention heads per layer', fixed=True)
  widening_factor: int = setting(
    4, check=_positive, help='hidden width of the feed-forward layers / embedding_dim', fixed=True
  )
  attention_window: int = setting(
    128,
    check=_positive,
    help='tokens (hybrid: samples) that one layer sees, itself included; 4 layers see 4 times that',
    fixed=True,
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.embedding_dim % self.num_heads:
      raise ConfigError(f'embedding_dim: expected a multiple of num_heads ({self.num_heads}), got {self.embedding_dim}')


@dataclass(frozen=True, kw_only=True)
class HybridConfig(Settings):
  """Data that a hybrid model is trained on."""

  section: ClassVar[str] = 'data'

  sequence_length: int = setting(512, check=_positive, help='samples in a row of a batch', model='hybrid', fixed=True)
  bit_depths: str = setting(
    'native,8',
    check=_bit_depths,
    help="depths of samples, separated by commas: each file's own, and top bits of those that have more",
    model='hybrid',
    fixed=True,
  )
  effort: int = setting(
    1, check=_effort, help='how much work the experts do for a sample, 0 to 2', model='hybrid', fixed=True
  )
  segment_frames: int = setting(
    defaults.SEGMENT_FRAMES,
    check=_positive,
    help='frames after which the experts begin anew, as in a compressed file',
    model='hybrid',
    fixed=True,
  )
  evidence: str = setting(
    'auto',
    choices=('auto', 'cache', 'stream'),
    help="the experts' work for all samples: cache: done first and kept in cache_dir; stream: done in other processes "
    'while it is trained on, and kept in memory alone; auto: cache if cache_dir is given or all of it takes at most '
    '16 GiB',
    model='hybrid',
  )
  stream_megabytes: int | None = setting(
    None,
    check=_positive,
    help="memory for the experts' work that is streamed, in 10^6 bytes: half for what is trained on, half for what "
    f'comes next; default: {DEFAULT_STREAM_MEGABYTES}',
    model='hybrid',
    fixed=True,
  )
  cache_dir: str | None = setting(
    None,
    check=_named,
    help="folder that keeps the experts' work for later runs, 72 bytes a sample (streamed: only what is held out); "
    'default: evidence_cache in output_dir',
    model='hybrid',
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.evidence == 'cache' and self.stream_megabytes is not None:
      raise ConfigError(
        f'stream_megabytes: expected evidence to be stream or auto with it, got cache and {self.stream_megabytes}; '
        'leave one of them out'
      )

  @property
  def depths(self) -> tuple[str, ...]:
    """Depths that are listed: NATIVE_DEPTH, or numbers of bits."""
    return _bit_depths('bit_depths', self.bit_depths)

  @property
  def stream_bytes(self) -> int:
    return 10**6 * (self.stream_megabytes or DEFAULT_STREAM_MEGABYTES)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
  """Length of the training, batches and validation."""

  section: ClassVar[str] = 'training'

  training_steps: int | None = setting(
    None, check=_positive, help=f'optimizer steps; default: {DEFAULT_STEPS}, or what num_epochs says'
  )
  num_epochs: int | None = setting(
    None,
    check=_positive,
    help='instead of training_steps: how often every chunk is trained on; the last batch, which has to be full, may '
    'begin another time',
    model='bytes',
  )
  batch_size: int = setting(
    128,
    check=_positive,
    help='chunks (hybrid: sequences) in a step; their gradients are accumulated over micro-batches, so memory does not '
    'limit it',
    fixed=True,
  )
  micro_batch_size: int | None = setting(
    None, check=_positive, help='of these, what one device holds at a time; default: as many as memory allows'
  )
  seed: int = setting(42, check=_non_negative, help='of the first parameters and of the order of chunks', fixed=True)
  num_chunks: int = setting(
    488281,
    check=_positive,
    help='train on at most so many chunks, spread over all files',
    model='bytes',
    fixed=True,
  )
  validate_every: int = setting(
    0,
    check=_non_negative,
    help='steps between two validations, on at most 1024 held-out chunks; 0: only at the end, on all (hybrid: 64, and '
    'at the end 1024, sequences of each domain and depth)',
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.training_steps is not None and self.num_epochs is not None:
      raise ConfigError(
        f'num_epochs: expected none with training_steps ({self.training_steps}), got {self.num_epochs}; '
        'leave one of them out'
      )

  @property
  def steps(self) -> int:
    """Optimizer steps. Of epochs they are known once the files are: `with_steps`."""
    assert self.num_epochs is None
    return DEFAULT_STEPS if self.training_steps is None else self.training_steps

  def with_steps(self, num_chunks: int) -> 'TrainingConfig':
    """The same training with its steps as a number. num_chunks: that there are to train on, at least 1.

    Raises ConfigError if epochs are more steps than can be counted.
    """
    steps = -(-self.num_epochs * num_chunks // self.batch_size) if self.num_epochs is not None else self.steps
    if steps > _MAX_COUNT:
      raise ConfigError(f'num_epochs: expected at most {_MAX_COUNT} steps, got {steps}; give fewer epochs')
    return replace(self, training_steps=steps, num_epochs=None)


@dataclass(frozen=True, kw_only=True)
class ComputationConfig(Settings):
  """How steps are computed: precision, memory, noise."""

  section: ClassVar[str] = 'training'

  dtype: str = setting(
    'float32',
    choices=('float32', 'bfloat16'),
    help='precision of activations; parameters, norms, losses and the optimizer are float32 in any case',
    fixed=True,
  )
  remat: str = setting(
    'auto',
    choices=('auto', 'always', 'never'),
    help='compute layers again in the backward pass instead of keeping them; auto: where not one row would fit',
  )
  attention: str = setting(
    'window',
    choices=('window', 'fused'),
    help='how attention is computed, with the same result: block by block within the window; or over whole rows by '
    "JAX's dot_product_attention, on GPUs with bfloat16 cuDNN's, for windows that are hardly shorter than a row",
  )
  loss: str = setting(
    'code_length',
    choices=LOSSES,
    help='what training makes smaller; z_loss adds 1e-4 times the squared logarithm of the softmax denominator, which '
    'keeps logits small in low precision; bits that training logs are of it, those of validations of the code length',
    model='bytes',
    fixed=True,
  )
  dropout: float = setting(
    0.0, check=_below_one, help='share of what each layer adds that is set to zero while training', fixed=True
  )

  @property
  def remat_wanted(self) -> bool | None:
    """Whether layers are computed again; None for where they have to be."""
    return {'auto': None, 'always': True, 'never': False}[self.remat]


@dataclass(frozen=True, kw_only=True)
class ProcessesConfig(Settings):
  """Devices and processes that a run is on."""

  section: ClassVar[str] = 'run'

  shard_parameters: bool = setting(
    False,
    help='each device has a share of parameters and optimizer state (FSDP), for models that are too large for one',
  )
  coordinator_address: str | None = setting(
    None,
    check=_address,
    help='HOST:PORT of process 0, for a run of several processes; SLURM, Open MPI and Cloud TPU say it by themselves',
  )
  num_processes: int | None = setting(None, check=_positive, help='processes of the run, on all hosts')
  process_id: int | None = setting(None, check=_count_or_zero, help='which of them this one is, from 0')

  def __post_init__(self) -> None:
    super().__post_init__()
    given = [name for name in ('coordinator_address', 'num_processes', 'process_id') if getattr(self, name) is not None]
    if len(given) not in (0, 3):
      raise ConfigError(
        f'{given[0]}: expected coordinator_address, num_processes and process_id, or none of them, '
        f'got {" and ".join(given)} alone'
      )
    if self.process_id is not None and self.num_processes is not None and self.process_id >= self.num_processes:
      raise ConfigError(f'process_id: expected 0 to {self.num_processes - 1}, got {self.process_id}')

  def without_processes(self) -> 'ProcessesConfig':
    """The same without what differs between the processes of a run, or between two runs on the same data."""
    return replace(self, coordinator_address=None, num_processes=None, process_id=None)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Settings):
  """The optimizer."""

  section: ClassVar[str] = 'optimizer'

  optimizer: str = setting(
    'adam',
    choices=OPTIMIZERS,
    help='muon: orthogonalized momentum for matrices, AdamW with Nesterov momentum for the rest',
    fixed=True,
  )
  learning_rate: float = setting(
    1e-4, check=_positive_float32, help="the optimizer's step size, the largest one if it varies"
  )
  weight_decay: float | None = setting(
    None,
    check=_non_negative_float32,
    help='of adamw, lion and muon: share, times the learning rate, that a step takes off matrices; biases, norms and '
    'embeddings are left alone; default: adamw 1e-4, lion 1e-3, muon 0',
  )
  beta1: float | None = setting(
    None, check=_below_one, help="decay of the gradients' mean (muon: of what AdamW moves); default: 0.9"
  )
  beta2: float | None = setting(
    None,
    check=_below_one,
    help="decay of the squares' mean, in lion of its momentum; default: 0.999, lion 0.99, rmsprop 0.9",
  )
  epsilon: float | None = setting(
    None, check=_normal_float32, help='is added to what an update is divided by (rmsprop: to its square); default: 1e-8'
  )
  momentum: float | None = setting(
    None, check=_below_one, help="of sgd and rmsprop, and of muon's matrices; default: none, muon 0.95"
  )
  gradient_clip_norm: float | None = setting(
    None, check=_positive_float32, help='scale gradients down to this norm where they are larger; default: never'
  )
  ema_decay: float | None = setting(
    None,
    check=_below_one,
    help='validate and save an exponential moving average of the parameters with this decay; default: the last ones',
  )
  max_bad_steps: int = setting(
    0,
    check=_count_or_zero,
    help='steps whose loss, gradient or parameters are not finite that are skipped, in all, before the run ends',
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    _refuse_unheeded(self, 'optimizer', OPTIMIZERS)


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Settings):
  """The learning rate over time."""

  section: ClassVar[str] = 'schedule'

  learning_rate_schedule: str = setting(
    'constant',
    choices=SCHEDULES,
    help='after the warm-up; warmup_stable_decay: constant, then linear in the last steps; plateau: lower when '
    'there is no improvement',
  )
  warmup_steps: int | None = setting(
    None,
    check=_count_or_zero,
    help='first steps, in which it rises linearly; default: 5% of all, with constant none',
  )
  final_fraction: float | None = setting(
    None, check=_below_one, help='share of the learning rate that it comes down to; default: 0.02'
  )
  decay_fraction: float | None = setting(
    None, check=_fraction, help='share of the steps in which warmup_stable_decay comes down; default: 0.2'
  )
  cycles: int | None = setting(
    None, check=_positive, help='how often cosine comes down, each time from the full learning rate; default: 1'
  )
  plateau_factor: float | None = setting(
    None,
    check=_fraction,
    help='what plateau multiplies the learning rate by, down to final_fraction; default: 0.5',
  )
  plateau_patience: int | None = setting(
    None,
    check=_positive,
    help='validations without a better score, or, without validate_every, log_every lines without a lower loss, after '
    'which plateau does so; default: 5',
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    _refuse_unheeded(self, 'learning_rate_schedule', SCHEDULES)
    if self.learning_rate_schedule == 'exponential' and self.final_fraction is not None:
      _normal_float32('final_fraction', self.final_fraction)  # No product of factors comes down to 0.

  def warm_up(self, num_steps: int) -> int:
    """Steps, of all of a run, in which the learning rate rises."""
    if self.warmup_steps is not None:
      return self.warmup_steps
    return 0 if self.learning_rate_schedule == 'constant' else round(num_steps * _WARM_UP_FRACTION)

  def decay(self, num_steps: int) -> int:
    """Steps, of all of a run, in which warmup_stable_decay comes down; at least one."""
    return max(1, round(num_steps * (_DECAY_FRACTION if self.decay_fraction is None else self.decay_fraction)))

  @property
  def factor(self) -> float:
    """What plateau multiplies the learning rate by."""
    return _PLATEAU_FACTOR if self.plateau_factor is None else self.plateau_factor

  @property
  def patience(self) -> int:
    """Measurements without improvement after which plateau comes down."""
    return _PLATEAU_PATIENCE if self.plateau_patience is None else self.plateau_patience

  @property
  def final(self) -> float:
    """Share of the learning rate that it comes down to."""
    return _FINAL_FRACTION if self.final_fraction is None else self.final_fraction

  def check_steps(self, num_steps: int) -> None:
    """Raises ConfigError if the parts of the schedule do not fit into all steps of a run."""
    warm_up = self.warm_up(num_steps)
    if warm_up >= num_steps:
      raise ConfigError(f'warmup_steps: expected fewer than all steps ({num_steps}), got {warm_up}')
    left = num_steps - warm_up
    if self.cycles is not None and self.cycles > left:
      raise ConfigError(f'cycles: expected at most one for each step after the warm-up ({left}), got {self.cycles}')
    decay = self.decay(num_steps)
    if self.learning_rate_schedule == 'warmup_stable_decay' and decay > left:
      raise ConfigError(
        f'decay_fraction: expected at most the steps after the warm-up ({left}), got {decay} of {num_steps}; '
        'lower it or warmup_steps'
      )


@dataclass(frozen=True, kw_only=True)
class FinderConfig(Settings):
  """A sweep of the learning rate, instead of training."""

  section: ClassVar[str] = 'learning_rate_finder'

  find_learning_rate: bool = setting(
    False,
    help='train a few steps, each with a higher learning rate, write losses and a picture of them as '
    'NAME_learning_rates.csv and .svg, suggest a rate, and save no model; an earlier sweep of the name is '
    'replaced',
  )
  find_from: float | None = setting(None, check=_normal_float32, help='rate of the first step; default: 1e-6')
  find_to: float | None = setting(
    None, check=_normal_float32, help='rate of the last step, unless the loss diverges before; default: 1'
  )
  find_steps: int | None = setting(None, check=_positive, help='steps of the sweep; default: 100')

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ('find_from', 'find_to', 'find_steps'):
      if getattr(self, name) is not None and not self.find_learning_rate:
        raise ConfigError(f'{name}: expected find_learning_rate with it; give it, or leave this out')
    if not self.low < self.high:
      raise ConfigError(f'find_to: expected more than find_from ({self.low:g}), got {self.high:g}')

  @property
  def low(self) -> float:
    return _FIND_FROM if self.find_from is None else self.find_from

  @property
  def high(self) -> float:
    return _FIND_TO if self.find_to is None else self.find_to

  @property
  def steps(self) -> int:
    return _FIND_STEPS if self.find_steps is None else self.find_steps


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig(Settings):
  """When training ends before its last step; never unless one of patience, divergence and target is given."""

  section: ClassVar[str] = 'early_stopping'

  early_stopping_figure: str | None = setting(
    None,
    check=_named,
    help='logged figure that is watched, the lower the better, such as valid/bits_per_sample or loss_nats; default: '
    "the validations' bits per sample, the mean over domains and depths",
  )
  early_stopping_patience: int | None = setting(
    None, check=_positive, help='end after so many measurements of the figure in a row without improvement'
  )
  early_stopping_min_improvement: str | None = setting(
    None,
    check=_improvement,
    help="by how much the figure has to be lower than the best one to be an improvement: '0.01', or '0.5%' of it; "
    'default: by anything',
  )
  early_stopping_warmup_steps: int | None = setting(
    None, check=_count_or_zero, help='steps before the figure counts; default: 0'
  )
  early_stopping_divergence: float | None = setting(
    None, check=_finite, help='end when the figure is above this, or not a finite number'
  )
  early_stopping_target: float | None = setting(None, check=_finite, help='end when the figure is this, or lower')

  def __post_init__(self) -> None:
    super().__post_init__()
    if not self.is_on:
      for name in ('early_stopping_figure', 'early_stopping_min_improvement', 'early_stopping_warmup_steps'):
        if getattr(self, name) is not None:
          raise ConfigError(
            f'{name}: expected one of early_stopping_patience, early_stopping_divergence and early_stopping_target '
            'with it; give one, or leave it out'
          )
    elif self.early_stopping_patience is None and self.early_stopping_min_improvement is not None:
      raise ConfigError(
        'early_stopping_min_improvement: expected early_stopping_patience with it; give it, or leave this out'
      )

  @property
  def is_on(self) -> bool:
    thresholds = (self.early_stopping_patience, self.early_stopping_divergence, self.early_stopping_target)
    return any(value is not None for value in thresholds)

  @property
  def watches_validations(self) -> bool:
    """Whether it is on and its figure is one of the validations."""
    return self.is_on and (self.early_stopping_figure or VALIDATION).startswith(VALIDATION)

  @property
  def improvement(self) -> Improvement:
    given = self.early_stopping_min_improvement
    return ANY_IMPROVEMENT if given is None else _improvement('early_stopping_min_improvement', given)


@dataclass(frozen=True, kw_only=True)
class GenerationConfig(Settings):
  """Sound that the model generates while it is trained."""

  section: ClassVar[str] = 'generation'

  generate_every: int | None = setting(
    None,
    check=_count_or_zero,
    help='steps after which the model generates sound each time, to listen to, in the folder NAME_generated; '
    'default: 0, never',
  )
  generate_duration: float | None = setting(
    None, check=_generated_seconds, help=f'seconds of each sound, without its seed; default: {_GENERATED_SECONDS:g}'
  )
  max_generated: int | None = setting(
    None,
    check=_generated_sounds,
    help='sounds each time: one from silence, the others each going on with the beginning of a held-out file; '
    f'default: {_GENERATED_SOUNDS}',
  )
  generate_temperature: float | None = setting(
    None,
    check=_temperature,
    help=f'0: always the likeliest symbol; 1: as likely as the model says; default: {defaults.TEMPERATURE:g}',
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ('generate_duration', 'max_generated', 'generate_temperature'):
      if getattr(self, name) is not None and not self.every:
        raise ConfigError(f'{name}: expected generate_every with it; give it, or leave this out')

  @property
  def every(self) -> int:
    """Steps from one time to the next; 0 for never."""
    return self.generate_every or 0

  @property
  def seconds(self) -> float:
    return _GENERATED_SECONDS if self.generate_duration is None else self.generate_duration

  @property
  def max_sounds(self) -> int:
    return _GENERATED_SOUNDS if self.max_generated is None else self.max_generated

  @property
  def temperature(self) -> float:
    return defaults.TEMPERATURE if self.generate_temperature is None else self.generate_temperature


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig(Settings):
  """Checkpoints, and what a run begins with."""

  section: ClassVar[str] = 'checkpoint'

  save_minutes: float = setting(
    10.0,
    check=_positive_finite,
    help='minutes between two saves of the model and a checkpoint, so that a killed run leaves them',
  )
  checkpoint_every: int = setting(
    0, check=_non_negative, help='steps between two checkpoints; 0: every save_minutes and at the end only'
  )
  checkpoint_policy: str = setting(
    'always',
    choices=('always', 'best'),
    help='keep the newest checkpoints; or those of the best validations, and the newest one',
  )
  save_parameters: str | None = setting(
    None,
    choices=('last', 'best'),
    help='which parameters the model file has: those of the last step, or of the best validation; default: last, and '
    'best where early stopping watches a figure of the validations',
  )
  max_checkpoints: int = setting(2, check=_positive, help='checkpoints that are kept')
  resume: bool = setting(
    False, help="go on from the newest checkpoint of model_name in output_dir, in the run's own files"
  )
  resume_from: str | None = setting(None, check=_named, help='go on from this checkpoint file, in files of a new run')
  init_from: str | None = setting(
    None, check=_named, help="begin with this model's parameters (.npz) instead of random ones, with a fresh optimizer"
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    chosen = [name for name in ('resume', 'resume_from', 'init_from') if getattr(self, name)]
    if len(chosen) > 1:
      raise ConfigError(f'{chosen[0]}, {chosen[1]}: a run begins in one way: leave one of them out')


@dataclass(frozen=True, kw_only=True)
class FoldersConfig(Settings):
  """Folders of audio, and which of their files are held out."""

  section: ClassVar[str] = 'data'

  audio_dir: tuple[str, ...] = setting(
    check=_all_named,
    help='folder of WAV, AIFF, CAF, W64, AU, SPHERE and FLAC files, and its subfolders; may be given several times',
  )
  audio_weights: str | None = setting(
    None,
    check=_weights,
    help="how often a row comes from each audio_dir: numbers separated by commas, or 'equal'; of a single folder all "
    'domains, the folders below it that hold files or train and valid, are equal; default: hybrid equal, bytes every '
    'chunk once before any comes again',
    fixed=True,
  )
  valid_fraction: float = setting(0.1, check=_fraction, help='share of the files held out for validation', fixed=True)
  min_seconds: float | None = setting(
    None, check=_positive_finite, help='leave out files that are shorter; default: none', fixed=True
  )
  max_seconds: float | None = setting(
    None, check=_positive_finite, help='leave out files that are longer; default: none', fixed=True
  )
  skip_seconds: float | None = setting(
    None,
    check=_positive_finite,
    help='leave out so much at the beginning of each file, and files that have no more; with --channels stereo up to '
    'the next whole block; default: 0',
    fixed=True,
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.min_seconds is not None and self.max_seconds is not None and self.min_seconds > self.max_seconds:
      raise ConfigError(f'max_seconds: expected at least min_seconds ({self.min_seconds}), got {self.max_seconds}')

  @property
  def weights(self) -> tuple[float, ...] | None:
    """A weight for each folder; None if all are equal, or none was given."""
    return _weights('audio_weights', self.audio_weights) if self.audio_weights is not None else None


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
  """Outputs of a run."""

  section: ClassVar[str] = 'run'

  output_dir: str = setting('./', check=_named, help='folder for the model and its logs, created if missing')
  model_name: str = setting(
    'audio_model',
    check=_file_stem,
    help='base name of what is written: NAME.npz and others; with --config the default is the base name of that file',
    named_by_file=True,
  )


@dataclass(frozen=True, kw_only=True)
class LoggingConfig(Settings):
  """What is logged, and where."""

  section: ClassVar[str] = 'logging'

  log_every: int = setting(100, check=_positive, help='steps between two lines in the log and the metrics')
  loggers: str = setting(
    'jsonl',
    check=_logger_names,
    help=f'where metrics go, separated by commas: some of {", ".join(LOGGER_NAMES)}; --wandb_project adds wandb',
  )
  wandb_project: str | None = setting(None, help='log to this Weights & Biases project')
  wandb_run_name: str | None = setting(
    None,
    help='name of the run there; default: WANDB_NAME, or from the flags: NAME_16bit_64x4_lr0.0001_steps1000_seed42',
  )
  wandb_entity: str | None = setting(None, help='user or team that the project belongs to')
  wandb_group: str | None = setting(None, help='group of runs that the run belongs to there')
  wandb_tags: str | None = setting(None, check=_tags, help='tags of the run there, separated by commas')
  wandb_notes: str | None = setting(None, help='what the run is about, for people')
  wandb_job_type: str | None = setting(None, help='kind of the run within its group')
  wandb_mode: str | None = setting(
    None, choices=('online', 'offline', 'disabled'), help='whether wandb sends anything; default: WANDB_MODE'
  )
  profile: int = setting(
    0, check=_non_negative, help='steps, after the first two, to write a trace of for the JAX profiler: NAME_profile'
  )
  peak_tflops: float | None = setting(
    None,
    check=_positive_finite,
    help='dense peak of one device in TFLOP/s, for mfu, the share of it that training reaches; default: what is said '
    'of NVIDIA A100, H100, H200, L4, L40S, T4 and V100, and of TPU v2 to v6e; of others mfu is not logged',
  )
  no_progress: bool = setting(False, help='no progress bar')

  @property
  def logger_names(self) -> tuple[str, ...]:
    """Loggers that are asked for; a project at Weights & Biases asks for that one."""
    names = _logger_names('loggers', self.loggers)
    return (*names, WANDB) if self.wandb_project and WANDB not in names else names

  @property
  def wandb_options(self) -> dict[str, Any]:
    """What was given beside project and name, by the names that wandb.init has for it."""
    given = {
      'entity': self.wandb_entity,
      'group': self.wandb_group,
      'tags': _tags('wandb_tags', self.wandb_tags) if self.wandb_tags else None,
      'notes': self.wandb_notes,
      'job_type': self.wandb_job_type,
      'mode': self.wandb_mode,
    }
    return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
  """All settings of a training run."""

  run: RunConfig
  folders: FoldersConfig
  data: DataConfig
  augmentation: AugmentationConfig
  hybrid: HybridConfig
  family: FamilyConfig
  model: ModelConfig
  training: TrainingConfig
  computation: ComputationConfig
  optimizer: OptimizerConfig
  schedule: ScheduleConfig
  finder: FinderConfig
  early_stopping: EarlyStoppingConfig
  generation: GenerationConfig
  checkpoint: CheckpointConfig
  processes: ProcessesConfig
  logging: LoggingConfig

  def __post_init__(self) -> None:
    if self.family.model == 'hybrid' and self.folders.audio_weights is None:
      # What files and checkpoints of hybrid models have always said.
      object.__setattr__(self, 'folders', replace(self.folders, audio_weights=EQUAL_WEIGHTS))
    if self.training.num_epochs is not None and self.folders.audio_weights is not None:
      raise ConfigError(
        f'num_epochs: expected none with audio_weights, got {self.training.num_epochs}: rows that are drawn by weight '
        'make no epochs; give training_steps'
      )
    if self.training.num_epochs is None:
      self.schedule.check_steps(self.training.steps)
    if self.checkpoint.checkpoint_policy == 'best' and not self.training.validate_every:
      raise ConfigError('checkpoint_policy: best is judged by validations: give --validate_every')
    if self.checkpoint.save_parameters == 'best' and not self.training.validate_every:
      raise ConfigError('save_parameters: best is judged by validations: give --validate_every')
    if self.finder.find_learning_rate and (self.checkpoint.resume or self.checkpoint.resume_from):
      raise ConfigError(
        'find_learning_rate: a sweep does not go on from a checkpoint: leave --resume or --resume_from out, or begin '
        'with a model: --init_from'
      )
    if self.finder.find_learning_rate and self.processes.coordinator_address:
      raise ConfigError(
        'find_learning_rate: a sweep is of one process: leave --coordinator_address, --num_processes and --process_id '
        'out'
      )
    if self.early_stopping.watches_validations and not self.training.validate_every:
      raise ConfigError(
        f'early_stopping_figure: {self.early_stopping.early_stopping_figure or "the default"} is a figure of '
        'validations: give --validate_every, or name a figure of training such as loss_nats'
      )

  @property
  def saves_best(self) -> bool:
    """Whether the model file has the parameters of the best validation, not the last ones."""
    given = self.checkpoint.save_parameters
    return self.early_stopping.watches_validations if given is None else given == 'best'

  def with_steps(self, num_chunks: int) -> 'TrainingSettings':
    """The same settings with the number of steps that `TrainingConfig.with_steps` knows. Raises ConfigError."""
    return replace(self, training=self.training.with_steps(num_chunks))


def as_begun(settings: TrainingSettings) -> TrainingSettings:
  """Settings of a run from its beginning, also where it was resumed: a checkpoint is of one run on one machine."""
  return replace(
    settings,
    checkpoint=replace(settings.checkpoint, resume=False, resume_from=None),
    processes=settings.processes.without_processes(),
  )


def recorded_settings(settings: TrainingSettings) -> dict[str, Any]:
  """Settings by name, as model files and checkpoints record them: `--config` from these trains the same model."""
  return given_settings(configs_of(as_begun(settings)), family=settings.family.model)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Settings):
  """Files and compressors of an evaluation."""

  section: ClassVar[str] = 'evaluation'

  audio_dir: str = setting(
    check=_named, help='folder of WAV, AIFF, CAF, W64, AU, SPHERE and FLAC files, and its subfolders'
  )
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
