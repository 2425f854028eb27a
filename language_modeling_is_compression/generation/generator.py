"""Generators: models that go on with sound, behind one interface.

A family has a module of its own, which config/families.py names: byte_generator.py, hybrid_generator.py. Each has
`output_shape(model, wanted, seed)`, `make_generator(model, request)` and TAKES_ALL_RATES, whether it makes no
difference to its models at which rate they were trained.

Shapes: S sequences, N frames, C channels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from language_modeling_is_compression.audio.pcm import PcmFormat, wav_integers
from language_modeling_is_compression.config.families import FAMILIES
from language_modeling_is_compression.data.tokens import mix_down
from language_modeling_is_compression.entropy.sampling import Sampler
from language_modeling_is_compression.errors import ConfigError
from language_modeling_is_compression.network.model import Model
from language_modeling_is_compression.system.cancellation import Cancellation

RATE_KEY = 'sample_rate_hz'  # Of a model's provenance: the rate of most of the sound that it was trained on.
DEFAULT_RATE_HZ = 16_000  # Of what models generate that do not say on what rate they were trained.
BLOCK_FRAMES = 1024  # Drawn at a time: some tenths of a second of work.


@dataclass(frozen=True, kw_only=True)
class Wanted:
  """Format that is asked for; None for the seed's, or else the model's own."""

  sample_bytes: int | None = None
  num_channels: int | None = None
  sample_rate_hz: int | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
  """What is to be generated.

  seed: int32 [N, C], signed samples of seed_bits bits, which the sequences go on with; N may be 0. pcm: of the outcome,
  as `output_format` says. num_frames: of each sequence. num_sequences, sampler: each sequence has a temperature.
  """

  seed: np.ndarray
  seed_bits: int
  pcm: PcmFormat
  num_frames: int
  num_sequences: int
  sampler: Sampler
  num_threads: int

  def known_frames(self) -> np.ndarray:
    """The seed as it stands before what is generated: of its depth, and mixed down if that has one channel."""
    frames = self.seed
    if frames.shape[1] != self.pcm.num_channels:
      frames = mix_down(frames)[:, None]
    shift = 8 * self.pcm.sample_bytes - self.seed_bits
    return frames << shift if shift >= 0 else frames >> -shift


class Generator(Protocol):
  """Sequences that all go on with the same seed. Close it to end its threads."""

  def follow_seed(self, progress: Callable[[int], object], cancellation: Cancellation) -> None:
    """Takes in the seed, once, before anything is drawn. progress: told of frames as they are done.

    Raises CancelledError.
    """

  def draw(self, num_frames: int, cancellation: Cancellation) -> np.ndarray:
    """Draws the next frames of all sequences: int32 [S, N, C], signed, of the depth in pcm. Raises CancelledError."""

  def close(self) -> None: ...


def output_format(model: Model, wanted: Wanted, seed: PcmFormat | None) -> PcmFormat:
  """Format of what a model generates, and that of the seed, if there is one.

  Raises ConfigError if the model cannot generate what is wanted, or not go on with such a seed.
  """
  module = _module(model)
  sample_bytes, num_channels = module.output_shape(model, wanted, seed)
  if seed and seed.sample_bytes != sample_bytes:
    raise ConfigError(
      f'seed audio: expected {8 * sample_bytes} bits a sample, as they are to be generated, got '
      f'{8 * seed.sample_bytes}: convert it'
    )
  trained = model_rate_hz(model)
  expected = wanted.sample_rate_hz or (None if module.TAKES_ALL_RATES else trained)
  if seed and expected not in (None, seed.sample_rate_hz):
    whose = 'as is wanted' if wanted.sample_rate_hz else 'as the model was trained on'
    raise ConfigError(
      f'seed audio: expected {expected} Hz, {whose}, got {seed.sample_rate_hz}: convert it, or name its rate as the '
      'sample rate'
    )
  rate = wanted.sample_rate_hz or (seed.sample_rate_hz if seed else trained or DEFAULT_RATE_HZ)
  return wav_integers(sample_bytes=sample_bytes, num_channels=num_channels, sample_rate_hz=rate)


def model_rate_hz(model: Model) -> int | None:
  """Sample rate that a model was trained on, or None if it does not say."""
  rate = model.provenance.get(RATE_KEY)
  return rate if isinstance(rate, int) and 0 < rate < 1 << 32 else None


def make_generator(model: Model, request: Request) -> Generator:
  """A generator of a model. Raises CheckpointError for parameters that no integers suit, ConfigError."""
  generator: Generator = _module(model).make_generator(model, request)
  return generator


def generated_blocks(
  generator: Generator, num_frames: int, progress: Callable[[int], object], cancellation: Cancellation
) -> Iterator[np.ndarray]:
  """Takes in the seed, then yields blocks of so many frames, int32 [S, N, C], as they are drawn.

  progress: told of frames as they are done, those of the seed included. Raises CancelledError.
  """
  generator.follow_seed(progress, cancellation)
  for start in range(0, num_frames, BLOCK_FRAMES):
    count = min(BLOCK_FRAMES, num_frames - start)
    drawn = generator.draw(count, cancellation)
    progress(count)
    yield drawn


def check_channels(seed: PcmFormat | None, num_channels: int) -> None:
  """Raises ConfigError if a seed has other channels than are to be generated."""
  if seed and seed.num_channels != num_channels:
    raise ConfigError(f'seed audio: expected as many channels as are wanted, {num_channels}, got {seed.num_channels}')


def _module(model: Model) -> ModuleType:
  module = FAMILIES[model.spec.family].generator_module()
  if module is None:
    raise ConfigError(f'models of family {model.spec.family} cannot generate sound: name one of another family')
  return module
